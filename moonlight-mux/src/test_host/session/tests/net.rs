//! A client, a host, and a way between them that loses, delays and reorders, on a clock of their own.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::super::*;
use crate::gamestream::connection::{Connection, ConnectionConfig, Event};
use crate::gamestream::crypto::tests::{RIKEYID, key};
use crate::gamestream::crypto::{SessionKey, VideoCipher};
use crate::gamestream::negotiation::Wishes;
use crate::gamestream::negotiation::tests::wishes;
use crate::gamestream::wire::sdp::Encryption;
use crate::gamestream::wire::video::{Packet, Sealed};
use crate::media::{AudioFrame, VideoCodec, VideoFrame};
use crate::task;

/// How datagrams travel. RTSP is as late, and loses nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    /// In percent, each way.
    pub(super) loss: u64,
    /// In percent: so many come up to 8 ms late.
    pub(super) reordering: u64,
    /// Each way.
    pub(super) delay: Duration,
}

impl Path {
    pub(super) const CLEAN: Self = Self { loss: 0, reordering: 0, delay: Duration::from_millis(5) };
}

/// A picture that the host sent.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) at: Instant,
    pub(super) keyframe: bool,
    pub(super) data: Vec<u8>,
    /// By FEC block: data shards, and shards that arrived.
    blocks: HashMap<u8, (usize, usize)>,
}

impl Sent {
    /// Whether FEC can make it whole.
    pub(super) fn arrived(&self) -> bool {
        self.blocks.values().all(|(data_shards, arrived)| arrived >= data_shards)
    }
}

/// What is under way.
enum Travel {
    Request(Vec<u8>),
    Answer(Vec<u8>),
    ToHost(Stream, Vec<u8>),
    ToClient(Stream, Vec<u8>),
}

pub(super) struct Net {
    pub(super) now: Instant,
    pub(super) client: Connection,
    pub(super) host: HostSession,
    pub(super) path: Path,
    random: Random,
    travelling: BTreeMap<(Instant, u64), Travel>,
    count: u64,
    codec: VideoCodec,
    key: SessionKey,
    video_cipher: Option<VideoCipher>,
    packet_duration: Duration,
    /// When the next picture is due, if the host shows any.
    next_picture: Option<Instant>,
    next_sound: Option<Instant>,
    keyframe_wanted: bool,
    /// From the first picture's number on.
    pub(super) sent: Vec<Sent>,
    pub(super) sounds: Vec<Vec<u8>>,
    /// All datagrams of this picture are lost.
    pub(super) lose_picture: Option<usize>,
    /// The size of a picture; else a few hundred to a few thousand bytes.
    pub(super) picture_len: Option<usize>,
    /// Nothing of this stream reaches the host.
    pub(super) mute: Option<Stream>,
    /// The client acknowledges, and does nothing else.
    pub(super) client_sleeps: bool,
    /// Bytes of the longest video datagram.
    pub(super) longest: usize,
    /// When they came.
    pub(super) pictures: Vec<(Instant, VideoFrame)>,
    pub(super) heard: Vec<AudioFrame>,
    /// Others than pictures and sounds.
    pub(super) events: Vec<Event>,
    pub(super) connected_at: Option<Instant>,
    pub(super) host_events: Vec<(Instant, HostSessionEvent)>,
    /// All that the host sent on the control stream.
    pub(super) from_host: Vec<(Instant, HostTransmit)>,
}

pub(super) const FRAME: Duration = Duration::from_nanos(1_000_000_000 / 60);
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A launch that fits [`wishes`].
pub(super) fn config(manner: Manner) -> SessionConfig {
    let supported = Encryption { control: true, video: true, audio: true };
    let requested = Encryption { control: true, ..Encryption::default() };
    let launch = wishes().launch("1".parse().unwrap(), 0, key(), RIKEYID);
    SessionConfig {
        manner,
        encryption: EncryptionOffer { supported, requested },
        hevc: true,
        av1: true,
        launch,
        ports: SessionPorts { video: 47998, audio: 48000, control: 47999 },
        packet_size_limit: None,
        fec_percentage: 20,
        seed: 5,
    }
}

impl Net {
    pub(super) fn new(config: SessionConfig, wishes: Wishes, path: Path, seed: u64) -> Self {
        Self::with_key(config, wishes, path, seed, key(), RIKEYID)
    }

    /// With the launch's key and key id.
    pub(super) fn with_key(
        config: SessionConfig,
        wishes: Wishes,
        path: Path,
        seed: u64,
        key: SessionKey,
        rikeyid: u32,
    ) -> Self {
        let now = task::now();
        let host = HostSession::new(now, config);
        let scheme = if host.encrypts_rtsp() { "rtspenc" } else { "rtsp" };
        let client = ConnectionConfig {
            url: format!("{scheme}://127.0.0.1:48010").parse().unwrap(),
            host: HOST,
            key: key.clone(),
            rikeyid,
            wishes: wishes.clone(),
            seed: 7,
        };
        Self {
            now,
            client: Connection::new(now, client),
            host,
            path,
            random: Random(seed),
            travelling: BTreeMap::new(),
            count: 0,
            codec: wishes.codecs[0],
            key,
            video_cipher: None,
            packet_duration: wishes.packet_duration,
            next_picture: None,
            next_sound: None,
            keyframe_wanted: true,
            sent: Vec::new(),
            sounds: Vec::new(),
            lose_picture: None,
            picture_len: None,
            mute: None,
            client_sleeps: false,
            longest: 0,
            pictures: Vec::new(),
            heard: Vec::new(),
            events: Vec::new(),
            connected_at: None,
            host_events: Vec::new(),
            from_host: Vec::new(),
        }
    }

    /// A session that streams, on a clean way.
    pub(super) fn streaming(manner: Manner) -> Self {
        let mut net = Self::new(config(manner), wishes(), Path::CLEAN, 1);
        net.run(Duration::from_millis(500));
        assert!(net.pictures.len() > 10, "{:?}", net.events);
        net
    }

    pub(super) fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            self.exchange();
            let arrival = self.travelling.keys().next().map(|&(at, _)| at);
            let client = self.client.poll_timeout().filter(|_| !self.client_sleeps);
            let host = self.host.poll_timeout();
            let due = [arrival, client, host, self.next_picture, self.next_sound];
            let Some(next) = due.into_iter().flatten().min().filter(|&next| next <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let (_, travel) = self.travelling.pop_first().unwrap();
                self.arrive(travel);
            } else if client == Some(next) {
                self.client.handle_timeout(self.now);
            } else if host == Some(next) {
                self.host.handle_timeout(self.now);
                assert!(self.host.poll_timeout().is_none_or(|due| due > self.now), "what was due is done");
            } else if self.next_picture == Some(next) {
                self.next_picture = Some(next + FRAME);
                self.show();
            } else {
                self.next_sound = Some(next + self.packet_duration);
                let opus: Vec<u8> = (0..120).map(|_| self.random.next() as u8).collect();
                self.host.send_audio(&opus);
                self.sounds.push(opus);
            }
        }
    }

    /// From host events of that kind, in order.
    pub(super) fn inputs(&self) -> Vec<Input> {
        let input = |(_, event): &(Instant, HostSessionEvent)| match event {
            HostSessionEvent::Input(input) => Some(*input),
            _ => None,
        };
        self.host_events.iter().filter_map(input).collect()
    }

    pub(super) fn host_end(&self) -> Option<(Instant, EndReason)> {
        match self.host_events.last() {
            Some(&(at, HostSessionEvent::Ended(reason))) => Some((at, reason)),
            _ => None,
        }
    }

    /// The number of the first picture.
    pub(super) fn first_number(&self) -> u64 {
        self.host.config.first_number().into()
    }

    /// The host's next picture: a key frame only if somebody asked.
    fn show(&mut self) {
        let keyframe = std::mem::take(&mut self.keyframe_wanted);
        let len = match self.picture_len {
            Some(len) => len,
            None if keyframe => 5000,
            None => 200 + (self.random.next() % 2000) as usize,
        };
        let mut data: Vec<u8> = match (self.codec, keyframe) {
            (VideoCodec::H264, true) => vec![0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 1, 0, 0, 0, 1, 0x65],
            (VideoCodec::H264, false) => vec![0, 0, 0, 1, 0x61],
            (VideoCodec::Hevc, true) => vec![0, 0, 0, 1, 0x40, 1, 0, 0, 0, 1, 0x26],
            (VideoCodec::Hevc, false) => vec![0, 0, 0, 1, 0x02],
            (VideoCodec::Av1, _) => vec![0x12, 0x00],
        };
        // No start codes in between.
        data.extend((0..len).map(|_| self.random.next() as u8 | 1));
        let timestamp = VideoTimestamp(self.sent.len() as u64 * 1500);
        self.host.send_video(timestamp, Some(Duration::from_micros(3400)), keyframe, &data);
        self.sent.push(Sent { at: self.now, keyframe, data, blocks: HashMap::new() });
    }

    fn exchange(&mut self) {
        if let Some(request) = self.client.poll_request(self.now) {
            self.travel(self.path.delay, Travel::Request(request));
        }
        while let Some(transmit) = self.client.poll_transmit() {
            if let Some(delay) = self.fate().filter(|_| self.mute != Some(transmit.stream)) {
                self.travel(delay, Travel::ToHost(transmit.stream, transmit.bytes));
            }
        }
        while let Some(transmit) = self.host.poll_transmit() {
            assert_eq!(transmit.to, address(transmit.stream), "each stream goes to its own socket");
            let lost = transmit.stream == Stream::Video && self.is_to_be_lost();
            let delay = self.fate().filter(|_| !lost);
            if transmit.stream == Stream::Video {
                self.longest = self.longest.max(transmit.bytes.len());
                self.count_shard(&transmit.bytes, delay.is_some());
            }
            if let Some(delay) = delay {
                self.travel(delay, Travel::ToClient(transmit.stream, transmit.bytes.clone()));
            }
            if transmit.stream == Stream::Control {
                self.from_host.push((self.now, transmit));
            }
        }
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Video(frame) => self.pictures.push((self.now, frame)),
                Event::Audio(frame) => self.heard.push(frame),
                event => {
                    if event == Event::Connected {
                        self.connected_at = Some(self.now);
                    }
                    self.events.push(event);
                }
            }
        }
        while let Some(event) = self.host.poll_event() {
            match &event {
                HostSessionEvent::Announced(announcement) => {
                    self.video_cipher = announcement.encryption.video.then(|| VideoCipher::new(&self.key));
                }
                HostSessionEvent::MediaWanted(Stream::Video) => self.next_picture = Some(self.now),
                HostSessionEvent::MediaWanted(_) => self.next_sound = Some(self.now),
                // Before the first picture nobody needs to ask.
                HostSessionEvent::KeyframeWanted { .. } => self.keyframe_wanted = true,
                HostSessionEvent::Ended(_) => (self.next_picture, self.next_sound) = (None, None),
                _ => {}
            }
            self.host_events.push((self.now, event));
        }
    }

    fn is_to_be_lost(&self) -> bool {
        self.lose_picture.is_some_and(|index| index + 1 == self.sent.len())
    }

    fn count_shard(&mut self, datagram: &[u8], arrives: bool) {
        let mut clear = datagram.to_vec();
        if let Some(cipher) = &self.video_cipher {
            cipher.open(&Sealed::parse(datagram).unwrap(), &mut clear).unwrap();
        }
        let header = Packet::parse(&clear).unwrap().header();
        let index = (u64::from(header.frame) - self.first_number()) as usize;
        let (data_shards, arrived) = self.sent[index].blocks.entry(header.block.index).or_default();
        *data_shards = header.fec.data_shards.into();
        *arrived += usize::from(arrives);
    }

    /// How late a datagram comes, if it does.
    fn fate(&mut self) -> Option<Duration> {
        let (lost, late, by) = (self.random.next(), self.random.next(), self.random.next());
        let late = late % 100 < self.path.reordering;
        let delay = self.path.delay + if late { Duration::from_micros(by % 8000) } else { Duration::ZERO };
        (lost % 100 >= self.path.loss).then_some(delay)
    }

    fn travel(&mut self, delay: Duration, travel: Travel) {
        self.count += 1;
        self.travelling.insert((self.now + delay, self.count), travel);
    }

    fn arrive(&mut self, travel: Travel) {
        match travel {
            Travel::Request(request) => {
                assert!(self.host.is_whole_request(&request));
                let answer = self.host.handle_rtsp(self.now, &request);
                self.travel(self.path.delay, Travel::Answer(answer));
            }
            Travel::Answer(answer) => {
                self.client.handle_connected(self.now);
                self.client.handle_bytes(self.now, &answer);
                self.client.handle_end(self.now);
            }
            Travel::ToHost(stream, datagram) => {
                self.host.handle_datagram(self.now, stream, address(stream), &datagram);
            }
            Travel::ToClient(stream, datagram) => {
                self.client.handle_datagram(self.now, stream, &datagram);
            }
        }
    }
}

/// The client's.
fn address(stream: Stream) -> SocketAddr {
    let port = match stream {
        Stream::Control => 50_001,
        Stream::Video => 50_002,
        Stream::Audio => 50_003,
    };
    SocketAddr::new(CLIENT, port)
}
