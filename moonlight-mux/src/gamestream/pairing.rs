//! Pairing: client and host prove to each other that they know the same PIN, and bind it to their certificates.
//!
//! Both sides, as pure state machines; randomness is an argument. Source: protocol document, session 8; vectors of
//! 24.1 and 24.2. Only for hosts of version 7 and later, whose hash is SHA-256.

pub(crate) mod certificate;
pub(crate) mod client;
pub(crate) mod host;

use std::fmt;
use std::hint::black_box;
use std::str::FromStr;

use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey};
use aws_lc_rs::constant_time;
use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::rand;

/// Four digits, which the user carries from the client to the host. Never printed by `Debug`; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin([u8; 4]);

impl Pin {
    /// Four random digits.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn random() -> Result<Self, NoRandomness> {
        loop {
            let random = u16::from_be_bytes(random()?);
            // The rest would make some digits more likely than others.
            if random < 60_000 {
                let mut number = random % 10_000;
                return Ok(Self(std::array::from_fn(|_| {
                    let digit = b'0' + (number / 1000) as u8;
                    number = number % 1000 * 10;
                    digit
                })));
            }
        }
    }

    /// The digits, for the user's eyes.
    #[must_use]
    pub fn digits(&self) -> &str {
        str::from_utf8(&self.0).expect("digits are text")
    }
}

/// Text that is no PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a PIN has four digits")]
pub struct NotAPin;

/// The system gives no random numbers, so there are no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandomness;

/// Bytes that nobody can foresee.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

impl FromStr for Pin {
    type Err = NotAPin;

    fn from_str(text: &str) -> Result<Self, NotAPin> {
        let digits: [u8; 4] = text.as_bytes().try_into().map_err(|_| NotAPin)?;
        if digits.iter().all(u8::is_ascii_digit) { Ok(Self(digits)) } else { Err(NotAPin) }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(…)")
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// What one side draws for one pairing; never to be used again. Never printed; wiped when dropped.
#[derive(Clone)]
pub(crate) struct Randomness {
    pub(crate) challenge: [u8; 16],
    pub(crate) secret: [u8; 16],
}

impl Randomness {
    pub(crate) fn new() -> Result<Self, NoRandomness> {
        Ok(Self { challenge: random()?, secret: random()? })
    }
}

impl fmt::Debug for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Randomness(…)")
    }
}

impl Drop for Randomness {
    fn drop(&mut self) {
        wipe(&mut self.challenge);
        wipe(&mut self.secret);
    }
}

/// AES-128-ECB without padding, under the key that salt and PIN make.
struct PinCipher {
    encrypting: EncryptingKey,
    decrypting: DecryptingKey,
}

impl PinCipher {
    fn new(salt: &[u8; 16], pin: &Pin) -> Self {
        let mut hash = hash([&salt[..], &pin.0]);
        let key = || UnboundCipherKey::new(&AES_128, &hash[..16]).expect("the key has the cipher's length");
        let cipher = Self {
            encrypting: EncryptingKey::ecb(key()).expect("AES-128 has an ECB mode"),
            decrypting: DecryptingKey::ecb(key()).expect("AES-128 has an ECB mode"),
        };
        wipe(&mut hash);
        cipher
    }

    /// `N` is a multiple of 16.
    fn encrypt<const N: usize>(&self, mut blocks: [u8; N]) -> [u8; N] {
        self.encrypting.encrypt(&mut blocks).expect("they are whole blocks");
        blocks
    }

    /// `N` is a multiple of 16.
    fn decrypt<const N: usize>(&self, mut blocks: [u8; N]) -> [u8; N] {
        let context = DecryptionContext::None;
        self.decrypting.decrypt(&mut blocks, context).expect("they are whole blocks");
        blocks
    }
}

fn hash<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let mut context = digest::Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

pub(crate) fn wipe(secret: &mut [u8]) {
    secret.fill(0);
    // Nobody reads it any more; this keeps the compiler from leaving the wipe out.
    black_box(secret);
}

#[cfg(test)]
pub(crate) mod tests;
