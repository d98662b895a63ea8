//! A UDP relay between a viewer and the server, which may alter what passes.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;

use super::AbortOnDrop;

/// Ends when it is dropped.
pub(crate) struct Relay {
    /// Where the viewer sends what is for the server.
    pub(crate) port: u16,
    _task: AbortOnDrop,
}

impl Relay {
    /// Passes on what one viewer sends, as `alter` leaves it, and all that the server answers. The viewer's first datagrams are
    /// lost, so that ICE finds a way round the relay first, if there is one, and a test does not pass by luck.
    pub(crate) async fn to(server: SocketAddr, alter: fn(&mut [u8])) -> Self {
        let any = (Ipv4Addr::LOCALHOST, 0);
        let near = UdpSocket::bind(any).await.expect("a free port");
        let far = UdpSocket::bind(any).await.expect("a free port");
        let port = near.local_addr().expect("it is bound").port();
        let pass = async move {
            let (mut from_viewer, mut from_server) = ([0; 2048], [0; 2048]);
            let (mut viewer, mut lost) = (None, 0);
            // A datagram that is not taken is lost, as on any network.
            loop {
                tokio::select! {
                    Ok((len, from)) = near.recv_from(&mut from_viewer) => {
                        if lost < LOST_AT_FIRST {
                            lost += 1;
                            continue;
                        }
                        viewer = Some(from);
                        alter(&mut from_viewer[..len]);
                        let _ = far.send_to(&from_viewer[..len], server).await;
                    }
                    Ok((len, _)) = far.recv_from(&mut from_server) => {
                        let Some(viewer) = viewer else { continue };
                        let _ = near.send_to(&from_server[..len], viewer).await;
                    }
                    else => return,
                }
            }
        };
        Self { port, _task: AbortOnDrop::spawn(pass) }
    }
}

/// Of a viewer's datagrams: ICE checks, which a browser repeats every 50 ms or so.
const LOST_AT_FIRST: u32 = 5;

/// Takes AEAD_AES_128_GCM out of a ClientHello's SRTP profiles (RFC 5764, 4.1.1: `use_srtp`; RFC 7714, 14.2), as if the browser
/// did not have it.
pub(crate) fn without_aes_128_gcm(datagram: &mut [u8]) {
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
