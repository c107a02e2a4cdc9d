//! HTTPS with a certificate that is replaced while the server runs.
//!
//! In → Out: PEM files and SIGHUP → the certificate that a handshake shows.
//! Spec: RFC 8446; case ING-34.

use std::path::Path;
use std::sync::Arc;

use rustix::process::Signal;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;

use crate::process::{LIMIT, Server, run};

/// Writes a fresh certificate and its key.
fn issue(directory: &Path) {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("chain.pem"), issued.cert.pem()).unwrap();
    std::fs::write(
        directory.join("key.pem"),
        issued.signing_key.serialize_pem(),
    )
    .unwrap();
}

/// The certificate that the server shows, and the protocol that it chose.
async fn shown(server: &Server) -> (Vec<u8>, Option<Vec<u8>>) {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(server.https.unwrap()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    let (_, connection) = stream.get_ref();
    (
        connection.peer_certificates().unwrap()[0].to_vec(),
        connection.alpn_protocol().map(<[u8]>::to_vec),
    )
}

#[tokio::test]
async fn ing_34_a_renewed_certificate_is_used_after_a_signal() {
    let files = tempfile::tempdir().unwrap();
    issue(files.path());
    let (chain, key) = (files.path().join("chain.pem"), files.path().join("key.pem"));
    let flags = [
        "--https",
        "127.0.0.1:0",
        "--tls-cert",
        chain.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ];
    let server = Server::start(&flags).await;
    let (first, protocol) = shown(&server).await;
    assert_eq!(protocol.as_deref(), Some(&b"h2"[..]));

    // Half a renewal, as a script leaves it for a moment: the old certificate stays.
    std::fs::write(&chain, "not a certificate").unwrap();
    server.signal(Signal::HUP);
    assert_eq!(shown(&server).await.0, first);

    issue(files.path());
    server.signal(Signal::HUP);
    let renewed = async { while shown(&server).await.0 == first {} };
    tokio::time::timeout(LIMIT, renewed).await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_not_the_certificates_is_refused_at_start() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    issue(one.path());
    issue(other.path());
    let (chain, key) = (one.path().join("chain.pem"), other.path().join("key.pem"));
    let arguments = [
        "serve",
        "--http",
        "off",
        "--rtmp",
        "127.0.0.1:0",
        "--https",
        "127.0.0.1:0",
        "--tls-cert",
        chain.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ];
    let output = run(one.path(), &arguments).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("do not belong together")
    );
}

/// Trusts whatever certificate is shown: the test compares it.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
