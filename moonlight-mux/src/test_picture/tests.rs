//! Encoded pictures, decoded again; and the running source on a clock that the tests own.

use std::collections::HashSet;
use std::sync::Arc;

use openh264::decoder::Decoder;
use openh264::formats::YUVSource;

use super::testing::read_counter;
use super::*;
use crate::broadcast::{Media, Subscription};
use crate::lifecycle::{EndReason, State};
use crate::source::{Event, SourceEnd};
use crate::streamer::{ExitPolicy, Streamer, StreamerConfig};

fn config(width: u32, height: u32, fps: u32) -> TestPictureConfig {
    TestPictureConfig { size: PictureSize::new(width, height).unwrap(), fps, ..TestPictureConfig::default() }
}

fn camera(config: &TestPictureConfig) -> Camera {
    Camera::new(config, Desktop::new(config.size)).unwrap()
}

/// The frame at `n` of 60 frames per second.
fn shoot(camera: &mut Camera, n: u64, keyframe: bool) -> VideoFrame {
    let utc = Duration::from_secs(1_700_000_000) + Duration::from_secs(n) / 60;
    camera.shoot(Shot { utc, timestamp: VideoTimestamp(n * 1500), keyframe }).unwrap().expect("a frame")
}

/// The types of the NAL units of an access unit in Annex B form (ITU-T H.264, table 7-1).
fn nal_types(data: &[u8]) -> Vec<u8> {
    data.windows(4).filter(|bytes| bytes[..3] == [0, 0, 1]).map(|bytes| bytes[3] & 0x1f).collect()
}

#[test]
fn the_decoded_counter_is_the_frames_number() {
    let mut camera = camera(&config(1280, 720, 60));
    let mut decoder = Decoder::new().unwrap();
    for n in 0..60 {
        let frame = shoot(&mut camera, n, false);
        assert_eq!(frame.number.0, n);
        let picture = decoder.decode(&frame.data).unwrap().expect("a picture for each frame, at once");
        assert_eq!(picture.dimensions(), (1280, 720));
        assert_eq!(u64::from(read_counter(&picture)), n);
    }
}

#[test]
fn the_first_frame_is_a_keyframe_and_then_only_those_that_are_asked_for() {
    let mut camera = camera(&config(640, 360, 60));
    let mut keyframes = Vec::new();
    for n in 0..700 {
        let frame = shoot(&mut camera, n, n == 450);
        let types = nal_types(&frame.data);
        if frame.keyframe {
            keyframes.push(n);
            assert_eq!(types, [7, 8, 5], "SPS, PPS and an IDR picture");
        } else {
            assert_eq!(types, [1], "one slice that is none of an IDR picture");
        }
    }
    assert_eq!(keyframes, [0, 450]);
}

#[test]
fn a_keyframe_can_be_asked_for_before_the_first() {
    let mut camera = camera(&config(640, 360, 60));
    let keyframes = [true, false, false].into_iter().zip(0..);
    let keyframes: Vec<_> = keyframes.map(|(ask, n)| shoot(&mut camera, n, ask).keyframe).collect();
    assert_eq!(keyframes, [true, false, false]);
}

#[test]
fn every_size_and_rate_can_be_encoded_and_decoded() {
    for (width, height, fps) in
        [(64, 64, 1), (64, 2160, 30), (3840, 64, 240), (2160, 3840, 240), (3840, 2160, 240), (854, 480, 59)]
    {
        let mut camera = camera(&config(width, height, fps));
        let mut decoder = Decoder::new().unwrap();
        for n in 0..2 {
            let frame = shoot(&mut camera, n, false);
            let picture = decoder.decode(&frame.data).unwrap().expect("a picture");
            assert_eq!(picture.dimensions(), (width as usize, height as usize));
            assert_eq!(u64::from(read_counter(&picture)), n, "{width}x{height}");
        }
    }
}

#[test]
fn the_bit_rate_is_kept_and_a_keyframe_is_still_the_next_frame() {
    for bits_per_second in [500_000, 1_000_000] {
        let mut config = config(1280, 720, 60);
        config.bits_per_second = Some(bits_per_second);
        let mut camera = camera(&config);
        let (mut bytes, mut asked) = (0, true);
        for n in 0..300 {
            let ask = n % 60 == 59;
            asked |= ask;
            let utc = Duration::from_secs(1_700_000_000) + Duration::from_secs(n) / 60;
            let shot = Shot { utc, timestamp: VideoTimestamp(n * 1500), keyframe: ask };
            if let Some(frame) = camera.shoot(shot).unwrap() {
                assert_eq!(frame.keyframe, asked, "frame {n}");
                (bytes, asked) = (bytes + frame.data.len(), false);
            }
        }
        let ratio = bytes as f64 * 8.0 / 5.0 / f64::from(bits_per_second);
        assert!((0.9..1.1).contains(&ratio), "{ratio} of {bits_per_second} bits per second");
    }
}

#[test]
fn at_the_default_bit_rate_no_frame_is_left_out() {
    for (width, height, fps) in [(64, 64, 30), (320, 180, 30), (640, 360, 60), (1280, 720, 30)] {
        let mut camera = camera(&config(width, height, fps));
        for n in 0..120 {
            shoot(&mut camera, n, n % 30 == 0);
        }
    }
}

#[test]
fn sizes_that_cannot_be_encoded_are_refused_in_words() {
    for (text, refusal) in [
        ("1281x720", "1281x720 has an odd side: try 1280x720"),
        ("1280x721", "1280x721 has an odd side: try 1280x720"),
        ("62x64", "62x64 is out of range: from 64x64 to 3840x2160, or 2160x3840 upright"),
        ("3842x2160", "3842x2160 is out of range: from 64x64 to 3840x2160, or 2160x3840 upright"),
        ("3840x2162", "3840x2162 is out of range: from 64x64 to 3840x2160, or 2160x3840 upright"),
        ("1280", "a size is WIDTHxHEIGHT in pixels, as in 1280x720"),
        ("1280x-720", "a size is WIDTHxHEIGHT in pixels, as in 1280x720"),
        ("", "a size is WIDTHxHEIGHT in pixels, as in 1280x720"),
    ] {
        assert_eq!(text.parse::<PictureSize>().unwrap_err().to_string(), refusal);
    }
    for text in ["64x64", "1280x720", "3840x2160", "2160x3840"] {
        assert_eq!(text.parse::<PictureSize>().unwrap().to_string(), text);
    }
}

#[test]
fn rates_out_of_range_are_refused() {
    for fps in [0, 241] {
        let error = TestPicture::new(config(64, 64, fps)).unwrap_err();
        assert_eq!(error, TestPictureError::FrameRate { fps });
    }
    for bits_per_second in [0, 99_999, 100_000_001] {
        let mut config = config(64, 64, 60);
        config.bits_per_second = Some(bits_per_second);
        let error = TestPicture::new(config).unwrap_err();
        assert_eq!(error, TestPictureError::BitRate { bits_per_second });
    }
    for fps in [1, 240] {
        for (width, height) in [(64, 64), (3840, 2160)] {
            TestPicture::new(config(width, height, fps)).expect("its default bit rate is in range");
        }
    }
}

/// A running source, and what came out of it so far.
struct Run {
    end: SourceEnd,
    frames: Vec<VideoFrame>,
    packets: Vec<AudioFrame>,
    info: Option<StreamInfo>,
}

impl Run {
    async fn frames(&mut self, count: usize) -> &[VideoFrame] {
        let before = self.frames.len();
        while self.frames.len() < before + count {
            match self.end.events.recv().await.expect("it runs") {
                Event::Video(frame) => self.frames.push(frame),
                Event::Audio(packet) => self.packets.push(packet),
                Event::Info(info) => self.info = Some(info),
                _ => {}
            }
        }
        &self.frames[before..]
    }
}

fn run(config: TestPictureConfig) -> (task::Task<Result<Ended, SourceError>>, Run) {
    run_source(Arc::new(TestPicture::new(config).unwrap()))
}

fn run_source(source: Arc<TestPicture>) -> (task::Task<Result<Ended, SourceError>>, Run) {
    let (io, end) = SourceIo::alone();
    let source = task::spawn(async move { source.run(io).await });
    (source, Run { end, frames: Vec::new(), packets: Vec::new(), info: None })
}

#[tokio::test(start_paused = true)]
async fn it_says_what_it_sends_and_sends_it_in_time() {
    let started = task::now();
    let (_source, mut run) = run(config(320, 180, 60));
    run.frames(61).await;
    let took = task::now() - started;
    assert!((1000..1002).contains(&took.as_millis()), "61 frames take {took:?}");
    let info = run.info.as_ref().expect("it says what it sends");
    assert_eq!((info.video.width, info.video.height, info.video.fps), (320, 180, 60));
    assert_eq!(info.video.codec, VideoCodec::H264);
    let audio = info.audio.as_ref().expect("it has sound");
    assert_eq!((audio.channels, audio.packet_duration), (2, Duration::from_millis(10)));

    for (n, frame) in (0..).zip(&run.frames) {
        assert_eq!((frame.number.0, frame.timestamp.0, frame.keyframe), (n, n * 1500, n == 0));
    }
    assert!(run.packets.len() >= 100);
    for (n, packet) in (0..).zip(&run.packets) {
        assert_eq!(packet.timestamp.0, n * 480);
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_was_held_up_shows_what_is_on_then() {
    let source = Arc::new(TestPicture::new(config(320, 180, 60)).unwrap());
    let (_source, mut run) = run_source(source.clone());
    run.frames(10).await;
    assert_eq!(source.skipped_frames(), 0);
    tokio::time::advance(Duration::from_secs(1)).await;
    run.frames(10).await;
    for (n, frame) in (0..).zip(&run.frames) {
        assert_eq!((frame.number.0, frame.keyframe), (n, n == 0), "nothing is missing for the decoder");
    }
    let steps: Vec<_> = run.frames.windows(2).map(|pair| pair[1].timestamp.0 - pair[0].timestamp.0).collect();
    let jumps: Vec<_> = steps.into_iter().filter(|step| *step != 1500).collect();
    assert_eq!(jumps, [(source.skipped_frames() + 1) * 1500]);
    assert!((58..=60).contains(&source.skipped_frames()), "{}", source.skipped_frames());
    let jumps = run.packets.windows(2).filter(|pair| pair[1].timestamp.0 - pair[0].timestamp.0 != 480);
    assert_eq!(jumps.count(), 1, "sound is left out as well");
}

#[tokio::test(start_paused = true)]
async fn a_keyframe_comes_within_two_frames_of_being_asked_for() {
    let (_source, mut run) = run(config(320, 180, 60));
    run.frames(10).await;
    for _ in 0..3 {
        run.end.commands.send(Command::Keyframe).await.unwrap();
        run.end.commands.send(Command::Keyframe).await.unwrap();
        let frames = run.frames(10).await;
        let keyframes: Vec<_> = (0..).zip(frames).filter(|(_, f)| f.keyframe).map(|(n, _)| n).collect();
        assert_eq!(keyframes.len(), 1, "several wishes are one: {keyframes:?}");
        assert!(keyframes[0] < 2, "{keyframes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_stops_when_it_is_told_to() {
    let (source, mut run) = run(config(320, 180, 60));
    run.frames(3).await;
    let told = task::now();
    drop(run.end.commands);
    assert_eq!(source.await.unwrap().unwrap(), Ended::Stopped);
    assert!(task::now() - told < Duration::from_secs(2));
}

/// The numbers of the frames that come within some time.
async fn watch(frames: &Subscription, time: Duration) -> HashSet<u64> {
    let until = task::now() + time;
    let mut numbers = HashSet::new();
    loop {
        tokio::select! {
            () = task::at(Some(until)) => return numbers,
            media = frames.recv() => match media.expect("it goes on") {
                Media::Video(frame) => drop(numbers.insert(frame.number.0)),
                Media::Audio(_) => {}
                Media::Gap { lost } => panic!("{lost} frames lost"),
            },
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_streamer_streams_it_without_a_stall() {
    for fps in [2, 30] {
        let source = TestPicture::new(config(64, 64, fps)).unwrap();
        let streamer = Streamer::start("test".parse().unwrap(), source, StreamerConfig::default());
        let mut states = streamer.watch_state();
        let frames = streamer.subscribe();
        streamer.wait_streaming().await.unwrap();
        states.mark_unchanged();
        let numbers = watch(&frames, Duration::from_secs(20)).await;
        assert!(numbers.len().abs_diff(20 * fps as usize) <= 1, "{} frames", numbers.len());
        assert!(!states.has_changed().unwrap(), "{:?}", streamer.state());
        streamer.shutdown(ExitPolicy::LeaveRunning).await;
        assert_eq!(streamer.state(), State::Ended(EndReason::Stopped));
    }
}
