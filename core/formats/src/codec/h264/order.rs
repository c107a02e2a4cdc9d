//! Whether pictures come in the order in which they are shown.
//!
//! In → Out: a protocol's stamps and slice types, picture by picture → the [`Order`] that may be told to decoders.
//! An encoder that reorders gives its first pictures composition offsets, so a stream counts as in order until a picture
//! says otherwise; that is never taken back.
//! Spec: ITU-T H.264, E.2.1 "VUI parameters semantics" (`max_num_reorder_frames`), 7.4.3 (`slice_type`).

use super::{Picture, Prediction, Sps};

/// What is known of the order of pictures, beside what parameter sets say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Nothing came out of order, nor looked as if it could: sets that are silent are taken to mean that nothing does.
    InOrder,
    /// Nothing is known but what the profile and the picture order count rule out.
    #[default]
    Unknown,
    /// Pictures came out of order, whatever the profile is.
    Reordered,
}

impl Order {
    /// How many pictures a decoder must hold back, if it can be told.
    pub(super) fn reorder_frames(self, sps: &Sps) -> Option<u8> {
        match self {
            Self::InOrder if sps.is_silent() => Some(0),
            Self::Reordered if sps.is_silent() => None,
            _ => sps.reorder_frames,
        }
    }
}

/// Watches one stream on a clock of 32-bit milliseconds. Its memory does not grow.
#[derive(Clone, Debug)]
pub struct OrderWatch {
    order: Order,
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    dts: u32,
    /// The latest presentation so far, counted from `dts`.
    ahead: i64,
}

/// Stamps are rounded each for itself.
const ROUNDING_MILLIS: i64 = 1;
/// After a longer step, or one back, stamps are not comparable with those before.
const STEP_MAX_MILLIS: u32 = 10_000;

impl Default for OrderWatch {
    fn default() -> Self {
        Self {
            order: Order::InOrder,
            last: None,
        }
    }
}

impl OrderWatch {
    /// Takes a picture with its decoding time and its presentation after that, both in milliseconds.
    pub fn handle(&mut self, picture: &Picture, dts: u32, composition: i32) {
        let composition = i64::from(composition);
        let ahead = self.last.and_then(|last| {
            let step = dts.wrapping_sub(last.dts);
            (step <= STEP_MAX_MILLIS).then(|| last.ahead - i64::from(step))
        });
        let found = if ahead.is_some_and(|ahead| composition + ROUNDING_MILLIS < ahead) {
            Order::Reordered
        } else if picture.prediction == Prediction::Bidirectional
            || composition.abs() > ROUNDING_MILLIS
        {
            Order::Unknown
        } else {
            Order::InOrder
        };
        self.order = self.order.max(found);
        let ahead = ahead.map_or(composition, |ahead| ahead.max(composition));
        self.last = Some(Last { dts, ahead });
    }

    /// What the pictures so far tell.
    pub fn order(&self) -> Order {
        self.order
    }
}
