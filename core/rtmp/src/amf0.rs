//! AMF 0 values: what RTMP commands and metadata are written in.
//!
//! In → Out: bytes ↔ [`Value`]. Depth, number of values and string length are bounded while decoding.
//! Spec: Adobe AMF 0 (Action Message Format, December 2007), section 2 "AMF 0 Data Types".

/// How many levels objects and arrays may nest.
pub const DEPTH_MAX: usize = 16;
/// How many values one message may hold, at all levels together.
pub const VALUES_MAX: usize = 1_024;
/// The longest string or key, in bytes.
pub const STRING_MAX: usize = 65_536;

/// One AMF 0 value. Object entries keep their order; keys may repeat.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An IEEE 754 double, the only kind of number there is.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Text; what is not UTF-8 is replaced while decoding.
    String(String),
    /// A list of named values.
    Object(Vec<(String, Value)>),
    /// A list of named values under another marker, as `onMetaData` uses it.
    EcmaArray(Vec<(String, Value)>),
    /// A list of values.
    StrictArray(Vec<Value>),
    /// Milliseconds since 1970, UTC.
    Date(f64),
    /// No value.
    Null,
    /// No value either.
    Undefined,
}

impl Value {
    /// A string value.
    pub fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// The text of a string value.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number of a number value.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The first entry with this key, if the value is an object or an ECMA array.
    pub fn field(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) | Self::EcmaArray(entries) => entries
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value),
            _ => None,
        }
    }
}

/// Why bytes are not AMF 0 that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Amf0Error {
    /// The bytes end inside a value.
    #[error("value is cut off at byte {0}")]
    Truncated(usize),
    /// A type marker that we do not know or do not take (references, AMF 3, recordsets).
    #[error("type marker {marker:#04x} at byte {at} is not taken")]
    Marker {
        /// The marker.
        marker: u8,
        /// Where it stands.
        at: usize,
    },
    /// More than [`DEPTH_MAX`] levels.
    #[error("nested deeper than {DEPTH_MAX} levels")]
    Depth,
    /// More than [`VALUES_MAX`] values.
    #[error("more than {VALUES_MAX} values")]
    Values,
    /// A string longer than [`STRING_MAX`].
    #[error("string longer than {STRING_MAX} bytes at byte {0}")]
    StringLength(usize),
}

/// Reads all values of a message.
pub fn decode_all(bytes: &[u8]) -> Result<Vec<Value>, Amf0Error> {
    let mut decoder = Decoder {
        bytes,
        at: 0,
        values: 0,
    };
    let mut values = Vec::new();
    while decoder.at < bytes.len() {
        values.push(decoder.value(0)?);
    }
    Ok(values)
}

/// Reads as many leading values as are well formed. Encoders that append rubbish to their metadata are still understood.
pub fn decode_leading(bytes: &[u8]) -> Vec<Value> {
    let mut decoder = Decoder {
        bytes,
        at: 0,
        values: 0,
    };
    let mut values = Vec::new();
    while decoder.at < bytes.len() {
        let Ok(value) = decoder.value(0) else { break };
        values.push(value);
    }
    values
}

struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    values: usize,
}

impl<'a> Decoder<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Amf0Error> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..length).ok_or(Amf0Error::Truncated(self.at))?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Amf0Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Amf0Error> {
        if depth >= DEPTH_MAX {
            return Err(Amf0Error::Depth);
        }
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(Amf0Error::Values);
        }
        let at = self.at;
        let [marker] = self.array()?;
        Ok(match marker {
            marker::NUMBER => Value::Number(f64::from_be_bytes(self.array()?)),
            marker::BOOLEAN => Value::Boolean(self.array::<1>()? != [0]),
            marker::STRING => Value::String(self.short_string()?),
            marker::OBJECT => Value::Object(self.entries(depth)?),
            marker::NULL => Value::Null,
            marker::UNDEFINED | marker::UNSUPPORTED => Value::Undefined,
            marker::ECMA_ARRAY => {
                // The count is a hint that encoders get wrong; the end marker counts.
                self.take(4)?;
                Value::EcmaArray(self.entries(depth)?)
            }
            marker::STRICT_ARRAY => self.strict_array(depth)?,
            marker::DATE => {
                let millis = f64::from_be_bytes(self.array()?);
                self.take(2)?;
                Value::Date(millis)
            }
            marker::LONG_STRING | marker::XML => Value::String(self.long_string()?),
            marker::TYPED_OBJECT => {
                self.short_string()?;
                Value::Object(self.entries(depth)?)
            }
            marker => return Err(Amf0Error::Marker { marker, at }),
        })
    }

    fn short_string(&mut self) -> Result<String, Amf0Error> {
        let length = u16::from_be_bytes(self.array()?);
        Ok(String::from_utf8_lossy(self.take(length.into())?).into_owned())
    }

    fn long_string(&mut self) -> Result<String, Amf0Error> {
        let at = self.at;
        let length = u32::from_be_bytes(self.array()?);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > STRING_MAX {
            return Err(Amf0Error::StringLength(at));
        }
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<(String, Value)>, Amf0Error> {
        let mut entries = Vec::new();
        loop {
            let key = self.short_string()?;
            if key.is_empty() && self.bytes.get(self.at) == Some(&marker::OBJECT_END) {
                self.at += 1;
                return Ok(entries);
            }
            entries.push((key, self.value(depth + 1)?));
        }
    }

    fn strict_array(&mut self, depth: usize) -> Result<Value, Amf0Error> {
        let count = u32::from_be_bytes(self.array()?);
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value(depth + 1)?);
        }
        Ok(Value::StrictArray(values))
    }
}

/// Appends one value. Keys longer than 65,535 bytes are cut.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(number) => {
            out.push(marker::NUMBER);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Boolean(flag) => out.extend_from_slice(&[marker::BOOLEAN, u8::from(*flag)]),
        Value::String(text) => encode_string(text, out),
        Value::Object(entries) => {
            out.push(marker::OBJECT);
            encode_entries(entries, out);
        }
        Value::EcmaArray(entries) => {
            out.push(marker::ECMA_ARRAY);
            out.extend_from_slice(&count(entries.len()).to_be_bytes());
            encode_entries(entries, out);
        }
        Value::StrictArray(values) => {
            out.push(marker::STRICT_ARRAY);
            out.extend_from_slice(&count(values.len()).to_be_bytes());
            for value in values {
                encode(value, out);
            }
        }
        Value::Date(millis) => {
            out.push(marker::DATE);
            out.extend_from_slice(&millis.to_be_bytes());
            out.extend_from_slice(&[0, 0]);
        }
        Value::Null => out.push(marker::NULL),
        Value::Undefined => out.push(marker::UNDEFINED),
    }
}

/// The bytes of several values, one after the other.
pub fn encode_all(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        encode(value, &mut out);
    }
    out
}

fn encode_string(text: &str, out: &mut Vec<u8>) {
    if let Ok(length) = u16::try_from(text.len()) {
        out.push(marker::STRING);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(marker::LONG_STRING);
        out.extend_from_slice(&count(text.len()).to_be_bytes());
    }
    out.extend_from_slice(text.as_bytes());
}

fn encode_entries(entries: &[(String, Value)], out: &mut Vec<u8>) {
    for (key, value) in entries {
        let length = u16::try_from(key.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&key.as_bytes()[..usize::from(length)]);
        encode(value, out);
    }
    out.extend_from_slice(&[0, 0, marker::OBJECT_END]);
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

mod marker {
    pub(super) const NUMBER: u8 = 0x00;
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const STRING: u8 = 0x02;
    pub(super) const OBJECT: u8 = 0x03;
    pub(super) const NULL: u8 = 0x05;
    pub(super) const UNDEFINED: u8 = 0x06;
    pub(super) const ECMA_ARRAY: u8 = 0x08;
    pub(super) const OBJECT_END: u8 = 0x09;
    pub(super) const STRICT_ARRAY: u8 = 0x0A;
    pub(super) const DATE: u8 = 0x0B;
    pub(super) const LONG_STRING: u8 = 0x0C;
    pub(super) const UNSUPPORTED: u8 = 0x0D;
    pub(super) const XML: u8 = 0x0F;
    pub(super) const TYPED_OBJECT: u8 = 0x10;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> Vec<u8> {
        let mut value = Value::Null;
        for _ in 1..levels {
            value = Value::StrictArray(vec![value]);
        }
        encode_all(&[value])
    }

    #[test]
    fn a_connect_command_reads_as_its_values() {
        let bytes = [
            &[2, 0, 7][..],
            b"connect",
            &[0, 0x3F, 0xF0, 0, 0, 0, 0, 0, 0],
            &[3, 0, 3],
            b"app",
            &[2, 0, 4],
            b"live",
            &[0, 0, 9],
        ]
        .concat();
        let expect = [
            Value::string("connect"),
            Value::Number(1.0),
            Value::Object(vec![("app".into(), Value::string("live"))]),
        ];
        assert_eq!(decode_all(&bytes).unwrap(), expect);
        assert_eq!(encode_all(&expect), bytes);
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(decode_all(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(decode_all(&nested(DEPTH_MAX + 1)), Err(Amf0Error::Depth));
    }

    #[test]
    fn the_number_of_values_is_bounded_whatever_an_array_declares() {
        let mut bytes = vec![0x0A, 0xFF, 0xFF, 0xFF, 0xFF];
        bytes.resize(5 + VALUES_MAX, 0x05);
        assert_eq!(decode_all(&bytes), Err(Amf0Error::Values));
        bytes.truncate(100);
        assert_eq!(decode_all(&bytes), Err(Amf0Error::Truncated(100)));
    }

    #[test]
    fn a_long_string_is_never_believed_beyond_its_bytes() {
        assert_eq!(
            decode_all(&[0x0C, 0xFF, 0xFF, 0xFF, 0xFF, 0]),
            Err(Amf0Error::StringLength(1))
        );
        assert_eq!(
            decode_all(&[0x0C, 0, 0, 1, 0, 0]),
            Err(Amf0Error::Truncated(5))
        );
    }

    #[test]
    fn references_and_amf_3_are_refused_by_marker() {
        assert_eq!(
            decode_all(&[0x07, 0, 0]),
            Err(Amf0Error::Marker { marker: 7, at: 0 })
        );
        assert_eq!(
            decode_all(&[0x05, 0x11]),
            Err(Amf0Error::Marker {
                marker: 0x11,
                at: 1
            })
        );
        assert_eq!(decode_leading(&[0x05, 0x11]), [Value::Null]);
    }
}
