//! `GET /api/v1/time`: the server's clock, so that a player can compare media time with it.
//!
//! In → Out: nothing → milliseconds since 1970, never cached.
//! Spec: none; our own.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::ledger;

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Time {
    /// Milliseconds since 1970-01-01T00:00:00Z, with fractions.
    unix_ms: f64,
}

/// The server's clock.
#[utoipa::path(get, path = "/api/v1/time", responses((status = 200, body = Time)))]
pub(super) async fn time() -> ([(HeaderName, HeaderValue); 2], Json<Time>) {
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        ),
    ];
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds since 1970 fit into 53 bits until the year 2255"
    )]
    let unix_ms = (ledger::now().as_nanos() / 1_000) as f64 / 1_000.0;
    (headers, Json(Time { unix_ms }))
}
