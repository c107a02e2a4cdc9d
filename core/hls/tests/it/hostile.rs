//! The packager as a state machine under whatever may come.
//!
//! In → Out: arbitrary events → outputs that keep every rule of [`crate::audit`].
//! Spec: case ING-30.

use bytes::Bytes;
use hls::{
    Boundaries, Cut, Packager, PackagerConfig, Selection, Start, TsForm, Window, WindowConfig,
};
use media::{
    AccessUnit, Delta, DiscontinuityReason, Duration, EndReason, Epoch, Event, Msn, SegmentId,
    Timestamp, Track, TrackId, UnixTime,
};
use proptest::prelude::*;

use crate::audit::{Audit, Numbers};
use crate::studio::{ON_AIR, Show, audio_track, video_track};

/// What may happen next.
#[derive(Clone, Debug)]
enum Step {
    /// Time goes on by so many units of a track, more or less regularly.
    Units {
        track: u32,
        count: u16,
        step_micros: i64,
        jitter: Vec<i32>,
        gop: u16,
        late: i64,
    },
    /// One unit of anything.
    Unit {
        track: u32,
        dts: i64,
        offset: i64,
        wall: u64,
        random_access: bool,
        payload: Vec<u8>,
    },
    Tracks(u8),
    Jump(i64),
    Break,
    End,
    Cut {
        skip: u64,
        epochs: u32,
        pts: i64,
        shift: i64,
        discontinuity: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let jitter = prop::collection::vec(-20_000_i32..20_000, 1..5);
    let units = (
        1_u32..3,
        1_u16..200,
        5_000_i64..200_000,
        jitter,
        1_u16..120,
        -500_000_i64..500_000,
    )
        .prop_map(
            |(track, count, step_micros, jitter, gop, late)| Step::Units {
                track,
                count,
                step_micros,
                jitter,
                gop,
                late,
            },
        );
    let time = prop_oneof![any::<i64>(), -20_000_000_000_i64..200_000_000_000];
    let payload = prop::collection::vec(any::<u8>(), 0..60);
    let unit = (
        0_u32..4,
        time.clone(),
        any::<i64>(),
        any::<u64>(),
        any::<bool>(),
        payload,
    )
        .prop_map(
            |(track, dts, offset, wall, random_access, payload)| Step::Unit {
                track,
                dts,
                offset: offset % 30_000_000_000,
                wall,
                random_access,
                payload,
            },
        );
    let cut = (0_u64..3, 0_u32..2, time, any::<i64>(), any::<bool>()).prop_map(
        |(skip, epochs, pts, shift, discontinuity)| Step::Cut {
            skip,
            epochs,
            pts,
            shift: shift % 10_000,
            discontinuity,
        },
    );
    prop_oneof![
        12 => units,
        4 => unit,
        4 => (0_u8..8).prop_map(Step::Tracks),
        1 => (-60_000_i64..60_000).prop_map(Step::Jump),
        1 => Just(Step::Break),
        1 => Just(Step::End),
        2 => cut,
    ]
}

fn track_set(which: u8) -> Vec<Track> {
    let video = |width| video_track(width, 360, Some(Duration::from_nanos(33_333_333)));
    match which {
        0 => vec![],
        1 => vec![video(640)],
        2 => vec![audio_track(48_000)],
        3 => vec![video(640), audio_track(48_000)],
        4 => vec![audio_track(44_100), video(640)],
        5 => vec![video(360), audio_track(48_000)],
        6 => vec![
            video(640),
            video(360),
            audio_track(48_000),
            audio_track(44_100),
        ],
        _ => {
            // A configuration that nobody can mean, and two tracks with one number.
            let mut odd = video(640);
            odd.id = TrackId::AUDIO;
            vec![odd, audio_track(48_000)]
        }
    }
}

/// A clock for each track and the events of a step.
struct Stage {
    now_micros: [i64; 4],
    msn: u64,
    epoch: u32,
    shift_millis: i64,
}

impl Stage {
    fn events(&mut self, step: &Step) -> Vec<Event> {
        match step {
            Step::Units {
                track,
                count,
                step_micros,
                jitter,
                gop,
                late,
            } => {
                let mut clock = *self.now_micros.iter().max().unwrap_or(&0);
                let mut events = Vec::new();
                for index in 0..*count {
                    clock += step_micros;
                    let off = i64::from(jitter[usize::from(index) % jitter.len()]);
                    let dts = Timestamp::from_nanos((clock + late + off) * 1_000);
                    let wall = ON_AIR + Delta::from_nanos(clock.saturating_mul(1_000));
                    let random_access = *track == 2 || index % gop == 0;
                    let payload = crate::studio::nal(
                        if random_access { 0x65 } else { 0x41 },
                        80,
                        u64::from(index),
                    );
                    let track = TrackId(*track);
                    let duration = Some(Duration::from_nanos(step_micros.unsigned_abs() * 1_000));
                    let unit = AccessUnit {
                        track,
                        pts: dts,
                        dts,
                        duration,
                        wall,
                        random_access,
                        payload,
                    };
                    events.push(Event::Unit(unit));
                }
                self.now_micros[*track as usize] = clock;
                events
            }
            Step::Unit {
                track,
                dts,
                offset,
                wall,
                random_access,
                payload,
            } => {
                let dts = Timestamp::from_nanos(*dts);
                vec![Event::Unit(AccessUnit {
                    track: TrackId(*track),
                    pts: dts + Delta::from_nanos(*offset),
                    dts,
                    duration: None,
                    wall: UnixTime::from_nanos(*wall),
                    random_access: *random_access,
                    payload: Bytes::from(payload.clone()),
                })]
            }
            Step::Tracks(which) => vec![Event::Tracks(track_set(*which))],
            Step::Jump(millis) => {
                self.now_micros = self.now_micros.map(|now| now + millis * 1_000);
                vec![]
            }
            Step::Break => vec![Event::Discontinuity(DiscontinuityReason::Jump)],
            Step::End => vec![Event::End(EndReason::Lost)],
            Step::Cut { .. } => vec![],
        }
    }

    fn cut(&mut self, step: &Step) -> Option<Cut> {
        let Step::Cut {
            skip,
            epochs,
            pts,
            shift,
            discontinuity,
        } = step
        else {
            return None;
        };
        self.msn += 1 + skip;
        self.epoch += epochs;
        // A followed packager's times grow on the wire; that much a follower may rely on.
        self.shift_millis += shift.abs();
        Some(Cut {
            id: SegmentId {
                epoch: Epoch(self.epoch),
                msn: Msn(self.msn),
            },
            discontinuity: *discontinuity || *epochs > 0,
            program_date_time: ON_AIR + Duration::from_secs(self.msn),
            pts: Timestamp::from_nanos(*pts),
            audio_pts: Timestamp::from_nanos(*pts),
            shift: Delta::from_millis(self.shift_millis),
        })
    }
}

fn play(config: PackagerConfig, steps: &[Step]) {
    let numbers = if config.boundaries == Boundaries::Own {
        Numbers::Contiguous
    } else {
        Numbers::Growing
    };
    let mut packager = Packager::new(config, Start::default());
    let window = WindowConfig {
        segments_max: 8,
        length: Duration::from_secs(6),
        ..WindowConfig::default()
    };
    let mut window = Window::new(window, Start::default());
    let mut audit = Audit::new(numbers);
    let mut stage = Stage {
        now_micros: [0; 4],
        msn: 0,
        epoch: 1,
        shift_millis: 0,
    };
    let mut drain = |packager: &mut Packager| {
        let mut count = 0;
        while let Some(output) = packager.poll_output() {
            window.apply(&output);
            audit.output(&output);
            count += 1;
        }
        assert!(count < 5_000, "one event has bounded consequences");
        if count > 0 {
            audit.snapshot(&window.snapshot());
        }
    };
    for step in steps {
        if let Some(cut) = stage.cut(step) {
            packager.cut_at(cut);
        }
        for event in stage.events(step) {
            packager.handle_event(&event, UnixTime::from_nanos(u64::MAX));
            drain(&mut packager);
        }
    }
    packager.finish();
    drain(&mut packager);
    packager.handle_event(&Show::default().tracks(), ON_AIR);
    assert_eq!(packager.poll_output(), None, "nothing follows the end");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn ing_30_whatever_comes_the_output_keeps_the_rules(
        steps in prop::collection::vec(step(), 1..24),
        chunk in prop::option::of(1_u64..500),
        small in any::<bool>(),
    ) {
        let config = PackagerConfig {
            chunk: chunk.map(Duration::from_millis),
            segment_bytes_max: if small { 4_000 } else { 64 << 20 },
            ..PackagerConfig::default()
        };
        let steps: Vec<Step> = std::iter::once(Step::Tracks(3)).chain(steps).collect();
        play(config, &steps);
    }

    #[test]
    fn a_follower_keeps_the_rules_too(steps in prop::collection::vec(step(), 1..24), audio in any::<bool>()) {
        let config = PackagerConfig {
            selection: if audio { Selection::AudioOnly } else { Selection::All },
            boundaries: Boundaries::Follow,
            ts: TsForm::Omitted,
            ..PackagerConfig::default()
        };
        let steps: Vec<Step> = std::iter::once(Step::Tracks(3)).chain(steps).collect();
        play(config, &steps);
    }
}
