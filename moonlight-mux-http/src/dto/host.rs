//! What the API says of hosts.

use serde::Serialize;

use super::StreamerError;

/// `GET /api/hosts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostList {
    /// All that are known, by id. No host was asked for this.
    pub hosts: Vec<Host>,
}

/// One host, as one identity sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    /// Its id here.
    pub host_id: u32,
    /// What it calls itself.
    pub name: String,
    /// Where it is reached.
    pub address: String,
    /// Whether it knows the identity.
    pub paired: bool,
    /// What became of the last [`PairingStarted`] with this identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairing: Option<Pairing>,
    /// What it says when it is asked; absent from lists.
    #[serde(flatten)]
    pub answer: Option<HostAnswer>,
}

/// What a host said just now, or that it said nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum HostAnswer {
    /// No app runs there.
    Free(HostFacts),
    /// An app runs there.
    Busy {
        /// Which.
        running_app_id: u32,
        /// The rest.
        #[serde(flatten)]
        facts: HostFacts,
    },
    /// It did not answer.
    Offline {
        /// Why.
        error: StreamerError,
    },
}

/// What a host is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostFacts {
    /// The version of its protocol, as `7.1.431.-1`.
    pub version: String,
    /// What it can encode: `H.264`, `HEVC`, `AV1`.
    pub codecs: Vec<&'static str>,
    /// The identity's rights as a bit mask; only hosts of the Apollo family have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission: Option<u32>,
}

/// How a pairing stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Pairing {
    /// For somebody to enter the PIN at the host.
    Waiting,
    /// The host knows the identity.
    Paired,
    /// It does not, and this pairing is over.
    Failed {
        /// Why.
        error: StreamerError,
    },
}

/// `POST /api/hosts/{id}/pair`.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct PairingStarted {
    /// Four digits, to be entered at the host.
    pub pin: String,
}

/// `GET /api/hosts/{id}/apps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppList {
    /// In the host's order.
    pub apps: Vec<App>,
}

/// Something that a host can run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct App {
    /// Its number there; it changes when the app is renamed.
    pub app_id: u32,
    /// Its name there.
    pub title: String,
    /// Whether the host can send it with high dynamic range.
    pub is_hdr_supported: bool,
}

/// Without the PIN, which belongs in no log.
impl std::fmt::Debug for PairingStarted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PairingStarted").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn error() -> StreamerError {
        StreamerError {
            stage: None,
            code: "connection_failed",
            message: "it does not answer".to_owned(),
            log: vec![],
        }
    }

    #[test]
    fn the_wire_has_the_documented_names() {
        let facts =
            HostFacts { version: "7.1.431.-1".to_owned(), codecs: vec!["H.264", "AV1"], permission: None };
        let limited = HostFacts { permission: Some(3), ..facts.clone() };
        let host = |pairing, answer| Host {
            host_id: 0,
            name: "Office".to_owned(),
            address: "office:47989".to_owned(),
            paired: false,
            pairing,
            answer,
        };
        let with = |more: Value| {
            let mut json =
                json!({"host_id": 0, "name": "Office", "address": "office:47989", "paired": false});
            json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json
        };
        let error_json = json!({"stage": null, "code": "connection_failed", "message": "it does not answer"});
        let table = [
            (host(None, None), json!({})),
            (
                host(Some(Pairing::Waiting), Some(HostAnswer::Free(facts))),
                json!({"pairing": {"status": "waiting"}, "state": "free", "version": "7.1.431.-1",
                    "codecs": ["H.264", "AV1"]}),
            ),
            (
                host(Some(Pairing::Paired), Some(HostAnswer::Busy { running_app_id: 7, facts: limited })),
                json!({"pairing": {"status": "paired"}, "state": "busy", "running_app_id": 7,
                    "version": "7.1.431.-1", "codecs": ["H.264", "AV1"], "permission": 3}),
            ),
            (
                host(Some(Pairing::Failed { error: error() }), Some(HostAnswer::Offline { error: error() })),
                json!({"pairing": {"status": "failed", "error": error_json}, "state": "offline",
                    "error": error_json}),
            ),
        ];
        for (host, more) in table {
            assert_eq!(serde_json::to_value(&host).unwrap(), with(more));
        }
    }

    #[test]
    fn a_pin_is_for_the_answer_alone() {
        let started = PairingStarted { pin: "4711".to_owned() };
        assert_eq!(serde_json::to_value(&started).unwrap(), json!({"pin": "4711"}));
        assert!(!format!("{started:?}").contains("4711"));
    }
}
