//! Many small rooms on one server: what an idle one costs.
//!
//! In → Out: two thousand rooms that nobody is in → the memory of this process, which holds nothing else.
//! Spec: docs/ix.md; case IX-22.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use delivery::{Live, LiveConfig, LiveWriter};
use interaction::{Config, OnAir, Rooms};
use media::BroadcastId;
use tokio_util::sync::CancellationToken;

struct Many(Vec<Arc<Live>>);

impl OnAir for Many {
    fn broadcasts(&self) -> Vec<Arc<Live>> {
        self.0.clone()
    }

    fn is_broadcaster<'a>(
        &'a self,
        _: &'a BroadcastId,
        _: &'a str,
        _: IpAddr,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(std::future::ready(false))
    }
}

/// Resident memory of this process in bytes.
fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

#[tokio::test]
async fn ix_22_an_idle_room_takes_less_than_thirty_kilobytes() {
    const ROOMS: u64 = 2_000;
    let data = std::env::temp_dir().join(format!("nearcast-room-{}-idle", std::process::id()));
    std::fs::create_dir_all(&data).unwrap();
    let (writers, lives): (Vec<LiveWriter>, Vec<Arc<Live>>) = (0..ROOMS)
        .map(|number| {
            LiveWriter::new(
                BroadcastId::parse(&format!("show-{number}")).unwrap(),
                LiveConfig::default(),
            )
        })
        .unzip();
    let before = memory();
    let stop = CancellationToken::new();
    let (rooms, keeper) = Rooms::spawn_rooms(
        Config::new(data.clone()),
        Arc::new(Many(lives)),
        stop.clone(),
    )
    .unwrap();
    let opened = async {
        while rooms.count() < 2_000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), opened)
        .await
        .unwrap();
    // Each task has run once.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let each = memory().saturating_sub(before) / ROOMS;
    assert!(each <= 30_000, "{each} bytes a room");
    drop(writers);
    stop.cancel();
    keeper.await.unwrap();
    std::fs::remove_dir_all(&data).unwrap();
}
