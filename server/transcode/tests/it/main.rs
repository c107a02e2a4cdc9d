//! The transcoder with a real ffmpeg: real pictures in, real rungs out, and processes that die.
//!
//! In → Out: an encoded test picture as a source's events → what each rung says.
//! Spec: cases PKG-03; issue "Every viewer's own quality".

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hls::ladder::{Ladder, LadderLine};
use media::{AccessUnit, EndReason, Event, RenditionName, Scan, TrackConfig, TrackId};
use source::Source;
use tokio::time::timeout;
use transcode::{
    Config, Mode, RungOutput, Transcoder, picture_of, preview_of, probe_ffmpeg, spawn_repairer,
    spawn_transcoder,
};

/// Tests look at and kill the encoders of this process: one at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const PATIENCE: Duration = Duration::from_secs(20);

fn config(mode: Mode) -> Config {
    let line = |name, bitrate_bps| LadderLine { name, bitrate_bps };
    let ladder = Ladder(vec![
        line(RenditionName::P480, 800_000),
        line(RenditionName::P240, 300_000),
    ]);
    Config {
        mode,
        ladder,
        ..Config::default()
    }
}

async fn next(transcoder: &mut Transcoder) -> RungOutput {
    timeout(PATIENCE, transcoder.next())
        .await
        .expect("the transcoder says something")
        .expect("it lives")
}

/// Offers events faster than real time, ends the session when `ends` rungs have the last picture but those that a
/// decoder holds back, and collects all.
async fn run(
    transcoder: &mut Transcoder,
    events: &[Event],
    (ends, held): (usize, usize),
) -> BTreeMap<RenditionName, Vec<Event>> {
    let mut rungs: BTreeMap<RenditionName, Vec<Event>> = BTreeMap::new();
    let reached = units(events, TrackId::VIDEO).len() - held;
    let mut events = events.iter();
    let mut pace = tokio::time::interval(Duration::from_millis(3));
    let (mut given, mut complete, mut ended) = (false, 0, 0);
    while ended < ends {
        tokio::select! {
            _ = pace.tick(), if !given => {
                match events.next() {
                    Some(event) => {
                        transcoder.offer(event);
                    }
                    None => given = true,
                }
                if !given || complete < ends {
                    continue;
                }
            }
            output = next(transcoder) => {
                let RungOutput::Event(name, event) = output else { continue };
                ended += usize::from(matches!(event, Event::End(_)));
                let is_picture = matches!(&event, Event::Unit(unit) if unit.track == TrackId::VIDEO);
                let rung = rungs.entry(name).or_default();
                rung.push(event);
                if !is_picture || units(rung, TrackId::VIDEO).len() != reached {
                    continue;
                }
                complete += 1;
                if !given || complete < ends {
                    continue;
                }
            }
        }
        transcoder.offer(&Event::End(EndReason::Finished));
    }
    rungs
}

fn units(events: &[Event], track: TrackId) -> Vec<&AccessUnit> {
    let units = events.iter().filter_map(|event| match event {
        Event::Unit(unit) => Some(unit),
        _ => None,
    });
    units.filter(|unit| unit.track == track).collect()
}

#[tokio::test]
async fn every_rung_has_the_sources_times_key_frames_and_sound() {
    let _alone = ALONE.lock().await;
    let source = Source::make("640x480", 0).await;
    let mut transcoder = spawn_transcoder(Arc::new(config(Mode::Always)));
    // 480 lines is the source's own size: only 240p stands below it.
    let rungs = run(&mut transcoder, &source.events, (1, 0)).await;
    let rung = &rungs[&RenditionName::P240];
    let times = |units: &[&AccessUnit]| {
        units
            .iter()
            .map(|unit| (unit.pts, unit.wall, unit.random_access))
            .collect::<Vec<_>>()
    };
    let (ours, theirs) = (
        units(rung, TrackId::VIDEO),
        units(&source.events, TrackId::VIDEO),
    );
    assert_eq!(times(&ours), times(&theirs), "picture for picture");
    let (ours, theirs) = (
        units(rung, TrackId::AUDIO),
        units(&source.events, TrackId::AUDIO),
    );
    assert!(ours.len() > 50, "{}", ours.len());
    assert!(
        ours.iter().all(|unit| theirs.contains(unit)),
        "sound is the source's own"
    );
    let plan = config(Mode::Always).ladder.rungs(source.video());
    let promised = plan[0].codec_string();
    let Some(Event::Tracks(tracks)) = rung.first() else {
        panic!("tracks come first")
    };
    let TrackConfig::Video(video) = &tracks[0].config else {
        panic!("picture first")
    };
    assert_eq!((video.width, video.height, tracks.len()), (320, 240, 2));
    assert_eq!(
        video.codec_string, promised,
        "what playlists said before it ran"
    );
}

#[tokio::test]
async fn a_source_that_players_cannot_take_is_repaired_in_its_own_size() {
    const BAD: [(&str, &str, usize); 3] = [
        ("426x240", "-g 300 -bf 2 -pix_fmt yuv420p", 4),
        ("321x241", "-g 300 -bf 0 -pix_fmt yuv444p10le", 0),
        (
            "320x256",
            "-g 300 -bf 0 -pix_fmt yuv420p -flags +ildct+ilme",
            4,
        ),
    ];
    let _alone = ALONE.lock().await;
    for (size, options, held) in BAD {
        let source = Source::make_with(size, 5, options).await;
        // What an operator said of the rungs does not matter here.
        let mut repairer = spawn_repairer(Arc::new(Config {
            flush: PATIENCE,
            ..config(Mode::Never)
        }));
        let repaired = run(&mut repairer, &source.events, (1, held)).await;
        assert_eq!(repaired.len(), 1, "one line of events");
        let repaired = &repaired[&RenditionName::Source];
        let Some(Event::Tracks(tracks)) = repaired.first() else {
            panic!("tracks come first")
        };
        let TrackConfig::Video(video) = &tracks[0].config else {
            panic!("picture first")
        };
        let (before, even) = (source.video(), |side: u32| side.next_multiple_of(2));
        assert_eq!(
            (video.width, video.height),
            (even(before.width), even(before.height))
        );
        assert!(video.is_for_browsers() && video.codec_string.starts_with("avc1.6400"));
        assert_eq!(
            (video.reorder_frames, video.scan),
            (Some(0), Scan::Progressive)
        );
        let (ours, theirs) = (
            units(repaired, TrackId::VIDEO),
            units(&source.events, TrackId::VIDEO),
        );
        let mut shown: Vec<_> = theirs.iter().map(|unit| (unit.pts, unit.wall)).collect();
        shown.sort_unstable();
        let times: Vec<_> = ours.iter().map(|unit| (unit.pts, unit.wall)).collect();
        assert_eq!(times, shown, "picture for picture, as shown: {options}");
        assert!(ours.iter().all(|unit| unit.dts == unit.pts), "none waits");
        let keys: Vec<_> = ours.iter().filter(|unit| unit.random_access).collect();
        let apart = |pair: &[&&AccessUnit]| pair[1].pts.since(pair[0].pts).as_nanos();
        assert_eq!(keys.len(), 3, "five seconds");
        for pair in keys.windows(2) {
            assert!((1_980_000_000..2_040_000_000).contains(&apart(pair)));
        }
        let (ours, theirs) = (
            units(repaired, TrackId::AUDIO),
            units(&source.events, TrackId::AUDIO),
        );
        assert!(ours.len() > 100 && ours.iter().all(|unit| theirs.contains(unit)));
    }
}

#[tokio::test]
async fn two_rungs_of_one_decode_agree_with_each_other() {
    let _alone = ALONE.lock().await;
    let source = Source::make("1280x720", 0).await;
    let mut transcoder = spawn_transcoder(Arc::new(config(Mode::Always)));
    let rungs = run(&mut transcoder, &source.events, (2, 0)).await;
    let pts = |name| {
        units(&rungs[&name], TrackId::VIDEO)
            .iter()
            .map(|unit| unit.pts)
            .collect::<Vec<_>>()
    };
    assert_eq!(pts(RenditionName::P480), pts(RenditionName::P240));
    let sound = |name| {
        units(&rungs[&name], TrackId::AUDIO)
            .into_iter()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(sound(RenditionName::P480), sound(RenditionName::P240));
}

#[tokio::test]
async fn nothing_is_encoded_while_nobody_watches() {
    let _alone = ALONE.lock().await;
    let source = Source::make("1280x720", 0).await;
    let mut transcoder = spawn_transcoder(Arc::new(config(Mode::OnDemand)));
    for event in &source.events[..20] {
        transcoder.offer(event);
    }
    let RungOutput::Offered { rungs, .. } = next(&mut transcoder).await else {
        panic!("rungs are offered")
    };
    assert_eq!(rungs.len(), 2, "offered, though not running");
    assert!(source::encoders().is_empty(), "no process runs");
    transcoder.note_use(RenditionName::P240);
    let mut loops = source.events.iter().cycle();
    let first = loop {
        transcoder.offer(loops.next().unwrap());
        tokio::select! {
            output = next(&mut transcoder) => if let RungOutput::Event(name, _) = output { break name },
            () = tokio::time::sleep(Duration::from_millis(3)) => {}
        }
    };
    assert_eq!(first, RenditionName::P240);
}

#[tokio::test]
async fn who_asks_in_the_middle_of_a_group_gets_it_from_its_key_frame_on() {
    let _alone = ALONE.lock().await;
    let source = Source::make("1280x720", 0).await;
    let mut transcoder = spawn_transcoder(Arc::new(config(Mode::OnDemand)));
    let is_key = |event: &&Event| matches!(event, Event::Unit(unit) if unit.track == TrackId::VIDEO && unit.random_access);
    let keys: Vec<_> = source.events.iter().filter(is_key).collect();
    let Event::Unit(second) = keys[1] else {
        panic!("a key frame is a unit")
    };
    // Up to just before the third key frame, and nothing more: what comes is of the second group.
    let end = source
        .events
        .iter()
        .position(|event| event == keys[2])
        .unwrap();
    for event in &source.events[..end] {
        transcoder.offer(event);
    }
    transcoder.note_use(RenditionName::P240);
    let mut pictures = Vec::new();
    while pictures.len() < 20 {
        match next(&mut transcoder).await {
            RungOutput::Event(_, Event::Unit(unit)) if unit.track == TrackId::VIDEO => {
                pictures.push(unit);
            }
            _ => {}
        }
    }
    assert_eq!(pictures[0].pts, second.pts);
    assert!(pictures[0].random_access);
    let expected = units(&source.events, TrackId::VIDEO);
    let begin = expected.iter().position(|unit| unit.pts == second.pts);
    let expected = &expected[begin.unwrap()..];
    for (ours, theirs) in pictures.iter().zip(expected) {
        assert_eq!((ours.pts, ours.wall), (theirs.pts, theirs.wall));
    }
}

#[tokio::test]
async fn a_rung_that_joins_another_leaves_one_process_for_both() {
    let _alone = ALONE.lock().await;
    let source = Source::make("1280x720", 0).await;
    let mut transcoder = spawn_transcoder(Arc::new(config(Mode::OnDemand)));
    let (mut begun, mut after) = (BTreeSet::new(), BTreeSet::new());
    for event in source.forever() {
        transcoder.offer(&event);
        if begun.is_empty() {
            transcoder.note_use(RenditionName::P240);
        } else {
            transcoder.note_use(RenditionName::P480);
        }
        let Ok(Some(output)) = timeout(Duration::from_millis(5), transcoder.next()).await else {
            continue;
        };
        if let RungOutput::Event(name, Event::Unit(_)) = output {
            begun.insert(name);
            if begun.len() == 2 && source::encoders().len() == 1 {
                after.insert(name);
            }
        }
        assert!(!matches!(output, RungOutput::Interrupted(_)));
        if after.len() == 2 {
            return;
        }
    }
    panic!("{begun:?} begun, {after:?} of one process");
}

#[tokio::test]
async fn pkg_03_a_killed_encoder_is_replaced_and_the_rung_begins_again_at_a_key_frame() {
    let _alone = ALONE.lock().await;
    let source = Source::make("640x480", 0).await;
    let mut transcoder = spawn_transcoder(Arc::new(config(Mode::Always)));
    let (mut said, mut killed) = (Vec::new(), false);
    for event in source.forever() {
        transcoder.offer(&event);
        let Ok(Some(output)) = timeout(Duration::from_millis(5), transcoder.next()).await else {
            continue;
        };
        match output {
            RungOutput::Event(_, Event::Unit(unit)) if !killed && unit.track == TrackId::VIDEO => {
                killed = true;
                source::kill_encoders("300000");
            }
            RungOutput::Interrupted(_) => said.push("interrupted"),
            RungOutput::Event(_, Event::Tracks(_)) => said.push("tracks"),
            RungOutput::Event(_, Event::Unit(unit))
                if said.last() == Some(&"tracks") && killed && said.len() > 1 =>
            {
                assert!(unit.random_access);
                break;
            }
            _ => {}
        }
    }
    assert_eq!(said, ["tracks", "interrupted", "tracks"]);
}

#[tokio::test]
async fn pkg_03_a_program_that_writes_garbage_loses_its_rungs_and_nothing_else() {
    let _alone = ALONE.lock().await;
    let source = Source::make("640x480", 0).await;
    let broken = Config {
        ffmpeg: "/bin/true".into(),
        ..config(Mode::Always)
    };
    let mut transcoder = spawn_transcoder(Arc::new(broken));
    let mut offered = Vec::new();
    for event in source.forever() {
        transcoder.offer(&event);
        if let Ok(Some(RungOutput::Offered { rungs, .. })) =
            timeout(Duration::from_millis(5), transcoder.next()).await
        {
            offered.push(rungs.len());
        }
        if offered == [1, 0] {
            return;
        }
    }
}

#[tokio::test]
async fn a_missing_ffmpeg_is_said_at_start() {
    let _alone = ALONE.lock().await;
    let missing = Config {
        ffmpeg: "/nowhere/ffmpeg".into(),
        ..Config::default()
    };
    let error = probe_ffmpeg(&missing).await.unwrap_err().to_string();
    assert!(
        error.contains("/nowhere/ffmpeg") && error.contains("install ffmpeg 5.1 or later"),
        "{error}"
    );
    let unknown = Config {
        encoder: "h264_dreams".into(),
        ..Config::default()
    };
    let error = probe_ffmpeg(&unknown).await.unwrap_err().to_string();
    assert!(error.contains("h264_dreams"), "{error}");
    assert!(
        probe_ffmpeg(&Config::default())
            .await
            .unwrap()
            .starts_with(|first: char| first.is_ascii_digit())
    );
}

#[tokio::test]
async fn a_key_frame_becomes_a_jpeg_and_several_an_animation() {
    let _alone = ALONE.lock().await;
    let source = Source::make("640x480", 0).await;
    let Event::Tracks(tracks) = &source.events[0] else {
        panic!("tracks come first")
    };
    let TrackConfig::Video(video) = &tracks[0].config else {
        panic!("picture first")
    };
    let key = units(&source.events, TrackId::VIDEO)[0];
    let picture = picture_of("ffmpeg".as_ref(), video, key).await.unwrap();
    assert!(
        picture.starts_with(&[0xff, 0xd8, 0xff]) && picture.len() > 2_000,
        "{} bytes",
        picture.len()
    );
    let torn = AccessUnit {
        payload: key.payload.slice(..40),
        ..key.clone()
    };
    assert!(picture_of("ffmpeg".as_ref(), video, &torn).await.is_err());
    let keys: Vec<_> = units(&source.events, TrackId::VIDEO)
        .into_iter()
        .filter(|unit| unit.random_access)
        .cloned()
        .collect();
    assert_eq!(keys.len(), 3);
    let preview = preview_of("ffmpeg".as_ref(), video, &keys).await.unwrap();
    let frames = preview.windows(4).filter(|word| word == b"ANMF").count();
    assert!(preview.starts_with(b"RIFF") && preview.len() < 100_000);
    assert_eq!(frames, keys.len(), "one picture for each key frame");
}
