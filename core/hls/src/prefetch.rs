//! Segments and parts by name: which may be asked for, and which of them do not exist yet but are worth waiting for.
//!
//! In → Out: [`Snapshot`] and a name from a path → what to do with the request.
//! The open segment and the next two may be asked for at any time. Where no segment is open and the publisher is away,
//! the only names that can ever come are those of the next epoch: a returning publisher always begins a new one.
//!
//! Spec: community LHLS, `EXT-X-PREFETCH`; RFC 8216bis, "EXT-X-PRELOAD-HINT"; design "Segments".

use std::ops::Range;

use media::{Epoch, SegmentId};

use crate::snapshot::count;
use crate::{Snapshot, State};

/// How many segments beyond the open one may be asked for.
pub const AHEAD_MAX: u64 = 2;

/// Where a named segment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// All bytes are there and stay as they are.
    Complete,
    /// It is open.
    Growing,
    /// It has not begun; it is within reach: answer with headers and wait.
    Ahead,
    /// It may exist one day, but not soon: 404 with a short life.
    TooFar,
    /// It was there and is not kept any more: 410.
    Gone,
    /// It never existed and never will, or not in this epoch: 404.
    Never,
}

/// Where a named part stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartAvailability {
    /// These chunks of the segment are the part.
    Ready(Range<u32>),
    /// It is the next to come, or may be: hold the request without an answer.
    Wait,
    /// Not there and not hinted: 404 with a short life.
    Absent,
}

/// Classifies the segment named in a path.
pub fn availability(snapshot: &Snapshot, id: SegmentId) -> Availability {
    let open = snapshot.current.as_ref().map(|current| current.id);
    if open == Some(id) {
        return Availability::Growing;
    }
    let first_to_come = open.unwrap_or(snapshot.next);
    if id.msn < first_to_come.msn {
        let listed = snapshot.segment(id.msn).map(|segment| segment.id);
        return match listed.or_else(|| {
            snapshot
                .lingering
                .iter()
                .find(|kept| kept.msn == id.msn)
                .copied()
        }) {
            Some(kept) if kept == id => Availability::Complete,
            Some(_) => Availability::Never,
            None => Availability::Gone,
        };
    }
    if snapshot.state == State::Ended
        || id.epoch != snapshot.next.epoch
        || id.msn < snapshot.next.msn
    {
        return Availability::Never;
    }
    // `next` is the first of the two segments after the open one, also where none is open.
    if id.msn.0 - snapshot.next.msn.0 < AHEAD_MAX {
        Availability::Ahead
    } else {
        Availability::TooFar
    }
}

/// Classifies the part named in a path.
pub fn part_availability(snapshot: &Snapshot, id: SegmentId, part: u32) -> PartAvailability {
    if let Some(segment) = snapshot.segment(id.msn) {
        if segment.id != id {
            return PartAvailability::Absent;
        }
        let ready = usize::try_from(part)
            .ok()
            .and_then(|index| segment.parts.get(index));
        let hinted = snapshot
            .current
            .as_ref()
            .is_some_and(|current| current.id == id && part == count(&segment.parts));
        return match ready {
            Some(part) => PartAvailability::Ready(part.chunks.clone()),
            None if hinted => PartAvailability::Wait,
            None => PartAvailability::Absent,
        };
    }
    if snapshot.state == State::Live && id == snapshot.next && part == 0 {
        return PartAvailability::Wait;
    }
    PartAvailability::Absent
}

/// Whether the init section of an epoch may be asked for although it does not exist yet.
pub fn init_may_come(snapshot: &Snapshot, epoch: Epoch) -> bool {
    snapshot.state != State::Ended && snapshot.next.epoch == epoch
}
