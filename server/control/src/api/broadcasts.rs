//! `/api/v1/broadcasts`: list, show, create, end.
//!
//! In → Out: reading needs no token and touches snapshots only; creating and ending need the admin token.
//! Spec: `openapi/v1.json`.

use std::convert::Infallible;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use media::BroadcastId;
use serde::Deserialize;

use super::auth::Admin;
use super::errors::{ApiError, ErrorBody, ErrorCode};
use super::shapes::{
    Broadcast, Broadcasts, CreatedBroadcast, NewBroadcast, playlist_url, watch_url,
};
use crate::desk::Control;
use crate::ledger;
use crate::secret::{StreamKey, random_id};
use crate::store::Record;

/// What is answered is true for a moment, and may be read by any page.
type Fresh<T> = ([(HeaderName, HeaderValue); 2], Json<T>);

const TITLE_MAX_CHARS: usize = 200;
const IDLE_LISTED_MAX: u32 = 1_000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    state: Option<String>,
}

/// What is on air: live, reconnecting, or ended a moment ago.
#[utoipa::path(get, path = "/api/v1/broadcasts", params(("state" = Option<String>, Query, description = "`all` adds broadcasts that were created and are not on air; it needs the admin token")),
    responses((status = 200, body = Broadcasts), (status = 401, body = ErrorBody)))]
pub(super) async fn list(
    State(control): State<Control>,
    Query(filter): Query<Filter>,
    admin: Result<Admin, ApiError>,
) -> Result<Fresh<Broadcasts>, ApiError> {
    let mut statuses = control.registry.statuses();
    statuses.sort_by(|a, b| b.since.cmp(&a.since).then_with(|| a.id.cmp(&b.id)));
    let mut broadcasts: Vec<Broadcast> = statuses.iter().map(Broadcast::from).collect();
    if filter.state.as_deref() == Some("all") {
        admin?;
        let records = control.store.open_broadcasts(IDLE_LISTED_MAX).await?;
        broadcasts.extend(
            records
                .iter()
                .filter(|record| !statuses.iter().any(|status| status.id == record.id))
                .map(Broadcast::from),
        );
    }
    Ok(fresh(Broadcasts { broadcasts }))
}

/// One broadcast, also one that is not on air.
#[utoipa::path(get, path = "/api/v1/broadcasts/{id}", params(("id" = String, Path, description = "The broadcast's id")), responses((status = 200, body = Broadcast), (status = 404, body = ErrorBody)))]
pub(super) async fn show(
    State(control): State<Control>,
    Path(id): Path<String>,
) -> Result<Fresh<Broadcast>, ApiError> {
    let id = known(&id)?;
    if let Some(status) = control.registry.status(&id) {
        return Ok(fresh(Broadcast::from(&status)));
    }
    let record = control
        .store
        .broadcast(&id)
        .await?
        .ok_or_else(no_such_broadcast)?;
    Ok(fresh(Broadcast::from(&record)))
}

/// The host that a request was sent to: HTTP/2's `:authority` or HTTP/1.1's `Host`.
pub(super) struct Asked(Option<String>);

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let header = || parts.headers.get(header::HOST)?.to_str().ok();
        let authority = parts.uri.authority().map(Authority::as_str).or_else(header);
        Ok(Self(authority.map(str::to_owned)))
    }
}

/// Creates a broadcast and its stream key.
#[utoipa::path(post, path = "/api/v1/broadcasts", request_body = NewBroadcast, security(("admin" = [])),
    responses((status = 201, body = CreatedBroadcast), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn create(
    State(control): State<Control>,
    _admin: Admin,
    asked: Asked,
    body: Result<Json<NewBroadcast>, JsonRejection>,
) -> Result<(StatusCode, Fresh<CreatedBroadcast>), ApiError> {
    let Json(new) = body?;
    let id = new.id.unwrap_or_else(random_id);
    let id = BroadcastId::parse(&id).map_err(|error| {
        ApiError::new(
            ErrorCode::BadRequest,
            format!("`id` cannot be a broadcast's id: {error}"),
        )
    })?;
    let title = new
        .title
        .map_or_else(|| id.to_string(), |title| title.trim().to_owned());
    if title.is_empty()
        || title.chars().count() > TITLE_MAX_CHARS
        || title.chars().any(char::is_control)
    {
        return Err(ApiError::new(
            ErrorCode::BadRequest,
            format!("`title` has to have 1 to {TITLE_MAX_CHARS} printable characters"),
        ));
    }
    let key = StreamKey::generate();
    let record = Record {
        id,
        title,
        created: ledger::now(),
        ended: None,
    };
    control
        .store
        .create(&record, key.name(), &key.hash())
        .await?;
    tracing::info!(broadcast = %record.id, "broadcast created");
    let created = CreatedBroadcast {
        publish_url: format!(
            "{}/live/{}",
            control.endpoints.rtmp(asked.0.as_deref()),
            key.reveal()
        ),
        stream_key: key.reveal(),
        watch_url: watch_url(record.id.as_str()),
        playlist_url: playlist_url(record.id.as_str()),
        id: record.id.to_string(),
        title: record.title,
    };
    Ok((StatusCode::CREATED, fresh(created)))
}

/// Ends a broadcast for good: its publisher is stopped, viewers get a clean end, its stream key is void.
#[utoipa::path(delete, path = "/api/v1/broadcasts/{id}", params(("id" = String, Path, description = "The broadcast's id")), security(("admin" = [])),
    responses((status = 204), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn end(
    State(control): State<Control>,
    _admin: Admin,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = known(&id)?;
    // The key first: an encoder that reconnects at once is to find it void.
    let was_open = control.store.end(&id, ledger::now()).await?;
    let was_on_air = control.registry.end(&id).await;
    if !was_open && !was_on_air {
        return Err(no_such_broadcast());
    }
    tracing::info!(broadcast = %id, "broadcast ended by the operator");
    Ok(StatusCode::NO_CONTENT)
}

fn known(id: &str) -> Result<BroadcastId, ApiError> {
    BroadcastId::parse(id).map_err(|_| no_such_broadcast())
}

fn no_such_broadcast() -> ApiError {
    ApiError::new(
        ErrorCode::NotFound,
        "there is no such broadcast, or it ended a while ago: GET /api/v1/broadcasts lists what is live",
    )
}

fn fresh<T>(body: T) -> Fresh<T> {
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        ),
    ];
    (headers, Json(body))
}
