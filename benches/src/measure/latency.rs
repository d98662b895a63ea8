//! How long a frame takes from a host's socket to a viewer's, put together from what each process has seen. Pure.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use super::Sent;
use super::figures::Figures;
use crate::crowd::FrameTimes;

/// The hops of many frames, all by one clock.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Hops {
    /// Frames that the host sent and at least one viewer got.
    pub frames: usize,
    /// From just before the host's first datagram of a frame to just before its last, for each frame: the host's own time.
    pub host_sends_ms: Option<Figures>,
    /// From just before the host's first datagram of a frame until somebody who subscribed to the stream in the server has it,
    /// for each frame.
    pub host_to_stream_ms: Option<Figures>,
    /// From there to the kernel's stamp on its last packet at a viewer's socket, for each frame and viewer. Negative times,
    /// of viewers that were served before the subscriber, are 0.
    pub stream_to_viewer_ms: Option<Figures>,
    /// From just before the host's last datagram of a frame, which is parity, to the viewer's last packet, for each frame and
    /// viewer. A stream has a frame before its last parity leaves, so this can be 0.
    pub last_to_viewer_ms: Option<Figures>,
    /// From just before the host's first datagram of a frame to the viewer's last packet, for each frame and viewer.
    pub host_to_viewer_ms: Option<Figures>,
}

impl Hops {
    /// `streamed`: when each frame was made, and when it was in the stream; `received`: what all viewers got. Frames are told
    /// apart by when they were made; those that the host's list lacks are left out. Times are since 1970.
    #[must_use]
    pub fn of(sent: &[Sent], streamed: &[(Duration, Duration)], received: &[FrameTimes]) -> Self {
        let sent: HashMap<Duration, &Sent> = sent.iter().map(|sent| (sent.made_at, sent)).collect();
        let streamed: HashMap<Duration, Duration> = streamed.iter().copied().collect();
        // The slowest viewers' and the quickest's alike: each frame once for each viewer.
        let at_viewers = || {
            received.iter().filter_map(|frame| {
                let sent = *sent.get(&frame.made_at)?;
                Some((sent, frame.made_at + frame.latency))
            })
        };
        let mut frames: Vec<&Sent> = at_viewers().map(|(sent, _)| sent).collect();
        frames.sort_unstable_by_key(|sent| sent.made_at);
        frames.dedup_by_key(|sent| sent.made_at);
        let in_stream = |sent: &Sent| streamed.get(&sent.made_at).copied();
        Self {
            frames: frames.len(),
            host_sends_ms: Figures::of(frames.iter().map(|sent| sent.last.saturating_sub(sent.first))),
            host_to_stream_ms: Figures::of(
                frames.iter().filter_map(|sent| Some(in_stream(sent)?.saturating_sub(sent.first))),
            ),
            stream_to_viewer_ms: Figures::of(
                at_viewers().filter_map(|(sent, at)| Some(at.saturating_sub(in_stream(sent)?))),
            ),
            last_to_viewer_ms: Figures::of(at_viewers().map(|(sent, at)| at.saturating_sub(sent.last))),
            host_to_viewer_ms: Figures::of(at_viewers().map(|(sent, at)| at.saturating_sub(sent.first))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hop_is_from_the_one_before() {
        let ms = Duration::from_millis;
        let sent = |made_at| Sent { made_at: ms(made_at), first: ms(made_at + 1), last: ms(made_at + 3) };
        let received =
            |made_at, latency| FrameTimes { made_at: ms(made_at), gap: None, latency: ms(latency) };
        // The third frame reached nobody; of the fourth the host says nothing.
        let hops = Hops::of(
            &[sent(100), sent(200), sent(300)],
            &[(ms(100), ms(105)), (ms(200), ms(204)), (ms(300), ms(302))],
            &[received(100, 7), received(100, 9), received(200, 2), received(400, 1)],
        );
        let figures = |count, median, max| Some(Figures { count, median, p99: max, max });
        assert_eq!(hops.frames, 2);
        assert_eq!(hops.host_sends_ms, figures(2, 2.0, 2.0));
        assert_eq!(hops.host_to_stream_ms, figures(2, 3.0, 4.0));
        assert_eq!(hops.stream_to_viewer_ms, figures(3, 2.0, 4.0));
        assert_eq!(hops.last_to_viewer_ms, figures(3, 4.0, 6.0));
        assert_eq!(hops.host_to_viewer_ms, figures(3, 6.0, 8.0));
        assert_eq!(Hops::of(&[], &[], &[received(1, 1)]).host_to_viewer_ms, None);
    }
}
