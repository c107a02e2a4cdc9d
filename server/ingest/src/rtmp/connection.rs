//! One RTMP connection: its socket, its session machine, and the broadcast that it feeds.
//!
//! In → Out: bytes from the socket → session → FLV demuxer → [`Event`]s on the broadcast's channel. Whatever cannot go on
//! ends in one place, which tells the broadcast, tells the encoder, and closes.
//! Order of waking: shutdown, feedback, bytes, deadline.
//! Spec: Adobe RTMP 1.0.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use formats::container::flv::demux::{Demuxer, FlvError, Metadata, Notice};
use media::{EndReason, Event, Feedback, Rotation, Track, UnixTime};
use rtmp::amf0::Value;
use rtmp::chunk::Limits;
use rtmp::{Publish, Session, StatusCode};
use tokio::io::{AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::policer::Policer;
use super::{Context, Pictures};
use crate::accept::{Admission, Protocol, PublishRequest, Refusal, RefusalCode, SessionId};
use crate::metrics;

/// A connection, owned by its task.
pub(super) struct Connection {
    context: Arc<Context>,
    stream: TcpStream,
    peer: SocketAddr,
    session: Session,
    policer: Policer,
    started: Instant,
    /// Wall-clock time of `started`: arrival times follow the monotonic clock from there.
    started_at: UnixTime,
}

/// Why a connection ends.
#[derive(Debug)]
enum Leave {
    /// The peer closed, vanished or fell silent.
    Lost,
    /// The peer broke the protocol.
    Broken(rtmp::Error),
    /// The peer is to be told why it cannot go on.
    Refused(Refusal),
    /// The broadcast or the process wants it to end.
    Stopped(EndReason),
}

impl From<io::Error> for Leave {
    fn from(_: io::Error) -> Self {
        Self::Lost
    }
}

impl From<rtmp::Error> for Leave {
    fn from(error: rtmp::Error) -> Self {
        match error {
            rtmp::Error::Timeout(_) => Self::Lost,
            error => Self::Broken(error),
        }
    }
}

/// How much is read at once. On the stack: an idle connection holds no buffer.
const READ_SIZE: usize = 16 * 1024;
/// How long a peer may take to read what we send; it is never much.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the gate may think.
const GATE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a refused peer gets to read why: closing earlier, with its data unread, would reset the connection.
const LINGER: Duration = Duration::from_secs(2);

impl Connection {
    pub(super) fn new(context: Arc<Context>, stream: TcpStream, peer: SocketAddr) -> Self {
        let config = &context.config;
        let session = rtmp::Config {
            limits: Limits {
                message_bytes_max: config.message_max_bytes,
                partial_bytes_max: config
                    .message_max_bytes
                    .saturating_add(config.message_max_bytes / 2),
                ..Limits::default()
            },
            handshake_timeout: config.handshake_timeout,
            silence_timeout: config.silence_timeout,
            message_timeout: config.silence_timeout * 3,
            ..rtmp::Config::default()
        };
        let seed = RandomState::new().hash_one(peer);
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            session: Session::new(session, seed, Duration::ZERO),
            policer: Policer::new(
                config.bitrate_max_bps,
                config.burst_max_bytes,
                Duration::ZERO,
            ),
            context,
            stream,
            peer,
            started: Instant::now(),
            started_at: UnixTime::from_nanos(u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX)),
        }
    }

    /// Completes the handshake. Returns whether the connection goes on.
    pub(super) async fn handshake(&mut self) -> bool {
        let deadline = self.started + self.context.config.handshake_timeout;
        let mut outcome = tokio::select! {
            biased;
            () = self.context.shutdown.cancelled() => Err(Leave::Stopped(EndReason::Stopped)),
            () = tokio::time::sleep_until(deadline) => Err(Leave::Lost),
            hello = await_hello(&self.stream) => hello,
        };
        while outcome.is_ok() && !self.session.is_connected() {
            outcome = self.step(None).await;
        }
        if let Err(leave) = &outcome {
            tracing::debug!(peer = %self.peer, ?leave, "RTMP handshake failed");
            metrics::handshake_failed();
        }
        outcome.is_ok()
    }

    /// Serves what the peer publishes, one publication after the other, until it leaves.
    pub(super) async fn run(mut self) {
        let leave = loop {
            if let Some(event) = self.session.poll_event() {
                if let rtmp::Event::Publish(publish) = event
                    && let Err(leave) = self.publish(publish).await
                {
                    break leave;
                }
                continue;
            }
            if let Err(leave) = self.step(None).await {
                break leave;
            }
        };
        match &leave {
            Leave::Lost => {}
            Leave::Broken(error) => {
                tracing::info!(peer = %self.peer, %error, "RTMP peer broke the protocol");
                metrics::protocol_error();
                self.session.refuse(
                    StatusCode::Rejected,
                    &format!("RTMP cannot be read: {error}."),
                );
            }
            Leave::Refused(refusal) => self.session.refuse(status(refusal.code), &refusal.message),
            Leave::Stopped(reason) => self.session.refuse(StatusCode::Rejected, farewell(*reason)),
        }
        if self.flush().await.is_ok() && !matches!(leave, Leave::Lost) {
            self.linger().await;
        }
    }

    /// Asks the gate, then feeds the broadcast until the publication ends. `Ok` when the peer may publish again.
    async fn publish(&mut self, publish: Publish) -> Result<(), Leave> {
        let session = SessionId::next();
        let request = request(&publish, self.peer, session);
        let app = request.app.clone();
        let answer = tokio::select! {
            biased;
            () = self.context.shutdown.cancelled() => return Err(Leave::Stopped(EndReason::Stopped)),
            answer = tokio::time::timeout(GATE_TIMEOUT, self.context.gate.admit(request)) => answer,
        };
        let slow = |_| {
            Err(Refusal::new(
                RefusalCode::Internal,
                "The server took too long to decide; try again.",
            ))
        };
        let mut admission = match answer.unwrap_or_else(slow) {
            Ok(admission) => admission,
            Err(refusal) => {
                // The name may be a stream key: it is not for the log.
                tracing::info!(peer = %self.peer, app, code = refusal.code.as_str(), "publisher refused");
                metrics::refusal(refusal.code);
                return Err(Leave::Refused(refusal));
            }
        };
        let _live = metrics::PublisherLive::new(Protocol::Rtmp);
        let broadcast = admission.broadcast.clone();
        tracing::info!(%broadcast, %session, peer = %self.peer, "publisher accepted");
        self.session.accept(self.now());
        let mut demuxer = Demuxer::new();
        let outcome = self.feed(&mut demuxer, &mut admission).await;
        let reason = match &outcome {
            Ok(()) => EndReason::Finished,
            Err(Leave::Lost) => EndReason::Lost,
            Err(Leave::Broken(_) | Leave::Refused(_)) => EndReason::Refused,
            Err(Leave::Stopped(reason)) => *reason,
        };
        if let Err(Leave::Refused(refusal)) = &outcome {
            metrics::refusal(refusal.code);
        }
        tracing::info!(%broadcast, %session, ?reason, cause = ?outcome.as_ref().err(), "publisher ended");
        metrics::ended(reason);
        metrics::dropped(demuxer.dropped());
        self.end(demuxer, &admission, reason).await;
        outcome
    }

    /// Moves media from the socket to the broadcast. `Ok` when the peer ends its publication properly.
    async fn feed(
        &mut self,
        demuxer: &mut Demuxer,
        admission: &mut Admission,
    ) -> Result<(), Leave> {
        loop {
            let arrival = self.started_at + media::Duration::from(self.now());
            while let Some(event) = self.session.poll_event() {
                match event {
                    rtmp::Event::Audio(media) => {
                        demuxer.handle_audio(media.timestamp, &media.payload, arrival)?;
                    }
                    rtmp::Event::Video(media) => {
                        demuxer.handle_video(media.timestamp, &media.payload, arrival)?;
                    }
                    rtmp::Event::Metadata(value) => demuxer.handle_metadata(metadata(&value)),
                    rtmp::Event::Unpublish => return Ok(()),
                    rtmp::Event::Publish(_) => {}
                }
                while let Some(notice) = demuxer.poll_notice() {
                    log_notice(&notice, admission);
                }
                while let Some(event) = demuxer.poll_event() {
                    self.context.config.pictures.check(&event)?;
                    self.send(event, admission).await?;
                }
            }
            self.step(Some(&mut admission.feedback)).await?;
        }
    }

    /// Hands an event to the broadcast, waiting while its channel is full.
    async fn send(&mut self, event: Event, admission: &mut Admission) -> Result<(), Leave> {
        let event = match admission.events.try_send(event) {
            Ok(()) => return Ok(()),
            Err(tokio::sync::mpsc::error::TrySendError::Full(event)) => event,
            Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) => {
                return Err(Leave::Stopped(EndReason::Stopped));
            }
        };
        let outcome = tokio::select! {
            biased;
            () = self.context.shutdown.cancelled() => Err(Leave::Stopped(EndReason::Stopped)),
            reason = stop_signal(Some(&mut admission.feedback)) => Err(Leave::Stopped(reason)),
            sent = admission.events.send(event) => sent.map_err(|_| Leave::Stopped(EndReason::Stopped)),
        };
        self.session.handle_pause(self.now());
        outcome
    }

    /// Tells the broadcast that the session is over, with what was still waiting.
    async fn end(&self, demuxer: Demuxer, admission: &Admission, reason: EndReason) {
        for event in demuxer.finish().chain([Event::End(reason)]) {
            // A broadcast that reads no more for so long has its own end in sight.
            if tokio::time::timeout(WRITE_TIMEOUT, admission.events.send(event))
                .await
                .is_err()
            {
                return;
            }
        }
    }

    /// Sends what is to be sent, waits for bytes, and hands them to the session.
    async fn step(
        &mut self,
        feedback: Option<&mut tokio::sync::mpsc::Receiver<Feedback>>,
    ) -> Result<(), Leave> {
        self.flush().await?;
        let deadline = self.session.next_timeout().map(|at| self.started + at);
        let wait = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.context.shutdown.cancelled() => return Err(Leave::Stopped(EndReason::Stopped)),
            reason = stop_signal(feedback) => return Err(Leave::Stopped(reason)),
            ready = self.stream.readable() => ready?,
            () = wait => return Ok(self.session.handle_timeout(self.now())?),
        }
        let now = self.now();
        let count = self.read(now)?;
        metrics::bytes(count);
        if let Some(pause) = self.policer.handle_read(count, now) {
            metrics::throttled();
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// Reads what is there. Not async, so that the buffer lives on the stack and not in the task.
    fn read(&mut self, now: Duration) -> Result<usize, Leave> {
        let mut buffer = [0; READ_SIZE];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => Err(Leave::Lost),
            Ok(count) => {
                self.session.handle_bytes(&buffer[..count], now)?;
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        while let Some(bytes) = self.session.poll_output() {
            tokio::time::timeout(WRITE_TIMEOUT, self.stream.write_all(&bytes)).await??;
        }
        Ok(())
    }

    /// Gives the peer time to read the last message, throwing away what it still sends.
    async fn linger(&mut self) {
        let _ = self.stream.shutdown().await;
        let drain = async {
            let mut scrap = [0; 1_024];
            while self.stream.readable().await.is_ok() {
                match self.stream.try_read(&mut scrap) {
                    Ok(0) => return,
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                    _ => {}
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, drain).await;
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Waits until the first packet of the handshake lies in the socket's buffer, or something else that ends it. Until then
/// nothing is read, so that a peer that sends half of it costs no memory of ours.
async fn await_hello(stream: &TcpStream) -> Result<(), Leave> {
    loop {
        if stream.ready(Interest::READABLE).await?.is_read_closed() {
            return Err(Leave::Lost);
        }
        let peeked = stream.try_io(Interest::READABLE, || {
            let mut hello = [0; HELLO_SIZE];
            let mut hello = ReadBuf::new(&mut hello);
            let Poll::Ready(count) =
                stream.poll_peek(&mut TaskContext::from_waker(Waker::noop()), &mut hello)
            else {
                return Err(io::ErrorKind::Interrupted.into());
            };
            // What cannot be RTMP is for the session to refuse, at once.
            let other = hello
                .filled()
                .first()
                .is_some_and(|first| *first != VERSION);
            let complete = count? == HELLO_SIZE || other;
            // "Would block" makes the runtime wait for more.
            if complete {
                Ok(())
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            }
        });
        match peeked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                tokio::task::yield_now().await;
            }
            other => return Ok(other?),
        }
    }
}

/// C0 and C1.
const HELLO_SIZE: usize = 1 + 1_536;
/// What C0 is for all encoders known.
const VERSION: u8 = 3;

/// Waits until the broadcast wants the session to end.
async fn stop_signal(feedback: Option<&mut tokio::sync::mpsc::Receiver<Feedback>>) -> EndReason {
    let Some(feedback) = feedback else {
        return std::future::pending().await;
    };
    loop {
        match feedback.recv().await {
            // RTMP has no way to ask an encoder for a random access point.
            Some(Feedback::KeyframeNeeded) => {}
            Some(Feedback::Stop(reason)) => return reason,
            None => return EndReason::Stopped,
        }
    }
}

/// Splits application and stream name as encoders of all habits send them.
fn request(publish: &Publish, peer: SocketAddr, session: SessionId) -> PublishRequest {
    let split = |text: &str| match text.split_once('?') {
        Some((text, query)) => (text.trim_matches('/').to_owned(), Some(query.to_owned())),
        None => (text.trim_matches('/').to_owned(), None),
    };
    let (mut app, app_query) = split(&publish.app);
    let (mut name, query) = split(&publish.name);
    // Encoders with a single field for the whole URL leave the name in the application.
    if name.is_empty()
        && let Some((before, after)) = app.rsplit_once('/')
    {
        (name, app) = (after.to_owned(), before.to_owned());
    }
    PublishRequest {
        protocol: Protocol::Rtmp,
        peer,
        app,
        name,
        query: query.or(app_query),
        session,
    }
}

impl Pictures {
    /// Refuses tracks whose picture is not taken.
    fn check(self, event: &Event) -> Result<(), Leave> {
        let (Self::ForBrowsers, Event::Tracks(tracks)) = (self, event) else {
            return Ok(());
        };
        if let Some(video) = tracks
            .iter()
            .filter_map(Track::video)
            .find(|video| !video.is_for_browsers())
        {
            return Err(Leave::Refused(Refusal::new(
                RefusalCode::Unsupported,
                format!(
                    "The picture ({}) has more than 8 bits or more colour than 4:2:0, which browsers cannot decode, and this server does not encode it anew: set the encoder to the High profile with 8 bit 4:2:0.",
                    video.codec_string
                ),
            )));
        }
        Ok(())
    }
}

impl From<FlvError> for Leave {
    fn from(error: FlvError) -> Self {
        let code = match error {
            FlvError::Codec(_) | FlvError::Multitrack(_) => RefusalCode::Unsupported,
            FlvError::Video(_) | FlvError::Audio(_) => RefusalCode::BadMedia,
        };
        Self::Refused(Refusal::new(code, error.to_string()))
    }
}

fn log_notice(notice: &Notice, admission: &Admission) {
    let broadcast = &admission.broadcast;
    match notice {
        Notice::AudioRefused(error) => {
            tracing::warn!(%broadcast, %error, "audio track refused; the picture goes on");
        }
        Notice::VideoConfigIgnored(error) => {
            tracing::warn!(%broadcast, %error, "video configuration ignored");
        }
    }
}

/// The RTMP status in which a refusal reaches the encoder.
const fn status(code: RefusalCode) -> StatusCode {
    match code {
        RefusalCode::InUse => StatusCode::BadName,
        RefusalCode::BadName | RefusalCode::Unauthorized | RefusalCode::NotFound => {
            StatusCode::Denied
        }
        RefusalCode::Limit
        | RefusalCode::Unsupported
        | RefusalCode::BadMedia
        | RefusalCode::ShuttingDown
        | RefusalCode::Internal => StatusCode::Rejected,
    }
}

const fn farewell(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Finished => "The broadcast has ended.",
        EndReason::Lost => "The connection was taken for lost.",
        EndReason::Replaced => "A newer session with the same stream key has taken over.",
        EndReason::Refused => "The stream cannot be taken.",
        EndReason::Stopped => "The server has ended this session; it may be shutting down.",
    }
}

/// What `onMetaData` says of the tracks.
fn metadata(value: &Value) -> Metadata {
    let has = |keys: [&str; 2]| keys.iter().find_map(|key| value.field(key));
    let promised = |flag: &str, codec: &str| match has([flag, codec]) {
        Some(Value::Boolean(flag)) => Some(*flag),
        Some(Value::Number(id)) => Some(*id > 0.0),
        Some(Value::String(name)) => Some(!name.is_empty()),
        _ => None,
    };
    let rate = has(["framerate", "videoframerate"]).and_then(Value::as_number);
    let frame_duration = rate
        .filter(|rate| (0.5..=300.0).contains(rate))
        .map(|rate| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 3 ms and 2 s in nanoseconds"
            )]
            let nanos = (1e9 / rate).round() as u64;
            media::Duration::from_nanos(nanos)
        });
    Metadata {
        video: promised("hasVideo", "videocodecid"),
        audio: promised("hasAudio", "audiocodecid"),
        frame_duration,
        rotation: has(["rotation", "rotate"])
            .and_then(Value::as_number)
            .map_or(Rotation::None, rotation),
    }
}

/// Degrees clockwise, as phones write them; what is not a quarter turn is none.
fn rotation(degrees: f64) -> Rotation {
    let near = |quarter: f64| (degrees.rem_euclid(360.0) - quarter).abs() < 1.0;
    if near(90.0) {
        Rotation::Clockwise90
    } else if near(180.0) {
        Rotation::Half
    } else if near(270.0) {
        Rotation::Clockwise270
    } else {
        Rotation::None
    }
}
