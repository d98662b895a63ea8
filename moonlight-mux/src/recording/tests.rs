use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use proptest::prelude::*;
use serde_json::json;
use tokio::time::advance;

use super::negotiated::tests::{SESSION, messages};
use super::transcript::tests::transcript;
use super::*;
use crate::gamestream::control::{Control, ControlConfig};
use crate::gamestream::crypto::{ControlCipher, ControlNonce, Side};
use crate::gamestream::test_stream::{audio, key_frame, opus, p_frame, video};
use crate::gamestream::wire::control::{HostMessage, Termination};
use crate::gamestream::wire::enet;
use crate::source::{Event as SourceEvent, SourceEnd};
use crate::{AudioInfo, AudioTimestamp, FrameNumber, VideoInfo};

/// A folder for one test, removed when it is done.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("moonlight-mux-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        folder
    }

    /// A recording with all its files.
    fn recorded() -> Self {
        let folder = Self::new();
        folder.write("session.json", SESSION);
        folder.write("rtsp.txt", transcript(&messages()));
        folder.write("wire.pcap", capture());
        folder
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), content).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.0.join(name)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays behind in the temporary directory does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A control stream of our own with a host that says one thing, and ends with it.
pub(super) fn control() -> Vec<(u16, u16, Vec<u8>)> {
    let key = super::negotiated::tests::requested().rikey;
    let cipher = ControlCipher::new(&key, ControlNonce::Old);
    let now = task::now();
    let config = ControlConfig { key, nonce: ControlNonce::Old, connect_data: 7, seed: 9 };
    let mut stream = Control::new(now, &config);
    let mut datagrams = Vec::new();
    let mut say = |commands: Vec<enet::Command<'_>>| {
        datagrams.extend(std::iter::from_fn(|| stream.poll_datagram()).map(|bytes| (5002, 47999, bytes)));
        let header = enet::Header { peer: 0, session: 0, sent_time: Some(0) };
        let mut bytes = Vec::new();
        enet::Datagram { header, commands }.emit(&mut bytes);
        stream.handle_datagram(now, &bytes);
        datagrams.push((47999, 5002, bytes));
        datagrams.extend(std::iter::from_fn(|| stream.poll_datagram()).map(|bytes| (5002, 47999, bytes)));
    };
    let command = |channel, sequence, body| enet::Command {
        wants_ack: true,
        unsequenced: false,
        channel,
        sequence,
        body,
    };
    let handshake = enet::Handshake {
        peer: 0,
        incoming_session: 0,
        outgoing_session: 0,
        mtu: 900,
        window: 65_536,
        channels: 48,
        incoming_bandwidth: 0,
        outgoing_bandwidth: 0,
        throttle: enet::Throttle { interval: 5000, acceleration: 2, deceleration: 2 },
        connect_id: 9u32.to_be_bytes(),
    };
    say(vec![command(enet::CONNECTION, 1, enet::Body::VerifyConnect(handshake))]);
    let message = |message: HostMessage, sequence| {
        let mut clear = Vec::new();
        message.emit(&mut clear);
        cipher.seal(Side::Host, sequence, clear)
    };
    let led = message(HostMessage::Led { controller: 1, rgb: [1, 2, 3] }, 0);
    say(vec![command(0, 1, enet::Body::Reliable(&led))]);
    let end = message(HostMessage::Termination(Termination::INTENDED), 1);
    say(vec![command(0, 2, enet::Body::Reliable(&end))]);
    datagrams
}

/// Half a second of 20 frames a second, of which 0 and 5 are keyframes, and of sound in packets of 5 ms.
fn capture() -> Vec<u8> {
    let start = Duration::from_secs(1_000_000);
    let mut datagrams = Vec::new();
    for number in 0..10 {
        let data = if number % 5 == 0 { key_frame(number) } else { p_frame(number) };
        let at = start + Duration::from_millis(50) * number;
        datagrams.extend(video(number, number * 4500, &data).into_iter().map(|d| (at, 48101, 5000, d)));
    }
    for base in (0..100).step_by(4) {
        let at = start + Duration::from_millis(5) * base.into();
        datagrams.extend(audio(base, &opus(base)).into_iter().map(|d| (at, 48201, 5001, d)));
    }
    datagrams.extend(control().into_iter().map(|(from, to, bytes)| (start, from, to, bytes)));
    datagrams.sort_by_key(|datagram| datagram.0);
    pcap::tests::capture(&datagrams)
}

fn opened() -> Recording {
    Recording::open(&Folder::recorded().0).unwrap()
}

#[test]
fn a_recording_gives_all_its_frames_and_its_format() {
    let recording = opened();
    let info = StreamInfo {
        video: VideoInfo { codec: crate::VideoCodec::H264, width: 1280, height: 720, fps: 60 },
        audio: Some(AudioInfo { channels: 2, packet_duration: Duration::from_millis(5) }),
    };
    assert_eq!(*recording.info(), info);
    let frames: Vec<_> = recording.frames().map(|f| (f.number.0, f.timestamp.0, f.keyframe)).collect();
    assert_eq!(frames, (0..10).map(|n| (n, n * 4500, n % 5 == 0)).collect::<Vec<_>>());
    let sound: Vec<_> = recording.audio().map(|frame| frame.timestamp.0).collect();
    assert_eq!(sound, (0..100).map(|n| n * 240).collect::<Vec<_>>());
}

#[test]
fn a_capture_in_the_folder_above_is_shared_by_time_and_address() {
    let folder = Folder::recorded();
    let session = folder.0.join("s1");
    fs::create_dir(&session).unwrap();
    for name in ["session.json", "rtsp.txt"] {
        fs::copy(folder.0.join(name), session.join(name)).unwrap();
    }
    let frames = |meta: &str| {
        fs::write(session.join("meta.json"), meta).unwrap();
        Recording::open(&session).map(|recording| recording.frames().map(|f| f.number.0).collect::<Vec<_>>())
    };
    let meta = r#"{"host":"127.0.0.1","client":"127.0.0.1","t0":1000000.2,"t1":1000000.4}"#;
    assert_eq!(frames(meta).unwrap(), [5, 6, 7, 8]);
    let others = meta.replace(r#""host":"127.0.0.1""#, r#""host":"127.0.0.2""#);
    assert!(matches!(frames(&others), Err(RecordingError::NoVideo { .. })));
    fs::remove_file(session.join("meta.json")).unwrap();
    assert_eq!(Recording::open(&session).unwrap().frames().count(), 10);
}

#[test]
fn a_missing_file_is_named() {
    for name in ["session.json", "rtsp.txt", "wire.pcap"] {
        let folder = Folder::recorded();
        folder.remove(name);
        let error = Recording::open(&folder.0).unwrap_err();
        assert!(
            matches!(&error, RecordingError::Read { file, .. } if *file == folder.0.join(name)),
            "{error}"
        );
        assert!(error.to_string().contains(name));
    }
}

#[test]
fn a_malformed_file_is_named() {
    let check = |name: &str, content: &[u8], is_expected: fn(&RecordingError) -> bool| {
        let folder = Folder::recorded();
        folder.write(name, content);
        let error = Recording::open(&folder.0).unwrap_err();
        assert!(is_expected(&error) && error.to_string().contains(name), "{error:?}");
    };
    check("session.json", b"{", |e| matches!(e, RecordingError::Json { .. }));
    check("meta.json", b"{}", |e| matches!(e, RecordingError::Json { .. }));
    check("frames.jsonl", b"{}", |e| matches!(e, RecordingError::Json { .. }));
    check("control.jsonl", b"{}", |e| matches!(e, RecordingError::Json { .. }));
    check("rtsp.txt", b"\xff", |e| matches!(e, RecordingError::Dialogue { offset: 0, .. }));
    check("rtsp.txt", b"", |e| matches!(e, RecordingError::Negotiation { what: "ANNOUNCE", .. }));
    check("wire.pcap", b"{}", |e| matches!(e, RecordingError::Capture { source: PcapError::NotPcap, .. }));
    let whole = capture();
    check("wire.pcap", &whole[..whole.len() - 1], |e| {
        matches!(e, RecordingError::Capture { source: PcapError::CutOff { .. }, .. })
    });
    check("wire.pcap", &whole[..24], |e| matches!(e, RecordingError::NoVideo { .. }));
}

#[test]
fn a_capture_without_this_sessions_video_is_refused() {
    let folder = Folder::recorded();
    let mut messages = messages();
    messages[7] = String::from_utf8(messages[7].clone()).unwrap().replace("48101", "48103").into();
    folder.write("rtsp.txt", transcript(&messages));
    assert!(matches!(Recording::open(&folder.0), Err(RecordingError::NoVideo { .. })));
}

/// A recording with reference files that say what it says; the reference client got all but the first group of sound.
fn referenced() -> Folder {
    let folder = Folder::recorded();
    let replay = Recording::replay(&folder.0).unwrap();
    let (mut frames, mut units, mut packets) = (String::new(), String::new(), String::new());
    for replayed in replay.events() {
        let (len, sha256) = (replayed.data().len(), replayed.sha256());
        match &replayed {
            Replayed::Video { frame, .. } => {
                let (n, rtp, key) = (frame.number.0, frame.timestamp.0, u8::from(frame.keyframe));
                let sent = json!({"n": n, "frameType": key + 1, "host_lat": 0, "trimmed_len": len, "trimmed_sha256": sha256});
                let unit = json!({"n": n, "type": key, "len": len, "sha256": sha256, "rtp": rtp});
                frames += &format!("{sent}\n");
                units += &format!("{unit}\n");
            }
            Replayed::Audio(frame) if frame.timestamp.0 < 4 * 240 => {}
            Replayed::Audio(_) => packets += &format!("{}\n", json!({"len": len, "sha256": sha256})),
        }
    }
    folder.write("frames.jsonl", frames);
    folder.write("du.jsonl", units);
    folder.write("audio.jsonl", packets);
    folder
}

#[test]
fn a_replay_differs_from_its_reference_files_where_it_is_less_or_other() {
    let folder = referenced();
    let check = |change: fn(&mut Vec<Replayed>), expected: &[Difference]| {
        let replay = Recording::replay(&folder.0).unwrap();
        let mut replayed: Vec<_> = replay.events().collect();
        change(&mut replayed);
        assert_eq!(replay.compare(&replayed).differences, expected);
    };
    check(|_| {}, &[]);
    let missing = (0..10).map(|n| Difference::Missing(FrameNumber(n)));
    let no_video: Vec<_> = [Difference::NoVideo].into_iter().chain(missing).collect();
    check(|all| retain_frames(all, |_| false), &no_video);
    check(
        |all| retain_frames(all, |n| n != 2),
        &[Difference::NoKeyframe(FrameNumber(3)), Difference::Missing(FrameNumber(2))],
    );
    check(|all| *delivered(all, 9) = false, &[Difference::HeldBack(FrameNumber(9))]);
    check(
        |all| frame(all, 3).timestamp.0 = 2 * 4500,
        &[Difference::OutOfOrder(FrameNumber(3)), differs(3, VideoProperty::Timestamp)],
    );
    check(|all| frame(all, 5).keyframe = false, &[differs(5, VideoProperty::Keyframe)]);
    check(
        |all| frame(all, 6).data = vec![0, 0, 1, 0x61].into(),
        &[differs(6, VideoProperty::Bytes), differs(6, VideoProperty::PaddedBytes)],
    );
    check(
        |all| frame(all, 7).host_latency = Some(Duration::from_millis(1)),
        &[differs(7, VideoProperty::HostLatency)],
    );
    check(|all| sound(all, 50).data = vec![1].into(), &[Difference::Audio { line: 46 }]);
    check(|all| all.retain(|r| matches!(r, Replayed::Video { .. })), &[Difference::Audio { line: 0 }]);
    check(|all| sound(all, 2).timestamp.0 = 0, &[Difference::AudioOutOfOrder(AudioTimestamp(0))]);
}

#[test]
fn a_replay_without_reference_files_is_only_held_against_itself() {
    let folder = Folder::recorded();
    let replay = Recording::replay(&folder.0).unwrap();
    let replayed: Vec<_> = replay.events().collect();
    let comparison = replay.compare(&replayed);
    assert_eq!(comparison.differences, []);
    assert_eq!(comparison.unknown, (0..10).map(FrameNumber).collect::<Vec<_>>());
    assert_eq!(replay.compare(&[]).differences, [Difference::NoVideo]);
}

#[test]
fn a_frame_behind_a_loss_may_be_held_back_unless_the_reference_client_got_it() {
    let folder = referenced();
    let compare = || {
        let replay = Recording::replay(&folder.0).unwrap();
        let mut replayed: Vec<_> = replay.events().collect();
        retain_frames(&mut replayed, |n| n != 2);
        *delivered(&mut replayed, 3) = false;
        *delivered(&mut replayed, 4) = false;
        replay.compare(&replayed).differences
    };
    let held_back = [3, 4].map(|n| Difference::HeldBack(FrameNumber(n)));
    assert_eq!(compare(), [&[Difference::Missing(FrameNumber(2))][..], &held_back].concat());
    folder.remove("du.jsonl");
    assert_eq!(compare(), [Difference::Missing(FrameNumber(2))]);
}

#[test]
fn control_and_rtsp_are_compared_without_reference_files_too() {
    let replay = Recording::replay(&Folder::recorded().0).unwrap();
    let replayed: Vec<_> = replay.events().collect();
    let Comparison { control, rtsp, differences, .. } = replay.compare(&replayed);
    // START A, START B, a ping; the host's two.
    assert_eq!((control, rtsp, differences), (5, 14, vec![]));
}

#[test]
fn what_our_client_would_say_otherwise_is_told() {
    let folder = Folder::recorded();
    folder.write("session.json", SESSION.replace(r#""encFlags":0"#, r#""encFlags":-1"#));
    let replay = Recording::replay(&folder.0).unwrap();
    let replayed: Vec<_> = replay.events().collect();
    let differences = replay.compare(&replayed).differences;
    assert_eq!(differences, [Difference::Rtsp { message: 10, property: RtspProperty::Said }]);
    assert_eq!(differences[0].to_string(), "message 10 of the RTSP dialogue: our client says something else");
}

/// What differs when these bytes of the capture, which is of datagrams, are changed.
fn differences_with(datagram: &[u8], change: fn(&mut [u8])) -> Vec<Difference> {
    let folder = Folder::recorded();
    let mut file = capture();
    let at = file.windows(datagram.len()).position(|window| window == datagram).unwrap();
    change(&mut file[at..at + datagram.len()]);
    folder.write("wire.pcap", file);
    let replay = Recording::replay(&folder.0).unwrap();
    let replayed: Vec<_> = replay.events().collect();
    replay.compare(&replayed).differences
}

#[test]
fn what_our_control_stream_does_not_hear_is_told() {
    let from_host: Vec<_> = control().into_iter().filter(|(from, ..)| *from == 47999).collect();
    let [(_, _, verify), (_, _, led), _] = &from_host[..] else { panic!("three datagrams") };
    let differs = |message, property| [Difference::Control { message, property }];
    let of_another_connection: fn(&mut [u8]) = |bytes| *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(differences_with(verify, of_another_connection), differs(5, ControlProperty::Heard));
    let not_at_all: fn(&mut [u8]) = |bytes| bytes[4] = 0x86 | 0x40 | 0x0f;
    assert_eq!(differences_with(led, not_at_all), [Difference::ControlDatagram { datagram: 6 }]);
}

#[test]
fn what_comes_behind_a_packet_that_is_missing_for_good_is_not_to_be_heard() {
    let from_host: Vec<_> = control().into_iter().filter(|(from, ..)| *from == 47999).collect();
    let numbered_third: fn(&mut [u8]) = |bytes| bytes[7] = 3;
    assert_eq!(differences_with(&from_host[1].2, numbered_third), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_folder_holds_it_is_replayed_or_refused(
        file in prop::sample::select(vec!["session.json", "rtsp.txt", "wire.pcap", "meta.json", "control.jsonl"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        control_only: bool,
    ) {
        let folder = Folder::recorded();
        folder.write("meta.json", r#"{"host":"127.0.0.1","client":"127.0.0.1","t0":1000000,"t1":1000001}"#);
        folder.write("control.jsonl", r#"{"dir":"C","ch":0,"enetcmd":6,"seq":0,"type":"0302","payload":"0000"}"#);
        let mut content = fs::read(folder.0.join(file)).unwrap();
        // Most of the capture is media: the control stream stands within its first part.
        let most = if control_only { content.len().min(4000) } else { content.len() };
        for (at, byte) in changes {
            content[at.index(most)] = byte;
        }
        folder.write(file, content);
        if let Ok(replay) = Recording::replay(&folder.0) {
            let replayed: Vec<_> = replay.events().collect();
            prop_assert!(replay.compare(&replayed).rtsp <= 14);
        }
    }
}

fn differs(n: u64, property: VideoProperty) -> Difference {
    Difference::Video { frame: FrameNumber(n), property }
}

fn retain_frames(all: &mut Vec<Replayed>, keep: fn(u64) -> bool) {
    all.retain(|replayed| match replayed {
        Replayed::Video { frame, .. } => keep(frame.number.0),
        Replayed::Audio(_) => true,
    });
}

fn picture(all: &mut [Replayed], n: u64) -> (&mut VideoFrame, &mut bool) {
    let found = all.iter_mut().find_map(|replayed| match replayed {
        Replayed::Video { frame, delivered, .. } if frame.number.0 == n => Some((frame, delivered)),
        _ => None,
    });
    found.unwrap()
}

fn frame(all: &mut [Replayed], n: u64) -> &mut VideoFrame {
    picture(all, n).0
}

fn delivered(all: &mut [Replayed], n: u64) -> &mut bool {
    picture(all, n).1
}

fn sound(all: &mut [Replayed], n: u64) -> &mut AudioFrame {
    let found = all.iter_mut().find_map(|replayed| match replayed {
        Replayed::Audio(frame) if frame.timestamp.0 == n * 240 => Some(frame),
        _ => None,
    });
    found.unwrap()
}

/// A recording being played by a paused clock.
struct Player {
    end: SourceEnd,
    task: task::Task<Result<Ended, SourceError>>,
    began: Instant,
}

impl Player {
    fn start() -> Self {
        let recording = Arc::new(opened());
        let (io, end) = SourceIo::alone();
        let task = task::spawn(async move { recording.run(io).await });
        Self { end, task, began: task::now() }
    }

    /// The next picture, and when it came.
    async fn picture(&mut self) -> (Duration, VideoFrame) {
        loop {
            if let SourceEvent::Video(frame) = self.end.events.recv().await.unwrap() {
                return (task::now() - self.began, frame);
            }
        }
    }

    async fn sound(&mut self) -> AudioFrame {
        loop {
            if let SourceEvent::Audio(frame) = self.end.events.recv().await.unwrap() {
                return frame;
            }
        }
    }
}

/// A tokio timer fires on its next whole millisecond.
const TIMER: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn stages_and_format_come_before_the_first_frame() {
    let mut player = Player::start();
    let stage = Stage::VideoStreamEstablishment;
    let mut next = async || player.end.events.recv().await.unwrap();
    assert!(matches!(next().await, SourceEvent::StageStarting(s) if s == stage));
    assert!(matches!(next().await, SourceEvent::StageComplete(s) if s == stage));
    assert!(matches!(next().await, SourceEvent::Connected));
    assert!(matches!(next().await, SourceEvent::Info(info) if info == *opened().info()));
    assert!(matches!(next().await, SourceEvent::Video(frame) if frame.keyframe));
}

#[tokio::test(start_paused = true)]
async fn pictures_come_in_real_time_and_rise_on_from_round_to_round() {
    let mut player = Player::start();
    let mut before: Option<(Duration, VideoFrame)> = None;
    for i in 0..100 {
        let (at, frame) = player.picture().await;
        assert_eq!((frame.number.0, frame.keyframe), (i, i % 5 == 0));
        if let Some((before_at, before)) = before {
            let round_ends = i % 10 == 0;
            let least = if round_ends { SPACING } else { Duration::from_millis(50) };
            assert!(
                at - before_at + TIMER >= least && at - before_at <= Duration::from_millis(60),
                "frame {i}"
            );
            let ticks = frame.timestamp.0 - before.timestamp.0;
            assert!(round_ends || ticks == 4500, "frame {i} after {ticks}");
        }
        before = Some((at, frame));
    }
}

/// A frame at the nominal 60 frames per second.
const SPACING: Duration = Duration::from_nanos(16_666_666);

#[tokio::test(start_paused = true)]
async fn sound_rises_on_from_round_to_round() {
    let mut player = Player::start();
    let mut last = None;
    for _ in 0..1000 {
        let timestamp = player.sound().await.timestamp.0;
        assert!(last.is_none_or(|last| last + 240 <= timestamp), "{last:?}, then {timestamp}");
        last = Some(timestamp);
    }
}

#[tokio::test(start_paused = true)]
async fn a_keyframe_wish_brings_the_nearest_keyframe_at_once() {
    let mut player = Player::start();
    while player.picture().await.1.number.0 < 8 {}
    advance(Duration::from_millis(20)).await;
    let wished = task::now() - player.began;
    for _ in 0..3 {
        player.end.commands.try_send(Command::Keyframe).unwrap();
    }
    let (at, frame) = player.picture().await;
    assert!(at <= wished + TIMER);
    assert_eq!((frame.number.0, frame.keyframe), (9, true));
    assert_eq!(frame.data, key_frame(5));
    let (_, frame) = player.picture().await;
    assert_eq!((frame.number.0, &frame.data[..]), (10, &p_frame(6)[..]), "three wishes went back once");
}

#[tokio::test(start_paused = true)]
async fn it_stops_when_told_to() {
    let mut player = Player::start();
    player.picture().await;
    let told = task::now();
    drop(player.end.commands);
    assert_eq!(player.task.await.unwrap().unwrap(), Ended::Stopped);
    assert_eq!(task::now(), told);
}
