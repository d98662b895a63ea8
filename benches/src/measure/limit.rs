//! What the system alone costs: AES-128-GCM and sending, and nothing else.
//!
//! A frame's payloads are there once. For each viewer they are copied behind headers of its own into one buffer, encrypted
//! there, and sent. The socket, the key size and the packets are the product's.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use quinn_udp::{Transmit, UdpSocketState};
use serde::{Deserialize, Serialize};
use tokio::time::interval;

use super::frame::{PAYLOAD, Rate, payloads};
use super::process::{Spent, Stopwatch};
use super::source::{AUDIO_BYTES, AUDIO_PACKET};
use crate::crowd::PLAIN_KEY;
use crate::crowd::srtp::{HEADER, Header, Key, TAG};
use crate::task;

/// How encrypted packets are given to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    /// One `sendmsg` for each viewer and frame, with `UDP_SEGMENT`.
    Gso,
    /// One `sendmmsg` for each viewer and frame.
    Sendmmsg,
    /// One `sendto` for each packet.
    Sendto,
}

/// Sends to many viewers.
pub struct Sender {
    call: Call,
    socket: UdpSocket,
    state: UdpSocketState,
    key: Key,
    viewers: Vec<Viewer>,
    /// One viewer's packets of one frame.
    buffer: Vec<u8>,
    headers: MultiHeaders<SockaddrIn>,
    frames: u32,
    sounds: u32,
    packets: u64,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("call", &self.call).finish_non_exhaustive()
    }
}

struct Viewer {
    address: SocketAddrV4,
    video: Stream,
    audio: Stream,
}

/// Sequence numbers, extended by how often they wrapped.
struct Stream {
    ssrc: u32,
    payload_type: u8,
    next: u64,
}

impl Sender {
    /// To plain sockets ([`Crowd::of_plain_sockets`](crate::crowd::Crowd::of_plain_sockets)).
    ///
    /// # Errors
    /// When there is no socket, or an address is none of IPv4.
    pub fn new(call: Call, addresses: &[SocketAddr]) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket2::SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER)?;
        let state = UdpSocketState::new((&socket).into())?;
        let (key, salt) = PLAIN_KEY;
        let key = Key::gcm128(key, salt).ok_or(io::ErrorKind::InvalidInput)?;
        let viewers = (1..).zip(addresses).map(|(n, &address)| {
            let SocketAddr::V4(address) = address else { return Err(io::ErrorKind::InvalidInput) };
            let stream = |ssrc, payload_type| Stream { ssrc, payload_type, next: 1 };
            Ok(Viewer { address, video: stream(2 * n, 109), audio: stream(2 * n + 1, 111) })
        });
        let viewers = viewers.collect::<Result<_, _>>()?;
        Ok(Self {
            call,
            socket,
            state,
            key,
            viewers,
            buffer: Vec::new(),
            headers: MultiHeaders::preallocate(MOST_PACKETS, None),
            frames: 0,
            sounds: 0,
            packets: 0,
        })
    }

    /// Sends at this rate in real time: some frames to warm up with, then what is measured; gives what
    /// that cost and how many RTP packets it was, to all viewers together.
    ///
    /// # Errors
    /// When the system does not send, or does not say what it spent.
    pub async fn run(&mut self, rate: Rate, audio: bool, time: Duration) -> io::Result<(Spent, u64)> {
        self.pace(rate, audio, WARM_UP).await?;
        let (watch, packets) = (Stopwatch::start()?, self.packets);
        self.pace(rate, audio, time).await?;
        Ok((watch.spent()?, self.packets - packets))
    }

    async fn pace(&mut self, rate: Rate, audio: bool, time: Duration) -> io::Result<()> {
        let packets = rate.packets_per_frame();
        let mut pictures = interval(Duration::from_secs(1) / rate.fps.max(1));
        let mut sounds = interval(AUDIO_PACKET);
        let end = task::now() + time;
        // Who is behind does not stop for breath, but ends in time.
        while task::now() < end {
            tokio::select! {
                _ = pictures.tick() => self.send_frame(rate, packets)?,
                _ = sounds.tick(), if audio => self.send_sound()?,
            }
        }
        Ok(())
    }

    fn send_frame(&mut self, rate: Rate, packets: usize) -> io::Result<()> {
        let payloads = payloads(packets, task::wall_clock());
        let timestamp = self.frames.wrapping_mul(90_000 / rate.fps.max(1));
        self.frames = self.frames.wrapping_add(1);
        for viewer in 0..self.viewers.len() {
            for (i, burst) in payloads.chunks(MOST_PACKETS).enumerate() {
                let viewer = &mut self.viewers[viewer];
                let address = viewer.address;
                self.buffer.clear();
                for (j, payload) in burst.iter().enumerate() {
                    let marker = i * MOST_PACKETS + j + 1 == packets;
                    viewer.video.write(&self.key, timestamp, marker, payload, &mut self.buffer);
                }
                self.packets += burst.len() as u64;
                self.send(address, HEADER + PAYLOAD + TAG)?;
            }
        }
        Ok(())
    }

    fn send_sound(&mut self) -> io::Result<()> {
        let timestamp = self.sounds.wrapping_mul(AUDIO_PACKET.as_millis() as u32 * 48);
        self.sounds = self.sounds.wrapping_add(1);
        for viewer in 0..self.viewers.len() {
            let viewer = &mut self.viewers[viewer];
            let address = viewer.address;
            self.buffer.clear();
            viewer.audio.write(&self.key, timestamp, false, &[0xfc; AUDIO_BYTES], &mut self.buffer);
            self.packets += 1;
            self.send(address, HEADER + AUDIO_BYTES + TAG)?;
        }
        Ok(())
    }

    /// Sends the buffer as packets of this size. A send for which there is no room is lost, and the receivers count it.
    fn send(&mut self, to: SocketAddrV4, size: usize) -> io::Result<()> {
        let sent = match self.call {
            Call::Gso => self.state.try_send(
                (&self.socket).into(),
                &Transmit {
                    destination: to.into(),
                    ecn: None,
                    contents: &self.buffer,
                    segment_size: Some(size),
                    src_ip: None,
                },
            ),
            Call::Sendto => {
                self.buffer.chunks(size).try_for_each(|packet| self.socket.send_to(packet, to).map(drop))
            }
            Call::Sendmmsg => {
                let slices: Vec<_> = self.buffer.chunks(size).map(|packet| [IoSlice::new(packet)]).collect();
                let to = vec![Some(SockaddrIn::from(to)); slices.len()];
                let no_messages: [ControlMessage<'_>; 0] = [];
                let flags = MsgFlags::empty();
                let fd = self.socket.as_raw_fd();
                sendmmsg(fd, &mut self.headers, &slices, to, no_messages, flags).map(drop).map_err(Into::into)
            }
        };
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            sent => sent,
        }
    }
}

impl Stream {
    /// Appends an encrypted packet.
    fn write(&mut self, key: &Key, timestamp: u32, marker: bool, payload: &[u8], buffer: &mut Vec<u8>) {
        let Self { ssrc, payload_type, next: index } = *self;
        self.next += 1;
        let header = Header { marker, payload_type, sequence: index as u16, timestamp, ssrc, len: HEADER };
        let start = buffer.len();
        buffer.extend(header.to_bytes());
        buffer.extend_from_slice(payload);
        buffer.extend([0; TAG]);
        let sealed = key.seal(ssrc, index, &mut buffer[start..]);
        debug_assert!(sealed, "a packet has room for its header and its tag");
    }
}

/// A call sends 64 kB at most.
const MOST_PACKETS: usize = 52;
const SEND_BUFFER: usize = 4 << 20;
const WARM_UP: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::{Crowd, CrowdConfig};

    /// The kernel hands datagrams on in its own time: they are waited for, as long as a test may take.
    #[tokio::test]
    async fn what_is_sent_in_whatever_way_arrives_and_opens() {
        for call in [Call::Gso, Call::Sendmmsg, Call::Sendto] {
            for gro in [true, false] {
                let config = CrowdConfig { gro, ..CrowdConfig::default() };
                let (crowd, addresses) = Crowd::of_plain_sockets(3, config).unwrap();
                let mut sender = Sender::new(call, &addresses).unwrap();
                let rate = Rate { mbps: 1.0, fps: 60 };
                // One by one, so that a small receive buffer holds them.
                for _ in 0..2 {
                    sender.send_frame(rate, 60).unwrap();
                    sender.send_sound().unwrap();
                    for counts in arrived(&crowd, 61).await {
                        assert_eq!((counts.expected, counts.opened, counts.forged), (61, 61, 0), "{call:?}");
                        assert_eq!((counts.loss(), counts.frames.len()), (0.0, 1), "{call:?}");
                    }
                }
                assert_eq!(sender.packets, 3 * 2 * 61);
                crowd.leave().await;
            }
        }
    }

    /// Waits until each has got so many packets.
    async fn arrived(crowd: &Crowd, packets: u64) -> Vec<crate::crowd::Counts> {
        let mut all = crowd.take();
        while all.iter().any(|counts| counts.packets < packets) {
            tokio::task::yield_now().await;
            for (sum, more) in all.iter_mut().zip(crowd.take()) {
                sum.add(more);
            }
        }
        all
    }
}
