//! Answers for everything under `/live/`, the same for HTTP/1.1 and HTTP/2.
//!
//! In → Out: method, headers, query and a parsed [`Target`] → status, headers and a [`Payload`]. Waiting (blocking reload,
//! parts that are not complete) happens here; a growing payload is handed on and followed by the connection's own means.
//! Spec: RFC 9110, "Range Requests" (14); RFC 8673; RFC 9111; RFC 8216bis 6.2.5; design "Segments", "Playlists".

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hls::playlist::media::Form;
use hls::prefetch::{
    Availability, PartAvailability, availability, init_may_come, part_availability,
};
use hls::reload::{BlockingRequest, Decision, Freshness, decide, hold_max};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use media::{Epoch, RenditionName, SegmentId};

use crate::gallery::PictureKind;
use crate::growing::{Growing, Reader, State};
use crate::interaction;
use crate::live::{Live, RenditionView, Source};
use crate::playlist::Wanted;
use crate::range::{ByteRange, requested};
use crate::route::{Directives, Reads, Target};
use crate::track::Lookup;

/// A response's body.
#[derive(Debug)]
pub(crate) enum Payload {
    /// Everything there will be; its length stands in the headers.
    Whole(Vec<Bytes>),
    /// What there is and what will come.
    Growing(Follow),
}

/// A reader's place in a growing object.
#[derive(Debug)]
pub(crate) struct Follow {
    pub(crate) reader: Reader,
    /// Sent before anything else: the rest of the chunk before `index`, if the reader begins within it.
    pub(crate) first: Bytes,
    /// The first chunk to send.
    pub(crate) index: usize,
}

/// Answers a request for an object of a broadcast.
pub(crate) async fn live(
    source: &Arc<dyn Source>,
    request: &Parts,
    broadcast: &str,
    target: Target,
) -> Response<Payload> {
    if request.method == Method::OPTIONS {
        return preflight();
    }
    if request.method != Method::GET && request.method != Method::HEAD {
        let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, NO_STORE);
        response.headers_mut().insert(header::ALLOW, METHODS);
        return response;
    }
    let Some(live) = source.live(broadcast) else {
        return refuse(StatusCode::NOT_FOUND, SHORT);
    };
    if let Target::Playlist(name, _)
    | Target::Init(name, _)
    | Target::Segment(name, ..)
    | Target::Part(name, ..) = target
    {
        live.note_use(name);
    }
    match target {
        Target::Multivariant(form) => multivariant(&live, request, form).await,
        Target::Playlist(name, form) => playlist(&live, request, name, form).await,
        Target::Init(name, epoch) => init(&live, name, epoch).await,
        Target::Segment(name, id, form) => segment(&live, request, name, id, form),
        Target::Part(name, id, part) => self::part(&live, request, name, id, part).await,
        Target::Interaction(id) => match live.interaction().lookup(id) {
            Lookup::Found(entry) => object(&entry.media, request, JSON_LINES),
            Lookup::Gone => refuse(StatusCode::GONE, GONE),
            Lookup::Unknown => refuse(StatusCode::NOT_FOUND, SHORT),
        },
        Target::InteractionIndex => match interaction::index(&live.interaction()) {
            Some(text) => whole(StatusCode::OK, SHORT, JSON, vec![Bytes::from(text)]),
            None => refuse(StatusCode::NOT_FOUND, SHORT),
        },
        Target::Picture(kind) => picture(&live, kind).await,
    }
}

/// Answers a GET for an object that grows now, without waiting; `None` if the target is anything else.
pub(crate) fn growing_now(
    source: &Arc<dyn Source>,
    request: &Parts,
    broadcast: &str,
    target: Target,
) -> Option<Response<Payload>> {
    let live = source.live(broadcast)?;
    match target {
        Target::Segment(name, id, form) => Some(segment(&live, request, name, id, form)),
        Target::Interaction(id) => match live.interaction().lookup(id) {
            Lookup::Found(entry) => Some(object(&entry.media, request, JSON_LINES)),
            Lookup::Gone | Lookup::Unknown => None,
        },
        _ => None,
    }
}

async fn picture(live: &Arc<Live>, kind: PictureKind) -> Response<Payload> {
    let content_type = match kind {
        PictureKind::Thumbnail => "image/jpeg",
        PictureKind::Preview => "image/webp",
    };
    match live.gallery().look(kind).await {
        Some(bytes) => whole(
            StatusCode::OK,
            PICTURE,
            HeaderValue::from_static(content_type),
            vec![bytes],
        ),
        None => refuse(StatusCode::NOT_FOUND, SHORT),
    }
}

/// An answer without a body worth mentioning: the status says it.
pub(crate) fn refuse(status: StatusCode, cache: HeaderValue) -> Response<Payload> {
    let mut text = status.canonical_reason().unwrap_or("error").to_owned();
    text.push('\n');
    let mut response = whole(status, cache, TEXT, vec![Bytes::from(text)]);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

async fn multivariant(live: &Arc<Live>, request: &Parts, form: Form) -> Response<Payload> {
    let Some(directives) = Directives::parse(request.uri.query().unwrap_or_default()) else {
        return refuse(StatusCode::BAD_REQUEST, NO_STORE);
    };
    let mut renditions = live.renditions();
    if !renditions
        .iter()
        .any(|(_, view)| view.snapshot().has_media())
    {
        // The first part is a moment away: better one answer late than an error that players wait upon.
        let Some((soon, _)) = renditions.iter().find(|(_, view)| is_beginning(view)) else {
            return refuse(StatusCode::NOT_FOUND, SHORT);
        };
        if begun(live, *soon, false).await.is_none() {
            return refuse(StatusCode::NOT_FOUND, SHORT);
        }
        renditions = live.renditions();
    }
    let snapshots: Vec<_> = renditions
        .iter()
        .map(|(name, view)| (*name, &**view.snapshot()))
        .collect();
    let text =
        hls::playlist::multivariant::render(&snapshots, &live.offers(), form, directives.announce);
    let mut response = whole(StatusCode::OK, SHORT, PLAYLIST, vec![Bytes::from(text)]);
    response.headers_mut().insert(header::VARY, ACCEPT_ENCODING);
    response
}

/// A rendition once it has media; `None` if that does not come in time. A rung that has just been started is only told
/// of when it has a whole segment, to whom that is `settled`: players of others choke on a list without one.
async fn begun(live: &Arc<Live>, name: RenditionName, settled: bool) -> Option<Arc<RenditionView>> {
    let started = Instant::now();
    let mut versions = live.watch(name);
    loop {
        versions.borrow_and_update();
        let view = live.rendition(name);
        let offered = live.is_offered(name);
        let waited = started.elapsed();
        if let Some(view) = &view
            && view.snapshot().has_media()
        {
            let whole = !view.snapshot().segments.is_empty();
            if whole || !(offered && settled) || waited >= RUNG_SETTLED_MAX {
                return Some(Arc::clone(view));
            }
        }
        // A rung that this request starts takes a second and a GOP.
        let limit = match &view {
            Some(view) if view.snapshot().has_media() => RUNG_SETTLED_MAX,
            Some(view) if !offered => hold_max(view.snapshot()).into(),
            _ => RUNG_START_MAX,
        };
        let coming = offered || view.as_ref().is_some_and(|view| is_beginning(view));
        if !coming || waited >= limit {
            return None;
        }
        let _ = tokio::time::timeout_at((started + limit).into(), versions.changed()).await;
    }
}

/// How long a playlist request waits for a rung to begin.
const RUNG_START_MAX: std::time::Duration = std::time::Duration::from_secs(12);
/// How long it waits for the first whole segment of a rung; hls.js gives up after ten seconds.
const RUNG_SETTLED_MAX: std::time::Duration = std::time::Duration::from_secs(8);

/// Whether a rendition's very first part is being made.
fn is_beginning(view: &RenditionView) -> bool {
    !view.snapshot().has_media() && view.snapshot().current.is_some()
}

async fn playlist(
    live: &Arc<Live>,
    request: &Parts,
    name: RenditionName,
    form: Form,
) -> Response<Payload> {
    let Some(directives) = Directives::parse(request.uri.query().unwrap_or_default()) else {
        return refuse(StatusCode::BAD_REQUEST, NO_STORE);
    };
    let blocking = BlockingRequest {
        msn: directives.msn.map(|msn| msn.0),
        part: directives.part,
    };
    let settled = directives.reader == Reads::Segments;
    if begun(live, name, settled).await.is_none() {
        return refuse(StatusCode::NOT_FOUND, SHORT);
    }
    let started = Instant::now();
    let mut versions = live.watch(name);
    let mut waiting = None;
    loop {
        versions.borrow_and_update();
        let Some(view) = live.rendition(name) else {
            return refuse(StatusCode::NOT_FOUND, SHORT);
        };
        let limit = std::time::Duration::from(hold_max(view.snapshot()));
        match decide(view.snapshot(), &blocking, started.elapsed().into()) {
            Decision::Serve(freshness) => {
                let wanted = Wanted {
                    form,
                    announce: directives.announce,
                    skip: directives.skip,
                };
                return media_playlist(
                    live,
                    name,
                    &view,
                    request,
                    wanted,
                    max_age(&view, &blocking, freshness),
                );
            }
            Decision::Reject(refusal) => {
                let status =
                    StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
                return refuse(status, NO_STORE);
            }
            Decision::Wait => {
                waiting.get_or_insert_with(|| live.wait());
                // A time-out is not an answer: the next decision is.
                let _ = tokio::time::timeout_at((started + limit).into(), versions.changed()).await;
            }
        }
    }
}

/// Seconds a cache may keep a media playlist.
fn max_age(view: &RenditionView, blocking: &BlockingRequest, freshness: Freshness) -> u64 {
    let snapshot = view.snapshot();
    let target = snapshot.target_duration.as_millis() / 1_000;
    // What a request names from far back is settled too, but its answer is the live edge of now.
    let edge = snapshot
        .current
        .as_ref()
        .map_or(snapshot.next.msn, |current| current.id.msn);
    let at_edge = blocking
        .msn
        .is_some_and(|msn| msn.saturating_add(1) >= edge.0);
    if freshness == Freshness::Settled && at_edge {
        target * 6
    } else {
        (target / 2).max(1)
    }
}

fn media_playlist(
    live: &Arc<Live>,
    name: RenditionName,
    view: &RenditionView,
    request: &Parts,
    wanted: Wanted,
    max_age: u64,
) -> Response<Payload> {
    let playlist = view
        .rendered()
        .playlist(wanted, view.snapshot(), || live.reports(name));
    let gzip = if accepts_gzip(&request.headers) {
        playlist.gzip()
    } else {
        None
    };
    let body = gzip.unwrap_or(playlist.plain()).clone();
    let cache = HeaderValue::try_from(format!("public, max-age={max_age}")).unwrap_or(SHORT);
    let mut response = whole(StatusCode::OK, cache, PLAYLIST, vec![body]);
    if gzip.is_some() {
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response.headers_mut().insert(header::VARY, ACCEPT_ENCODING);
    response
}

async fn init(live: &Arc<Live>, name: RenditionName, epoch: Epoch) -> Response<Payload> {
    let mut versions = live.watch(name);
    let started = Instant::now();
    loop {
        versions.borrow_and_update();
        let Some(view) = live.rendition(name) else {
            return refuse(StatusCode::NOT_FOUND, SHORT);
        };
        if let Some(bytes) = view.init(epoch) {
            return whole(
                StatusCode::OK,
                FOR_EVER,
                media_type(name, Form::Fmp4),
                vec![bytes.clone()],
            );
        }
        let limit = std::time::Duration::from(hold_max(view.snapshot()));
        if !init_may_come(view.snapshot(), epoch) || started.elapsed() >= limit {
            return refuse(StatusCode::NOT_FOUND, SHORT);
        }
        let _ = tokio::time::timeout_at((started + limit).into(), versions.changed()).await;
    }
}

fn segment(
    live: &Arc<Live>,
    request: &Parts,
    name: RenditionName,
    id: SegmentId,
    form: Form,
) -> Response<Payload> {
    let Some(view) = live.rendition(name) else {
        return refuse(StatusCode::NOT_FOUND, SHORT);
    };
    if let Lookup::Found(entry) = view.objects().lookup(id) {
        let found = match form {
            Form::Fmp4 => &entry.media,
            Form::Ts => &entry.ts,
        };
        return object(found, request, media_type(name, form));
    }
    missing(&view, id)
}

fn missing(view: &RenditionView, id: SegmentId) -> Response<Payload> {
    match availability(view.snapshot(), id) {
        Availability::Gone => refuse(StatusCode::GONE, GONE),
        _ => refuse(StatusCode::NOT_FOUND, SHORT),
    }
}

/// A part, whole: held without an answer until it is complete, never trickled.
async fn part(
    live: &Arc<Live>,
    request: &Parts,
    name: RenditionName,
    id: SegmentId,
    part: u32,
) -> Response<Payload> {
    let mut versions = live.watch(name);
    let started = Instant::now();
    loop {
        versions.borrow_and_update();
        let Some(view) = live.rendition(name) else {
            return refuse(StatusCode::NOT_FOUND, SHORT);
        };
        match part_availability(view.snapshot(), id, part) {
            PartAvailability::Ready(chunks) => {
                let Lookup::Found(entry) = view.objects().lookup(id) else {
                    return missing(&view, id);
                };
                return match extent(&entry.media, chunks) {
                    Some((start, end)) => finite(
                        &entry.media,
                        request,
                        media_type(name, Form::Fmp4),
                        start,
                        end,
                    ),
                    None => refuse(StatusCode::NOT_FOUND, SHORT),
                };
            }
            PartAvailability::Absent => return missing(&view, id),
            PartAvailability::Wait => {
                let limit = std::time::Duration::from(hold_max(view.snapshot()));
                if started.elapsed() >= limit {
                    return refuse(StatusCode::SERVICE_UNAVAILABLE, NO_STORE);
                }
                let _ = tokio::time::timeout_at((started + limit).into(), versions.changed()).await;
            }
        }
    }
}

/// Where some chunks of an object begin and end.
fn extent(object: &Growing, chunks: std::ops::Range<u32>) -> Option<(u64, u64)> {
    let first = object.chunk(usize::try_from(chunks.start).ok()?)?;
    let last = object.chunk(usize::try_from(chunks.end.checked_sub(1)?).ok()?)?;
    Some((first.offset(), last.offset() + last.len() as u64))
}

/// An object in whatever state it is.
fn object(object: &Arc<Growing>, request: &Parts, content_type: HeaderValue) -> Response<Payload> {
    match object.progress().state {
        State::Held | State::Open => growing(object, request, content_type),
        State::Complete => finite(object, request, content_type, 0, object.len()),
        State::Aborted => refuse(StatusCode::NOT_FOUND, SHORT),
    }
}

/// The finished bytes `[start, end)` of an object as a resource of its own.
fn finite(
    object: &Growing,
    request: &Parts,
    content_type: HeaderValue,
    start: u64,
    end: u64,
) -> Response<Payload> {
    let total = end - start;
    let (status, from, to) = match requested(request) {
        None => (StatusCode::OK, 0, total),
        Some(range) => match range.within(total) {
            Some((from, to)) => (StatusCode::PARTIAL_CONTENT, from, to),
            None => return unsatisfiable(Some(total)),
        },
    };
    let mut response = whole(
        status,
        FOR_EVER,
        content_type,
        object.slices(start + from, start + to),
    );
    response.headers_mut().insert(header::ACCEPT_RANGES, BYTES);
    if status == StatusCode::PARTIAL_CONTENT {
        content_range(
            response.headers_mut(),
            &format!("bytes {from}-{}/{total}", to - 1),
        );
    }
    response
}

/// An object that has not ended: all of it as it comes, or the part of it that a range asks for.
///
/// A range with an end, or with none, gets what exists now, since `Content-Range` must name a last byte. One that ends at
/// 2^53 − 1 or later asks, by RFC 8673, for everything that will come, and is followed.
fn growing(object: &Arc<Growing>, request: &Parts, content_type: HeaderValue) -> Response<Payload> {
    let now = object.len();
    let (from, last) = match requested(request) {
        // A suffix counts from an end that does not exist; `0-` is what ffmpeg asks of every address, and means all of it,
        // not what there is by chance, if anything: both are ignored, as a server may.
        None | Some(ByteRange::Last(_) | ByteRange::From(0)) => {
            return follow(StatusCode::OK, object, content_type, 0);
        }
        Some(ByteRange::From(from)) => (from, None),
        Some(ByteRange::Between(from, last)) => (from, Some(last)),
    };
    if let Some(last) = last.filter(|last| *last >= ENDLESS && from <= now) {
        let mut response = follow(StatusCode::PARTIAL_CONTENT, object, content_type, from);
        content_range(response.headers_mut(), &format!("bytes {from}-{last}/*"));
        return response;
    }
    if from >= now {
        return unsatisfiable(None);
    }
    let to = last.map_or(now, |last| last.saturating_add(1).min(now));
    let mut response = whole(
        StatusCode::PARTIAL_CONTENT,
        NO_STORE,
        content_type,
        object.slices(from, to),
    );
    content_range(
        response.headers_mut(),
        &format!("bytes {from}-{}/*", to - 1),
    );
    response
}

fn follow(
    status: StatusCode,
    object: &Arc<Growing>,
    content_type: HeaderValue,
    from: u64,
) -> Response<Payload> {
    let chunks = object.progress().chunks;
    // The first chunk that begins at or after the place asked for; what lies between is sent as a piece of its own.
    let index = (0..chunks)
        .find(|&index| {
            object
                .chunk(index)
                .is_some_and(|chunk| chunk.offset() >= from)
        })
        .unwrap_or(chunks);
    let begins = if index == chunks {
        chunk_end(object, chunks)
    } else {
        object.chunk(index).map_or(0, crate::Chunk::offset)
    };
    let first = object.slices(from, begins).concat();
    let body = Follow {
        reader: object.read(),
        first: Bytes::from(first),
        index,
    };
    let mut response = Response::new(Payload::Growing(body));
    *response.status_mut() = status;
    headers(response.headers_mut(), FOR_EVER, content_type);
    response
}

fn chunk_end(object: &Growing, chunks: usize) -> u64 {
    let last = chunks.checked_sub(1).and_then(|last| object.chunk(last));
    last.map_or(0, |chunk| chunk.offset() + chunk.len() as u64)
}

fn unsatisfiable(total: Option<u64>) -> Response<Payload> {
    let mut response = refuse(StatusCode::RANGE_NOT_SATISFIABLE, NO_STORE);
    // Of a length that is not known yet the header has no form.
    if let Some(total) = total {
        content_range(response.headers_mut(), &format!("bytes */{total}"));
    }
    response
}

fn content_range(headers: &mut HeaderMap, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(header::CONTENT_RANGE, value);
    }
}

fn preflight() -> Response<Payload> {
    let mut response = Response::new(Payload::Whole(Vec::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Range, *"),
    );
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("86400"),
    );
    response
}

fn whole(
    status: StatusCode,
    cache: HeaderValue,
    content_type: HeaderValue,
    slices: Vec<Bytes>,
) -> Response<Payload> {
    let length: usize = slices.iter().map(Bytes::len).sum();
    let mut response = Response::new(Payload::Whole(slices));
    *response.status_mut() = status;
    headers(response.headers_mut(), cache, content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn headers(headers: &mut HeaderMap, cache: HeaderValue, content_type: HeaderValue) {
    headers.reserve(12);
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, cache);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.insert(TIMING_ALLOW_ORIGIN, ANY);
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
}

fn media_type(name: RenditionName, form: Form) -> HeaderValue {
    HeaderValue::from_static(match (form, name) {
        (Form::Ts, _) => "video/mp2t",
        (Form::Fmp4, RenditionName::Audio) => "audio/mp4",
        (Form::Fmp4, _) => "video/mp4",
    })
}

/// Whether `Accept-Encoding` allows gzip.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = parameters
            .trim()
            .strip_prefix("q=")
            .is_some_and(|q| q.trim().parse().is_ok_and(|q: f32| q <= 0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// A live plan's last byte, by RFC 8673: 2^53 − 1.
const ENDLESS: u64 = (1 << 53) - 1;

/// One URL, one body.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Errors on names that may exist a moment later, and playlists of playlists. Not `no-store`: that would end coalescing in caches.
pub(crate) const SHORT: HeaderValue = HeaderValue::from_static("public, max-age=1");
/// As long as a picture is not made anew.
const PICTURE: HeaderValue = HeaderValue::from_static("public, max-age=5");
/// What has been and will not come back.
const GONE: HeaderValue = HeaderValue::from_static("public, max-age=60");
/// The request is at fault, or the moment.
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

const PLAYLIST: HeaderValue = HeaderValue::from_static("application/vnd.apple.mpegurl");
const JSON_LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");
const ANY: HeaderValue = HeaderValue::from_static("*");
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Date, Age, Content-Length, Content-Range, Server-Timing, CMSD-Dynamic",
);
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
