//! What the log tells of a process's stream, as the process says it. Operators know these lines: each comes once for each run
//! of the source, in this order.

use crate::media::VideoCodec;
use crate::process::message::FromChild;

pub(super) fn tell(word: &FromChild) {
    match word {
        FromChild::StageStarting { stage } => tracing::info!(%stage, "stage starting"),
        FromChild::StageComplete { stage } => tracing::info!(%stage, "stage complete"),
        FromChild::StageFailed { stage, error } => tracing::warn!(%stage, %error, "stage failed"),
        FromChild::MoonlightConnected => tracing::info!("Moonlight connected: stream is live headless"),
        FromChild::ConnectionComplete { width, height, codec, fps } => {
            tell_format(*width, *height, *codec, *fps, "connection complete");
        }
        FromChild::FormatChanged { width, height, codec, fps } => {
            tell_format(*width, *height, *codec, *fps, "stream format changed");
        }
        FromChild::FirstPicture { keyframe, bytes } => tracing::info!(keyframe, bytes, "first frame"),
        FromChild::FirstFrame { peer_id } => tracing::info!(peer = %peer_id, "the viewer sees a picture"),
        _ => {}
    }
}

fn tell_format(width: u32, height: u32, codec: VideoCodec, fps: u32, message: &str) {
    tracing::info!(width, height, codec = codec.name(), fps, "{message}");
}
