//! The broadcaster's socket, as far as measuring needs it: text messages down, nothing up.
//!
//! In → Out: a stream key → a ticket → a WebSocket → its messages.
//! Spec: docs/ix.md, "The socket"; RFC 6455, "Base Framing Protocol" (5.2): a server's frames are never masked.

use std::sync::Arc;

use anyhow::{Context, bail};
use testkit::http1::{Item, Reader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::target::{Connection, Target};

/// The longest message that is taken.
const MESSAGE_MAX: u64 = 1 << 20;

/// An open socket.
pub struct Socket(Box<dyn Connection>);

impl Socket {
    /// Asks for a ticket and connects.
    pub async fn open(target: &Arc<Target>, id: &str, key: &str) -> anyhow::Result<Self> {
        let ticket = ticket(target, id, key).await?;
        let mut connection = target.connect(None).await?;
        let authority = &target.authority;
        let head = format!(
            "GET /api/v1/broadcasts/{id}/ws?ticket={ticket} HTTP/1.1\r\nHost: {authority}\r\nOrigin: http://{authority}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bmVhcmNhc3QtbG9hZGdlbg==\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(connection.read_u8().await?);
        }
        if !answer.starts_with(b"HTTP/1.1 101") {
            bail!("no socket: {}", String::from_utf8_lossy(&answer));
        }
        Ok(Self(connection))
    }

    /// The next text message; `None` when the socket has ended.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            let (first, second) = (self.0.read_u8().await.ok()?, self.0.read_u8().await.ok()?);
            let length = match second {
                126 => u64::from(self.0.read_u16().await.ok()?),
                127 => self.0.read_u64().await.ok()?,
                length => u64::from(length),
            };
            if length > MESSAGE_MAX {
                return None;
            }
            let mut payload = vec![0; usize::try_from(length).ok()?];
            self.0.read_exact(&mut payload).await.ok()?;
            match first {
                0x81 => return String::from_utf8(payload).ok(),
                0x88 => return None,
                _ => {}
            }
        }
    }
}

async fn ticket(target: &Arc<Target>, id: &str, key: &str) -> anyhow::Result<String> {
    let mut connection = target.connect(None).await?;
    let head = format!(
        "POST /api/v1/broadcasts/{id}/ticket HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\nContent-Length: 0\r\n\r\n",
        target.authority
    );
    connection.write_all(head.as_bytes()).await?;
    let mut reader = Reader::default();
    reader.expect();
    let (mut body, mut buffer) = (Vec::new(), [0; 4_096]);
    'answer: loop {
        let count = connection.read(&mut buffer).await?;
        if count == 0 {
            bail!("the server closed the connection");
        }
        let mut bytes = &buffer[..count];
        while let Some(item) = reader.read(&mut bytes)? {
            match item {
                Item::Head(_) => {}
                Item::Body(piece) => body.extend_from_slice(piece),
                Item::End => break 'answer,
            }
        }
    }
    let answer: serde_json::Value = serde_json::from_slice(&body)?;
    let ticket = answer["ticket"].as_str().map(str::to_owned);
    ticket.with_context(|| format!("no ticket: {}", String::from_utf8_lossy(&body)))
}
