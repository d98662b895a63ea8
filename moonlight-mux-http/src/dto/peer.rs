//! What the API says of viewers.

use std::collections::BTreeMap;
use std::time::Duration;

use moonlight_mux::{DeviceClass, PeerInfo, Rights, Streamer};
use serde::Serialize;

use super::rfc3339;

/// One viewer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Peer {
    /// Its id, a UUID.
    pub peer_id: String,
    /// When it was added, RFC 3339 in UTC.
    pub connected_at: String,
    /// What it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it may use each class of devices, by the class's name.
    pub rights: BTreeMap<&'static str, bool>,
    /// Whether it acts on the host: it did within the last second, or holds something.
    pub acting: bool,
    /// How its connection does; absent from lists, and where it was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<PeerStats>,
}

/// How a viewer's connection does. Counts are since it joined, or since its streamer's process was started again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeerStats {
    /// By which way its media leave the server, `direct` or `standard`; absent before it is connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<&'static str>,
    /// Pictures sent.
    pub frames: u64,
    /// Packets of those, without what was sent again.
    pub packets: u64,
    /// Of those packets, how many it has not got, by its own report.
    pub lost: u64,
    /// Packets that it asked to be sent again, each time.
    pub nacks: u64,
    /// Keyframes that it asked for.
    pub keyframe_requests: u64,
    /// How often its pictures were held back until a keyframe, since it lost too much.
    pub holds: u64,
    /// How often its media were stopped, since it was silent.
    pub pauses: u64,
    /// How often the system did not take what was to be sent.
    pub send_failures: u64,
    /// From the server to it and back, in milliseconds, by its last report that tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// How unevenly packets arrive there (RFC 3550, 6.4.1), in milliseconds, by its last report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<f64>,
}

impl Peer {
    pub(crate) fn of(streamer: &Streamer, peer: &PeerInfo) -> Self {
        Self { stats: streamer.peer_stats(peer.id).map(PeerStats::from), ..Self::from(peer) }
    }
}

impl From<&PeerInfo> for Peer {
    /// Without its statistics.
    fn from(peer: &PeerInfo) -> Self {
        Self {
            peer_id: peer.id.to_string(),
            connected_at: rfc3339(peer.connected_at),
            name: peer.name.as_ref().map(ToString::to_string),
            rights: by_class(peer.rights),
            acting: peer.acting,
            stats: None,
        }
    }
}

impl From<moonlight_mux::PeerStats> for PeerStats {
    fn from(stats: moonlight_mux::PeerStats) -> Self {
        Self {
            path: stats.path.map(moonlight_mux::MediaPath::name),
            frames: stats.frames,
            packets: stats.packets,
            lost: stats.lost,
            nacks: stats.nacks,
            keyframe_requests: stats.keyframe_requests,
            holds: stats.holds,
            pauses: stats.pauses,
            send_failures: stats.send_failures,
            round_trip_ms: stats.round_trip.map(tenths_of_milliseconds),
            jitter_ms: stats.jitter.map(tenths_of_milliseconds),
        }
    }
}

pub(super) fn by_class(rights: Rights) -> BTreeMap<&'static str, bool> {
    DeviceClass::ALL.into_iter().map(|class| (class.name(), rights.allows(class))).collect()
}

/// Milliseconds with one decimal.
fn tenths_of_milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statistics_have_the_documented_names_and_leave_out_what_is_not_known() {
        let mut stats = moonlight_mux::PeerStats::default();
        let zero = json!({"frames": 0, "packets": 0, "lost": 0, "nacks": 0, "keyframe_requests": 0, "holds": 0,
            "pauses": 0, "send_failures": 0});
        assert_eq!(serde_json::to_value(PeerStats::from(stats)).unwrap(), zero);
        (stats.frames, stats.packets, stats.lost, stats.nacks) = (1, 2, 3, 4);
        (stats.keyframe_requests, stats.holds, stats.pauses, stats.send_failures) = (5, 6, 7, 8);
        stats.path = Some(moonlight_mux::MediaPath::Direct);
        stats.round_trip = Some(Duration::from_micros(1_249));
        stats.jitter = Some(Duration::from_micros(20_000));
        let full = json!({"path": "direct", "frames": 1, "packets": 2, "lost": 3, "nacks": 4, "keyframe_requests": 5,
            "holds": 6, "pauses": 7, "send_failures": 8, "round_trip_ms": 1.2, "jitter_ms": 20.0});
        assert_eq!(serde_json::to_value(PeerStats::from(stats)).unwrap(), full);
    }
}
