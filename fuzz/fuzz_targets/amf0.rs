//! AMF 0: what was decoded can be encoded and means the same again; nesting, numbers and strings stay in their bounds.
//!
//! In → Out: bytes → values, or a reason.
//! Covers: core/rtmp/src/amf0.rs
//! Spec: Adobe AMF 0, "AMF 0 Data Types".
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmp::amf0::{DEPTH_MAX, STRING_MAX, VALUES_MAX, Value, decode_all, decode_leading, encode_all};

/// How many values, and how deep.
fn measure(value: &Value, depth: usize) -> (usize, usize) {
    let inside: Vec<&Value> = match value {
        Value::Object(entries) | Value::EcmaArray(entries) => entries.iter().map(|(_, value)| value).collect(),
        Value::StrictArray(values) => values.iter().collect(),
        Value::String(text) => {
            // Replacing what is not UTF-8 may lengthen the text, three bytes for one.
            assert!(text.len() <= 3 * STRING_MAX);
            return (1, depth);
        }
        _ => return (1, depth),
    };
    inside.into_iter().fold((1, depth), |(count, deepest), value| {
        let (more, deep) = measure(value, depth + 1);
        (count + more, deepest.max(deep))
    })
}

fuzz_target!(|input: &[u8]| {
    let leading = decode_leading(input);
    let count: usize = leading.iter().map(|value| measure(value, 0).0).sum();
    assert!(count <= VALUES_MAX + 1);
    assert!(leading.iter().all(|value| measure(value, 0).1 <= DEPTH_MAX));
    let Ok(values) = decode_all(input) else { return };
    let written = encode_all(&values);
    // A replaced character may have made a string too long to be written as a short one; then there is nothing to compare.
    if let Ok(again) = decode_all(&written) {
        // Bytes, not values: NaN is not equal to itself.
        assert_eq!(encode_all(&again), written);
        assert_eq!(again.len(), values.len());
    }
});
