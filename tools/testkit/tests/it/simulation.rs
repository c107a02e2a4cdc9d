//! What viewers see over good and bad links, and across a publisher's return.
//!
//! In → Out: scenarios → tallies; a snapshot table of latency and stalls over chunk duration, loss and round trip.
//! Spec: design "Segments", "The player".

use hls::PackagerConfig;
use media::Duration;
use testkit::link::LinkConfig;
use testkit::simulation::{Scenario, run};
use testkit::synthetic::Settings;
use testkit::viewer::{PlayoutConfig, Tally};

fn scenario() -> Scenario {
    Scenario {
        settings: Settings {
            picture_bytes: 5_700,
            ..Settings::default()
        },
        packager: PackagerConfig::default(),
        link: LinkConfig {
            delay: Duration::from_millis(20),
            jitter: Duration::ZERO,
            loss_per_million: 0,
            rate_bps: 20_000_000,
        },
        join_at: Duration::from_millis(5_300),
        length: Duration::from_secs(35),
        absence: None,
        playout: PlayoutConfig::default(),
        seed: 1,
    }
}

#[test]
fn a_viewer_on_a_clean_link_sees_every_frame_in_time() {
    let tally = run(&scenario());
    assert_eq!(tally.faults, Vec::<String>::new());
    assert_eq!(
        (tally.joined, tally.stalls, tally.gaps, tally.resyncs),
        (1, 0, 0, 0)
    );
    let late = tally.lateness.percentiles();
    assert!(late.count > 850 && late.p99 < 30.0, "{late:?}");
    let join = tally.join.percentiles();
    assert!(
        join.max < 200.0,
        "three round trips and the segment so far: {join:?}"
    );
}

#[test]
fn a_viewer_carries_on_when_the_publisher_returns() {
    let mut scenario = scenario();
    scenario.absence = Some((Duration::from_millis(20_400), Duration::from_millis(23_100)));
    let tally = run(&scenario);
    assert_eq!(tally.faults, Vec::<String>::new());
    assert_eq!((tally.epochs, tally.gaps), (1, 0));
    // 27 s without the absence, at 30 pictures a second.
    assert!(tally.lateness.percentiles().count > 770);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let mut scenario = scenario();
    scenario.link.loss_per_million = 20_000;
    let text = |tally: &Tally| format!("{:?} {:?}", tally.lateness.percentiles(), tally.stalled);
    assert_eq!(text(&run(&scenario)), text(&run(&scenario)));
}

#[test]
fn latency_and_stalls_over_chunk_duration_loss_and_round_trip() {
    let mut table = String::from(
        "chunk  loss  rtt | late p50    p99    max | shown p50    p99 | stalls  ms | join\n",
    );
    for chunk in [None, Some(100), Some(200), Some(500)] {
        for loss in [0, 5_000, 20_000] {
            for rtt in [20, 100] {
                let mut scenario = scenario();
                scenario.packager.chunk = chunk.map(Duration::from_millis);
                scenario.link.loss_per_million = loss;
                scenario.link.delay = Duration::from_millis(rtt / 2);
                scenario.link.jitter = Duration::from_millis(5);
                scenario.playout.buffer = Duration::from_millis(100 + chunk.unwrap_or(33));
                table.push_str(&row(chunk, loss, rtt, &run(&scenario)));
            }
        }
    }
    insta::assert_snapshot!(table);
}

fn row(chunk: Option<u64>, loss: u32, rtt: u64, tally: &Tally) -> String {
    let late = tally.lateness.percentiles();
    let shown = tally.play_delay.percentiles();
    let chunk = chunk.map_or("frame".to_owned(), |chunk| chunk.to_string());
    assert_eq!(tally.faults, Vec::<String>::new());
    format!(
        "{chunk:>5} {:>3}.{} % {rtt:>4} | {:>8.0} {:>6.0} {:>6.0} | {:>9.0} {:>6.0} | {:>6} {:>5} | {:>4.0}\n",
        loss / 10_000,
        loss / 1_000 % 10,
        late.p50,
        late.p99,
        late.max,
        shown.p50,
        shown.p99,
        tally.stalls,
        tally.stalled.as_millis(),
        tally.join.percentiles().max,
    )
}
