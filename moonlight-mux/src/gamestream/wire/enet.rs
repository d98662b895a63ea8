//! ENet datagrams, as far as hosts and clients speak it: no checksum, no compression.
//!
//! A passive view: it keeps no state of a connection. All integers are big-endian, but the connect id, which is
//! opaque. Source: protocol document, streams 1.2.

use super::{Malformed, array, check_len};

/// The longest accepted datagram: the most that two ends may agree on as MTU.
pub(crate) const MAX_DATAGRAM: usize = 4096;

/// The most commands in one datagram.
pub(crate) const MAX_COMMANDS: usize = 32;

/// The channel of commands that concern the connection itself.
pub(crate) const CONNECTION: u8 = 0xff;

/// One datagram: a header, and commands back to back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    pub(crate) header: Header,
    /// At most [`MAX_COMMANDS`].
    pub(crate) commands: Vec<Command<'a>>,
}

/// ```text
///  0  u16  receiver's peer id, session id << 12, 0x8000 with a sent time
///  2  u16  sent time, if there is one
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// 12 bits; 0xfff while unknown.
    pub(crate) peer: u16,
    /// 2 bits; 0 for a peer slot's first connection.
    pub(crate) session: u8,
    /// The sender's clock in ms, low 16 bits. Stands there whenever a command wants to be acknowledged.
    pub(crate) sent_time: Option<u16>,
}

/// ```text
///  0  u8   command, 0x80 if it wants to be acknowledged, 0x40 if unsequenced
///  1  u8   channel                      2  u16  reliable sequence number
///  4  …    body
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Command<'a> {
    pub(crate) wants_ack: bool,
    pub(crate) unsequenced: bool,
    pub(crate) channel: u8,
    pub(crate) sequence: u16,
    pub(crate) body: Body<'a>,
}

/// What a command says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    Acknowledge { sequence: u16, sent_time: u16 },
    Connect { handshake: Handshake, data: u32 },
    VerifyConnect(Handshake),
    Disconnect { data: u32 },
    Ping,
    Reliable(&'a [u8]),
    Unreliable { sequence: u16, data: &'a [u8] },
    Fragment(Fragment<'a>),
    Unsequenced { group: u16, data: &'a [u8] },
    BandwidthLimit { incoming: u32, outgoing: u32 },
    Throttle(Throttle),
    UnreliableFragment(Fragment<'a>),
}

/// What both ends tell of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// The sender's own.
    pub(crate) peer: u16,
    pub(crate) incoming_session: u8,
    pub(crate) outgoing_session: u8,
    /// Bytes.
    pub(crate) mtu: u32,
    /// Bytes.
    pub(crate) window: u32,
    pub(crate) channels: u32,
    /// Bytes per second; 0 is no limit.
    pub(crate) incoming_bandwidth: u32,
    /// Bytes per second; 0 is no limit.
    pub(crate) outgoing_bandwidth: u32,
    pub(crate) throttle: Throttle,
    /// Opaque, as it stands on the wire.
    pub(crate) connect_id: [u8; 4],
}

/// How unreliable packets are dropped when the round trip time rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Throttle {
    /// Milliseconds.
    pub(crate) interval: u32,
    pub(crate) acceleration: u32,
    pub(crate) deceleration: u32,
}

/// A piece of a packet that is longer than a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment<'a> {
    /// Sequence number of the packet's first piece.
    pub(crate) start: u16,
    pub(crate) count: u32,
    pub(crate) number: u32,
    /// Bytes of the packet.
    pub(crate) total: u32,
    /// Where this piece stands in it.
    pub(crate) offset: u32,
    pub(crate) data: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Checks that the datagram is made of whole known commands, and that fragments lie inside their packet.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        check_len(bytes, 2, MAX_DATAGRAM)?;
        let first = u16::from_be_bytes(array(bytes, 0));
        if first & COMPRESSED != 0 {
            return Err(Malformed::Field { field: "compressed", value: first.into() });
        }
        let timed = first & TIMED != 0;
        check_len(bytes, if timed { 4 } else { 2 }, MAX_DATAGRAM)?;
        let header = Header {
            peer: first & 0x0fff,
            session: (first >> 12 & 3) as u8,
            sent_time: timed.then(|| u16::from_be_bytes(array(bytes, 2))),
        };
        let mut rest = &bytes[if timed { 4 } else { 2 }..];
        let mut commands = Vec::new();
        while !rest.is_empty() {
            if commands.len() == MAX_COMMANDS {
                return Err(Malformed::Long { limit: MAX_COMMANDS, got: commands.len() + 1 });
            }
            let (command, len) = Command::parse(rest)?;
            commands.push(command);
            rest = &rest[len..];
        }
        Ok(Self { header, commands })
    }

    /// Appends the datagram. Values wider than their field lose their high bits; see the fields for their widths.
    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        let Header { peer, session, sent_time } = self.header;
        let first =
            peer & 0x0fff | u16::from(session & 3) << 12 | if sent_time.is_some() { TIMED } else { 0 };
        out.extend(first.to_be_bytes());
        out.extend(sent_time.into_iter().flat_map(u16::to_be_bytes));
        for command in &self.commands {
            command.emit(out);
        }
    }
}

impl<'a> Command<'a> {
    /// The command at the front of `bytes`, and its length.
    fn parse(bytes: &'a [u8]) -> Result<(Self, usize), Malformed> {
        let id = bytes[0] & 0x0f;
        let fixed = *FIXED_LEN
            .get(usize::from(id))
            .filter(|&&len| len > 0 && bytes[0] & 0x30 == 0)
            .ok_or(Malformed::Field { field: "command", value: bytes[0].into() })?;
        check_len(bytes, fixed, MAX_DATAGRAM)?;
        let u16_at = |at| u16::from_be_bytes(array(bytes, at));
        let u32_at = |at| u32::from_be_bytes(array(bytes, at));
        let data = |len_at| {
            let len = fixed + usize::from(u16_at(len_at));
            bytes.get(fixed..len).ok_or(Malformed::Short { need: len, got: bytes.len() })
        };
        let body = match id {
            1 => Body::Acknowledge { sequence: u16_at(4), sent_time: u16_at(6) },
            2 => Body::Connect { handshake: Handshake::parse(bytes), data: u32_at(44) },
            3 => Body::VerifyConnect(Handshake::parse(bytes)),
            4 => Body::Disconnect { data: u32_at(4) },
            5 => Body::Ping,
            6 => Body::Reliable(data(4)?),
            7 => Body::Unreliable { sequence: u16_at(4), data: data(6)? },
            8 => Body::Fragment(Fragment::parse(bytes, data(6)?)?),
            9 => Body::Unsequenced { group: u16_at(4), data: data(6)? },
            10 => Body::BandwidthLimit { incoming: u32_at(4), outgoing: u32_at(8) },
            11 => Body::Throttle(Throttle::parse(bytes, 4)),
            _ => Body::UnreliableFragment(Fragment::parse(bytes, data(6)?)?),
        };
        let command = Self {
            wants_ack: bytes[0] & WANTS_ACK != 0,
            unsequenced: bytes[0] & UNSEQUENCED != 0,
            channel: bytes[1],
            sequence: u16_at(2),
            body,
        };
        Ok((command, fixed + body.data().len()))
    }

    /// Appends the command.
    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        let flags =
            if self.wants_ack { WANTS_ACK } else { 0 } | if self.unsequenced { UNSEQUENCED } else { 0 };
        out.extend([self.body.id() | flags, self.channel]);
        out.extend(self.sequence.to_be_bytes());
        let data = self.body.data();
        let len = (data.len() as u16).to_be_bytes();
        match self.body {
            Body::Acknowledge { sequence, sent_time } => {
                out.extend(sequence.to_be_bytes());
                out.extend(sent_time.to_be_bytes());
            }
            Body::Connect { handshake, data } => {
                handshake.emit(out);
                out.extend(data.to_be_bytes());
            }
            Body::VerifyConnect(handshake) => handshake.emit(out),
            Body::Disconnect { data } => out.extend(data.to_be_bytes()),
            Body::Ping => {}
            Body::Reliable(_) => out.extend(len),
            Body::Unreliable { sequence: number, .. } | Body::Unsequenced { group: number, .. } => {
                out.extend(number.to_be_bytes());
                out.extend(len);
            }
            Body::Fragment(fragment) | Body::UnreliableFragment(fragment) => {
                out.extend(fragment.start.to_be_bytes());
                out.extend(len);
                for field in [fragment.count, fragment.number, fragment.total, fragment.offset] {
                    out.extend(field.to_be_bytes());
                }
            }
            Body::BandwidthLimit { incoming, outgoing } => {
                out.extend(incoming.to_be_bytes());
                out.extend(outgoing.to_be_bytes());
            }
            Body::Throttle(throttle) => throttle.emit(out),
        }
        out.extend(data);
    }
}

impl<'a> Body<'a> {
    /// What follows the fixed part: the bytes of a packet, or nothing.
    pub(crate) fn data(&self) -> &'a [u8] {
        match *self {
            Self::Reliable(data) | Self::Unreliable { data, .. } | Self::Unsequenced { data, .. } => data,
            Self::Fragment(fragment) | Self::UnreliableFragment(fragment) => fragment.data,
            _ => &[],
        }
    }

    fn id(&self) -> u8 {
        match self {
            Self::Acknowledge { .. } => 1,
            Self::Connect { .. } => 2,
            Self::VerifyConnect(_) => 3,
            Self::Disconnect { .. } => 4,
            Self::Ping => 5,
            Self::Reliable(_) => 6,
            Self::Unreliable { .. } => 7,
            Self::Fragment(_) => 8,
            Self::Unsequenced { .. } => 9,
            Self::BandwidthLimit { .. } => 10,
            Self::Throttle(_) => 11,
            Self::UnreliableFragment(_) => 12,
        }
    }
}

impl Handshake {
    /// From the 44 bytes that CONNECT and VERIFY_CONNECT begin with.
    fn parse(command: &[u8]) -> Self {
        let u32_at = |at| u32::from_be_bytes(array(command, at));
        Self {
            peer: u16::from_be_bytes(array(command, 4)),
            incoming_session: command[6],
            outgoing_session: command[7],
            mtu: u32_at(8),
            window: u32_at(12),
            channels: u32_at(16),
            incoming_bandwidth: u32_at(20),
            outgoing_bandwidth: u32_at(24),
            throttle: Throttle::parse(command, 28),
            connect_id: array(command, 40),
        }
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.peer.to_be_bytes());
        out.extend([self.incoming_session, self.outgoing_session]);
        let bandwidths = [self.incoming_bandwidth, self.outgoing_bandwidth];
        for field in [self.mtu, self.window, self.channels].into_iter().chain(bandwidths) {
            out.extend(field.to_be_bytes());
        }
        self.throttle.emit(out);
        out.extend(self.connect_id);
    }
}

impl Throttle {
    fn parse(command: &[u8], at: usize) -> Self {
        let u32_at = |at| u32::from_be_bytes(array(command, at));
        Self { interval: u32_at(at), acceleration: u32_at(at + 4), deceleration: u32_at(at + 8) }
    }

    fn emit(&self, out: &mut Vec<u8>) {
        for field in [self.interval, self.acceleration, self.deceleration] {
            out.extend(field.to_be_bytes());
        }
    }
}

impl<'a> Fragment<'a> {
    fn parse(command: &[u8], data: &'a [u8]) -> Result<Self, Malformed> {
        let u32_at = |at| u32::from_be_bytes(array(command, at));
        let fragment = Self {
            start: u16::from_be_bytes(array(command, 4)),
            count: u32_at(8),
            number: u32_at(12),
            total: u32_at(16),
            offset: u32_at(20),
            data,
        };
        if fragment.number >= fragment.count {
            return Err(Malformed::Field { field: "fragment number", value: fragment.number });
        }
        if u64::from(fragment.offset) + data.len() as u64 > fragment.total.into() {
            return Err(Malformed::Field { field: "fragment offset", value: fragment.offset });
        }
        Ok(fragment)
    }
}

const TIMED: u16 = 0x8000;
const COMPRESSED: u16 = 0x4000;
const WANTS_ACK: u8 = 0x80;
const UNSEQUENCED: u8 = 0x40;

/// Bytes of each command in front of its data; there is no command 0.
const FIXED_LEN: [usize; 13] = [0, 8, 48, 44, 8, 4, 6, 8, 24, 8, 12, 16, 24];

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gamestream::wire::tests::hex;

    /// Streams 1.2: a captured handshake, with data on several channels.
    pub(crate) const DATAGRAMS: [&str; 6] = [
        "8fff293182ff00010000ffff00000570000100000000003000000000000000000000138800000002000000029db087a8deadbeef",
        "8000293283ff00010000000000000384000100000000003000000000000000000000138800000002000000029db087a8",
        "8000293201ff00010001293285ff0002",
        "800029328600000100067374617274418601000100036964724900000000010003666563072f000000010006\
6d6f74696f6e",
        "000001ff000200022932",
        "000044ff000400000000",
    ];

    #[test]
    fn the_documents_datagrams_parse_and_build_back() {
        for text in DATAGRAMS {
            let bytes = hex(text);
            let datagram = Datagram::parse(&bytes).unwrap();
            let mut built = Vec::new();
            datagram.emit(&mut built);
            assert_eq!(built, bytes);
        }
    }

    #[test]
    fn the_documents_handshake_says_what_the_document_says() {
        let [connect, verify, ..] = DATAGRAMS.map(hex);
        let connect = Datagram::parse(&connect).unwrap();
        assert_eq!(connect.header, Header { peer: 0xfff, session: 0, sent_time: Some(0x2931) });
        let [Command { wants_ack: true, channel: CONNECTION, sequence: 1, body, .. }] = connect.commands[..]
        else {
            panic!("{connect:?}")
        };
        let Body::Connect { handshake, data: 0xdead_beef } = body else { panic!("{body:?}") };
        assert_eq!((handshake.mtu, handshake.window, handshake.channels), (1392, 65_536, 48));
        assert_eq!((handshake.incoming_session, handshake.outgoing_session), (0xff, 0xff));
        assert_eq!(handshake.throttle, Throttle { interval: 5000, acceleration: 2, deceleration: 2 });
        let verify = Datagram::parse(&verify).unwrap();
        let Body::VerifyConnect(answer) = verify.commands[0].body else { panic!("{verify:?}") };
        assert_eq!((answer.mtu, answer.connect_id), (900, handshake.connect_id));
    }

    #[test]
    fn the_documents_data_is_on_its_channels() {
        let bytes = hex(DATAGRAMS[3]);
        let commands = Datagram::parse(&bytes).unwrap().commands;
        let said: Vec<_> =
            commands.iter().map(|c| (c.channel, c.sequence, c.wants_ack, c.unsequenced, c.body)).collect();
        assert_eq!(
            said,
            [
                (0, 1, true, false, Body::Reliable(b"startA")),
                (1, 1, true, false, Body::Reliable(b"idr")),
                (0, 0, false, true, Body::Unsequenced { group: 1, data: b"fec" }),
                (47, 0, false, false, Body::Unreliable { sequence: 1, data: b"motion" }),
            ]
        );
    }

    #[test]
    fn datagrams_that_no_end_sends_are_refused() {
        let refused = |text: &str| Datagram::parse(&hex(text)).unwrap_err();
        assert!(matches!(refused("00"), Malformed::Short { .. }));
        assert!(matches!(refused("8000"), Malformed::Short { .. }));
        assert!(matches!(refused("4000"), Malformed::Field { field: "compressed", .. }));
        assert!(matches!(refused("000000ff0001"), Malformed::Field { field: "command", value: 0 }));
        assert!(matches!(refused("00000dff0001"), Malformed::Field { field: "command", value: 13 }));
        assert!(matches!(refused("000015ff0001"), Malformed::Field { field: "command", value: 0x15 }));
        assert!(matches!(refused("000005ff00"), Malformed::Short { need: 4, got: 3 }));
        assert!(matches!(refused("0000060000010002aa"), Malformed::Short { need: 8, got: 7 }));
        let fragment = |number: u32, offset: u32| {
            refused(&format!("00000800000100010001{:08x}{number:08x}{:08x}{offset:08x}aa", 2, 10))
        };
        assert!(matches!(fragment(2, 0), Malformed::Field { field: "fragment number", value: 2 }));
        assert!(matches!(fragment(1, 10), Malformed::Field { field: "fragment offset", value: 10 }));
        assert!(matches!(refused(&format!("0000{}", "05ff0001".repeat(33))), Malformed::Long { .. }));
        assert!(matches!(Datagram::parse(&[0; 4097]), Err(Malformed::Long { .. })));
    }

    /// A body, with its data taken from `data`.
    fn body(id: u8, numbers: [u32; 10], connect_id: [u8; 4], data: &[u8]) -> Body<'_> {
        let [a, b, c, d, e, ..] = numbers;
        let throttle = Throttle { interval: a, acceleration: b, deceleration: c };
        let handshake = Handshake {
            peer: d as u16,
            incoming_session: e as u8,
            outgoing_session: (e >> 8) as u8,
            mtu: numbers[5],
            window: numbers[6],
            channels: numbers[7],
            incoming_bandwidth: numbers[8],
            outgoing_bandwidth: numbers[9],
            throttle,
            connect_id,
        };
        let len = data.len() as u32;
        let total = len + a % 10_000;
        let fragment = Fragment {
            start: d as u16,
            count: b % 100 + 1,
            number: c % (b % 100 + 1),
            total,
            offset: e % (total - len + 1),
            data,
        };
        match id {
            1 => Body::Acknowledge { sequence: a as u16, sent_time: b as u16 },
            2 => Body::Connect { handshake, data: d },
            3 => Body::VerifyConnect(handshake),
            4 => Body::Disconnect { data: a },
            5 => Body::Ping,
            6 => Body::Reliable(data),
            7 => Body::Unreliable { sequence: a as u16, data },
            8 => Body::Fragment(fragment),
            9 => Body::Unsequenced { group: a as u16, data },
            10 => Body::BandwidthLimit { incoming: a, outgoing: b },
            11 => Body::Throttle(throttle),
            _ => Body::UnreliableFragment(fragment),
        }
    }

    proptest! {
        #[test]
        fn any_datagram_builds_and_parses_back(
            peer in 0u16..0x1000,
            session in 0u8..4,
            sent_time: Option<u16>,
            commands in prop::collection::vec((1u8..13, any::<[u32; 10]>(), any::<[u8; 8]>()), 0..MAX_COMMANDS),
            data in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let commands = commands.iter().map(|&(id, numbers, bytes)| Command {
                wants_ack: bytes[0] & 1 != 0,
                unsequenced: bytes[0] & 2 != 0,
                channel: bytes[1],
                sequence: u16::from_be_bytes([bytes[2], bytes[3]]),
                body: body(id, numbers, array(&bytes, 4), &data),
            });
            let datagram =
                Datagram { header: Header { peer, session, sent_time }, commands: commands.collect() };
            let mut bytes = Vec::new();
            datagram.emit(&mut bytes);
            prop_assert_eq!(Datagram::parse(&bytes), Ok(datagram));
        }
    }
}
