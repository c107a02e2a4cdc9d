//! What a publisher could do better, found in what it sends.
//!
//! In → Out: a broadcast's events → the [`Advice`] that holds now. Cheap: a few comparisons a unit.
//! Spec: ITU-T H.264 (2019), 7.4.2.1.1 (profiles), E.2.1 (`max_num_reorder_frames`); issue "Every viewer's own quality".

use media::{Delta, Event, Scan, Timestamp, Track, TrackId, VideoConfig};

/// One thing to say to a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Advice {
    /// Pictures come in another order than they are shown.
    BFrames,
    /// The stream does not say that nothing is reordered.
    ReorderHintMissing,
    /// Key frames are more than four seconds apart.
    LongGop,
    /// Browsers cannot be relied upon to decode it.
    ProfileNotForBrowsers,
    /// Pictures may be made of fields.
    Interlaced,
    /// There is no sound.
    NoSound,
    /// The server encodes the picture anew, in its own size, because of what else is said.
    Repaired,
    /// It tried, and its encoder failed too often.
    RepairFailed,
}

impl Advice {
    /// For programs; does not change.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BFrames => "b_frames",
            Self::ReorderHintMissing => "reorder_hint_missing",
            Self::LongGop => "long_gop",
            Self::ProfileNotForBrowsers => "profile_not_for_browsers",
            Self::Interlaced => "interlaced",
            Self::NoSound => "no_sound",
            Self::Repaired => "repaired",
            Self::RepairFailed => "repair_failed",
        }
    }

    /// For people: what is wrong and what to do.
    pub const fn message(self) -> &'static str {
        match self {
            Self::BFrames => {
                "The encoder uses B-frames, which hold every picture back: set B-frames to 0 (in OBS: tune \"zerolatency\")."
            }
            Self::ReorderHintMissing => {
                "The stream does not say that its pictures are in order, so some players hold a few back: choose the Baseline profile, or an encoder that writes bitstream restrictions."
            }
            Self::LongGop => {
                "Key frames are more than 4 s apart, so viewers wait long for their first picture: set the key frame interval to 2 s."
            }
            Self::ProfileNotForBrowsers => {
                "The picture has more than 8 bits or more colour than 4:2:0, which many browsers cannot decode: choose the High profile with 8 bit 4:2:0. As it is, players are offered smaller renditions only."
            }
            Self::Interlaced => {
                "The picture may be interlaced, which browsers show with combs: choose a progressive mode of the camera or the encoder."
            }
            Self::Repaired => {
                "The server encodes the picture anew so that viewers get it, and soon; that costs some of its quality. It need not once the rest of this advice is followed."
            }
            Self::RepairFailed => {
                "The server could not encode the picture anew and passes it on as it is: follow the rest of this advice, or connect again to let it try once more."
            }
            Self::NoSound => {
                "There is no sound in the stream: if that is not meant, check the encoder's audio track."
            }
        }
    }
}

/// Watches one broadcast's events.
#[derive(Debug, Default)]
pub(crate) struct Adviser {
    video: Option<Picture>,
    silent: bool,
}

#[derive(Debug)]
struct Picture {
    for_browsers: bool,
    scan: Scan,
    hint: Option<u8>,
    reordered: bool,
    newest: Option<Timestamp>,
    last_key: Option<Timestamp>,
    long_gop: bool,
}

/// Four seconds, and a key frame may be a little late.
const GOP_MAX: Delta = Delta::from_millis(4_250);

impl Adviser {
    /// Takes the broadcast's next event.
    pub(crate) fn handle(&mut self, event: &Event) {
        match event {
            Event::Tracks(tracks) => {
                self.video = tracks.iter().find_map(Track::video).map(Picture::new);
                self.silent = !tracks.iter().any(|track| track.id == TrackId::AUDIO);
            }
            Event::Unit(unit) if unit.track == TrackId::VIDEO => {
                if let Some(video) = &mut self.video {
                    video.take(unit.pts, unit.random_access);
                }
            }
            Event::Discontinuity(_) => {
                if let Some(video) = &mut self.video {
                    (video.newest, video.last_key) = (None, None);
                }
            }
            Event::Unit(_) | Event::End(_) => {}
        }
    }

    /// Whether there is a picture that players cannot take as it is, or not soon.
    pub(crate) fn wants_repair(&self) -> bool {
        self.video.as_ref().is_some_and(|video| {
            // A decoder believes the hint, whatever comes.
            video.reordered
                || video.hint != Some(0)
                || video.long_gop
                || !video.for_browsers
                || video.scan == Scan::Interlaced
        })
    }

    /// What holds now, gravest first.
    pub(crate) fn advice(&self) -> Vec<Advice> {
        let video = self.video.as_ref();
        let holds = [
            (Advice::BFrames, video.is_some_and(|video| video.reordered)),
            (
                Advice::ReorderHintMissing,
                video.is_some_and(|video| video.hint.is_none() && !video.reordered),
            ),
            (Advice::LongGop, video.is_some_and(|video| video.long_gop)),
            (
                Advice::ProfileNotForBrowsers,
                video.is_some_and(|video| !video.for_browsers),
            ),
            (
                Advice::Interlaced,
                video.is_some_and(|video| video.scan == Scan::Interlaced),
            ),
            (Advice::NoSound, self.silent),
        ];
        holds
            .into_iter()
            .filter_map(|(advice, holds)| holds.then_some(advice))
            .collect()
    }
}

impl Picture {
    fn new(video: &VideoConfig) -> Self {
        Self {
            for_browsers: video.is_for_browsers(),
            scan: video.scan,
            hint: video.reorder_frames,
            reordered: false,
            newest: None,
            last_key: None,
            long_gop: false,
        }
    }

    fn take(&mut self, pts: Timestamp, random_access: bool) {
        self.reordered |= self.newest.is_some_and(|newest| pts < newest);
        self.newest = self.newest.max(Some(pts));
        let long = self.last_key.is_some_and(|last| pts.since(last) > GOP_MAX);
        if random_access {
            self.long_gop = long;
            self.last_key = Some(pts);
        } else {
            self.long_gop |= long;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use media::{AccessUnit, Rotation, TrackConfig, UnixTime, VideoCodec};

    fn tracks(profile: u8, reorder_frames: Option<u8>) -> Event {
        let video = VideoConfig {
            codec: VideoCodec::H264,
            width: 640,
            height: 360,
            frame_duration: None,
            decoder_config: Bytes::from(vec![1, profile, 0, 30]),
            codec_string: String::new(),
            rotation: Rotation::None,
            reorder_frames,
            scan: Scan::Progressive,
        };
        Event::Tracks(vec![Track {
            id: TrackId::VIDEO,
            config: TrackConfig::Video(video),
        }])
    }

    fn picture(millis: i64, random_access: bool) -> Event {
        let pts = Timestamp::from_millis(millis);
        Event::Unit(AccessUnit {
            track: TrackId::VIDEO,
            pts,
            dts: pts,
            duration: None,
            wall: UnixTime::from_millis(0),
            random_access,
            payload: Bytes::new(),
        })
    }

    fn check(tracks: &Event, pictures: &[(i64, bool)], expect: &[Advice]) {
        let mut adviser = Adviser::default();
        adviser.handle(tracks);
        for (millis, random_access) in pictures {
            adviser.handle(&picture(*millis, *random_access));
        }
        assert_eq!(adviser.advice(), expect, "{pictures:?}");
    }

    const GOOD: [(i64, bool); 4] = [(0, true), (1_000, false), (2_000, true), (2_033, false)];

    #[test]
    fn a_good_stream_gets_none_but_that_it_is_silent() {
        check(&tracks(100, Some(0)), &GOOD, &[Advice::NoSound]);
    }

    #[test]
    fn pictures_that_come_out_of_order_are_b_frames_whatever_the_hint_says() {
        let reordered = [(0, true), (100, false), (33, false), (67, false)];
        check(
            &tracks(100, Some(2)),
            &reordered,
            &[Advice::BFrames, Advice::NoSound],
        );
        check(
            &tracks(100, None),
            &reordered,
            &[Advice::BFrames, Advice::NoSound],
        );
    }

    #[test]
    fn a_missing_hint_a_long_gop_and_ten_bits_are_each_told() {
        check(
            &tracks(100, None),
            &GOOD,
            &[Advice::ReorderHintMissing, Advice::NoSound],
        );
        check(
            &tracks(100, Some(0)),
            &[(0, true), (5_000, false)],
            &[Advice::LongGop, Advice::NoSound],
        );
        check(
            &tracks(110, Some(0)),
            &GOOD,
            &[Advice::ProfileNotForBrowsers, Advice::NoSound],
        );
    }

    #[test]
    fn a_gop_that_gets_shorter_again_is_forgiven() {
        let shorter = [(0, true), (5_000, true), (7_000, true)];
        check(&tracks(100, Some(0)), &shorter, &[Advice::NoSound]);
    }
}
