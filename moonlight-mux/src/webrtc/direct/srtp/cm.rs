//! AES_CM_128_HMAC_SHA1_80 (RFC 3711).

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{Context, HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, Tag};
use aws_lc_rs::iv::FixedLength;

use super::{ENCRYPTED, Labels, MasterKey, OpenedRtcp, derive, encrypted_index, wipe};
use crate::webrtc::direct::rtp::ExtendedSequence;

/// Bytes of an authentication tag: the first of HMAC-SHA1's 20.
pub(super) const TAG: usize = 10;

/// The keys and the salt of one direction of RTP or RTCP.
pub(super) struct AesCm {
    cipher: EncryptingKey,
    authentication: Key,
    salt: [u8; SALT],
}

impl AesCm {
    pub(super) fn derive(master: &MasterKey, labels: Labels) -> Self {
        let (mut key, mut authentication, mut salt) = ([0; 16], [0; 20], [0; SALT]);
        derive(master, labels.encryption, &mut key);
        derive(master, labels.authentication, &mut authentication);
        derive(master, labels.salt, &mut salt);
        let session = Self::new(&key, &authentication, salt);
        wipe(&mut key);
        wipe(&mut authentication);
        wipe(&mut salt);
        session
    }

    pub(super) fn new(key: &[u8; 16], authentication: &[u8; 20], salt: [u8; SALT]) -> Self {
        let cipher = UnboundCipherKey::new(&AES_128, key).and_then(EncryptingKey::ctr);
        Self {
            cipher: cipher.expect("the key has the cipher's length"),
            authentication: Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, authentication),
            salt,
        }
    }

    /// As [`RtpSealer::seal`](super::RtpSealer::seal) (RFC 3711, 3.3 and 4.2): what is authenticated is the packet, and behind
    /// it the rollover counter, which is not sent.
    pub(super) fn seal(&self, packet: &mut [u8], header_len: usize, ssrc: u32, sequence: ExtendedSequence) {
        let (sealed, room) = packet.split_at_mut(packet.len() - TAG);
        self.encrypt(&mut sealed[header_len..], ssrc, sequence.0);
        let tag = self.tag(&[sealed, &sequence.roc().to_be_bytes()]);
        room.copy_from_slice(&tag.as_ref()[..TAG]);
    }

    /// As [`RtcpSealer::seal`](super::RtcpSealer::seal) (RFC 3711, 3.4):
    ///
    /// ```text
    /// | RTCP header and SSRC, 8 bytes | ciphertext | E, index of 31 bits | tag, 10 bytes |
    /// ```
    pub(super) fn seal_rtcp(&self, packet: &mut Vec<u8>, index: u32) {
        let (header, plaintext) = packet.split_first_chunk_mut::<8>().expect("it has a header");
        self.encrypt_rtcp(plaintext, header, index);
        packet.extend_from_slice(&(ENCRYPTED | index).to_be_bytes());
        let tag = self.tag(&[packet]);
        packet.extend_from_slice(&tag.as_ref()[..TAG]);
    }

    /// As [`RtcpOpener::open`](super::RtcpOpener::open).
    pub(super) fn open_rtcp(&self, datagram: &[u8]) -> Option<OpenedRtcp> {
        let (authenticated, tag) = datagram.split_last_chunk::<TAG>()?;
        let (packet, word) = authenticated.split_last_chunk::<4>()?;
        let index = encrypted_index(*word)?;
        packet.first_chunk::<8>()?;
        let expected = self.tag(&[authenticated]);
        verify_slices_are_equal(&expected.as_ref()[..TAG], tag).ok()?;
        let mut packet = packet.to_vec();
        let (header, ciphertext) = packet.split_first_chunk_mut::<8>()?;
        // Counter mode is the same in both directions.
        self.encrypt_rtcp(ciphertext, header, index);
        Some(OpenedRtcp { index, packet })
    }

    fn encrypt_rtcp(&self, bytes: &mut [u8], [_, _, _, _, ssrc @ ..]: &[u8; 8], index: u32) {
        self.encrypt(bytes, u32::from_be_bytes(*ssrc), index.into());
    }

    /// RFC 3711, 4.1.1.
    ///
    /// # Panics
    /// For more than 2^16 blocks, which one packet's keystream is good for.
    pub(super) fn encrypt(&self, bytes: &mut [u8], ssrc: u32, index: u64) {
        assert!(bytes.len() <= MAX_BYTES, "no packet is as long");
        let iv = EncryptionContext::Iv128(FixedLength::from(self.iv(ssrc, index)));
        self.cipher.less_safe_encrypt(bytes, iv).expect("the counter has the cipher's length");
    }

    /// SSRC, 48 bits of index, and 16 bits that count blocks, under the salt.
    fn iv(&self, ssrc: u32, index: u64) -> [u8; 16] {
        let mut iv = [0; 16];
        iv[4..8].copy_from_slice(&ssrc.to_be_bytes());
        iv[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
        for (byte, salt) in iv.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        iv
    }

    fn tag(&self, parts: &[&[u8]]) -> Tag {
        let mut context = Context::with_key(&self.authentication);
        for part in parts {
            context.update(part);
        }
        context.sign()
    }
}

impl Drop for AesCm {
    /// Cipher and HMAC wipe their keys themselves.
    fn drop(&mut self) {
        wipe(&mut self.salt);
    }
}

const SALT: usize = 14;
const MAX_BYTES: usize = 16 << 16;
