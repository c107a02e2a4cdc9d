//! What the description says of rooms. Their routes are `interaction::router`; a description has one home.
//!
//! In → Out: nothing runs here: attributes → entries of `openapi/v1.json`.
//! Bodies are described where their bounds are, in docs/ix.md; the test of the binary sees that each path is there.
//! Spec: docs/ix.md, "The way up", "The socket".
#![expect(dead_code, reason = "the attributes are what counts")]

use super::errors::ErrorBody;

/// A name becomes a viewer of this room.
#[utoipa::path(post, path = "/api/v1/broadcasts/{id}/viewers", params(("id" = String, Path, description = "The broadcast's id")),
    request_body(content = Object, description = "`{\"name\"}`; docs/ix.md, \"The way up\""),
    responses((status = 200, description = "`{\"viewer\",\"name\",\"token\"}`"), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub(super) fn viewers() {}

/// Taps, comments, heartbeats, reports and votes of one viewer, whose token is the bearer.
#[utoipa::path(post, path = "/api/v1/broadcasts/{id}/ix", params(("id" = String, Path, description = "The broadcast's id")),
    request_body(content = Object, description = "At most 8 KiB; docs/ix.md, \"The way up\""),
    responses((status = 200, description = "What of it counts, and what became of each comment"), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 413, body = ErrorBody),
        (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) fn ix() {}

/// A ticket for the socket. The bearer is the stream key, or the token of a viewer who was named moderator.
#[utoipa::path(post, path = "/api/v1/broadcasts/{id}/ticket", params(("id" = String, Path, description = "The broadcast's id")),
    responses((status = 200, description = "`{\"ticket\",\"role\"}`"), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 429, body = ErrorBody)))]
pub(super) fn ticket() {}

/// The WebSocket of broadcaster and moderators, for this server's own pages.
#[utoipa::path(get, path = "/api/v1/broadcasts/{id}/ws", params(("id" = String, Path, description = "The broadcast's id"), ("ticket" = String, Query, description = "Good once, for 30 s")),
    responses((status = 101, description = "docs/ix.md, \"The socket\""), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) fn ws() {}
