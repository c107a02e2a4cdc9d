//! What one access unit costs: cutting, writing, and the playlist that tells of it.
//!
//! In → Out: ten seconds of a synthetic broadcast → nanoseconds a unit (`cargo bench -p hls`).
//! Spec: design 6, "the origin's share".

#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

#[path = "../tests/it/audit.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod audit;
#[path = "../tests/it/studio.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::struct_excessive_bools,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the tests use all of it"
)]
mod studio;

use std::hint::black_box;
use std::time::Instant;

use hls::playlist::media::{MediaRequest, render};
use hls::{Packager, PackagerConfig, Start, TsForm, Window, WindowConfig};
use media::UnixTime;

use studio::{Rendition, Show};

/// Rounds of each measurement; the fastest counts, since everything else is the machine's doing.
const ROUNDS: usize = 30;

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn measure(name: &str, items: usize, mut work: impl FnMut()) {
    let mut rounds: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_nanos() / items as u128
        })
        .collect();
    rounds.sort_unstable();
    println!("{name}: {} ns, median {} ns", rounds[0], rounds[ROUNDS / 2]);
}

/// 30 pictures of 5 kB and 47 sounds a second.
fn package(name: &str, ts: TsForm) {
    let events = Show::default().session(10_000);
    let config = PackagerConfig {
        ts,
        ..PackagerConfig::default()
    };
    measure(name, events.len(), || {
        let mut packager = Packager::new(config.clone(), Start::default());
        let mut window = Window::new(WindowConfig::default(), Start::default());
        for event in &events {
            packager.handle_event(event, UnixTime::from_nanos(u64::MAX));
            while let Some(output) = packager.poll_output() {
                window.apply(&output);
                black_box(&output);
            }
        }
        black_box(window.snapshot());
    });
}

fn main() {
    package("packager, an access unit as fMP4", TsForm::Omitted);
    package("packager, an access unit as fMP4 and MPEG-TS", TsForm::Made);
    let mut rendition = Rendition::new(PackagerConfig::default());
    rendition.feed(&Show::default().session(40_100));
    let snapshot = rendition.window.snapshot();
    measure("a media playlist of 30 s", 1, || {
        black_box(render(black_box(&snapshot), &MediaRequest::default()));
    });
}
