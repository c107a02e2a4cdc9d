//! The admin token on API calls, and the address that a call came from.
//!
//! In → Out: `Authorization: Bearer TOKEN` → the proof that the caller is the operator, as a type that handlers ask for.
//! Spec: RFC 6750, "Authorization Request Header Field".

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;
use utoipa::Modify;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::errors::{ApiError, ErrorCode};
use crate::desk::Control;
use crate::secret::AdminToken;

/// Proof that a request carries the admin token.
pub(super) struct Admin;

impl FromRequestParts<Control> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, ApiError> {
        let from = address_of(parts);
        let token = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| AdminToken::from_text(token));
        let Some(token) = token else {
            return Err(ApiError::new(
                ErrorCode::Unauthorized,
                "this call needs the admin token: send `Authorization: Bearer TOKEN` (it is in the data directory, file admin-token)",
            ));
        };
        let limited = control.is_limited(from);
        if control.is_admin(&token, from) {
            return Ok(Self);
        }
        Err(if limited {
            ApiError::new(
                ErrorCode::TooManyRequests,
                "too many wrong tokens from your network: wait a minute",
            )
        } else {
            ApiError::new(
                ErrorCode::Unauthorized,
                "wrong admin token: the right one is in the data directory, file admin-token",
            )
        })
    }
}

/// The peer's address as the HTTP server saw it. Headers are not asked: anybody can write them.
fn address_of(parts: &Parts) -> IpAddr {
    parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip())
}

/// Adds the scheme `admin` to the description.
pub(super) struct AdminScheme;

impl Modify for AdminScheme {
    fn modify(&self, openapi: &mut OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The admin token from the data directory"))
            .build();
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("admin", SecurityScheme::Http(scheme));
    }
}
