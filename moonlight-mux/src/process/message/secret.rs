//! Bytes that nobody may see.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::gamestream::pairing::wipe;

/// Secret bytes: not in the `Debug` output, wiped when they are dropped. In base64 on the wire.
#[derive(Clone, Default)]
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Self(STANDARD.encode(&self.0).into_bytes());
        serializer.serialize_str(str::from_utf8(&text.0).expect("base64 is ASCII"))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Self(String::deserialize(deserializer)?.into_bytes());
        STANDARD.decode(&text.0).map(Self).map_err(|_| D::Error::custom("no base64"))
    }
}
