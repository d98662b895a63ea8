//! Audio datagrams to Opus packets, in order; lost ones show as jumps of the timestamp.
//!
//! # Reordering and loss
//! A packet that is due is handed on at once; one that is missing is waited for until parity restores it, or until
//! its group of four is given up: when the first datagram of the group after the next arrives, or [`REORDERING`]
//! after the first datagram of the next group. Parity comes directly behind its group, so this waits for all of it.
//!
//! The reference client throws away what it receives in the first half second, and the group that it then stands
//! in (streams 7.4). Here the stream begins with the group of the first datagram: nobody listens yet, and the
//! timestamps tell how old a packet is.
//!
//! A pause of the host (streams 7.4, silence) is no gap: its sequence numbers stand still, and so do timestamps.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::REORDERING;
use super::crypto::AudioCipher;
use super::fec::{self, Code};
use super::wire::audio::{Data, GROUP_DATA, GROUP_PARITY, Packet, Parity};
use crate::media::{AudioFrame, AudioTimestamp};

/// The audio stream's receiving end.
#[derive(Debug)]
pub(crate) struct Audio {
    cipher: Option<AudioCipher>,
    /// Samples per packet.
    step: u64,
    /// The sequence number that is due, counted on past 16 bits. `None` before the first datagram.
    next: Option<u64>,
    /// The group of `next`, and the one behind it.
    window: [Option<Group>; WINDOW],
    /// Off for good once a host turns out to group or size its packets in another way (streams 7.2).
    fec: bool,
    /// At most [`READY`]. Full: the oldest is dropped.
    ready: VecDeque<AudioFrame>,
}

/// What has arrived of four data packets and their parity: at most six payloads of one datagram each.
#[derive(Debug)]
struct Group {
    received: Instant,
    /// Data, then parity.
    payloads: [Option<Bytes>; GROUP_DATA + GROUP_PARITY],
}

/// Groups that are open at the same time.
const WINDOW: usize = 2;

/// As many packets as the reference client's queue holds (streams 7.4). The driver empties it after each datagram,
/// and one datagram gives at most two groups of four.
const READY: usize = 30;

const GROUP: u64 = GROUP_DATA as u64;

impl Audio {
    /// `cipher`: `None` if the host sends audio in clear. `packet_duration`: as announced, 5 or 10 ms.
    pub(crate) fn new(cipher: Option<AudioCipher>, packet_duration: Duration) -> Self {
        Self {
            cipher,
            step: (packet_duration.as_nanos() * u128::from(AudioTimestamp::HZ) / 1_000_000_000) as u64,
            next: None,
            window: [const { None }; WINDOW],
            fec: true,
            ready: VecDeque::with_capacity(READY),
        }
    }

    /// Takes in one datagram.
    pub(crate) fn handle(&mut self, now: Instant, packet: &Packet<'_>) {
        match *packet {
            Packet::Data(Data { sequence, payload, .. }) => {
                let Some(place) = self.place(sequence) else { return };
                self.insert(now, place, (place % GROUP) as usize, payload);
            }
            Packet::Parity(Parity { base_sequence, index, payload, .. }) if self.fec => {
                if !base_sequence.is_multiple_of(GROUP as u16) {
                    return self.give_up_fec();
                }
                let Some(base) = self.place(base_sequence) else { return };
                self.insert(now, base, GROUP_DATA + usize::from(index), payload);
            }
            Packet::Parity(_) => {}
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let [_, behind @ ..] = &self.window;
        behind.iter().flatten().next().map(|group| group.received + REORDERING)
    }

    /// Gives up the due group, if it is held up longer than datagrams are reordered.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|due| due <= now) {
            self.shift();
            self.deliver();
        }
    }

    /// The next packet to hand on.
    pub(crate) fn poll_frame(&mut self) -> Option<AudioFrame> {
        self.ready.pop_front()
    }

    /// A sequence number as it counts on past 16 bits; `None` if its group is behind the one that is due.
    ///
    /// The first datagram decides where the stream begins.
    fn place(&mut self, sequence: u16) -> Option<u64> {
        let first_of_group = u64::from(sequence) / GROUP * GROUP;
        let next = *self.next.get_or_insert(first_of_group);
        let base = next / GROUP * GROUP;
        let ahead = sequence.wrapping_sub(base as u16);
        (ahead <= i16::MAX as u16).then(|| base + u64::from(ahead))
    }

    fn insert(&mut self, now: Instant, place: u64, index: usize, payload: &[u8]) {
        let groups_ahead = |next: u64| place / GROUP - next / GROUP;
        let mut at = groups_ahead(self.next.unwrap_or_default());
        if at >= WINDOW as u64 {
            self.advance(place / GROUP - (WINDOW as u64 - 1));
            self.deliver();
            at = groups_ahead(self.next.unwrap_or_default());
        }
        let empty = || Group { received: now, payloads: Default::default() };
        let group = self.window[at as usize].get_or_insert_with(empty);
        group.payloads[index].get_or_insert_with(|| Bytes::copy_from_slice(payload));
        self.deliver();
    }

    /// Hands on what stands in order at the front of the window.
    fn deliver(&mut self) {
        while let (Some(next), Some(group)) = (self.next, &mut self.window[0]) {
            match &group.payloads[(next % GROUP) as usize] {
                Some(payload) => {
                    let payload = payload.clone();
                    self.hand_on(next, &payload);
                    self.next = Some(next + 1);
                    if (next + 1).is_multiple_of(GROUP) {
                        self.window[0] = None;
                        self.window.rotate_left(1);
                    }
                }
                None if self.fec => match group.restore() {
                    Ok(()) => {}
                    Err(fec::Error::TooFew) => return,
                    Err(_) => self.give_up_fec(),
                },
                None => return,
            }
        }
    }

    /// Makes this group, counted from sequence number 0, the due one; gives up those before it.
    fn advance(&mut self, group: u64) {
        for _ in 0..WINDOW {
            if self.next.is_some_and(|next| next / GROUP < group) {
                self.shift();
            }
        }
        self.next = self.next.max(Some(group * GROUP));
    }

    /// Takes the due group out of the window and hands on what there is of it.
    fn shift(&mut self) {
        let Some(next) = self.next else { return };
        let end = (next / GROUP + 1) * GROUP;
        let group = self.window[0].take();
        self.window.rotate_left(1);
        for place in next..end {
            if let Some(payload) = group.as_ref().and_then(|g| g.payloads[(place % GROUP) as usize].as_ref())
            {
                self.hand_on(place, payload);
            }
        }
        self.next = Some(end);
    }

    fn hand_on(&mut self, place: u64, payload: &Bytes) {
        let data = match &self.cipher {
            None => payload.clone(),
            Some(cipher) => match cipher.open(place as u16, payload) {
                Ok(opus) => opus.into(),
                Err(error) => return tracing::debug!(sequence = place, %error, "audio packet dropped"),
            },
        };
        if self.ready.len() == READY {
            self.ready.pop_front();
        }
        self.ready.push_back(AudioFrame { timestamp: AudioTimestamp(place * self.step), data });
    }

    fn give_up_fec(&mut self) {
        tracing::warn!("the host's audio groups are of an unknown kind: lost packets are not restored");
        self.fec = false;
    }
}

impl Group {
    /// Fills in the missing data packets.
    fn restore(&mut self) -> Result<(), fec::Error> {
        for (index, payload) in Code::AUDIO.restore(&self.payloads)? {
            self.payloads[index] = Some(payload.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
