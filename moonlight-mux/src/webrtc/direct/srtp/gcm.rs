//! AEAD_AES_128_GCM (RFC 7714).

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::{ENCRYPTED, Labels, MasterKey, OpenedRtcp, derive, encrypted_index, wipe};
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

    /// As [`RtcpSealer::seal`](super::RtcpSealer::seal) (RFC 7714, 9):
    ///
    /// ```text
    /// | RTCP header and SSRC, 8 bytes | ciphertext | tag, 16 bytes | E, index of 31 bits |
    /// ```
    pub(super) fn seal_rtcp(&self, packet: &mut Vec<u8>, index: u32) {
        let (header, plaintext) = packet.split_first_chunk_mut::<8>().expect("it has a header");
        let word = (ENCRYPTED | index).to_be_bytes();
        let (aad, nonce) = (rtcp_aad(header, word), self.rtcp_nonce(header, index));
        let tag = self.key.seal_in_place_separate_tag(nonce, aad, plaintext);
        packet.extend_from_slice(tag.expect("a packet is as short as one of RTP").as_ref());
        packet.extend_from_slice(&word);
    }

    /// As [`RtcpOpener::open`](super::RtcpOpener::open).
    pub(super) fn open_rtcp(&self, datagram: &[u8]) -> Option<OpenedRtcp> {
        let (header, rest) = datagram.split_first_chunk::<8>()?;
        let (rest, word) = rest.split_last_chunk::<4>()?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG>()?;
        let index = encrypted_index(*word)?;
        let (aad, nonce) = (rtcp_aad(header, *word), self.rtcp_nonce(header, index));
        let mut packet = vec![0; header.len() + ciphertext.len()];
        let (clear, plaintext) = packet.split_at_mut(header.len());
        clear.copy_from_slice(header);
        self.key.open_separate_gather(nonce, aad, ciphertext, tag, plaintext).ok()?;
        Some(OpenedRtcp { index, packet })
    }

    fn rtcp_nonce(&self, [_, _, _, _, ssrc @ ..]: &[u8; 8], index: u32) -> Nonce {
        self.nonce(u32::from_be_bytes(*ssrc), index.into())
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

/// What is authenticated and not encrypted of an SRTCP packet (RFC 7714, 17).
fn rtcp_aad(header: &[u8; 8], word: [u8; 4]) -> Aad<[u8; 12]> {
    let mut aad = [0; 12];
    aad[..8].copy_from_slice(header);
    aad[8..].copy_from_slice(&word);
    Aad::from(aad)
}

impl Drop for AesGcm {
    fn drop(&mut self) {
        wipe(&mut self.salt);
    }
}
