//! The control stream's messages, for hosts from version 7.1.431 on: the encrypted envelope, the framing inside, and
//! what either side says.
//!
//! More payload bytes than a message needs are legal: Wolf pads some of its own (streams 2.2). Integers are
//! little-endian but where noted. Source: protocol document, streams 2.2, 2.4 to 2.6 and 6.7; vectors of 10.3.

use std::fmt;

use bytes::Bytes;

use super::input::Input;
use super::{Malformed, array, check_len};

/// The longest accepted envelope: twice what hosts and clients keep below.
pub(crate) const MAX_ENVELOPE: usize = 512;

/// A checked view of an encrypted message (streams 2.2).
///
/// ```text
///  0  u16  0x0001                        8  16 bytes  authentication tag
///  2  u16  bytes behind this field      24  …         ciphertext
///  4  u32  sequence number
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed<'a>(&'a [u8]);

impl<'a> Sealed<'a> {
    /// Checks kind and length.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        check_len(bytes, ENVELOPE_LEN + FRAMING_LEN, MAX_ENVELOPE)?;
        let kind = u16::from_le_bytes(array(bytes, 0));
        if kind != ENVELOPE_KIND {
            return Err(Malformed::Field { field: "envelope kind", value: kind.into() });
        }
        let len = u16::from_le_bytes(array(bytes, 2));
        if usize::from(len) != bytes.len() - 4 {
            return Err(Malformed::Field { field: "envelope length", value: len.into() });
        }
        Ok(Self(bytes))
    }

    /// Counts a sender's messages from 0, over all channels; Wolf's is always 0.
    pub(crate) fn sequence(&self) -> u32 {
        u32::from_le_bytes(array(self.0, 4))
    }

    pub(crate) fn tag(&self) -> [u8; 16] {
        array(self.0, 8)
    }

    /// As long as the message inside.
    pub(crate) fn ciphertext(&self) -> &'a [u8] {
        &self.0[ENVELOPE_LEN..]
    }
}

/// The values in front of a ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) sequence: u32,
    pub(crate) tag: [u8; 16],
}

impl Envelope {
    /// Appends the encrypted message.
    pub(crate) fn emit(&self, ciphertext: &[u8], out: &mut Vec<u8>) {
        let len = (ENVELOPE_LEN - 4 + ciphertext.len()) as u16;
        out.extend(ENVELOPE_KIND.to_le_bytes());
        out.extend(len.to_le_bytes());
        out.extend(self.sequence.to_le_bytes());
        out.extend(self.tag);
        out.extend(ciphertext);
    }
}

/// A decrypted message: u16 type, u16 payload length, payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// See [`kind`].
    pub(crate) kind: u16,
    pub(crate) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Checks the length.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        check_len(bytes, FRAMING_LEN, MAX_ENVELOPE - ENVELOPE_LEN)?;
        let len = u16::from_le_bytes(array(bytes, 2));
        if usize::from(len) != bytes.len() - FRAMING_LEN {
            return Err(Malformed::Field { field: "payload length", value: len.into() });
        }
        Ok(Self { kind: u16::from_le_bytes(array(bytes, 0)), payload: &bytes[FRAMING_LEN..] })
    }

    /// Appends the message in clear.
    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.kind.to_le_bytes());
        out.extend((self.payload.len() as u16).to_le_bytes());
        out.extend(self.payload);
    }
}

/// Types of messages. 0x5502 says something else in each direction.
pub(crate) mod kind {
    pub(crate) const PING: u16 = 0x0200;
    pub(crate) const INPUT: u16 = 0x0206;
    pub(crate) const INVALIDATE_FRAMES: u16 = 0x0301;
    pub(crate) const REQUEST_IDR: u16 = 0x0302;
    pub(crate) const START_B: u16 = 0x0307;
    pub(crate) const ACKNOWLEDGE_LTR: u16 = 0x0350;
    pub(crate) const FEC_STATUS: u16 = 0x5502;

    pub(crate) const TERMINATION: u16 = 0x0109;
    pub(crate) const RUMBLE: u16 = 0x010b;
    pub(crate) const HDR: u16 = 0x010e;
    pub(crate) const RUMBLE_TRIGGERS: u16 = 0x5500;
    pub(crate) const MOTION: u16 = 0x5501;
    pub(crate) const LED: u16 = 0x5502;
    pub(crate) const ADAPTIVE_TRIGGERS: u16 = 0x5503;
}

/// How a packet goes through ENet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Resent until acknowledged; in order within its channel.
    Reliable,
    /// Sent once; dropped by the receiver when a later one of its channel came first.
    Unreliable,
    /// Sent once; taken in whatever order it comes.
    Unsequenced,
}

/// What a client says (streams 2.4).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ClientMessage {
    /// Asks for an IDR frame. On channel 0 it is also START A, the first message of a session.
    RequestIdr,
    /// The second message of a session.
    StartB,
    /// Every 100 ms.
    Ping,
    /// These frames, both included, were lost.
    InvalidateFrames { first: u32, last: u32 },
    /// A long-term reference frame arrived.
    AcknowledgeLtr { frame: u32 },
    /// How much of a FEC block arrived.
    FecStatus(FecStatus),
    /// See [`Input`].
    Input(Input),
    /// Anything else.
    Unknown { kind: u16, payload: Bytes },
}

impl ClientMessage {
    /// Reads a message of a client.
    pub(crate) fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        let b = frame.payload;
        let need = |len| check_len(b, len, MAX_ENVELOPE);
        Ok(match frame.kind {
            kind::REQUEST_IDR => Self::RequestIdr,
            kind::START_B => Self::StartB,
            kind::PING => Self::Ping,
            kind::INVALIDATE_FRAMES => {
                need(24)?;
                let number = |at| u32::from_le_bytes(array(b, at));
                Self::InvalidateFrames { first: number(0), last: number(8) }
            }
            kind::ACKNOWLEDGE_LTR => {
                need(8)?;
                Self::AcknowledgeLtr { frame: u32::from_le_bytes(array(b, 0)) }
            }
            kind::FEC_STATUS => Self::FecStatus(FecStatus::parse(b)?),
            kind::INPUT => Self::Input(Input::parse(b)?),
            kind => Self::Unknown { kind, payload: Bytes::copy_from_slice(b) },
        })
    }

    /// Appends the message in clear.
    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        match self {
            Self::RequestIdr => payload.extend([0; 2]),
            Self::StartB => payload.push(0),
            Self::Ping => payload.extend([4, 0, 0, 0, 0, 0, 0, 0]),
            Self::InvalidateFrames { first, last } => {
                payload.extend(u64::from(*first).to_le_bytes());
                payload.extend(u64::from(*last).to_le_bytes());
                payload.extend([0; 8]);
            }
            Self::AcknowledgeLtr { frame } => payload.extend(u64::from(*frame).to_le_bytes()),
            Self::FecStatus(status) => status.emit(&mut payload),
            Self::Input(input) => input.emit(&mut payload),
            Self::Unknown { payload: bytes, .. } => payload.extend(bytes),
        }
        Frame { kind: self.kind(), payload: &payload }.emit(out);
    }

    /// The ENet channel (streams 1.1 and 3.2).
    pub(crate) fn channel(&self) -> u8 {
        match self {
            Self::StartB | Self::Ping | Self::FecStatus(_) | Self::Unknown { .. } => GENERIC_CHANNEL,
            Self::RequestIdr | Self::InvalidateFrames { .. } | Self::AcknowledgeLtr { .. } => URGENT_CHANNEL,
            Self::Input(input) => input.channel(),
        }
    }

    /// Streams 2.7 and 3.2.
    pub(crate) fn delivery(&self) -> Delivery {
        match self {
            Self::FecStatus(_) => Delivery::Unsequenced,
            Self::Input(input) => input.delivery(),
            _ => Delivery::Reliable,
        }
    }

    fn kind(&self) -> u16 {
        match self {
            Self::RequestIdr => kind::REQUEST_IDR,
            Self::StartB => kind::START_B,
            Self::Ping => kind::PING,
            Self::InvalidateFrames { .. } => kind::INVALIDATE_FRAMES,
            Self::AcknowledgeLtr { .. } => kind::ACKNOWLEDGE_LTR,
            Self::FecStatus(_) => kind::FEC_STATUS,
            Self::Input(_) => kind::INPUT,
            Self::Unknown { kind, .. } => *kind,
        }
    }
}

/// How much arrived of a FEC block that was repaired or given up (streams 6.7). Big-endian, 21 bytes, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FecStatus {
    pub(crate) frame: u32,
    pub(crate) highest_sequence: u16,
    pub(crate) next_missing_sequence: u16,
    /// Holes in front of the highest sequence number.
    pub(crate) missing_before_highest: u16,
    pub(crate) data_shards: u16,
    pub(crate) parity_shards: u16,
    pub(crate) received_data_shards: u16,
    pub(crate) received_parity_shards: u16,
    pub(crate) percentage: u8,
    pub(crate) block: u8,
    pub(crate) blocks: u8,
}

impl FecStatus {
    fn parse(b: &[u8]) -> Result<Self, Malformed> {
        check_len(b, 21, MAX_ENVELOPE)?;
        let number = |at| u16::from_be_bytes(array(b, at));
        Ok(Self {
            frame: u32::from_be_bytes(array(b, 0)),
            highest_sequence: number(4),
            next_missing_sequence: number(6),
            missing_before_highest: number(8),
            data_shards: number(10),
            parity_shards: number(12),
            received_data_shards: number(14),
            received_parity_shards: number(16),
            percentage: b[18],
            block: b[19],
            blocks: b[20],
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.frame.to_be_bytes());
        for number in [
            self.highest_sequence,
            self.next_missing_sequence,
            self.missing_before_highest,
            self.data_shards,
            self.parity_shards,
            self.received_data_shards,
            self.received_parity_shards,
        ] {
            out.extend(number.to_be_bytes());
        }
        out.extend([self.percentage, self.block, self.blocks]);
    }
}

/// What a host says (streams 2.5). A controller's number may be one that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostMessage {
    /// 0 to 65535 each; stays until changed.
    Rumble { controller: u16, low_frequency: u16, high_frequency: u16 },
    /// 0 to 65535 each.
    RumbleTriggers { controller: u16, left: u16, right: u16 },
    /// Reports of a sensor are wanted this often, in Hz; 0 is not at all.
    Motion { controller: u16, rate: u16, sensor: u8 },
    /// The colour of a controller's light.
    Led { controller: u16, rgb: [u8; 3] },
    /// How a DualSense's triggers resist.
    AdaptiveTriggers { controller: u16, effects: TriggerEffects },
    /// The display's, whether HDR is on or not.
    Hdr(Hdr),
    /// The session ends.
    Termination(Termination),
    /// Anything else.
    Unknown { kind: u16, payload: Bytes },
}

impl HostMessage {
    /// Reads a message of a host.
    pub(crate) fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        let b = frame.payload;
        let need = |len| check_len(b, len, MAX_ENVELOPE);
        let number = |at| u16::from_le_bytes(array(b, at));
        Ok(match frame.kind {
            kind::RUMBLE => {
                need(10)?;
                Self::Rumble { controller: number(4), low_frequency: number(6), high_frequency: number(8) }
            }
            kind::RUMBLE_TRIGGERS => {
                need(6)?;
                Self::RumbleTriggers { controller: number(0), left: number(2), right: number(4) }
            }
            kind::MOTION => {
                need(5)?;
                Self::Motion { controller: number(0), rate: number(2), sensor: b[4] }
            }
            kind::LED => {
                need(5)?;
                Self::Led { controller: number(0), rgb: array(b, 2) }
            }
            kind::ADAPTIVE_TRIGGERS => {
                need(25)?;
                let effects = TriggerEffects {
                    flags: b[2],
                    left_mode: b[3],
                    right_mode: b[4],
                    left: array(b, 5),
                    right: array(b, 15),
                };
                Self::AdaptiveTriggers { controller: number(0), effects }
            }
            kind::HDR => Self::Hdr(Hdr::parse(b)?),
            kind::TERMINATION => {
                need(4)?;
                Self::Termination(Termination(u32::from_be_bytes(array(b, 0))))
            }
            kind => Self::Unknown { kind, payload: Bytes::copy_from_slice(b) },
        })
    }

    /// Appends the message in clear, as Sunshine sends it.
    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        let mut numbers = |numbers: &[u16]| payload.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
        match self {
            Self::Rumble { controller, low_frequency, high_frequency } => {
                numbers(&[RUMBLE_FILL[0], RUMBLE_FILL[1], *controller, *low_frequency, *high_frequency]);
            }
            Self::RumbleTriggers { controller, left, right } => numbers(&[*controller, *left, *right]),
            Self::Motion { controller, rate, sensor } => {
                numbers(&[*controller, *rate]);
                payload.push(*sensor);
            }
            Self::Led { controller, rgb } => {
                numbers(&[*controller]);
                payload.extend(rgb);
            }
            Self::AdaptiveTriggers { controller, effects } => {
                numbers(&[*controller]);
                payload.extend([effects.flags, effects.left_mode, effects.right_mode]);
                payload.extend(effects.left);
                payload.extend(effects.right);
            }
            Self::Hdr(hdr) => hdr.emit(&mut payload),
            Self::Termination(Termination(code)) => payload.extend(code.to_be_bytes()),
            Self::Unknown { payload: bytes, .. } => payload.extend(bytes),
        }
        Frame { kind: self.kind(), payload: &payload }.emit(out);
    }

    fn kind(&self) -> u16 {
        match self {
            Self::Rumble { .. } => kind::RUMBLE,
            Self::RumbleTriggers { .. } => kind::RUMBLE_TRIGGERS,
            Self::Motion { .. } => kind::MOTION,
            Self::Led { .. } => kind::LED,
            Self::AdaptiveTriggers { .. } => kind::ADAPTIVE_TRIGGERS,
            Self::Hdr(_) => kind::HDR,
            Self::Termination(_) => kind::TERMINATION,
            Self::Unknown { kind, .. } => *kind,
        }
    }
}

/// Opaque to us but for the flags: 0x04 the right trigger's is valid, 0x08 the left one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TriggerEffects {
    pub(crate) flags: u8,
    pub(crate) left_mode: u8,
    pub(crate) right_mode: u8,
    pub(crate) left: [u8; 10],
    pub(crate) right: [u8; 10],
}

/// A display's colours. Fields that a host leaves out are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hdr {
    pub(crate) enabled: bool,
    /// Red, green and blue, then white: x and y, in 1/50000.
    pub(crate) primaries: [[u16; 2]; 3],
    pub(crate) white_point: [u16; 2],
    /// Nits.
    pub(crate) max_luminance: u16,
    /// 1/10000 nit.
    pub(crate) min_luminance: u16,
    /// Nits; 0 is unknown.
    pub(crate) max_content_light: u16,
    /// Nits; 0 is unknown.
    pub(crate) max_frame_average_light: u16,
    /// Nits.
    pub(crate) max_full_frame_luminance: u16,
}

impl Hdr {
    fn parse(b: &[u8]) -> Result<Self, Malformed> {
        check_len(b, 1, MAX_ENVELOPE)?;
        let mut whole = [0; 27];
        let len = b.len().min(27);
        whole[..len].copy_from_slice(&b[..len]);
        let number = |at| u16::from_le_bytes(array(&whole, at));
        let point = |at| [number(at), number(at + 2)];
        Ok(Self {
            enabled: whole[0] != 0,
            primaries: [point(1), point(5), point(9)],
            white_point: point(13),
            max_luminance: number(17),
            min_luminance: number(19),
            max_content_light: number(21),
            max_frame_average_light: number(23),
            max_full_frame_luminance: number(25),
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.push(self.enabled.into());
        let points = self.primaries.iter().chain([&self.white_point]).flatten().copied();
        let luminances = [
            self.max_luminance,
            self.min_luminance,
            self.max_content_light,
            self.max_frame_average_light,
            self.max_full_frame_luminance,
        ];
        out.extend(points.chain(luminances).flat_map(u16::to_le_bytes));
    }
}

/// Why the host ends the session: an HRESULT (streams 2.6), big-endian on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Termination(pub(crate) u32);

impl Termination {
    /// On purpose: the app quit, or the host shuts down. The only one that Sunshine and Wolf send.
    pub(crate) const INTENDED: Self = Self(0x8003_0023);
    /// The screen shows protected content.
    pub(crate) const PROTECTED_CONTENT: Self = Self(0x800e_9302);
    /// The encoder could not convert a frame.
    pub(crate) const FRAME_CONVERSION: Self = Self(0x800e_9403);
}

impl fmt::Display for Termination {
    /// Goes on behind "the host ended the session".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::INTENDED => f.write_str("on purpose"),
            Self::PROTECTED_CONTENT => f.write_str("because its screen shows protected content"),
            Self::FRAME_CONVERSION => f.write_str("because its encoder could not convert a frame"),
            Self(code) => write!(f, "with code {code:#x}"),
        }
    }
}

/// Start messages, pings, FEC status, haptics.
pub(crate) const GENERIC_CHANNEL: u8 = 0;
/// What a picture waits for.
pub(crate) const URGENT_CHANNEL: u8 = 1;

const ENVELOPE_KIND: u16 = 1;
const ENVELOPE_LEN: usize = 24;
const FRAMING_LEN: usize = 4;

/// What Sunshine writes in front of a rumble message; ignored.
const RUMBLE_FILL: [u16; 2] = [0xffee, 0x00c0];

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gamestream::wire::input;
    use crate::gamestream::wire::tests::hex;

    /// A message of streams 10.3.
    pub(crate) struct Vector {
        pub(crate) from_host: bool,
        pub(crate) sequence: u32,
        pub(crate) clear: &'static str,
        /// With the nonce of 12 bytes.
        pub(crate) sealed: &'static str,
        /// With the nonce of 16 bytes.
        pub(crate) sealed_old: &'static str,
    }

    const fn vector(
        from_host: bool,
        sequence: u32,
        clear: &'static str,
        sealed: &'static str,
        sealed_old: &'static str,
    ) -> Vector {
        Vector { from_host, sequence, clear, sealed, sealed_old }
    }

    #[rustfmt::skip]
    pub(crate) const VECTORS: [Vector; 9] = [
        vector(false, 0, "020302000000", "01001a000000000022302723537811166cb9bfead7dad4575cd629f5cafe", "01001a0000000000566c8363e380dad031b24ee56ee40bb6021579f6ebbe"),
        vector(false, 1, "0703010000", "010019000100000066393527e11b8c76341d912f5ee3ca512427044103", "01001900010000009d43560e2414621fcbf2552c1bd1c647e0503fd7b9"),
        vector(false, 2, "000208000400000000000000", "0100200002000000cba7578964fa4fa8e7185416b33e29f8a54e75964ddf1abd0172cdfb", "0100200002000000481dd2e8e34a390ee3cc7d5b04657a8171f942fb403f02ee9d29d0d0"),
        vector(false, 258, "060212000000000e05000000006400c80000077f0437", "01002a000201000070b31303a3f2a29729555e11c9e398eed8e4fdaf4f2833a7410de2997cd92564007629634ef4", "01002a000201000097b217e658e1ffd56d75f3a078a11ec777f958fb443f02e09829d0d07521fdd8a7363aa5aa95"),
        vector(false, 3, "01031800640000000000000067000000000000000000000000000000", "0100300003000000bb9c5018789d0c4c822775018fa67927be5bd6abdf4db065d971d5e3a737036784368d1b98e170922da2b43b", "010030000300000081a14732b5dac504048d37a3eaab49132d69cd6e31c769ba2939c6706fa5c6700faeba3299270656bfab4248"),
        vector(false, 4, "500308004d00000000000000", "010020000400000022c9256ed879252709ada69705bb3341659cf142b41467b4680075c6", "0100200004000000314d4c7a114efedbf9f7d1c3239ee4dc2f4ed4dbe0679e3680a3f519"),
        vector(true, 5, "0b010a00eeffc00001003412cdab", "0100220005000000dbeb65ed57c02c9216b6709133d15ab63787750b56de76a789cfcd749fbf", "0100220005000000fa59a1eae1fb6b0b03b737542cddb89cf529768c8c225cfaf40399d7d6a4"),
        vector(true, 6, "0901040080030023", "01001c0006000000f6fd6046e1d9cd907e327d1394da5c2e686177e0f2d1af26", "01001c00060000000d08273f004fad77a64268189b0dd683ea1b01b903bc24c8"),
        vector(true, 7, "0e011b00000000000000000000000000000000000000000000000000000000", "01003300070000006db009cc6c8aa091caa264f586d8756c78278c7e517526792235471035f8800e596eb5b33789ae842f4a029faea234", "0100330007000000bef886fb7baeecccc247cfd2c17569403f3cd9e24a487d44ffc807f5f4bc5e17956ad772da723e31820b9b4526c3a4"),
    ];

    fn client_messages() -> [ClientMessage; 6] {
        let position = input::MousePosition { x: 100, y: 200, width: 1920, height: 1080 };
        [
            ClientMessage::RequestIdr,
            ClientMessage::StartB,
            ClientMessage::Ping,
            ClientMessage::Input(Input::MousePosition(position)),
            ClientMessage::InvalidateFrames { first: 100, last: 103 },
            ClientMessage::AcknowledgeLtr { frame: 77 },
        ]
    }

    fn host_messages() -> [HostMessage; 3] {
        [
            HostMessage::Rumble { controller: 1, low_frequency: 0x1234, high_frequency: 0xabcd },
            HostMessage::Termination(Termination::INTENDED),
            HostMessage::Hdr(Hdr::default()),
        ]
    }

    fn clear(emit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        emit(&mut bytes);
        bytes
    }

    #[test]
    fn the_documents_messages_parse_and_build_back() {
        let (client, host) = VECTORS.split_at(6);
        for (vector, message) in client.iter().zip(client_messages()) {
            let bytes = hex(vector.clear);
            assert_eq!(ClientMessage::parse(&Frame::parse(&bytes).unwrap()), Ok(message.clone()));
            assert_eq!(clear(|out| message.emit(out)), bytes);
        }
        for (vector, message) in host.iter().zip(host_messages()) {
            let bytes = hex(vector.clear);
            assert_eq!(HostMessage::parse(&Frame::parse(&bytes).unwrap()), Ok(message.clone()));
            assert_eq!(clear(|out| message.emit(out)), bytes);
        }
    }

    /// The vector in streams 10.3: sequence numbers 6 to 10, given up with the first data and the last parity shard.
    pub(crate) const GIVEN_UP: FecStatus = FecStatus {
        frame: 2,
        highest_sequence: 10,
        next_missing_sequence: 7,
        missing_before_highest: 3,
        data_shards: 3,
        parity_shards: 2,
        received_data_shards: 1,
        received_parity_shards: 1,
        percentage: 66,
        block: 0,
        blocks: 1,
    };

    #[test]
    fn the_documents_fec_status_parses_and_builds_back() {
        let payload = hex("00000002000a000700030003000200010001420001");
        let frame = Frame { kind: kind::FEC_STATUS, payload: &payload };
        let message = ClientMessage::parse(&frame).unwrap();
        assert_eq!(message, ClientMessage::FecStatus(GIVEN_UP));
        assert_eq!(Frame::parse(&clear(|out| message.emit(out))), Ok(frame));
        assert_eq!((message.channel(), message.delivery()), (0, Delivery::Unsequenced));
    }

    #[test]
    fn every_message_has_its_channel() {
        let channels = client_messages().map(|message| message.channel());
        assert_eq!(channels, [1, 0, 0, 3, 1, 1]);
        assert!(client_messages().iter().all(|message| message.delivery() == Delivery::Reliable));
    }

    #[test]
    fn padding_behind_a_message_is_ignored() {
        for (kind, payload, message) in [
            (kind::RUMBLE, "000000000100020003000000", host_messages()[0].clone()),
            (kind::MOTION, "0000640001ff", HostMessage::Motion { controller: 0, rate: 100, sensor: 1 }),
            (kind::LED, "0200010203ff", HostMessage::Led { controller: 2, rgb: [1, 2, 3] }),
        ] {
            let message = match message {
                HostMessage::Rumble { .. } => {
                    HostMessage::Rumble { controller: 1, low_frequency: 2, high_frequency: 3 }
                }
                other => other,
            };
            assert_eq!(HostMessage::parse(&Frame { kind, payload: &hex(payload) }), Ok(message));
        }
    }

    #[test]
    fn a_short_hdr_message_leaves_the_rest_unknown() {
        let hdr = HostMessage::parse(&Frame { kind: kind::HDR, payload: &[1, 5, 0, 7] });
        let known = Hdr { enabled: true, primaries: [[5, 7], [0, 0], [0, 0]], ..Hdr::default() };
        assert_eq!(hdr, Ok(HostMessage::Hdr(known)));
    }

    #[test]
    fn short_messages_are_refused() {
        for (kind, len) in [
            (kind::RUMBLE, 10),
            (kind::RUMBLE_TRIGGERS, 6),
            (kind::MOTION, 5),
            (kind::LED, 5),
            (kind::ADAPTIVE_TRIGGERS, 25),
            (kind::HDR, 1),
            (kind::TERMINATION, 4),
        ] {
            let parse = |len| HostMessage::parse(&Frame { kind, payload: &[0; 32][..len] });
            assert!(parse(len).is_ok(), "{kind:#x}");
            assert_eq!(parse(len - 1), Err(Malformed::Short { need: len, got: len - 1 }), "{kind:#x}");
        }
        for (kind, len) in [(kind::INVALIDATE_FRAMES, 24), (kind::ACKNOWLEDGE_LTR, 8), (kind::FEC_STATUS, 21)]
        {
            let parse = |len| ClientMessage::parse(&Frame { kind, payload: &[0; 32][..len] });
            assert!(parse(len).is_ok(), "{kind:#x}");
            assert_eq!(parse(len - 1), Err(Malformed::Short { need: len, got: len - 1 }), "{kind:#x}");
        }
    }

    #[test]
    fn envelopes_that_contradict_themselves_are_refused() {
        let bytes = hex(VECTORS[0].sealed);
        let with = |at: usize, value: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            Sealed::parse(&bytes).map(|_| ()).unwrap_err()
        };
        assert_eq!(with(0, 2), Malformed::Field { field: "envelope kind", value: 2 });
        assert_eq!(with(2, 27), Malformed::Field { field: "envelope length", value: 27 });
        assert!(matches!(Sealed::parse(&bytes[..27]), Err(Malformed::Short { need: 28, got: 27 })));
        assert!(matches!(Sealed::parse(&[1; 513]), Err(Malformed::Long { .. })));
        assert!(matches!(Frame::parse(&[0, 0, 1]), Err(Malformed::Short { .. })));
        assert!(matches!(Frame::parse(&[0, 0, 1, 0]), Err(Malformed::Field { field: "payload length", .. })));
    }

    fn unknown() -> impl Strategy<Value = (u16, Bytes)> {
        (0x6000u16.., prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(kind, b)| (kind, Bytes::from(b)))
    }

    fn fec_status() -> impl Strategy<Value = FecStatus> {
        any::<(u32, [u16; 7], [u8; 3])>().prop_map(|(frame, n, b)| FecStatus {
            frame,
            highest_sequence: n[0],
            next_missing_sequence: n[1],
            missing_before_highest: n[2],
            data_shards: n[3],
            parity_shards: n[4],
            received_data_shards: n[5],
            received_parity_shards: n[6],
            percentage: b[0],
            block: b[1],
            blocks: b[2],
        })
    }

    fn client_message() -> impl Strategy<Value = ClientMessage> {
        prop_oneof![
            Just(ClientMessage::RequestIdr),
            Just(ClientMessage::StartB),
            Just(ClientMessage::Ping),
            any::<[u32; 2]>().prop_map(|[first, last]| ClientMessage::InvalidateFrames { first, last }),
            any::<u32>().prop_map(|frame| ClientMessage::AcknowledgeLtr { frame }),
            fec_status().prop_map(ClientMessage::FecStatus),
            input::tests::inputs().prop_map(ClientMessage::Input),
            unknown().prop_map(|(kind, payload)| ClientMessage::Unknown { kind, payload }),
        ]
    }

    pub(crate) fn host_message() -> impl Strategy<Value = HostMessage> {
        let hdr = any::<(bool, [[u16; 2]; 4], [u16; 5])>().prop_map(|(enabled, points, n)| Hdr {
            enabled,
            primaries: [points[0], points[1], points[2]],
            white_point: points[3],
            max_luminance: n[0],
            min_luminance: n[1],
            max_content_light: n[2],
            max_frame_average_light: n[3],
            max_full_frame_luminance: n[4],
        });
        let effects = any::<(u16, [u8; 3], [[u8; 10]; 2])>().prop_map(|(controller, b, [left, right])| {
            let effects = TriggerEffects { flags: b[0], left_mode: b[1], right_mode: b[2], left, right };
            HostMessage::AdaptiveTriggers { controller, effects }
        });
        prop_oneof![
            any::<[u16; 3]>().prop_map(|[controller, low_frequency, high_frequency]| {
                HostMessage::Rumble { controller, low_frequency, high_frequency }
            }),
            any::<[u16; 3]>().prop_map(|[controller, left, right]| HostMessage::RumbleTriggers {
                controller,
                left,
                right
            }),
            any::<(u16, u16, u8)>().prop_map(|(controller, rate, sensor)| HostMessage::Motion {
                controller,
                rate,
                sensor
            }),
            any::<(u16, [u8; 3])>().prop_map(|(controller, rgb)| HostMessage::Led { controller, rgb }),
            effects,
            hdr.prop_map(HostMessage::Hdr),
            any::<u32>().prop_map(|code| HostMessage::Termination(Termination(code))),
            unknown().prop_map(|(kind, payload)| HostMessage::Unknown { kind, payload }),
        ]
    }

    proptest! {
        #[test]
        fn any_client_message_builds_and_parses_back(message in client_message()) {
            let bytes = clear(|out| message.emit(out));
            prop_assert_eq!(ClientMessage::parse(&Frame::parse(&bytes).unwrap()), Ok(message));
        }

        #[test]
        fn any_host_message_builds_and_parses_back(message in host_message(), padding in 0usize..4) {
            let bytes = clear(|out| message.emit(out));
            let frame = Frame::parse(&bytes).unwrap();
            prop_assert_eq!(HostMessage::parse(&frame), Ok(message.clone()));
            if !matches!(message, HostMessage::Unknown { .. }) {
                let padded = [frame.payload, &[0xff; 4][..padding]].concat();
                prop_assert_eq!(HostMessage::parse(&Frame { payload: &padded, ..frame }), Ok(message));
            }
        }

        #[test]
        fn any_envelope_builds_and_parses_back(
            sequence: u32, tag: [u8; 16], ciphertext in prop::collection::vec(any::<u8>(), 4..100),
        ) {
            let bytes = clear(|out| Envelope { sequence, tag }.emit(&ciphertext, out));
            let sealed = Sealed::parse(&bytes).unwrap();
            prop_assert_eq!((sealed.sequence(), sealed.tag()), (sequence, tag));
            prop_assert_eq!(sealed.ciphertext(), &ciphertext[..]);
        }
    }
}
