//! The pages for people, from inside the binary.
//!
//! In → Out: `/`, `/b/{id}`, `/b/{id}/embed`, `/studio/{id}`, `/assets/*` and top-level files of `web/dist` → HTML and assets with their
//! validators and a strict content security policy; anything else → a page that says so.
//! Spec: RFC 9110, "If-None-Match", "Accept-Encoding"; Content Security Policy Level 3.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use media::BroadcastId;

/// One file, as `build.rs` found it.
struct Page {
    /// Path below `web/dist`.
    name: &'static str,
    /// Hash of the content, without quotes.
    etag: &'static str,
    bytes: &'static [u8],
    /// The same as gzip; empty where that is not smaller.
    gzip: &'static [u8],
}

static PAGES: &[Page] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// Scripts, styles and connections from this origin only; `blob:` is how Media Source Extensions name a stream.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; \
                      connect-src 'self'; font-src 'self'; worker-src 'self' blob:; base-uri 'none'; \
                      form-action 'none'";
/// What an asset's life in caches is: its name changes with its content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// A page is asked for again each time; the validator makes that cheap.
const ALWAYS_ASK: &str = "no-cache";

const NOT_FOUND: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
<title>Not here – Nearcast</title><body><h1>Nothing is here</h1><p>The address may be mistyped, or the broadcast was removed.\
<p><a href=\"/\">See what is live</a>\n";

/// Who may show a page inside another one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Allowed,
    Refused,
}

/// All pages; the fallback answers whatever no other route does.
pub(crate) fn router() -> Router {
    Router::new()
        .route(
            "/",
            get(|headers: HeaderMap| async move { page("index.html", &headers, Framing::Refused) }),
        )
        .route(
            "/b/{id}",
            get(|Path(id): Path<String>, headers: HeaderMap| async move {
                of_broadcast(&id, "watch.html", &headers, Framing::Refused)
            }),
        )
        .route(
            "/b/{id}/embed",
            get(|Path(id): Path<String>, headers: HeaderMap| async move {
                of_broadcast(&id, "embed.html", &headers, Framing::Allowed)
            }),
        )
        .route(
            "/studio/{id}",
            get(|Path(id): Path<String>, headers: HeaderMap| async move {
                of_broadcast(&id, "studio.html", &headers, Framing::Refused)
            }),
        )
        .route(
            "/assets/{*path}",
            get(|uri: Uri, headers: HeaderMap| async move { file(&uri, &headers, FOR_EVER) }),
        )
        .fallback(|uri: Uri, headers: HeaderMap| async move { file(&uri, &headers, ALWAYS_ASK) })
}

/// A page that exists for every name that can be a broadcast: its script asks the API what is there.
fn of_broadcast(id: &str, name: &str, headers: &HeaderMap, framing: Framing) -> Response {
    if BroadcastId::parse(id).is_ok() {
        page(name, headers, framing)
    } else {
        not_found()
    }
}

fn page(name: &str, headers: &HeaderMap, framing: Framing) -> Response {
    let Some(page) = find(name) else {
        return not_found();
    };
    with_policy(answer(page, headers, ALWAYS_ASK), framing)
}

/// A file that is no page: scripts, styles, icons. Pages are reachable by their own routes only.
fn file(uri: &Uri, headers: &HeaderMap, life: &'static str) -> Response {
    let name = uri.path().trim_start_matches('/');
    match find(name).filter(|page| !is_html(page)) {
        Some(page) => answer(page, headers, life),
        None => not_found(),
    }
}

fn find(name: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.name == name)
}

fn is_html(page: &Page) -> bool {
    std::path::Path::new(page.name)
        .extension()
        .is_some_and(|extension| extension == "html")
}

fn answer(page: &'static Page, headers: &HeaderMap, life: &'static str) -> Response {
    let gzip = !page.gzip.is_empty() && accepts_gzip(headers);
    // The two forms are two representations, so they have two validators.
    let etag = format!("\"{}{}\"", page.etag, if gzip { "-gz" } else { "" });
    let mut response = if is_known(headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let bytes = if gzip { page.gzip } else { page.bytes };
        Response::new(Body::from(Bytes::from_static(bytes)))
    };
    let out = response.headers_mut();
    out.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(content_type(page.name)),
    );
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(life));
    out.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if !page.gzip.is_empty() {
        out.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    if gzip && response.status() == StatusCode::OK {
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

fn not_found() -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let response = match find("404.html") {
        Some(page) => (StatusCode::NOT_FOUND, headers, page.bytes).into_response(),
        None => (StatusCode::NOT_FOUND, headers, NOT_FOUND).into_response(),
    };
    with_policy(response, Framing::Refused)
}

fn with_policy(mut response: Response, framing: Framing) -> Response {
    let ancestors = if framing == Framing::Allowed {
        "*"
    } else {
        "'none'"
    };
    let policy = format!("{POLICY}; frame-ancestors {ancestors}");
    let fixed = [
        (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=(), payment=()",
        ),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Whether gzip is acceptable: named, and not with a weight of zero.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let codings = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.map(str::trim).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip")
            && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    known
        .split(',')
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == etag || tag == "*")
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "ico" => "image/x-icon",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_page_is_sent_once_and_then_only_validated() {
        let first = page("index.html", &headers(&[]), Framing::Refused);
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CACHE_CONTROL], "no-cache");
        let etag = first.headers()[header::ETAG].to_str().unwrap();
        let again = page(
            "index.html",
            &headers(&[(header::IF_NONE_MATCH, etag)]),
            Framing::Refused,
        );
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn gzip_is_used_where_accepted_and_has_its_own_validator() {
        let plain = page("index.html", &headers(&[]), Framing::Refused);
        let packed = page(
            "index.html",
            &headers(&[(header::ACCEPT_ENCODING, "br, gzip;q=0.5")]),
            Framing::Refused,
        );
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
        assert_ne!(
            plain.headers()[header::ETAG],
            packed.headers()[header::ETAG]
        );
        assert!(!accepts_gzip(&headers(&[(
            header::ACCEPT_ENCODING,
            "gzip;q=0, br"
        )])));
    }

    #[test]
    fn only_the_embed_page_may_be_framed_and_no_page_runs_inline_script() {
        let watch = of_broadcast("x", "watch.html", &headers(&[]), Framing::Refused);
        let studio = of_broadcast("x", "studio.html", &headers(&[]), Framing::Refused);
        let embed = of_broadcast("x", "embed.html", &headers(&[]), Framing::Allowed);
        let policy = |response: &Response| {
            response.headers()[header::CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert!(policy(&watch).contains("frame-ancestors 'none'"));
        assert!(policy(&studio).contains("frame-ancestors 'none'"));
        assert!(policy(&embed).contains("frame-ancestors *"));
        assert!(policy(&watch).contains("script-src 'self';"));
    }

    #[test]
    fn a_name_that_cannot_be_a_broadcast_and_an_unknown_path_are_not_found() {
        assert_eq!(
            of_broadcast("a b", "watch.html", &headers(&[]), Framing::Refused).status(),
            StatusCode::NOT_FOUND
        );
        for path in [
            "/nothing",
            "/assets/../index.html",
            "/index.html",
            "/assets/",
            "//",
        ] {
            let uri = Uri::builder().path_and_query(path).build().unwrap();
            assert_eq!(
                file(&uri, &headers(&[]), FOR_EVER).status(),
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
    }
}
