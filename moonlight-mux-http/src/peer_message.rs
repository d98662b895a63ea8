//! The messages of the peer WebSocket: JSON texts, externally tagged. Pure.
//!
//! Unknown fields are ignored. `ty` is `offer` or `answer`; options may be `null` or missing.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use moonlight_mux::{
    Candidate, Description, DescriptionKind, EndReason, IceServer, InputFeatures, LeaveReason, Report,
    ReportEvent, Signal, SignalError, Stage, State, StreamInfo,
};
use serde::{Deserialize, Serialize};

use crate::dto::Status;

/// The largest message that the server takes, in bytes. A browser's offer with every codec it knows has about 8 KiB.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// From a viewer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ClientMessage {
    /// A description or a candidate.
    Signaling(SignalingMessage),
    /// What the viewer sees.
    Report {
        /// What happened.
        event: ReportKind,
        /// When, in milliseconds from the viewer's join.
        after_ms: u64,
    },
    /// How existing pages introduce themselves. Nothing in it is used.
    AuthenticateAndInit {},
}

/// To a viewer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ServerMessage {
    /// Before [`WebRtcConfig`](Self::WebRtcConfig), if that takes long: nobody can serve the viewer yet, since the streamer's
    /// process is being started, or started again. Said again until it can. Not to existing pages, which wait without it.
    Waiting {
        /// What the stream is doing.
        status: Status,
    },
    /// The first message but for [`Waiting`](Self::Waiting): what to make the peer connection with.
    WebRtcConfig {
        /// STUN and TURN servers; may be empty.
        ice_servers: Vec<IceServerMessage>,
    },
    /// A description or a candidate.
    Signaling(SignalingMessage),
    /// A step of connecting to the host begins.
    StageStarting {
        /// Its name, as Moonlight prints it.
        stage: Cow<'static, str>,
    },
    /// A step of connecting to the host is done.
    StageComplete {
        /// Its name, as Moonlight prints it.
        stage: Cow<'static, str>,
    },
    /// A step of connecting to the host failed, and with it the stream.
    StageFailed {
        /// Its name, as Moonlight prints it.
        stage: Cow<'static, str>,
        /// Never 0.
        error_code: i32,
    },
    /// Frames flow; again, in a size that may be another, when the host was lost meanwhile.
    ConnectionComplete {
        /// What the host takes as input.
        capabilities: Capabilities,
        /// Picture width in pixels.
        width: u32,
        /// Picture height in pixels.
        height: u32,
        /// Reserved.
        client_id: Option<u32>,
    },
    /// The stream is over.
    ConnectionTerminated {
        /// 0 when it was ended on purpose.
        error_code: i32,
    },
    /// To existing pages alone, which show no close code: the viewer was sent away.
    ClientKicked,
    /// To existing pages alone: the connection to the viewer ends, for another reason.
    PeerDisconnect,
    /// To existing pages alone: the server has a bug.
    InternalServerError,
}

/// A description or a candidate, either way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignalingMessage {
    /// An offer or an answer.
    Description {
        /// Which.
        ty: DescriptionType,
        /// The SDP text.
        sdp: String,
    },
    /// One ICE candidate; an empty one says that there are no more.
    AddIceCandidate {
        /// The `candidate:…` line.
        candidate: String,
        /// The media section's identification tag.
        #[serde(default)]
        sdp_mid: Option<String>,
        /// The media section's index.
        #[serde(default)]
        sdp_mline_index: Option<u16>,
        /// The ICE user name fragment that it belongs to.
        #[serde(default)]
        username_fragment: Option<String>,
    },
}

/// The role of a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DescriptionType {
    /// It opens a negotiation.
    Offer,
    /// It ends one.
    Answer,
}

/// A STUN or TURN server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServerMessage {
    /// `stun:`, `turn:` or `turns:` addresses.
    pub urls: Vec<String>,
    /// TURN user name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// TURN password. Secret: not in the `Debug` output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// What a host takes as input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Whether it takes touches.
    pub touch: bool,
}

/// The kinds of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportKind {
    /// The first picture is on screen.
    FirstFrame,
    /// There is no picture although there should be one.
    Black,
    /// The picture stands still although frames should arrive.
    Frozen,
    /// The picture moves again.
    Playing,
}

impl ClientMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// [`SignalError::Malformed`] for any text that is not one.
    pub fn parse(text: &str) -> Result<Self, SignalError> {
        serde_json::from_str(text)
            .map_err(|_| SignalError::Malformed { reason: "not a JSON message that viewers send" })
    }

    /// What it tells the egress, if anything.
    #[must_use]
    pub fn into_signal(self) -> Option<Signal> {
        match self {
            Self::Signaling(message) => Some(message.into()),
            Self::Report { event, after_ms } => {
                Some(Signal::Report(Report { event: event.into(), after: Duration::from_millis(after_ms) }))
            }
            Self::AuthenticateAndInit {} => None,
        }
    }
}

impl ServerMessage {
    /// A signal as a message. `None` for those that viewers send, and for states: they have a history, and
    /// [`of_state_change`](Self::of_state_change) puts it into words.
    #[must_use]
    pub fn of_signal(signal: Signal) -> Option<Self> {
        match signal {
            Signal::IceServers(servers) => {
                Some(Self::WebRtcConfig { ice_servers: servers.into_iter().map(Into::into).collect() })
            }
            Signal::Description(description) => Some(Self::Signaling(description.into())),
            Signal::Candidate(candidate) => Some(Self::Signaling(candidate.into())),
            _ => None,
        }
    }

    /// What a viewer is told whom nobody can serve yet, when this is the stream's state. `None` when that is over: its end is
    /// told by others.
    #[must_use]
    pub fn of_wait(state: &State) -> Option<Self> {
        let waits = !matches!(state, State::Ended(_));
        waits.then(|| Self::Waiting { status: Status::from(state) })
    }

    /// What a viewer is told when the stream's state becomes `now`. `before` is the state that it was told of last,
    /// if any; `info` is what the stream carries, known once frames flow; `input` is what its source takes as input.
    #[must_use]
    pub fn of_state_change(
        before: Option<&State>,
        now: &State,
        info: Option<&StreamInfo>,
        input: Option<InputFeatures>,
    ) -> Vec<Self> {
        if before == Some(now) {
            return Vec::new();
        }
        let stage_before = match before {
            Some(State::Connecting(stage)) => Some(*stage),
            _ => None,
        };
        let complete = stage_before.map(|stage| Self::StageComplete { stage: stage.name().into() });
        let streamed_before = matches!(before, Some(State::Streaming | State::Stalled));
        match now {
            State::Connecting(stage) => {
                complete.into_iter().chain([Self::StageStarting { stage: stage.name().into() }]).collect()
            }
            State::Connected => complete.into_iter().collect(),
            State::Streaming if !streamed_before => {
                complete.into_iter().chain(info.map(|info| Self::connection_complete(info, input))).collect()
            }
            State::Ended(EndReason::Stopped | EndReason::ByHost) => {
                vec![Self::ConnectionTerminated { error_code: 0 }]
            }
            State::Ended(EndReason::Failed(error)) => vec![match error.stage() {
                Some(stage) => Self::stage_failed(stage),
                None => Self::ConnectionTerminated { error_code: UNKNOWN_ERROR },
            }],
            State::Ended(_) => vec![Self::ConnectionTerminated { error_code: UNKNOWN_ERROR }],
            _ => Vec::new(),
        }
    }

    /// What an existing page is told at the end: it shows this, and no close code. `None` when it left by itself.
    #[must_use]
    pub fn of_leave_reason(reason: LeaveReason) -> Option<Self> {
        match reason {
            LeaveReason::Left => None,
            LeaveReason::StreamEnded | LeaveReason::StreamerDeleted => {
                Some(Self::ConnectionTerminated { error_code: 0 })
            }
            LeaveReason::Kicked => Some(Self::ClientKicked),
            LeaveReason::Internal => Some(Self::InternalServerError),
            _ => Some(Self::PeerDisconnect),
        }
    }

    /// Its JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers always have a JSON form")
    }

    fn connection_complete(info: &StreamInfo, input: Option<InputFeatures>) -> Self {
        Self::ConnectionComplete {
            capabilities: Capabilities { touch: input.is_some_and(|input| input.touch) },
            width: info.video.width,
            height: info.video.height,
            client_id: None,
        }
    }

    fn stage_failed(stage: Stage) -> Self {
        Self::StageFailed { stage: stage.name().into(), error_code: UNKNOWN_ERROR }
    }
}

impl From<Description> for SignalingMessage {
    fn from(Description { kind, sdp }: Description) -> Self {
        Self::Description { ty: kind.into(), sdp }
    }
}

impl From<Candidate> for SignalingMessage {
    fn from(candidate: Candidate) -> Self {
        let Candidate { candidate, sdp_mid, sdp_mline_index, username_fragment } = candidate;
        Self::AddIceCandidate { candidate, sdp_mid, sdp_mline_index, username_fragment }
    }
}

impl From<SignalingMessage> for Signal {
    fn from(message: SignalingMessage) -> Self {
        match message {
            SignalingMessage::Description { ty, sdp } => {
                Self::Description(Description { kind: ty.into(), sdp })
            }
            SignalingMessage::AddIceCandidate { candidate, sdp_mid, sdp_mline_index, username_fragment } => {
                Self::Candidate(Candidate { candidate, sdp_mid, sdp_mline_index, username_fragment })
            }
        }
    }
}

impl From<DescriptionKind> for DescriptionType {
    fn from(kind: DescriptionKind) -> Self {
        match kind {
            DescriptionKind::Offer => Self::Offer,
            DescriptionKind::Answer => Self::Answer,
        }
    }
}

impl From<DescriptionType> for DescriptionKind {
    fn from(ty: DescriptionType) -> Self {
        match ty {
            DescriptionType::Offer => Self::Offer,
            DescriptionType::Answer => Self::Answer,
        }
    }
}

impl From<IceServer> for IceServerMessage {
    fn from(IceServer { urls, username, credential }: IceServer) -> Self {
        Self { urls, username, credential }
    }
}

impl From<ReportKind> for ReportEvent {
    fn from(kind: ReportKind) -> Self {
        match kind {
            ReportKind::FirstFrame => Self::FirstFrame,
            ReportKind::Black => Self::Black,
            ReportKind::Frozen => Self::Frozen,
            ReportKind::Playing => Self::Playing,
        }
    }
}

impl fmt::Debug for IceServerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServerMessage")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .field("credential", &self.credential.as_ref().map(|_| "…"))
            .finish()
    }
}

/// Existing pages show the number and know no meaning of it.
const UNKNOWN_ERROR: i32 = -1;

#[cfg(test)]
mod tests {
    use moonlight_mux::{SourceError, VideoCodec, VideoInfo};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Option<Signal> {
        ClientMessage::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).into_signal()
    }

    fn description(kind: DescriptionKind, sdp: &str) -> Signal {
        Signal::Description(Description { kind, sdp: sdp.to_owned() })
    }

    #[test]
    fn messages_of_pages_are_understood() {
        let bare = Candidate { candidate: "candidate:1".to_owned(), ..Candidate::default() };
        let full = Candidate {
            sdp_mid: Some("0".to_owned()),
            sdp_mline_index: Some(0),
            username_fragment: Some("u".to_owned()),
            ..bare.clone()
        };
        let report = Report { event: ReportEvent::FirstFrame, after: Duration::from_millis(110) };
        let table = [
            (
                r#"{"Signaling":{"Description":{"ty":"offer","sdp":"v=0\r\n"}}}"#,
                Some(description(DescriptionKind::Offer, "v=0\r\n")),
            ),
            (
                r#"{"Signaling":{"Description":{"sdp":"","ty":"answer","new":[1]}}}"#,
                Some(description(DescriptionKind::Answer, "")),
            ),
            (
                r#"{"Signaling":{"AddIceCandidate":{"candidate":"candidate:1"}}}"#,
                Some(Signal::Candidate(bare.clone())),
            ),
            (
                r#"{"Signaling":{"AddIceCandidate":{"candidate":"candidate:1","sdp_mid":null,"sdp_mline_index":null,"username_fragment":null}}}"#,
                Some(Signal::Candidate(bare)),
            ),
            (
                r#"{"Signaling":{"AddIceCandidate":{"candidate":"candidate:1","sdp_mid":"0","sdp_mline_index":0,"username_fragment":"u"}}}"#,
                Some(Signal::Candidate(full)),
            ),
            (r#"{"Report":{"event":"first_frame","after_ms":110}}"#, Some(Signal::Report(report))),
            (r#"{"AuthenticateAndInit":{"credentials":"x","host_id":0,"video_colorspace":"Rec709"}}"#, None),
        ];
        for (text, signal) in table {
            assert_eq!(parse(text), signal, "{text}");
        }
    }

    #[test]
    fn what_is_no_message_is_malformed() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "{",
            "offer",
            "\u{0}",
            &deep,
            "null",
            "0",
            "[]",
            "{}",
            r#""Signaling""#,
            r#"{"Report":"#,
            r#"{"Signaling":{}}"#,
            r#"{"Signaling":{"Description":{"ty":"pranswer","sdp":""}}}"#,
            r#"{"Signaling":{"Description":{"ty":"offer"}}}"#,
            r#"{"Signaling":{"AddIceCandidate":{"candidate":"","sdp_mline_index":65536}}}"#,
            r#"{"Report":{"event":"first_frame","after_ms":-1}}"#,
            r#"{"Report":{"event":"dancing","after_ms":1}}"#,
            r#"{"WebRtcConfig":{"ice_servers":[]}}"#,
            r#"{"Waiting":{"status":"starting"}}"#,
            r#"{"Report":{"event":"black","after_ms":1},"Signaling":{}}"#,
        ] {
            let parsed = ClientMessage::parse(text);
            assert!(matches!(parsed, Err(SignalError::Malformed { .. })), "{text:.60}: {parsed:?}");
        }
    }

    #[test]
    fn messages_to_pages_have_the_names_that_they_know() {
        let turn = IceServer {
            urls: vec!["turn:192.0.2.1".to_owned()],
            username: Some("u".to_owned()),
            credential: Some("secret".to_owned()),
        };
        let stun = IceServer { urls: vec!["stun:192.0.2.1".to_owned()], ..IceServer::default() };
        let table = [
            (Signal::IceServers(vec![]), json!({"WebRtcConfig": {"ice_servers": []}})),
            (
                Signal::IceServers(vec![turn, stun]),
                json!({"WebRtcConfig": {"ice_servers": [
                    {"urls": ["turn:192.0.2.1"], "username": "u", "credential": "secret"},
                    {"urls": ["stun:192.0.2.1"]},
                ]}}),
            ),
            (
                description(DescriptionKind::Answer, "v=0"),
                json!({"Signaling": {"Description": {"ty": "answer", "sdp": "v=0"}}}),
            ),
            (
                Signal::Candidate(Candidate { sdp_mline_index: Some(1), ..Candidate::default() }),
                json!({"Signaling": {"AddIceCandidate":
                    {"candidate": "", "sdp_mid": null, "sdp_mline_index": 1, "username_fragment": null}}}),
            ),
        ];
        for (signal, json) in table {
            let message = ServerMessage::of_signal(signal).unwrap();
            assert_eq!(serde_json::from_str::<serde_json::Value>(&message.to_json()).unwrap(), json);
            assert!(!format!("{message:?}").contains("secret"), "{message:?}");
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("no answer")]
    struct NoAnswer;

    #[expect(clippy::disallowed_methods, reason = "any time will do")]
    fn reconnecting(attempt: u32) -> State {
        let reason = EndReason::Failed(SourceError::retryable(NoAnswer));
        State::Reconnecting { attempt, next: std::time::Instant::now(), reason }
    }

    #[test]
    fn a_stream_that_comes_up_is_told_step_by_step() {
        let info = StreamInfo {
            video: VideoInfo { codec: VideoCodec::H264, width: 1280, height: 720, fps: 60 },
            audio: None,
        };
        let steps = [
            (State::Starting, vec![]),
            (State::Connecting(Stage::Launch), vec![json!({"StageStarting": {"stage": "launch"}})]),
            (State::Connecting(Stage::Launch), vec![]),
            (
                State::Connecting(Stage::RtspHandshake),
                vec![
                    json!({"StageComplete": {"stage": "launch"}}),
                    json!({"StageStarting": {"stage": "RTSP handshake"}}),
                ],
            ),
            (State::Connected, vec![json!({"StageComplete": {"stage": "RTSP handshake"}})]),
            (
                State::Streaming,
                vec![json!({"ConnectionComplete":
                    {"capabilities": {"touch": false}, "width": 1280, "height": 720, "client_id": null}})],
            ),
            (State::Stalled, vec![]),
            (State::Streaming, vec![]),
            (reconnecting(1), vec![]),
            (reconnecting(2), vec![]),
            (
                State::Streaming,
                vec![json!({"ConnectionComplete":
                    {"capabilities": {"touch": false}, "width": 1280, "height": 720, "client_id": null}})],
            ),
            (State::Ended(EndReason::ByHost), vec![json!({"ConnectionTerminated": {"error_code": 0}})]),
        ];
        let mut before = None;
        for (now, expected) in steps {
            let messages: Vec<_> = ServerMessage::of_state_change(before.as_ref(), &now, Some(&info), None)
                .iter()
                .map(|message| serde_json::to_value(message).unwrap())
                .collect();
            assert_eq!(messages, expected, "{before:?} -> {now:?}");
            before = Some(now);
        }
    }

    #[test]
    fn who_waits_for_a_process_is_told_what_the_stream_does_while_there_is_one() {
        let table = [
            (State::Starting, json!({"Waiting": {"status": "starting"}})),
            (reconnecting(3), json!({"Waiting": {"status": "reconnecting"}})),
            (State::Ended(EndReason::Stopped), json!(null)),
        ];
        for (state, expected) in table {
            let message = ServerMessage::of_wait(&state);
            assert_eq!(serde_json::to_value(&message).unwrap(), expected);
            let again = message.map(|message| serde_json::from_str(&message.to_json()).unwrap());
            assert_eq!(again, ServerMessage::of_wait(&state), "it reads as it was written");
        }
    }

    #[test]
    fn a_stream_that_fails_says_where() {
        let early = SourceError::permanent(NoAnswer).in_stage(Stage::Launch);
        let late = SourceError::retryable(NoAnswer);
        let table = [
            (EndReason::Failed(early), json!({"StageFailed": {"stage": "launch", "error_code": -1}})),
            (EndReason::Failed(late), json!({"ConnectionTerminated": {"error_code": -1}})),
            (EndReason::SourcePanicked, json!({"ConnectionTerminated": {"error_code": -1}})),
            (EndReason::Stopped, json!({"ConnectionTerminated": {"error_code": 0}})),
        ];
        for (reason, expected) in table {
            let messages = ServerMessage::of_state_change(None, &State::Ended(reason), None, None);
            assert_eq!(serde_json::to_value(messages).unwrap(), json!([expected]));
        }
    }

    #[test]
    fn a_page_is_told_whether_the_source_takes_touches() {
        let info = StreamInfo {
            video: VideoInfo { codec: VideoCodec::H264, width: 1280, height: 720, fps: 60 },
            audio: None,
        };
        for touch in [false, true] {
            let mut features = InputFeatures::default();
            features.touch = touch;
            let messages =
                ServerMessage::of_state_change(None, &State::Streaming, Some(&info), Some(features));
            let message = serde_json::to_value(&messages[0]).unwrap();
            assert_eq!(message["ConnectionComplete"]["capabilities"], json!({"touch": touch}));
        }
    }

    #[test]
    fn existing_pages_are_told_of_their_end_in_words_that_they_know() {
        let table = [
            (LeaveReason::Left, json!(null)),
            (LeaveReason::Kicked, json!("ClientKicked")),
            (LeaveReason::TooSlow, json!("PeerDisconnect")),
            (LeaveReason::Internal, json!("InternalServerError")),
            (LeaveReason::StreamerDeleted, json!({"ConnectionTerminated": {"error_code": 0}})),
        ];
        for (reason, expected) in table {
            assert_eq!(serde_json::to_value(ServerMessage::of_leave_reason(reason)).unwrap(), expected);
        }
    }

    prop_compose! {
        fn any_candidate()(
            candidate in ".*", sdp_mid: Option<String>, sdp_mline_index: Option<u16>,
            username_fragment: Option<String>,
        ) -> Candidate {
            Candidate { candidate, sdp_mid, sdp_mline_index, username_fragment }
        }
    }

    fn any_signaling() -> impl Strategy<Value = SignalingMessage> {
        prop_oneof![
            any_candidate().prop_map(SignalingMessage::from),
            (any::<bool>(), ".*").prop_map(|(offer, sdp)| {
                let kind = if offer { DescriptionKind::Offer } else { DescriptionKind::Answer };
                SignalingMessage::from(Description { kind, sdp })
            }),
        ]
    }

    fn any_status() -> impl Strategy<Value = Status> {
        prop::sample::select(vec![
            Status::Starting,
            Status::Active,
            Status::Stalled,
            Status::Reconnecting,
            Status::Failed,
            Status::Stopped,
        ])
    }

    prop_compose! {
        fn any_ice_server()(urls: Vec<String>, username: Option<String>, credential: Option<String>)
            -> IceServerMessage {
            IceServerMessage { urls, username, credential }
        }
    }

    prop_compose! {
        fn connection_complete()(touch: bool, width: u32, height: u32, client_id: Option<u32>)
            -> ServerMessage {
            ServerMessage::ConnectionComplete { capabilities: Capabilities { touch }, width, height, client_id }
        }
    }

    fn any_server_message() -> impl Strategy<Value = ServerMessage> {
        prop_oneof![
            any_status().prop_map(|status| ServerMessage::Waiting { status }),
            prop::collection::vec(any_ice_server(), 0..4)
                .prop_map(|ice_servers| ServerMessage::WebRtcConfig { ice_servers }),
            any_signaling().prop_map(ServerMessage::Signaling),
            ".*".prop_map(|stage| ServerMessage::StageStarting { stage: stage.into() }),
            ".*".prop_map(|stage| ServerMessage::StageComplete { stage: stage.into() }),
            (".*", any::<i32>()).prop_map(|(stage, error_code)| ServerMessage::StageFailed {
                stage: stage.into(),
                error_code
            }),
            connection_complete(),
            any::<i32>().prop_map(|error_code| ServerMessage::ConnectionTerminated { error_code }),
            Just(ServerMessage::ClientKicked),
            Just(ServerMessage::PeerDisconnect),
            Just(ServerMessage::InternalServerError),
        ]
    }

    proptest! {
        #[test]
        fn what_the_server_says_reads_as_it_was_written(message in any_server_message()) {
            let text = message.to_json();
            prop_assert_eq!(serde_json::from_str::<ServerMessage>(&text).unwrap(), message);
            prop_assert!(ClientMessage::parse(&text).is_ok() == text.starts_with("{\"Signaling\""), "{}", text);
        }

        #[test]
        fn descriptions_and_candidates_survive_the_wire(message in any_signaling()) {
            let signal = Signal::from(message.clone());

            let to_server = serde_json::to_string(&ClientMessage::Signaling(message)).unwrap();
            prop_assert_eq!(parse(&to_server), Some(signal.clone()));

            let to_viewer = ServerMessage::of_signal(signal.clone()).unwrap();
            let read: ServerMessage = serde_json::from_str(&to_viewer.to_json()).unwrap();
            let ServerMessage::Signaling(message) = read else { panic!("{read:?}") };
            prop_assert_eq!(Signal::from(message), signal);
        }

        #[test]
        fn no_text_is_too_strange_to_read(text in any::<String>()) {
            let malformed = matches!(ClientMessage::parse(&text), Err(SignalError::Malformed { .. }));
            prop_assert!(malformed, "arbitrary text is not a message");
        }

        #[test]
        fn a_damaged_message_is_read_or_malformed(message in any_signaling(), at: prop::sample::Index, c: char) {
            let mut text: Vec<char> =
                serde_json::to_string(&ClientMessage::Signaling(message)).unwrap().chars().collect();
            let at = at.index(text.len());
            text[at] = c;
            let text: String = text.into_iter().collect();
            if let Err(error) = ClientMessage::parse(&text) {
                let malformed = matches!(error, SignalError::Malformed { .. });
                prop_assert!(malformed, "{}", error);
            }
        }
    }
}
