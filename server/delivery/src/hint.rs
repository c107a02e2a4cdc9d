//! What the kernel knows of a viewer's connection, told to the viewer: a player cannot measure it on growing segments.
//!
//! In → Out: a viewer's socket, when the answer to a request for a segment begins → `CMSD-Dynamic`. One system call a segment,
//! and a few more on a long path (`socket::renew`). It is said only to who is connected directly: a cache would keep one
//! viewer's numbers for all.
//! Spec: CTA-5006, "CMSD-Dynamic"; RFC 8941; tcp(7), `TCP_INFO`.
#![expect(
    unsafe_code,
    reason = "no crate in use reads the newer fields of TCP_INFO"
)]

use std::fmt::Write as _;
use std::os::fd::{AsRawFd, BorrowedFd};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::route::Target;
use crate::socket;

/// The header.
pub(crate) const CMSD_DYNAMIC: HeaderName = HeaderName::from_static("cmsd-dynamic");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A connection as the kernel sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Path {
    /// What the last samples were delivered at.
    delivery_bps: u64,
    /// Whether that was as much as there was to send: the path may carry more.
    app_limited: bool,
    rtt_micros: u32,
    /// Everything that was sent has arrived, and nothing on the way was lost.
    quiet: bool,
    /// Bytes that wait in the kernel and were never sent.
    unsent: u32,
}

/// Adds the header to an answer about a segment, if `request` came without a proxy.
pub(crate) fn stamp(
    target: Target,
    request: &HeaderMap,
    socket: BorrowedFd<'_>,
    response: &mut HeaderMap,
) {
    let proxied = [header::VIA, header::FORWARDED, FORWARDED_FOR];
    let direct = !proxied.iter().any(|name| request.contains_key(name));
    if direct
        && matches!(target, Target::Segment(..))
        && let Some(path) = observe(socket)
    {
        if path.quiet && path.rtt_micros >= LONG_MICROS {
            socket::renew(socket);
        }
        if let Ok(value) = HeaderValue::try_from(describe(path)) {
            response.insert(CMSD_DYNAMIC, value);
        }
    }
}

/// As a structured field: throughput in kb/s, round trip in ms, and two keys of our own.
fn describe(path: Path) -> String {
    let mut text = "\"nearcast\"".to_owned();
    if path.delivery_bps > 0 {
        // Writing to a string does not fail.
        let _ = write!(text, ";etp={}", path.delivery_bps / 1_000);
    }
    let rtt = path.rtt_micros.div_ceil(1_000);
    let _ = write!(text, ";rtt={rtt};nearcast-unsent={}", path.unsent);
    if path.app_limited {
        text.push_str(";nearcast-limited");
    }
    text
}

/// On a shorter path everything has arrived before the next picture is sent, and BBR never holds back.
const LONG_MICROS: u32 = 15_000;

/// As much of `struct tcp_info` (linux/tcp.h) as is read; offsets in bytes.
const INFO_BYTES: usize = 168;
const STATE_AT: usize = 1;
const FLAGS_AT: usize = 7;
const UNACKED_AT: usize = 24;
const RTT_AT: usize = 68;
const UNSENT_AT: usize = 144;
const DELIVERY_RATE_AT: usize = 160;

#[cfg(target_os = "linux")]
fn observe(socket: BorrowedFd<'_>) -> Option<Path> {
    let mut info = [0_u8; INFO_BYTES];
    let mut length = libc::socklen_t::try_from(INFO_BYTES).ok()?;
    // SAFETY: the pointers are to live locals, and `length` says how much the kernel may write.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    // An older kernel knows fewer fields.
    (status == 0 && usize::try_from(length).ok()? >= INFO_BYTES).then(|| read(&info))
}

#[cfg(not(target_os = "linux"))]
fn observe(_socket: BorrowedFd<'_>) -> Option<Path> {
    None
}

fn read(info: &[u8; INFO_BYTES]) -> Path {
    let u32_at = |at: usize| {
        let bytes = info.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    };
    let rate = info.get(DELIVERY_RATE_AT..).and_then(<[u8]>::first_chunk);
    Path {
        delivery_bps: rate.map_or(0, |bytes| u64::from_ne_bytes(*bytes).saturating_mul(8)),
        app_limited: info[FLAGS_AT] & 1 != 0,
        rtt_micros: u32_at(RTT_AT),
        quiet: info[STATE_AT] == 0 && u32_at(UNACKED_AT) == 0,
        unsent: u32_at(UNSENT_AT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_a_structured_field() {
        let path = Path {
            delivery_bps: 2_500_400,
            app_limited: true,
            rtt_micros: 40_100,
            quiet: true,
            unsent: 1_448,
        };
        assert_eq!(
            describe(path),
            "\"nearcast\";etp=2500;rtt=41;nearcast-unsent=1448;nearcast-limited"
        );
        assert_eq!(
            describe(Path::default()),
            "\"nearcast\";rtt=0;nearcast-unsent=0",
            "nothing was measured yet"
        );
    }
}
