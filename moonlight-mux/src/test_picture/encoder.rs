//! H.264 in software.

use bytes::Bytes;
use openh264::encoder::{BitRate, Encoder};
use openh264::encoder::{
    Complexity, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, RateControlMode, VuiConfig,
};
use openh264::formats::YUVSource;
use openh264::{OpenH264API, Timestamp};

use super::EncodingError;
use crate::media::VideoTimestamp;

/// An encoder of one stream, as game-streaming hosts send it: no B-frames, and no keyframe but the first and those that
/// are asked for.
pub(super) struct VideoEncoder {
    encoder: Encoder,
    /// A keyframe was asked for and has not come yet.
    keyframe_due: bool,
}

/// An access unit in Annex B form.
pub(super) struct AccessUnit {
    pub(super) keyframe: bool,
    pub(super) data: Bytes,
}

impl VideoEncoder {
    pub(super) fn new(fps: u32, bits_per_second: u32) -> Result<Self, EncodingError> {
        let config = EncoderConfig::new()
            .bitrate(BitRate::from_bps(bits_per_second))
            .max_frame_rate(FrameRate::from_hz(fps as f32))
            .rate_control_mode(RateControlMode::Bitrate)
            // The source skips by time, before it encodes.
            .skip_frames(true)
            .intra_frame_period(IntraFramePeriod::auto())
            .scene_change_detect(false)
            .complexity(Complexity::Low)
            .num_threads(1)
            .vui(VuiConfig::bt709());
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), config);
        let encoder = encoder.map_err(EncodingError::StartVideo)?;
        Ok(Self { encoder, keyframe_due: false })
    }

    /// `None` if the picture is left out to keep the bit rate; a keyframe that was asked for then comes next.
    pub(super) fn encode(
        &mut self,
        picture: &impl YUVSource,
        timestamp: VideoTimestamp,
        keyframe: bool,
    ) -> Result<Option<AccessUnit>, EncodingError> {
        self.keyframe_due |= keyframe;
        if self.keyframe_due {
            self.encoder.force_intra_frame();
        }
        let timestamp = Timestamp::from_millis(timestamp.0 * 1000 / VideoTimestamp::HZ);
        let encoded = self.encoder.encode_at(picture, timestamp).map_err(EncodingError::Video)?;
        let keyframe = match encoded.frame_type() {
            FrameType::IDR => true,
            FrameType::Skip | FrameType::Invalid => return Ok(None),
            FrameType::I | FrameType::P | FrameType::IPMixed => false,
        };
        self.keyframe_due &= !keyframe;
        Ok(Some(AccessUnit { keyframe, data: encoded.to_vec().into() }))
    }
}
