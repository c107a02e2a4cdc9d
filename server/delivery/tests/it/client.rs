//! A viewer that looks at every byte of HTTP/1.1.
//!
//! In → Out: requests as text → heads, chunks and ends, told apart exactly.
//! Spec: RFC 9112, "Chunked Transfer Coding" (7.1).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What must not wait for anything, on a machine that may be busy: less than any of the server's own patience.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(4);

/// A connection.
pub(crate) struct Http1 {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: BytesMut,
}

/// A response's head.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn is_chunked(&self) -> bool {
        self.header("transfer-encoding") == Some("chunked")
    }

    /// Seconds that a cache may keep it; `None` if it may not at all.
    pub(crate) fn max_age(&self) -> Option<u64> {
        let cache = self.header("cache-control")?;
        cache
            .split(',')
            .find_map(|directive| directive.trim().strip_prefix("max-age=")?.parse().ok())
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Clean,
    Torn,
}

impl Http1 {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            buffer: BytesMut::new(),
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    pub(crate) async fn get(&mut self, path: &str) -> Head {
        self.ask("GET", path, "").await
    }

    pub(crate) async fn ask(&mut self, method: &str, path: &str, headers: &str) -> Head {
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"
        ))
        .await;
        self.head().await
    }

    /// The next head; panics if the connection ends before it.
    pub(crate) async fn head(&mut self) -> Head {
        self.maybe_head().await.expect("a response")
    }

    pub(crate) async fn maybe_head(&mut self) -> Option<Head> {
        loop {
            if let Some(end) = self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                let text = String::from_utf8(self.buffer.split_to(end + 4).to_vec()).unwrap();
                return Some(parse(&text));
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// A body whose length the head tells.
    pub(crate) async fn body(&mut self, head: &Head) -> Vec<u8> {
        if head.is_chunked() {
            let (body, end) = self.chunked().await;
            assert_eq!(end, End::Clean);
            return body;
        }
        let length: usize = head
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        while self.buffer.len() < length {
            assert!(self.fill().await, "the body is short");
        }
        self.buffer.split_to(length).to_vec()
    }

    pub(crate) async fn text(&mut self, head: &Head) -> String {
        String::from_utf8(self.body(head).await).unwrap()
    }

    /// The next chunk as text; `None` at the clean end of the body. `Err` if the connection ends instead.
    pub(crate) async fn chunk(&mut self) -> Result<Option<String>, End> {
        loop {
            if let Some(line) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let size = std::str::from_utf8(&self.buffer[..line]).unwrap();
                let size = usize::from_str_radix(size, 16).expect("a chunk's size");
                if self.buffer.len() >= line + 2 + size + 2 {
                    self.buffer.advance(line + 2);
                    let data = self.buffer.split_to(size);
                    assert_eq!(&self.buffer.split_to(2)[..], b"\r\n");
                    return Ok((size > 0).then(|| String::from_utf8(data.to_vec()).unwrap()));
                }
            }
            if !self.fill().await {
                return Err(End::Torn);
            }
        }
    }

    pub(crate) async fn chunked(&mut self) -> (Vec<u8>, End) {
        let mut body = Vec::new();
        loop {
            match self.chunk().await {
                Ok(Some(data)) => body.extend_from_slice(data.as_bytes()),
                Ok(None) => return (body, End::Clean),
                Err(end) => return (body, end),
            }
        }
    }

    /// Everything until the connection ends, and whether that was an orderly end.
    pub(crate) async fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            match timeout(PATIENCE, self.stream.read_buf(&mut self.buffer))
                .await
                .expect("an end")
            {
                Ok(0) => return (self.buffer.split().to_vec(), End::Clean),
                Ok(_) => {}
                Err(_) => return (self.buffer.split().to_vec(), End::Torn),
            }
        }
    }

    /// Whether anything has arrived, without waiting for more than what is on its way.
    pub(crate) fn has_arrived(&mut self) -> bool {
        let _ = self.stream.try_read_buf(&mut self.buffer);
        !self.buffer.is_empty()
    }

    async fn fill(&mut self) -> bool {
        let count = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer))
            .await
            .expect("bytes in time");
        count.is_ok_and(|count| count > 0)
    }
}

fn parse(text: &str) -> Head {
    let mut lines = text.trim_end().split("\r\n");
    let status = lines.next().unwrap();
    assert!(status.starts_with("HTTP/1.1 "), "{status}");
    let mut headers = BTreeMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let before = headers.insert(name.to_ascii_lowercase(), value.to_owned());
        assert_eq!(before, None, "{name} comes twice");
    }
    Head {
        status: status[9..12].parse().unwrap(),
        headers,
    }
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what} does not come"
        );
        tokio::task::yield_now().await;
    }
}
