//! The reference viewer finds what is wrong: each promise of the wire contract broken by hand, one at a time.
//!
//! In → Out: packaged media, tampered with → the faults reported, or none.
//! Spec: design "Segments", "Playlists".

use bytes::Bytes;
use hls::playlist::media::{MediaRequest, render};
use hls::{Output, Packager, PackagerConfig, Start, Window, WindowConfig};
use media::{Event, SegmentId, Timestamp, UnixTime};
use testkit::rng::Rng;
use testkit::synthetic::{Settings, Synthetic};
use testkit::viewer::{Config, End, Fact, Fault, Head, Request, RequestKind, Viewer};

const BEGIN: UnixTime = UnixTime::from_millis(1_795_350_000_000);

/// Three complete segments, and the playlist as it stood when the first of them was open.
struct Broadcast {
    init: Bytes,
    segments: Vec<(SegmentId, Vec<Bytes>)>,
    playlist: String,
}

fn broadcast() -> Broadcast {
    let mut source = Synthetic::new(Settings::default());
    let mut packager = Packager::new(PackagerConfig::default(), Start::default());
    let mut window = Window::new(WindowConfig::default(), Start::default());
    let mut made = Broadcast {
        init: Bytes::new(),
        segments: Vec::new(),
        playlist: String::new(),
    };
    packager.handle_event(&source.tracks(), BEGIN);
    for _ in 0..500 {
        let unit = source.next_unit();
        let now = BEGIN + unit.at.since(Timestamp::ZERO);
        packager.handle_event(&Event::Unit(unit.access_unit(BEGIN)), now);
        while let Some(output) = packager.poll_output() {
            window.apply(&output);
            match output {
                Output::Init { bytes, .. } => made.init = bytes,
                Output::SegmentStart { id, .. } => made.segments.push((id, Vec::new())),
                Output::Chunk { bytes, .. } => {
                    made.segments.last_mut().unwrap().1.push(bytes);
                    if made.playlist.is_empty() {
                        made.playlist = render(&window.snapshot(), &MediaRequest::default());
                    }
                }
                _ => {}
            }
        }
    }
    made
}

fn good_head(status: u16) -> Head {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Head {
        status,
        headers: vec![
            header("cache-control", "public, max-age=31536000, immutable"),
            header("access-control-allow-origin", "*"),
            header("timing-allow-origin", "*"),
        ],
    }
}

/// Plays a broadcast to a viewer: every request is answered at once, whole; segments beyond the third are left open.
fn watch(made: &Broadcast, head: &Head) -> Vec<Fact> {
    let mut viewer = Viewer::new(Config::new("/live/x/source/index.m3u8"), BEGIN);
    let mut facts = Vec::new();
    for _ in 0..100 {
        let Some(request) = viewer.poll_request() else {
            break;
        };
        answer(&mut viewer, made, head, &request);
        while let Some(fact) = viewer.poll_fact() {
            facts.push(fact);
        }
    }
    facts
}

fn answer(viewer: &mut Viewer, made: &Broadcast, head: &Head, request: &Request) {
    let pieces: Vec<Bytes> = match request.kind {
        RequestKind::Playlist => vec![made.playlist.clone().into()],
        RequestKind::Init => vec![made.init.clone()],
        RequestKind::Segment => {
            let name = |id: &SegmentId| request.path.ends_with(&format!("/{id}.m4s"));
            match made.segments.iter().take(3).find(|(id, _)| name(id)) {
                Some((_, chunks)) => chunks.clone(),
                None => return viewer.handle_head(request.id, head, BEGIN),
            }
        }
    };
    viewer.handle_head(request.id, head, BEGIN);
    for piece in pieces {
        viewer.handle_body(request.id, &piece, BEGIN);
    }
    viewer.handle_end(request.id, End::Clean, BEGIN);
}

fn faults(facts: &[Fact]) -> Vec<&Fault> {
    facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Fault(fault) => Some(fault),
            _ => None,
        })
        .collect()
}

/// Changes a broadcast, and expects the one fault that `is` recognises.
fn check(tamper: impl FnOnce(&mut Broadcast), is: impl Fn(&Fault) -> bool) {
    let mut made = broadcast();
    tamper(&mut made);
    let facts = watch(&made, &good_head(200));
    let faults = faults(&facts);
    assert!(faults.iter().any(|fault| is(fault)), "{faults:?}");
}

#[test]
fn an_untouched_broadcast_has_no_fault() {
    let facts = watch(&broadcast(), &good_head(200));
    assert_eq!(faults(&facts), Vec::<&Fault>::new());
    let segments = facts
        .iter()
        .filter(|fact| matches!(fact, Fact::Segment(_)))
        .count();
    assert_eq!(segments, 3);
    assert!(facts.iter().any(|fact| matches!(fact, Fact::Joined(_))));
}

#[test]
fn headers_that_would_not_keep_an_object_are_found() {
    for missing in [
        "cache-control",
        "access-control-allow-origin",
        "timing-allow-origin",
    ] {
        let mut head = good_head(200);
        head.headers.retain(|(name, _)| name != missing);
        let facts = watch(&broadcast(), &head);
        let found =
            |fault: &&Fault| matches!(fault, Fault::Header { name, .. } if *name == missing);
        assert!(faults(&facts).iter().any(found), "{missing}");
    }
    let mut head = good_head(200);
    head.headers.push(("vary".to_owned(), "Origin".to_owned()));
    let facts = watch(&broadcast(), &head);
    assert!(
        faults(&facts)
            .iter()
            .any(|fault| matches!(fault, Fault::Header { name: "vary", .. }))
    );
}

#[test]
fn a_segment_that_is_cut_inside_of_a_chunk_and_ended_cleanly_is_torn() {
    let cut = |made: &mut Broadcast| {
        let last = made.segments[0].1.last_mut().unwrap();
        *last = last.slice(..last.len() - 1);
    };
    check(cut, |fault| matches!(fault, Fault::Boxes { .. }));
}

#[test]
fn a_segment_without_a_chunk_is_found() {
    check(
        |made| made.segments[1].1.clear(),
        |fault| matches!(fault, Fault::Empty(id) if id.msn.0 == 1),
    );
}

#[test]
fn a_segment_that_begins_in_the_middle_of_a_group_is_found() {
    let behead = |made: &mut Broadcast| drop(made.segments[1].1.remove(0));
    check(
        behead,
        |fault| matches!(fault, Fault::NotIndependent(id) if id.msn.0 == 1),
    );
    check(behead, |fault| matches!(fault, Fault::NoStamp(_)));
}

#[test]
fn a_chunk_that_is_sent_again_in_another_segment_goes_back() {
    let repeat = |made: &mut Broadcast| {
        let old = made.segments[0].1[0].clone();
        made.segments[1].1.insert(0, old);
    };
    check(
        repeat,
        |fault| matches!(fault, Fault::Backwards { segment, .. } if segment.msn.0 == 1),
    );
}

#[test]
fn a_missing_chunk_is_a_gap() {
    let mut made = broadcast();
    made.segments[0].1.drain(10..14);
    let facts = watch(&made, &good_head(200));
    assert!(
        facts
            .iter()
            .any(|fact| matches!(fact, Fact::Gap { track: 1, .. })),
        "{facts:?}"
    );
}

#[test]
fn decode_times_that_go_back_are_found() {
    check(
        |made| made.segments[0].1.swap(20, 21),
        |fault| matches!(fault, Fault::Backwards { track: 1, .. }),
    );
}

#[test]
fn an_init_section_that_hides_that_this_is_live_is_found() {
    let lengthen = |made: &mut Broadcast| {
        let mut bytes = made.init.to_vec();
        let at = bytes
            .windows(4)
            .position(|window| window == b"mvhd")
            .unwrap();
        // Version 0: four bytes each of flags, two times, timescale, then the duration.
        let version = bytes[at + 4];
        let duration = at + 8 + if version == 0 { 12 } else { 20 };
        bytes[duration + 3] = 9;
        made.init = bytes.into();
    };
    check(lengthen, |fault| matches!(fault, Fault::Init(_)));
}

#[test]
fn playlists_that_break_their_own_rules_are_found() {
    let list = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.2\n#EXT-X-MEDIA-SEQUENCE:4\n#EXT-X-MAP:URI=\"1.init.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:34:56.789Z\n#EXT-X-PART:DURATION=0.3,URI=\"1.5.0.m4s\"\n#EXTINF:2.6,\n1.5.m4s\n#EXT-X-PREFETCH:1.6.m4s\n";
    let mut made = broadcast();
    made.playlist = list.to_owned();
    let facts = watch(&made, &good_head(200));
    let rules = faults(&facts)
        .iter()
        .filter(|fault| matches!(fault, Fault::PlaylistRule(_)))
        .count();
    assert_eq!(rules, 3, "{facts:?}");
}

#[test]
fn no_bytes_make_the_viewer_panic_or_hang() {
    let mut rng = Rng::new(42);
    let whole = broadcast();
    for _ in 0..400 {
        let mut made = Broadcast {
            init: whole.init.clone(),
            segments: whole.segments.clone(),
            playlist: whole.playlist.clone(),
        };
        for _ in 0..=rng.below(3) {
            let chunk = &mut made.segments[0].1[usize::try_from(rng.below(5)).unwrap()];
            *chunk = damaged(chunk, &mut rng);
        }
        if rng.chance(200_000) {
            made.init = damaged(&made.init, &mut rng);
        }
        if rng.chance(200_000) {
            let playlist = damaged(&Bytes::from(made.playlist), &mut rng);
            made.playlist = String::from_utf8_lossy(&playlist).into_owned();
        }
        watch(&made, &good_head(200));
    }
}

/// The same with a few bytes changed, favouring the values at which counters break.
fn damaged(bytes: &Bytes, rng: &mut Rng) -> Bytes {
    let mut bytes = bytes.to_vec();
    for _ in 0..=rng.below(4) {
        let at = usize::try_from(rng.below(bytes.len() as u64)).unwrap();
        bytes[at] = [0, 0x7F, 0x80, 0xFF, rng.next_u64().to_le_bytes()[0]]
            [usize::try_from(rng.below(5)).unwrap()];
    }
    bytes.into()
}
