//! What a media playlist says of a snapshot, to whom.
//!
//! In → Out: [`Snapshot`] + [`MediaRequest`] → [`MediaPlaylist`].
//! One text serves old players, LL-HLS players and LHLS players, because each skips the tags that it does not know.
//!
//! While the publisher is away, nothing is promised that may never come: no hint, and no blocking reload, so that
//! LL-HLS players poll instead of running into 503s. The prefetch tag stays, since a name costs nothing: it carries the
//! number and the epoch that the next segment will have if the publisher returns, and a player that holds that request
//! goes on at once.
//!
//! Spec: RFC 8216bis 6.2.5 "Low-Latency Server Configuration", B.1; community LHLS; design "Playlists".

use media::{Duration, Epoch, SegmentId};

use super::media::{
    Announce, Entry, Form, Lead, MediaPlaylist, MediaRequest, OpenEntry, PartEntry, PrefetchEntry,
    Report, ReportEntry, ServerControl, Skip,
};
use crate::{Segment, Snapshot, State};

/// The name of a segment in a path.
pub fn segment_uri(id: SegmentId, form: Form) -> String {
    match form {
        Form::Fmp4 => format!("{id}.m4s"),
        Form::Ts => format!("{id}.ts"),
    }
}

/// The name of a part in a path.
pub fn part_uri(id: SegmentId, part: u32) -> String {
    format!("{id}.{part}.m4s")
}

/// The name of an init section in a path.
pub fn init_uri(epoch: Epoch) -> String {
    format!("{epoch}.init.mp4")
}

/// What a media playlist says.
pub fn playlist(snapshot: &Snapshot, request: &MediaRequest<'_>) -> MediaPlaylist {
    let low_latency = request.announce == Announce::Prefetch;
    let with_parts = low_latency && request.form == Form::Fmp4;
    let skipped = if low_latency {
        skippable(snapshot, request.skip)
    } else {
        0
    };
    let mut lister = Lister {
        form: request.form,
        epoch: None,
    };
    let mut playlist = MediaPlaylist {
        version: version(request, skipped),
        target_duration: snapshot.target_duration,
        server_control: low_latency.then(|| server_control(snapshot, with_parts)),
        part_target: with_parts.then_some(snapshot.part_target),
        media_sequence: snapshot.first_msn().0,
        discontinuity_sequence: snapshot.discontinuity_sequence,
        independent_segments: independent(snapshot),
        skipped: (skipped > 0).then_some(skipped as u64),
        ended: snapshot.state == State::Ended,
        ..MediaPlaylist::default()
    };
    let parts_from = if with_parts {
        parts_from(snapshot)
    } else {
        usize::MAX
    };
    for (index, segment) in snapshot.segments.iter().enumerate().skip(skipped) {
        playlist
            .segments
            .push(lister.entry(segment, index >= parts_from));
    }
    if playlist.ended {
        return playlist;
    }
    if low_latency {
        announce_ahead(&mut playlist, &mut lister, snapshot, request);
    } else {
        announce_plainly(&mut playlist, &mut lister, snapshot);
    }
    playlist
}

fn version(request: &MediaRequest<'_>, skipped: usize) -> u32 {
    match (request.form, request.announce, request.skip) {
        (_, Announce::Prefetch, Skip::V2) if skipped > 0 => 10,
        (Form::Fmp4, Announce::Prefetch, _) => 9,
        (Form::Ts, Announce::Prefetch, _) if skipped > 0 => 9,
        (Form::Fmp4, Announce::Plain, _) => 6,
        (Form::Ts, ..) => 3,
    }
}

/// Players that stay nearer to the end than this stall at every hiccup of a browser's network stack, however short
/// parts are.
const PART_HOLD_BACK_MIN: Duration = Duration::from_millis(500);

fn server_control(snapshot: &Snapshot, with_parts: bool) -> ServerControl {
    ServerControl {
        can_block_reload: snapshot.state != State::Away,
        can_skip_until: Some(snapshot.target_duration.times(6)),
        hold_back: Some(snapshot.target_duration.times(3)),
        part_hold_back: with_parts.then(|| snapshot.part_target.times(3).max(PART_HOLD_BACK_MIN)),
    }
}

/// Whether a decoder can start at each segment that is listed; the tag speaks for all of them.
fn independent(snapshot: &Snapshot) -> bool {
    let open = snapshot.current.iter().filter(|current| current.chunks > 0);
    snapshot
        .segments
        .iter()
        .chain(open)
        .all(|segment| segment.independent || segment.is_gap())
}

/// How many segments a delta update leaves out: those that end more than six target durations before the end.
fn skippable(snapshot: &Snapshot, skip: Skip) -> usize {
    if skip == Skip::No || snapshot.state == State::Ended {
        return 0;
    }
    let boundary = snapshot.target_duration.times(6);
    let mut newer = snapshot
        .current
        .as_ref()
        .map_or(Duration::ZERO, |current| current.duration);
    let mut kept = 0;
    for segment in snapshot.segments.iter().rev() {
        if newer > boundary {
            break;
        }
        newer += segment.duration;
        kept += 1;
    }
    snapshot.segments.len() - kept
}

/// The index of the first complete segment whose parts are listed: nothing older than three target durations.
fn parts_from(snapshot: &Snapshot) -> usize {
    let boundary = snapshot.target_duration.times(3);
    let mut newer = snapshot
        .current
        .as_ref()
        .map_or(Duration::ZERO, |current| current.duration);
    let mut from = snapshot.segments.len();
    for segment in snapshot.segments.iter().rev() {
        newer += segment.duration;
        if newer > boundary {
            break;
        }
        from -= 1;
    }
    from
}

/// The open segment's parts, the hint, reports and prefetch tags.
fn announce_ahead(
    playlist: &mut MediaPlaylist,
    lister: &mut Lister,
    snapshot: &Snapshot,
    request: &MediaRequest<'_>,
) {
    let current = snapshot.current.as_deref();
    if request.form == Form::Fmp4 {
        if let Some(current) = current.filter(|current| !current.parts.is_empty()) {
            playlist.open = Some(OpenEntry {
                lead: lister.lead(current),
                parts: parts(current),
            });
        }
        if let Some((id, part)) = snapshot.hinted_part() {
            playlist.hinted_part = Some(part_uri(id, part));
            let known = lister.epoch.is_none_or(|epoch| epoch == id.epoch);
            playlist.hinted_map = (!known).then(|| init_uri(id.epoch));
        }
    }
    playlist.reports = request
        .reports
        .iter()
        .map(|report| report_entry(report, request.form))
        .collect();
    if let Some(current) = current {
        let uri = segment_uri(current.id, request.form);
        playlist.prefetch.push(PrefetchEntry {
            discontinuity: current.discontinuity,
            uri,
        });
    }
    let uri = segment_uri(snapshot.next, request.form);
    playlist.prefetch.push(PrefetchEntry {
        discontinuity: snapshot.next_discontinuity,
        uri,
    });
}

fn report_entry(report: &Report, form: Form) -> ReportEntry {
    let (file, last_part) = match form {
        Form::Fmp4 => ("index.m3u8", report.last_part),
        Form::Ts => ("ts.m3u8", None),
    };
    ReportEntry {
        uri: format!("../{}/{file}", report.rendition),
        last_msn: report.last_msn.0,
        last_part,
    }
}

/// The open segment and the next one as ordinary entries with approximate durations.
fn announce_plainly(playlist: &mut MediaPlaylist, lister: &mut Lister, snapshot: &Snapshot) {
    let Some(current) = snapshot.current.as_deref() else {
        return;
    };
    let expected = snapshot
        .segments
        .iter()
        .rev()
        .find(|segment| !segment.is_gap())
        .map(|segment| segment.duration);
    let usual = expected.unwrap_or(snapshot.target_duration);
    let mut open = lister.entry(current, false);
    open.duration = usual.max(current.duration);
    open.gap = false;
    let mut next = Entry {
        duration: usual,
        uri: segment_uri(snapshot.next, lister.form),
        ..Entry::default()
    };
    next.lead.program_date_time = Some(current.program_date_time + open.duration);
    playlist.segments.extend([open, next]);
}

fn parts(segment: &Segment) -> Vec<PartEntry> {
    let entry = |(index, part): (u32, &crate::Part)| PartEntry {
        duration: part.duration,
        independent: part.independent,
        gap: false,
        uri: part_uri(segment.id, index),
    };
    (0..).zip(&segment.parts).map(entry).collect()
}

/// Lists segments one after another; remembers which init section applies.
struct Lister {
    form: Form,
    epoch: Option<Epoch>,
}

impl Lister {
    fn lead(&mut self, segment: &Segment) -> Lead {
        let changed = self.form == Form::Fmp4 && self.epoch != Some(segment.id.epoch);
        self.epoch = Some(segment.id.epoch);
        Lead {
            discontinuity: segment.discontinuity,
            map: changed.then(|| init_uri(segment.id.epoch)),
            program_date_time: Some(segment.program_date_time),
        }
    }

    fn entry(&mut self, segment: &Segment, with_parts: bool) -> Entry {
        Entry {
            lead: self.lead(segment),
            parts: if with_parts {
                parts(segment)
            } else {
                Vec::new()
            },
            duration: segment.duration,
            gap: segment.is_gap(),
            uri: segment_uri(segment.id, self.form),
        }
    }
}
