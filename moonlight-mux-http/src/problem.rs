//! Errors as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, UPGRADE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use moonlight_mux::{HostError, HostsError, StateError};
use serde::Serialize;

use crate::failure::{Code, Failure};
use crate::fields::{InvalidField, MAX_BODY};
use crate::kept::ChangeError;
use crate::recipes::Target;

/// What can go wrong with a request. `Display` is the `detail`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("there is no streamer with this id")]
    StreamerNotFound,
    /// With what the running one streams, if it was created here.
    #[error("a streamer with this id is running: delete it first, or create with on_conflict=replace")]
    StreamerExists(Option<Target>),
    #[error("the streamer was not created over HTTP: whoever started it can do so again")]
    NotRestartable,
    #[error("the streamer has no viewer with this id")]
    PeerNotFound,
    #[error("the streamer was stopped while it was starting")]
    StreamerStopped,
    #[error("there is no host with this id")]
    HostNotFound,
    #[error("there is a host with this address, its id is {id}")]
    HostExists { id: u32 },
    #[error("the host has not told its hardware address: ask it while it is awake, and paired")]
    HardwareAddressUnknown,
    #[error("this server keeps no hosts")]
    HostsNotTaken,
    #[error("this server keeps no streamers: it has no state directory")]
    StreamersNotKept,
    #[error("the host is not paired with this identity")]
    HostNotPaired,
    #[error("the host has no app with this id")]
    AppNotFound,
    #[error("the host has no picture of this app")]
    ImageNotFound,
    /// What a host, or the way to it, made of a request.
    #[error(transparent)]
    Failure(#[from] Failure),
    #[error("the server has as many {what} as it takes ({max}): delete one, or try again later")]
    Limit { what: &'static str, max: usize },
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error("pages of this origin may not call: list it in allowed_origins")]
    OriginNotAllowed,
    #[error(transparent)]
    InvalidField(#[from] InvalidField),
    #[error("an instance id is 1 to 128 characters of A-Z a-z 0-9 . _ -")]
    InvalidInstanceId,
    #[error("a name has 1 to 64 characters, none of them a control character")]
    InvalidName,
    #[error("a role is view or control")]
    InvalidRole,
    #[error("the address's query cannot be understood")]
    InvalidQuery,
    #[error("the body is no JSON, or not all of it")]
    InvalidJson,
    #[error("the body has to be a JSON object")]
    NotAnObject,
    #[error("the body has to be JSON, with the content type application/json")]
    NotJson,
    #[error("the body is longer than {MAX_BODY} bytes")]
    BodyTooLarge,
    #[error("the body took too long to arrive")]
    BodyTooSlow,
    #[error("this address takes WebSocket connections only")]
    UpgradeRequired,
    #[error("this address does not know this method")]
    MethodNotAllowed,
    /// With the operating system's words in the log only.
    #[error("the server cannot keep its state on its disk; its log says why")]
    StateNotKept,
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::StreamerNotFound
            | Self::PeerNotFound
            | Self::HostNotFound
            | Self::AppNotFound
            | Self::ImageNotFound => StatusCode::NOT_FOUND,
            Self::StreamerExists(_)
            | Self::StreamerStopped
            | Self::NotRestartable
            | Self::HostExists { .. }
            | Self::HardwareAddressUnknown
            | Self::HostsNotTaken
            | Self::StreamersNotKept => StatusCode::CONFLICT,
            Self::Failure(failure) => failure.status(),
            Self::Limit { .. } | Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::OriginNotAllowed => StatusCode::FORBIDDEN,
            Self::InvalidField(_)
            | Self::InvalidInstanceId
            | Self::InvalidName
            | Self::InvalidRole
            | Self::NotAnObject => StatusCode::UNPROCESSABLE_ENTITY,
            Self::InvalidQuery | Self::InvalidJson | Self::HostNotPaired => StatusCode::BAD_REQUEST,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::StateNotKept => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// For programs; never changes.
    fn code(&self) -> &'static str {
        match self {
            Self::StreamerNotFound => "streamer_not_found",
            Self::PeerNotFound => "peer_not_found",
            Self::StreamerExists(_) => "streamer_exists",
            Self::StreamerStopped => "streamer_stopped",
            Self::NotRestartable => "not_restartable",
            Self::HostNotFound => "host_not_found",
            Self::HostExists { .. } => "host_exists",
            Self::HardwareAddressUnknown => "hardware_address_unknown",
            Self::HostsNotTaken => "hosts_not_taken",
            Self::StreamersNotKept => "streamers_not_kept",
            Self::HostNotPaired => Code::HostNotPaired.name(),
            Self::AppNotFound => Code::AppNotFound.name(),
            Self::ImageNotFound => "image_not_found",
            Self::Failure(failure) => failure.code.name(),
            Self::Limit { .. } => "limit",
            Self::ShuttingDown => "shutting_down",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::InvalidField(_) => "invalid_field",
            Self::InvalidInstanceId => "invalid_instance_id",
            Self::InvalidName => "invalid_name",
            Self::InvalidRole => "invalid_role",
            Self::InvalidQuery => "invalid_query",
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::NotJson => "unsupported_media_type",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::UpgradeRequired => "upgrade_required",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::StateNotKept => "state_not_kept",
        }
    }

    /// The name that existing backends look for at the front of `error`.
    fn unit_name(&self) -> &'static str {
        match self.code() {
            "app_not_found" => "AppNotFound",
            "host_not_found" => "HostNotFound",
            "host_not_paired" => "HostNotPaired",
            "streamer_exists" => "AlreadyStreaming",
            "streamer_not_found" => "SessionNotFound",
            _ => "InternalServerError",
        }
    }

    /// What belongs to the answer besides its body.
    fn header(&self) -> Option<(axum::http::HeaderName, &'static str)> {
        match self {
            // RFC 9110, section 15.5.22: a 426 names the protocol.
            Self::UpgradeRequired => Some((UPGRADE, "websocket")),
            Self::Limit { .. } | Self::ShuttingDown | Self::Failure(Failure { code: Code::Limit, .. }) => {
                Some((RETRY_AFTER, RETRY_AFTER_S))
            }
            _ => None,
        }
    }
}

impl From<HostsError> for Problem {
    fn from(error: HostsError) -> Self {
        match error {
            HostsError::Unknown { .. } => Self::HostNotFound,
            HostsError::NoHardwareAddress { .. } => Self::HardwareAddressUnknown,
            HostsError::State(error) => error.into(),
            error => Self::Failure(Failure::from(&error)),
        }
    }
}

impl From<StateError> for Problem {
    fn from(error: StateError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the state directory cannot be used");
        Self::StateNotKept
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::State(error) => error.into(),
            ChangeError::RuntimeEnded => Self::ShuttingDown,
        }
    }
}

impl From<&HostError> for Problem {
    fn from(error: &HostError) -> Self {
        Self::Failure(error.into())
    }
}

/// RFC 9457, section 3.1; the members behind `detail` are extensions (3.2).
#[derive(Serialize)]
struct Body<'a> {
    /// Section 4.2.1: then `title` is the status's own phrase.
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    error: String,
    /// The body's field that cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    /// What the streamer that has the id streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a Target>,
    /// The host that has the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_code: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_ms: Option<u64>,
    /// What the streamer's process said last.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    log: &'a [String],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let failure = match &self {
            Self::Failure(failure) => Some(failure),
            _ => None,
        };
        let body = Body {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: self.to_string(),
            code: self.code(),
            error: format!("{}: {self}", self.unit_name()),
            field: match &self {
                Self::InvalidField(invalid) => Some(invalid.field),
                _ => None,
            },
            target: match &self {
                Self::StreamerExists(target) => target.as_ref(),
                _ => None,
            },
            host_id: match self {
                Self::HostExists { id } => Some(id),
                _ => None,
            },
            stage: failure.and_then(|failure| failure.stage),
            host_code: failure.and_then(|failure| failure.host_code),
            elapsed_ms: failure.and_then(Failure::elapsed_ms),
            log: failure.map_or(&[], |failure| &failure.log),
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some((name, value)) = self.header() {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// Seconds after which a request that met a limit may be tried again: streamers come and go by the minute.
const RETRY_AFTER_S: &str = "5";

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use moonlight_mux::{HostCall, HostErrorCause};
    use serde_json::{Value, json};

    use super::*;

    async fn answer(problem: Problem) -> (u16, Value, Option<String>) {
        let response = problem.into_response();
        let status = response.status().as_u16();
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let retry_after = response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
        let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap(), retry_after)
    }

    #[tokio::test]
    async fn a_conflict_names_what_is_running() {
        let target = Target {
            host_id: 3,
            app_id: None,
            app: Some("Desktop".to_owned()),
            client_unique_id: "moonlight-mux".to_owned(),
            width: 1920,
            height: 1080,
            fps: 60,
        };
        let sentence =
            "a streamer with this id is running: delete it first, or create with on_conflict=replace";
        let expected = json!({
            "type": "about:blank", "title": "Conflict", "status": 409, "detail": sentence,
            "code": "streamer_exists", "error": format!("AlreadyStreaming: {sentence}"),
            "target": {"host_id": 3, "app_id": null, "app": "Desktop", "client_unique_id": "moonlight-mux",
                "width": 1920, "height": 1080, "fps": 60},
        });
        assert_eq!(answer(Problem::StreamerExists(Some(target))).await, (409, expected, None));
    }

    #[tokio::test]
    async fn a_hosts_failure_says_where_and_how_long() {
        let error = HostError {
            host: "office".parse().unwrap(),
            call: HostCall::Launch,
            elapsed: std::time::Duration::from_millis(2500),
            cause: HostErrorCause::Host { code: 503, message: Some("no encoder".to_owned()) },
        };
        let sentence = "office: launch failed after 2.5 s: it refuses with status 503: no encoder";
        let expected = json!({
            "type": "about:blank", "title": "Bad Gateway", "status": 502, "detail": sentence,
            "code": "host_refused", "error": format!("InternalServerError: {sentence}"),
            "stage": "launch", "host_code": 503, "elapsed_ms": 2500,
        });
        assert_eq!(answer(Problem::from(&error)).await, (502, expected, None));
    }

    #[tokio::test]
    async fn existing_backends_find_the_names_that_they_look_for() {
        let host = |cause| {
            let host = "office".parse().unwrap();
            Problem::from(&HostError { host, call: HostCall::AppList, elapsed: Default::default(), cause })
        };
        let table = [
            (host(HostErrorCause::UnknownApp), 404, "AppNotFound"),
            (Problem::HostNotFound, 404, "HostNotFound"),
            (host(HostErrorCause::NotPaired), 400, "HostNotPaired"),
            (Problem::StreamerExists(None), 409, "AlreadyStreaming"),
            (Problem::StreamerNotFound, 404, "SessionNotFound"),
            (host(HostErrorCause::Busy { running: None }), 409, "InternalServerError"),
            (host(HostErrorCause::Timeout), 502, "InternalServerError"),
            (Problem::InvalidQuery, 400, "InternalServerError"),
        ];
        for (problem, status, name) in table {
            let (found, body, _) = answer(problem).await;
            assert_eq!(found, status, "{body}");
            let error = body["error"].as_str().unwrap();
            assert_eq!(error, format!("{name}: {}", body["detail"].as_str().unwrap()));
            // They try again as long as they read this.
            assert_eq!(error.contains("AppNotFound"), name == "AppNotFound", "{error}");
        }
    }

    #[tokio::test]
    async fn limits_say_when_to_try_again() {
        for problem in [Problem::Limit { what: "streamers", max: 64 }, Problem::ShuttingDown] {
            let (status, body, retry_after) = answer(problem).await;
            assert_eq!((status, retry_after.as_deref()), (503, Some("5")), "{body}");
        }
    }
}
