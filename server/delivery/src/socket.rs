//! Socket options of viewers, and the process's limit of open files.
//!
//! In → Out: an accepted socket → tuned for small writes at once, little unsent data in the kernel, a congestion control that
//! keeps its rate on lossy paths.
//! Spec: tcp(7), "TCP_NODELAY", "TCP_NOTSENT_LOWAT", "TCP_CONGESTION"; proc(5), "/proc/pid/limits".

use std::os::fd::BorrowedFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use crate::server::HttpConfig;

/// Tunes a viewer's socket. What a kernel does not know is left as it is.
pub(crate) fn tune(stream: &TcpStream, config: &HttpConfig) {
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEP_ALIVE)
            .with_interval(KEEP_ALIVE_STEP),
    );
    #[cfg(target_os = "linux")]
    {
        let _ = socket.set_tcp_notsent_lowat(config.unsent_max);
        if let Some(name) = &config.congestion {
            let _ = socket.set_tcp_congestion(name.as_bytes());
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = config;
}

/// Lets BBR begin anew on a connection with nothing in flight; other congestion controls are left alone.
///
/// BBR measures a path's shortest round trip for ten seconds, then sends four packets a round trip for 200 ms to measure it again. On a
/// path longer than a picture lasts this keeps 2.5 Mb/s back by 200 ms, and the picture stands still. Live media leaves gaps
/// enough to measure in, but BBR takes no notice of them while segments follow each other; beginning anew starts its ten seconds
/// again. The window and the round trip that the kernel knows are kept.
pub(crate) fn renew(socket: BorrowedFd<'_>) {
    #[cfg(target_os = "linux")]
    {
        let socket = SockRef::from(&socket);
        let is_bbr = socket
            .tcp_congestion()
            .is_ok_and(|name| name.split(|byte| *byte == 0).next() == Some(BBR));
        // The kernel ignores a change to what is there already.
        if is_bbr && socket.set_tcp_congestion(PLAIN).is_ok() {
            let _ = socket.set_tcp_congestion(BBR);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

#[cfg(target_os = "linux")]
const BBR: &[u8] = b"bbr";

/// In every kernel, and it has no state of its own.
#[cfg(target_os = "linux")]
const PLAIN: &[u8] = b"reno";

/// The process's soft limit of open files; `None` where it cannot be read or there is none.
pub(crate) fn open_files_max() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How long a silent peer is trusted to be there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Between the probes that find out.
const KEEP_ALIVE_STEP: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    #[test]
    fn the_limit_of_open_files_is_known_on_linux() {
        assert!(super::open_files_max().is_some_and(|files| files > 16));
    }
}
