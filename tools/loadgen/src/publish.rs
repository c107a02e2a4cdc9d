//! A synthetic publisher over a real RTMP connection.
//!
//! In → Out: settings → units sent at the times at which they happen, each picture stamped with the instant of its sending.
//! Spec: `rtmp::Publisher`; design "RTMP in".

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use media::{Timestamp, TrackId};
use rtmp::{Publisher, PublisherConfig, PublisherEvent};
use testkit::synthetic::{Settings, Synthetic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::clock::Clock;

/// How long a server may take to let a publisher in.
const ADMISSION_BUDGET: Duration = Duration::from_secs(10);

/// What is published, and where.
#[derive(Clone, Debug)]
pub struct Publishing {
    /// The server's RTMP address.
    pub address: SocketAddr,
    /// Stream name, with `?key=…` if any.
    pub name: String,
    /// Pictures and sound.
    pub settings: Settings,
    /// How long; for ever if `None`.
    pub length: Option<Duration>,
}

/// Publishes to the end of its length; fails if the server refuses, or cuts the connection.
pub async fn publish(what: &Publishing, clock: Clock) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(what.address)
        .await
        .context("the RTMP server cannot be reached")?;
    stream.set_nodelay(true)?;
    let mut machine = Publisher::new(PublisherConfig {
        name: what.name.clone(),
        tc_url: format!("rtmp://{}/live", what.address),
        ..PublisherConfig::default()
    });
    tokio::time::timeout(ADMISSION_BUDGET, admission(&mut stream, &mut machine))
        .await
        .context("the server did not let the publisher in")??;
    let source = Synthetic::new(what.settings);
    for (track, body) in source.configuration_bodies() {
        send(&mut machine, track, 0, body);
    }
    let result = feed(&mut stream, &mut machine, source, what, clock).await;
    let goodbye = machine.finish();
    if result.is_ok() {
        stream.write_all(&goodbye).await?;
        stream.shutdown().await?;
    }
    result
}

async fn admission(stream: &mut TcpStream, machine: &mut Publisher) -> anyhow::Result<()> {
    let mut buffer = [0; 4_096];
    while !machine.is_ready() {
        while let Some(bytes) = machine.poll_output() {
            stream.write_all(&bytes).await?;
        }
        refused(machine)?;
        if machine.is_ready() {
            break;
        }
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            bail!("the server closed the connection");
        }
        machine.handle_bytes(&buffer[..count])?;
    }
    Ok(())
}

fn refused(machine: &mut Publisher) -> anyhow::Result<()> {
    while let Some(event) = machine.poll_event() {
        if let PublisherEvent::Refused { code, description } = event {
            bail!("the server refused the publisher: {code} {description}");
        }
    }
    Ok(())
}

async fn feed(
    stream: &mut TcpStream,
    machine: &mut Publisher,
    mut source: Synthetic,
    what: &Publishing,
    clock: Clock,
) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut buffer = [0; 4_096];
    loop {
        let unit = source.next_unit();
        let at = Duration::from(unit.at.since(Timestamp::ZERO).magnitude());
        if what.length.is_some_and(|length| at >= length) {
            return Ok(());
        }
        tokio::time::sleep_until(start + at).await;
        let body = if unit.track == TrackId::VIDEO {
            unit.stamped_body(clock.now())
        } else {
            unit.message_body()
        };
        send(machine, unit.track, unit.millis(), body);
        while let Some(bytes) = machine.poll_output() {
            stream
                .write_all(&bytes)
                .await
                .context("the server cut the publisher off")?;
        }
        match stream.try_read(&mut buffer) {
            Ok(0) => bail!("the server closed the publisher's connection"),
            Ok(count) => machine.handle_bytes(&buffer[..count])?,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("the server cut the publisher off"),
        }
        refused(machine)?;
    }
}

fn send(machine: &mut Publisher, track: TrackId, millis: u32, body: bytes::Bytes) {
    if track == TrackId::AUDIO {
        machine.send_audio(millis, body);
    } else {
        machine.send_video(millis, body);
    }
}
