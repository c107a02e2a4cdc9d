//! What is watched: a server's address, and how its connections are opened.
//!
//! In → Out: a watch page's or playlist's URL → host, path, connections (TCP or TLS).
//! Spec: design "Paths"; RFC 9110, "http and https URI Schemes".

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use rustls::pki_types::ServerName;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// Either kind of connection.
pub trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

/// Where Debian, Fedora and Alpine keep the certificates that they trust.
const TRUST_BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// A server and a playlist on it.
#[derive(Clone)]
pub struct Target {
    /// As in the `Host` header.
    pub authority: String,
    /// Where to connect.
    pub address: SocketAddr,
    /// Path of the playlist.
    pub path: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Target {
    /// Reads a URL: a watch page (`/b/ID`), an embed page, or a playlist. `trust` is a PEM file that replaces the system's.
    pub async fn parse(url: &str, trust: Option<&Path>) -> anyhow::Result<Self> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let tls = match scheme {
            "http" => false,
            "https" => true,
            other => bail!("'{other}' is not http or https"),
        };
        let default_port = if tls { 443 } else { 80 };
        let (host, port) = split_port(authority, default_port)?;
        let mut addresses = tokio::net::lookup_host((host, port))
            .await
            .with_context(|| format!("the host {host} is not known"))?;
        let address = addresses
            .next()
            .with_context(|| format!("the host {host} has no address"))?;
        let tls = if tls {
            let name = ServerName::try_from(host.to_owned())
                .with_context(|| format!("{host} cannot be a certificate's name"))?;
            Some((connector(trust)?, name))
        } else {
            None
        };
        Ok(Self {
            authority: authority.to_owned(),
            address,
            path: playlist_path(path)?,
            tls,
        })
    }

    /// Opens a connection, from a given local address if there is one.
    pub async fn connect(&self, from: Option<IpAddr>) -> std::io::Result<Box<dyn Connection>> {
        let stream = match from {
            None => TcpStream::connect(self.address).await?,
            Some(from) => bound(from)?.connect(self.address).await?,
        };
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
        })
    }

    /// The bytes of a `GET`.
    pub fn request(&self, path: &str) -> String {
        format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: nearcast-watch\r\nAccept: */*\r\n\r\n",
            self.authority
        )
    }
}

/// A socket on a local address: each address has ports of its own.
fn bound(from: IpAddr) -> std::io::Result<TcpSocket> {
    let domain = if from.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    Ok(TcpSocket::from_std_stream(socket.into()))
}

fn split_port(authority: &str, default: u16) -> anyhow::Result<(&str, u16)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (
            host,
            port.parse()
                .with_context(|| format!("'{port}' is not a port"))?,
        ),
        _ => (authority, default),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        bail!("the URL has no host");
    }
    Ok((host, port))
}

fn playlist_path(path: &str) -> anyhow::Result<String> {
    let plain = path.split(['?', '#']).next().unwrap_or(path);
    if let Some(page) = plain.strip_prefix("/b/") {
        let id = page.trim_end_matches('/').trim_end_matches("/embed");
        return Ok(format!("/live/{id}/index.m3u8"));
    }
    if plain.rsplit('.').next() == Some("m3u8") {
        return Ok(path.to_owned());
    }
    bail!("'{path}' is neither a watch page (/b/ID) nor a playlist (/live/ID/index.m3u8)")
}

fn connector(trust: Option<&Path>) -> anyhow::Result<TlsConnector> {
    let bundle = match trust {
        Some(file) => {
            std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?
        }
        None => TRUST_BUNDLES
            .iter()
            .find_map(|file| std::fs::read(file).ok())
            .context(
                "no trusted certificates on this machine: install ca-certificates or name a file",
            )?,
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls_pemfile::certs(&mut bundle.as_slice()) {
        // A bundle may hold old certificates that rustls does not read; the others still count.
        let _ = roots.add(certificate.context("the certificates cannot be read")?);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS cannot be set up")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_playlists_name_a_playlist() {
        assert_eq!(playlist_path("/b/demo").unwrap(), "/live/demo/index.m3u8");
        assert_eq!(
            playlist_path("/b/demo/embed").unwrap(),
            "/live/demo/index.m3u8"
        );
        assert_eq!(
            playlist_path("/b/demo/?x=y#z").unwrap(),
            "/live/demo/index.m3u8"
        );
        assert_eq!(
            playlist_path("/live/demo/source/index.m3u8").unwrap(),
            "/live/demo/source/index.m3u8"
        );
        assert!(playlist_path("/dashboard").is_err());
    }

    #[test]
    fn ports_and_bracketed_hosts_are_taken_apart() {
        assert_eq!(split_port("host:81", 80).unwrap(), ("host", 81));
        assert_eq!(split_port("host", 80).unwrap(), ("host", 80));
        assert_eq!(split_port("[::1]:8080", 80).unwrap(), ("::1", 8080));
        assert_eq!(split_port("[::1]", 80).unwrap(), ("::1", 80));
        assert!(split_port("", 80).is_err() && split_port("h:x", 80).is_err());
    }
}
