//! RTP headers (RFC 3550, 5.1) with the playout-delay extension (RFC 8285, 4.2).

/// Where a packet stands in its RTP stream: the sequence number, and above its 16 bits how often it has wrapped, which is
/// SRTP's rollover counter (RFC 3550, A.1; RFC 3711, 3.3.1). Has 48 bits, and so never wraps itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ExtendedSequence(pub(crate) u64);

impl ExtendedSequence {
    /// A first one, out of 16 random bits: below 2^15, since Chromium cannot decrypt retransmissions above (docs/webrtc.md),
    /// and since a receiver that misses the first packets must not mistake the first wrap (RFC 3711, 3.3.1).
    pub(crate) fn initial(random: u16) -> Self {
        Self(u64::from(random & 0x7fff))
    }

    /// The 16 bits that a packet carries.
    pub(crate) fn number(self) -> u16 {
        self.0 as u16
    }

    /// The rollover counter.
    pub(crate) fn roc(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// The one that is `count` packets further on.
    #[must_use]
    pub(crate) fn plus(self, count: u64) -> Self {
        Self(self.0.wrapping_add(count))
    }

    /// Gives out the next `count` and returns the first of them.
    pub(crate) fn advance(&mut self, count: u64) -> Self {
        let first = *self;
        *self = self.plus(count);
        first
    }
}

/// A packet's header.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |V=2|0|X| CC=0  |M|     PT      |        sequence number        |
/// |                           timestamp                           |
/// |                             SSRC                              |
/// |            0xbede             |          length = 1           |  with playout delay
/// |  id   | L = 2 |    minimum = 0        |      maximum = 0      |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The frame's last packet.
    pub(crate) marker: bool,
    /// Below 128; the highest bit is not written.
    pub(crate) payload_type: u8,
    pub(crate) sequence: ExtendedSequence,
    /// In the stream's clock, with the stream's random offset.
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    /// The id, 1 to 14, under which to say playout delay 0 to 0: show each frame as soon as it is decoded. Another id is
    /// none.
    pub(crate) playout_delay: Option<u8>,
}

impl Header {
    /// How many bytes it takes: 12 or 20.
    pub(crate) fn len(&self) -> usize {
        if self.playout_delay_id().is_some() { FIXED + EXTENSION } else { FIXED }
    }

    /// Writes it behind what is in `out`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let playout_delay = self.playout_delay_id();
        let extension = if playout_delay.is_some() { HAS_EXTENSION } else { 0 };
        let marker = if self.marker { MARKER } else { 0 };
        let mut fixed = [0; FIXED];
        fixed[..2].copy_from_slice(&[VERSION | extension, marker | self.payload_type & !MARKER]);
        fixed[2..4].copy_from_slice(&self.sequence.number().to_be_bytes());
        fixed[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        fixed[8..].copy_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&fixed);
        if let Some(id) = playout_delay {
            out.extend(ONE_BYTE_EXTENSIONS.to_be_bytes());
            out.extend(1u16.to_be_bytes());
            // The length counts from 1.
            out.extend([id << 4 | 2, 0, 0, 0]);
        }
    }

    fn playout_delay_id(&self) -> Option<u8> {
        self.playout_delay.filter(|id| (1..=14).contains(id))
    }
}

const FIXED: usize = 12;
/// The extensions' own header, and the one extension, which fills 32 bits.
const EXTENSION: usize = 8;
const VERSION: u8 = 2 << 6;
const HAS_EXTENSION: u8 = 0x10;
const MARKER: u8 = 0x80;
const ONE_BYTE_EXTENSIONS: u16 = 0xbede;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtc::rtp::header::Header as Theirs;
    use rtc::shared::marshal::Unmarshal;

    use super::*;

    fn written(header: &Header) -> Vec<u8> {
        let mut out = vec![9];
        header.write(&mut out);
        assert_eq!(out.remove(0), 9);
        out
    }

    const HEADER: Header = Header {
        marker: true,
        payload_type: 102,
        sequence: ExtendedSequence(0x3_0102),
        timestamp: 0x0304_0506,
        ssrc: 0x0708_090a,
        playout_delay: None,
    };

    #[test]
    fn a_header_is_written_as_in_the_rfcs() {
        let fixed = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        assert_eq!(written(&HEADER), [&[0x80, 0xe6][..], &fixed].concat());
        assert_eq!(written(&Header { marker: false, ..HEADER }), [&[0x80, 0x66][..], &fixed].concat());
        let extended = [&[0x90, 0xe6][..], &fixed, &[0xbe, 0xde, 0, 1, 0x52, 0, 0, 0]].concat();
        assert_eq!(written(&Header { playout_delay: Some(5), ..HEADER }), extended);
        // No id of the one-byte form: nothing can be said under it.
        for id in [0, 15, 16, 255] {
            assert_eq!(written(&Header { playout_delay: Some(id), ..HEADER }), written(&HEADER));
        }
    }

    #[test]
    fn the_rollover_counter_rises_with_the_wrap() {
        let mut next = ExtendedSequence::initial(0xffff);
        assert_eq!((next.number(), next.roc()), (0x7fff, 0));
        assert_eq!(next.advance(0x8000), ExtendedSequence(0x7fff));
        assert_eq!((next.number(), next.roc()), (0xffff, 0));
        assert_eq!(next.advance(1).roc(), 0);
        assert_eq!((next.number(), next.roc()), (0, 1));
        assert_eq!(next.plus(0x1_ffff).roc(), 2);
    }

    proptest! {
        /// Another implementation reads the same fields.
        #[test]
        fn the_crate_reads_what_was_written(
            marker in any::<bool>(),
            (payload_type, playout_delay) in (0u8..128, prop::option::of(1u8..15)),
            (sequence, timestamp, ssrc) in any::<(u64, u32, u32)>(),
        ) {
            let sequence = ExtendedSequence(sequence);
            let header = Header { marker, payload_type, sequence, timestamp, ssrc, playout_delay };
            let bytes = written(&header);
            prop_assert_eq!(bytes.len(), header.len());
            let read = Theirs::unmarshal(&mut &bytes[..]).unwrap();
            prop_assert_eq!((read.marker, read.payload_type), (marker, payload_type));
            prop_assert_eq!(read.sequence_number, sequence.number());
            prop_assert_eq!((read.timestamp, read.ssrc), (timestamp, ssrc));
            let extensions: Vec<_> = read.extensions.iter().map(|it| (it.id, it.payload.to_vec())).collect();
            prop_assert_eq!(extensions, playout_delay.map(|id| (id, vec![0; 3])).into_iter().collect::<Vec<_>>());
        }
    }
}
