//! Media past the WebRTC crate: a picture is packetised once for all viewers, encrypted into one buffer for each, and sent with
//! one system call.
//!
//! The crate negotiates, connects, and carries data channels; the packets that it would make of our tracks, and RTCP, are made
//! here instead (docs/egress.md).

#[cfg(feature = "bench-support")]
pub(super) mod bench_support;
mod burst;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod history;
pub(super) mod keys;
mod pace;
mod rtcp;
mod rtp;
mod sender_report;
mod sent;
mod srtp;
pub(super) mod viewer;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use tokio::time::timeout;
use webrtc::media_stream::track_local::TrackLocal;

use self::burst::{MAX_SEGMENTS, bursts};
use self::history::{FramePackets, PacketHistory};
use self::keys::KeyTap;
use self::pace::{AT_ONCE, Chunks};
use self::rtcp::RtcpSender;
use self::rtp::{ExtendedSequence, Header};
use self::sender_report::SenderReports;
use self::sent::Sent;
use self::srtp::RtpSealer;
use self::viewer::MediaSender;
use super::endpoint::{self, Outlet};
use super::feedback::{Backchannel, Negotiated};
use super::packetiser::Packetiser;
use super::resend::Resends;
use super::serving::SentVideo;
use super::shards::Place;
use super::tracks::{RtpStart, Track, Tracks};
use crate::broadcast::StreamKey;
use crate::media::{AudioFrame, AudioTimestamp, VideoFrame, VideoTimestamp};
use crate::task;

/// From the connection to the first RTCP packet that the crate sends, which is at once: this is for a machine in distress, and
/// for a later version of the crate that sends none.
const KEY_TIMEOUT: Duration = Duration::from_secs(1);
/// Sender reports tie sound to picture; the first ones decide how soon the lips fit.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The packets of all streams that are sent now, each for as long as somebody sends it.
#[derive(Debug, Default)]
pub(super) struct Histories(Mutex<HashMap<(StreamKey, Packetiser), Weak<History>>>);

type History = Mutex<PacketHistory>;

impl Histories {
    fn of(&self, stream: StreamKey, packetiser: Packetiser) -> Arc<History> {
        let mut histories = self.0.lock().expect("no holder of this lock panics");
        if let Some(history) = histories.get(&(stream, packetiser)).and_then(Weak::upgrade) {
            return history;
        }
        histories.retain(|_, history| history.strong_count() > 0);
        let history = Arc::new(Mutex::new(PacketHistory::new(packetiser)));
        histories.insert((stream, packetiser), Arc::downgrade(&history));
        history
    }
}

/// What it takes to send to one viewer past the crate.
pub(super) struct Opening {
    pub(super) outlet: Outlet,
    pub(super) keys: Arc<KeyTap>,
    pub(super) histories: Arc<Histories>,
    /// Where the viewer is served.
    pub(super) place: Place,
}

impl Opening {
    /// For a viewer that is connected, with its place. `None` when its key is not found or its picture is not negotiated.
    pub(super) async fn open(
        self,
        tracks: &Tracks,
        backchannel: &Backchannel,
        stream: StreamKey,
    ) -> Option<(DirectPath, Place)> {
        let Self { outlet, keys, histories, place } = self;
        let Backchannel { streams, reporter, .. } = backchannel;
        let Some(video) = streams.by_ssrc(tracks.video.start.ssrc) else {
            tracing::warn!("the connection has no picture");
            return None;
        };
        let first = async {
            tracks.video.track.write_rtcp(empty_report(video.ssrc)).await.ok()?;
            Some(outlet.first_rtcp().await)
        };
        let first = timeout(KEY_TIMEOUT, first).await.ok().flatten();
        let Some(keys) = first.and_then(|rtcp| keys.take(&rtcp)) else {
            tracing::warn!("the connection's SRTP key is not known");
            return None;
        };
        let (rtcp, mut receiver) = rtcp::of_connection(&keys);
        let reporter = reporter.clone();
        outlet.take_rtcp(move |now, datagram| {
            for (ssrc, report) in receiver.read(now, datagram) {
                reporter.report(ssrc, report);
            }
        });
        let audio = tracks.sound().and_then(|sound| Some((sound, streams.by_ssrc(sound.start.ssrc)?)));
        let path = DirectPath {
            sealer: RtpSealer::new(keys.profile, &keys.ours),
            history: histories.of(stream, tracks.packetiser),
            video: Video::new(tracks.video.start, video),
            audio: audio.map(|(track, negotiated)| Audio::new(track, negotiated)),
            rtcp,
            track: tracks.video.clone(),
            waiting: None,
            last_frame: None,
            report_at: None,
            outlet,
        };
        Some((path, place))
    }
}

/// One viewer's media on this path. No method waits for the network: what the system does not take at once is lost, for this
/// viewer alone.
pub(super) struct DirectPath {
    outlet: Outlet,
    sealer: RtpSealer,
    history: Arc<History>,
    video: Video,
    /// `None` where there is no sound, or the viewer takes none.
    audio: Option<Audio>,
    rtcp: RtcpSender,
    /// By which the crate is made to show the path that ICE has chosen.
    track: Track,
    /// What has not left of a large picture.
    waiting: Option<Waiting>,
    /// The last picture's timestamp.
    last_frame: Option<VideoTimestamp>,
    /// `None` before the first picture or sound.
    report_at: Option<Instant>,
}

struct Video {
    start: RtpStart,
    negotiated: Negotiated,
    sent: Sent,
    rtx: Option<Rtx>,
    resends: Resends,
    reports: SenderReports,
}

/// The stream of retransmissions (RFC 4588), if the viewer takes one.
struct Rtx {
    ssrc: u32,
    payload_type: u8,
    next: ExtendedSequence,
}

struct Audio {
    start: RtpStart,
    payload_type: u8,
    next: ExtendedSequence,
    reports: SenderReports,
}

struct Waiting {
    frame: Arc<FramePackets>,
    chunks: Chunks,
}

impl MediaSender for DirectPath {
    fn takes_media(&self) -> bool {
        self.waiting.is_none()
    }

    fn send_video(&mut self, now: Instant, frame: &VideoFrame) -> Option<SentVideo> {
        let packets = self.history().packets_of(frame);
        let interval = self.last_frame.replace(frame.timestamp).map_or(FRAME_INTERVAL, |last| {
            let ticks = frame.timestamp.0.saturating_sub(last.0);
            Duration::from_micros(ticks * 1_000_000 / VideoTimestamp::HZ)
        });
        let chunks = Chunks::new(packets.payloads.len(), now, interval);
        self.waiting = Some(Waiting { frame: packets, chunks });
        self.send_waiting(now)
    }

    fn send_waiting(&mut self, now: Instant) -> Option<SentVideo> {
        let mut waiting = self.waiting.take()?;
        let due = waiting.chunks.take_due(now);
        let sent = due.map(|due| self.send_packets(now, &waiting.frame, due));
        self.waiting = waiting.chunks.at().is_some().then_some(waiting);
        if sent.is_some() {
            self.report_at.get_or_insert(now);
        }
        sent
    }

    fn send_audio(&mut self, now: Instant, frame: &AudioFrame) -> u64 {
        let Some(audio) = &mut self.audio else { return 0 };
        let timestamp = frame.timestamp.rtp().wrapping_add(audio.start.timestamp_offset);
        let header = Header {
            marker: false,
            payload_type: audio.payload_type,
            sequence: audio.next.advance(1),
            timestamp,
            ssrc: audio.start.ssrc,
            playout_delay: None,
        };
        audio.reports.handle_sent(now, timestamp, 1, frame.data.len());
        self.report_at.get_or_insert(now);
        let Self { sealer, outlet, .. } = self;
        send(outlet, |batch| batch.put(|out| sealer.write(out, &header, &frame.data)))
    }

    /// The oldest first, and no more than leave [at once](AT_ONCE). What is left the viewer asks for again.
    fn resend(&mut self, lost: &[u16]) -> u64 {
        let Self { sealer, outlet, history, video, .. } = self;
        // What is asked for twice in one request is sent once.
        let mut wanted: Vec<_> = lost.iter().filter_map(|&number| video.sent.index_of(number)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.truncate(video.resends.take(wanted.len().min(AT_ONCE)));
        if wanted.is_empty() {
            return 0;
        }
        // Others wait for the history: it is held for few look-ups, and not while packets are made.
        let kept: Vec<_> = {
            let history = lock(history);
            let find = |(index, sequence)| {
                let (frame, at) = history.get(index)?;
                Some((frame.clone(), at, sequence))
            };
            wanted.into_iter().filter_map(find).collect()
        };
        send(outlet, |batch| {
            for (frame, at, sequence) in &kept {
                let original = video.header(frame, *at, *sequence);
                let payload = &frame.payloads[*at].bytes;
                match &mut video.rtx {
                    Some(rtx) => {
                        let header = Header {
                            ssrc: rtx.ssrc,
                            payload_type: rtx.payload_type,
                            sequence: rtx.next.advance(1),
                            ..original
                        };
                        batch.put(|out| sealer.write_again(out, &header, *sequence, payload));
                    }
                    // The same in every byte, since it has the same nonce.
                    None => batch.put(|out| sealer.write(out, &original, payload)),
                }
            }
        })
    }

    fn timeout(&self) -> Option<Instant> {
        self.waiting.as_ref().and_then(|waiting| waiting.chunks.at())
    }

    fn report(&mut self, now: Instant) -> Option<u64> {
        if self.report_at.is_none_or(|at| at > now) {
            return Some(0);
        }
        if !self.outlet.is_open() {
            return None;
        }
        self.report_at = Some(now + REPORT_INTERVAL);
        self.ask_for_path();
        let wall_clock = task::wall_clock();
        let of = |reports: &SenderReports| reports.report(now, wall_clock);
        let reports = [of(&self.video.reports), self.audio.as_ref().and_then(|audio| of(&audio.reports))];
        let Some(datagram) = self.rtcp.seal(now, reports.into_iter().flatten()) else { return Some(0) };
        Some(u64::from(self.outlet.send(&datagram, datagram.len()) == endpoint::Sent::Lost))
    }
}

impl DirectPath {
    /// Where ICE may have chosen another path. The crate gets the report unless it has more to do than it has room for; then
    /// the next check raises the doubt again.
    fn ask_for_path(&self) {
        if self.outlet.take_path_doubt() {
            let report = self.track.track.write_rtcp(empty_report(self.video.start.ssrc));
            let _ = task::at_once(report);
        }
    }

    fn send_packets(&mut self, now: Instant, frame: &FramePackets, packets: Range<usize>) -> SentVideo {
        let Self { sealer, outlet, video, .. } = self;
        let first = video.sent.push(frame.first + packets.start as u64, packets.len(), frame.payloads.len());
        let mut octets = 0;
        let failed = send(outlet, |batch| {
            for (at, i) in packets.clone().zip(0..) {
                let header = video.header(frame, at, first.plus(i));
                let payload = &frame.payloads[at].bytes;
                octets += payload.len();
                batch.put(|out| sealer.write(out, &header, payload));
            }
        });
        let timestamp = frame.timestamp.wrapping_add(video.start.timestamp_offset);
        video.reports.handle_sent(now, timestamp, packets.len(), octets);
        video.resends.earn(packets.len());
        SentVideo {
            begins: packets.start == 0,
            keyframe: frame.keyframe,
            packets: packets.len(),
            last: video.sent.last(),
            failed,
        }
    }

    fn history(&self) -> MutexGuard<'_, PacketHistory> {
        lock(&self.history)
    }
}

impl Video {
    fn new(start: RtpStart, negotiated: Negotiated) -> Self {
        Self {
            sent: Sent::new(ExtendedSequence::initial(start.sequence_number)),
            rtx: negotiated.rtx.map(|(ssrc, payload_type)| Rtx {
                ssrc,
                payload_type,
                next: ExtendedSequence::initial(RtpStart::random().sequence_number),
            }),
            resends: Resends::default(),
            reports: SenderReports::new(start.ssrc, VideoTimestamp::HZ as u32),
            start,
            negotiated,
        }
    }

    /// Of a packet of a frame, by its place in it.
    fn header(&self, frame: &FramePackets, at: usize, sequence: ExtendedSequence) -> Header {
        Header {
            marker: frame.payloads[at].marker,
            payload_type: self.negotiated.payload_type,
            sequence,
            timestamp: frame.timestamp.wrapping_add(self.start.timestamp_offset),
            ssrc: self.start.ssrc,
            // On keyframes is enough (docs/webrtc.md).
            playout_delay: self.negotiated.playout_delay_id.filter(|_| frame.keyframe && at == 0),
        }
    }
}

impl Audio {
    fn new(track: &Track, negotiated: Negotiated) -> Self {
        let start = track.start;
        Self {
            payload_type: negotiated.payload_type,
            next: ExtendedSequence::initial(start.sequence_number),
            reports: SenderReports::new(start.ssrc, AudioTimestamp::HZ as u32),
            start,
        }
    }
}

/// A receiver report on nothing: the crate seals and sends it as it does everything.
fn empty_report(ssrc: u32) -> Vec<Box<dyn rtc::rtcp::Packet>> {
    vec![Box::new(rtc::rtcp::receiver_report::ReceiverReport { ssrc, ..Default::default() })]
}

/// Packets that stand one behind the other, and how long each is.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    lens: Vec<usize>,
}

impl Batch {
    /// `write` appends a packet.
    fn put(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.lens.push(self.bytes.len() - start);
    }
}

/// Sends what `fill` puts in, and gives how many calls the system did not take.
fn send(outlet: &Outlet, fill: impl FnOnce(&mut Batch)) -> u64 {
    thread_local! {
        // One for each thread and not for each viewer: nothing is in it between two calls, and a large picture fills 100 kB.
        static BATCH: RefCell<Batch> = RefCell::default();
    }
    BATCH.with_borrow_mut(|batch| {
        batch.bytes.clear();
        batch.lens.clear();
        fill(batch);
        let bursts = bursts(batch.lens.iter().copied(), outlet.max_segments().min(MAX_SEGMENTS));
        let sent = bursts.map(|burst| outlet.send(&batch.bytes[burst.bytes], burst.segment_size));
        sent.filter(|sent| *sent == endpoint::Sent::Lost).count() as u64
    })
}

fn lock(history: &History) -> MutexGuard<'_, PacketHistory> {
    history.lock().expect("no holder of this lock panics")
}

/// Of a stream whose first picture this is.
const FRAME_INTERVAL: Duration = Duration::from_micros(16_667);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webrtc::direct::srtp::{MasterKey, Profile};
    use crate::webrtc::packetiser::Payload;

    fn video(rtx: Option<(u32, u8)>) -> Video {
        let start = RtpStart { ssrc: 7, sequence_number: 65_530, timestamp_offset: u32::MAX };
        let negotiated = Negotiated { ssrc: 7, payload_type: 102, playout_delay_id: Some(5), rtx };
        Video::new(start, negotiated)
    }

    fn keyframe(packets: u8) -> FramePackets {
        let payload = |n| Payload { bytes: vec![n; 20].into(), marker: n + 1 == packets };
        FramePackets {
            first: 100,
            timestamp: 9,
            keyframe: true,
            payloads: (0..packets).map(payload).collect(),
        }
    }

    /// The same nonce must never seal other bytes.
    #[test]
    fn without_rtx_a_packet_is_sent_again_as_it_was() {
        let (mut video, frame) = (video(None), keyframe(4));
        let sealers =
            Profile::ALL.map(|profile| RtpSealer::new(profile, &MasterKey { key: [1; 16], salt: [2; 14] }));
        let sealed = |header: Header, at: usize| {
            sealers.each_ref().map(|sealer| {
                let mut out = Vec::new();
                sealer.write(&mut out, &header, &frame.payloads[at].bytes);
                out
            })
        };
        let first = video.sent.push(frame.first, 4, 4);
        for at in 0..4 {
            let sequence = first.plus(at as u64);
            let (index, again) = video.sent.index_of(sequence.number()).expect("it was sent");
            assert_eq!((index, again), (frame.first + at as u64, sequence));
            let once = sealed(video.header(&frame, at, sequence), at);
            assert_eq!(sealed(video.header(&frame, at, again), at), once);
        }
        let [first, last] = [0, 3].map(|at| video.header(&frame, at, first.plus(at as u64)));
        assert_eq!((first.playout_delay, last.playout_delay), (Some(5), None));
        assert_eq!((first.marker, last.marker, first.timestamp), (false, true, 8));
    }
}
