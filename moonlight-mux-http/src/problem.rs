//! Errors as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::header::{CONTENT_TYPE, UPGRADE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// What can go wrong with a request. `Display` is the `detail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("there is no streamer with this id")]
    StreamerNotFound,
    #[error("pages of this origin may not call: list it in allowed_origins")]
    OriginNotAllowed,
    #[error("an instance id is 1 to 128 characters of A-Z a-z 0-9 . _ -")]
    InvalidInstanceId,
    #[error("a name has 1 to 64 characters, none of them a control character")]
    InvalidName,
    #[error("the address's query cannot be understood")]
    InvalidQuery,
    #[error("this address takes WebSocket connections only")]
    UpgradeRequired,
    #[error("this address does not know this method")]
    MethodNotAllowed,
}

impl Problem {
    fn status(self) -> StatusCode {
        match self {
            Self::StreamerNotFound => StatusCode::NOT_FOUND,
            Self::OriginNotAllowed => StatusCode::FORBIDDEN,
            Self::InvalidInstanceId | Self::InvalidName => StatusCode::UNPROCESSABLE_ENTITY,
            Self::InvalidQuery => StatusCode::BAD_REQUEST,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// For programs; never changes.
    fn code(self) -> &'static str {
        match self {
            Self::StreamerNotFound => "streamer_not_found",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::InvalidInstanceId => "invalid_instance_id",
            Self::InvalidName => "invalid_name",
            Self::InvalidQuery => "invalid_query",
            Self::UpgradeRequired => "upgrade_required",
            Self::MethodNotAllowed => "method_not_allowed",
        }
    }

    /// The name that existing backends look for at the front of `error`.
    fn unit_name(self) -> &'static str {
        match self {
            Self::StreamerNotFound => "SessionNotFound",
            _ => "InternalServerError",
        }
    }
}

/// RFC 9457, section 3.1; `code` and `error` are extension members (3.2).
#[derive(Serialize)]
struct Body {
    /// Section 4.2.1: then `title` is the status's own phrase.
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    error: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = Body {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: self.to_string(),
            code: self.code(),
            error: format!("{}: {self}", self.unit_name()),
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self == Self::UpgradeRequired {
            // RFC 9110, section 15.5.22: a 426 names the protocol.
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        response
    }
}
