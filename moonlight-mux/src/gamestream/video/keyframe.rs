//! Whether decoding can start at a frame.

use crate::gamestream::wire::video::FrameKind;
use crate::media::VideoCodec;

/// H.264 and HEVC: parameter sets in front of an IDR or IRAP slice. AV1: what the host says (streams 6.4).
pub(super) fn is_keyframe(codec: VideoCodec, kind: FrameKind, data: &[u8]) -> bool {
    match codec {
        VideoCodec::H264 => starts_with_parameter_sets(data, |byte| match byte & 0x1f {
            1 => Nal::Slice,
            5 => Nal::KeySlice,
            7 => Nal::ParameterSets,
            _ => Nal::Other,
        }),
        VideoCodec::Hevc => starts_with_parameter_sets(data, |byte| match byte >> 1 & 0x3f {
            16..=21 => Nal::KeySlice,
            0..=31 => Nal::Slice,
            32 => Nal::ParameterSets,
            _ => Nal::Other,
        }),
        VideoCodec::Av1 => kind == FrameKind::Idr,
    }
}

enum Nal {
    Slice,
    KeySlice,
    /// The first of a key frame's parameter sets: SPS of H.264, VPS of HEVC.
    ParameterSets,
    Other,
}

/// Looks no further than the first slice.
fn starts_with_parameter_sets(data: &[u8], classify: impl Fn(u8) -> Nal) -> bool {
    let mut parameter_sets = false;
    for first_byte in nal_units(data) {
        match classify(first_byte) {
            Nal::Slice => return false,
            Nal::KeySlice => return parameter_sets,
            Nal::ParameterSets => parameter_sets = true,
            Nal::Other => {}
        }
    }
    false
}

/// The first byte of each NAL unit of an Annex B stream: what follows 00 00 01.
fn nal_units(data: &[u8]) -> impl Iterator<Item = u8> {
    data.windows(4).filter(|bytes| bytes[..3] == [0, 0, 1]).map(|bytes| bytes[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(codec: VideoCodec, nal_types: &[u8], expected: bool) {
        let mut data = Vec::new();
        for nal_type in nal_types {
            data.extend([
                0,
                0,
                1,
                if codec == VideoCodec::Hevc { nal_type << 1 } else { 0x60 | nal_type },
                0xff,
            ]);
        }
        assert_eq!(is_keyframe(codec, FrameKind::P, &data), expected, "{codec:?} {nal_types:?}");
    }

    #[test]
    fn h264_needs_parameter_sets_and_an_idr_slice() {
        check(VideoCodec::H264, &[7, 8, 5, 5], true);
        check(VideoCodec::H264, &[9, 7, 8, 6, 5], true);
        check(VideoCodec::H264, &[5], false);
        check(VideoCodec::H264, &[8, 1], false);
        check(VideoCodec::H264, &[7, 8, 1, 5], false);
        check(VideoCodec::H264, &[7, 8], false);
        check(VideoCodec::H264, &[], false);
    }

    #[test]
    fn hevc_needs_parameter_sets_and_an_irap_slice() {
        check(VideoCodec::Hevc, &[32, 33, 34, 20], true);
        check(VideoCodec::Hevc, &[32, 33, 34, 32, 33, 34, 39, 19], true);
        check(VideoCodec::Hevc, &[35, 32, 33, 34, 16], true);
        check(VideoCodec::Hevc, &[20], false);
        check(VideoCodec::Hevc, &[1], false);
        check(VideoCodec::Hevc, &[32, 33, 34, 1, 20], false);
    }

    #[test]
    fn av1_goes_by_what_the_host_says() {
        assert!(is_keyframe(VideoCodec::Av1, FrameKind::Idr, &[]));
        assert!(!is_keyframe(VideoCodec::Av1, FrameKind::P, &[]));
        assert!(!is_keyframe(VideoCodec::Av1, FrameKind::IntraRefresh, &[]));
    }
}
