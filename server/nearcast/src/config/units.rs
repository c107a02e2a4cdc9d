//! Lengths of time and sizes as people write them in a configuration: `"333ms"`, `"30s"`, `"8MiB"`.
//!
//! In → Out: text with a unit ↔ `Duration` or bytes; a bare number is refused, because its unit would be a guess.
//! Spec: none; our own.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time: a whole number and `ms`, `s`, `m` or `h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(pub(crate) Duration);

/// A number of bytes: a whole number and `B`, `KiB`, `MiB` or `GiB` (or `kB`, `MB`, `GB` for powers of ten).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

const TIME_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

impl Time {
    /// From whole milliseconds.
    pub(crate) const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// From whole seconds.
    pub(crate) const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    fn parse(text: &str) -> Option<Self> {
        with_unit(text, &TIME_UNITS).map(Self::millis)
    }
}

impl FromStr for Time {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| {
            format!(
                "`{text}` is not a length of time such as \"30s\" or \"333ms\" (units: ms, s, m, h)"
            )
        })
    }
}

impl Size {
    fn parse(text: &str) -> Option<Self> {
        with_unit(text, &SIZE_UNITS).map(Self)
    }
}

/// `digits` and then exactly one of the units; `None` otherwise or on overflow.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The largest unit that divides the value.
fn in_units(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let (name, factor) = units
        .iter()
        .rev()
        .find(|(_, factor)| value != 0 && value.is_multiple_of(*factor))
        .unwrap_or(&units[0]);
    write!(f, "{}{name}", value / factor)
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_units(
            f,
            u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX),
            &TIME_UNITS,
        )
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_units(f, self.0, &SIZE_UNITS)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is not a size such as \"8MiB\" (units: B, kB, KiB, MB, MiB, GB, GiB)"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_needs_a_unit_and_comes_back_as_written() {
        for (text, millis) in [
            ("333ms", 333),
            ("30s", 30_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("0ms", 0),
        ] {
            assert_eq!(Time::parse(text), Some(Time::millis(millis)));
            assert_eq!(Time::millis(millis).to_string(), text);
        }
        for bad in [
            "",
            "30",
            "s",
            "1.5s",
            "-1s",
            "3 weeks",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(Time::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_size_needs_a_unit_and_comes_back_as_written() {
        for (text, bytes) in [
            ("8MiB", 8 << 20),
            ("64KiB", 64 << 10),
            ("5MB", 5_000_000),
            ("1B", 1),
            ("0B", 0),
        ] {
            assert_eq!(Size::parse(text), Some(Size(bytes)));
            assert_eq!(Size(bytes).to_string(), text);
        }
        for bad in ["8", "8M", "MiB", "8mib"] {
            assert_eq!(Size::parse(bad), None, "{bad:?}");
        }
    }
}
