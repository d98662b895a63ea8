//! What is in a recording.

use std::path::Path;
use std::time::Duration;

use shiguredo_mp4::TrackKind;
use shiguredo_mp4::demux::{Fmp4FileDemuxer, Input};
use tokio::time::sleep;

/// What a player finds in a file, which may be cut off.
#[derive(Debug)]
pub(crate) struct File {
    /// Pictures.
    pub(crate) video: usize,
    /// Packets of sound.
    pub(crate) audio: usize,
    /// Whether it ends where a fragment does.
    pub(crate) whole: bool,
    pub(crate) begins_with_keyframe: bool,
}

impl File {
    pub(crate) fn parse(data: &[u8]) -> Self {
        let (mut demuxer, mut file) = (Fmp4FileDemuxer::new(), Self::empty());
        loop {
            while let Some(required) = demuxer.required_input() {
                let start = required.position as usize;
                let end = required.size.map_or(data.len(), |size| start + size);
                let data = data.get(start..end.min(data.len())).unwrap_or_default();
                demuxer.handle_input(Input { position: required.position, data });
            }
            let sample = match demuxer.next_sample() {
                Ok(Some(sample)) => sample,
                Ok(None) => return Self { whole: true, ..file },
                Err(_) => return file,
            };
            let end = sample.data_offset as usize + sample.data_size;
            if end > data.len() {
                return file;
            }
            match sample.track.kind {
                TrackKind::Video => {
                    file.begins_with_keyframe |= file.video == 0 && sample.keyframe;
                    file.video += 1;
                }
                _ => file.audio += 1,
            }
        }
    }

    /// Waits until a file has so many pictures.
    pub(crate) async fn until(path: &Path, pictures: usize) {
        while std::fs::read(path).map_or(0, |data| Self::parse(&data).video) < pictures {
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn empty() -> Self {
        Self { video: 0, audio: 0, whole: false, begins_with_keyframe: false }
    }
}
