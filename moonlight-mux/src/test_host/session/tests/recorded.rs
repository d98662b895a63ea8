//! The host in the place of the recorded ones: the same session, the same pictures and sounds, the same words. What it
//! sends is compared with what they sent, byte by byte; where it differs, docs/gamestream.md says why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as File;

use super::super::*;
use super::net::{Net, Path};
use crate::gamestream::crypto::Side;
use crate::gamestream::recorded::sessions;
use crate::gamestream::wire::audio;
use crate::gamestream::wire::control::{Frame, Sealed as SealedMessage};
use crate::gamestream::wire::enet::{Body, Datagram, Handshake};
use crate::gamestream::wire::rtsp::{Response, Sender};
use crate::gamestream::wire::sdp::{Encryption, Offer};
use crate::gamestream::wire::video::{FrameHeader, HEADER_LEN, Header, MAX_BLOCKS, Packet, Sealed};
use crate::recording::{Recording, Replay, Replayed};
use crate::task;

/// A recorded session, and our host as that host was.
struct Again {
    name: String,
    manner: Manner,
    recorded: Replay,
    host: HostSession,
    now: Instant,
    /// What differs, and how often.
    differences: BTreeMap<&'static str, usize>,
}

impl Again {
    /// RTSP is over: each answer is the recorded one.
    fn new(session: &File) -> Self {
        let name = session.to_string_lossy().into_owned();
        let recorded = Recording::replay(session).unwrap();
        let manner = match () {
            () if name.contains("/v0.23-") => Manner::SunshineV023,
            () if name.contains("/v2025-") => Manner::Sunshine,
            () => Manner::Wolf,
        };
        let now = task::now();
        let host = HostSession::new(now, config(&recorded, manner));
        let mut again = Self { name, manner, recorded, host, now, differences: BTreeMap::new() };
        again.answer();
        let client = ([127, 0, 0, 1], 50_000).into();
        let live = again.host.live.as_mut().unwrap();
        (live.video_to, live.audio_to) = (Some(client), Some(client));
        again
    }

    fn answer(&mut self) {
        let messages = self.recorded.transcript.messages();
        let answers = messages.iter().filter(|message| message.sender == Sender::Host);
        let headers: Vec<_> = answers.map(|m| Response::parse(&m.bytes).unwrap().headers).collect();
        let find = |name| headers.iter().find_map(|headers| headers.find(name));
        let payload = find("X-SS-Ping-Payload").map(|payload| payload.as_bytes().try_into().unwrap());
        let connect_data = self.recorded.negotiated.control.connect_data;
        self.host.responder = Responder::new(&self.host.config, payload.unwrap_or([0; 16]), connect_data);
        let mut answers = 0;
        for pair in messages.chunks(2) {
            let answer = self.host.handle_rtsp(self.now, &pair[0].bytes);
            let text = String::from_utf8_lossy(&answer).into_owned();
            assert_eq!(text, String::from_utf8_lossy(&pair[1].bytes), "{}", self.name);
            answers += 1;
        }
        assert_eq!(answers, 7, "{}", self.name);
        assert!(matches!(self.host.poll_event(), Some(HostSessionEvent::Announced(_))));
    }

    fn differs(&mut self, what: &'static str) {
        *self.differences.entry(what).or_default() += 1;
    }

    /// Nothing of the media was lost between that host and its client.
    fn is_whole(&self) -> bool {
        !self.name.contains("loss")
    }

    fn from(&self, port: u16) -> Vec<Vec<u8>> {
        let datagrams = self.recorded.datagrams().filter(|datagram| datagram.source.port() == port);
        datagrams.map(|datagram| datagram.payload.to_vec()).collect()
    }

    /// How many datagrams of the recorded ones were compared.
    fn check_video(&mut self) -> usize {
        let datagrams = self.from(self.recorded.negotiated.video_port);
        let key = &self.recorded.requested.rikey;
        let cipher = self.recorded.negotiated.announcement.encryption.video.then(|| VideoCipher::new(key));
        let clear = datagrams.iter().map(|datagram| match &cipher {
            None => datagram.clone(),
            Some(cipher) => {
                let mut clear = Vec::new();
                cipher.open(&Sealed::parse(datagram).unwrap(), &mut clear).unwrap();
                clear
            }
        });
        let mut by_frame: BTreeMap<u32, Vec<Shard>> = BTreeMap::new();
        for (sealed, clear) in datagrams.iter().zip(clear.collect::<Vec<_>>()) {
            let frame = Packet::parse(&clear).unwrap().header().frame;
            by_frame.entry(frame).or_default().push(Shard { sealed: sealed.clone(), clear });
        }
        let mut compared = 0;
        for replayed in self.recorded.events().collect::<Vec<_>>() {
            let Replayed::Video { frame, .. } = replayed else { continue };
            let theirs = &by_frame[&(frame.number.0 as u32)];
            compared += self.check_picture(&frame.data, frame.keyframe, theirs, cipher.as_ref());
        }
        compared
    }

    fn check_picture(
        &mut self,
        data: &[u8],
        keyframe: bool,
        theirs: &[Shard],
        cipher: Option<&VideoCipher>,
    ) -> usize {
        let headers: Vec<_> =
            theirs.iter().map(|shard| Packet::parse(&shard.clear).unwrap().header()).collect();
        let first = headers.iter().position(|header| header.block.index == 0 && header.fec.shard == 0);
        let latency = first
            .and_then(|first| FrameHeader::parse(&theirs[first].clear[HEADER_LEN..]).unwrap().host_latency);
        let timestamp = headers[0].timestamp;
        let number = headers[0].frame;
        let video = &mut self.host.live.as_mut().unwrap().video;
        // A block of which nothing came is as long as others: only the last is shorter.
        let mut lens = [0; MAX_BLOCKS];
        for header in &headers {
            let len = header.fec.data_shards + header.fec.parity_shards();
            lens[..=header.block.index.into()].iter_mut().for_each(|known| *known = len.max(*known));
        }
        let place =
            |header: &Header| lens[..header.block.index.into()].iter().sum::<u16>() + header.fec.shard;
        let ahead = headers[0].sequence.wrapping_sub(place(&headers[0])).wrapping_sub(video.shards as u16);
        let lost = ahead != 0 || video.number != number;
        video.shards += u64::from(ahead);
        video.number = number;
        if lost && self.is_whole() {
            self.differs("sequence and frame number");
        }
        self.host.send_video(VideoTimestamp(timestamp.into()), latency, keyframe, data);
        let ours: Vec<_> = std::iter::from_fn(|| self.host.poll_transmit()).map(|t| t.bytes).collect();
        if ours.len() != theirs.len() && self.is_whole() {
            self.differs("datagrams of a picture");
        }
        for (Shard { sealed, clear }, header) in theirs.iter().zip(&headers) {
            let Some(our_sealed) = ours.get(usize::from(place(header))) else {
                self.differs("datagrams of a picture");
                continue;
            };
            if our_sealed == sealed {
                continue;
            }
            let mut our_clear = our_sealed.clone();
            if let Some(cipher) = cipher {
                cipher.open(&Sealed::parse(our_sealed).unwrap(), &mut our_clear).unwrap();
                if our_sealed[..16] != sealed[..16] {
                    self.differs("envelope");
                }
            }
            if first.is_none() && header.block.index == 0 && header.fec.shard == 0 {
                continue;
            }
            self.compare_shards(&our_clear, clear, first.is_some());
        }
        theirs.len()
    }

    fn compare_shards(&mut self, ours: &[u8], theirs: &[u8], latency_known: bool) {
        if ours.len() != theirs.len() {
            return self.differs("length");
        }
        for (field, range) in FIELDS {
            if ours[range.clone()] != theirs[range] {
                self.differs(field);
            }
        }
        // Parity depends on all of them.
        if latency_known && ours[HEADER_LEN..] != theirs[HEADER_LEN..] {
            self.differs("payload");
        }
    }

    /// How many datagrams were compared.
    fn check_audio(&mut self) -> usize {
        let theirs = self.from(self.recorded.negotiated.audio_port);
        let requested = &self.recorded.requested;
        let announcement = &self.recorded.negotiated.announcement;
        let encrypted = announcement.session(requested.rikey.clone(), requested.rikeyid()).audio.encrypted;
        let cipher = encrypted.then(|| AudioCipher::new(&requested.rikey, requested.rikeyid()));
        for datagram in &theirs {
            if let audio::Packet::Data(data) = audio::Packet::parse(datagram).unwrap() {
                let opus = match &cipher {
                    Some(cipher) => cipher.open(data.sequence, data.payload).unwrap(),
                    None => data.payload.to_vec(),
                };
                self.host.send_audio(&opus);
            }
        }
        let ours = std::iter::from_fn(|| self.host.poll_transmit()).map(|t| t.bytes);
        let ours: Vec<_> = ours.take(theirs.len()).collect();
        for (ours, theirs) in ours.iter().zip(&theirs) {
            if ours != theirs {
                self.differs("audio");
            }
        }
        theirs.len().min(ours.len())
    }

    /// What that host's client said is heard, once each and in order, and what that host said is said in the same bytes.
    /// How many messages there were, the client's and the host's.
    fn check_control(&mut self) -> (usize, usize) {
        let port = self.recorded.negotiated.control.port;
        let nonce = if self.recorded.negotiated.announcement.control_v2() {
            ControlNonce::V2
        } else {
            ControlNonce::Old
        };
        let cipher = ControlCipher::new(&self.recorded.requested.rikey, nonce);
        let datagrams = self.recorded.datagrams();
        let datagrams: Vec<_> = datagrams
            .filter(|datagram| [datagram.source.port(), datagram.destination.port()].contains(&port))
            .map(|datagram| (datagram.at, datagram.source, datagram.payload.to_vec()))
            .collect();
        let (began, start) = (datagrams[0].0, self.now);
        let (mut seen, mut said, mut their_words) = (BTreeSet::new(), Vec::new(), Vec::new());
        let (mut verified, mut our_verify) = (None, None);
        let (mut pings, mut our_clock) = (0, 0);
        for (at, source, bytes) in &datagrams {
            let from_host = source.port() == port;
            let parsed = Datagram::parse(bytes).unwrap();
            for command in &parsed.commands {
                if let Body::VerifyConnect(handshake) = command.body {
                    // Of a peer's second connection the numbers are others.
                    verified = Some(Handshake { incoming_session: 0, outgoing_session: 0, ..handshake });
                }
                let sealed = SealedMessage::parse(command.body.data());
                let key = (from_host, command.channel, command.sequence, command.wants_ack);
                let (Ok(sealed), true) = (sealed, !command.wants_ack || seen.insert(key)) else { continue };
                let side = if from_host { Side::Host } else { Side::Client };
                let Ok(clear) = cipher.open(side, &sealed) else { continue };
                let frame = Frame::parse(&clear).unwrap();
                if from_host {
                    their_words.push((HostMessage::parse(&frame).unwrap(), command.body.data().to_vec()));
                } else {
                    match ClientMessage::parse(&frame).unwrap() {
                        ClientMessage::Ping => pings += 1,
                        message => said.push((command.channel, message)),
                    }
                }
            }
            if !from_host {
                self.now = start + at.saturating_sub(began);
                let bytes = with_clock(parsed, our_clock);
                self.host.handle_datagram(self.now, Stream::Control, (*source).into(), &bytes);
                while let Some(transmit) = self.host.poll_transmit() {
                    let Datagram { header, commands } = Datagram::parse(&transmit.bytes).unwrap();
                    our_clock = header.sent_time.unwrap_or(our_clock);
                    our_verify = our_verify.or(commands.iter().find_map(|command| match command.body {
                        Body::VerifyConnect(handshake) => Some(handshake),
                        _ => None,
                    }));
                }
            }
        }
        if our_verify.is_none() || our_verify != verified {
            self.differs("VERIFY_CONNECT");
        }
        let mut heard = Vec::new();
        let mut end = None;
        while let Some(event) = self.host.poll_event() {
            match event {
                HostSessionEvent::KeyframeWanted { start } => {
                    heard.push((u8::from(!start), ClientMessage::RequestIdr));
                }
                HostSessionEvent::Input(input) => heard.push((input.channel(), ClientMessage::Input(input))),
                HostSessionEvent::Message(message) => heard.push((message.channel(), message)),
                HostSessionEvent::ControlConnected => {}
                HostSessionEvent::Ended(reason) => end = Some(reason),
                other => panic!("{}: {other:?}", self.name),
            }
        }
        assert_eq!(end, Some(EndReason::ClientLeft), "{}", self.name);
        assert_eq!(self.host.received().control_pings, pings, "{}", self.name);
        assert_eq!(heard, said, "{}", self.name);
        let mut ours = ControlHost::new(self.now, self.manner, cipher, None, 1);
        for (message, bytes) in &their_words {
            if ours.seal(message) != *bytes {
                self.differs("control message");
            }
        }
        (said.len(), their_words.len())
    }
}

fn config(recorded: &Replay, manner: Manner) -> SessionConfig {
    let negotiated = &recorded.negotiated;
    let wishes = recorded.requested.wishes(&negotiated.announcement);
    let (key, rikeyid) = (recorded.requested.rikey.clone(), recorded.requested.rikeyid());
    let mut launch = wishes.launch("1".parse().unwrap(), 0, key, rikeyid);
    // The transcript is in clear.
    launch.rtsp_encryption = false;
    let mut offers = recorded.transcript.messages().iter().filter_map(|message| {
        let body = Response::parse(&message.bytes).ok()?.body;
        (!body.is_empty()).then(|| Offer::parse(&body).unwrap())
    });
    let offer = offers.next_back().unwrap();
    let none = EncryptionOffer { supported: Encryption::default(), requested: Encryption::default() };
    SessionConfig {
        manner,
        encryption: offer.encryption.unwrap_or(none),
        hevc: offer.hevc,
        av1: offer.av1,
        launch,
        ports: SessionPorts {
            video: negotiated.video_port,
            audio: negotiated.audio_port,
            control: negotiated.control.port,
        },
        packet_size_limit: None,
        fec_percentage: 20,
        seed: 1,
    }
}

/// A recorded video datagram as it was sent, and opened.
struct Shard {
    sealed: Vec<u8>,
    clear: Vec<u8>,
}

/// As the client would write to a host with this clock that was never connected to before.
fn with_clock(mut datagram: Datagram<'_>, clock: u16) -> Vec<u8> {
    datagram.header.session = 0;
    for command in &mut datagram.commands {
        if let Body::Acknowledge { sent_time, .. } = &mut command.body {
            *sent_time = clock;
        }
    }
    let mut bytes = Vec::new();
    datagram.emit(&mut bytes);
    bytes
}

/// Of a video datagram in clear.
const FIELDS: [(&str, std::ops::Range<usize>); 9] = [
    ("RTP header", 0..2),
    ("sequence", 2..4),
    ("timestamp", 4..8),
    ("SSRC and reserved", 8..16),
    ("stream packet index", 16..20),
    ("frame number", 20..24),
    ("flags", 24..27),
    ("blocks", 27..28),
    ("FEC info", 28..32),
];

#[test]
fn recorded_hosts_sent_what_this_host_sends_in_their_place() {
    let Some(sessions) = sessions() else { return };
    let (mut video, mut audio, mut said, mut answered) = (0, 0, 0, 0);
    for session in sessions {
        let mut again = Again::new(&session);
        video += again.check_video();
        if again.is_whole() {
            audio += again.check_audio();
        }
        let (client, host) = again.check_control();
        (said, answered) = (said + client, answered + host);
        // It looks at its clock for each shard.
        if again.manner == Manner::SunshineV023 {
            again.differences.remove("timestamp");
        }
        assert!(again.differences.is_empty(), "{}: {:?}", again.name, again.differences);
    }
    eprintln!("{video} video datagrams, {audio} audio datagrams, {said} and {answered} messages");
    assert!(video > 10_000 && audio > 10_000 && said > 200 && answered > 20);
}

#[test]
fn our_client_tells_this_host_what_the_recorded_client_told_its_own() {
    let Some(sessions) = sessions() else { return };
    for session in sessions {
        let again = Again::new(&session);
        let announcement = again.recorded.negotiated.announcement;
        let wishes = again.recorded.requested.wishes(&announcement);
        let config = SessionConfig { seed: 3, ..again.host.config.clone() };
        let mut net = Net::with_key(
            config,
            wishes,
            Path::CLEAN,
            1,
            again.recorded.requested.rikey.clone(),
            again.recorded.requested.rikeyid(),
        );
        net.run(Duration::from_millis(300));
        let announced = net.host_events.iter().find_map(|(_, event)| match event {
            HostSessionEvent::Announced(announced) => Some(**announced),
            _ => None,
        });
        // Some clients of recordings reached their host by a relay.
        let address = ([127, 0, 0, 1]).into();
        assert_eq!(announced, Some(Announcement { address, ..announcement }), "{}", again.name);
        let first = net.host_events.iter().filter_map(|(_, event)| match event {
            HostSessionEvent::KeyframeWanted { start: true } => Some("start"),
            HostSessionEvent::Message(ClientMessage::StartB) => Some("start B"),
            HostSessionEvent::Input(Input::EnableHaptics) => Some("haptics"),
            HostSessionEvent::Input(_) => Some("input"),
            _ => None,
        });
        assert_eq!(first.collect::<Vec<_>>(), ["start", "start B", "haptics"], "{}", again.name);
        let log = net.host.received();
        assert!(log.video_pings > 0 && log.audio_pings > 0 && log.control_pings > 1, "{log:?}");
    }
}
