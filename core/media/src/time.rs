//! Time as a type: media time, lengths, wall-clock time, and the timescales of containers.
//!
//! In → Out: ticks of a container's timescale ↔ nanoseconds; every conversion names its rounding.
//! Nanoseconds in 64 bits hold 292 years, and every tick of 90 kHz, 48 kHz or 44.1 kHz survives the round trip with
//! [`Rounding::Nearest`].
//! Spec: ISO/IEC 14496-12, "Media Header Box" (timescale); RFC 3339 (date-time text).

use std::fmt;
use std::num::NonZeroU32;
use std::ops::{Add, AddAssign, Sub, SubAssign};

const NANOS_PER_SECOND: i128 = 1_000_000_000;
const SECONDS_1900_TO_1970: u64 = 2_208_988_800;

/// How a conversion between units treats what does not divide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Towards negative infinity.
    Down,
    /// To the nearest value, halves up.
    Nearest,
    /// Towards positive infinity.
    Up,
}

/// Ticks per second of a container or protocol clock; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timescale(NonZeroU32);

impl Timescale {
    /// Milliseconds, RTMP's clock.
    pub const MILLIS: Self = Self::constant(1_000);
    /// 90 kHz, the clock of MPEG-TS and of our video tracks.
    pub const MPEG: Self = Self::constant(90_000);

    /// A timescale of `hertz` ticks per second; `None` for zero.
    pub fn new(hertz: u32) -> Option<Self> {
        NonZeroU32::new(hertz).map(Self)
    }

    /// Ticks per second.
    pub fn hertz(self) -> u32 {
        self.0.get()
    }

    const fn constant(hertz: u32) -> Self {
        match NonZeroU32::new(hertz) {
            Some(value) => Self(value),
            None => panic!("a timescale is not zero"),
        }
    }
}

fn divide(numerator: i128, denominator: i128, rounding: Rounding) -> i64 {
    let quotient = match rounding {
        Rounding::Down => numerator.div_euclid(denominator),
        Rounding::Nearest => (numerator * 2 + denominator).div_euclid(denominator * 2),
        Rounding::Up => -(-numerator).div_euclid(denominator),
    };
    i64::try_from(quotient).unwrap_or(if quotient < 0 { i64::MIN } else { i64::MAX })
}

fn ticks_to_nanos(ticks: i64, scale: Timescale) -> i64 {
    divide(
        i128::from(ticks) * NANOS_PER_SECOND,
        i128::from(scale.hertz()),
        Rounding::Nearest,
    )
}

fn nanos_to_ticks(nanos: i64, scale: Timescale, rounding: Rounding) -> i64 {
    divide(
        i128::from(nanos) * i128::from(scale.hertz()),
        NANOS_PER_SECOND,
        rounding,
    )
}

/// A point on a media timeline, in nanoseconds since that timeline's zero. May be negative (a DTS before the first PTS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The timeline's zero.
    pub const ZERO: Self = Self(0);

    /// From nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// From ticks of a timescale, to the nearest nanosecond.
    pub fn from_ticks(ticks: i64, scale: Timescale) -> Self {
        Self(ticks_to_nanos(ticks, scale))
    }

    /// Nanoseconds since the timeline's zero.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the timeline's zero, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Ticks of a timescale.
    pub fn to_ticks(self, scale: Timescale, rounding: Rounding) -> i64 {
        nanos_to_ticks(self.0, scale, rounding)
    }

    /// How far `self` is after `earlier`; negative if it is before.
    pub const fn since(self, earlier: Self) -> Delta {
        Delta(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add_unsigned(rhs.0))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub_unsigned(rhs.0))
    }
}

impl Add<Delta> for Timestamp {
    type Output = Self;
    fn add(self, rhs: Delta) -> Self {
        Self(self.0.saturating_add(rhs.0))
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

/// A length of time in nanoseconds; never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(u64);

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// From seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// From ticks of a timescale, to the nearest nanosecond.
    pub fn from_ticks(ticks: u32, scale: Timescale) -> Self {
        Self(ticks_to_nanos(i64::from(ticks), scale).unsigned_abs())
    }

    /// Nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Seconds as a floating-point number, for printing only.
    #[expect(
        clippy::cast_precision_loss,
        reason = "for printing; 52 bits of nanoseconds are 52 days exact"
    )]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Ticks of a timescale.
    pub fn to_ticks(self, scale: Timescale, rounding: Rounding) -> u64 {
        nanos_to_ticks(i64::try_from(self.0).unwrap_or(i64::MAX), scale, rounding).unsigned_abs()
    }

    /// `self − rhs`, or zero if that were negative.
    #[must_use]
    pub const fn saturating_sub(self, rhs: Self) -> Self {
        Self(self.0.saturating_sub(rhs.0))
    }

    /// `self × factor`.
    #[must_use]
    pub const fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
}

impl Add for Duration {
    type Output = Self;
    fn add(self, rhs: Self) -> Self {
        Self(self.0.saturating_add(rhs.0))
    }
}

impl AddAssign for Duration {
    fn add_assign(&mut self, rhs: Self) {
        *self = *self + rhs;
    }
}

impl From<Duration> for std::time::Duration {
    fn from(value: Duration) -> Self {
        Self::from_nanos(value.0)
    }
}

impl From<std::time::Duration> for Duration {
    fn from(value: std::time::Duration) -> Self {
        Self(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// A signed difference of two points in time, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Delta(i64);

impl Delta {
    /// No difference.
    pub const ZERO: Self = Self(0);

    /// From nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The length without its sign.
    pub const fn magnitude(self) -> Duration {
        Duration(self.0.unsigned_abs())
    }

    /// The length if it is not negative.
    pub const fn to_duration(self) -> Option<Duration> {
        if self.0 < 0 {
            None
        } else {
            Some(Duration(self.0.unsigned_abs()))
        }
    }

    /// Ticks of a timescale.
    pub fn to_ticks(self, scale: Timescale, rounding: Rounding) -> i64 {
        nanos_to_ticks(self.0, scale, rounding)
    }
}

impl Add for Delta {
    type Output = Self;
    fn add(self, rhs: Self) -> Self {
        Self(self.0.saturating_add(rhs.0))
    }
}

impl Sub for Delta {
    type Output = Self;
    fn sub(self, rhs: Self) -> Self {
        Self(self.0.saturating_sub(rhs.0))
    }
}

impl SubAssign for Delta {
    fn sub_assign(&mut self, rhs: Self) {
        *self = *self - rhs;
    }
}

/// Wall-clock time: nanoseconds since 1970-01-01T00:00:00Z, without leap seconds. Only `server/` and `web/` read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// From nanoseconds since the Unix epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// How far `self` is after `earlier`; negative if it is before.
    pub const fn since(self, earlier: Self) -> Delta {
        Delta(self.0.cast_signed().saturating_sub(earlier.0.cast_signed()))
    }

    /// The 64-bit NTP form of a `prft` box: seconds since 1900 in the upper half, the fraction in the lower.
    pub const fn to_ntp(self) -> u64 {
        let seconds = self.0 / 1_000_000_000 + SECONDS_1900_TO_1970;
        let fraction = ((self.0 % 1_000_000_000) << 32) / 1_000_000_000;
        (seconds << 32) | fraction
    }

    /// From the 64-bit NTP form, to the nearest nanosecond. Its seconds wrap in 2036: values before 1970 are after that.
    pub const fn from_ntp(ntp: u64) -> Self {
        let nanos = ((ntp & 0xffff_ffff) * 1_000_000_000 + (1 << 31)) >> 32;
        let seconds = (ntp >> 32).wrapping_sub(SECONDS_1900_TO_1970) & 0xffff_ffff;
        Self(seconds * 1_000_000_000 + nanos)
    }
}

impl Add<Delta> for UnixTime {
    type Output = Self;
    fn add(self, rhs: Delta) -> Self {
        Self(self.0.saturating_add_signed(rhs.0))
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs.0))
    }
}

/// RFC 3339 in UTC with milliseconds, as `EXT-X-PROGRAM-DATE-TIME` wants it: `2026-11-22T12:34:56.789Z`.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.as_millis();
        let (days, day_millis) = (millis / 86_400_000, millis % 86_400_000);
        // Civil date from days since 1970, in eras of 400 years that begin on 1 March (proleptic Gregorian calendar).
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_index = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_index + 2) / 5 + 1;
        let month = if month_index < 10 {
            month_index + 3
        } else {
            month_index - 9
        };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute) = (day_millis / 3_600_000, day_millis / 60_000 % 60);
        let (second, milli) = (day_millis / 1_000 % 60, day_millis % 1_000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_audio_tick_survives_the_round_trip() {
        for hertz in [8_000, 44_100, 48_000, 90_000, 96_000] {
            let scale = Timescale::new(hertz).unwrap();
            for ticks in (0..10_000_000).step_by(1_024).chain([1, 2, 3, -1, -1_023]) {
                assert_eq!(
                    Timestamp::from_ticks(ticks, scale).to_ticks(scale, Rounding::Nearest),
                    ticks
                );
            }
        }
    }

    #[test]
    fn rounding_is_what_it_is_called_also_below_zero() {
        let at = |nanos| Timestamp::from_nanos(nanos);
        assert_eq!(at(1_500_000).to_ticks(Timescale::MILLIS, Rounding::Down), 1);
        assert_eq!(
            at(1_500_000).to_ticks(Timescale::MILLIS, Rounding::Nearest),
            2
        );
        assert_eq!(at(1_000_001).to_ticks(Timescale::MILLIS, Rounding::Up), 2);
        assert_eq!(
            at(-1_500_000).to_ticks(Timescale::MILLIS, Rounding::Down),
            -2
        );
        assert_eq!(at(-1_500_000).to_ticks(Timescale::MILLIS, Rounding::Up), -1);
    }

    #[test]
    fn program_date_time_text_is_rfc_3339() {
        let text = |millis| UnixTime::from_millis(millis).to_string();
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(text(1_795_350_896_789), "2026-11-22T12:34:56.789Z");
        assert_eq!(text(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn ntp_time_counts_from_1900() {
        assert_eq!(
            UnixTime::from_millis(500).to_ntp(),
            (2_208_988_800 << 32) | 0x8000_0000
        );
        assert_eq!(
            UnixTime::from_ntp((2_208_988_800 << 32) | 0x8000_0000),
            UnixTime::from_millis(500)
        );
        let after_the_wrap = UnixTime::from_millis(2_085_978_496_000);
        assert_eq!(
            (after_the_wrap.to_ntp(), UnixTime::from_ntp(0)),
            (0, after_the_wrap)
        );
        let precise = UnixTime::from_nanos(1_795_350_896_789_123_456);
        assert_eq!(UnixTime::from_ntp(precise.to_ntp()), precise);
    }
}
