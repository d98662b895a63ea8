//! Our control stream in the place of the recorded client's: it gets what the host sent, when the host sent it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{ControlProperty, Difference};
use crate::gamestream::control::{Control, ControlConfig, EndReason, Event};
use crate::gamestream::crypto::Side;
use crate::gamestream::wire::control::{GENERIC_CHANNEL, HostMessage};
use crate::gamestream::wire::enet::{Body, Command, Datagram, Header};
use crate::task;

/// A control stream that listens to a recorded host. It begins where the recorded client connects.
pub(super) struct Listener {
    config: ControlConfig,
    stream: Option<Control>,
    /// The stream wants instants and compares them only with each other.
    now: Instant,
    /// When the last datagram was seen; since 1970.
    at: Duration,
    events: Vec<Event>,
    /// The host's reliable packets on its one channel, counted from 1 over all rounds of their sequence number.
    packets: BTreeMap<u64, Option<(usize, HostMessage)>>,
    /// The number of the last one that came.
    latest: u64,
    /// Channel and number of what our stream sent.
    sent: BTreeSet<(u8, u16)>,
    /// Channel, number and sent time of what our stream sent again since the host's last datagram: it said more than the recorded client, to whom the host
    /// answered. At most what it sends again within the 10 s of silence that end it.
    resent: Vec<(u8, u16, u16)>,
    /// Who left first, and the latest packet then.
    left: Option<(EndReason, u64)>,
}

impl Listener {
    /// The configuration's seed is left open: it is the recorded client's.
    pub(super) fn new(config: ControlConfig) -> Self {
        Self {
            config,
            stream: None,
            now: task::now(),
            at: Duration::ZERO,
            events: Vec::new(),
            packets: BTreeMap::new(),
            latest: 0,
            sent: BTreeSet::new(),
            resent: Vec::new(),
            left: None,
        }
    }

    /// A reliable packet of the host's: it is to be heard once, however often it is sent.
    pub(super) fn expect(&mut self, command: &Command<'_>, message: Option<(usize, HostMessage)>) {
        if command.channel != GENERIC_CHANNEL {
            return;
        }
        let ahead = command.sequence.wrapping_sub(self.latest as u16).cast_signed();
        let Some(number) = self.latest.checked_add_signed(ahead.into()) else { return };
        self.latest = self.latest.max(number);
        self.packets.entry(number).or_insert(message);
    }

    /// Takes part in what was seen. `false` if our stream does not connect as the recorded client does.
    #[must_use]
    pub(super) fn take(&mut self, at: Duration, side: Side, datagram: &Datagram<'_>, bytes: &[u8]) -> bool {
        self.now += at.saturating_sub(self.at);
        self.at = self.at.max(at);
        let Some(stream) = &mut self.stream else {
            return self.connect(side, datagram, bytes);
        };
        while let Some(due) = stream.poll_timeout().filter(|&due| due <= self.now) {
            stream.handle_timeout(due);
        }
        let leaves = |command: &Command<'_>| matches!(command.body, Body::Disconnect { .. });
        if datagram.commands.iter().any(leaves) {
            let reason = match side {
                Side::Client => EndReason::Closed,
                Side::Host => EndReason::HostDisconnected,
            };
            self.left.get_or_insert((reason, self.latest));
        }
        match side {
            Side::Client if matches!(self.left, Some((EndReason::Closed, _))) => stream.close(self.now),
            Side::Client => {}
            Side::Host => {
                for acknowledged in self.resent.drain(..) {
                    stream.handle_datagram(self.now, &answer(datagram, acknowledged));
                }
                stream.handle_datagram(self.now, bytes);
            }
        }
        while let Some(ours) = stream.poll_datagram() {
            let Ok(Datagram { header, commands }) = Datagram::parse(&ours) else { continue };
            for Command { channel, sequence, .. } in commands.into_iter().filter(|c| c.wants_ack) {
                if !self.sent.insert((channel, sequence)) {
                    self.resent.push((channel, sequence, header.sent_time.unwrap_or_default()));
                }
            }
        }
        self.events.extend(std::iter::from_fn(|| stream.poll_event()));
        true
    }

    fn connect(&mut self, side: Side, datagram: &Datagram<'_>, bytes: &[u8]) -> bool {
        let connects = datagram.commands.iter().find_map(|command| match command.body {
            Body::Connect { handshake, .. } if side == Side::Client => Some(handshake),
            _ => None,
        });
        let Some(handshake) = connects else { return true };
        let seed = u32::from_be_bytes(handshake.connect_id);
        let mut stream = Control::new(self.now, &ControlConfig { seed, ..self.config.clone() });
        let ours = stream.poll_datagram().unwrap_or_default();
        // But for the sent time.
        let same =
            ours.len() == bytes.len() && ours.get(..2) == bytes.get(..2) && ours.get(4..) == bytes.get(4..);
        self.stream = same.then_some(stream);
        same
    }

    /// It heard all that the host said, once and in order, and knows how it ended.
    pub(super) fn compare(mut self, differences: &mut BTreeSet<Difference>) {
        if self.stream.is_none() {
            return;
        }
        let end = match self.events.pop() {
            Some(Event::Disconnected { reason }) => Some(reason),
            last => {
                self.events.extend(last);
                None
            }
        };
        let mut heard = self.events.into_iter().filter_map(|event| match event {
            Event::Message(message) => Some(message),
            _ => None,
        });
        let not_heard = |message| Difference::Control { message, property: ControlProperty::Heard };
        let mut termination = None;
        let mut latest = 0;
        // What comes behind a packet that is missing for good is not heard.
        let packets = (1..).map_while(|number| Some((number, self.packets.remove(&number)?)));
        for (number, packet) in packets {
            let Some((message, expected)) = packet else { continue };
            latest = message;
            if let HostMessage::Termination(code) = expected {
                termination = Some(code);
                break;
            }
            match heard.next() {
                Some(heard) if heard == expected => {}
                // It may be gone before it hears what comes once somebody left.
                None if self.left.is_some_and(|(_, latest)| number > latest) => break,
                _ => {
                    differences.insert(not_heard(message));
                    return;
                }
            }
        }
        if heard.next().is_some() {
            differences.insert(not_heard(latest));
        }
        let as_recorded = match end {
            Some(EndReason::Terminated(code)) => termination == Some(code),
            Some(reason) => self.left.is_some_and(|(left, _)| left == reason),
            // Some captures end before the host acknowledged the client's disconnect.
            None => termination.is_none(),
        };
        if !as_recorded {
            differences.insert(Difference::ControlEnd);
        }
    }
}

/// The host's acknowledgement, in a datagram like its last one.
fn answer(like: &Datagram<'_>, (channel, sequence, sent_time): (u8, u16, u16)) -> Vec<u8> {
    let body = Body::Acknowledge { sequence, sent_time };
    let command = Command { wants_ack: false, unsequenced: false, channel, sequence, body };
    let mut bytes = Vec::new();
    Datagram { header: Header { sent_time: None, ..like.header }, commands: vec![command] }.emit(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gamestream::crypto::ControlNonce;
    use crate::gamestream::wire::control::Termination;
    use crate::recording::negotiated::tests::requested;
    use crate::recording::tests::control;

    /// Listens to a host that says one thing and terminates, as if it had said this.
    fn differences(said: &[HostMessage]) -> Vec<Difference> {
        let key = requested().rikey;
        let mut listener =
            Listener::new(ControlConfig { key, nonce: ControlNonce::Old, connect_data: 7, seed: 0 });
        for (i, message) in said.iter().enumerate() {
            let sequence = i as u16 + 1;
            let body = Body::Reliable(&[]);
            let command = Command { wants_ack: true, unsequenced: false, channel: 0, sequence, body };
            listener.expect(&command, Some((i, message.clone())));
        }
        for (from, _, bytes) in control() {
            let side = if from == 47999 { Side::Host } else { Side::Client };
            assert!(listener.take(Duration::ZERO, side, &Datagram::parse(&bytes).unwrap(), &bytes));
        }
        let mut differences = BTreeSet::new();
        listener.compare(&mut differences);
        differences.into_iter().collect()
    }

    #[test]
    fn what_is_heard_and_how_it_ends_is_compared() {
        let led = |blue| HostMessage::Led { controller: 1, rgb: [1, 2, blue] };
        let end = HostMessage::Termination(Termination::INTENDED);
        let not_heard = |message| Difference::Control { message, property: ControlProperty::Heard };
        assert_eq!(differences(&[led(3), end.clone()]), []);
        assert_eq!(differences(&[led(4), end.clone()]), [not_heard(0)]);
        assert_eq!(differences(&[led(3), led(3), end.clone()]), [not_heard(1)]);
        assert_eq!(differences(&[end]), [not_heard(0)]);
        let other = HostMessage::Termination(Termination::PROTECTED_CONTENT);
        assert_eq!(differences(&[led(3), other]), [Difference::ControlEnd]);
        assert_eq!(differences(&[led(3)]), [Difference::ControlEnd]);
    }
}
