//! Pictures that a publisher left out: the next one takes their place.
//!
//! In → Out: pictures as they come → the same, begun where the one before ended if some are missing between.
//! A picture is sent before anybody knows when the next one comes, so it is said to last as long as usual. When the next
//! is late (encoders on a bad uplink leave pictures out), players see a hole, drop everything up to the next random access
//! point, and stand still. A picture that comes late is therefore decoded where the hole begins and lasts until its own
//! end. It is also shown from there, unless others are shown out of decode order around it.
//!
//! Spec: Media Source Extensions, "Coded Frame Processing" (a distance of more than twice the last duration breaks off).

use media::{Delta, Duration, Timestamp};

use super::chunk::Taken;

/// Offsets of regular pictures differ by what rounding to milliseconds makes of them.
const SAME_OFFSET: Duration = Duration::from_millis(2);

/// What the pictures so far claim to cover.
#[derive(Debug, Default)]
pub(super) struct Cover {
    /// Where the newest picture is said to end, in decode time.
    decoded: Option<Timestamp>,
    /// Where the last shown picture is said to end.
    shown: Option<Timestamp>,
    /// From decoding to showing, of the first picture.
    offset: Option<Delta>,
    reorders: bool,
}

impl Cover {
    /// What comes now is not continuous with what was before.
    pub(super) fn forget(&mut self) {
        (self.decoded, self.shown) = (None, None);
    }

    /// Lets a late picture begin where the one before it ended.
    pub(super) fn close_hole(&mut self, picture: &mut Taken) {
        let offset = picture.pts.since(picture.dts);
        let first = *self.offset.get_or_insert(offset);
        self.reorders |= (offset - first).magnitude() > SAME_OFFSET;
        if let (Some(decoded), Some(shown)) = (self.decoded, self.shown)
            && let Some(hole) = picture.dts.since(decoded).to_duration()
            && hole > picture.duration
        {
            picture.dts = decoded;
            picture.duration += hole;
            if !self.reorders || picture.random_access {
                let (pts, earliest) = (picture.pts, picture.pts - hole);
                picture.pts = pts.min(earliest.max(shown));
                picture.wall = picture.wall + picture.pts.since(pts);
            }
        }
        self.decoded = Some(picture.end());
        let end = picture.pts + picture.duration;
        self.shown = Some(self.shown.map_or(end, |shown| shown.max(end)));
    }
}
