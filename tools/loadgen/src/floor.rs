//! The floor: a bare loop of `send()` on non-blocking sockets, one thread, no bookkeeping.
//!
//! In → Out: any request on any connection → a head, then a stamped chunk at each tick, for ever.
//! What a server can do per processor on this machine at this chunk size and cadence is not more than this.
//! Spec: none; our own yardstick.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use media::Delta;

use crate::clock::Clock;
use crate::probe::stamp;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Floor {
    /// Where.
    pub listen: SocketAddr,
    /// Bytes of a chunk without its framing; at least that of a stamp.
    pub chunk: usize,
    /// From one chunk to the next.
    pub interval: Duration,
}

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Serves until the process is killed.
pub fn run(floor: Floor) -> anyhow::Result<()> {
    let listener = TcpListener::bind(floor.listen)?;
    listener.set_nonblocking(true)?;
    let clock = Clock::new(Delta::ZERO);
    let mut viewers: Vec<TcpStream> = Vec::new();
    let mut waiting: Vec<TcpStream> = Vec::new();
    let mut due = Instant::now();
    loop {
        while let Ok((socket, _)) = listener.accept() {
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            waiting.push(socket);
        }
        waiting.retain_mut(|socket| match asked(socket) {
            Some(true) => {
                viewers.extend(socket.try_clone());
                false
            }
            Some(false) => true,
            None => false,
        });
        let message = framed(floor.chunk, &stamp(clock.now()));
        // A socket that does not take a chunk whole is dropped: the floor has no queue.
        viewers.retain_mut(
            |socket| matches!(socket.write(&message), Ok(count) if count == message.len()),
        );
        due += floor.interval;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// Whether a request has come; `None` if the connection is gone.
fn asked(socket: &mut TcpStream) -> Option<bool> {
    let mut buffer = [0; 1_024];
    match socket.read(&mut buffer) {
        Ok(0) => None,
        Ok(_) => socket.write_all(HEAD).ok().map(|()| true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(false),
        Err(_) => None,
    }
}

fn framed(length: usize, stamp: &[u8]) -> Vec<u8> {
    let length = length.max(stamp.len());
    let mut message = format!("{length:x}\r\n").into_bytes();
    message.extend_from_slice(stamp);
    message.resize(message.len() + length - stamp.len(), 0xFF);
    message.extend_from_slice(b"\r\n");
    message
}
