//! Runs one reference viewer over real connections.
//!
//! In → Out: a [`Target`] → [`Fact`]s as they happen.
//! Connections are kept and used again like a browser's; a request that is given up closes its connection.
//! Spec: RFC 9112 (HTTP/1.1).

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context;
use media::{Delta, UnixTime};
use testkit::http1::{Item, Reader};
use testkit::viewer::{Config, End, Fact, Head, Request, RequestId, Viewer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::target::{Connection, Target};

/// Messages from connections that may wait; a full queue slows the reading down, not the memory up.
const EVENTS_QUEUED: usize = 256;
/// The longest sleep when the machine wants none.
const IDLE_MAX: std::time::Duration = std::time::Duration::from_mins(1);
/// Read at once.
const READ_SIZE: usize = 64 << 10;

/// One viewer and its connections.
pub struct Watcher {
    target: Arc<Target>,
    clock: Clock,
    from: Option<IpAddr>,
    viewer: Viewer,
    lines: Vec<Line>,
    events: mpsc::Receiver<Event>,
    sender: mpsc::Sender<Event>,
}

/// A connection and its task.
struct Line {
    requests: mpsc::Sender<Request>,
    busy: Option<RequestId>,
    task: JoinHandle<()>,
}

struct Event {
    request: RequestId,
    at: UnixTime,
    what: What,
}

enum What {
    Head(Head),
    Body(Vec<u8>),
    End(End),
}

impl Watcher {
    /// A viewer that starts now.
    pub fn new(target: Arc<Target>, config: Config, clock: Clock, from: Option<IpAddr>) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_QUEUED);
        Self {
            viewer: Viewer::new(config, clock.now()),
            target,
            clock,
            from,
            lines: Vec::new(),
            events,
            sender,
        }
    }

    /// The machine.
    pub fn viewer(&mut self) -> &mut Viewer {
        &mut self.viewer
    }

    /// Goes on until the next fact; `None` when the broadcast is over. May be dropped and called again.
    pub async fn next_fact(&mut self) -> Option<Fact> {
        loop {
            if let Some(fact) = self.viewer.poll_fact() {
                return Some(fact);
            }
            self.obey();
            if self.viewer.is_ended() {
                return None;
            }
            let wait = self
                .viewer
                .next_timeout()
                .map(|time| self.clock.until(time));
            let wait = wait.unwrap_or(IDLE_MAX);
            tokio::select! {
                Some(event) = self.events.recv() => self.handle(event),
                () = tokio::time::sleep(wait) => self.viewer.handle_timeout(self.clock.now()),
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event.what {
            What::Head(head) => self.viewer.handle_head(event.request, &head, event.at),
            What::Body(bytes) => self.viewer.handle_body(event.request, &bytes, event.at),
            What::End(end) => {
                for line in self
                    .lines
                    .iter_mut()
                    .filter(|line| line.busy == Some(event.request))
                {
                    line.busy = None;
                }
                self.viewer.handle_end(event.request, end, event.at);
            }
        }
    }

    fn obey(&mut self) {
        while let Some(cancel) = self.viewer.poll_cancel() {
            self.lines.retain(|line| {
                let keep = line.busy != Some(cancel);
                if !keep {
                    line.task.abort();
                }
                keep
            });
        }
        self.lines
            .retain(|line| !line.task.is_finished() || line.busy.is_some());
        while let Some(request) = self.viewer.poll_request() {
            self.send(request);
        }
    }

    fn send(&mut self, mut request: Request) {
        let id = request.id;
        for line in self.lines.iter_mut().filter(|line| line.busy.is_none()) {
            match line.requests.try_send(request) {
                Ok(()) => {
                    line.busy = Some(id);
                    return;
                }
                // The server closed it meanwhile.
                Err(error) => request = error.into_inner(),
            }
        }
        let (requests, queue) = mpsc::channel(1);
        // The queue is empty and holds one.
        let _ = requests.try_send(request);
        let worker = Worker {
            target: Arc::clone(&self.target),
            clock: self.clock,
            from: self.from,
            events: self.sender.clone(),
        };
        let task = tokio::spawn(worker.run(queue));
        self.lines.push(Line {
            requests,
            busy: Some(id),
            task,
        });
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        for line in &self.lines {
            line.task.abort();
        }
    }
}

/// What the task of one connection needs.
struct Worker {
    target: Arc<Target>,
    clock: Clock,
    from: Option<IpAddr>,
    events: mpsc::Sender<Event>,
}

/// How a request on a connection went.
enum Outcome {
    /// Cleanly; the connection can be used again.
    Reusable,
    /// Cleanly, by closing.
    Closed,
    /// The server had closed the connection before it saw the request.
    Stale,
    /// Cut off.
    Aborted,
}

impl Worker {
    async fn run(self, mut queue: mpsc::Receiver<Request>) {
        let mut connection: Option<Box<dyn Connection>> = None;
        let mut reader = Reader::default();
        while let Some(request) = queue.recv().await {
            let mut outcome = Outcome::Stale;
            if let Some(open) = &mut connection {
                outcome = self.exchange(open, &mut reader, &request).await;
            }
            if matches!(outcome, Outcome::Stale) {
                outcome = Outcome::Aborted;
                reader = Reader::default();
                connection = self.target.connect(self.from).await.ok();
                if let Some(open) = &mut connection {
                    outcome = self.exchange(open, &mut reader, &request).await;
                }
            }
            let end = if matches!(outcome, Outcome::Reusable | Outcome::Closed) {
                End::Clean
            } else {
                End::Aborted
            };
            self.tell(request.id, What::End(end)).await;
            if !matches!(outcome, Outcome::Reusable) {
                return;
            }
        }
    }

    async fn exchange(
        &self,
        connection: &mut Box<dyn Connection>,
        reader: &mut Reader,
        request: &Request,
    ) -> Outcome {
        let head = self.target.request(&request.path);
        if connection.write_all(head.as_bytes()).await.is_err() {
            return Outcome::Stale;
        }
        reader.expect();
        let mut buffer = vec![0; READ_SIZE];
        let mut seen = false;
        loop {
            let Ok(count @ 1..) = connection.read(&mut buffer).await else {
                return match (seen, reader.may_close()) {
                    (true, true) => Outcome::Closed,
                    (true, false) => Outcome::Aborted,
                    (false, _) => Outcome::Stale,
                };
            };
            seen = true;
            let at = self.clock.now();
            let mut bytes = &buffer[..count];
            loop {
                let what = match reader.read(&mut bytes) {
                    Ok(Some(Item::Head(head))) => What::Head(head),
                    Ok(Some(Item::Body(body))) => What::Body(body.to_vec()),
                    Ok(Some(Item::End)) => return Outcome::Reusable,
                    Ok(None) => break,
                    Err(_) => return Outcome::Aborted,
                };
                let request = request.id;
                // Nobody listens any more when the viewer is gone.
                let _ = self.events.send(Event { request, at, what }).await;
            }
        }
    }

    async fn tell(&self, request: RequestId, what: What) {
        let at = self.clock.now();
        let _ = self.events.send(Event { request, at, what }).await;
    }
}

/// One `GET` on a connection of its own: status and body.
pub async fn get(target: &Target, path: &str) -> anyhow::Result<(u16, Vec<u8>)> {
    const BODY_MAX: usize = 16 << 20;
    let mut connection = target
        .connect(None)
        .await
        .with_context(|| format!("{} cannot be reached", target.authority))?;
    connection
        .write_all(target.request(path).as_bytes())
        .await?;
    let mut reader = Reader::default();
    reader.expect();
    let (mut status, mut body) = (0, Vec::new());
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let count = connection.read(&mut buffer).await?;
        let mut bytes = &buffer[..count];
        while let Some(item) = reader.read(&mut bytes)? {
            match item {
                Item::Head(head) => status = head.status,
                Item::Body(piece) => body.extend_from_slice(piece),
                Item::End => return Ok((status, body)),
            }
        }
        if count == 0 {
            anyhow::ensure!(
                reader.may_close() && status != 0,
                "the response to {path} was cut off"
            );
            return Ok((status, body));
        }
        anyhow::ensure!(body.len() <= BODY_MAX, "the response to {path} is too long");
    }
}

/// How far the server's clock is ahead of this machine's, from the quickest of a few questions; `None` if it does not tell.
pub async fn clock_offset(target: &Target) -> Option<Delta> {
    let clock = Clock::new(Delta::ZERO);
    let mut best: Option<(Delta, Delta)> = None;
    for _ in 0..4 {
        let asked = clock.now();
        let (status, body) = get(target, "/api/v1/time").await.ok()?;
        let waited = clock.now().since(asked);
        if status != 200 {
            return None;
        }
        let value: serde_json::Value = serde_json::from_slice(&body).ok()?;
        let millis = value.get("unix_ms")?.as_f64()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates on nonsense"
        )]
        let server = UnixTime::from_nanos((millis * 1e6) as u64);
        let middle = asked + Delta::from_nanos(waited.as_nanos() / 2);
        if best.is_none_or(|(shortest, _)| waited < shortest) {
            best = Some((waited, server.since(middle)));
        }
    }
    best.map(|(_, offset)| offset)
}
