//! A viewer that does something: a name, a token, a connection that is kept.
//!
//! In → Out: taps and comments → `POST`s over one HTTP/1.1 connection, their answers and how long they took.
//! Spec: docs/ix.md, "The way up".

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail};
use media::Delta;
use testkit::http1::{Item, Reader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::clock::Clock;
use crate::target::{Connection, Target};

/// What the server said.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// JSON.
    pub body: String,
    /// From `write` to the last `read`.
    pub took: Delta,
}

/// One viewer of one room.
pub struct Client {
    target: Arc<Target>,
    path: String,
    token: String,
    connection: Option<Box<dyn Connection>>,
    /// What the request claims to be forwarded for; for a server that trusts this machine.
    pub forwarded: Option<String>,
}

/// Ids of requests and comments: different in each run, and never twice in one.
fn fresh_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let begin = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0));
    // The first to ask sets where the numbers begin.
    let _ = NEXT.compare_exchange(0, begin << 8, Ordering::Relaxed, Ordering::Relaxed);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Client {
    /// Becomes a viewer whose hearts have a wanted colour; asks again until it has.
    pub async fn enter(
        target: &Arc<Target>,
        id: &str,
        wanted: impl Fn(usize) -> bool,
    ) -> anyhow::Result<Self> {
        let mut client = Self {
            target: Arc::clone(target),
            path: format!("/api/v1/broadcasts/{id}/"),
            token: String::new(),
            connection: None,
            forwarded: None,
        };
        for _ in 0..1_000 {
            let viewer = client.become_viewer().await?;
            if wanted(colour_of(viewer)) {
                return Ok(client);
            }
        }
        bail!("no viewer has the wanted colour")
    }

    /// Another viewer on the same connection; its id.
    pub async fn become_viewer(&mut self) -> anyhow::Result<u64> {
        self.token.clear();
        let answer = self.post("viewers", "{\"name\":\"load\"}").await?;
        if answer.status != 200 {
            bail!("no viewer's token: {} {}", answer.status, answer.body);
        }
        let answer: serde_json::Value = serde_json::from_str(&answer.body)?;
        let text = |key: &str| answer[key].as_str().context("an answer without a token");
        text("token")?.clone_into(&mut self.token);
        Ok(u64::from_str_radix(text("viewer")?, 16)?)
    }

    /// The token, to keep many viewers on one connection.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Speaks for this viewer from here on.
    pub fn take_token(&mut self, token: &str) {
        token.clone_into(&mut self.token);
    }

    /// Some hearts.
    pub async fn taps(&mut self, count: u32, clock: Clock) -> anyhow::Result<Answer> {
        let begin = clock.now();
        let body = format!(
            "{{\"v\":1,\"id\":\"{:016x}\",\"taps\":{{\"n\":{count}}}}}",
            fresh_id()
        );
        let answer = self.post("ix", &body).await?;
        Ok(Answer {
            took: clock.now().since(begin),
            ..answer
        })
    }

    /// A comment; an error if it was not shown.
    pub async fn comment(&mut self, text: &str) -> anyhow::Result<()> {
        let (id, comment) = (fresh_id(), fresh_id());
        let body = format!(
            "{{\"v\":1,\"id\":\"{id:016x}\",\"comments\":[{{\"id\":\"{comment:016x}\",\"t\":\"{text}\"}}]}}"
        );
        let answer = self.post("ix", &body).await?;
        if answer.status != 200 || !answer.body.contains("\"seq\"") {
            bail!("not shown: {} {}", answer.status, answer.body);
        }
        Ok(())
    }

    /// One request; the connection is opened again if the server has closed it.
    async fn post(&mut self, what: &str, body: &str) -> anyhow::Result<Answer> {
        let line = |name: &str, value: &str| {
            if value.is_empty() {
                String::new()
            } else {
                format!("{name}{value}\r\n")
            }
        };
        let request = format!(
            "POST {}{what} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}{}\r\n{body}",
            self.path,
            self.target.authority,
            body.len(),
            line("Authorization: Bearer ", &self.token),
            line(
                "X-Forwarded-For: ",
                self.forwarded.as_deref().unwrap_or_default()
            ),
        );
        let kept = self.connection.is_some();
        match self.exchange(&request).await {
            Err(_) if kept => {
                self.connection = None;
                self.exchange(&request).await
            }
            other => other,
        }
    }

    async fn exchange(&mut self, request: &str) -> anyhow::Result<Answer> {
        if self.connection.is_none() {
            self.connection = Some(self.target.connect(None).await?);
        }
        let connection = self.connection.as_mut().context("no connection")?;
        connection.write_all(request.as_bytes()).await?;
        let mut reader = Reader::default();
        reader.expect();
        let (mut answer, mut body) = (Answer::default(), Vec::new());
        let mut buffer = [0; 4_096];
        loop {
            let count = connection.read(&mut buffer).await?;
            if count == 0 {
                self.connection = None;
                bail!("the server closed the connection");
            }
            let mut bytes = &buffer[..count];
            while let Some(item) = reader.read(&mut bytes)? {
                match item {
                    Item::Head(head) => answer.status = head.status,
                    Item::Body(piece) => body.extend_from_slice(piece),
                    Item::End => {
                        answer.body = String::from_utf8_lossy(&body).into_owned();
                        return Ok(answer);
                    }
                }
            }
        }
    }
}

/// The colour of a viewer's hearts, as docs/ix.md says it.
fn colour_of(viewer: u64) -> usize {
    usize::try_from(viewer.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60).unwrap_or(0)
}
