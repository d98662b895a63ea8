//! A way to the server on which a browser seems to lack something.

use std::time::Instant;

use moonlight_mux_benches::relay::Policy;

/// A browser without AEAD_AES_128_GCM. Its first datagrams are lost, so that ICE finds a way round the relay first, if there is
/// one, and a test does not pass by luck.
#[derive(Default)]
pub(crate) struct WithoutAes128Gcm {
    lost: u32,
}

impl Policy for WithoutAes128Gcm {
    fn up(&mut self, _: Instant, datagram: &mut [u8]) -> bool {
        if self.lost < LOST_AT_FIRST {
            self.lost += 1;
            return false;
        }
        without_aes_128_gcm(datagram);
        true
    }
}

/// Of a viewer's datagrams: ICE checks, which a browser repeats every 50 ms or so.
const LOST_AT_FIRST: u32 = 5;

/// Takes AEAD_AES_128_GCM out of a ClientHello's SRTP profiles (RFC 5764, 4.1.1: `use_srtp`; RFC 7714, 14.2), as if the browser
/// did not have it.
fn without_aes_128_gcm(datagram: &mut [u8]) {
    const HANDSHAKE: u8 = 22;
    const USE_SRTP: [u8; 2] = [0, 14];
    const AEAD_AES_128_GCM: [u8; 2] = [0, 7];
    const AEAD_AES_256_GCM: [u8; 2] = [0, 8];
    if datagram.first() != Some(&HANDSHAKE) {
        return;
    }
    for at in 0..datagram.len().saturating_sub(6) {
        let word = |at| usize::from(u16::from_be_bytes([datagram[at], datagram[at + 1]]));
        // The extension has the list and, empty, the master key identifier.
        let (length, list) = (word(at + 2), word(at + 4));
        if datagram[at..at + 2] == USE_SRTP && length == list + 3 {
            for profile in datagram[at + 6..].chunks_exact_mut(2).take(list / 2) {
                if *profile == AEAD_AES_128_GCM {
                    profile.copy_from_slice(&AEAD_AES_256_GCM);
                }
            }
        }
    }
}
