//! Listens for RTMP publishers and prints what a broadcast would get.
//!
//! In → Out: `cargo run -p ingest --example listen -- 127.0.0.1:1935` → one line an event. Names that begin with `no`
//! are refused.
//! Spec: none; a tool for trying encoders by hand.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a tool for the terminal"
)]

use std::sync::Arc;

use futures_util::future::BoxFuture;
use ingest::{Admission, Gate, PublishRequest, Refusal, RefusalCode, RtmpConfig, spawn_rtmp};
use media::{BroadcastId, Event, UnixTime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

struct Print;

impl Gate for Print {
    fn admit(&self, request: PublishRequest) -> BoxFuture<'_, Result<Admission, Refusal>> {
        Box::pin(async move {
            println!("{request:?}");
            if request.name.starts_with("no") {
                return Err(Refusal::new(
                    RefusalCode::Unauthorized,
                    "The stream key is not known here.",
                ));
            }
            let (events, mut receiver) = mpsc::channel(64);
            let (keep, feedback) = mpsc::channel(1);
            tokio::spawn(async move {
                while let Some(event) = receiver.recv().await {
                    print(event);
                }
                drop(keep);
            });
            Ok(Admission {
                broadcast: BroadcastId::parse("example").unwrap(),
                events,
                feedback,
            })
        })
    }
}

fn print(event: Event) {
    match event {
        Event::Unit(unit) => {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
            let age = UnixTime::from_nanos(u64::try_from(now.as_nanos()).unwrap()).since(unit.wall);
            println!(
                "{} dts {:.4} pts {:.4} dur {:?} {} {} B, {:.1} ms old",
                unit.track.0,
                unit.dts.as_nanos() as f64 / 1e9,
                unit.pts.as_nanos() as f64 / 1e9,
                unit.duration.map(|duration| duration.as_nanos() / 1_000),
                if unit.random_access { "K" } else { "-" },
                unit.payload.len(),
                age.as_nanos() as f64 / 1e6,
            );
        }
        other => println!("{other:?}"),
    }
}

#[tokio::main]
async fn main() {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:1935".into());
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    println!("listening on {}", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let server = spawn_rtmp(
        listener,
        RtmpConfig::default(),
        Arc::new(Print),
        shutdown.clone(),
    );
    tokio::signal::ctrl_c().await.unwrap();
    shutdown.cancel();
    server.await.unwrap();
}
