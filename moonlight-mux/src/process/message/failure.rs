//! Why a stream failed, so that its cause can be downcast on the other side as on this one.

use std::error::Error;

use serde::{Deserialize, Serialize};

use crate::gamestream::host::HostError;
use crate::gamestream::source::{ConnectionError, InvalidConfig};
use crate::lifecycle::{EndReason, Silent};
use crate::source::{SourceError, Stage};

#[derive(Serialize, Deserialize)]
struct Failure {
    permanent: bool,
    stage: Option<Stage>,
    cause: Cause,
}

/// The causes that programs tell apart, and the words of all others.
#[derive(Serialize, Deserialize)]
enum Cause {
    Host(HostError),
    Connection(ConnectionError),
    Silent(Silent),
    Config {
        field: String,
        value: u32,
    },
    /// The error and what caused it, in words.
    Other {
        text: String,
        causes: Vec<String>,
    },
}

#[derive(Serialize, Deserialize)]
enum Reason {
    Stopped,
    ByHost,
    Failed(Failure),
    SourcePanicked,
}

/// An error of another process that no program tells apart: its words.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Told {
    text: String,
    #[source]
    cause: Option<Box<Told>>,
}

impl From<&SourceError> for Failure {
    fn from(error: &SourceError) -> Self {
        Self { permanent: error.is_permanent(), stage: error.stage(), cause: error.cause().into() }
    }
}

impl From<&(dyn Error + Send + Sync + 'static)> for Cause {
    fn from(cause: &(dyn Error + Send + Sync + 'static)) -> Self {
        if let Some(error) = cause.downcast_ref::<HostError>() {
            return Self::Host(error.clone());
        }
        if let Some(error) = cause.downcast_ref::<ConnectionError>() {
            return Self::Connection(error.clone());
        }
        if let Some(silent) = cause.downcast_ref::<Silent>() {
            return Self::Silent(*silent);
        }
        if let Some(InvalidConfig { field, value }) = cause.downcast_ref::<InvalidConfig>() {
            return Self::Config { field: (*field).to_owned(), value: *value };
        }
        let causes = std::iter::successors(cause.source(), |&cause| cause.source());
        let causes = causes.take(MAX_CAUSES).map(ToString::to_string).collect();
        Self::Other { text: cause.to_string(), causes }
    }
}

impl From<Failure> for SourceError {
    fn from(failure: Failure) -> Self {
        let Failure { permanent, stage, cause } = failure;
        let error = match cause {
            Cause::Host(error) => of(permanent, error),
            Cause::Connection(error) => of(permanent, error),
            Cause::Silent(silent) => of(permanent, silent),
            Cause::Config { field, value } => {
                match InvalidConfig::FIELDS.iter().find(|known| **known == field) {
                    Some(field) => of(permanent, InvalidConfig { field, value }),
                    None => of(permanent, Told { text: format!("{field} cannot be {value}"), cause: None }),
                }
            }
            Cause::Other { text, causes } => {
                let cause = causes.into_iter().take(MAX_CAUSES).rev();
                let cause = cause.fold(None, |cause, text| Some(Box::new(Told { text, cause })));
                of(permanent, Told { text, cause })
            }
        };
        match stage {
            Some(stage) => error.in_stage(stage),
            None => error,
        }
    }
}

fn of(permanent: bool, cause: impl Error + Send + Sync + 'static) -> SourceError {
    if permanent { SourceError::permanent(cause) } else { SourceError::retryable(cause) }
}

impl From<&EndReason> for Reason {
    fn from(reason: &EndReason) -> Self {
        match reason {
            EndReason::Stopped => Self::Stopped,
            EndReason::ByHost => Self::ByHost,
            EndReason::Failed(error) => Self::Failed(error.into()),
            EndReason::SourcePanicked => Self::SourcePanicked,
        }
    }
}

impl From<Reason> for EndReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Stopped => Self::Stopped,
            Reason::ByHost => Self::ByHost,
            Reason::Failed(failure) => Self::Failed(failure.into()),
            Reason::SourcePanicked => Self::SourcePanicked,
        }
    }
}

/// For `#[serde(with = …)]`.
pub(super) mod source_error {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Failure;
    use crate::source::SourceError;

    pub(crate) fn serialize<S: Serializer>(error: &SourceError, serializer: S) -> Result<S::Ok, S::Error> {
        Failure::from(error).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SourceError, D::Error> {
        Ok(Failure::deserialize(deserializer)?.into())
    }
}

/// For `#[serde(with = …)]`.
pub(super) mod end_reason {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Reason;
    use crate::lifecycle::EndReason;

    pub(crate) fn serialize<S: Serializer>(reason: &EndReason, serializer: S) -> Result<S::Ok, S::Error> {
        Reason::from(reason).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EndReason, D::Error> {
        Ok(Reason::deserialize(deserializer)?.into())
    }
}

/// Of an error, that are told. A chain is a few long.
const MAX_CAUSES: usize = 16;
