//! Why a call to a host came to nothing.

use std::fmt;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::gamestream::address::HostAddress;
use crate::gamestream::http::CallError;
use crate::gamestream::pairing::certificate::Unusable;
use crate::gamestream::pairing::client::Failure;
use crate::gamestream::wire::http::{AppId, Error as AnswerError};
use crate::process::message;

/// A call to a host that came to nothing: which host, which call, after how long, and why. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{host}: {call} failed after {:.1} s: {cause}", .elapsed.as_secs_f32())]
pub struct HostError {
    /// The host.
    pub host: HostAddress,
    /// What it was asked.
    pub call: HostCall,
    /// Since it was asked.
    pub elapsed: Duration,
    /// What went wrong.
    pub cause: HostErrorCause,
}

/// What a host can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum HostCall {
    /// Who it is and what runs there.
    ServerInfo,
    /// A stage of pairing, 1 to 5.
    Pair {
        /// Which one.
        stage: u8,
    },
    /// To take the PIN, by an interface of its own.
    EnterPin,
    /// What it can run.
    AppList,
    /// An app's picture.
    AppImage,
    /// To run an app and stream it.
    Launch,
    /// To stream what runs already.
    Resume,
    /// To end what runs.
    Cancel,
}

impl fmt::Display for HostCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServerInfo => "server info",
            Self::Pair { stage } => return write!(f, "pairing, stage {stage},"),
            Self::EnterPin => "entering the PIN",
            Self::AppList => "app list",
            Self::AppImage => "app image",
            Self::Launch => "launch",
            Self::Resume => "resume",
            Self::Cancel => "quitting the app",
        })
    }
}

/// What went wrong with a call to a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum HostErrorCause {
    /// No address belongs to the host's name.
    #[error("its name is not known")]
    NameNotFound,
    /// Nobody listens at the port.
    #[error("it refuses connections")]
    Refused,
    /// The network says so.
    #[error("it cannot be reached: {0}")]
    Unreachable(#[serde(with = "message::error_kind")] io::ErrorKind),
    /// The configured local address cannot be used.
    #[error("no connection can be made from the configured local address: {0}")]
    LocalAddress(#[serde(with = "message::error_kind")] io::ErrorKind),
    /// It took too long.
    #[error("it did not answer in time")]
    Timeout,
    /// No encrypted connection came about.
    #[error("the TLS handshake failed")]
    Tls,
    /// Another host answers there, or it has a new certificate: pair again.
    #[error("it shows another certificate than the one that it was paired with")]
    WrongCertificate,
    /// It closed the connection, which some hosts do to say no.
    #[error("it closed the connection without an answer")]
    Closed,
    /// It does not know this client, or not any more.
    #[error("it is not paired with this client")]
    NotPaired,
    /// It was given another PIN.
    #[error("it was given another PIN")]
    WrongPin,
    /// It is pairing with another client.
    #[error("it is pairing with another client")]
    PairingBusy,
    /// It does not want to pair.
    #[error("it refuses to pair")]
    PairingRefused,
    /// Somebody stands between it and this client.
    #[error("it did not prove that its certificate is its own")]
    Impostor,
    /// Its certificate is of no use.
    #[error("its certificate is unusable: {0}")]
    Certificate(Unusable),
    /// It does not take the PIN by its own interface.
    #[error("its interface refuses with status {status}")]
    Interface {
        /// Of HTTP.
        status: u16,
    },
    /// Nobody waits for a PIN there.
    #[error("its interface says that nobody waits for a PIN")]
    NobodyPairs,
    /// It has no such app.
    #[error("it has no such app")]
    UnknownApp,
    /// It runs another app.
    #[error("it is busy with {}", .running.map_or_else(|| "another session".to_owned(), |app| format!("app {app}")))]
    Busy {
        /// Which, if it says so.
        running: Option<AppId>,
    },
    /// This client may not do that; the host's owner can change it.
    #[error("this client has not the right to {right}")]
    MissingRight {
        /// What it may not do.
        right: HostRight,
    },
    /// It says no in its own words.
    #[error("it refuses with status {code}{}", .message.as_ref().map_or_else(String::new, |message| format!(": {}", message.escape_debug())))]
    Host {
        /// As in HTTP, or -1.
        code: i32,
        /// Its words.
        message: Option<String>,
    },
    /// It answers with something else.
    #[error("its answer makes no sense: {0}")]
    Malformed(MalformedAnswer),
    /// It answers without end.
    #[error("its answer is longer than {limit} bytes")]
    TooLong {
        /// What is read at most.
        limit: usize,
    },
    /// It speaks a version of the protocol that is too old: NVIDIA's own, or an early Sunshine.
    #[error(
        "it speaks version {version} of the protocol, and this client needs 7.1.431 of Sunshine or its like"
    )]
    Version {
        /// Its own.
        version: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

/// What is wrong with an answer, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{0}")]
pub struct MalformedAnswer(String);

#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error("it is no HTTP")]
    Http,
    #[error("{0}")]
    Document(AnswerError),
    #[error("it is none to this stage of pairing")]
    Stage,
    #[error("it is no JSON of this interface")]
    Json,
}

impl From<Wrong> for MalformedAnswer {
    fn from(wrong: Wrong) -> Self {
        Self(wrong.to_string())
    }
}

impl HostErrorCause {
    pub(crate) fn no_json() -> Self {
        Self::Malformed(Wrong::Json.into())
    }
}

/// A right that hosts of the Apollo family give to clients one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum HostRight {
    /// To see what it can run.
    List,
    /// To launch an app, or to stream one that runs.
    Launch,
}

impl fmt::Display for HostRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "list apps",
            Self::Launch => "launch and view apps",
        })
    }
}

impl HostError {
    /// Whether another try would meet it again, until somebody changes something at the host or here.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        use HostErrorCause as Cause;
        match &self.cause {
            Cause::NotPaired
            | Cause::WrongPin
            | Cause::WrongCertificate
            | Cause::Impostor
            | Cause::Certificate(_)
            | Cause::UnknownApp
            | Cause::MissingRight { .. }
            | Cause::LocalAddress(_)
            | Cause::Version { .. } => true,
            // Wolf says 500 to whatever fails there (session 8.6).
            Cause::Interface { status } => *status < 500,
            // What the client lacks (session 5), as opposed to what the host lacks at the moment.
            Cause::Host { code, .. } => matches!(code, 401 | 403),
            _ => false,
        }
    }

    /// Whether another session is in the way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self.cause, HostErrorCause::Busy { .. })
    }

    /// Whether the host was heard to say no, so that nothing of what was asked is under way there.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        use HostErrorCause as Cause;
        matches!(
            self.cause,
            Cause::Host { .. }
                | Cause::Busy { .. }
                | Cause::NotPaired
                | Cause::MissingRight { .. }
                | Cause::UnknownApp
                | Cause::PairingRefused
                | Cause::Refused
        )
    }
}

impl From<CallError> for HostErrorCause {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NameNotFound => Self::NameNotFound,
            CallError::Refused => Self::Refused,
            // Each address has its share of the time, so this and a call's own time-out come in any order.
            CallError::Unreachable(io::ErrorKind::TimedOut) => Self::Timeout,
            CallError::Unreachable(kind) => Self::Unreachable(kind),
            CallError::LocalAddress(kind) => Self::LocalAddress(kind),
            CallError::Tls => Self::Tls,
            CallError::WrongCertificate => Self::WrongCertificate,
            CallError::Closed => Self::Closed,
            CallError::Malformed => Self::Malformed(Wrong::Http.into()),
            CallError::TooLong { limit } => Self::TooLong { limit },
        }
    }
}

impl From<AnswerError> for HostErrorCause {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Refused(refusal) if refusal.is_unpaired() => Self::NotPaired,
            AnswerError::Refused(refusal) => Self::Host { code: refusal.status, message: refusal.message },
            error => Self::Malformed(Wrong::Document(error).into()),
        }
    }
}

impl From<Failure> for HostErrorCause {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused => Self::PairingRefused,
            Failure::Busy => Self::PairingBusy,
            Failure::Certificate(error) => Self::Certificate(error),
            Failure::Signature => Self::Impostor,
            Failure::WrongPin => Self::WrongPin,
            Failure::Unexpected => Self::Malformed(Wrong::Stage.into()),
        }
    }
}
