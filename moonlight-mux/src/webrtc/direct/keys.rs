//! The SRTP keys of a connection, which the WebRTC crate keeps to itself.
//!
//! A connection gets a crypto provider of its own, which does what the real one does and notes by which master keys session
//! keys are derived: the first block that rtc-srtp 0.21.1 encrypts under a master key is its salt (RFC 3711, 4.3.3: label 0,
//! counter 0), under either profile. Which of them is ours, and for which profile, is not taken from the order of calls:
//! [`KeyTap::take`] looks which one opens a datagram that the crate itself has sent, and there is none if a later
//! version derives keys in another way.

use std::sync::{Arc, Mutex, MutexGuard};

use rtc::crypto::{
    ActiveKeyExchange, AeadAlgorithm, AeadCipher, BlockCipherAlgorithm, CbcAlgorithm, CbcCipher,
    CryptoAlgorithm, CryptoError, HashAlgorithm, HmacAlgorithm, KeyExchangeAlgorithm, Mac, PublicKey,
    RTCCrypto, RTCCryptoProvider, RTCRandom, SignatureScheme, SigningKey, StreamCipher,
    StreamCipherAlgorithm,
};

use super::srtp::{MasterKey, Profile, RtcpOpener};

/// The keys that a connection has derived from: its own and the viewer's. There are no more without a second handshake.
const MOST: usize = 2;

/// How a connection's packets are encrypted.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::webrtc) struct ConnectionKeys {
    pub(in crate::webrtc) profile: Profile,
    pub(in crate::webrtc) ours: MasterKey,
    pub(in crate::webrtc) viewers: MasterKey,
}

/// The crypto provider of one connection.
pub(in crate::webrtc) struct KeyTap {
    provider: Arc<dyn RTCCryptoProvider>,
    seen: Mutex<Vec<MasterKey>>,
}

impl KeyTap {
    pub(in crate::webrtc) fn new(provider: Arc<dyn RTCCryptoProvider>) -> Self {
        Self { provider, seen: Mutex::default() }
    }

    /// The keys of both directions, of which ours is the one by which `rtcp`, which the crate has sent, was encrypted; they are
    /// forgotten here. `None` when it is none of those that were seen, or when there is no other.
    pub(in crate::webrtc) fn take(&self, rtcp: &[u8]) -> Option<ConnectionKeys> {
        let mut seen = std::mem::take(&mut *self.seen());
        let (at, profile) = seen.iter().enumerate().find_map(|(at, key)| {
            let opens = |&profile: &Profile| RtcpOpener::new(profile, key).open(rtcp).is_some();
            Some((at, Profile::ALL.into_iter().find(opens)?))
        })?;
        let ours = seen.swap_remove(at);
        Some(ConnectionKeys { profile, ours, viewers: seen.pop()? })
    }

    fn note(&self, key: &[u8], block: &[u8]) {
        let (Ok(key), Some((salt, [0, 0]))) = (<[u8; 16]>::try_from(key), block.split_first_chunk()) else {
            return;
        };
        let mut seen = self.seen();
        if seen.len() < MOST && !seen.iter().any(|known| known.key == key) {
            seen.push(MasterKey { key, salt: *salt });
        }
    }

    fn seen(&self) -> MutexGuard<'_, Vec<MasterKey>> {
        self.seen.lock().expect("no holder of this lock panics")
    }
}

impl RTCCryptoProvider for KeyTap {
    fn name(&self) -> &'static str {
        self.provider.name()
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        self
    }

    fn random(&self) -> &dyn RTCRandom {
        self.provider.random()
    }
}

impl RTCCrypto for KeyTap {
    fn supports(&self, algorithm: CryptoAlgorithm) -> bool {
        self.provider.crypto().supports(algorithm)
    }

    fn hash(&self, algorithm: HashAlgorithm, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.provider.crypto().hash(algorithm, data)
    }

    fn block_encrypt(
        &self,
        algorithm: BlockCipherAlgorithm,
        key: &[u8],
        block: &mut [u8],
    ) -> Result<(), CryptoError> {
        if algorithm == BlockCipherAlgorithm::Aes128 {
            self.note(key, block);
        }
        self.provider.crypto().block_encrypt(algorithm, key, block)
    }

    fn new_hmac(&self, algorithm: HmacAlgorithm, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        self.provider.crypto().new_hmac(algorithm, key)
    }

    fn new_stream_cipher(
        &self,
        algorithm: StreamCipherAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn StreamCipher>, CryptoError> {
        self.provider.crypto().new_stream_cipher(algorithm, key)
    }

    fn new_aead(&self, algorithm: AeadAlgorithm, key: &[u8]) -> Result<Box<dyn AeadCipher>, CryptoError> {
        self.provider.crypto().new_aead(algorithm, key)
    }

    fn new_cbc(&self, algorithm: CbcAlgorithm, key: &[u8]) -> Result<Box<dyn CbcCipher>, CryptoError> {
        self.provider.crypto().new_cbc(algorithm, key)
    }

    fn start_key_exchange(
        &self,
        algorithm: KeyExchangeAlgorithm,
    ) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        self.provider.crypto().start_key_exchange(algorithm)
    }

    fn generate_signing_key(&self, scheme: SignatureScheme) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.provider.crypto().generate_signing_key(scheme)
    }

    fn import_signing_key(
        &self,
        scheme: SignatureScheme,
        pkcs8_der: &[u8],
    ) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.provider.crypto().import_signing_key(scheme, pkcs8_der)
    }

    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        public_key: PublicKey<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        self.provider.crypto().verify_signature(scheme, public_key, message, signature)
    }
}

#[cfg(test)]
mod tests {
    use rtc::srtp::context::Context;
    use rtc::srtp::protection_profile::ProtectionProfile;

    use super::*;

    const OURS: MasterKey = MasterKey { key: [1; 16], salt: *b"ours, for GCM\0" };
    const VIEWERS: MasterKey = MasterKey { key: [3; 16], salt: [4; 14] };
    const CRATES: [(Profile, ProtectionProfile); 2] = [
        (Profile::AeadAes128Gcm, ProtectionProfile::AeadAes128Gcm),
        (Profile::Aes128CmHmacSha1_80, ProtectionProfile::Aes128CmHmacSha1_80),
    ];
    /// An empty receiver report.
    const REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 7];

    fn tap() -> KeyTap {
        KeyTap::new(rtc::crypto::default_provider().expect("one is built in"))
    }

    /// As the crate makes them, with this crypto.
    fn context(key: &MasterKey, profile: ProtectionProfile, tap: &KeyTap) -> Context {
        let (key, salt) = (key.key.repeat(2), [&key.salt[..], &[9; 12]].concat());
        let (key, salt) = (&key[..profile.key_len()], &salt[..profile.salt_len()]);
        Context::new(key, salt, profile, None, None, tap.crypto()).expect("keys")
    }

    /// As it is noted: the salt of AEAD_AES_128_GCM is shorter.
    fn noted(key: &MasterKey, profile: ProtectionProfile) -> MasterKey {
        let mut noted = key.clone();
        noted.salt[profile.salt_len()..].fill(0);
        noted
    }

    #[test]
    fn our_key_is_the_one_that_opens_what_the_crate_sends_in_whatever_order_they_were_derived() {
        for (profile, crates) in CRATES {
            for order in [[OURS, VIEWERS], [VIEWERS, OURS]] {
                let tap = tap();
                let mut contexts: Vec<_> = order.iter().map(|key| context(key, crates, &tap)).collect();
                let ours = order.iter().position(|key| *key == OURS).expect("it is there");
                let sent = contexts[ours].encrypt_rtcp(&REPORT).expect("a packet");
                let (ours, viewers) = (noted(&OURS, crates), noted(&VIEWERS, crates));
                assert_eq!(tap.take(&sent), Some(ConnectionKeys { profile, ours, viewers }));
                assert_eq!(tap.take(&sent), None, "all were forgotten");
            }
        }
    }

    /// A salt may end as that of AEAD_AES_128_GCM is filled up.
    #[test]
    fn the_profile_is_told_by_what_is_sent_and_not_by_the_salt() {
        for (profile, crates) in CRATES {
            let tap = tap();
            let key = MasterKey { key: [5; 16], salt: *b"twelve bytes\0\0" };
            let sent = context(&key, crates, &tap).encrypt_rtcp(&REPORT).expect("a packet");
            context(&VIEWERS, crates, &tap);
            let keys = tap.take(&sent).expect("both are there");
            assert_eq!((keys.profile, keys.ours), (profile, key));
        }
    }

    #[test]
    fn one_key_alone_is_of_no_use() {
        let tap = tap();
        let mut ours = context(&OURS, ProtectionProfile::AeadAes128Gcm, &tap);
        assert_eq!(tap.take(&ours.encrypt_rtcp(&REPORT).expect("a packet")), None);
    }

    #[test]
    fn no_key_is_found_where_the_datagram_or_the_profile_is_another() {
        for (_, crates) in CRATES {
            let tap = tap();
            context(&OURS, crates, &tap);
            context(&VIEWERS, crates, &tap);
            let other = MasterKey { key: [5; 16], salt: [6; 14] };
            let mut stranger = context(&other, crates, &self::tap());
            assert_eq!(tap.take(&stranger.encrypt_rtcp(&REPORT).expect("a packet")), None);
        }
        for other in [ProtectionProfile::AeadAes256Gcm, ProtectionProfile::Aes256CmHmacSha1_80] {
            let tap = tap();
            context(&VIEWERS, other, &tap);
            let mut ours = context(&OURS, other, &tap);
            assert_eq!(tap.take(&ours.encrypt_rtcp(&REPORT).expect("a packet")), None);
        }
        assert_eq!(tap().take(&[]), None);
    }
}
