//! SRTP with AEAD_AES_128_GCM (RFC 7714), as far as a sender needs it.

use std::fmt;
use std::hint::black_box;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

use super::rtp::{ExtendedSequence, Header};

/// Bytes behind each packet's payload: the authentication tag.
pub(crate) const TAG: usize = 16;

/// What DTLS agrees on for one direction (RFC 5764, 4.2). Never printed; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct MasterKey {
    pub(crate) key: [u8; 16],
    pub(crate) salt: [u8; 12],
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        wipe(&mut self.key);
        wipe(&mut self.salt);
    }
}

/// Seals RTP packets under one master key, for any number of SSRCs.
///
/// A nonce is made of SSRC and [`ExtendedSequence`], so no two packets that differ may have both in common: whoever else has
/// this key must leave these SSRCs alone, and a packet that is sent again as it was must be the same in every byte.
pub(crate) struct RtpSealer(SessionKey);

impl RtpSealer {
    pub(crate) fn new(master: &MasterKey) -> Self {
        Self(SessionKey::derive(master, LABEL_RTP_KEY, LABEL_RTP_SALT))
    }

    /// Writes a sealed packet behind what is in `out`: header, payload, tag. Allocates nothing where `out` has room.
    pub(crate) fn write(&self, out: &mut Vec<u8>, header: &Header, payload: &[u8]) {
        self.write_parts(out, header, &[], payload);
    }

    /// Writes the retransmission of the packet that was sent under `original`: the same payload behind that sequence number
    /// (RFC 4588, 4). `header` is of the retransmission stream, with the original's timestamp and marker.
    pub(crate) fn write_again(
        &self,
        out: &mut Vec<u8>,
        header: &Header,
        original: ExtendedSequence,
        payload: &[u8],
    ) {
        self.write_parts(out, header, &original.number().to_be_bytes(), payload);
    }

    fn write_parts(&self, out: &mut Vec<u8>, header: &Header, prefix: &[u8], payload: &[u8]) {
        let start = out.len();
        header.write(out);
        out.extend_from_slice(prefix);
        out.extend_from_slice(payload);
        out.extend_from_slice(&[0; TAG]);
        self.seal(&mut out[start..], header.len(), header.ssrc, header.sequence);
    }

    /// Seals a packet in place: the header, the payload, and [`TAG`] bytes of room for the tag (RFC 7714, 8.1).
    ///
    /// # Panics
    /// When the packet is shorter than header and tag.
    fn seal(&self, packet: &mut [u8], header_len: usize, ssrc: u32, sequence: ExtendedSequence) {
        let (header, rest) = packet.split_at_mut(header_len);
        let (payload, room) = rest.split_at_mut(rest.len() - TAG);
        let nonce = self.0.nonce(ssrc, sequence.0);
        let tag = self.0.key.seal_in_place_separate_tag(nonce, Aad::from(&*header), payload);
        let tag = tag.expect("a packet is shorter than the 2^36 bytes that a nonce is good for");
        room.copy_from_slice(tag.as_ref());
    }
}

impl fmt::Debug for RtpSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RtpSealer(…)")
    }
}

/// Tells whether SRTCP packets were encrypted under a master key.
pub(crate) struct RtcpOpener(SessionKey);

impl RtcpOpener {
    pub(crate) fn new(master: &MasterKey) -> Self {
        Self(SessionKey::derive(master, LABEL_RTCP_KEY, LABEL_RTCP_SALT))
    }

    /// Whether the datagram is an SRTCP packet that this key encrypted (RFC 7714, 9). One that was authenticated alone (E is
    /// 0) is none. Reads any bytes; allocates.
    pub(crate) fn opens(&self, datagram: &[u8]) -> bool {
        self.open(datagram).is_some()
    }

    /// ```text
    /// | RTCP header and SSRC, 8 bytes | ciphertext | tag, 16 bytes | E, index of 31 bits |
    /// ```
    fn open(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        let (header, rest) = datagram.split_first_chunk::<8>()?;
        let (rest, word) = rest.split_last_chunk::<4>()?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG>()?;
        let [_, _, _, _, ssrc @ ..] = *header;
        let (encrypted, index) = (word[0] & ENCRYPTED != 0, u32::from_be_bytes(*word) & INDEX);
        if !encrypted {
            return None;
        }
        let mut aad = [0; 12];
        aad[..8].copy_from_slice(header);
        aad[8..].copy_from_slice(word);
        let nonce = self.0.nonce(u32::from_be_bytes(ssrc), index.into());
        let mut plaintext = vec![0; ciphertext.len()];
        let opened = self.0.key.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, &mut plaintext);
        opened.is_ok().then_some(plaintext)
    }
}

impl fmt::Debug for RtcpOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RtcpOpener(…)")
    }
}

/// The key and the salt of one direction of RTP or RTCP.
struct SessionKey {
    key: LessSafeKey,
    salt: [u8; NONCE_LEN],
}

impl SessionKey {
    fn derive(master: &MasterKey, key_label: u8, salt_label: u8) -> Self {
        let (mut key, mut salt) = ([0; 16], [0; NONCE_LEN]);
        // RFC 7714, 11: the salt of 96 bits is filled up with zeros from behind.
        let mut master_salt = [0; 14];
        master_salt[..12].copy_from_slice(&master.salt);
        derive(&master.key, &master_salt, key_label, &mut key);
        derive(&master.key, &master_salt, salt_label, &mut salt);
        wipe(&mut master_salt);
        let session = Self::new(&key, salt);
        wipe(&mut key);
        session
    }

    fn new(key: &[u8; 16], salt: [u8; NONCE_LEN]) -> Self {
        let key = UnboundKey::new(&AES_128_GCM, key).expect("the key has the cipher's length");
        Self { key: LessSafeKey::new(key), salt }
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

impl Drop for SessionKey {
    fn drop(&mut self) {
        wipe(&mut self.salt);
    }
}

/// Derives a session key with AES-CM and a key derivation rate of 0 (RFC 3711, 4.3): the keystream under the master key from
/// the salt, with the label in its eighth byte.
fn derive(key: &[u8; 16], salt: &[u8; 14], label: u8, out: &mut [u8]) {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(salt);
    iv[7] ^= label;
    out.fill(0);
    UnboundCipherKey::new(&AES_128, key)
        .and_then(EncryptingKey::ctr)
        .and_then(|cipher| cipher.less_safe_encrypt(out, EncryptionContext::Iv128(FixedLength::from(iv))))
        .expect("the key has the cipher's length");
    wipe(&mut iv);
}

fn wipe(secret: &mut [u8]) {
    secret.fill(0);
    // Nobody reads it any more; this keeps the compiler from leaving the wipe out.
    black_box(secret);
}

/// RFC 3711, 4.3.1 and 4.3.2.
const LABEL_RTP_KEY: u8 = 0;
const LABEL_RTP_SALT: u8 = 2;
const LABEL_RTCP_KEY: u8 = 3;
const LABEL_RTCP_SALT: u8 = 5;

const ENCRYPTED: u8 = 0x80;
const INDEX: u32 = 0x7fff_ffff;

#[cfg(test)]
mod tests;
