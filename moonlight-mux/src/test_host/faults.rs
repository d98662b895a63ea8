//! What a test host does wrong on purpose.

use std::time::Duration;

/// What a [`TestHost`](super::TestHost) does wrong; by default nothing. May be changed while it runs
/// ([`TestHost::set_faults`](super::TestHost::set_faults)): what was sent before stays sent.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Faults {
    /// Where the chances below start from: the same seed loses the same datagrams of each session.
    pub seed: u64,
    /// The share of video and audio datagrams that never arrive, 0 to 1.
    pub loss: f64,
    /// The share of video and audio datagrams that arrive [`REORDERED_BY`](Self::REORDERED_BY) late, 0 to 1.
    pub reordering: f64,
    /// How long every datagram to the client is under way.
    pub delay: Duration,
    /// What has stopped, as on a host that hangs.
    pub freeze: Freeze,
    /// Each `/launch` and `/resume` is answered so.
    pub refuse_start: Option<StartRefusal>,
    /// How long the host takes to answer `/launch` and `/resume`.
    pub slow_launch: Duration,
    /// How long after PLAY and the first pings the first frame comes, as where a container has to start first.
    pub slow_first_frame: Duration,
    /// The most bytes of a video packet behind its RTP header, whatever was asked for; rounded down to a multiple of 16,
    /// and at least 32. Applies to sessions that are launched from then on. Session 17.4.
    pub packet_size: Option<u16>,
    /// The rights of every client, as hosts of the Apollo family show them in `/serverinfo`; `None`: as the config says.
    /// They are shown, not enforced: [`refuse_start`](Self::refuse_start) is what such a host answers. Session 22, N1.
    pub permission: Option<u32>,
    /// Of these steps the host takes notice, and gives no answer as long as this stands.
    pub silent: Vec<HostStep>,
    /// This step is answered so.
    pub hostile: Option<(HostStep, HostileAnswer)>,
}

impl Faults {
    /// By how much a datagram that is out of order comes later than it should.
    pub const REORDERED_BY: Duration = Duration::from_millis(3);
}

/// What of a test host has stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freeze {
    /// All goes on.
    #[default]
    Nothing,
    /// Video and audio stop; control goes on answering.
    Media,
    /// Nothing is answered or sent any more, on no socket; what comes waits in the sockets, as far as they have room.
    Everything,
}

/// How a start is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartRefusal {
    /// The document's `status_code`, as in HTTP, or -1.
    pub status: i32,
    /// The document's `status_message`.
    pub message: String,
}

/// A step of a client's way to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostStep {
    /// `/serverinfo`
    ServerInfo,
    /// `/pair`, by its stage: 1 to 5. Session 8.3.
    Pair(u8),
    /// `/applist`
    Apps,
    /// `/appasset`
    AppImage,
    /// `/launch`
    Launch,
    /// `/resume`
    Resume,
    /// `/cancel`
    Cancel,
    /// `/unpair`
    Unpair,
    /// A path that no host has.
    Unknown,
    /// Every request of the RTSP dialogue.
    Rtsp,
    /// One request of a session's RTSP dialogue, from 0: OPTIONS, DESCRIBE, SETUP of sound, picture and control, ANNOUNCE,
    /// PLAY. Session 13. For [`Faults::hostile`] alone.
    RtspRequest(u8),
    /// The control connection.
    Control,
}

/// An answer that no host should give. In the RTSP dialogue and on the control connection, which have no XML, those that are
/// of XML change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostileAnswer {
    /// The connection is closed without an answer. Wolf does so at times (session 22, H5). On the control connection: no
    /// datagram arrives.
    Nothing,
    /// Bytes that are no text. On the control connection: datagrams of the right length.
    Garbage,
    /// XML, a message, a datagram that ends in the middle.
    Truncated,
    /// Well-formed XML that is no document of the HTTP API.
    OtherXml,
    /// A document that says success, and nothing else.
    Empty,
    /// A document with this status.
    Status(i32),
    /// An answer of 64 MiB. On the control connection: datagrams of 60,000 bytes.
    Endless,
    /// In stage 1 of pairing: half a certificate. Elsewhere as [`Truncated`](Self::Truncated).
    HalfCertificate,
}
