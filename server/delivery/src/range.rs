//! Byte ranges of a request.
//!
//! In → Out: the `Range` header → one range, or none where the header is to be ignored (several ranges, other units, nonsense,
//! a condition that cannot hold because objects carry no validator).
//! Spec: RFC 9110, "Range" (14.2), "If-Range" (13.1.5).

use http::Method;
use http::header::{IF_RANGE, RANGE};
use http::request::Parts;

/// One range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteRange {
    /// From this byte to the end.
    From(u64),
    /// From the first to the second, both included.
    Between(u64, u64),
    /// This many bytes at the end.
    Last(u64),
}

/// The range that a request asks for.
pub(crate) fn requested(request: &Parts) -> Option<ByteRange> {
    if request.method != Method::GET || request.headers.contains_key(IF_RANGE) {
        return None;
    }
    let mut values = request.headers.get_all(RANGE).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    ByteRange::parse(value.to_str().ok()?)
}

impl ByteRange {
    fn parse(text: &str) -> Option<Self> {
        let (unit, range) = text.split_once('=')?;
        let (first, last) = range.trim().split_once('-')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Some(Self::Between(first, last)),
            (Some(first), None) if last.is_empty() => Some(Self::From(first)),
            (None, Some(count)) if first.is_empty() => Some(Self::Last(count)),
            _ => None,
        }
    }

    /// The bytes `[start, end)` of an object of `total` bytes; `None` if there are none.
    pub(crate) fn within(self, total: u64) -> Option<(u64, u64)> {
        let (start, end) = match self {
            Self::From(first) => (first, total),
            Self::Between(first, last) => (first, last.saturating_add(1).min(total)),
            Self::Last(count) => (total.saturating_sub(count), total),
        };
        (start < end).then_some((start, end))
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_object() {
        let within = |text| ByteRange::parse(text).and_then(|range| range.within(10));
        assert_eq!(within("bytes=0-"), Some((0, 10)));
        assert_eq!(within("bytes=3-4"), Some((3, 5)));
        assert_eq!(within("bytes=3-99"), Some((3, 10)));
        assert_eq!(within("bytes=-4"), Some((6, 10)));
        assert_eq!(within("bytes=-99"), Some((0, 10)));
        assert_eq!(within("bytes=10-"), None);
        assert_eq!(within("bytes=-0"), None);
    }

    #[test]
    fn what_is_not_one_range_of_bytes_is_ignored() {
        for text in [
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=4-3",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=a-",
            "bytes=+1-",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(ByteRange::parse(text), None, "{text}");
        }
    }
}
