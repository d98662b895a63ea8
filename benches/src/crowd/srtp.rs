//! RTP headers and SRTP with AES-GCM (RFC 3550, RFC 7714) or AES-128 in counter mode (RFC 3711). Pure.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::{constant_time, hmac};

use super::keys::Opened;

/// AES-GCM's tag behind the payload.
pub(crate) const TAG: usize = 16;
/// That of HMAC-SHA1-80.
const SHORT_TAG: usize = 10;
/// An RTP header without CSRCs and extensions.
pub(crate) const HEADER: usize = 12;

/// What a receiver needs of an RTP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    /// In bytes, with CSRCs and extensions: what is authenticated and not encrypted.
    pub(crate) len: usize,
}

impl Header {
    /// `None` when the datagram is no RTP packet with a payload.
    pub(crate) fn parse(datagram: &[u8]) -> Option<Self> {
        let [first, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3, rest @ ..] = datagram else {
            return None;
        };
        // RTP, as opposed to RTCP, STUN and DTLS (RFC 7983, RFC 5761).
        if !(128..=191).contains(first) || (192..=223).contains(second) {
            return None;
        }
        let mut len = HEADER + 4 * usize::from(first & 0x0f);
        if first & 0x10 != 0 {
            let words = rest.get(len - HEADER..)?.get(2..4)?;
            len += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
        }
        (datagram.len() >= len + SHORT_TAG).then_some(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([*s0, *s1]),
            timestamp: u32::from_be_bytes([*t0, *t1, *t2, *t3]),
            ssrc: u32::from_be_bytes([*i0, *i1, *i2, *i3]),
            len,
        })
    }

    /// The bytes of a header without CSRCs and extensions.
    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = 0x80;
        bytes[1] = u8::from(self.marker) << 7 | self.payload_type;
        bytes[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        bytes
    }
}

/// One direction of an SRTP session.
pub(crate) struct Key {
    cipher: Cipher,
    /// Of GCM the first twelve bytes.
    salt: [u8; 14],
}

enum Cipher {
    Gcm(LessSafeKey),
    Cm(Box<(EncryptingKey, hmac::Key)>),
}

impl Key {
    /// `AEAD_AES_128_GCM`
    pub(crate) fn gcm128(key: [u8; 16], salt: [u8; 12]) -> Option<Self> {
        Self::gcm(&AES_128_GCM, &key, salt)
    }

    fn gcm(algorithm: &'static Algorithm, key: &[u8], salt: [u8; 12]) -> Option<Self> {
        let cipher = Cipher::Gcm(LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?));
        let mut padded = [0; 14];
        padded[..12].copy_from_slice(&salt);
        Some(Self { cipher, salt: padded })
    }

    /// `SRTP_AES128_CM_HMAC_SHA1_80`
    pub(crate) fn cm(key: [u8; 16], salt: [u8; 14], mac_key: [u8; 20]) -> Option<Self> {
        let key = EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, &key).ok()?).ok()?;
        let mac = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &mac_key);
        Some(Self { cipher: Cipher::Cm(Box::new((key, mac))), salt })
    }

    /// From what opened a packet whose sequence number has not wrapped yet.
    pub(super) fn learned(opened: Opened, header: &Header) -> Option<Self> {
        let index = header.sequence.into();
        match opened {
            Opened::Gcm128 { key, nonce } => Self::gcm128(key, gcm_nonce(nonce, header.ssrc, index)),
            Opened::Gcm256 { key, nonce } => {
                Self::gcm(&AES_256_GCM, &key, gcm_nonce(nonce, header.ssrc, index))
            }
            Opened::Cm { key, nonce, mac_key } => {
                let salt = cm_nonce(nonce, header.ssrc, index);
                Self::cm(key, *salt.first_chunk()?, mac_key)
            }
        }
    }

    pub(super) fn is_aes_128_gcm(&self) -> bool {
        matches!(&self.cipher, Cipher::Gcm(key) if key.algorithm() == &AES_128_GCM)
    }

    /// Opens the packet in place, and gives its payload; `None` when it is not authentic.
    pub(crate) fn open<'a>(&self, header: &Header, index: u64, packet: &'a mut [u8]) -> Option<&'a [u8]> {
        match &self.cipher {
            Cipher::Gcm(key) => {
                let (aad, sealed) = packet.split_at_mut_checked(header.len)?;
                let nonce = gcm_nonce(*self.salt.first_chunk()?, header.ssrc, index);
                let nonce = Nonce::assume_unique_for_key(nonce);
                key.open_in_place(nonce, Aad::from(&*aad), sealed).ok().map(|payload| &*payload)
            }
            Cipher::Cm(keys) => {
                let (key, mac) = &**keys;
                let (packet, tag) = packet.split_at_mut_checked(packet.len().checked_sub(SHORT_TAG)?)?;
                let mut expected = hmac::Context::with_key(mac);
                expected.update(packet);
                expected.update(&((index >> 16) as u32).to_be_bytes());
                let expected = expected.sign();
                constant_time::verify_slices_are_equal(expected.as_ref().get(..SHORT_TAG)?, tag).ok()?;
                let payload = packet.get_mut(header.len..)?;
                let mut salt = [0; 16];
                salt[..14].copy_from_slice(&self.salt);
                let nonce = EncryptionContext::Iv128(cm_nonce(salt, header.ssrc, index).into());
                // In counter mode encrypting is decrypting.
                key.less_safe_encrypt(payload, nonce).ok()?;
                Some(payload)
            }
        }
    }

    /// Encrypts a packet in place: header, payload, and room for the tag. False when it is too short for that, or when the
    /// key is none of GCM.
    pub(crate) fn seal(&self, ssrc: u32, index: u64, packet: &mut [u8]) -> bool {
        let Cipher::Gcm(key) = &self.cipher else { return false };
        let Some((header, rest)) = packet.split_at_mut_checked(HEADER) else { return false };
        let (Some(end), Some(salt)) = (rest.len().checked_sub(TAG), self.salt.first_chunk()) else {
            return false;
        };
        let (payload, room) = rest.split_at_mut(end);
        let nonce = Nonce::assume_unique_for_key(gcm_nonce(*salt, ssrc, index));
        match key.seal_in_place_separate_tag(nonce, Aad::from(&*header), payload) {
            Ok(tag) => {
                room.copy_from_slice(tag.as_ref());
                true
            }
            Err(_) => false,
        }
    }
}

/// Salt to nonce, and back (RFC 7714, 8.1): SSRC, roll-over counter and sequence number, of which the last two are `index`.
fn gcm_nonce(salt: [u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    let mut nonce = salt;
    let (ssrc, index) = (ssrc.to_be_bytes(), index.to_be_bytes());
    for (byte, with) in nonce[2..].iter_mut().zip(ssrc.iter().chain(&index[2..])) {
        *byte ^= with;
    }
    nonce
}

/// Salt to initialisation vector, and back (RFC 3711, 4.1.1).
fn cm_nonce(salt: [u8; 16], ssrc: u32, index: u64) -> [u8; 16] {
    let mut nonce = salt;
    let (ssrc, index) = (ssrc.to_be_bytes(), index.to_be_bytes());
    for (byte, with) in nonce[4..14].iter_mut().zip(ssrc.iter().chain(&index[2..])) {
        *byte ^= with;
    }
    nonce
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let mut bytes = [0; N];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap();
        }
        bytes
    }

    /// RFC 7714, 16.1.1.
    #[test]
    fn the_rfcs_packet_is_sealed_and_opened() {
        let key = hex("000102030405060708090a0b0c0d0e0f");
        let salt = hex("517569642070726f2071756f");
        let clear: [u8; 50] = hex(concat!(
            "8040f17b8041f8d35501a0b2",
            "47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573"
        ));
        let sealed: [u8; 66] = hex(concat!(
            "8040f17b8041f8d35501a0b2",
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833",
            "899d7f27beb16a9152cf765ee4390cce"
        ));
        let session = Key::gcm128(key, salt).unwrap();
        let mut packet = [0; 66];
        packet[..50].copy_from_slice(&clear);
        assert!(session.seal(0x5501_a0b2, 0xf17b, &mut packet));
        assert_eq!(packet, sealed);

        let header = Header::parse(&packet).unwrap();
        assert_eq!((header.sequence, header.ssrc, header.len), (0xf17b, 0x5501_a0b2, HEADER));
        let nonce = hex("51753c6580c2726f20718414");
        let learned = Key::learned(Opened::Gcm128 { key, nonce }, &header).unwrap();
        assert_eq!(learned.open(&header, 0xf17b, &mut packet), Some(&clear[HEADER..]));
        packet[20] ^= 1;
        assert_eq!(learned.open(&header, 0xf17b, &mut packet), None);
    }

    /// The key stream is that of RFC 3711, B.2; its tag is HMAC's own business (RFC 2202).
    #[test]
    fn counter_mode_opens_what_carries_its_tag() {
        let key = hex("2b7e151628aed2a6abf7158809cf4f3c");
        let salt = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd");
        let mac_key = [7; 20];
        let session = Key::cm(key, salt, mac_key).unwrap();
        let header =
            Header { marker: false, payload_type: 109, sequence: 0, timestamp: 0, ssrc: 0, len: HEADER };
        let stream: [u8; 16] = hex("e03ead0935c95e80e166b16dd92b4eb4");
        let clear = [&header.to_bytes()[..], &stream].concat();
        let mac = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &mac_key);
        let tag = hmac::sign(&mac, &[&clear[..], &[0; 4]].concat());
        let mut packet = [&clear, &tag.as_ref()[..SHORT_TAG]].concat();
        assert_eq!(Header::parse(&packet), Some(header));
        assert_eq!(session.open(&header, 1 << 16, &mut packet), None, "another roll-over counter");
        let nonce = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd0000");
        let learned = Key::learned(Opened::Cm { key, nonce, mac_key }, &header).unwrap();
        assert_eq!(learned.open(&header, 0, &mut packet.clone()), Some(&[0; 16][..]));
        packet[13] ^= 1;
        assert_eq!(learned.open(&header, 0, &mut packet), None);
    }

    #[test]
    fn what_is_no_rtp_is_told_apart() {
        assert_eq!(Header::parse(&[0x80; 21]), None, "no room for a tag");
        for other in [[0x81, 206], [0, 1], [22, 254]] {
            let mut datagram = [0; 64];
            datagram[..2].copy_from_slice(&other);
            assert_eq!(Header::parse(&datagram), None, "{other:?}");
        }
        let mut extended = [0; 64];
        extended[..2].copy_from_slice(&[0x91, 109]);
        extended[19] = 2;
        assert_eq!(Header::parse(&extended).unwrap().len, HEADER + 4 + 4 + 8);
    }

    proptest! {
        #[test]
        fn headers_come_back(marker: bool, payload_type in 0u8..64, sequence: u16, timestamp: u32, ssrc: u32) {
            let header = Header { marker, payload_type, sequence, timestamp, ssrc, len: HEADER };
            let mut packet = [0; HEADER + TAG];
            packet[..HEADER].copy_from_slice(&header.to_bytes());
            prop_assert_eq!(Header::parse(&packet), Some(header));
        }

        #[test]
        fn nothing_that_comes_is_read_behind_its_end(datagram in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(header) = Header::parse(&datagram) {
                prop_assert!(header.len + SHORT_TAG <= datagram.len());
            }
        }
    }
}
