//! What must hold of every packager's output, whatever went in. Also compiled into the fuzz target.
//!
//! In → Out: outputs and snapshots, one by one → a panic that names the rule that was broken.
//! Spec: RFC 8216bis; ISO/IEC 14496-12; design 3.2, 3.3.

use std::collections::{BTreeMap, BTreeSet};

use formats::container::fmp4::demux::{Demuxer as Fmp4, Item, Limits};
use formats::container::mpegts::demux::{Demuxer as Ts, Faults};
use hls::playlist::media::{Announce, Form, MediaPlaylist, MediaRequest, Skip, render};
use hls::playlist::{init_uri, parse, part_uri, segment_uri};
use hls::{Output, Snapshot, State};
use media::{Duration, Epoch, SegmentId, TrackId, UnixTime};

/// Whether numbers must follow one another, or may leave some out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    Contiguous,
    Growing,
}

/// Follows one packager.
pub(crate) struct Audit {
    numbers: Numbers,
    epoch: Option<Epoch>,
    demuxer: Option<Fmp4>,
    ts: Ts,
    /// Ticks per second, and whether it is a picture, of each track.
    scales: BTreeMap<TrackId, (u32, bool)>,
    /// The newest decode time of pictures and of sounds in nanoseconds.
    decoded: BTreeMap<bool, u128>,
    last: Option<SegmentId>,
    last_date: Option<UnixTime>,
    promised: Option<SegmentId>,
    open: Option<Open>,
    finished: bool,
    /// Everything that a playlist may name.
    names: BTreeSet<String>,
    complete: BTreeSet<String>,
    last_seen: Option<(u64, u64, u64)>,
}

struct Open {
    id: SegmentId,
    part_target: Duration,
    chunks: u32,
    parts: u32,
    parted: u32,
}

impl Audit {
    pub(crate) fn new(numbers: Numbers) -> Self {
        Self {
            numbers,
            epoch: None,
            demuxer: None,
            ts: Ts::default(),
            scales: BTreeMap::new(),
            decoded: BTreeMap::new(),
            last: None,
            last_date: None,
            promised: None,
            open: None,
            finished: false,
            names: BTreeSet::new(),
            complete: BTreeSet::new(),
            last_seen: None,
        }
    }

    pub(crate) fn output(&mut self, output: &Output) {
        assert!(!self.finished, "nothing follows the end");
        match output {
            Output::Init {
                epoch,
                bytes,
                tracks,
            } => self.init(*epoch, bytes, tracks.len()),
            Output::SegmentStart { .. } => self.start(output),
            Output::Chunk { .. } => self.chunk(output),
            Output::Part {
                segment,
                part,
                chunks,
                duration,
                ..
            } => {
                let open = self.open.as_mut().expect("a part of an open segment");
                assert_eq!(
                    (open.id, open.parts, open.parted),
                    (*segment, *part, chunks.start),
                    "parts in order"
                );
                assert!(
                    chunks.start < chunks.end && chunks.end <= open.chunks,
                    "whole chunks that are out"
                );
                assert!(
                    *duration <= open.part_target,
                    "{duration:?} exceeds {:?}",
                    open.part_target
                );
                open.parts += 1;
                open.parted = chunks.end;
                self.complete.insert(part_uri(*segment, *part));
            }
            Output::SegmentEnd { id, .. } => {
                let open = self.open.take().expect("an open segment ends");
                assert_eq!(
                    (open.id, open.parted),
                    (*id, open.chunks),
                    "every chunk is in a part"
                );
                self.complete.insert(segment_uri(*id, Form::Fmp4));
                self.complete.insert(segment_uri(*id, Form::Ts));
            }
            Output::Interrupted { next, .. } => {
                assert!(self.open.is_none(), "nothing is open");
                assert!(
                    self.last.is_none_or(|last| next.msn > last.msn),
                    "numbers grow"
                );
                self.promised = Some(*next);
            }
            Output::Finished => {
                assert!(self.open.is_none(), "the last segment was closed");
                self.finished = true;
            }
        }
    }

    fn init(&mut self, epoch: Epoch, bytes: &[u8], tracks: usize) {
        assert!(self.open.is_none(), "between segments");
        assert!(self.epoch.is_none_or(|last| epoch > last), "epochs grow");
        self.epoch = Some(epoch);
        let mut demuxer = Fmp4::new(Limits::default());
        demuxer
            .handle_bytes(bytes)
            .expect("a readable init section");
        let Some(Item::Init(found)) = demuxer.poll_item() else {
            panic!("an init section")
        };
        assert_eq!(found.len(), tracks);
        self.scales = found
            .iter()
            .map(|track| {
                (
                    track.id,
                    (
                        track.timescale.hertz(),
                        track.kind == media::TrackKind::Video,
                    ),
                )
            })
            .collect();
        self.demuxer = Some(demuxer);
        self.complete.insert(init_uri(epoch));
    }

    fn start(&mut self, output: &Output) {
        let Output::SegmentStart {
            id,
            discontinuity,
            program_date_time,
            part_target,
            cut,
            ..
        } = output
        else {
            return;
        };
        assert!(self.open.is_none(), "one segment at a time");
        assert_eq!(Some(id.epoch), self.epoch, "the init section comes first");
        assert_eq!(
            (cut.id, cut.discontinuity, cut.program_date_time),
            (*id, *discontinuity, *program_date_time)
        );
        if let Some(last) = self.last {
            assert!(id.msn > last.msn, "numbers grow");
            if self.numbers == Numbers::Contiguous {
                assert_eq!(id.msn, last.msn.next());
            }
            assert!(
                id.epoch == last.epoch || *discontinuity,
                "a new init section is a discontinuity"
            );
        }
        if self.numbers == Numbers::Contiguous
            && let Some(promised) = self.promised.take()
        {
            assert_eq!(promised, *id, "what was promised came");
        }
        assert!(
            self.last_date.is_none_or(|last| *program_date_time > last),
            "dates grow"
        );
        assert_eq!(part_target.as_nanos() % 1_000_000, 0, "whole milliseconds");
        self.last = Some(*id);
        self.last_date = Some(*program_date_time);
        self.open = Some(Open {
            id: *id,
            part_target: *part_target,
            chunks: 0,
            parts: 0,
            parted: 0,
        });
        self.names.insert(segment_uri(*id, Form::Fmp4));
        self.names.insert(segment_uri(*id, Form::Ts));
    }

    fn chunk(&mut self, output: &Output) {
        let Output::Chunk {
            segment,
            bytes,
            ts,
            independent,
            ..
        } = output
        else {
            return;
        };
        let open = self.open.as_mut().expect("a chunk of an open segment");
        assert_eq!(open.id, *segment);
        let demuxer = self.demuxer.as_mut().expect("after an init section");
        demuxer.handle_bytes(bytes).expect("a readable chunk");
        let items: Vec<Item> = std::iter::from_fn(|| demuxer.poll_item()).collect();
        assert_eq!(items.last(), Some(&Item::ChunkEnd), "whole chunks");
        let stamps = items
            .iter()
            .filter(|item| matches!(item, Item::ProducerTime(_)))
            .count();
        assert_eq!(
            stamps,
            usize::from(open.chunks == 0),
            "the first chunk says when it was"
        );
        let samples: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Sample(sample) => Some(sample),
                _ => None,
            })
            .collect();
        let has_picture = self.scales.values().any(|(_, picture)| *picture);
        let starts = samples.first().expect("a chunk is not empty");
        let starts = starts.sync && self.scales[&starts.track].1 == has_picture;
        assert_eq!(starts, *independent, "a decoder can start where it is said");
        for sample in samples {
            let (scale, picture) = self.scales[&sample.track];
            let nanos = u128::from(sample.dts) * 1_000_000_000 / u128::from(scale);
            let before = self.decoded.insert(picture, nanos);
            assert!(
                before.is_none_or(|before| nanos > before),
                "decode times grow: {before:?} {nanos}"
            );
        }
        if let Some(ts) = ts {
            assert_eq!(ts.len() % 188, 0, "whole packets");
            if open.chunks == 0 {
                assert!(
                    ts.is_empty() || ts[1..3] == [0x40, 0],
                    "tables open a segment"
                );
            }
            self.ts.handle_bytes(ts);
            while self.ts.poll_pes().is_some() {}
            let Faults {
                skipped,
                discontinuous,
                ..
            } = self.ts.faults();
            assert_eq!(
                (skipped, discontinuous),
                (0, 0),
                "packets follow one another"
            );
        }
        open.chunks += 1;
    }

    /// What every playlist of a snapshot must hold.
    pub(crate) fn snapshot(&mut self, snapshot: &Snapshot) {
        let now = (
            snapshot.version,
            snapshot.first_msn().0,
            snapshot.discontinuity_sequence,
        );
        if self.last_seen == Some(now) {
            return;
        }
        if let Some(last) = self.last_seen {
            assert!(
                now.0 >= last.0 && now.1 >= last.1 && now.2 >= last.2,
                "numbers never go back: {last:?} {now:?}"
            );
        }
        self.last_seen = Some(now);
        for form in [Form::Fmp4, Form::Ts] {
            for announce in [Announce::Prefetch, Announce::Plain] {
                for skip in [Skip::No, Skip::Yes] {
                    let request = MediaRequest {
                        form,
                        announce,
                        skip,
                        reports: &[],
                    };
                    let text = render(snapshot, &request);
                    let playlist =
                        parse::media(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
                    assert_eq!(playlist.to_string(), text, "reads as it was written");
                    self.playlist(snapshot, &playlist, announce, &text);
                }
            }
        }
    }

    fn playlist(
        &self,
        snapshot: &Snapshot,
        playlist: &MediaPlaylist,
        announce: Announce,
        text: &str,
    ) {
        let target = playlist.target_duration.as_nanos();
        let mut map = None;
        let mut date = None;
        let mut brief = false;
        let announced = if announce == Announce::Plain && snapshot.current.is_some() {
            2
        } else {
            0
        };
        let complete = playlist.segments.len() - announced;
        for (index, entry) in playlist.segments.iter().enumerate() {
            if index < complete {
                assert!(
                    self.complete.contains(&entry.uri),
                    "{} is complete\n{text}",
                    entry.uri
                );
                assert!(
                    entry.duration.as_nanos() < target + 500_000_000,
                    "honest target duration\n{text}"
                );
            } else if index == complete {
                assert!(
                    self.names.contains(&entry.uri),
                    "{} has begun\n{text}",
                    entry.uri
                );
            }
            // Dates stand in milliseconds: a segment shorter than one cannot move them.
            assert!(
                entry.lead.program_date_time > date
                    || brief && entry.lead.program_date_time == date,
                "dates grow\n{text}"
            );
            date = entry.lead.program_date_time;
            brief = entry.duration.as_nanos() < 1_000_000;
            if let Some(new) = &entry.lead.map {
                assert!(
                    map.is_none() || entry.lead.discontinuity,
                    "a new map is a discontinuity\n{text}"
                );
                map = Some(new.clone());
            }
            if let (Some(map), true) = (&map, index < complete) {
                assert!(self.complete.contains(map), "{map} is there");
                assert_eq!(
                    map.split('.').next(),
                    entry.uri.split('.').next(),
                    "of its epoch\n{text}"
                );
            }
        }
        self.parts_and_promises(snapshot, playlist, text);
    }

    fn parts_and_promises(&self, snapshot: &Snapshot, playlist: &MediaPlaylist, text: &str) {
        let open = playlist.open.iter().flat_map(|open| &open.parts);
        for part in playlist
            .segments
            .iter()
            .flat_map(|entry| &entry.parts)
            .chain(open)
        {
            assert!(
                self.complete.contains(&part.uri),
                "{} is complete\n{text}",
                part.uri
            );
            assert!(
                Some(part.duration) <= playlist.part_target,
                "{} is too long\n{text}",
                part.uri
            );
        }
        let hint = playlist.hinted_part.as_ref();
        assert!(
            hint.is_none_or(|hint| !self.complete.contains(hint)),
            "what is hinted is not there yet\n{text}"
        );
        assert_eq!(playlist.ended, snapshot.state == State::Ended);
        if snapshot.state != State::Live {
            assert_eq!(
                hint, None,
                "nothing is promised that may never come\n{text}"
            );
        }
        for prefetch in &playlist.prefetch {
            assert!(
                !self.complete.contains(&prefetch.uri),
                "{} is not complete\n{text}",
                prefetch.uri
            );
        }
    }
}
