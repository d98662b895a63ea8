//! The key of an SRTP session, learned from the WebRTC stack that agreed on it.
//!
//! str0m gives no keys out, but takes a crypto provider, and calls it within [`Rtc::handle_input`](str0m::Rtc): so what
//! opens an RTP packet leaves its keys and its nonce behind, on the same thread. Nonce and header of one packet give the
//! salt.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80Cipher, CryptoError, CryptoProvider,
    Sha1HmacProvider, SrtpProvider, SupportedAeadAes128Gcm, SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
    from_feature_flags,
};

/// What opened a packet.
#[derive(Clone, Copy)]
pub(super) enum Opened {
    /// `AEAD_AES_128_GCM`
    Gcm128 { key: [u8; 16], nonce: [u8; 12] },
    /// `AEAD_AES_256_GCM`
    Gcm256 { key: [u8; 32], nonce: [u8; 12] },
    /// `SRTP_AES128_CM_HMAC_SHA1_80`
    Cm { key: [u8; 16], nonce: [u8; 16], mac_key: [u8; 20] },
}

thread_local! {
    static OPENED: Cell<Option<Opened>> = const { Cell::new(None) };
    /// With what the last HMAC was made: that of the packet which is decrypted next.
    static MAC_KEY: Cell<Option<[u8; 20]>> = const { Cell::new(None) };
}

/// What opened the last packet on this thread, if one was opened since the last call.
pub(super) fn take_opened() -> Option<Opened> {
    OPENED.take()
}

/// str0m's own, but for the ciphers of which [`take_opened`] tells.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { srtp_provider: &Telling, sha1_hmac_provider: &Telling, ..from_feature_flags() })
}

#[derive(Debug)]
struct Telling;

fn real() -> &'static dyn SrtpProvider {
    from_feature_flags().srtp_provider
}

impl SrtpProvider for Telling {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        &Telling
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &Telling
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Telling
    }

    fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        real().srtp_aes_128_ecb_round(key, input, output);
    }

    fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        real().srtp_aes_256_ecb_round(key, input, output);
    }
}

impl Sha1HmacProvider for Telling {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        MAC_KEY.set(key.try_into().ok());
        from_feature_flags().sha1_hmac_provider.sha1_hmac(key, payloads)
    }
}

impl SupportedAeadAes128Gcm for Telling {
    fn create_cipher(&self, key: [u8; 16], encrypt: bool) -> Box<dyn AeadAes128GcmCipher> {
        Box::new(Telltale { key, real: real().aead_aes_128_gcm().create_cipher(key, encrypt) })
    }
}

impl SupportedAeadAes256Gcm for Telling {
    fn create_cipher(&self, key: [u8; 32], encrypt: bool) -> Box<dyn AeadAes256GcmCipher> {
        Box::new(Telltale { key, real: real().aead_aes_256_gcm().create_cipher(key, encrypt) })
    }
}

impl SupportedAes128CmSha1_80 for Telling {
    fn create_cipher(&self, key: [u8; 16], encrypt: bool) -> Box<dyn Aes128CmSha1_80Cipher> {
        Box::new(Telltale { key, real: real().aes_128_cm_sha1_80().create_cipher(key, encrypt) })
    }
}

/// A cipher that leaves its key behind when it opens something.
struct Telltale<const KEY_LEN: usize, C: ?Sized> {
    key: [u8; KEY_LEN],
    real: Box<C>,
}

impl<const KEY_LEN: usize, C: ?Sized> fmt::Debug for Telltale<KEY_LEN, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telltale").finish_non_exhaustive()
    }
}

impl AeadAes128GcmCipher for Telltale<16, dyn AeadAes128GcmCipher> {
    fn encrypt(
        &mut self,
        nonce: &[u8; 12],
        aad: &[u8],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<(), CryptoError> {
        self.real.encrypt(nonce, aad, input, output)
    }

    fn decrypt(
        &mut self,
        nonce: &[u8; 12],
        aads: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        let opened = self.real.decrypt(nonce, aads, input, output)?;
        OPENED.set(Some(Opened::Gcm128 { key: self.key, nonce: *nonce }));
        Ok(opened)
    }
}

impl AeadAes256GcmCipher for Telltale<32, dyn AeadAes256GcmCipher> {
    fn encrypt(
        &mut self,
        nonce: &[u8; 12],
        aad: &[u8],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<(), CryptoError> {
        self.real.encrypt(nonce, aad, input, output)
    }

    fn decrypt(
        &mut self,
        nonce: &[u8; 12],
        aads: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        let opened = self.real.decrypt(nonce, aads, input, output)?;
        OPENED.set(Some(Opened::Gcm256 { key: self.key, nonce: *nonce }));
        Ok(opened)
    }
}

impl Aes128CmSha1_80Cipher for Telltale<16, dyn Aes128CmSha1_80Cipher> {
    fn encrypt(&mut self, nonce: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.real.encrypt(nonce, input, output)
    }

    fn decrypt(&mut self, nonce: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.real.decrypt(nonce, input, output)?;
        OPENED.set(MAC_KEY.get().map(|mac_key| Opened::Cm { key: self.key, nonce: *nonce, mac_key }));
        Ok(())
    }
}
