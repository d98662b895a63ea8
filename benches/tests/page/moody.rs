//! A source of pictures whose mood the test decides.

use super::*;

/// Plays a recording's frames, 60 per second, round and round, or what the test wants instead.
pub(super) struct Moody {
    frames: Vec<VideoFrame>,
    sends: watch::Receiver<Sends>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sends {
    Pictures,
    /// The same, and it says that there is sound.
    PicturesWithSound,
    /// As many frames that no decoder can use.
    Garbage,
    Nothing,
    /// It fails, again and again.
    Failure,
}

#[derive(Debug, thiserror::Error)]
#[error("the host is gone")]
struct Gone;

impl Moody {
    pub(super) fn new(recording: &Recording) -> (Self, watch::Sender<Sends>) {
        let (sender, sends) = watch::channel(Sends::Pictures);
        (Self { frames: recording.frames().cloned().collect(), sends }, sender)
    }
}

#[async_trait]
impl VideoSource for Moody {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        io.connected();
        let video = VideoInfo { codec: VideoCodec::H264, width: 1280, height: 720, fps: 60 };
        let sound = AudioInfo { channels: 2, packet_duration: Duration::from_millis(5) };
        let audio = (*self.sends.borrow() == Sends::PicturesWithSound).then_some(sound);
        io.info(StreamInfo { video, audio });
        let mut ticks = interval(Duration::from_secs(1) / 60);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut number, mut at) = (0, 0);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let sends = *self.sends.borrow();
                    let frame = &self.frames[at];
                    let (keyframe, data) = match sends {
                        Sends::Failure => return Err(SourceError::retryable(Gone)),
                        Sends::Pictures | Sends::PicturesWithSound => (frame.keyframe, frame.data.clone()),
                        Sends::Garbage => (false, Bytes::from_static(UNDECODABLE)),
                        Sends::Nothing => {
                            at = 0;
                            continue;
                        }
                    };
                    io.video(VideoFrame {
                        number: FrameNumber(number),
                        timestamp: VideoTimestamp(number * 1500),
                        keyframe,
                        host_latency: None,
                        data,
                    });
                    number += 1;
                    // Behind a gap a decoder needs the keyframe, which is the first frame.
                    at = if sends != Sends::Garbage { (at + 1) % self.frames.len() } else { 0 };
                }
                command = io.command() => match command {
                    Some(Command::Keyframe) => at = 0,
                    Some(_) => {}
                    None => return Ok(Ended::Stopped),
                },
            }
        }
    }
}

/// A slice of a picture parameter set that was never sent.
const UNDECODABLE: &[u8] = &[0, 0, 0, 1, 0x41, 0x9a, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x80];
