//! The certificate of the HTTPS listener, which may be replaced while the server runs.
//!
//! In → Out: two PEM files → a rustls configuration that asks for the current certificate at each handshake.
//! Spec: RFC 8446 (TLS 1.3); RFC 7301 (ALPN); RFC 7468 (PEM).

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificate in use. Handshakes read it; a reload replaces it; connections that exist are not touched.
#[derive(Debug)]
pub(crate) struct Certificate(RwLock<Arc<CertifiedKey>>);

impl Certificate {
    /// Reads a chain and its key.
    pub(crate) fn load(chain: &Path, key: &Path) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self(RwLock::new(read(chain, key)?))))
    }

    /// Reads the files again; the old certificate stays if they are wrong.
    pub(crate) fn reload(&self, chain: &Path, key: &Path) -> anyhow::Result<()> {
        let new = read(chain, key)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// What a listener needs: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
    pub(crate) fn server_config(self: &Arc<Self>) -> anyhow::Result<Arc<ServerConfig>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS cannot be set up")?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(
            self.0
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        )
    }
}

fn read(chain: &Path, key: &Path) -> anyhow::Result<Arc<CertifiedKey>> {
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("the certificate {} cannot be read as PEM", chain.display()))?;
    anyhow::ensure!(
        !certificates.is_empty(),
        "{} holds no certificate",
        chain.display()
    );
    let private = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("the private key {} cannot be read as PEM", key.display()))?;
    let certified = CertifiedKey::from_der(certificates, private, &aws_lc_rs::default_provider())
        .with_context(|| {
        format!(
            "{} and {} do not belong together",
            chain.display(),
            key.display()
        )
    })?;
    Ok(Arc::new(certified))
}
