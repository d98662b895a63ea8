//! Recordings of real sessions come out as the host sent them and as the reference client got them.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

#[path = "recordings/folder.rs"]
mod folder;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use moonlight_mux::{
    ControlProperty, Difference, FrameNumber, Recording, RecordingError, Replayed, RtspProperty, VideoCodec,
    VideoFrame,
};

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
    let listed = fs::read_to_string(folder.join("control.jsonl")).unwrap();
    let messages = listed.lines().filter(|line| !line.contains("\"hdr\"")).count();
    assert!(messages > 80, "{messages} messages");
    assert_eq!((comparison.control, comparison.rtsp), (messages, 14));

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

/// A recording with one of its files changed; removed when dropped.
struct Changed(PathBuf);

impl Changed {
    /// Replaces the only `from` in a file.
    fn new(test: &str, name: &str, file: &str, from: &str, to: &str) -> Option<Self> {
        let original = recording(test, name)?;
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("moonlight-mux-changed-{}-{count}", std::process::id()));
        let changed = Self(folder.clone());
        fs::create_dir(&folder).unwrap();
        for file in ["session.json", "rtsp.txt", "wire.pcap", "control.jsonl"] {
            fs::write(folder.join(file), fs::read(original.join(file)).unwrap()).unwrap();
        }
        let text = fs::read_to_string(original.join(file)).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{from}");
        fs::write(folder.join(file), text.replace(from, to)).unwrap();
        Some(changed)
    }

    fn differences(&self) -> Result<Vec<Difference>, RecordingError> {
        let replay = Recording::replay(&self.0)?;
        let replayed: Vec<Replayed> = replay.events().collect();
        Ok(replay.compare(&replayed).differences)
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        // A folder that stays behind in the temporary directory does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_changed_byte_of_the_control_stream_is_told() {
    let check = |from: &str, to: &str, property, words: &str| {
        let test = "a_changed_byte_of_the_control_stream";
        let Some(changed) = Changed::new(test, "v0.23-default", "control.jsonl", from, to) else { return };
        let differences = changed.differences().unwrap();
        let [difference] = &differences[..] else { panic!("{differences:?}") };
        assert_eq!(*difference, Difference::Control { message: 2, property });
        assert_eq!(difference.to_string(), format!("message 2 of the control stream: {words}"));
    };
    let line = |t: &str, ch: u8, command: u8, seq: u8, kind: &str, payload: &str| {
        format!(
            r#"{t}, "dir": "C", "ch": {ch}, "enetcmd": {command}, "reliable": true, "ack": true, "seq": {seq}, "type": "{kind}", "len": 2, "payload": "{payload}""#
        )
    };
    let said = line("369231", 0, 6, 0, "0302", "0000");
    let says = |what: &str| format!("another {what} than control.jsonl says");
    let either = |what: &str| format!("another {what} than control.jsonl or our code says");
    check(&said, &line("369231", 0, 6, 0, "0302", "0001"), ControlProperty::Payload, &says("payload"));
    check(&said, &line("369231", 0, 6, 0, "0303", "0000"), ControlProperty::Kind, &says("type"));
    check(
        &said,
        &line("369231", 0, 6, 1, "0302", "0000"),
        ControlProperty::Sequence,
        &says("sequence number"),
    );
    check(&said, &line("369231", 0, 7, 0, "0302", "0000"), ControlProperty::Delivery, &either("delivery"));
    check(&said, &line("369231", 1, 6, 0, "0302", "0000"), ControlProperty::Channel, &either("channel"));
    check(
        &said,
        &line("369232", 0, 6, 0, "0302", "0000"),
        ControlProperty::Sender,
        "another sender or time than control.jsonl says",
    );
}

#[test]
fn a_changed_byte_of_the_rtsp_dialogue_is_told() {
    let check = |name: &str, from: &str, to: &str, expected: &[(usize, RtspProperty)]| {
        let test = "a_changed_byte_of_the_rtsp_dialogue";
        let Some(changed) = Changed::new(test, name, "rtsp.txt", from, to) else { return };
        let differs = |&(message, property)| Difference::Rtsp { message, property };
        let expected: Vec<_> = expected.iter().map(differs).collect();
        assert_eq!(changed.differences().unwrap(), expected, "{from}");
    };
    // What nothing but the wire can betray, sealed and in clear.
    let ping = "server_port=48000\r\nX-SS-Ping-Payload: BFC9CE4F858F75A";
    check("v0.23-default", &format!("{ping}F"), &format!("{ping}E"), &[(5, RtspProperty::Wire)]);
    check(
        "v0.23-clear",
        "surround-params=88001234567",
        "surround-params=88001234566",
        &[(3, RtspProperty::Wire)],
    );
    check("v0.23-default", "PLAY / ", "PLAY * ", &[(12, RtspProperty::Wire), (12, RtspProperty::Said)]);
    check(
        "v0.23-default",
        "x-nv-video[0].rateControlMode:4",
        "x-nv-video[0].rateControlMode:5",
        &[(10, RtspProperty::Body), (10, RtspProperty::Wire), (10, RtspProperty::Said)],
    );
    let test = "a_changed_byte_of_the_rtsp_dialogue";
    let Some(changed) = Changed::new(test, "v0.23-default", "rtsp.txt", "  1656 bytes", "  1655 bytes")
    else {
        return;
    };
    let error = changed.differences().unwrap_err();
    assert!(matches!(error, RecordingError::Dialogue { .. }), "{error:?}");
    assert!(error.to_string().contains("rtsp.txt holds no whole message at byte "), "{error}");
}
