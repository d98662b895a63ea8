//! Records a stream, its frames untouched, to a file that browsers and players play up to its last second, also one
//! that is cut off:
//!
//! `cargo run --release -p moonlight-mux-examples --example record -- desk.mp4`

#![allow(clippy::print_stdout, reason = "it speaks to a person")]

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::num::NonZeroU32;

use moonlight_mux::{
    AudioTimestamp, ExitPolicy, Media, Streamer, StreamerConfig, TestPicture, TestPictureConfig, VideoFrame,
    VideoTimestamp,
};
use shiguredo_mp4::TrackKind;
use shiguredo_mp4::bitstream::h264::{self, H264SampleEntryConfig, LengthSize};
use shiguredo_mp4::bitstream::opus::{ChannelCount, OpusSampleEntryConfig, build_opus_box};
use shiguredo_mp4::boxes::SampleEntry;
use shiguredo_mp4::mux::{Fmp4SegmentMuxer, Sample};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One medium: its samples that are not in the file yet.
struct Track {
    kind: TrackKind,
    /// Ticks per second.
    timescale: NonZeroU32,
    entry: SampleEntry,
    /// Timestamp, whether decoding can start there, bytes.
    waiting: Vec<(u64, bool, Vec<u8>)>,
}

impl Track {
    fn new(kind: TrackKind, ticks_per_second: u64, entry: SampleEntry) -> Result<Self> {
        let timescale = NonZeroU32::new(ticks_per_second.try_into()?).ok_or("time stands still")?;
        Ok(Self { kind, timescale, entry, waiting: Vec::new() })
    }

    fn video(keyframe: &VideoFrame) -> Result<Self> {
        let config = H264SampleEntryConfig { length_size: LengthSize::FourBytes };
        let entry = SampleEntry::Avc1(h264::build_avc1_box_from_annexb(&keyframe.data, &config)?);
        Self::new(TrackKind::Video, VideoTimestamp::HZ, entry)
    }

    fn audio() -> Result<Self> {
        let (channel_count, input_sample_rate) = (ChannelCount::Stereo, 48_000);
        let config = OpusSampleEntryConfig { channel_count, pre_skip: 0, input_sample_rate, output_gain: 0 };
        Self::new(TrackKind::Audio, AudioTimestamp::HZ, SampleEntry::Opus(build_opus_box(&config)))
    }

    /// Takes all samples but the last one: how long that lasts, only the next one tells.
    fn take(&mut self, samples: &mut Vec<Sample>, payload: &mut Vec<u8>) {
        let last = self.waiting.split_off(self.waiting.len().saturating_sub(1));
        let ends: Vec<u64> = self.waiting.iter().chain(&last).skip(1).map(|(at, ..)| *at).collect();
        for ((at, keyframe, data), end) in std::mem::replace(&mut self.waiting, last).into_iter().zip(ends) {
            samples.push(Sample {
                track_kind: self.kind,
                timescale: self.timescale,
                sample_entry: Some(self.entry.clone()),
                duration: u32::try_from(end - at).unwrap_or(u32::MAX),
                keyframe,
                composition_time_offset: None,
                data_offset: payload.len() as u64,
                data_size: data.len(),
            });
            payload.extend(data);
        }
    }
}

/// Records so many seconds.
async fn record(file: &mut File, seconds: u64) -> Result<()> {
    let source = TestPicture::new(TestPictureConfig::default())?;
    let streamer = Streamer::start("desk".parse()?, source, StreamerConfig::default());
    let subscription = streamer.subscribe();
    let mut muxer = Fmp4SegmentMuxer::new()?;
    // Sound and picture begin with the first keyframe.
    let mut tracks: Option<(Track, Track)> = None;
    let mut fragments = 0;
    while fragments < seconds {
        match (subscription.recv().await.ok_or("the stream ended")?, &mut tracks) {
            (Media::Video(frame), tracks) => {
                let (video, audio) = match tracks {
                    Some(tracks) => tracks,
                    None => tracks.insert((Track::video(&frame)?, Track::audio()?)),
                };
                let data = h264::annexb_to_length_prefixed(&frame.data, LengthSize::FourBytes)?;
                video.waiting.push((frame.timestamp.0, frame.keyframe, data));
                if frame.timestamp.0 - video.waiting[0].0 >= VideoTimestamp::HZ {
                    write_fragment(file, &mut muxer, [video, audio], fragments == 0)?;
                    fragments += 1;
                }
            }
            (Media::Audio(packet), Some((_, audio))) => {
                audio.waiting.push((packet.timestamp.0, true, packet.data.to_vec()));
            }
            // A gap makes the sample in front of it last longer.
            _ => {}
        }
    }
    streamer.shutdown(ExitPolicy::LeaveRunning).await;
    Ok(())
}

fn write_fragment(
    file: &mut File,
    muxer: &mut Fmp4SegmentMuxer,
    tracks: [&mut Track; 2],
    first: bool,
) -> Result<()> {
    let (mut samples, mut payload) = (Vec::new(), Vec::new());
    for track in tracks {
        track.take(&mut samples, &mut payload);
    }
    let fragment = muxer.create_media_segment_metadata(&samples)?;
    if first {
        file.write_all(&muxer.init_segment_bytes()?)?;
    }
    file.write_all(&fragment)?;
    Ok(file.write_all(&payload)?)
}

#[tokio::main]
async fn main() -> Result<()> {
    let path = std::env::args().nth(1).ok_or("usage: record FILE.mp4")?;
    record(&mut File::create(&path)?, 10).await?;
    println!("{path}: 10 s");
    Ok(())
}

#[tokio::test]
async fn the_file_has_a_second_of_picture_and_sound() {
    use shiguredo_mp4::demux::{Fmp4FileDemuxer, Input};
    let path = std::env::temp_dir().join(format!("moonlight-mux-record-{}.mp4", std::process::id()));
    record(&mut File::create(&path).unwrap(), 1).await.unwrap();
    let data = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();

    let (mut demuxer, mut seconds) = (Fmp4FileDemuxer::new(), [0.0, 0.0]);
    loop {
        while let Some(required) = demuxer.required_input() {
            let start = required.position as usize;
            let end = required.size.map_or(data.len(), |size| start + size);
            let data = data.get(start..end).unwrap_or_default();
            demuxer.handle_input(Input { position: required.position, data });
        }
        let Some(sample) = demuxer.next_sample().unwrap() else { break };
        assert!(sample.keyframe || sample.timestamp > 0, "it begins with a keyframe");
        let track = usize::from(sample.track.kind == TrackKind::Audio);
        seconds[track] += f64::from(sample.duration) / f64::from(sample.track.timescale.get());
    }
    let [video, audio] = seconds;
    assert!(video >= 1.0, "{video} s of picture");
    assert!(audio > 0.5, "{audio} s of sound");
}
