//! AEAD_AES_128_GCM (RFC 7714).

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::{Labels, MasterKey, derive, encrypted_index, wipe};
use crate::webrtc::direct::rtp::ExtendedSequence;

/// Bytes of an authentication tag.
pub(super) const TAG: usize = 16;

/// The key and the salt of one direction of RTP or RTCP.
pub(super) struct AesGcm {
    key: LessSafeKey,
    salt: [u8; NONCE_LEN],
}

impl AesGcm {
    pub(super) fn derive(master: &MasterKey, labels: Labels) -> Self {
        let (mut key, mut salt) = ([0; 16], [0; NONCE_LEN]);
        derive(master, labels.encryption, &mut key);
        derive(master, labels.salt, &mut salt);
        let session = Self::new(&key, salt);
        wipe(&mut key);
        wipe(&mut salt);
        session
    }

    pub(super) fn new(key: &[u8; 16], salt: [u8; NONCE_LEN]) -> Self {
        let key = UnboundKey::new(&AES_128_GCM, key).expect("the key has the cipher's length");
        Self { key: LessSafeKey::new(key), salt }
    }

    /// As [`RtpSealer::seal`](super::RtpSealer::seal) (RFC 7714, 8).
    pub(super) fn seal(&self, packet: &mut [u8], header_len: usize, ssrc: u32, sequence: ExtendedSequence) {
        let (header, rest) = packet.split_at_mut(header_len);
        let (payload, room) = rest.split_at_mut(rest.len() - TAG);
        let nonce = self.nonce(ssrc, sequence.0);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(&*header), payload);
        let tag = tag.expect("a packet is shorter than the 2^36 bytes that a nonce is good for");
        room.copy_from_slice(tag.as_ref());
    }

    /// RFC 7714, 9:
    ///
    /// ```text
    /// | RTCP header and SSRC, 8 bytes | ciphertext | tag, 16 bytes | E, index of 31 bits |
    /// ```
    pub(super) fn open_rtcp(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        let (header, rest) = datagram.split_first_chunk::<8>()?;
        let (rest, word) = rest.split_last_chunk::<4>()?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG>()?;
        let [_, _, _, _, ssrc @ ..] = *header;
        let index = encrypted_index(*word)?;
        let mut aad = [0; 12];
        aad[..8].copy_from_slice(header);
        aad[8..].copy_from_slice(word);
        let nonce = self.nonce(u32::from_be_bytes(ssrc), index.into());
        let mut plaintext = vec![0; ciphertext.len()];
        let opened = self.key.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, &mut plaintext);
        opened.is_ok().then_some(plaintext)
    }

    /// `00 00`, SSRC, and 48 bits of index, under the salt (RFC 7714, 8.1 and 9.1).
    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
        nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
        for (byte, salt) in nonce.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

impl Drop for AesGcm {
    fn drop(&mut self) {
        wipe(&mut self.salt);
    }
}
