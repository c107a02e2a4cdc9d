//! Socket options of viewers, and the process's limit of open files.
//!
//! In → Out: an accepted socket → tuned for small writes at once, little unsent data in the kernel, a congestion control that
//! keeps its rate on lossy paths.
//! Spec: tcp(7), "TCP_NODELAY", "TCP_NOTSENT_LOWAT", "TCP_CONGESTION"; proc(5), "/proc/pid/limits".

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
