mod chords;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use rusty_enet::{
    Event as EnetEvent, Host, HostSettings, MTU_MAX, Packet, PacketReceived, PeerID, PeerState, Socket,
};

use super::*;
use crate::gamestream::crypto::tests::key;
use crate::gamestream::wire::control::Delivery;
use crate::gamestream::wire::enet::{Body, Command, Datagram, Header};
use crate::gamestream::wire::input::controller::{ControllerId, Motion, Sensor};
use crate::gamestream::wire::input::{Key, MouseMove};
use crate::lifecycle::SOURCE_GRACE;
use crate::streamer::StreamerConfig;
use crate::test_host::session::control::Clock;

const CONNECT_DATA: u32 = 0xdead_beef;
/// An odd number with bits all over, so that small seeds begin different series.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn config(nonce: ControlNonce) -> ControlConfig {
    ControlConfig { key: key(), nonce, connect_data: CONNECT_DATA, seed: 7 }
}

fn key_press(code: u8) -> Input {
    Input::Key(Key { code, down: true, modifiers: 0, not_normalised: false })
}

fn rumble(low_frequency: u16) -> HostMessage {
    HostMessage::Rumble { controller: 0, low_frequency, high_frequency: 0 }
}

/// A message that the host took.
#[derive(Clone, Debug, PartialEq)]
struct Taken {
    at: Instant,
    channel: u8,
    sequence: u32,
    message: ClientMessage,
}

/// A socket's place: the host's ENet reads and writes here.
#[derive(Default)]
struct Wire {
    incoming: Option<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

impl Socket for Wire {
    type Address = ();
    type Error = Infallible;

    fn send(&mut self, (): (), bytes: &[u8]) -> Result<usize, Infallible> {
        self.outgoing.push_back(bytes.to_vec());
        Ok(bytes.len())
    }

    fn receive(&mut self, buffer: &mut [u8; MTU_MAX]) -> Result<Option<((), PacketReceived)>, Infallible> {
        let Some(datagram) = self.incoming.take() else { return Ok(None) };
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Ok(Some(((), PacketReceived::Complete(datagram.len()))))
    }
}

/// As much of a host as the control stream needs.
struct TestHost {
    enet: Host<Wire>,
    clock: Clock,
    cipher: ControlCipher,
    sequence: u32,
    /// Connect data of each connection.
    connections: Vec<u32>,
    taken: Vec<Taken>,
    disconnects: usize,
    peer: PeerID,
}

impl TestHost {
    fn new(now: Instant, nonce: ControlNonce, settings: HostSettings) -> Self {
        let clock = Clock::new(now);
        let settings = HostSettings { time: clock.reader(), seed: Some(9), ..settings };
        Self {
            enet: Host::new(Wire::default(), settings).unwrap(),
            clock,
            cipher: ControlCipher::new(&key(), nonce),
            sequence: 0,
            connections: Vec::new(),
            taken: Vec::new(),
            disconnects: 0,
            peer: PeerID(0),
        }
    }

    fn handle(&mut self, now: Instant, datagram: Option<Vec<u8>>) {
        self.clock.set(now);
        self.enet.socket_mut().incoming = datagram;
        while let Some(event) = self.enet.service().unwrap() {
            match event {
                EnetEvent::Connect { peer, data } => {
                    self.connections.push(data);
                    self.peer = peer.id();
                }
                EnetEvent::Disconnect { .. } => self.disconnects += 1,
                EnetEvent::Receive { channel_id, packet, .. } => {
                    let sealed = Sealed::parse(packet.data()).unwrap();
                    let clear = self.cipher.open(Side::Client, &sealed).unwrap();
                    let message = ClientMessage::parse(&Frame::parse(&clear).unwrap()).unwrap();
                    let sequence = sealed.sequence();
                    self.taken.push(Taken { at: now, channel: channel_id, sequence, message });
                }
            }
        }
    }

    fn sealed(&mut self, message: &HostMessage) -> Vec<u8> {
        let mut clear = Vec::new();
        message.emit(&mut clear);
        self.sequence += 1;
        self.cipher.seal(Side::Host, self.sequence - 1, clear)
    }

    fn send(&mut self, now: Instant, message: &HostMessage) {
        let sealed = self.sealed(message);
        self.send_bytes(now, sealed);
    }

    fn send_bytes(&mut self, now: Instant, bytes: Vec<u8>) {
        self.clock.set(now);
        self.enet.peer_mut(self.peer).send(0, &Packet::reliable(bytes)).unwrap();
        self.enet.flush();
    }

    fn messages(&self) -> Vec<&ClientMessage> {
        self.taken.iter().map(|taken| &taken.message).collect()
    }

    fn pings(&self) -> Vec<Instant> {
        self.taken.iter().filter(|t| t.message == ClientMessage::Ping).map(|t| t.at).collect()
    }

    fn inputs(&self) -> Vec<Input> {
        let input = |taken: &Taken| match taken.message {
            ClientMessage::Input(input) => Some(input),
            _ => None,
        };
        self.taken.iter().filter_map(input).collect()
    }
}

/// How datagrams travel.
#[derive(Clone, Copy)]
enum Path {
    /// At once.
    Perfect,
    /// Each way 1 to 30 ms, out of order, and a tenth of them lost.
    Lossy,
    /// Each way 15 ms, and so many of a hundred lost.
    Steady { loss: u64 },
    /// All of them lost that go to the host.
    Deaf,
    /// All of them lost.
    Dead,
}

/// Client, host, and the way between them, on a clock of their own.
struct Net {
    now: Instant,
    client: Control,
    host: TestHost,
    events: Vec<Event>,
    path: Path,
    random: u64,
    /// By time of arrival and a count; the flag is whether the host is to get it.
    travelling: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    count: u64,
    /// All that the client sent.
    sent: Vec<Vec<u8>>,
    /// How often the client was called because its time had come.
    timeouts: usize,
}

impl Net {
    fn new(nonce: ControlNonce) -> Self {
        Self::with(nonce, HostSettings { peer_limit: 4, ..HostSettings::default() })
    }

    fn with(nonce: ControlNonce, settings: HostSettings) -> Self {
        let now = crate::task::now();
        Self {
            now,
            client: Control::new(now, &config(nonce)),
            host: TestHost::new(now, nonce, settings),
            events: Vec::new(),
            path: Path::Perfect,
            random: 1,
            travelling: BTreeMap::new(),
            count: 0,
            sent: Vec::new(),
            timeouts: 0,
        }
    }

    /// Past the start messages.
    fn connected() -> Self {
        let mut net = Self::new(ControlNonce::V2);
        net.run(ms(50));
        assert_eq!(net.events, [Event::Connected]);
        net.events.clear();
        net
    }

    fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut host_due = self.now;
        loop {
            self.exchange();
            let arrival = self.travelling.keys().next().map(|&(at, _)| at);
            let timeout = self.client.poll_timeout();
            let next = [arrival, timeout, Some(host_due)].into_iter().flatten().min().unwrap();
            if next > until {
                self.now = until;
                return;
            }
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let (_, (to_host, datagram)) = self.travelling.pop_first().unwrap();
                match to_host {
                    true => self.host.handle(self.now, Some(datagram)),
                    false => self.client.handle_datagram(self.now, &datagram),
                }
            } else if timeout == Some(next) {
                self.client.handle_timeout(self.now);
                self.timeouts += 1;
                assert!(self.client.poll_timeout().is_none_or(|due| due > self.now), "what was due is done");
            } else {
                self.host.handle(self.now, None);
                host_due = self.now + ms(10);
            }
        }
    }

    /// Takes what both have to say.
    fn exchange(&mut self) {
        while let Some(datagram) = self.client.poll_datagram() {
            assert!(datagram.len() <= 900 && Datagram::parse(&datagram).is_ok());
            self.sent.push(datagram.clone());
            self.travel(true, datagram);
        }
        while let Some(datagram) = self.host.enet.socket_mut().outgoing.pop_front() {
            self.travel(false, datagram);
        }
        while let Some(event) = self.client.poll_event() {
            self.events.push(event);
        }
    }

    fn travel(&mut self, to_host: bool, datagram: Vec<u8>) {
        let path = self.path;
        let (lost, delay) = (self.next_random().is_multiple_of(10), ms(1 + self.next_random() % 30));
        let delay = match path {
            Path::Perfect => Duration::ZERO,
            Path::Lossy if lost => return,
            Path::Lossy => delay,
            Path::Steady { loss } if self.next_random() % 100 < loss => return,
            Path::Steady { .. } => ms(15),
            Path::Deaf if !to_host => Duration::ZERO,
            Path::Deaf | Path::Dead => return,
        };
        self.count += 1;
        self.travelling.insert((self.now + delay, self.count), (to_host, datagram));
    }

    /// xorshift64.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 16
    }

    /// What the host has to say now, as one datagram.
    fn joined_from_host(&mut self) -> Vec<u8> {
        let parts: Vec<Vec<u8>> = self.host.enet.socket_mut().outgoing.drain(..).collect();
        let parsed: Vec<_> = parts.iter().map(|part| Datagram::parse(part).unwrap()).collect();
        let timed = parsed.iter().map(|part| part.header).find(|header| header.sent_time.is_some());
        let mut joined = Vec::new();
        let commands = parsed.iter().flat_map(|part| part.commands.clone()).collect();
        Datagram { header: timed.unwrap(), commands }.emit(&mut joined);
        joined
    }

    /// The commands that the client sent, but for acknowledgements.
    fn commands(&self) -> Vec<Vec<Command<'_>>> {
        let own = |command: &Command<'_>| !matches!(command.body, Body::Acknowledge { .. });
        let commands = |bytes| Datagram::parse(bytes).unwrap().commands.into_iter().filter(own).collect();
        self.sent.iter().map(|bytes| commands(bytes)).collect()
    }
}

fn is_disconnect(command: &Command<'_>, wants_ack: bool) -> bool {
    matches!(command.body, Body::Disconnect { data: 0 }) && command.wants_ack == wants_ack
}

fn disconnected(reason: EndReason) -> Event {
    Event::Disconnected { reason }
}

#[test]
fn a_connection_begins_as_the_document_says() {
    for nonce in [ControlNonce::V2, ControlNonce::Old] {
        let mut net = Net::new(nonce);
        net.run(ms(50));
        assert_eq!(net.events, [Event::Connected]);
        assert_eq!(net.host.connections, [CONNECT_DATA]);
        let taken: Vec<_> =
            net.host.taken.iter().map(|t| (t.channel, t.sequence, t.message.clone())).collect();
        let expected =
            [(0, 0, ClientMessage::RequestIdr), (0, 1, ClientMessage::StartB), (0, 2, ClientMessage::Ping)];
        assert_eq!(taken, expected);

        let commands = net.commands();
        let [connect] = commands[0][..] else { panic!("{commands:?}") };
        let Body::Connect { handshake, data: CONNECT_DATA } = connect.body else { panic!("{connect:?}") };
        assert_eq!((handshake.channels, handshake.mtu, handshake.window), (48, 900, 65_536));
        assert_eq!(net.sent[0].len(), 52);
        assert!(matches!(commands[1][..], [Command { body: Body::Ping, .. }]), "with VERIFY_CONNECT's ACK");
        for start in &commands[2..5] {
            assert!(matches!(start[..], [Command { body: Body::Reliable(_), .. }]), "a datagram of its own");
        }
    }
}

#[test]
fn a_ping_goes_out_every_100_ms() {
    let mut net = Net::connected();
    net.run(ms(3000));
    let pings = net.host.pings();
    assert_eq!(pings.len(), 31);
    assert!(pings.windows(2).all(|pair| pair[1] - pair[0] == ms(100)), "{pings:?}");
    assert_eq!(net.events, []);
}

#[test]
fn missed_pings_are_not_made_up_for() {
    let mut net = Net::connected();
    net.now += ms(350);
    net.run(ms(120));
    let pings = net.host.pings();
    let gaps: Vec<_> = pings.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [ms(400), ms(100)]);
}

#[test]
fn input_arrives_on_its_channel_and_by_its_delivery() {
    let mut net = Net::connected();
    net.sent.clear();
    let controller = ControllerId::new(3).unwrap();
    let motion = Motion { controller, sensor: Sensor::Gyroscope, axes: [1.0, 2.0, 3.0] };
    let inputs = [
        Input::EnableHaptics,
        key_press(0x41),
        Input::MouseMove(MouseMove { dx: 1, dy: 1 }),
        Input::ControllerMotion(motion),
    ];
    for input in inputs {
        net.client.send_input(net.now, input).unwrap();
    }
    net.run(ms(20));
    assert_eq!(net.host.inputs(), inputs);
    let channels: Vec<u8> = net.host.taken[3..].iter().map(|taken| taken.channel).collect();
    assert_eq!(channels, [0, 2, 3, 0x23]);
    let unreliable = |command: &&Command<'_>| matches!(command.body, Body::Unreliable { .. });
    assert_eq!(net.commands().iter().flatten().filter(unreliable).count(), 1);
}

#[test]
fn unreliable_numbers_begin_again_after_a_reliable_packet() {
    let mut net = Net::connected();
    net.sent.clear();
    let controller = ControllerId::new(0).unwrap();
    let turn = Motion { controller, sensor: Sensor::Gyroscope, axes: [1.0, 0.0, 0.0] };
    let stop = Motion { axes: [0.0; 3], ..turn };
    for motion in [turn, turn, stop, turn] {
        net.client.send_input(net.now, Input::ControllerMotion(motion)).unwrap();
    }
    net.run(ms(20));
    let numbers = |command: &Command<'_>| match command.body {
        Body::Unreliable { sequence, .. } => (command.sequence, Some(sequence)),
        _ => (command.sequence, None),
    };
    let sent: Vec<_> = net.commands().iter().flatten().map(numbers).collect();
    assert_eq!(sent, [(0, Some(1)), (0, Some(2)), (1, None), (1, Some(1))]);
    assert_eq!(net.host.inputs().len(), 4);
}

#[test]
fn a_host_with_one_channel_gets_all_on_that() {
    let settings = HostSettings { peer_limit: 1, channel_limit: 1, ..HostSettings::default() };
    let mut net = Net::with(ControlNonce::V2, settings);
    net.run(ms(20));
    net.client.send_input(net.now, key_press(1)).unwrap();
    net.run(ms(20));
    assert_eq!(net.host.inputs(), [key_press(1)]);
    assert!(net.host.taken.iter().all(|taken| taken.channel == 0));
}

#[test]
fn a_host_that_reuses_its_peer_slot_takes_the_second_connection() {
    let settings = HostSettings { peer_limit: 1, ..HostSettings::default() };
    let mut net = Net::with(ControlNonce::V2, settings);
    net.run(ms(50));
    net.client.close(net.now);
    net.run(ms(50));
    assert_eq!(net.events, [Event::Connected, disconnected(EndReason::Closed)]);
    net.client = Control::new(net.now, &config(ControlNonce::V2));
    net.events.clear();
    net.host.taken.clear();
    net.sent.clear();
    net.run(ms(50));
    assert_eq!(net.events, [Event::Connected]);
    assert_eq!(net.host.taken.len(), 3);
    assert_eq!(Datagram::parse(&net.sent[1]).unwrap().header.session, 1);
}

#[test]
fn requests_for_an_idr_frame_are_joined_until_the_host_acknowledged_one() {
    let mut net = Net::connected();
    let before = net.host.taken.len();
    for _ in 0..5 {
        net.client.request_idr(net.now);
    }
    net.run(ms(20));
    let requests: Vec<_> = net.host.taken[before..].iter().map(|t| (t.channel, &t.message)).collect();
    assert_eq!(requests, [(1, &ClientMessage::RequestIdr); 2], "the first, and one for all others");
    net.client.request_idr(net.now);
    net.run(ms(20));
    assert_eq!(net.host.taken.len(), before + 3);
}

#[test]
fn a_request_for_an_idr_frame_before_the_connection_is_start_a() {
    let mut net = Net::new(ControlNonce::V2);
    net.client.request_idr(net.now);
    net.run(ms(50));
    let start = [&ClientMessage::RequestIdr, &ClientMessage::StartB, &ClientMessage::Ping];
    assert_eq!(net.host.messages(), start);
}

#[test]
fn the_newest_fec_statuses_go_out_in_front_of_the_next_ping() {
    let mut net = Net::connected();
    net.sent.clear();
    let before = net.host.taken.len();
    let status = |frame| FecStatus {
        frame,
        highest_sequence: 0,
        next_missing_sequence: 0,
        missing_before_highest: 0,
        data_shards: 1,
        parity_shards: 1,
        received_data_shards: 1,
        received_parity_shards: 0,
        percentage: 20,
        block: 0,
        blocks: 1,
    };
    for frame in 0..10 {
        net.client.report_fec(status(frame));
    }
    net.run(ms(60));
    let messages = net.host.messages();
    let expected: Vec<_> = (2..10).map(|frame| ClientMessage::FecStatus(status(frame))).collect();
    assert_eq!(messages[before..before + 8], expected.iter().collect::<Vec<_>>());
    assert_eq!(messages[before + 8..], [&ClientMessage::Ping]);
    let unsequenced = |command: &&Command<'_>| matches!(command.body, Body::Unsequenced { .. });
    assert_eq!(net.commands().iter().flatten().filter(unsequenced).count(), 8);
    assert_eq!(expected[0].delivery(), Delivery::Unsequenced);
}

#[test]
fn everything_arrives_once_and_in_order_over_a_lossy_path() {
    for seed in 1..=20 {
        let mut net = Net::new(ControlNonce::V2);
        (net.path, net.random) = (Path::Lossy, SPREAD.wrapping_mul(seed));
        net.run(ms(3000));
        assert_eq!(net.events, [Event::Connected], "seed {seed}");
        for n in 0..200 {
            net.client.send_input(net.now, key_press(n)).unwrap();
            net.host.send(net.now, &rumble(n.into()));
            net.run(ms(10));
        }
        net.run(ms(9000));
        assert_eq!(net.host.inputs(), (0..200).map(key_press).collect::<Vec<_>>(), "seed {seed}");
        let rumbles: Vec<_> = (0..200).map(|n| Event::Message(rumble(n))).collect();
        assert_eq!(net.events[1..], rumbles, "seed {seed}");
        let mut sequences: Vec<u32> = net.host.taken.iter().map(|taken| taken.sequence).collect();
        sequences.sort_unstable();
        assert_eq!(sequences, (0..sequences.len() as u32).collect::<Vec<_>>(), "each number once");
    }
}

#[test]
fn a_termination_ends_the_stream_and_is_acknowledged() {
    let mut net = Net::connected();
    net.sent.clear();
    net.host.send(net.now, &HostMessage::Termination(Termination::INTENDED));
    net.run(ms(20));
    assert_eq!(net.events, [disconnected(EndReason::Terminated(Termination::INTENDED))]);
    let sent: Vec<_> = net.sent.iter().map(|bytes| Datagram::parse(bytes).unwrap().commands).collect();
    assert!(matches!(sent[0][..], [Command { channel: 0, body: Body::Acknowledge { .. }, .. }]), "{sent:?}");
    assert!(matches!(sent[1][..], [ref command] if is_disconnect(command, false)), "{sent:?}");
    assert_eq!(sent.len(), 2);
    assert_eq!(net.client.poll_timeout(), None);
    assert_eq!(net.client.send_input(net.now, key_press(1)), Err(SendError::NotConnected));
}

#[test]
fn what_comes_with_a_disconnect_counts_first() {
    for with_ack in [false, true] {
        for message in [rumble(5), HostMessage::Termination(Termination::INTENDED)] {
            let mut net = Net::connected();
            net.host.send(net.now, &message);
            let peer = net.host.peer;
            let packet = net.joined_from_host();
            if with_ack {
                net.host.enet.peer_mut(peer).disconnect(0);
            } else {
                net.host.enet.peer_mut(peer).disconnect_now(0);
            }
            net.host.enet.flush();
            let mut datagram = Datagram::parse(&packet).unwrap();
            let disconnect = net.host.enet.socket_mut().outgoing.pop_front().unwrap();
            datagram.commands.extend(Datagram::parse(&disconnect).unwrap().commands);
            let mut joined = Vec::new();
            datagram.emit(&mut joined);
            net.client.handle_datagram(net.now, &joined);
            net.exchange();
            let expected = match message {
                HostMessage::Termination(code) => vec![disconnected(EndReason::Terminated(code))],
                message => vec![Event::Message(message), disconnected(EndReason::HostDisconnected)],
            };
            assert_eq!(net.events, expected);
        }
    }
}

#[test]
fn a_disconnect_without_a_word_is_told_as_such() {
    for with_ack in [false, true] {
        let mut net = Net::connected();
        let peer = net.host.peer;
        net.sent.clear();
        if with_ack {
            net.host.enet.peer_mut(peer).disconnect(0);
        } else {
            net.host.enet.peer_mut(peer).disconnect_now(0);
        }
        net.run(ms(30));
        assert_eq!(net.events, [disconnected(EndReason::HostDisconnected)]);
        assert_eq!(net.host.enet.peer(peer).state(), PeerState::Disconnected, "it was acknowledged");
        assert_eq!(net.sent.len(), usize::from(with_ack));
    }
}

#[test]
fn a_refused_connection_is_told_as_such() {
    let mut net = Net::new(ControlNonce::V2);
    let disconnect = Command {
        wants_ack: false,
        unsequenced: true,
        channel: 0xff,
        sequence: 1,
        body: Body::Disconnect { data: 0 },
    };
    let mut bytes = Vec::new();
    let header = Header { peer: 0, session: 0, sent_time: None };
    Datagram { header, commands: vec![disconnect] }.emit(&mut bytes);
    net.client.handle_datagram(net.now, &bytes);
    assert_eq!(net.client.poll_event(), Some(disconnected(EndReason::Refused)));
}

#[test]
fn closing_sends_what_is_queued_and_waits_for_the_host() {
    let mut net = Net::connected();
    net.path = Path::Lossy;
    for n in 0..20 {
        net.client.send_input(net.now, key_press(n)).unwrap();
    }
    net.client.close(net.now);
    assert_eq!(net.client.send_input(net.now, key_press(20)), Err(SendError::NotConnected));
    net.run(ms(2000));
    assert_eq!(net.events, [disconnected(EndReason::Closed)]);
    assert_eq!(net.host.inputs(), (0..20).map(key_press).collect::<Vec<_>>());
    assert_eq!(net.host.disconnects, 1);
    assert!(net.commands().iter().flatten().any(|command| is_disconnect(command, true)));
}

#[test]
fn closing_gives_up_on_a_dead_host_before_a_source_is_dropped() {
    let mut net = Net::connected();
    net.path = Path::Dead;
    net.client.close(net.now);
    net.run(ms(1499));
    assert_eq!(net.events, []);
    net.run(ms(1));
    assert_eq!(net.events, [disconnected(EndReason::Closed)]);
    assert!(CLOSING < SOURCE_GRACE);
}

#[test]
fn closing_before_the_connection_stands_is_at_once() {
    let mut net = Net::new(ControlNonce::V2);
    net.client.close(net.now);
    assert_eq!(net.client.poll_event(), Some(disconnected(EndReason::Closed)));
    assert_eq!(net.client.poll_timeout(), None);
}

#[test]
fn a_dead_host_is_noticed_after_10_s_without_a_busy_loop() {
    let mut net = Net::connected();
    net.path = Path::Dead;
    net.timeouts = 0;
    net.sent.clear();
    net.run(ms(9900));
    assert_eq!(net.events, []);
    net.run(ms(200));
    assert_eq!(net.events, [disconnected(EndReason::HostSilent)]);
    assert!(net.timeouts < 10_100 / 20 + 10_100 / 100 + 2, "{} timeouts", net.timeouts);
    assert!(net.sent.len() < 1000, "{} datagrams", net.sent.len());
    let timeouts = net.timeouts;
    net.run(ms(10_000));
    assert_eq!((net.timeouts, net.events.len()), (timeouts, 1));
}

/// A still desktop's last picture may be a second and a half older than the last word of its host.
#[test]
fn a_dead_host_is_called_silent_before_its_picture_is_called_frozen() {
    assert!(PATIENCE + ms(1500) < StreamerConfig::default().stall_timeout);
}

#[test]
fn a_host_that_only_hears_nothing_is_noticed_too() {
    let mut net = Net::connected();
    net.path = Path::Deaf;
    let start = net.now;
    while net.events.is_empty() && net.now < start + ms(15_000) {
        net.run(ms(100));
        // What any host says that still lives.
        net.client.handle_datagram(net.now, &[0x80, 0, 0, 0, 0x85, 0xff, 0, 1]);
    }
    assert_eq!(net.events, [disconnected(EndReason::HostSilent)]);
    let passed = net.now - start;
    assert!(passed > ms(9800) && passed < ms(12_000), "{passed:?}");
}

#[test]
fn an_absent_host_is_given_up_after_10_s() {
    let mut net = Net::new(ControlNonce::V2);
    net.path = Path::Dead;
    net.run(ms(9999));
    assert_eq!(net.events, []);
    net.run(ms(2));
    assert_eq!(net.events, [disconnected(EndReason::Unreachable)]);
    assert_eq!(net.sent.len(), 20, "every 500 ms");
}

#[test]
fn what_does_not_open_is_ignored_and_counted() {
    let mut net = Net::connected();
    let mut forged = net.host.sealed(&HostMessage::Termination(Termination::INTENDED));
    forged[10] ^= 1;
    net.host.send_bytes(net.now, forged);
    net.host.send_bytes(net.now, vec![1, 2, 3]);
    net.host.send(net.now, &rumble(1));
    net.run(ms(20));
    assert_eq!(net.events, [Event::Message(rumble(1))]);
    assert_eq!(net.client.ignored(), 2);
    net.client.handle_datagram(net.now, &[0xff; 20]);
    assert_eq!(net.client.ignored(), 3);
    net.run(ms(6000));
    assert_eq!(net.events.len(), 1, "the host got its acknowledgements");
    assert_eq!(net.host.disconnects, 0);
}

#[test]
fn too_much_input_is_refused_and_takes_no_number() {
    let mut net = Net::connected();
    net.path = Path::Dead;
    let mut accepted = 0;
    while net.client.send_input(net.now, key_press(0)).is_ok() {
        accepted += 1;
        assert!(accepted <= MAX_IN_FLIGHT);
    }
    assert_eq!(net.client.send_input(net.now, key_press(0)), Err(SendError::Full));
    assert_eq!(accepted, MAX_IN_FLIGHT);
    net.run(ms(300));
    net.path = Path::Perfect;
    net.run(ms(5000));
    assert_eq!(net.host.inputs().len(), accepted);
    let mut sequences: Vec<u32> = net.host.taken.iter().map(|taken| taken.sequence).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (0..sequences.len() as u32).collect::<Vec<_>>());
    net.client.send_input(net.now, key_press(1)).unwrap();
    net.run(ms(20));
    assert_eq!(net.host.inputs().len(), accepted + 1);
}

#[test]
fn numbers_and_clocks_wrap() {
    let mut net = Net::connected();
    for n in 0..70_000u32 {
        net.client.send_input(net.now, Input::Scroll(n as i16)).unwrap();
        net.host.send(net.now, &rumble(n as u16));
        net.run(ms(1));
    }
    net.run(ms(20));
    assert!(net.host.inputs().into_iter().eq((0..70_000u32).map(|n| Input::Scroll(n as i16))));
    assert!(net.events.into_iter().eq((0..70_000u32).map(|n| Event::Message(rumble(n as u16)))));
}

#[test]
fn datagrams_of_another_session_or_peer_are_ignored() {
    let mut net = Net::connected();
    for header in [[0x90, 0], [0x80, 1]] {
        net.client.handle_datagram(net.now, &[&header[..], &[0, 0, 0x84, 0xff, 0, 9, 0, 0, 0, 0]].concat());
    }
    assert_eq!(net.client.ignored(), 2);
    assert_eq!(net.client.poll_event(), None);
    assert_eq!(net.client.poll_datagram(), None);
}

#[test]
fn what_no_host_sends_holds_nothing_up() {
    let mut net = Net::connected();
    let peer = net.host.peer;
    for packet in [Packet::reliable(vec![1; 3000]), Packet::unreliable(vec![1; 30])] {
        net.host.enet.peer_mut(peer).send(0, &packet).unwrap();
    }
    net.host.send(net.now, &rumble(1));
    net.run(ms(6000));
    assert_eq!(net.events, [Event::Message(rumble(1))]);
    assert_eq!(net.host.disconnects, 0);
}

#[test]
fn packets_far_ahead_of_a_missing_one_come_again() {
    let mut net = Net::connected();
    let reliable = |sequence: u16, data: Vec<u8>| {
        let body = Body::Reliable(&data);
        let command = Command { wants_ack: true, unsequenced: false, channel: 0, sequence, body };
        let header = Header { peer: 0, session: 0, sent_time: Some(0) };
        let mut bytes = Vec::new();
        Datagram { header, commands: vec![command] }.emit(&mut bytes);
        bytes
    };
    let mut acknowledged = 0;
    for sequence in [5000, 32_000].into_iter().chain(2..400) {
        let message = net.host.sealed(&rumble(sequence));
        net.client.handle_datagram(net.now, &reliable(sequence, message));
        acknowledged += usize::from(net.client.poll_datagram().is_some());
    }
    assert_eq!(acknowledged, 256);
    assert_eq!(net.client.poll_event(), None);
    let first = net.host.sealed(&rumble(1));
    net.client.handle_datagram(net.now, &reliable(1, first));
    for n in 1..=257 {
        assert_eq!(net.client.poll_event(), Some(Event::Message(rumble(n))));
    }
}

#[test]
fn nothing_is_sealed_when_no_numbers_are_left() {
    let mut net = Net::connected();
    net.client.sequence = u32::MAX;
    assert_eq!(net.client.send_input(net.now, key_press(1)), Err(SendError::Exhausted));
}

#[test]
fn a_control_stream_may_move_between_threads_and_prints_no_key() {
    fn assert_send<T: Send>(_: &T) {}
    let net = Net::connected();
    assert_send(&net.client);
    assert_eq!(
        format!("{:?}", net.client).split_once(" {").unwrap().0,
        "Control",
        "state and sequence number only"
    );
    assert!(!format!("{:?}", config(ControlNonce::V2)).contains("[0, 1, 2"));
}
