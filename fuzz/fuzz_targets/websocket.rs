//! The bytes of a broadcaster's or a moderator's socket after the handshake: frames in, commands out.
//!
//! In → Out: bytes of a peer → messages within the bounds that the server sets, commands within theirs, or an error that closes it.
//! The frames are read by the library that the server reads them with, with the limits of `server/interaction/src/socket.rs`.
//! Spec: RFC 6455, "Data Framing" (5); docs/ix.md, "The socket"; case IX-05.
#![no_main]

use std::io::{self, Cursor, Read, Write};

use libfuzzer_sys::fuzz_target;
use room::wire::{self, Command};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

/// As in `server/interaction/src/socket.rs`.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// What the peer sends; what is sent to it is thrown away.
struct Peer<'a>(Cursor<&'a [u8]>);

impl Read for Peer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fuzz_target!(|input: &[u8]| {
    let config = WebSocketConfig::default()
        .read_buffer_size(MESSAGE_BYTES_MAX)
        .write_buffer_size(0)
        .max_write_buffer_size(256 * 1024)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let mut socket = WebSocket::from_raw_socket(Peer(Cursor::new(input)), Role::Server, Some(config));
    // Each message takes at least two bytes of the input.
    for _ in 0..=input.len() / 2 + 2 {
        match socket.read() {
            Ok(Message::Text(text)) => {
                assert!(text.len() <= MESSAGE_BYTES_MAX);
                if let Ok(Command::Comment(_, Ok(text), _)) = wire::parse_command(text.as_bytes()) {
                    assert!(text.as_str().len() <= room::CommentText::BYTES_MAX);
                }
            }
            Ok(other) => assert!(other.len() <= MESSAGE_BYTES_MAX),
            Err(_) => return,
        }
    }
    panic!("more messages than bytes");
});
