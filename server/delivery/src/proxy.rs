//! Who a request comes from when it comes through proxies that the operator trusts.
//!
//! In → Out: the connection's peer and `X-Forwarded-For` → the address that limits count by.
//! A header is believed only as far as trusted proxies wrote it: it is read from its end, and the first address that is not
//! one of theirs is the viewer's. From anybody else it is not read at all.
//! Spec: RFC 7239, section 5.2, for the meaning; the header itself is older than it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;

/// Networks whose word about addresses is taken. Cheap to clone; empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Arc<[(IpAddr, u8)]>);

impl TrustedProxies {
    /// From addresses and networks such as `10.0.0.0/8` or `::1`; the error is the first text that is neither.
    pub fn parse<'a>(networks: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        networks
            .into_iter()
            .map(|text| network(text).ok_or_else(|| text.to_owned()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The viewer's address. With a port only if nobody forwarded it, else with port 0.
    pub(crate) fn viewer(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        if !self.contains(peer.ip()) {
            return peer;
        }
        let lines = headers.get_all("x-forwarded-for").into_iter().rev();
        let hops = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.rsplit(','));
        let mut nearest = peer;
        for hop in hops.take(HOPS_MAX) {
            let Some(address) = address(hop.trim()) else {
                break;
            };
            nearest = SocketAddr::new(address, 0);
            if !self.contains(address) {
                break;
            }
        }
        nearest
    }

    fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0
            .iter()
            .any(|(network, length)| is_inside(address, *network, *length))
    }
}

impl fmt::Display for TrustedProxies {
    /// The networks, as [`TrustedProxies::parse`] takes them, with commas between.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (address, length)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{address}/{length}")?;
        }
        Ok(())
    }
}

/// More proxies than this in a row are a loop or a lie.
const HOPS_MAX: usize = 16;

/// An address, perhaps with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    bare.unwrap_or(text)
        .parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = if text.contains('/') {
        length.parse().ok()?
    } else {
        most
    };
    (length <= most).then_some((address, length))
}

fn is_inside(address: IpAddr, network: IpAddr, length: u8) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 4),
        IpAddr::V6(address) => (address.to_bits(), 6),
    };
    let ((address, family), (network, other)) = (bits(address), bits(network));
    let differ = (address ^ network).leading_zeros();
    family == other && differ >= u32::from(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let trusted = TrustedProxies::parse(trusted.iter().copied()).unwrap();
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        trusted
            .viewer(SocketAddr::new(peer.parse().unwrap(), 7), &headers)
            .ip()
            .to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_what_it_added() {
        let local = ["127.0.0.1", "10.0.0.0/8"];
        assert_eq!(seen(&[], "127.0.0.1", &["192.0.2.1"]), "127.0.0.1");
        assert_eq!(seen(&local, "198.51.100.9", &["192.0.2.1"]), "198.51.100.9");
        assert_eq!(seen(&local, "127.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(
            seen(&local, "::ffff:127.0.0.1", &["192.0.2.1"]),
            "192.0.2.1"
        );
        // What a viewer wrote itself stands before what the proxies added.
        assert_eq!(
            seen(&local, "127.0.0.1", &["203.0.113.5, 192.0.2.1, 10.1.2.3"]),
            "192.0.2.1"
        );
        assert_eq!(
            seen(&local, "127.0.0.1", &["203.0.113.5", "192.0.2.1"]),
            "192.0.2.1"
        );
        assert_eq!(seen(&local, "127.0.0.1", &["unknown"]), "127.0.0.1");
        assert_eq!(seen(&local, "127.0.0.1", &["192.0.2.1:4711"]), "192.0.2.1");
        assert_eq!(seen(&["::1"], "::1", &["[2001:db8::7]:443"]), "2001:db8::7");
        assert_eq!(seen(&local, "127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn networks_have_a_length_that_fits() {
        assert!(TrustedProxies::parse(["10.0.0.0/33"]).is_err());
        assert!(TrustedProxies::parse(["proxy.example"]).is_err());
        assert!(TrustedProxies::parse(["0.0.0.0/0", "2001:db8::/32"]).is_ok());
        assert_eq!(
            seen(&["0.0.0.0/0"], "198.51.100.9", &["192.0.2.1"]),
            "192.0.2.1"
        );
        assert_eq!(
            seen(&["2001:db8::/32"], "2001:db9::1", &["192.0.2.1"]),
            "2001:db9::1"
        );
    }
}
