//! Recordings of real sessions come out as the host sent them and as the reference client got them.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

#[path = "recordings/folder.rs"]
mod folder;

use moonlight_mux::{FrameNumber, Recording, Replayed, VideoCodec, VideoFrame};

use self::folder::recording;

/// Whether everything that the host sent is in the recording.
#[derive(Clone, Copy, PartialEq)]
enum Loss {
    /// All of it, and the reference files tell of every frame.
    None,
    /// All frames can be repaired; the reference files do not tell of some that were, behind the client's last one.
    Repaired,
    /// As before, and some frames are lost for good, so a new key frame is waited for.
    Frames,
}

fn check(test: &str, name: &str, codec: VideoCodec, loss: Loss) {
    let Some(folder) = recording(test, name) else { return };
    let replay = Recording::replay(&folder).unwrap();
    assert_eq!(replay.info().video.codec, codec);
    let replayed: Vec<Replayed> = replay.events().collect();
    let comparison = replay.compare(&replayed);
    assert_eq!(comparison.differences, []);

    let mut given = Vec::new();
    let mut held_back = 0;
    let mut repaired_numbers = Vec::new();
    for replayed in &replayed {
        let Replayed::Video { frame, repaired, delivered } = replayed else { continue };
        given.extend(delivered.then_some(frame));
        held_back += usize::from(!delivered);
        repaired_numbers.extend(repaired.then_some(frame.number));
    }
    let has_gaps = given.windows(2).any(|pair| pair[0].number.0 + 1 != pair[1].number.0);
    assert_eq!((has_gaps, held_back > 0), (loss == Loss::Frames, loss == Loss::Frames));
    let unknown = |number: &FrameNumber| loss == Loss::None || !repaired_numbers.contains(number);
    assert_eq!(comparison.unknown.into_iter().find(unknown), None, "it is nowhere in the reference files");

    let recording = Recording::open(&folder).unwrap();
    let opened: Vec<&VideoFrame> = recording.frames().collect();
    assert_eq!(opened, given, "a source plays what was handed on");
}

macro_rules! recordings {
    ($($test:ident: $folder:literal, $codec:ident, $loss:ident;)*) => {
        $(#[test]
        fn $test() {
            check(stringify!($test), $folder, VideoCodec::$codec, Loss::$loss);
        })*
    };
}

recordings! {
    v0_23_av1: "v0.23-av1", Av1, None;
    v0_23_clear: "v0.23-clear", H264, None;
    v0_23_default: "v0.23-default", H264, None;
    v0_23_hevc_all_encrypted: "v0.23-hevc-all-encrypted", Hevc, None;
    v0_23_host_closes_app: "v0.23-host-closes-app", H264, None;
    v0_23_idr_request: "v0.23-idr-request", H264, None;
    v0_23_loss5_clear: "v0.23-loss5-clear", H264, Frames;
    v0_23_multi_block_loss5_encrypted: "v0.23-multi-block-loss5-encrypted", H264, Repaired;
    v0_23_surround51: "v0.23-surround51", H264, None;
    v2025_all_encrypted: "v2025-all-encrypted", H264, None;
    v2025_loss5_encrypted: "v2025-loss5-encrypted", H264, Frames;
    wolf_cancelled: "wolf-cancelled", H264, None;
    wolf_default: "wolf-default", H264, None;
    wolf_hevc: "wolf-hevc", Hevc, None;
    wolf_loss5: "wolf-loss5", H264, None;
    wolf_multi_block_loss3: "wolf-multi-block-loss3", H264, None;
    wolf_no_encryption: "wolf-no-encryption", H264, None;
    wolf_pause_resume_first: "wolf-pause-resume/s1", H264, None;
    wolf_pause_resume_second: "wolf-pause-resume/s2", H264, None;
    wolf_ps_pad: "wolf-ps-pad", H264, None;
}
