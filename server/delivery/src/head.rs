//! The head of an HTTP/1.x message: requests parsed, responses written.
//!
//! In → Out: bytes of a peer → [`Head`], or "more", or the status that refuses them; a response's status and headers → bytes.
//! What two parsers could read differently (two lengths, a length beside a coding, folded lines) is refused.
//! Spec: RFC 9112, "Message Format" (2), "Message Body Length" (6.3), "Connection Management" (9).

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderName, Method, Request, StatusCode, Uri, Version};

use crate::route::TARGET_BYTES_MAX;

/// A request's head and what follows from it for the connection.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) parts: Parts,
    /// Bytes of the head.
    pub(crate) bytes: usize,
    /// How its body comes.
    pub(crate) body: BodyKind,
    /// Whether another request may follow.
    pub(crate) keep_alive: bool,
}

/// How a request's body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// This many bytes, perhaps none.
    Length(u64),
    /// In a way that only a full server handles: chunked, after 100-continue, or as another protocol.
    Streamed,
}

/// Whether these are the first bytes of an HTTP/2 connection; `None` if more are needed to tell.
pub(crate) fn is_http2(bytes: &[u8]) -> Option<bool> {
    let known = bytes.len().min(PREFACE.len());
    match bytes[..known] == PREFACE[..known] {
        false => Some(false),
        true if known == PREFACE.len() => Some(true),
        true => None,
    }
}

/// Parses a head; `Ok(None)` if it is not complete within fewer than `bytes_max` bytes yet.
pub(crate) fn parse(bytes: &[u8], bytes_max: usize) -> Result<Option<Head>, StatusCode> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= bytes_max => length,
        Ok(httparse::Status::Partial) if bytes.len() < bytes_max && !is_target_endless(bytes) => {
            return Ok(None);
        }
        Ok(_) if is_target_endless(bytes) => return Err(StatusCode::URI_TOO_LONG),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        Err(httparse::Error::Version) => return Err(StatusCode::HTTP_VERSION_NOT_SUPPORTED),
        Err(_) => return Err(StatusCode::BAD_REQUEST),
    };
    let version = if request.version == Some(0) {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    };
    let parts = parts(&request, version)?;
    let body = body(&parts.headers, version)?;
    let keep_alive = version == Version::HTTP_11 && !has_token(&parts.headers, "close");
    Ok(Some(Head {
        parts,
        bytes: length,
        body,
        keep_alive,
    }))
}

fn parts(request: &httparse::Request<'_, '_>, version: Version) -> Result<Parts, StatusCode> {
    let target = request.path.unwrap_or_default();
    if target.len() > TARGET_BYTES_MAX {
        return Err(StatusCode::URI_TOO_LONG);
    }
    let mut parts = Request::new(()).into_parts().0;
    parts.version = version;
    parts.method = Method::from_bytes(request.method.unwrap_or_default().as_bytes())
        .map_err(|_| StatusCode::BAD_REQUEST)?;
    parts.uri = Uri::try_from(target).map_err(|_| StatusCode::BAD_REQUEST)?;
    parts.headers.reserve(request.headers.len());
    for header in request.headers.iter() {
        let name =
            HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| StatusCode::BAD_REQUEST)?;
        let value = HeaderValue::from_bytes(header.value).map_err(|_| StatusCode::BAD_REQUEST)?;
        parts.headers.append(name, value);
    }
    let hosts = parts.headers.get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && version == Version::HTTP_11) {
        return Err(StatusCode::BAD_REQUEST);
    }
    Ok(parts)
}

fn body(headers: &HeaderMap, version: Version) -> Result<BodyKind, StatusCode> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = match (lengths.next(), lengths.next()) {
        (None, _) => None,
        (Some(length), None) => Some(decimal(length.as_bytes()).ok_or(StatusCode::BAD_REQUEST)?),
        (Some(_), Some(_)) => return Err(StatusCode::BAD_REQUEST),
    };
    if headers.contains_key(TRANSFER_ENCODING) {
        // A length beside a coding, or a coding in HTTP/1.0, is how requests are smuggled.
        let sound = length.is_none() && version == Version::HTTP_11;
        return if sound {
            Ok(BodyKind::Streamed)
        } else {
            Err(StatusCode::BAD_REQUEST)
        };
    }
    if headers.contains_key(EXPECT)
        || (headers.contains_key(UPGRADE) && has_token(headers, "upgrade"))
    {
        return Ok(BodyKind::Streamed);
    }
    Ok(BodyKind::Length(length.unwrap_or(0)))
}

/// Whether a `Connection` header lists this option.
fn has_token(headers: &HeaderMap, token: &str) -> bool {
    let values = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case(token))
}

fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text)
        .ok()
        .filter(|_| digits)?
        .parse()
        .ok()
}

/// Whether the first line has no end within the longest target.
fn is_target_endless(bytes: &[u8]) -> bool {
    bytes.len() > TARGET_BYTES_MAX + METHOD_BYTES
        && !bytes[..TARGET_BYTES_MAX + METHOD_BYTES].contains(&b'\n')
}

/// How a response's body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delimited {
    /// By the headers as they are: a length, or no body at all.
    AsIs,
    /// By chunked coding.
    Chunked,
    /// By the end of the connection.
    Close,
}

/// Writes a response's head.
pub(crate) fn write(
    status: StatusCode,
    headers: &HeaderMap,
    delimited: Delimited,
    keep_alive: bool,
) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(b"HTTP/1.1 ");
    text.extend_from_slice(status.as_str().as_bytes());
    text.push(b' ');
    text.extend_from_slice(status.canonical_reason().unwrap_or("Status").as_bytes());
    text.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    if !headers.contains_key(http::header::DATE) {
        let date = httpdate::fmt_http_date(std::time::SystemTime::now());
        text.extend_from_slice(b"date: ");
        text.extend_from_slice(date.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    if delimited == Delimited::Chunked {
        text.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    if !keep_alive {
        text.extend_from_slice(b"connection: close\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Headers of a request; a browser sends about twenty.
const HEADERS_MAX: usize = 64;

/// Room for a method before the target.
const METHOD_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<Option<(BodyKind, bool)>, u16>) {
        let found = parse(text.as_bytes(), 16 * 1024)
            .map(|head| head.map(|head| (head.body, head.keep_alive)))
            .map_err(|status| status.as_u16());
        assert_eq!(found, expect, "{text:?}");
    }

    #[test]
    fn heads_tell_how_the_body_comes_and_whether_the_connection_stays() {
        check(
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            Ok(Some((BodyKind::Length(0), true))),
        );
        check(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
            Ok(Some((BodyKind::Length(0), false))),
        );
        check(
            "GET / HTTP/1.0\r\n\r\n",
            Ok(Some((BodyKind::Length(0), false))),
        );
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n",
            Ok(Some((BodyKind::Length(12), true))),
        );
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            Ok(Some((BodyKind::Streamed, true))),
        );
        check(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            Ok(Some((BodyKind::Streamed, true))),
        );
        check("GET / HTTP/1.1\r\nHost: a\r\n", Ok(None));
    }

    #[test]
    fn ambiguous_or_oversized_heads_are_refused() {
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            Err(400),
        );
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
            Err(400),
        );
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            Err(400),
        );
        check(
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            Err(400),
        );
        check("GET / HTTP/1.1\r\n\r\n", Err(400));
        check("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Err(400));
        check("GET / HTTP/3.0\r\nHost: a\r\n\r\n", Err(505));
        check("\u{1}\r\n\r\n", Err(400));
        check(
            &format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9_000)),
            Err(414),
        );
        check(&format!("GET /{}", "a".repeat(9_000)), Err(414));
        check(
            &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(17_000)),
            Err(431),
        );
        check(
            &format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(70)),
            Err(431),
        );
    }

    #[test]
    fn the_preface_of_http2_is_told_from_other_methods() {
        assert_eq!(is_http2(b"PR"), None);
        assert_eq!(is_http2(b"PUT"), Some(false));
        assert_eq!(is_http2(PREFACE), Some(true));
    }
}
