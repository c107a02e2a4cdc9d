//! Blocking playlist reload: what to do with a request that names a segment, or a part, which may not exist yet.
//!
//! In → Out: [`Snapshot`], `_HLS_msn` and `_HLS_part`, how long the request has waited → serve, wait or reject.
//! While the publisher is away nobody knows whether anything will come: playlists then do not offer blocking reload,
//! and requests that ask for it all the same are answered at once, as a server without the feature does. Such an
//! answer does not hold what its URL asked for, so it must not live long in a cache ([`Freshness::Passing`]).
//!
//! Spec: RFC 8216bis 6.2.5.2 "Blocking Playlist Reload".

use media::{Duration, Msn};

use crate::snapshot::count;
use crate::{Snapshot, State};

/// The delivery directives of a playlist request, as far as they concern waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockingRequest {
    /// `_HLS_msn`.
    pub msn: Option<u64>,
    /// `_HLS_part`.
    pub part: Option<u32>,
}

/// What a served playlist is worth to a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It holds what the request asked for: the answer to this very URL stays good.
    Settled,
    /// It is the newest there is, and the next may differ.
    Passing,
}

/// Why a request is refused; each maps to one HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 400.
    #[error("_HLS_part needs _HLS_msn")]
    PartWithoutMsn,
    /// 400.
    #[error("_HLS_msn is more than two beyond the last segment")]
    MsnTooFar,
    /// 400.
    #[error("_HLS_part is too far beyond the last part")]
    PartTooFar,
    /// 503.
    #[error("waited for three target durations")]
    WaitedTooLong,
}

impl Refusal {
    /// The HTTP status that says it.
    pub const fn status(self) -> u16 {
        match self {
            Self::PartWithoutMsn | Self::MsnTooFar | Self::PartTooFar => 400,
            Self::WaitedTooLong => 503,
        }
    }
}

/// What to do with a playlist request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answer with the playlist of this snapshot.
    Serve(Freshness),
    /// Ask again when the snapshot has changed, or when [`hold_max`] has passed.
    Wait,
    /// Answer with an error.
    Reject(Refusal),
}

/// How long a request may be held: three target durations.
pub const fn hold_max(snapshot: &Snapshot) -> Duration {
    snapshot.target_duration.times(3)
}

/// Decides from the newest snapshot; `waited` is how long the request has been held.
pub fn decide(snapshot: &Snapshot, request: &BlockingRequest, waited: Duration) -> Decision {
    // A playlist that ended never changes: directives are ignored, even wrong ones.
    if snapshot.state == State::Ended {
        return Decision::Serve(Freshness::Settled);
    }
    let msn = match (request.msn, request.part) {
        (None, None) => return Decision::Serve(Freshness::Passing),
        (None, Some(_)) => return Decision::Reject(Refusal::PartWithoutMsn),
        (Some(msn), _) => msn,
    };
    if let Err(refusal) = in_reach(snapshot, msn, request.part) {
        return Decision::Reject(refusal);
    }
    if holds(snapshot, msn, request.part) {
        Decision::Serve(Freshness::Settled)
    } else if snapshot.state == State::Away {
        Decision::Serve(Freshness::Passing)
    } else if waited >= hold_max(snapshot) {
        Decision::Reject(Refusal::WaitedTooLong)
    } else {
        Decision::Wait
    }
}

/// The number of the last segment of which anything is listed; one before the first to come if there is none.
fn last_complete(snapshot: &Snapshot) -> u64 {
    let open = snapshot
        .current
        .as_ref()
        .map_or(snapshot.next.msn, |current| current.id.msn);
    open.0.saturating_sub(1)
}

fn in_reach(snapshot: &Snapshot, msn: u64, part: Option<u32>) -> Result<(), Refusal> {
    if msn > last_complete(snapshot).saturating_add(2) {
        return Err(Refusal::MsnTooFar);
    }
    let Some(part) = part else { return Ok(()) };
    // An old segment's parts are long over: whatever index is asked for means "the next segment".
    let listed = match &snapshot.current {
        Some(current) if current.id.msn.0 == msn => count(&current.parts),
        Some(current) if current.id.msn.0 > msn => return Ok(()),
        None if snapshot.next.msn.0 > msn => return Ok(()),
        _ => 0,
    };
    if u64::from(part) >= u64::from(listed) + advance_part_limit(snapshot) {
        Err(Refusal::PartTooFar)
    } else {
        Ok(())
    }
}

/// How many parts beyond the last a request may name.
fn advance_part_limit(snapshot: &Snapshot) -> u64 {
    let target = snapshot.part_target.as_nanos().max(1);
    let second = Duration::from_secs(1).as_nanos();
    if target < second {
        (3 * second).div_ceil(target)
    } else {
        3
    }
}

/// Whether the playlist of this snapshot holds the segment or part, or a later one.
fn holds(snapshot: &Snapshot, msn: u64, part: Option<u32>) -> bool {
    let open = snapshot.current.as_deref();
    let open_msn = open.map_or(snapshot.next.msn.0, |current| current.id.msn.0);
    let open_parts = open.map_or(0, |current| count(&current.parts));
    let Some(part) = part else {
        return msn < open_msn;
    };
    if msn > open_msn {
        return false;
    }
    if msn == open_msn {
        return part < open_parts;
    }
    // A complete segment: a part beyond its last is part 0 of the next.
    let complete = snapshot
        .segment(Msn(msn))
        .is_none_or(|segment| part < count(&segment.parts));
    complete || msn + 1 < open_msn || open_parts > 0
}
