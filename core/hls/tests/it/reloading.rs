//! Blocking reload and requests by name: serve, wait, or refuse.
//!
//! In → Out: a live broadcast and requests → decisions.
//! Spec: RFC 8216bis 6.2.5.2; design 3.2 (requests ahead).

use hls::playlist::segment_uri;
use hls::prefetch::{
    Availability, PartAvailability, availability, init_may_come, part_availability,
};
use hls::reload::{BlockingRequest, Decision, Freshness, Refusal, decide, hold_max};
use hls::{Snapshot, WindowConfig};
use media::{Duration, EndReason, Epoch, Msn, SegmentId};

use crate::studio::{Rendition, Show, config};

fn live(millis: u64) -> Rendition {
    let mut rendition = Rendition::new(config());
    rendition.feed(&Show::default().session(millis));
    rendition
}

fn ask(snapshot: &Snapshot, msn: Option<u64>, part: Option<u32>) -> Decision {
    decide(snapshot, &BlockingRequest { msn, part }, Duration::ZERO)
}

const SETTLED: Decision = Decision::Serve(Freshness::Settled);
const PASSING: Decision = Decision::Serve(Freshness::Passing);

#[test]
fn a_playlist_is_served_once_it_holds_what_is_asked_for() {
    // Two complete segments of ten parts, and two parts of the third.
    let rendition = live(4_500);
    let snapshot = rendition.snapshot();
    assert_eq!(ask(snapshot, None, None), PASSING);
    assert_eq!(ask(snapshot, Some(0), None), SETTLED);
    assert_eq!(ask(snapshot, Some(1), None), SETTLED);
    assert_eq!(ask(snapshot, Some(2), None), Decision::Wait);
    assert_eq!(ask(snapshot, Some(3), None), Decision::Wait);
    assert_eq!(ask(snapshot, Some(2), Some(0)), SETTLED);
    assert_eq!(ask(snapshot, Some(2), Some(1)), SETTLED);
    assert_eq!(ask(snapshot, Some(2), Some(2)), Decision::Wait);
    assert_eq!(ask(snapshot, Some(3), Some(0)), Decision::Wait);
    assert_eq!(ask(snapshot, Some(1), Some(9)), SETTLED);
}

#[test]
fn a_part_beyond_the_last_of_its_segment_means_part_0_of_the_next() {
    let rendition = live(4_050);
    let snapshot = rendition.snapshot();
    assert_eq!(snapshot.current.as_ref().unwrap().parts.len(), 0);
    assert_eq!(ask(snapshot, Some(1), Some(10)), Decision::Wait);
    assert_eq!(ask(snapshot, Some(0), Some(10)), SETTLED);
    let rendition = live(4_250);
    assert_eq!(ask(rendition.snapshot(), Some(1), Some(10)), SETTLED);
}

#[test]
fn wrong_requests_are_refused_at_once() {
    let rendition = live(4_500);
    let snapshot = rendition.snapshot();
    let refused = |refusal| Decision::Reject(refusal);
    assert_eq!(
        ask(snapshot, None, Some(0)),
        refused(Refusal::PartWithoutMsn)
    );
    assert_eq!(ask(snapshot, Some(4), None), refused(Refusal::MsnTooFar));
    assert_eq!(
        ask(snapshot, Some(u64::MAX), Some(u32::MAX)),
        refused(Refusal::MsnTooFar)
    );
    // Three seconds' worth of parts ahead is the limit.
    assert_eq!(ask(snapshot, Some(2), Some(16)), Decision::Wait);
    assert_eq!(
        ask(snapshot, Some(2), Some(17)),
        refused(Refusal::PartTooFar)
    );
    assert_eq!(
        [400, 400, 400, 503],
        [
            Refusal::PartWithoutMsn.status(),
            Refusal::MsnTooFar.status(),
            Refusal::PartTooFar.status(),
            Refusal::WaitedTooLong.status()
        ]
    );
}

#[test]
fn nobody_waits_longer_than_three_target_durations() {
    let rendition = live(4_500);
    let snapshot = rendition.snapshot();
    let request = BlockingRequest {
        msn: Some(3),
        part: None,
    };
    assert_eq!(hold_max(snapshot), Duration::from_secs(6));
    assert_eq!(
        decide(snapshot, &request, Duration::from_millis(5_999)),
        Decision::Wait
    );
    assert_eq!(
        decide(snapshot, &request, Duration::from_secs(6)),
        Decision::Reject(Refusal::WaitedTooLong)
    );
}

#[test]
fn while_the_publisher_is_away_nobody_waits() {
    let mut rendition = live(4_500);
    rendition.end(EndReason::Lost);
    let snapshot = rendition.snapshot();
    assert_eq!(ask(snapshot, Some(3), None), PASSING);
    assert_eq!(ask(snapshot, Some(3), Some(0)), PASSING);
    assert_eq!(ask(snapshot, Some(2), None), SETTLED);
    assert_eq!(
        ask(snapshot, Some(5), None),
        Decision::Reject(Refusal::MsnTooFar)
    );
}

#[test]
fn a_playlist_that_ended_ignores_every_directive() {
    let mut rendition = live(4_500);
    rendition.finish();
    let snapshot = rendition.snapshot();
    for (msn, part) in [
        (None, Some(3)),
        (Some(99), None),
        (Some(2), Some(50)),
        (None, None),
    ] {
        assert_eq!(ask(snapshot, msn, part), SETTLED);
    }
}

#[test]
fn before_the_first_segment_the_first_may_be_awaited() {
    let mut rendition = Rendition::new(config());
    rendition.feed(&[Show::default().tracks()]);
    let snapshot = rendition.snapshot();
    assert!(!snapshot.has_media());
    assert_eq!(ask(snapshot, Some(0), Some(0)), PASSING);
}

fn at(snapshot: &Snapshot, epoch: u32, msn: u64) -> Availability {
    availability(
        snapshot,
        SegmentId {
            epoch: Epoch(epoch),
            msn: Msn(msn),
        },
    )
}

#[test]
fn http_08_names_are_complete_growing_ahead_too_far_gone_or_never() {
    let window = WindowConfig {
        length: Duration::from_secs(6),
        linger: Duration::from_secs(2),
        ..WindowConfig::default()
    };
    let mut rendition = Rendition::with_window(config(), window);
    rendition.feed(&Show::default().session(21_000));
    let snapshot = rendition.snapshot();
    assert_eq!(
        (
            snapshot.first_msn(),
            snapshot.current.as_ref().unwrap().id.msn
        ),
        (Msn(7), Msn(10))
    );
    let expected = [
        (1, 10, Availability::Growing),
        (1, 11, Availability::Ahead),
        (1, 12, Availability::Ahead),
        (1, 13, Availability::TooFar),
        (1, 1_010, Availability::TooFar),
        (1, 9, Availability::Complete),
        (1, 7, Availability::Complete),
        // Not listed any more, but somebody may just be asking for it.
        (1, 6, Availability::Complete),
        (1, 0, Availability::Gone),
        (2, 9, Availability::Never),
        (2, 10, Availability::Never),
        (2, 11, Availability::Never),
        (0, 11, Availability::Never),
    ];
    for (epoch, msn, expected) in expected {
        assert_eq!(at(snapshot, epoch, msn), expected, "{epoch}.{msn}");
    }
    assert!(rendition.window.kept_from() <= Msn(6));
}

#[test]
fn while_the_publisher_is_away_only_the_next_epoch_is_ahead() {
    let mut rendition = live(5_000);
    rendition.end(EndReason::Lost);
    let snapshot = rendition.snapshot();
    assert_eq!(
        segment_uri(snapshot.next, hls::playlist::media::Form::Fmp4),
        "2.3.m4s"
    );
    assert_eq!(at(snapshot, 1, 2), Availability::Complete);
    assert_eq!(at(snapshot, 1, 3), Availability::Never);
    assert_eq!(at(snapshot, 2, 3), Availability::Ahead);
    assert_eq!(at(snapshot, 2, 4), Availability::Ahead);
    assert_eq!(at(snapshot, 2, 5), Availability::TooFar);
    assert!(init_may_come(snapshot, Epoch(2)) && !init_may_come(snapshot, Epoch(3)));
    rendition.finish();
    assert_eq!(at(rendition.snapshot(), 2, 3), Availability::Never);
}

#[test]
fn parts_are_ready_awaited_or_absent() {
    let rendition = live(4_500);
    let snapshot = rendition.snapshot();
    let part = |msn, part| {
        part_availability(
            snapshot,
            SegmentId {
                epoch: Epoch(1),
                msn: Msn(msn),
            },
            part,
        )
    };
    assert_eq!(part(2, 0), PartAvailability::Ready(0..6));
    assert_eq!(part(2, 1), PartAvailability::Ready(6..12));
    assert_eq!(part(2, 2), PartAvailability::Wait);
    assert_eq!(part(2, 3), PartAvailability::Absent);
    assert_eq!(part(3, 0), PartAvailability::Wait);
    assert_eq!(part(3, 1), PartAvailability::Absent);
    assert_eq!(part(1, 9), PartAvailability::Ready(54..60));
    assert_eq!(part(1, 10), PartAvailability::Absent);
    let other = SegmentId {
        epoch: Epoch(2),
        msn: Msn(2),
    };
    assert_eq!(
        part_availability(snapshot, other, 0),
        PartAvailability::Absent
    );
}
