//! Passwords and shared secrets: in files, never in arguments, logs or errors.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// A secret that stands in the configuration file itself.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// Serde's own errors would show the value.
struct SecretVisitor;

impl SecretVisitor {
    fn refuse<E: de::Error>() -> Result<Secret, E> {
        Err(E::custom("a secret is a text in quotes"))
    }
}

impl Visitor<'_> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        if text.is_empty() { Self::refuse() } else { Ok(Secret(text.to_owned())) }
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
        Self::refuse()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
        Self::refuse()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
        Self::refuse()
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
        Self::refuse()
    }
}

/// Why a file has no secret to give.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretFileError {
    #[error("the file {} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the file {} is empty: it must hold the secret, on one line", path.display())]
    Empty { path: PathBuf },
}

/// The secret that a file holds.
pub(crate) fn read(path: &Path) -> Result<String, SecretFileError> {
    let text = fs::read_to_string(path)
        .map_err(|source| SecretFileError::Unreadable { path: path.to_owned(), source })?;
    // An editor's last line break is no part of it.
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(SecretFileError::Empty { path: path.to_owned() }),
        secret => Ok(secret.to_owned()),
    }
}
