//! What the HTTP API says, in its own words: field names and types that existing clients know.

mod host;
mod peer;

use std::time::{Duration, SystemTime};

use moonlight_mux::{EndReason, InputMode, State, Streamer};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use self::host::*;
pub use self::peer::*;
use crate::failure::Failure;

/// `GET /api/streamers`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamerList {
    /// All of them, by id.
    pub streamers: Vec<StreamerInfo>,
}

/// One streamer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamerInfo {
    /// Its id.
    pub streamer_id: String,
    /// What it is doing.
    pub status: Status,
    /// Whether the connection to the host stands.
    pub moonlight_connected: bool,
    /// How many viewers it has.
    pub connected_peers: usize,
    /// Picture width in pixels; 0 until it is known.
    pub width: u32,
    /// Picture height in pixels; 0 until it is known.
    pub height: u32,
    /// Nominal frames per second; 0 until it is known.
    pub fps: u32,
    /// When it was created, RFC 3339 in UTC.
    pub created_at: String,
    /// Its viewers; in lists without their statistics.
    pub peers: Vec<Peer>,
    /// How they share the host's input: an [`InputMode`]'s name.
    pub input_mode: &'static str,
    /// One at a time: how long the one whose turn it is must rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// The step of connecting that it is at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<&'static str>,
    /// Why it failed, or why it is reconnecting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<StreamerError>,
    /// The picture's codec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<&'static str>,
    /// Video and sound, measured over the last whole second.
    pub bitrate_kbps: u64,
    /// How long ago the last picture came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_frame_age_ms: Option<u64>,
    /// How often its source was run again.
    pub restarts: u64,
    /// The process that it runs in, when that is one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Whether it comes back when the server is started again, and is tried again when it failed.
    pub persistent: bool,
}

/// What a streamer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has no picture yet.
    Starting,
    /// Frames flow.
    Active,
    /// Frames have ceased.
    Stalled,
    /// The host was lost and is connected to again.
    Reconnecting,
    /// It is over, against everybody's wish.
    Failed,
    /// It is over, because the host or somebody here ended it.
    Stopped,
}

/// Why a streamer, or the last run of its source, failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamerError {
    /// The step of connecting in which it happened, if it happened there.
    pub stage: Option<&'static str>,
    /// For programs; docs/http-api.md lists them.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// The last lines that the streamer's process wrote into its log, when that is what failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

impl From<&Streamer> for StreamerInfo {
    /// Of one that is not persistent, with its viewers' statistics.
    fn from(streamer: &Streamer) -> Self {
        let state = streamer.state();
        let info = streamer.info();
        let video = info.as_ref().map(|info| &info.video);
        let peers: Vec<_> = streamer.peers().iter().map(|peer| Peer::of(streamer, peer)).collect();
        let stats = streamer.stats();
        let mode = streamer.input_mode();
        Self {
            streamer_id: streamer.id().to_string(),
            status: Status::from(&state),
            moonlight_connected: is_connected(&state),
            connected_peers: peers.len(),
            width: video.map_or(0, |video| video.width),
            height: video.map_or(0, |video| video.height),
            fps: video.map_or(0, |video| video.fps),
            created_at: rfc3339(streamer.created_at()),
            peers,
            input_mode: mode.name(),
            idle_ms: idle(mode).map(whole_milliseconds),
            stage: stage(&state),
            error: error(&state, stats.video_frames > 0),
            codec: video.map(|video| video.codec.name()),
            bitrate_kbps: stats.bits_per_second / 1000,
            last_frame_age_ms: stats.last_frame_age.map(whole_milliseconds),
            restarts: streamer.restarts(),
            pid: streamer.pid(),
            persistent: false,
        }
    }
}

impl StreamerInfo {
    /// As it stands in lists.
    pub(crate) fn in_brief(mut self) -> Self {
        for peer in &mut self.peers {
            peer.stats = None;
        }
        self
    }
}

impl From<&State> for Status {
    fn from(state: &State) -> Self {
        match state {
            State::Streaming => Self::Active,
            State::Stalled => Self::Stalled,
            State::Reconnecting { .. } => Self::Reconnecting,
            State::Ended(EndReason::Stopped | EndReason::ByHost) => Self::Stopped,
            State::Ended(_) => Self::Failed,
            // `Starting`, `Connecting`, `Connected`, and states that the library learns before this table does: in
            // none of them does a picture move.
            _ => Self::Starting,
        }
    }
}

impl From<Failure> for StreamerError {
    fn from(failure: Failure) -> Self {
        Self { stage: failure.stage, code: failure.code.name(), message: failure.message, log: failure.log }
    }
}

fn idle(mode: InputMode) -> Option<Duration> {
    match mode {
        InputMode::OneAtATime { idle } => Some(idle),
        _ => None,
    }
}

fn is_connected(state: &State) -> bool {
    matches!(state, State::Connected | State::Streaming | State::Stalled)
}

fn stage(state: &State) -> Option<&'static str> {
    match state {
        State::Connecting(stage) => Some(stage.name()),
        _ => None,
    }
}

fn error(state: &State, had_pictures: bool) -> Option<StreamerError> {
    let (State::Ended(reason) | State::Reconnecting { reason, .. }) = state else { return None };
    match reason {
        EndReason::Stopped | EndReason::ByHost => None,
        reason if had_pictures => Some(Failure::from(reason).into()),
        reason => Some(Failure::of_start(reason).into()),
    }
}

/// Whole seconds, as in `2026-01-31T12:00:00Z`.
fn rfc3339(time: SystemTime) -> String {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

fn whole_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use moonlight_mux::{DeviceClass, Rights, SourceError, Stage};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the host does not answer")]
    struct NoAnswer;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any time will do")]
    fn each_state_has_its_status() {
        let failed = SourceError::retryable(NoAnswer);
        let lost = EndReason::Failed(failed.clone());
        let next = std::time::Instant::now();
        let table = [
            (State::Starting, Status::Starting, false),
            (State::Connecting(Stage::RtspHandshake), Status::Starting, false),
            (State::Connected, Status::Starting, true),
            (State::Streaming, Status::Active, true),
            (State::Stalled, Status::Stalled, true),
            (State::Reconnecting { attempt: 1, next, reason: lost }, Status::Reconnecting, false),
            (State::Ended(EndReason::Stopped), Status::Stopped, false),
            (State::Ended(EndReason::ByHost), Status::Stopped, false),
            (State::Ended(EndReason::Failed(failed)), Status::Failed, false),
            (State::Ended(EndReason::SourcePanicked), Status::Failed, false),
        ];
        for (state, status, connected) in table {
            assert_eq!(Status::from(&state), status, "{state:?}");
            assert_eq!(is_connected(&state), connected, "{state:?}");
            assert_eq!(
                error(&state, true).is_some(),
                matches!(status, Status::Failed | Status::Reconnecting),
                "a failure has its reason: {state:?}"
            );
        }
    }

    #[test]
    fn a_failure_names_its_stage_and_its_cause() {
        let failed = SourceError::permanent(NoAnswer).in_stage(Stage::RtspHandshake);
        assert_eq!(
            error(&State::Ended(EndReason::Failed(failed)), false),
            Some(StreamerError {
                stage: Some("RTSP handshake"),
                code: "connection_failed",
                message: "the host does not answer".to_owned(),
                log: vec![],
            })
        );
    }

    #[test]
    fn a_stream_has_failed_only_if_it_had_pictures() {
        let failed = State::Ended(EndReason::Failed(SourceError::permanent(NoAnswer)));
        let code = |had_pictures| error(&failed, had_pictures).map(|error| (error.code, error.stage));
        assert_eq!(code(true), Some(("stream_failed", None)));
        assert_eq!(code(false), Some(("connection_failed", Some("first frame"))));
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(rfc3339(at(1_769_860_800)), "2026-01-31T12:00:00Z");
        assert_eq!(rfc3339(at(1_769_860_800) + Duration::from_millis(999)), "2026-01-31T12:00:00Z");
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(at(i64::MAX as u64)), "1970-01-01T00:00:00Z", "beyond the calendar");
    }

    #[test]
    fn the_wire_has_the_names_that_clients_know() {
        let info = StreamerInfo {
            streamer_id: "desk".to_owned(),
            status: Status::Active,
            moonlight_connected: true,
            connected_peers: 1,
            width: 2560,
            height: 1600,
            fps: 60,
            created_at: "2026-01-31T12:00:00Z".to_owned(),
            peers: [None, Some("Ann".to_owned())]
                .map(|name| Peer {
                    peer_id: "p".to_owned(),
                    connected_at: "2026-01-31T12:00:01Z".to_owned(),
                    rights: peer::by_class(Rights::ALL.with(DeviceClass::Pen, name.is_none())),
                    acting: name.is_some(),
                    name,
                    stats: None,
                })
                .to_vec(),
            input_mode: "one_at_a_time",
            idle_ms: Some(2000),
            stage: None,
            error: None,
            codec: Some("H.264"),
            bitrate_kbps: 8000,
            last_frame_age_ms: Some(7),
            restarts: 2,
            pid: Some(4711),
            persistent: true,
        };
        let json = serde_json::to_value(StreamerList { streamers: vec![info] }).unwrap();
        let expected = serde_json::json!({"streamers": [{
            "streamer_id": "desk", "status": "active", "moonlight_connected": true, "connected_peers": 1,
            "width": 2560, "height": 1600, "fps": 60, "created_at": "2026-01-31T12:00:00Z",
            "peers": [
                {"peer_id": "p", "connected_at": "2026-01-31T12:00:01Z", "acting": false, "rights": {
                    "keyboard": true, "pointer": true, "touch": true, "pen": true, "gamepad": true, "text": true,
                }},
                {"peer_id": "p", "connected_at": "2026-01-31T12:00:01Z", "name": "Ann", "acting": true, "rights": {
                    "keyboard": true, "pointer": true, "touch": true, "pen": false, "gamepad": true, "text": true,
                }},
            ],
            "input_mode": "one_at_a_time", "idle_ms": 2000,
            "codec": "H.264", "bitrate_kbps": 8000, "last_frame_age_ms": 7, "restarts": 2,
            "pid": 4711, "persistent": true,
        }]});
        assert_eq!(json, expected);
    }
}
