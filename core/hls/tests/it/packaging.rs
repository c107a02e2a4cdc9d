//! Where segments and chunks begin and end.
//!
//! In → Out: synthetic sessions → what was cut.
//! Spec: design "Segments".

use hls::PackagerConfig;
use media::EndReason;

use crate::studio::{Rendition, Show};

#[test]
fn segments_are_cut_at_random_access_points_nearest_to_two_seconds() {
    let check = |gop: u64, expect: &[u64]| {
        let mut rendition = Rendition::new(PackagerConfig::default());
        rendition.feed(
            &Show {
                gop,
                ..Show::default()
            }
            .session(20_500),
        );
        let lengths: Vec<u64> = rendition
            .segments()
            .iter()
            .map(|(_, millis)| *millis)
            .take(expect.len())
            .collect();
        assert_eq!(lengths, expect, "GOP of {gop}");
    };
    check(15, &[2_000; 9]);
    check(30, &[2_000; 9]);
    check(45, &[1_500; 9]);
    check(60, &[2_000; 9]);
    check(120, &[4_000; 4]);
    check(300, &[10_000; 2]);
}

#[test]
fn a_broadcast_ends() {
    let mut rendition = Rendition::new(PackagerConfig::default());
    rendition
        .feed(&Show::default().session(5_000))
        .end(EndReason::Finished)
        .finish();
    assert_eq!(rendition.segments().len(), 3);
}
