//! Classic libpcap files: the UDP datagrams and TCP segments in them.
//!
//! A reader of its own, since what is needed is one file header, one record header, and the addresses of UDP and TCP
//! over IPv4 over Ethernet. Source: the file format, draft-ietf-opsawg-pcap.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// A UDP datagram, and when it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    /// Since 1970.
    pub(crate) at: Duration,
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    pub(crate) payload: &'a [u8],
}

/// Part of one direction of a TCP connection, and when it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment<'a> {
    /// Since 1970.
    pub(crate) at: Duration,
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    /// Whether it begins the connection; then the payload's number is one more than `sequence`.
    pub(crate) syn: bool,
    /// Of the payload's first byte.
    pub(crate) sequence: u32,
    pub(crate) payload: &'a [u8],
}

/// Why a file cannot be read as a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PcapError {
    /// It does not begin as a pcap file does. (pcapng is another format.)
    #[error("not a pcap file")]
    NotPcap,
    /// It holds something else than Ethernet frames.
    #[error("link type {0}, where only Ethernet (1) is known")]
    LinkType(
        /// As in the file header.
        u32,
    ),
    /// It ends in the middle of a record, or a record holds less than was on the wire.
    #[error("cut off in the record at byte {offset}")]
    CutOff {
        /// Where the record begins, in bytes from the start of the file.
        offset: usize,
    },
}

/// All UDP datagrams of a file in the order in which they stand there; anything else in it is skipped.
///
/// # Errors
/// When the file is no capture of Ethernet frames, or is cut off.
pub(crate) fn datagrams(file: &[u8]) -> Result<Vec<Datagram<'_>>, PcapError> {
    let mut datagrams = Vec::new();
    read(file, |at, frame| datagrams.extend(udp(frame).map(|datagram| Datagram { at, ..datagram })))?;
    Ok(datagrams)
}

/// All TCP segments of a file in the order in which they stand there; anything else in it is skipped.
///
/// # Errors
/// As [`datagrams`].
pub(crate) fn segments(file: &[u8]) -> Result<Vec<Segment<'_>>, PcapError> {
    let mut segments = Vec::new();
    read(file, |at, frame| segments.extend(tcp(frame).map(|segment| Segment { at, ..segment })))?;
    Ok(segments)
}

/// Hands each frame on, with its time.
fn read<'a>(file: &'a [u8], mut each: impl FnMut(Duration, &'a [u8])) -> Result<(), PcapError> {
    let magic = file.first_chunk().ok_or(PcapError::NotPcap)?;
    let (order, fraction) = match *magic {
        [0xd4, 0xc3, 0xb2, 0xa1] => (Order::Little, Fraction::Micros),
        [0x4d, 0x3c, 0xb2, 0xa1] => (Order::Little, Fraction::Nanos),
        [0xa1, 0xb2, 0xc3, 0xd4] => (Order::Big, Fraction::Micros),
        [0xa1, 0xb2, 0x3c, 0x4d] => (Order::Big, Fraction::Nanos),
        _ => return Err(PcapError::NotPcap),
    };
    let link_type = order.u32(file, 20).ok_or(PcapError::CutOff { offset: 0 })?;
    if link_type != ETHERNET {
        return Err(PcapError::LinkType(link_type));
    }

    let mut offset = FILE_HEADER_LEN;
    while offset < file.len() {
        let record = &file[offset..];
        let (at, frame) = read_record(record, order, fraction).ok_or(PcapError::CutOff { offset })?;
        each(at, frame);
        offset += RECORD_HEADER_LEN + frame.len();
    }
    Ok(())
}

fn read_record(record: &[u8], order: Order, fraction: Fraction) -> Option<(Duration, &[u8])> {
    let seconds = Duration::from_secs(order.u32(record, 0)?.into());
    let fraction = match fraction {
        Fraction::Micros => Duration::from_micros(order.u32(record, 4)?.into()),
        Fraction::Nanos => Duration::from_nanos(order.u32(record, 4)?.into()),
    };
    let captured = order.u32(record, 8)?;
    let on_the_wire = order.u32(record, 12)?;
    let frame = record.get(RECORD_HEADER_LEN..)?.get(..captured as usize)?;
    (captured >= on_the_wire).then_some((seconds + fraction, frame))
}

/// The datagram in an Ethernet frame, if there is a whole one; its time is left open.
fn udp(frame: &[u8]) -> Option<Datagram<'_>> {
    let Packet { source, destination, payload: udp } = Packet::parse(frame, 17)?;
    let header: &[u8; 8] = udp.first_chunk()?;
    let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    Some(Datagram {
        at: Duration::ZERO,
        source: SocketAddrV4::new(source, field(0)),
        destination: SocketAddrV4::new(destination, field(2)),
        payload: udp.get(8..usize::from(field(4)))?,
    })
}

/// The segment in an Ethernet frame, if there is a whole one; its time is left open.
fn tcp(frame: &[u8]) -> Option<Segment<'_>> {
    let Packet { source, destination, payload: tcp } = Packet::parse(frame, 6)?;
    let header: &[u8; 20] = tcp.first_chunk()?;
    let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let header_len = usize::from(header[12] >> 4) * 4;
    Some(Segment {
        at: Duration::ZERO,
        source: SocketAddrV4::new(source, field(0)),
        destination: SocketAddrV4::new(destination, field(2)),
        syn: header[13] & 0x02 != 0,
        sequence: u32::from(field(4)) << 16 | u32::from(field(6)),
        payload: tcp.get(header_len..).filter(|_| header_len >= header.len())?,
    })
}

/// An IPv4 packet in one piece.
struct Packet<'a> {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The one of this protocol in an Ethernet frame, without the frame's padding.
    fn parse(frame: &'a [u8], protocol: u8) -> Option<Self> {
        let packet = frame.get(14..)?;
        if frame[12..14] != [0x08, 0x00] || packet.len() < 20 || packet[0] >> 4 != 4 || packet[9] != protocol
        {
            return None;
        }
        let field = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        let fragment = field(6) & 0x3fff;
        if fragment != 0 {
            return None;
        }
        let address = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
        let header_len = usize::from(packet[0] & 0x0f) * 4;
        // 0 where the network card cuts the packet later.
        let len = Some(usize::from(field(2))).filter(|&len| len > 0).unwrap_or(packet.len());
        Some(Self {
            source: address(12),
            destination: address(16),
            payload: packet.get(header_len..len).filter(|_| header_len >= 20)?,
        })
    }
}

#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        })
    }
}

/// The unit of the second half of a record's time.
#[derive(Clone, Copy)]
enum Fraction {
    Micros,
    Nanos,
}

const ETHERNET: u32 = 1;
const FILE_HEADER_LEN: usize = 24;
const RECORD_HEADER_LEN: usize = 16;

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A little-endian capture of one-way datagrams between the loopback address's ports: time, ports, payload.
    pub(crate) fn capture(datagrams: &[(Duration, u16, u16, Vec<u8>)]) -> Vec<u8> {
        let mut file =
            vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
        for (at, from, to, payload) in datagrams {
            let len = (42 + payload.len()) as u32;
            for field in [at.as_secs() as u32, at.subsec_micros(), len, len] {
                file.extend(field.to_le_bytes());
            }
            file.extend([0; 12]);
            file.extend([0x08, 0x00, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
            for field in [*from, *to, 8 + payload.len() as u16, 0] {
                file.extend(field.to_be_bytes());
            }
            file.extend(payload);
        }
        file
    }

    fn example() -> Vec<u8> {
        let at = Duration::from_micros(1_500_000);
        capture(&[(at, 47998, 5000, vec![1, 2, 3]), (at * 2, 48000, 5001, vec![])])
    }

    #[test]
    fn datagrams_come_with_time_and_addresses() {
        let file = example();
        let local = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let datagram = |ms, from, to, payload| Datagram {
            at: Duration::from_millis(ms),
            source: local(from),
            destination: local(to),
            payload,
        };
        let expected = vec![datagram(1500, 47998, 5000, &[1, 2, 3][..]), datagram(3000, 48000, 5001, &[])];
        assert_eq!(datagrams(&file), Ok(expected));
    }

    #[test]
    fn byte_order_and_unit_follow_the_magic_number() {
        let mut file = example();
        file[..4].copy_from_slice(&[0x4d, 0x3c, 0xb2, 0xa1]);
        assert_eq!(datagrams(&file).unwrap()[0].at, Duration::new(1, 500_000));
        for word in [0..4, 20..24, 24..28, 28..32, 32..36, 36..40] {
            file[word].reverse();
        }
        assert_eq!(datagrams(&file[..24 + 16 + 45]).unwrap()[0].at, Duration::new(1, 500_000));
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_refused() {
        let file = example();
        let second = 24 + 16 + 45;
        for len in 0..file.len() {
            let expected = match len {
                0..4 => Err(PcapError::NotPcap),
                4..24 => Err(PcapError::CutOff { offset: 0 }),
                24 => Ok(0),
                25..85 => Err(PcapError::CutOff { offset: 24 }),
                85 => Ok(1),
                _ => Err(PcapError::CutOff { offset: second }),
            };
            assert_eq!(datagrams(&file[..len]).map(|d| d.len()), expected, "{len} bytes");
        }
    }

    #[test]
    fn a_record_with_less_than_was_on_the_wire_is_refused() {
        let mut file = example();
        file[36] += 1;
        assert_eq!(datagrams(&file), Err(PcapError::CutOff { offset: 24 }));
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(datagrams(b"\x0a\x0d\x0d\x0a pcapng"), Err(PcapError::NotPcap));
        let mut file = example();
        file[20] = 113;
        assert_eq!(datagrams(&file), Err(PcapError::LinkType(113)));
    }

    #[test]
    fn what_is_no_whole_udp_datagram_is_skipped() {
        let check = |at: usize, value: u8| {
            let mut file = example();
            file[40 + at] = value;
            assert_eq!(datagrams(&file).map(|d| d.len()), Ok(1), "byte {at} is {value}");
        };
        check(13, 0x06); // ARP
        check(14, 0x65); // version 6
        check(14, 0x44); // a header that is shorter than one
        check(14, 0x4f); // options up to the end
        check(20, 0x20); // more fragments follow
        check(21, 0x01); // a later fragment
        check(23, 6); // TCP
        check(39, 7); // shorter than its own header
        check(39, 12); // longer than the frame
    }

    #[test]
    fn segments_come_with_time_addresses_and_number() {
        let mut file = example();
        // The first datagram's header, and 10 bytes more for the rest of TCP's.
        let at = Duration::from_micros(1_500_000);
        let tcp = [[0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0, 0x50, 0x02, 0, 0].to_vec(), vec![0; 4], vec![7, 8]]
            .concat();
        file.splice(24.., capture(&[(at, 48010, 5000, tcp[4..].to_vec())]).split_off(24));
        file[40 + 23] = 6;
        // Where UDP has length and checksum TCP has its number.
        file[40 + 38..40 + 42].copy_from_slice(&tcp[..4]);
        // The frame is padded behind the packet.
        let len = file.len();
        file[40 + 16..40 + 18].copy_from_slice(&((len - 54 - 1) as u16).to_be_bytes());
        let local = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let (source, destination) = (local(48010), local(5000));
        let expected = Segment { at, source, destination, syn: true, sequence: 0x1234_5678, payload: &[7] };
        assert_eq!(segments(&file), Ok(vec![expected]));
        assert_eq!(datagrams(&file), Ok(vec![]));
        file[40 + 46] = 0xf0;
        assert_eq!(segments(&file), Ok(vec![]), "a header that is longer than the packet");
        file[40 + 46] = 0x40;
        assert_eq!(segments(&file), Ok(vec![]), "a header that is shorter than one");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(change in prop::collection::vec((0usize..200, any::<u8>()), 0..20), len in 0usize..200) {
            let mut file = example();
            file.resize(len, 0);
            for (at, value) in change {
                if let Some(byte) = file.get_mut(at) {
                    *byte = value;
                }
            }
            crate::gamestream::fuzzing::pcap(&file);
            let segments = segments(&file).map(|segments| segments.len());
            prop_assert_eq!(segments.map(drop), datagrams(&file).map(drop));
        }
    }
}
