//! The JSON API under `/api/v1`.
//!
//! In → Out: HTTP requests → JSON, read from the registry's snapshots and the store.
//! Spec: `openapi/v1.json` (golden file); RFC 9110, "Status Codes"; RFC 6750, "Authorization Request Header Field".

mod auth;
mod broadcasts;
mod clock;
mod errors;
mod rooms;
mod shapes;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::OpenApi;

use self::auth::AdminScheme;
use crate::desk::Control;

/// The longest request body, in bytes.
const BODY_MAX_BYTES: usize = 16 * 1024;

/// All routes below `/api/v1/`, with JSON answers for whatever does not exist there.
pub fn router(control: Control) -> Router {
    let v1 = Router::new()
        .route(
            "/broadcasts",
            get(broadcasts::list).post(broadcasts::create),
        )
        .route(
            "/broadcasts/{id}",
            get(broadcasts::show).delete(broadcasts::end),
        )
        .route("/time", get(clock::time))
        .route("/openapi.json", get(openapi))
        .fallback(errors::no_such_path)
        .method_not_allowed_fallback(errors::no_such_method)
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(control);
    Router::new().nest("/api/v1", v1)
}

/// The description of this API as JSON.
pub fn description() -> String {
    let mut text = Description::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

async fn openapi() -> impl IntoResponse {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=300"),
        ),
        (
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        ),
    ];
    (headers, description())
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Nearcast", version = "1", description = "What is live, and who may publish. Errors are `{\"error\":{\"code\",\"message\"}}` with a closed list of codes."),
    paths(broadcasts::list, broadcasts::show, broadcasts::create, broadcasts::end, clock::time,
        rooms::viewers, rooms::ix, rooms::ticket, rooms::ws),
    modifiers(&AdminScheme)
)]
struct Description;
