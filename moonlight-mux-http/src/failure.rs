//! What a host, or the way to it, made of a request or a stream: in the API's codes.

use std::time::Duration;

use axum::http::StatusCode;
#[cfg(unix)]
use moonlight_mux::ProcessError;
use moonlight_mux::{
    ConnectionError, EndReason, HostCall, HostError, HostErrorCause, HostsError, Silent, SourceError, Stage,
};

/// One failure. `Display` is for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// The step of connecting in which it happened.
    pub(crate) stage: Option<&'static str>,
    /// The host's own number.
    pub(crate) host_code: Option<i64>,
    /// How long it was tried.
    pub(crate) elapsed: Option<Duration>,
    pub(crate) message: String,
    /// The last lines that the streamer's process wrote into its log.
    pub(crate) log: Vec<String>,
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    AppNotFound,
    HostNotFound,
    HostNotPaired,
    HostBusy,
    HostRefused,
    WrongPin,
    ConnectionTimeout,
    ConnectionFailed,
    /// Of a stream that had been running.
    StreamFailed,
    /// The streamer's process could not be started, crashed, or had to be killed.
    ProcessFailed,
    StateNotKept,
    /// The streamer's process finds no free port.
    Limit,
    InternalError,
}

impl Code {
    /// For programs; never changes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AppNotFound => "app_not_found",
            Self::HostNotFound => "host_not_found",
            Self::HostNotPaired => "host_not_paired",
            Self::HostBusy => "host_busy",
            Self::HostRefused => "host_refused",
            Self::WrongPin => "wrong_pin",
            Self::ConnectionTimeout => "connection_timeout",
            Self::ConnectionFailed => "connection_failed",
            Self::StreamFailed => "stream_failed",
            Self::ProcessFailed => "process_failed",
            Self::StateNotKept => "state_not_kept",
            Self::Limit => "limit",
            Self::InternalError => "internal_error",
        }
    }
}

impl Failure {
    fn of(code: Code) -> Self {
        Self { code, stage: None, host_code: None, elapsed: None, message: String::new(), log: Vec::new() }
    }

    /// Why a stream has never had a picture: also behind the last stage it was connecting still.
    pub(crate) fn of_start(reason: &EndReason) -> Self {
        let failure = Self::from(reason);
        let code = match failure.code {
            Code::StreamFailed => Code::ConnectionFailed,
            code => code,
        };
        let stage = match code {
            Code::HostNotFound
            | Code::ProcessFailed
            | Code::StateNotKept
            | Code::Limit
            | Code::InternalError => failure.stage,
            _ => failure.stage.or(Some(FIRST_FRAME)),
        };
        Self { code, stage, ..failure }
    }

    /// Nobody entered the PIN at the host.
    pub(crate) fn no_pin(waited: Duration) -> Self {
        Self {
            elapsed: Some(waited),
            message: "nobody entered the PIN at the host in time".to_owned(),
            ..Self::of(Code::ConnectionTimeout)
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self.code {
            Code::AppNotFound | Code::HostNotFound => StatusCode::NOT_FOUND,
            Code::HostNotPaired => StatusCode::BAD_REQUEST,
            Code::HostBusy => StatusCode::CONFLICT,
            Code::HostRefused
            | Code::WrongPin
            | Code::ConnectionTimeout
            | Code::ConnectionFailed
            | Code::StreamFailed => StatusCode::BAD_GATEWAY,
            Code::Limit => StatusCode::SERVICE_UNAVAILABLE,
            Code::ProcessFailed | Code::StateNotKept | Code::InternalError => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    pub(crate) fn elapsed_ms(&self) -> Option<u64> {
        self.elapsed.map(|elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<&EndReason> for Failure {
    fn from(reason: &EndReason) -> Self {
        match reason {
            EndReason::Failed(error) => error.into(),
            EndReason::ByHost => Self {
                message: "the host ended the stream before its first picture".to_owned(),
                ..Self::of(Code::ConnectionFailed)
            },
            // `SourcePanicked`, and reasons that the library learns before this table does.
            _ => Self {
                message: "an internal error ended the stream".to_owned(),
                ..Self::of(Code::InternalError)
            },
        }
    }
}

impl From<&SourceError> for Failure {
    fn from(error: &SourceError) -> Self {
        let cause = error.cause();
        let stage = error.stage().map(Stage::name);
        if let Some(error) = cause.downcast_ref::<HostError>() {
            let failure = Self::from(error);
            return Self { stage: stage.or(failure.stage), ..failure };
        }
        if let Some(error) = cause.downcast_ref::<HostsError>() {
            return error.into();
        }
        #[cfg(unix)]
        if let Some(error) = cause.downcast_ref::<ProcessError>() {
            let log = error.log().to_vec();
            let code = if matches!(error, ProcessError::NoPort) { Code::Limit } else { Code::ProcessFailed };
            return Self { stage, log, message: process_message(error), ..Self::of(code) };
        }
        if let Some(error) = cause.downcast_ref::<ConnectionError>() {
            let code = match stage {
                _ if error.is_timeout() => Code::ConnectionTimeout,
                Some(_) => Code::ConnectionFailed,
                None => Code::StreamFailed,
            };
            return Self {
                code,
                stage,
                host_code: error.host_code().map(i64::from),
                elapsed: Some(error.elapsed()),
                message: error.to_string(),
                log: Vec::new(),
            };
        }
        let message = cause.to_string();
        if let Some(silent) = cause.downcast_ref::<Silent>() {
            let (code, elapsed) = match silent {
                Silent::NoFirstFrame { waited, .. } => (Code::ConnectionTimeout, Some(*waited)),
                _ => (Code::StreamFailed, None),
            };
            return Self { stage, elapsed, message, ..Self::of(code) };
        }
        let code = if stage.is_some() { Code::ConnectionFailed } else { Code::StreamFailed };
        Self { stage, message, ..Self::of(code) }
    }
}

impl From<&HostsError> for Failure {
    fn from(error: &HostsError) -> Self {
        match error {
            HostsError::Host(error) => error.into(),
            HostsError::NotWoken(_) => {
                Self { message: error.to_string(), ..Self::of(Code::ConnectionFailed) }
            }
            HostsError::Unknown { .. } => Self { message: error.to_string(), ..Self::of(Code::HostNotFound) },
            // Not the operating system's words: they name paths.
            HostsError::State(_) => Self {
                message: "the server cannot keep its state on its disk".to_owned(),
                ..Self::of(Code::StateNotKept)
            },
            // This machine's own troubles, such as its randomness.
            error => Self { message: error.to_string(), ..Self::of(Code::InternalError) },
        }
    }
}

impl From<&HostError> for Failure {
    fn from(error: &HostError) -> Self {
        use HostErrorCause as Cause;
        let code = match &error.cause {
            Cause::UnknownApp => Code::AppNotFound,
            Cause::NotPaired => Code::HostNotPaired,
            Cause::Busy { .. } => Code::HostBusy,
            Cause::WrongPin => Code::WrongPin,
            Cause::Timeout => Code::ConnectionTimeout,
            Cause::Host { .. }
            | Cause::MissingRight { .. }
            | Cause::PairingBusy
            | Cause::PairingRefused
            | Cause::Interface { .. }
            | Cause::NobodyPairs
            | Cause::Version { .. } => Code::HostRefused,
            Cause::NoRandomness => Code::InternalError,
            // What lies between, and what the library learns before this table does.
            _ => Code::ConnectionFailed,
        };
        let host_code = match error.cause {
            Cause::Host { code, .. } => Some(code.into()),
            Cause::Interface { status } => Some(status.into()),
            _ => None,
        };
        Self {
            code,
            stage: Some(stage(error.call)),
            host_code,
            elapsed: Some(error.elapsed),
            message: error.to_string(),
            log: Vec::new(),
        }
    }
}

/// Without the operating system's words, which name paths.
#[cfg(unix)]
fn process_message(error: &ProcessError) -> String {
    match error {
        ProcessError::Spawn { .. } => "the streamer's process cannot be started".to_owned(),
        error => error.to_string(),
    }
}

/// The names of streams' stages, where they are the same calls.
fn stage(call: HostCall) -> &'static str {
    match call {
        HostCall::ServerInfo => Stage::ServerInfo.name(),
        HostCall::Pair { .. } | HostCall::EnterPin => "pairing",
        HostCall::AppList => "app list",
        HostCall::AppImage => "app image",
        HostCall::Launch | HostCall::Resume => Stage::Launch.name(),
        HostCall::Cancel => "quit",
        // What the library learns before this table does.
        _ => "host",
    }
}

/// The wait between the last stage of connecting and the first picture.
const FIRST_FRAME: &str = "first frame";

#[cfg(test)]
mod tests {
    use moonlight_mux::{AppId, HostId, HostRight, StateError};

    use super::*;

    fn host_error(call: HostCall, cause: HostErrorCause) -> HostError {
        let host = "office".parse().unwrap();
        HostError { host, call, elapsed: Duration::from_millis(1500), cause }
    }

    #[test]
    fn each_cause_has_its_code_and_its_status() {
        use HostErrorCause as Cause;
        let running = AppId::new(7);
        let right = HostRight::Launch;
        let host = |code| Cause::Host { code, message: Some("no encoder".to_owned()) };
        let table = [
            (Cause::UnknownApp, "app_not_found", 404, None),
            (Cause::NotPaired, "host_not_paired", 400, None),
            (Cause::Busy { running }, "host_busy", 409, None),
            (Cause::MissingRight { right }, "host_refused", 502, None),
            (host(503), "host_refused", 502, Some(503)),
            (host(-1), "host_refused", 502, Some(-1)),
            (Cause::PairingBusy, "host_refused", 502, None),
            (Cause::Interface { status: 401 }, "host_refused", 502, Some(401)),
            (Cause::Timeout, "connection_timeout", 502, None),
            (Cause::WrongPin, "wrong_pin", 502, None),
            (Cause::NameNotFound, "connection_failed", 502, None),
            (Cause::Refused, "connection_failed", 502, None),
            (Cause::WrongCertificate, "connection_failed", 502, None),
            (Cause::NoRandomness, "internal_error", 500, None),
        ];
        for (cause, code, status, host_code) in table {
            let failure = Failure::from(&host_error(HostCall::Launch, cause.clone()));
            let found = (failure.code.name(), failure.status().as_u16(), failure.host_code);
            assert_eq!(found, (code, status, host_code), "{cause:?}");
            assert_eq!((failure.stage, failure.elapsed_ms()), (Some("launch"), Some(1500)));
            assert_eq!(failure.message, format!("office: launch failed after 1.5 s: {cause}"));
        }
    }

    #[test]
    fn a_streams_failure_has_its_stage_and_its_cause() {
        let error = host_error(HostCall::AppList, HostErrorCause::UnknownApp);
        let failure = Failure::from(&SourceError::permanent(error).in_stage(Stage::ServerInfo));
        assert_eq!((failure.code, failure.stage), (Code::AppNotFound, Some("server info")));

        let silent = Silent::NoFirstFrame { waited: Duration::from_secs(30), datagrams: 0 };
        let failure = Failure::from(&SourceError::retryable(silent));
        assert_eq!((failure.code, failure.elapsed_ms()), (Code::ConnectionTimeout, Some(30_000)));
        let frozen = Silent::Frozen { silent: Duration::from_secs(10) };
        assert_eq!(Failure::from(&SourceError::retryable(frozen)).code, Code::StreamFailed);
        assert_eq!(Failure::from(&EndReason::ByHost).code, Code::ConnectionFailed);
        assert_eq!(Failure::from(&EndReason::SourcePanicked).code, Code::InternalError);
    }

    #[test]
    fn a_host_that_is_gone_is_not_found_and_no_path_is_told() {
        let gone = SourceError::permanent(HostsError::Unknown { id: HostId(3) });
        let failure = Failure::of_start(&EndReason::Failed(gone));
        assert_eq!((failure.code.name(), failure.status().as_u16()), ("host_not_found", 404));
        assert_eq!((failure.stage, failure.message.as_str()), (None, "there is no host 3"));

        let in_use = HostsError::State(StateError::InUse { path: "/secret/place".into() });
        let failure = Failure::of_start(&EndReason::Failed(SourceError::permanent(in_use)));
        assert_eq!((failure.code.name(), failure.status().as_u16()), ("state_not_kept", 500));
        assert!(!failure.message.contains("place"), "{failure}");
    }

    #[cfg(unix)]
    #[test]
    fn a_process_that_failed_says_how_with_its_last_words_and_no_path() {
        let log = vec!["WARN it hurts".to_owned()];
        let exit = moonlight_mux::ProcessExit::Signal(11);
        let spawn =
            ProcessError::Spawn { program: "/secret/place".into(), source: std::io::Error::other("no") };
        for (error, message, log) in [
            (
                ProcessError::Exited { exit, log: log.clone() },
                "the streamer's process ended with signal 11",
                log,
            ),
            (spawn, "the streamer's process cannot be started", vec![]),
        ] {
            let reason = EndReason::Failed(SourceError::retryable(error));
            for failure in [Failure::of_start(&reason), Failure::from(&reason)] {
                assert_eq!((failure.code.name(), failure.status().as_u16()), ("process_failed", 500));
                assert_eq!((failure.message.as_str(), &failure.log, failure.stage), (message, &log, None));
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_process_without_a_port_met_a_limit() {
        let failure = Failure::of_start(&EndReason::Failed(SourceError::retryable(ProcessError::NoPort)));
        assert_eq!((failure.code.name(), failure.status().as_u16(), failure.stage), ("limit", 503, None));
    }

    #[test]
    fn a_stream_that_never_had_a_picture_was_not_connected() {
        #[derive(Debug, thiserror::Error)]
        #[error("the host went away")]
        struct Gone;
        let silent = Silent::NoFirstFrame { waited: Duration::from_secs(30), datagrams: 0 };
        let launch = SourceError::retryable(Gone).in_stage(Stage::Launch);
        for (reason, code, stage) in [
            (EndReason::Failed(SourceError::retryable(Gone)), Code::ConnectionFailed, Some("first frame")),
            (EndReason::Failed(launch), Code::ConnectionFailed, Some("launch")),
            (EndReason::Failed(SourceError::retryable(silent)), Code::ConnectionTimeout, Some("first frame")),
            (EndReason::ByHost, Code::ConnectionFailed, Some("first frame")),
            (EndReason::SourcePanicked, Code::InternalError, None),
        ] {
            let failure = Failure::of_start(&reason);
            assert_eq!((failure.code, failure.stage), (code, stage), "{reason:?}");
        }
    }
}
