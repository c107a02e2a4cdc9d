//! What can go wrong in an API call, as a closed list; the private cause goes to the log, never to the caller.
//!
//! In → Out: a failure → status code and `{"error":{"code","message"}}`.
//! Spec: RFC 9110, "Client Error 4xx", "Server Error 5xx".

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::StoreError;

/// Why a call failed; programs branch on this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorCode {
    /// The request cannot be read or breaks a rule. 400.
    BadRequest,
    /// An id is taken. 409.
    Conflict,
    /// The server failed; its log says why. 500.
    Internal,
    /// The path knows other methods only. 405.
    MethodNotAllowed,
    /// There is no such thing. 404.
    NotFound,
    /// Too many wrong secrets from this network. 429.
    TooManyRequests,
    /// The admin token is missing or wrong. 401.
    Unauthorized,
}

/// The body of every error.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
struct ErrorDetail {
    code: ErrorCode,
    /// What is wrong and what to do, for a person.
    message: String,
}

/// A failed call.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    code: ErrorCode,
    message: String,
}

impl ApiError {
    /// An error with its public message.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl ErrorCode {
    fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error: ErrorDetail {
                code: self.code,
                message: self.message,
            },
        };
        let mut response = (self.code.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        );
        let hint = match self.code {
            ErrorCode::Unauthorized => Some((header::WWW_AUTHENTICATE, "Bearer")),
            ErrorCode::TooManyRequests => Some((header::RETRY_AFTER, "60")),
            _ => None,
        };
        if let Some((name, value)) = hint {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exists => Self::new(
                ErrorCode::Conflict,
                "a broadcast of this id exists or existed: choose another id",
            ),
            StoreError::Database(_) | StoreError::Migration(_) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the database failed"
                );
                Self::new(
                    ErrorCode::Internal,
                    "the server's database failed: see the server's log",
                )
            }
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(
            ErrorCode::BadRequest,
            format!(
                "the body is not what this call takes: {}",
                rejection.body_text()
            ),
        )
    }
}

pub(super) async fn no_such_path() -> ApiError {
    ApiError::new(
        ErrorCode::NotFound,
        "no such path: /api/v1/openapi.json lists all",
    )
}

pub(super) async fn no_such_method() -> ApiError {
    ApiError::new(
        ErrorCode::MethodNotAllowed,
        "this path knows other methods only: see /api/v1/openapi.json",
    )
}
