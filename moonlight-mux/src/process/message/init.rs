//! What a child is to be.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Secret;
use crate::gamestream::address::HostAddress;
use crate::gamestream::host::{Host, HostConfig, Learned, Turns};
use crate::gamestream::identity::Identity;
use crate::gamestream::pairing::certificate::Certificate;
use crate::gamestream::source::{MoonlightConfig, MoonlightSource};
use crate::process::Limits;
use crate::signalling::IceServer;
use crate::streamer::{StreamerConfig, StreamerId};
use crate::webrtc::{TurnSecret, WebRtcConfig};

/// All that a child needs to know. Holds secrets, which `Debug` does not show.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Init {
    pub(crate) streamer_id: StreamerId,
    pub(crate) source: MoonlightInit,
    pub(crate) config: StreamerConfig,
    #[serde(with = "WebRtcForm")]
    pub(crate) webrtc: WebRtcConfig,
    #[serde(default)]
    pub(crate) limits: Limits,
}

/// A [`MoonlightSource`] without what it shares with others in its process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MoonlightInit {
    #[serde(with = "HostForm")]
    pub(crate) host: HostConfig,
    #[serde(default)]
    pub(crate) learned: Learned,
    pub(crate) config: MoonlightConfig,
}

impl MoonlightInit {
    pub(crate) fn new(source: &MoonlightSource) -> Self {
        let (host, learned) = source.host().to_parts();
        Self { host, learned, config: source.config().clone() }
    }

    /// The source again, which takes turns at its host by these.
    pub(crate) fn into_source(self, turns: Turns) -> MoonlightSource {
        MoonlightSource::new(Host::from_parts(self.host, self.learned, turns), self.config)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "HostConfig")]
struct HostForm {
    address: HostAddress,
    #[serde(with = "identity")]
    identity: Identity,
    #[serde(with = "certificate", default)]
    certificate: Option<Certificate>,
    local_address: Option<IpAddr>,
    timeout: Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "WebRtcConfig")]
struct WebRtcForm {
    bind: SocketAddr,
    tcp: Option<SocketAddr>,
    #[serde(default)]
    public_addresses: Vec<IpAddr>,
    #[serde(default)]
    ice_servers: Vec<IceServer>,
    #[serde(with = "turn_secrets", default)]
    turn_secrets: Vec<TurnSecret>,
    direct: bool,
    #[serde(default)]
    shards: Option<NonZeroUsize>,
}

mod identity {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Identity, Secret};

    #[derive(Serialize, Deserialize)]
    struct Form {
        /// PEM text.
        certificate: Secret,
        /// PKCS#8.
        key: Secret,
    }

    pub(super) fn serialize<S: Serializer>(identity: &Identity, serializer: S) -> Result<S::Ok, S::Error> {
        let certificate = Secret::new(identity.certificate_pem().to_vec());
        Form { certificate, key: Secret::new(identity.key_pkcs8().to_vec()) }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Identity, D::Error> {
        let Form { certificate, key } = Form::deserialize(deserializer)?;
        Identity::from_parts(certificate.bytes().to_vec(), key.bytes().to_vec()).map_err(D::Error::custom)
    }
}

mod certificate {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Certificate, Secret};

    pub(super) fn serialize<S: Serializer>(
        certificate: &Option<Certificate>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let der = certificate.as_ref().map(|certificate| Secret::new(certificate.der().to_vec()));
        der.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Certificate>, D::Error> {
        let der = Option::<Secret>::deserialize(deserializer)?;
        der.map(|der| Certificate::from_der(der.bytes().to_vec())).transpose().map_err(D::Error::custom)
    }
}

mod turn_secrets {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Secret, TurnSecret};

    #[derive(Serialize, Deserialize)]
    struct Form {
        urls: Vec<String>,
        ttl: Duration,
        secret: Secret,
    }

    pub(super) fn serialize<S: Serializer>(turns: &[TurnSecret], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(turns.iter().map(|turn| Form {
            urls: turn.urls.clone(),
            ttl: turn.ttl,
            secret: turn.secret().clone(),
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<TurnSecret>, D::Error> {
        let forms = Vec::<Form>::deserialize(deserializer)?;
        Ok(forms
            .into_iter()
            .map(|Form { urls, ttl, secret }| {
                let mut turn = TurnSecret::new(urls, secret.bytes());
                turn.ttl = ttl;
                turn
            })
            .collect())
    }
}
