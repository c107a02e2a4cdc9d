//! A synthetic publisher over a real RTMP connection, in real pace.
//!
//! In → Out: synthetic H.264 and AAC → the server's RTMP port; what the server says back.
//! Spec: Adobe RTMP 1.0.

use std::net::SocketAddr;

use media::TrackId;
use rtmp::{Publisher, PublisherConfig, PublisherEvent};
use testkit::synthetic::{Settings, Synthetic};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::process::LIMIT;

/// Starts to publish; the task ends with what the server said last: `None` if the connection just closed.
pub(crate) fn publish(server: SocketAddr, name: &str) -> JoinHandle<Option<PublisherEvent>> {
    // Half a second from one random access point to the next, so that nothing takes long.
    let settings = Settings {
        gop: 15,
        ..Settings::default()
    };
    publish_with(server, name, settings)
}

/// The same with other pictures.
pub(crate) fn publish_with(
    server: SocketAddr,
    name: &str,
    settings: Settings,
) -> JoinHandle<Option<PublisherEvent>> {
    tokio::spawn(send(server, name.to_owned(), settings))
}

/// Publishes until the server refuses, stops us or goes away.
async fn send(server: SocketAddr, name: String, settings: Settings) -> Option<PublisherEvent> {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let mut publisher = Publisher::new(PublisherConfig {
        name,
        ..PublisherConfig::default()
    });
    let mut synthetic = Synthetic::new(settings);
    let mut next = None;
    let mut began = None;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        while let Some(bytes) = publisher.poll_output() {
            if stream.write_all(&bytes).await.is_err() {
                return None;
            }
        }
        if let Some(event) = publisher.poll_event() {
            match event {
                PublisherEvent::Ready => {
                    for (track, body) in synthetic.configuration_bodies() {
                        send_body(&mut publisher, track, 0, body);
                    }
                    began = Some(Instant::now());
                    continue;
                }
                PublisherEvent::Refused { .. } => return Some(event),
            }
        }
        let due = began.map(|began| {
            let unit = next.get_or_insert_with(|| synthetic.next_unit());
            began + std::time::Duration::from_nanos(unit.at.as_nanos().unsigned_abs())
        });
        tokio::select! {
            read = stream.read(&mut buffer) => match read {
                Ok(count) if count > 0 => publisher.handle_bytes(&buffer[..count]).unwrap(),
                _ => return None,
            },
            () = tokio::time::sleep_until(due.unwrap_or_else(|| Instant::now() + LIMIT)) => {
                let unit = next.take().expect("something was due");
                send_body(&mut publisher, unit.track, unit.millis(), unit.message_body());
            }
        }
    }
}

fn send_body(publisher: &mut Publisher, track: TrackId, millis: u32, body: bytes::Bytes) {
    if track == TrackId::AUDIO {
        publisher.send_audio(millis, body);
    } else {
        publisher.send_video(millis, body);
    }
}
