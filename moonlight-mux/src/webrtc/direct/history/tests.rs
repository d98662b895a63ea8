use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::media::VideoTimestamp;
use crate::webrtc::packetiser::MAX_PAYLOAD;

/// A frame whose packets are so many, each as large as it may be.
fn frame(number: u64, packets: usize) -> VideoFrame {
    let mut data = vec![0, 0, 1, 0x65];
    data.resize(4 + packets * (MAX_PAYLOAD - 2), number as u8 | 1);
    VideoFrame {
        number: FrameNumber(number),
        timestamp: VideoTimestamp(number * 1500 + (7 << 32)),
        keyframe: number.is_multiple_of(10),
        host_latency: None,
        data: Bytes::from(data),
    }
}

fn malformed(number: u64) -> VideoFrame {
    VideoFrame { data: Bytes::from_static(b"no start code"), ..frame(number, 0) }
}

fn history() -> PacketHistory {
    PacketHistory::new(Packetiser::H264)
}

#[test]
fn a_frame_is_packetised_once_for_all_who_ask() {
    let mut history = history();
    let first = history.packets_of(&frame(10, 3));
    assert_eq!((first.first, first.timestamp, first.keyframe, first.payloads.len()), (0, 15_000, true, 3));
    let second = history.packets_of(&frame(11, 2));
    assert_eq!((second.first, second.keyframe, second.payloads.len()), (3, false, 2));
    assert!(Arc::ptr_eq(&history.packets_of(&frame(10, 3)), &first));
    assert!(Arc::ptr_eq(&history.packets_of(&frame(11, 2)), &second));
}

#[test]
fn a_frame_that_only_a_slower_viewer_wants_is_kept_too() {
    let mut history = history();
    let newer = history.packets_of(&frame(9, 2));
    let older = history.packets_of(&frame(8, 2));
    assert_eq!((newer.first, older.first), (0, 2));
    assert!(Arc::ptr_eq(&history.packets_of(&frame(8, 2)), &older));
    assert_eq!(history.get(3).map(|(frame, at)| (frame.first, at)), Some((2, 1)));
}

#[test]
fn a_packet_is_found_by_its_index() {
    let mut history = history();
    assert_eq!(history.get(0), None);
    let first = history.packets_of(&frame(1, 3));
    history.packets_of(&malformed(2));
    let last = history.packets_of(&frame(3, 1));
    history.packets_of(&malformed(4));
    assert_eq!(history.get(2), Some((&first, 2)));
    assert_eq!(history.get(3), Some((&last, 0)));
    assert_eq!(history.get(4), None);
    assert_eq!(history.get(u64::MAX), None);
}

#[test]
fn the_oldest_frames_go_and_the_newest_stays() {
    let mut history = history();
    for number in 1..=4 {
        history.packets_of(&frame(number, 256));
    }
    assert!(history.get(0).is_some());
    history.packets_of(&frame(5, 1));
    assert_eq!((history.get(255), history.packets), (None, 3 * 256 + 1));
    assert!(history.get(256).is_some());
    // Larger than everything that is kept.
    let large = history.packets_of(&frame(6, 4000));
    assert_eq!((history.frames.len(), history.packets), (1, 4000));
    assert_eq!(history.get(large.first + 3999), Some((&large, 3999)));
    history.packets_of(&frame(7, 1));
    assert_eq!((history.get(large.first), history.packets), (None, 1));
}

#[test]
fn bytes_are_bounded_where_packets_are_not() {
    let mut history = history();
    let payloads = vec![Payload { bytes: Bytes::from(vec![0; 64 << 10]), marker: true }];
    for number in 0..100 {
        let frame = FramePackets { first: number, timestamp: 0, keyframe: false, payloads: payloads.clone() };
        history.keep(FrameNumber(number), Arc::new(frame));
    }
    assert_eq!((history.frames.len(), history.bytes), (64, KEPT_BYTES));
}

#[test]
fn frames_without_packets_are_bounded_too() {
    let mut history = history();
    for number in 0..3000 {
        assert_eq!(history.packets_of(&malformed(number)).payloads, []);
    }
    assert_eq!(history.frames.len(), KEPT_PACKETS);
}

#[test]
fn who_is_too_far_behind_takes_nothing_from_the_others() {
    let mut history = history();
    for number in 1..=20 {
        history.packets_of(&frame(number, 100));
    }
    let kept = history.frames.clone();
    let late = history.packets_of(&frame(1, 100));
    assert_eq!((late.first, late.payloads.len()), (2000, 100));
    assert_eq!((history.get(2000), &history.frames), (None, &kept));
    assert_eq!(history.packets_of(&frame(1, 100)).first, 2100);
    let next = history.packets_of(&frame(21, 1));
    assert_eq!((next.first, history.get(2200)), (2200, Some((&next, 0))));
}

proptest! {
    /// Viewers at their own pace, each some frames behind and skipping some.
    #[test]
    fn viewers_at_any_pace_share_what_is_kept(
        asks in prop::collection::vec((0u64..2, 0u64..8, 0usize..90), 1..80),
    ) {
        let mut history = history();
        let (mut now, mut ends) = (100, Vec::new());
        for (rise, behind, packets) in asks {
            now += rise;
            let number = FrameNumber(now - behind);
            let before = history.frames.iter().find(|(kept, _)| *kept == number).map(|(_, frame)| frame.clone());
            let got = history.packets_of(&frame(number.0, packets));
            if let Some(before) = before {
                prop_assert!(Arc::ptr_eq(&before, &got));
            } else {
                // A range of its own, behind all others.
                prop_assert_eq!(got.first, ends.last().copied().unwrap_or(0));
                ends.push(got.first + got.payloads.len() as u64);
            }
            let sum: usize = history.frames.iter().map(|(_, frame)| frame.payloads.len()).sum();
            let bytes: usize = history.frames.iter().map(|(_, frame)| bytes_of(frame)).sum();
            prop_assert_eq!((history.packets, history.bytes), (sum, bytes));
            prop_assert!(sum <= KEPT_PACKETS);
            for (_, frame) in &history.frames {
                for at in 0..frame.payloads.len() {
                    prop_assert_eq!(history.get(frame.first + at as u64), Some((frame, at)));
                }
            }
            prop_assert_eq!(history.get(ends.last().copied().unwrap_or(0)), None);
        }
    }
}
