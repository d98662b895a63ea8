//! The messages of the channel `events`: JSON texts, externally tagged (docs/http-api.md). Pure.

use std::time::SystemTime;

use serde::{Serialize, Serializer};

use crate::input::{DeviceClass, GamepadFeedback, HostFeedback, InputStatus, Pointer, Rights, Sensor};
use crate::lifecycle::{EndReason, State};
use crate::media::StreamInfo;
use crate::peer::{MediaPath, PeerId, PeerInfo};

/// How many viewers are listed; more are only counted.
const LISTED: usize = 50;
/// How many pointers are told: those that moved last.
const POINTERS: usize = 16;

/// What a viewer is told.
#[derive(Debug, Serialize)]
pub(super) enum EventMessage<'a> {
    /// Who is here.
    Viewers {
        /// The one who is told.
        you: String,
        /// All of them, listed or not.
        count: usize,
        /// In the order in which they joined, the first [`LISTED`].
        viewers: Vec<Viewer<'a>>,
    },
    /// How the stream is.
    Stream(Stream),
    /// What the viewer may do.
    Input(Input),
    /// Where others point.
    Pointers(Vec<PointerOf>),
    /// How the viewer's own connection is.
    Quality(Quality),
    /// How strongly one of the viewer's gamepads rumbles, 0 to 65535.
    Rumble { gamepad: u8, low: u16, high: u16 },
    /// The same of its triggers.
    TriggerRumble { gamepad: u8, left: u16, right: u16 },
    /// The colour of its light.
    Led { gamepad: u8, rgb: [u8; 3] },
    /// How often one of its sensors is wanted, in Hz.
    Motion { gamepad: u8, sensor: &'static str, rate: u16 },
}

/// One of those who are here.
#[derive(Debug, Serialize)]
pub(super) struct Viewer<'a> {
    id: String,
    name: Option<&'a str>,
    /// How long it has been here, in milliseconds.
    since_ms: u64,
    /// The names of what it may use.
    rights: Vec<&'static str>,
    acting: bool,
}

/// What a viewer may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Input {
    mode: &'static str,
    /// Whose turn it is, where one at a time acts.
    turn: Option<String>,
    /// Whether the source takes input now; and of that, the rest.
    takes: bool,
    touch: bool,
    gamepad_sensors: bool,
    rights: RightsByName,
}

/// The rights as fields of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct RightsByName {
    keyboard: bool,
    pointer: bool,
    touch: bool,
    pen: bool,
    gamepad: bool,
    text: bool,
}

/// Where somebody points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct PointerOf {
    id: String,
    x: u16,
    y: u16,
}

/// How a stream is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Stream {
    status: Status,
    codec: Option<&'static str>,
    /// Pixels; 0 until it is known, as the other two.
    width: u32,
    height: u32,
    fps: u32,
}

/// The words of the HTTP API's `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Starting,
    Active,
    Stalled,
    Reconnecting,
    Failed,
    Stopped,
}

/// How a viewer's own connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Quality {
    /// Its picture.
    pub(crate) video: VideoQuality,
    /// By which way its media go; `None` until that is chosen.
    #[serde(serialize_with = "path_name", skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<MediaPath>,
}

impl Default for Quality {
    fn default() -> Self {
        Self { video: VideoQuality::Flowing, path: None }
    }
}

/// What a viewer's connection does with the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VideoQuality {
    /// It takes every frame.
    Flowing,
    /// It could not keep up: frames are left out until the next keyframe.
    Held,
    /// It was silent: nothing is sent until it answers.
    Paused,
}

#[expect(clippy::ref_option, reason = "serde wants it so")]
fn path_name<S: Serializer>(path: &Option<MediaPath>, serializer: S) -> Result<S::Ok, S::Error> {
    path.map(MediaPath::name).serialize(serializer)
}

impl<'a> EventMessage<'a> {
    pub(super) fn viewers(you: PeerId, peers: &'a [PeerInfo], now: SystemTime) -> Self {
        let viewers = peers.iter().take(LISTED).map(|peer| Viewer {
            id: peer.id.to_string(),
            name: peer.name.as_ref().map(|name| name.as_str()),
            // A clock that was set back makes nobody's stay negative.
            since_ms: now
                .duration_since(peer.connected_at)
                .map_or(0, |stay| u64::try_from(stay.as_millis()).unwrap_or(u64::MAX)),
            rights: names(peer.rights),
            acting: peer.acting,
        });
        Self::Viewers { you: you.to_string(), count: peers.len(), viewers: viewers.collect() }
    }

    /// The pointers without `you`'s own.
    pub(super) fn pointers(you: PeerId, pointers: &[Pointer]) -> Vec<PointerOf> {
        let others = pointers.iter().filter(|pointer| pointer.peer != you).take(POINTERS);
        let pointer = |&Pointer { peer, position }: &Pointer| PointerOf {
            id: peer.to_string(),
            x: position.x,
            y: position.y,
        };
        others.map(pointer).collect()
    }

    pub(super) fn feedback(feedback: GamepadFeedback) -> Self {
        let gamepad = feedback.gamepad().get();
        match feedback {
            HostFeedback::Rumble { low, high, .. } => Self::Rumble { gamepad, low, high },
            HostFeedback::TriggerRumble { left, right, .. } => Self::TriggerRumble { gamepad, left, right },
            HostFeedback::Led { rgb, .. } => Self::Led { gamepad, rgb },
            HostFeedback::Motion { sensor, rate, .. } => {
                let sensor = match sensor {
                    Sensor::Accelerometer => "accelerometer",
                    Sensor::Gyroscope => "gyroscope",
                };
                Self::Motion { gamepad, sensor, rate }
            }
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers always have a JSON form")
    }
}

impl Stream {
    pub(super) fn new(state: &State, info: Option<&StreamInfo>) -> Self {
        let status = match state {
            State::Starting | State::Connecting(_) | State::Connected => Status::Starting,
            State::Streaming => Status::Active,
            State::Stalled => Status::Stalled,
            State::Reconnecting { .. } => Status::Reconnecting,
            State::Ended(EndReason::Stopped | EndReason::ByHost) => Status::Stopped,
            State::Ended(EndReason::Failed(_) | EndReason::SourcePanicked) => Status::Failed,
        };
        let video = info.map(|info| &info.video);
        Self {
            status,
            codec: video.map(|video| video.codec.name()),
            width: video.map_or(0, |video| video.width),
            height: video.map_or(0, |video| video.height),
            fps: video.map_or(0, |video| video.fps),
        }
    }
}

impl Input {
    pub(super) fn new(status: &InputStatus) -> Self {
        let features = status.features.unwrap_or_default();
        let may = |class| status.rights.allows(class);
        Self {
            mode: status.mode.name(),
            turn: status.turn.map(|peer| peer.to_string()),
            takes: status.features.is_some(),
            touch: features.touch,
            gamepad_sensors: features.gamepad_sensors,
            rights: RightsByName {
                keyboard: may(DeviceClass::Keyboard),
                pointer: may(DeviceClass::Pointer),
                touch: may(DeviceClass::Touch),
                pen: may(DeviceClass::Pen),
                gamepad: may(DeviceClass::Gamepad),
                text: may(DeviceClass::Text),
            },
        }
    }
}

fn names(rights: Rights) -> Vec<&'static str> {
    DeviceClass::ALL.into_iter().filter(|&class| rights.allows(class)).map(DeviceClass::name).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::input::{GamepadIndex, InputFeatures, InputMode, Position};
    use crate::media::{VideoCodec, VideoInfo};
    use crate::peer::PeerName;
    use crate::source::{SourceError, Stage};
    use crate::webrtc::channels::MAX_MESSAGE;

    fn value(message: &EventMessage<'_>) -> Value {
        serde_json::from_str(&message.to_json()).expect("it is JSON")
    }

    fn peer(name: Option<&str>, connected_at: SystemTime) -> PeerInfo {
        let name = name.map(|name| name.parse().expect("a name"));
        PeerInfo { id: PeerId::random(), connected_at, name, rights: Rights::ALL, acting: false }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("no answer")]
    struct NoAnswer;

    #[test]
    fn the_messages_have_their_documented_form() {
        let start = SystemTime::UNIX_EPOCH;
        let now = start + Duration::from_millis(12_345);
        let mut peers =
            [peer(None, start), peer(Some("Ann"), now), peer(Some("late"), now + Duration::from_secs(1))];
        peers[1].rights = [DeviceClass::Pointer, DeviceClass::Text].into_iter().collect();
        peers[2].rights = Rights::NONE;
        peers[2].acting = true;
        let [first, second, third] = [0, 1, 2].map(|i| peers[i].id.to_string());
        let info = StreamInfo {
            video: VideoInfo { codec: VideoCodec::H264, width: 1280, height: 720, fps: 60 },
            audio: None,
        };
        let nothing = json!({"codec": null, "width": 0, "height": 0, "fps": 0});
        let known = json!({"codec": "H.264", "width": 1280, "height": 720, "fps": 60});
        let failed = EndReason::Failed(SourceError::retryable(NoAnswer));
        let reconnecting =
            State::Reconnecting { attempt: 1, next: crate::task::now(), reason: failed.clone() };
        let stream = |state: State, info| EventMessage::Stream(Stream::new(&state, info));
        let with = |status: &str, rest: &Value| {
            let mut rest = rest.clone();
            rest["status"] = status.into();
            json!({ "Stream": rest })
        };
        let table = [
            (
                EventMessage::viewers(peers[1].id, &peers, now),
                json!({"Viewers": {"you": second, "count": 3, "viewers": [
                    {"id": first, "name": null, "since_ms": 12345, "acting": false,
                     "rights": ["keyboard", "pointer", "touch", "pen", "gamepad", "text"]},
                    {"id": second, "name": "Ann", "since_ms": 0, "acting": false, "rights": ["pointer", "text"]},
                    {"id": third, "name": "late", "since_ms": 0, "acting": true, "rights": []},
                ]}}),
            ),
            (stream(State::Starting, None), with("starting", &nothing)),
            (stream(State::Connecting(Stage::Launch), None), with("starting", &nothing)),
            (stream(State::Connected, Some(&info)), with("starting", &known)),
            (stream(State::Streaming, Some(&info)), with("active", &known)),
            (stream(State::Stalled, Some(&info)), with("stalled", &known)),
            (stream(reconnecting, Some(&info)), with("reconnecting", &known)),
            (stream(State::Ended(EndReason::Stopped), Some(&info)), with("stopped", &known)),
            (stream(State::Ended(EndReason::ByHost), Some(&info)), with("stopped", &known)),
            (stream(State::Ended(failed), None), with("failed", &nothing)),
            (stream(State::Ended(EndReason::SourcePanicked), None), with("failed", &nothing)),
            (quality(VideoQuality::Flowing, None), json!({"Quality": {"video": "flowing"}})),
            (
                quality(VideoQuality::Held, Some(MediaPath::Direct)),
                json!({"Quality": {"video": "held", "path": "direct"}}),
            ),
            (
                quality(VideoQuality::Paused, Some(MediaPath::Standard)),
                json!({"Quality": {"video": "paused", "path": "standard"}}),
            ),
        ];
        for (message, expected) in table {
            assert_eq!(value(&message), expected);
        }
    }

    fn quality(video: VideoQuality, path: Option<MediaPath>) -> EventMessage<'static> {
        EventMessage::Quality(Quality { video, path })
    }

    #[test]
    fn what_a_viewer_may_do_has_its_documented_form() {
        let turn = PeerId::random();
        let mut status = InputStatus {
            mode: InputMode::one_at_a_time(),
            features: None,
            rights: [DeviceClass::Keyboard, DeviceClass::Pen].into_iter().collect(),
            turn: Some(turn),
        };
        let rights = json!({"keyboard": true, "pointer": false, "touch": false, "pen": true, "gamepad": false,
            "text": false});
        let mut expected = json!({"mode": "one_at_a_time", "turn": turn.to_string(), "takes": false, "touch": false, "gamepad_sensors": false,
            "rights": rights});
        assert_eq!(value(&EventMessage::Input(Input::new(&status))), json!({"Input": expected}));
        status.mode = InputMode::ViewOnly;
        status.turn = None;
        status.features = Some(InputFeatures { touch: true, gamepad_sensors: false });
        for (field, value) in [
            ("mode", json!("view_only")),
            ("turn", json!(null)),
            ("takes", json!(true)),
            ("touch", json!(true)),
        ] {
            expected[field] = value;
        }
        assert_eq!(value(&EventMessage::Input(Input::new(&status))), json!({"Input": expected}));
        status.features = Some(InputFeatures { touch: false, gamepad_sensors: true });
        expected["touch"] = json!(false);
        expected["gamepad_sensors"] = json!(true);
        assert_eq!(value(&EventMessage::Input(Input::new(&status))), json!({"Input": expected}));
    }

    #[test]
    fn a_viewer_is_told_of_16_pointers_and_never_of_its_own() {
        let pointers: Vec<_> = (0..20)
            .map(|x| Pointer { peer: PeerId::random(), position: Position { x, y: 65535 - x } })
            .collect();
        let told = value(&EventMessage::Pointers(EventMessage::pointers(pointers[1].peer, &pointers)));
        let told = told["Pointers"].as_array().expect("a list");
        assert_eq!(told.len(), 16);
        assert_eq!(told[0], json!({"id": pointers[0].peer.to_string(), "x": 0, "y": 65535}));
        assert_eq!(told[1], json!({"id": pointers[2].peer.to_string(), "x": 2, "y": 65533}));
        assert_eq!(EventMessage::pointers(pointers[0].peer, &pointers[..1]), []);
    }

    #[test]
    fn what_the_host_wants_of_a_gamepad_has_its_documented_form() {
        let gamepad = GamepadIndex::new(3).expect("below 16");
        let table = [
            (
                HostFeedback::Rumble { gamepad, low: 1, high: 65535 },
                json!({"Rumble": {"gamepad": 3, "low": 1, "high": 65535}}),
            ),
            (
                HostFeedback::TriggerRumble { gamepad, left: 2, right: 0 },
                json!({"TriggerRumble": {"gamepad": 3, "left": 2, "right": 0}}),
            ),
            (
                HostFeedback::Led { gamepad, rgb: [255, 0, 7] },
                json!({"Led": {"gamepad": 3, "rgb": [255, 0, 7]}}),
            ),
            (
                HostFeedback::Motion { gamepad, sensor: Sensor::Accelerometer, rate: 100 },
                json!({"Motion": {"gamepad": 3, "sensor": "accelerometer", "rate": 100}}),
            ),
            (
                HostFeedback::Motion { gamepad, sensor: Sensor::Gyroscope, rate: 0 },
                json!({"Motion": {"gamepad": 3, "sensor": "gyroscope", "rate": 0}}),
            ),
        ];
        for (feedback, expected) in table {
            assert_eq!(value(&EventMessage::feedback(feedback)), expected);
        }
    }

    #[test]
    fn the_longest_list_fits_into_a_message() {
        let names = ["\"".repeat(PeerName::MAX_LEN), "\u{10ffff}".repeat(PeerName::MAX_LEN)];
        for name in names {
            let peers: Vec<_> = (0..5000).map(|_| peer(Some(&name), SystemTime::UNIX_EPOCH)).collect();
            let message = EventMessage::viewers(peers[0].id, &peers, SystemTime::UNIX_EPOCH + LONG);
            let json = message.to_json();
            assert!(json.len() <= MAX_MESSAGE as usize, "{} bytes", json.len());
            assert_eq!(value(&message)["Viewers"]["count"], 5000);
        }
    }

    const LONG: Duration = Duration::from_secs(1 << 40);

    proptest! {
        #[test]
        fn the_first_viewers_are_listed_in_order_and_all_are_counted(
            names in prop::collection::vec(prop::option::of("[^\\s\\pC]{1,64}"), 0..120),
        ) {
            let now = SystemTime::UNIX_EPOCH;
            let peers: Vec<_> = names.iter().map(|name| peer(name.as_deref(), now)).collect();
            let value = value(&EventMessage::viewers(PeerId::random(), &peers, now));
            let listed = value["Viewers"]["viewers"].as_array().expect("a list");
            prop_assert_eq!(&value["Viewers"]["count"], &json!(peers.len()));
            prop_assert_eq!(listed.len(), peers.len().min(LISTED));
            for (listed, peer) in listed.iter().zip(&peers) {
                prop_assert_eq!(&listed["id"], &json!(peer.id.to_string()));
                prop_assert_eq!(&listed["name"], &json!(peer.name.as_ref().map(|name| name.to_string())));
            }
        }
    }
}
