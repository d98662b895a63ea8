//! Fragmented MP4 (ISO/IEC 14496-12), pure: pictures and sound in, bytes out.
//!
//! The head comes with the first keyframe. Each fragment behind it has its own index and its own times, so that a file
//! that is cut off plays up to its last whole fragment, and a pause is a pause.

use std::num::NonZeroU32;

use moonlight_mux::{
    AudioFrame, AudioInfo, AudioTimestamp, StreamInfo, VideoCodec, VideoFrame, VideoInfo, VideoTimestamp,
};
use shiguredo_mp4::bitstream::av1::{self, Av1ObuParseContext, Av1ObuType, Av1SampleEntryConfig};
use shiguredo_mp4::bitstream::h264::{self, H264SampleEntryConfig, LengthSize};
use shiguredo_mp4::bitstream::h265::{self, H265ConstantFrameRate, H265SampleEntryConfig};
use shiguredo_mp4::bitstream::opus::{ChannelCount, OpusSampleEntryConfig, build_opus_box};
use shiguredo_mp4::boxes::{MfhdBox, MoofBox, SampleEntry, TfdtBox, TfhdBox, TrafBox, TrunBox, TrunSample};
use shiguredo_mp4::mux::{Fmp4SegmentMuxer, MuxError, Sample};
use shiguredo_mp4::{Encode, SampleFlags, TrackKind};

/// One file that is being made.
#[derive(Debug)]
pub(crate) struct Mp4 {
    codec: VideoCodec,
    video: Track,
    audio: Option<Track>,
    fragments: u32,
}

/// Why the stream cannot be put into a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Mp4Error {
    #[error("{} is not known in MP4 files", .0.name())]
    Codec(VideoCodec),
    #[error("a picture is not as its codec has it")]
    Picture(#[from] shiguredo_mp4::Error),
    #[error("the file's head cannot be made")]
    Head(#[from] MuxError),
    #[error("a fragment is larger than 2 GiB")]
    TooLarge,
}

impl Mp4 {
    /// A file that begins with this keyframe, and the file's head. Sound of more than two channels is left out: `dOps` as
    /// it is written here has no mapping of channels.
    pub(crate) fn begin(info: &StreamInfo, keyframe: &VideoFrame) -> Result<(Self, Vec<u8>), Mp4Error> {
        let codec = info.video.codec;
        let mut tracks = vec![track(TrackKind::Video, VIDEO_HZ, video_entry(codec, &keyframe.data)?)];
        let mut audio = None;
        if let Some(sound) = &info.audio
            && let Some(entry) = audio_entry(sound)
        {
            tracks.push(track(TrackKind::Audio, AUDIO_HZ, entry));
            audio = Some(Track::new(2, audio_spacing(sound)));
        }
        // It numbers the tracks from 1 in this order. Its fragments are of no use: their times have no gaps.
        let mut muxer = Fmp4SegmentMuxer::new()?;
        muxer.create_media_segment_metadata(&tracks)?;
        let head = muxer.init_segment_bytes()?;
        let mut mp4 = Self { codec, video: Track::new(1, video_spacing(&info.video)), audio, fragments: 0 };
        mp4.video(keyframe)?;
        Ok((mp4, head))
    }

    /// Takes the next picture.
    pub(crate) fn video(&mut self, frame: &VideoFrame) -> Result<(), Mp4Error> {
        let data = sample_data(self.codec, &frame.data)?;
        self.video.push(frame.timestamp.0, 0, frame.keyframe, data);
        Ok(())
    }

    /// Takes the next packet of sound. The first one goes with the picture before it: their clocks have nothing else in
    /// common.
    pub(crate) fn audio(&mut self, packet: &AudioFrame) {
        let picture = self.video.end.saturating_sub(u64::from(self.video.spacing));
        if let Some(audio) = &mut self.audio {
            audio.push(
                packet.timestamp.0,
                picture.saturating_mul(AUDIO_HZ) / VIDEO_HZ,
                true,
                packet.data.to_vec(),
            );
        }
    }

    /// What came since the last fragment, as the next one; none if nothing came.
    pub(crate) fn fragment(&mut self) -> Result<Option<Vec<u8>>, Mp4Error> {
        let tracks = std::iter::once(&mut self.video).chain(&mut self.audio);
        let tracks: Vec<_> = tracks.filter(|track| !track.samples.is_empty()).collect();
        if tracks.is_empty() {
            return Ok(None);
        }
        self.fragments += 1;
        let mut moof = MoofBox {
            mfhd_box: MfhdBox { sequence_number: self.fragments },
            traf_boxes: tracks.iter().map(|track| track.index()).collect::<Result<_, _>>()?,
            unknown_boxes: Vec::new(),
        };
        // Offsets count from the start of the index, whose length does not depend on them.
        let payload: usize = tracks.iter().map(|track| track.bytes()).sum();
        let mdat = u32::try_from(payload + MDAT_HEADER).map_err(|_| Mp4Error::TooLarge)?;
        let mut offset = moof.encode_to_vec()?.len() + MDAT_HEADER;
        for (track, traf) in tracks.iter().zip(&mut moof.traf_boxes) {
            for trun in &mut traf.trun_boxes {
                trun.data_offset = Some(i32::try_from(offset).map_err(|_| Mp4Error::TooLarge)?);
            }
            offset += track.bytes();
        }
        let mut fragment = moof.encode_to_vec()?;
        fragment.extend(mdat.to_be_bytes());
        fragment.extend(b"mdat");
        for sample in tracks.into_iter().flat_map(|track| track.samples.drain(..)) {
            fragment.extend(sample.data);
        }
        Ok(Some(fragment))
    }
}

/// One medium: its samples that are in no fragment yet. Times are in the medium's own ticks.
#[derive(Debug)]
struct Track {
    id: u32,
    /// How far apart samples are as a rule.
    spacing: u32,
    /// What to add to the stream's times, once there is one.
    offset: Option<i128>,
    /// Where the last sample ends as a rule, in the file.
    end: u64,
    samples: Vec<Unit>,
}

#[derive(Debug)]
struct Unit {
    /// In the file.
    at: u64,
    keyframe: bool,
    data: Vec<u8>,
}

impl Track {
    fn new(id: u32, spacing: u32) -> Self {
        Self { id, spacing, offset: None, end: 0, samples: Vec::new() }
    }

    /// `first` is where the first one is in the file.
    fn push(&mut self, at: u64, first: u64, keyframe: bool, data: Vec<u8>) {
        let offset = *self.offset.get_or_insert(i128::from(first) - i128::from(at));
        let at = u64::try_from(i128::from(at) + offset).unwrap_or_default();
        self.end = at.saturating_add(self.spacing.into());
        self.samples.push(Unit { at, keyframe, data });
    }

    fn bytes(&self) -> usize {
        self.samples.iter().map(|sample| sample.data.len()).sum()
    }

    /// Each sample lasts until the next one, the last one as long as a sample does as a rule: how long it really does is
    /// not known yet, and the next fragment says when it begins.
    fn index(&self) -> Result<TrafBox, Mp4Error> {
        let ends = self.samples.iter().skip(1).map(|sample| sample.at).chain([self.end]);
        let samples = self.samples.iter().zip(ends).map(|(sample, end)| {
            Ok(TrunSample {
                duration: Some(u32::try_from(end.saturating_sub(sample.at)).unwrap_or(u32::MAX)),
                size: Some(u32::try_from(sample.data.len()).map_err(|_| Mp4Error::TooLarge)?),
                flags: Some(if sample.keyframe { KEYFRAME } else { BETWEEN }),
                composition_time_offset: None,
            })
        });
        let samples = samples.collect::<Result<_, Mp4Error>>()?;
        Ok(TrafBox {
            tfhd_box: TfhdBox {
                track_id: self.id,
                base_data_offset: None,
                sample_description_index: None,
                default_sample_duration: None,
                default_sample_size: None,
                default_sample_flags: None,
                duration_is_empty: false,
                default_base_is_moof: true,
            },
            tfdt_box: Some(TfdtBox {
                version: 1,
                base_media_decode_time: self.samples.first().map_or(0, |sample| sample.at),
            }),
            trun_boxes: vec![TrunBox { data_offset: Some(0), first_sample_flags: None, samples }],
            unknown_boxes: Vec::new(),
        })
    }
}

/// A sample without bytes that says what a track is.
fn track(track_kind: TrackKind, ticks_per_second: u64, entry: SampleEntry) -> Sample {
    Sample {
        track_kind,
        timescale: u32::try_from(ticks_per_second)
            .ok()
            .and_then(NonZeroU32::new)
            .expect("both are between 1 and 2^32"),
        sample_entry: Some(entry),
        duration: 0,
        keyframe: true,
        composition_time_offset: None,
        data_offset: 0,
        data_size: 0,
    }
}

fn video_entry(codec: VideoCodec, keyframe: &[u8]) -> Result<SampleEntry, Mp4Error> {
    let length_size = LengthSize::FourBytes;
    Ok(match codec {
        VideoCodec::H264 => {
            let config = H264SampleEntryConfig { length_size };
            SampleEntry::Avc1(h264::build_avc1_box_from_annexb(keyframe, &config)?)
        }
        // `hvc1`, since some players know no other, although keyframes repeat the parameter sets.
        VideoCodec::Hevc => {
            let config = H265SampleEntryConfig {
                length_size,
                avg_frame_rate: H265SampleEntryConfig::AVG_FRAME_RATE_UNSPECIFIED,
                constant_frame_rate: H265ConstantFrameRate::Unknown,
            };
            SampleEntry::Hvc1(h265::build_hvc1_box_from_annexb(keyframe, &config)?)
        }
        VideoCodec::Av1 => {
            let units = av1::parse_obus(keyframe, Av1ObuParseContext::Sample)?;
            let header = units.iter().find(|unit| unit.obu_type == Av1ObuType::SequenceHeader);
            let config = Av1SampleEntryConfig { initial_presentation_delay_minus_one: None };
            let header = header.map(|unit| unit.obu).unwrap_or_default();
            SampleEntry::Av01(av1::build_av01_box_from_config_obus(header, &config)?)
        }
        codec => return Err(Mp4Error::Codec(codec)),
    })
}

fn audio_entry(audio: &AudioInfo) -> Option<SampleEntry> {
    let channel_count = match audio.channels {
        1 => ChannelCount::Mono,
        2 => ChannelCount::Stereo,
        _ => return None,
    };
    let config =
        OpusSampleEntryConfig { channel_count, pre_skip: 0, input_sample_rate: 48_000, output_gain: 0 };
    Some(SampleEntry::Opus(build_opus_box(&config)))
}

/// A picture as files have it: lengths instead of start codes (ISO/IEC 14496-15), no temporal delimiters (AV1 in ISOBMFF
/// 2.4).
fn sample_data(codec: VideoCodec, data: &[u8]) -> Result<Vec<u8>, Mp4Error> {
    Ok(match codec {
        VideoCodec::H264 => h264::annexb_to_length_prefixed(data, LengthSize::FourBytes)?,
        VideoCodec::Hevc => h265::annexb_to_length_prefixed(data, LengthSize::FourBytes)?,
        VideoCodec::Av1 => {
            let units = av1::parse_obus(data, Av1ObuParseContext::Sample)?;
            let units = units.iter().filter(|unit| unit.obu_type != Av1ObuType::TemporalDelimiter);
            units.flat_map(|unit| unit.obu).copied().collect()
        }
        codec => return Err(Mp4Error::Codec(codec)),
    })
}

fn video_spacing(video: &VideoInfo) -> u32 {
    VIDEO_HZ as u32 / video.fps.max(1)
}

fn audio_spacing(audio: &AudioInfo) -> u32 {
    u32::try_from(audio.packet_duration.as_micros() * u128::from(AUDIO_HZ) / 1_000_000).unwrap_or(u32::MAX)
}

/// Length and name of a box.
const MDAT_HEADER: usize = 8;
const VIDEO_HZ: u64 = VideoTimestamp::HZ;
const AUDIO_HZ: u64 = AudioTimestamp::HZ;
/// Depends on no other sample.
const KEYFRAME: SampleFlags = SampleFlags::from_fields(0, 2, 0, 0, 0, false, 0);
/// Depends on others, and decoding cannot start there.
const BETWEEN: SampleFlags = SampleFlags::from_fields(0, 1, 0, 0, 0, true, 0);

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::time::Duration;

    use bytes::Bytes;
    use moonlight_mux::{FrameNumber, Recording};
    use shiguredo_mp4::demux::{Fmp4FileDemuxer, Input};

    use super::*;

    /// Parameter sets and an IDR picture of 16x16 pixels, as encoders write them.
    const KEYFRAME_H264: &[u8] = &[
        0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x0a, 0xda, 0x7b, 0x01, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 0, 0x20, 0xf1,
        0x22, 0x6a, 0, 0, 0, 1, 0x68, 0xce, 0x0f, 0x2c, 0x80, 0, 0, 0, 1, 0x65, 0xb8, 0x00, 0x04,
    ];
    /// Long, as is the sound, for the demuxer: it reads 32 bytes ahead.
    const PICTURE_H264: &[u8] = b"\0\0\0\x01\x41 a picture that refers to the one before it";
    const SOUND: &[u8] = b"\xfc a packet that no decoder will ever get";

    fn info() -> StreamInfo {
        StreamInfo {
            video: VideoInfo { codec: VideoCodec::H264, width: 16, height: 16, fps: 60 },
            audio: Some(AudioInfo { channels: 2, packet_duration: Duration::from_millis(5) }),
        }
    }

    fn video(at: u64, data: &'static [u8]) -> VideoFrame {
        VideoFrame {
            number: FrameNumber(at),
            timestamp: VideoTimestamp(at),
            keyframe: data == KEYFRAME_H264,
            host_latency: None,
            data: Bytes::from_static(data),
        }
    }

    fn audio(at: u64) -> AudioFrame {
        AudioFrame { timestamp: AudioTimestamp(at), data: Bytes::from_static(SOUND) }
    }

    /// Head and fragments of a file with a pause in it.
    fn file() -> Vec<Vec<u8>> {
        let (mut mp4, head) = Mp4::begin(&info(), &video(9_000, KEYFRAME_H264)).unwrap();
        let mut parts = vec![head];
        mp4.audio(&audio(480));
        mp4.video(&video(10_500, PICTURE_H264)).unwrap();
        mp4.audio(&audio(720));
        parts.push(mp4.fragment().unwrap().unwrap());
        assert_eq!(mp4.fragment().unwrap(), None, "nothing came");
        mp4.audio(&audio(960));
        parts.push(mp4.fragment().unwrap().unwrap());
        mp4.video(&video(900_000, PICTURE_H264)).unwrap();
        parts.push(mp4.fragment().unwrap().unwrap());
        parts
    }

    /// Kind, time, length in ticks, keyframe and bytes of each sample.
    fn samples(data: &[u8]) -> Vec<(TrackKind, u64, u32, bool, Vec<u8>)> {
        let (mut demuxer, mut samples) = (Fmp4FileDemuxer::new(), Vec::new());
        loop {
            while let Some(required) = demuxer.required_input() {
                let start = required.position as usize;
                let end = required.size.map_or(data.len(), |size| start + size);
                let data = data.get(start..end).unwrap_or_default();
                demuxer.handle_input(Input { position: required.position, data });
            }
            let Ok(Some(sample)) = demuxer.next_sample() else { return samples };
            let start = sample.data_offset as usize;
            let data = data.get(start..start + sample.data_size).unwrap_or_default().to_vec();
            samples.push((sample.track.kind, sample.timestamp, sample.duration, sample.keyframe, data));
        }
    }

    fn prefixed(annexb: &[u8]) -> Vec<u8> {
        h264::annexb_to_length_prefixed(annexb, LengthSize::FourBytes).unwrap()
    }

    #[test]
    fn a_file_has_every_picture_and_packet_at_its_time() {
        let mut seen = samples(&file().concat());
        seen.sort_by_key(|(kind, at, ..)| (*kind == TrackKind::Audio, *at));
        let sound = || SOUND.to_vec();
        let expected = [
            (TrackKind::Video, 0, 1_500, true, prefixed(KEYFRAME_H264)),
            (TrackKind::Video, 1_500, 1_500, false, prefixed(PICTURE_H264)),
            (TrackKind::Video, 891_000, 1_500, false, prefixed(PICTURE_H264)),
            (TrackKind::Audio, 0, 240, true, sound()),
            (TrackKind::Audio, 240, 240, true, sound()),
            (TrackKind::Audio, 480, 240, true, sound()),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn sound_that_begins_late_goes_with_the_picture_before_it() {
        let (mut mp4, mut file) = Mp4::begin(&info(), &video(0, KEYFRAME_H264)).unwrap();
        mp4.video(&video(90_000, PICTURE_H264)).unwrap();
        mp4.audio(&audio(7));
        file.extend(mp4.fragment().unwrap().unwrap());
        let sound = samples(&file).into_iter().find(|(kind, ..)| *kind == TrackKind::Audio).unwrap();
        assert_eq!(sound.1, 48_000);
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_has_all_samples_of_its_whole_fragments() {
        let parts = file();
        let whole = parts.concat();
        let mut ends: Vec<usize> = Vec::new();
        for part in &parts {
            ends.push(ends.last().unwrap_or(&0) + part.len());
        }
        for cut in ends[0]..=whole.len() {
            let fragments = ends[1..].iter().filter(|end| **end <= cut).count();
            let full = samples(&whole[..ends[fragments]]);
            let seen = samples(&whole[..cut]);
            assert_eq!(seen.get(..full.len()), Some(&full[..]), "cut off at byte {cut}");
            assert_eq!(full.len(), [0, 4, 5, 6][fragments]);
        }
    }

    #[test]
    fn what_cannot_be_in_a_file_is_an_error() {
        assert!(matches!(Mp4::begin(&info(), &video(0, PICTURE_H264)), Err(Mp4Error::Picture(_))));
        let (mut mp4, _) = Mp4::begin(&info(), &video(0, KEYFRAME_H264)).unwrap();
        assert!(matches!(mp4.video(&video(1, &[1, 2, 3])), Err(Mp4Error::Picture(_))));
    }

    #[test]
    fn pictures_of_av1_lose_their_temporal_delimiters() {
        let (delimiter, frame) = ([0x12, 0], [0x32, 2, 0xaa, 0xbb]);
        let data = sample_data(VideoCodec::Av1, &[&delimiter[..], &frame].concat()).unwrap();
        assert_eq!(data, frame);
    }

    #[test]
    fn sound_of_six_channels_is_left_out() {
        let mut info = info();
        info.audio = Some(AudioInfo { channels: 6, packet_duration: Duration::from_millis(5) });
        let (mut mp4, mut file) = Mp4::begin(&info, &video(0, KEYFRAME_H264)).unwrap();
        mp4.audio(&audio(0));
        file.extend(mp4.fragment().unwrap().unwrap());
        assert_eq!(samples(&file).len(), 1);
    }

    /// A recorded session in a file, second by second, and how many pictures and packets of sound it has.
    fn recorded(recording: &Recording) -> (Vec<u8>, usize, usize) {
        let (mut pictures, sound) = (recording.frames(), recording.audio());
        let keyframe = pictures.next().expect("a recording begins with a keyframe");
        let (mut mp4, mut file) = Mp4::begin(recording.info(), keyframe).unwrap();
        let (mut video, mut audio) = (1, 0);
        for packet in sound {
            mp4.audio(packet);
            audio += 1;
        }
        for picture in pictures {
            mp4.video(picture).unwrap();
            video += 1;
            if video % 60 == 0 {
                file.extend(mp4.fragment().unwrap().unwrap());
            }
        }
        file.extend(mp4.fragment().unwrap().unwrap_or_default());
        (file, video, audio)
    }

    #[test]
    fn recorded_sessions_of_each_codec_are_whole_in_a_file_and_a_decoder_takes_them() {
        let folder = std::env::var_os("MOONLIGHT_MUX_RECORDINGS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures"),
            PathBuf::from,
        );
        for name in ["v0.23-clear", "v0.23-hevc-all-encrypted", "v0.23-av1"] {
            if !folder.join(name).is_dir() {
                eprintln!("left out: a recording in a file: {name}");
                continue;
            }
            let recording = Recording::open(folder.join(name)).expect("a recording");
            let (file, video, audio) = recorded(&recording);
            let kinds: Vec<_> = samples(&file).into_iter().map(|(kind, ..)| kind).collect();
            let of = |wanted| kinds.iter().filter(|kind| **kind == wanted).count();
            assert_eq!((of(TrackKind::Video), of(TrackKind::Audio)), (video, audio), "{name}");
            decodes(name, &file, video);
        }
    }

    /// Has ffmpeg decode all of it, where it is installed.
    fn decodes(name: &str, file: &[u8], pictures: usize) {
        let path = std::env::temp_dir().join(format!("moonlight-mux-{}-{name}.mp4", std::process::id()));
        std::fs::write(&path, file).expect("a temporary file");
        let probe = Command::new("ffprobe")
            .args(["-v", "error", "-count_frames", "-select_streams", "v", "-of", "csv=p=0"])
            .args(["-show_entries", "stream=nb_read_frames"])
            .arg(&path)
            .output();
        let decoded = Command::new("ffmpeg")
            .args(["-v", "error", "-xerror", "-i"])
            .arg(&path)
            .args(["-fps_mode", "passthrough", "-enc_time_base:v", "1:90000", "-f", "null", "-"])
            .output();
        let _ = std::fs::remove_file(&path);
        let (Ok(probe), Ok(decoded)) = (probe, decoded) else {
            eprintln!("left out: decoding a recording's file with ffmpeg: {name}");
            return;
        };
        let said = String::from_utf8_lossy(&decoded.stderr);
        assert!(decoded.status.success() && said.is_empty(), "{name}: {said}");
        assert_eq!(String::from_utf8_lossy(&probe.stdout).trim(), pictures.to_string(), "{name}");
    }
}
