//! SRTP under the two profiles that browsers agree on, as far as a sender of media needs it: AEAD_AES_128_GCM (RFC 7714) and
//! AES_CM_128_HMAC_SHA1_80 (RFC 3711).

mod cm;
mod gcm;

use std::fmt;
use std::hint::black_box;

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

use self::cm::AesCm;
use self::gcm::AesGcm;
use super::rtp::{ExtendedSequence, Header};

/// How packets are encrypted and authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// AEAD_AES_128_GCM, the faster one.
    AeadAes128Gcm,
    /// AES_CM_128_HMAC_SHA1_80, which every browser has (RFC 8827, 6.5).
    Aes128CmHmacSha1_80,
}

impl Profile {
    /// Both, the faster one first.
    pub(crate) const ALL: [Self; 2] = [Self::AeadAes128Gcm, Self::Aes128CmHmacSha1_80];

    /// Bytes behind each RTP packet's payload: the authentication tag.
    pub(crate) const fn tag_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm => gcm::TAG,
            Self::Aes128CmHmacSha1_80 => cm::TAG,
        }
    }
}

/// What DTLS agrees on for one direction (RFC 5764, 4.2). Never printed; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct MasterKey {
    pub(crate) key: [u8; 16],
    /// That of AEAD_AES_128_GCM has 96 bits, and is filled up with zeros from behind (RFC 7714, 11).
    pub(crate) salt: [u8; 14],
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
    pub(crate) fn new(profile: Profile, master: &MasterKey) -> Self {
        Self(SessionKey::derive(profile, master, RTP))
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
        const ROOM: [u8; gcm::TAG] = [0; gcm::TAG];
        let start = out.len();
        header.write(out);
        out.extend_from_slice(prefix);
        out.extend_from_slice(payload);
        out.extend_from_slice(&ROOM[..self.0.profile().tag_len()]);
        self.seal(&mut out[start..], header.len(), header.ssrc, header.sequence);
    }

    /// Seals a packet in place: the header, the payload, and [`tag_len`](Profile::tag_len) bytes of room for the tag.
    ///
    /// # Panics
    /// When the packet is shorter than header and tag, or has a payload of more than 1 MiB.
    fn seal(&self, packet: &mut [u8], header_len: usize, ssrc: u32, sequence: ExtendedSequence) {
        match &self.0 {
            SessionKey::Gcm(key) => key.seal(packet, header_len, ssrc, sequence),
            SessionKey::Cm(key) => key.seal(packet, header_len, ssrc, sequence),
        }
    }
}

impl fmt::Debug for RtpSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RtpSealer(…)")
    }
}

/// Seals RTCP packets under one master key.
///
/// A nonce is made of SSRC and index, so each index is for one packet.
pub(crate) struct RtcpSealer(SessionKey);

impl RtcpSealer {
    pub(crate) fn new(profile: Profile, master: &MasterKey) -> Self {
        Self(SessionKey::derive(profile, master, RTCP))
    }

    /// Makes an SRTCP packet of an RTCP packet, which may be compound. `index` has 31 bits: a higher bit is left out.
    ///
    /// # Panics
    /// When the packet is shorter than a header of 8 bytes.
    pub(crate) fn seal(&self, packet: &mut Vec<u8>, index: u32) {
        match &self.0 {
            SessionKey::Gcm(key) => key.seal_rtcp(packet, index & !ENCRYPTED),
            SessionKey::Cm(key) => key.seal_rtcp(packet, index & !ENCRYPTED),
        }
    }
}

impl fmt::Debug for RtcpSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RtcpSealer(…)")
    }
}

/// Opens SRTCP packets that were encrypted under one master key.
pub(crate) struct RtcpOpener(SessionKey);

/// An SRTCP packet in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenedRtcp {
    /// 31 bits.
    pub(crate) index: u32,
    /// At least 8 bytes.
    pub(crate) packet: Vec<u8>,
}

impl RtcpOpener {
    pub(crate) fn new(profile: Profile, master: &MasterKey) -> Self {
        Self(SessionKey::derive(profile, master, RTCP))
    }

    /// The packet of a datagram that this key encrypted. One that was authenticated alone (E is 0) is none. Reads any bytes;
    /// whether the packet came before is not looked at.
    pub(crate) fn open(&self, datagram: &[u8]) -> Option<OpenedRtcp> {
        match &self.0 {
            SessionKey::Gcm(key) => key.open_rtcp(datagram),
            SessionKey::Cm(key) => key.open_rtcp(datagram),
        }
    }
}

impl fmt::Debug for RtcpOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RtcpOpener(…)")
    }
}

/// What is derived from a master key for one direction of RTP or RTCP. Wiped when dropped.
enum SessionKey {
    Gcm(AesGcm),
    /// Boxed: 1.7 kB, beside a pointer.
    Cm(Box<AesCm>),
}

impl SessionKey {
    fn derive(profile: Profile, master: &MasterKey, labels: Labels) -> Self {
        match profile {
            Profile::AeadAes128Gcm => Self::Gcm(AesGcm::derive(master, labels)),
            Profile::Aes128CmHmacSha1_80 => Self::Cm(Box::new(AesCm::derive(master, labels))),
        }
    }

    fn profile(&self) -> Profile {
        match self {
            Self::Gcm(_) => Profile::AeadAes128Gcm,
            Self::Cm(_) => Profile::Aes128CmHmacSha1_80,
        }
    }
}

/// By which session keys are told apart (RFC 3711, 4.3.1 and 4.3.2).
#[derive(Clone, Copy)]
struct Labels {
    encryption: u8,
    authentication: u8,
    salt: u8,
}

const RTP: Labels = Labels { encryption: 0, authentication: 1, salt: 2 };
const RTCP: Labels = Labels { encryption: 3, authentication: 4, salt: 5 };

/// Derives a session key with AES-CM and a key derivation rate of 0 (RFC 3711, 4.3): the keystream under the master key from
/// the salt, with the label in its eighth byte.
fn derive(master: &MasterKey, label: u8, out: &mut [u8]) {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(&master.salt);
    iv[7] ^= label;
    out.fill(0);
    UnboundCipherKey::new(&AES_128, &master.key)
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

/// The last word of what is authenticated of an SRTCP packet: E, and 31 bits of index (RFC 3711, 3.4). `None` where E is 0:
/// nothing is encrypted.
fn encrypted_index(word: [u8; 4]) -> Option<u32> {
    let word = u32::from_be_bytes(word);
    (word & ENCRYPTED != 0).then_some(word & !ENCRYPTED)
}

const ENCRYPTED: u32 = 1 << 31;

#[cfg(test)]
mod tests;
