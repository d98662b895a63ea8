//! A request's JSON body, field by field.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, OptionalFromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::{Map, Value};
use tokio::time;

use crate::problem::Problem;

/// The members of the object that a request's body is. Unknown ones are ignored, `null` is as good as absent, and of
/// two with one name the last one counts.
///
/// As an extractor it takes a whole body of `application/json`, at most [`MAX_BODY`] bytes long; an absent one if it
/// is wrapped in an [`Option`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields(Map<String, Value>);

/// A field that cannot be used. `Display` is for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {fault}")]
pub(crate) struct InvalidField {
    pub(crate) field: &'static str,
    pub(crate) fault: Fault,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("is missing")]
    Missing,
    #[error("is missing: name the app by app_id, or by app, its title")]
    NoApp,
    #[error("has to be a string")]
    NotText,
    #[error("has to be true or false")]
    NotFlag,
    #[error("has to be a whole number from {min} to {max}")]
    NotInRange { min: u32, max: u32 },
    #[error("has to be 1 to 128 characters of A-Z a-z 0-9 . _ -")]
    NotAnId,
    #[error("has to be 1 to {max} characters, none of them a control character")]
    NotATitle { max: usize },
    #[error("has to be one of {}", Choices(.0))]
    NotAmong(&'static [&'static str]),
    #[error("has to be a name or an IP address, with a port behind a colon if it is not 47989")]
    NotAnAddress,
    #[error(
        "names 10-bit video only, which cannot be sent to browsers yet: add 1 (H.264), 256 (HEVC) or 4096 (AV1)"
    )]
    NotPlayable,
    #[error("names no codec: add 1 (H.264), 256 (HEVC) or 4096 (AV1)")]
    NoCodec,
    #[error("has to be an object")]
    NotAnObject,
    #[error("may have keyboard, pointer, touch, pen, gamepad, text alone")]
    UnknownClass,
    #[error("has to be shared, one_at_a_time or view_only")]
    NotAMode,
    #[error("means something with the input_mode one_at_a_time alone")]
    NoTurns,
}

struct Choices<'a>(&'a [&'a str]);

impl fmt::Display for Choices<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl Fields {
    /// The text, if there is one.
    pub(crate) fn text(&self, field: &'static str) -> Result<Option<&str>, InvalidField> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Fault::NotText.of(field)),
        }
    }

    /// The text as what it stands for; `fault` says what that has to be.
    pub(crate) fn parsed<T: FromStr>(
        &self,
        field: &'static str,
        fault: Fault,
    ) -> Result<Option<T>, InvalidField> {
        self.text(field)?.map(str::parse).transpose().map_err(|_| fault.of(field))
    }

    /// The number, if there is one.
    pub(crate) fn number(
        &self,
        field: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, InvalidField> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        let (&min, &max) = (range.start(), range.end());
        number.map(Some).ok_or(Fault::NotInRange { min, max }.of(field))
    }

    /// The flag, if there is one.
    pub(crate) fn flag(&self, field: &'static str) -> Result<Option<bool>, InvalidField> {
        match self.value(field) {
            None => Ok(None),
            Some(&Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(Fault::NotFlag.of(field)),
        }
    }

    /// The one of `choices` that the text is, if there is one.
    pub(crate) fn choice(
        &self,
        field: &'static str,
        choices: &'static [&'static str],
    ) -> Result<Option<&str>, InvalidField> {
        let text = self.value(field).map(|value| value.as_str().filter(|text| choices.contains(text)));
        text.map(|text| text.ok_or(Fault::NotAmong(choices).of(field))).transpose()
    }

    /// The object, if there is one.
    pub(crate) fn object(&self, field: &'static str) -> Result<Option<Self>, InvalidField> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self(members.clone()))),
            Some(_) => Err(Fault::NotAnObject.of(field)),
        }
    }

    /// Whether it says anything of a field.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.value(field).is_some()
    }

    /// The members with these names.
    pub(crate) fn only(&self, names: &[&str]) -> Self {
        let members = self.0.iter().filter(|(name, _)| names.contains(&name.as_str()));
        Self(members.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// Gives a field another value, or none.
    pub(crate) fn put(&mut self, field: &str, value: Option<Value>) {
        match value {
            Some(value) => self.0.insert(field.to_owned(), value),
            None => self.0.remove(field),
        };
    }

    pub(crate) fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// What its members are called.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn value(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }
}

impl From<Map<String, Value>> for Fields {
    fn from(members: Map<String, Value>) -> Self {
        Self(members)
    }
}

impl Fault {
    pub(crate) fn of(self, field: &'static str) -> InvalidField {
        InvalidField { field, fault: self }
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Problem;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Problem> {
        DefaultBodyLimit::max(MAX_BODY).apply(&mut request);
        let body = <Json<Value> as FromRequest<S>>::from_request(request, state);
        match time::timeout(BODY_TIMEOUT, body).await.map_err(|_| Problem::BodyTooSlow)?? {
            Json(Value::Object(members)) => Ok(Self(members)),
            Json(_) => Err(Problem::NotAnObject),
        }
    }
}

impl<S: Send + Sync> OptionalFromRequest<S> for Fields {
    type Rejection = Problem;

    /// Whoever sends no body names no content type either.
    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        if request.headers().contains_key(CONTENT_TYPE) {
            return <Self as FromRequest<S>>::from_request(request, state).await.map(Some);
        }
        let mut request = request;
        DefaultBodyLimit::max(MAX_BODY).apply(&mut request);
        let body = Bytes::from_request(request, state);
        let body = time::timeout(BODY_TIMEOUT, body).await.map_err(|_| Problem::BodyTooSlow)??;
        if body.is_empty() { Ok(None) } else { Err(Problem::NotJson) }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            JsonRejection::MissingJsonContentType(_) => Self::NotJson,
            JsonRejection::BytesRejection(rejection) => rejection.into(),
            // Any JSON is a `Value`, so it is the syntax.
            _ => Self::InvalidJson,
        }
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE {
            Self::BodyTooLarge
        } else {
            // It ended before it was whole.
            Self::InvalidJson
        }
    }
}

/// Bytes of a body: a hundred times what any call has to say. Longer: 413, unread.
pub(crate) const MAX_BODY: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
impl From<Value> for Fields {
    fn from(value: Value) -> Self {
        match value {
            Value::Object(members) => Self(members),
            other => panic!("{other} is no object"),
        }
    }
}
