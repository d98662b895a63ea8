//! `stream`: one app of one host, with nobody watching.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use moonlight_mux::{
    AppId, AppSelector, EndReason, ExitPolicy, HostError, HostRecord, MoonlightConfig, RestartPolicy,
    SourceStats, State, Stats, Streamer, StreamerConfig, VideoCodec,
};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::hosts::{Identity, find, unpaired};
use crate::recorder::{RecordError, Recorder};
use crate::server::Stop;
use crate::state::StateArgs;
use crate::{Exit, Failure};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Stream {
    /// The host's id, name or address.
    host: String,
    /// What to run there: a number is an app's id, anything else its title.
    app: String,
    /// The picture's size in pixels.
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1920x1080")]
    size: Size,
    /// Frames per second.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1000))]
    fps: u32,
    /// How much to send, in kbit/s.
    #[arg(long, value_name = "KBITS", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(500..=1_000_000))]
    bitrate: u32,
    /// How pictures are encoded. May be given several times, the best first: the first one that the host has is taken.
    #[arg(long, default_value = "h264", value_delimiter = ',')]
    codec: Vec<Codec>,
    /// Writes picture and sound to an MP4 file, which plays up to its last second when this program is killed.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Stops so many seconds after the first picture. Default: never.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// When to connect again after the stream has ended. Never before the first picture.
    #[arg(long, default_value = "on-failure")]
    restart: Restart,
    /// At the end, ends the app on the host too.
    #[arg(long)]
    quit: bool,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    state: StateArgs,
}

const EXAMPLES: &str = "\
Examples:
  moonlight-mux stream 192.168.1.5 Desktop
  moonlight-mux stream living-room Desktop --size 2560x1440 --fps 120 --bitrate 50000 --codec hevc,h264
  moonlight-mux stream 0 Desktop --record desktop.mp4 --seconds 60

Exit codes: 0 stopped by Ctrl-C or SIGTERM, or the time was up, 1 could not connect, 2 wrong arguments or configuration,
3 the host ended the stream, 4 the stream was lost, 5 the file could not be written.
RUST_LOG sets what is logged to standard error, as in RUST_LOG=moonlight_mux=debug.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    width: u32,
    height: u32,
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sides = text.split_once('x').and_then(|(width, height)| {
            let side = |text: &str| text.parse().ok().filter(|side| (16..=8192).contains(side));
            Some(Self { width: side(width)?, height: side(height)? })
        });
        sides.ok_or("a size is WIDTHxHEIGHT in pixels, each from 16 to 8192, as in 1920x1080")
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Codec {
    H264,
    Hevc,
    Av1,
}

impl From<Codec> for VideoCodec {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::H264 => Self::H264,
            Codec::Hevc => Self::Hevc,
            Codec::Av1 => Self::Av1,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Restart {
    /// Not at all.
    Never,
    /// When it was lost.
    OnFailure,
    /// Also when the host has ended it.
    Always,
}

impl From<Restart> for RestartPolicy {
    fn from(restart: Restart) -> Self {
        match restart {
            Restart::Never => Self::Never,
            Restart::OnFailure => Self::OnFailure,
            Restart::Always => Self::Always,
        }
    }
}

pub(crate) async fn run(stream: Stream) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let hosts = stream.state.hosts(&stream.state.config()?)?;
    let host = find(&hosts.list(), &stream.host)?.clone();
    let source = hosts.source(host.id, &stream.identity.identity, stream.config()).await?;
    let mut config = StreamerConfig::default();
    config.restart = stream.restart.into();
    let streamer = Streamer::start("stream".parse()?, source, config);
    let exit = if stream.quit { ExitPolicy::Quit } else { ExitPolicy::LeaveRunning };

    let mut display = Display::new();
    let mut recording = pin!(record(stream.record.as_deref(), &streamer));
    let recorded = tokio::select! {
        () = stop.asked() => None,
        recorded = &mut recording => Some(recorded),
        () = watch(&streamer, stream.seconds.map(Duration::from_secs), &mut display) => None,
    };
    let streamed = outcome(&streamer, &host);
    streamer.shutdown(exit).await;
    display.end(&streamer);
    let recorded = match recorded {
        Some(recorded) => recorded,
        None => recording.await,
    };
    streamed.and(recorded.map_err(|error| Failure::from(error).with(Exit::NotRecorded)))
}

impl Stream {
    fn config(&self) -> MoonlightConfig {
        let id = self.app.parse().ok().and_then(AppId::new);
        let app = id.map_or_else(|| AppSelector::Title(self.app.clone()), AppSelector::Id);
        let mut config = MoonlightConfig::new(app);
        (config.width, config.height) = (self.size.width, self.size.height);
        config.fps = self.fps;
        config.bitrate_kbps = self.bitrate;
        config.codecs = self.codec.iter().copied().map(VideoCodec::from).collect();
        config
    }
}

/// Writes the stream to a file, if there is one, until it has ended.
async fn record(path: Option<&Path>, streamer: &Streamer) -> Result<(), RecordError> {
    match path {
        Some(path) => Recorder::create(path, streamer).await?.run().await,
        None => {
            let mut state = streamer.watch_state();
            // An error means that it has ended too.
            let _ = state.wait_for(|state| matches!(state, State::Ended(_))).await;
            Ok(())
        }
    }
}

/// Shows on standard error how it goes, until the stream has ended or the time is up.
async fn watch(streamer: &Streamer, limit: Option<Duration>, display: &mut Display) {
    let mut states = streamer.watch_state();
    loop {
        let state = states.borrow_and_update().clone();
        match state {
            State::Streaming => break,
            State::Ended(_) => return,
            state => display.state(&state),
        }
        if states.changed().await.is_err() {
            return;
        }
    }
    let mut time_is_up = pin!(async {
        match limit {
            Some(limit) => sleep(limit).await,
            None => std::future::pending().await,
        }
    });
    let mut refresh = interval(display.period());
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, and nothing is to be told yet.
    refresh.tick().await;
    loop {
        tokio::select! {
            changed = states.changed() => {
                let state = states.borrow_and_update().clone();
                if changed.is_err() || matches!(state, State::Ended(_)) {
                    return;
                }
                display.state(&state);
            }
            _ = refresh.tick() => display.statistics(streamer),
            () = &mut time_is_up => return,
        }
    }
}

/// What a person sees: on a terminal one line that changes, else lines.
struct Display {
    terminal: bool,
    before: Stats,
}

impl Display {
    fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), before: Stats::default() }
    }

    /// How often statistics are shown.
    fn period(&self) -> Duration {
        Duration::from_secs(if self.terminal { 1 } else { 10 })
    }

    fn state(&mut self, state: &State) {
        if let Some(text) = progress(state) {
            self.show(&text);
        }
    }

    fn statistics(&mut self, streamer: &Streamer) {
        let stats = streamer.stats();
        let text = statistics(streamer, &self.before, &stats, self.period());
        self.before = stats;
        self.show(&text);
    }

    fn end(&mut self, streamer: &Streamer) {
        let stats = streamer.stats();
        self.clear();
        if stats.video_frames > 0 {
            eprintln!("{}", totals(&stats, &streamer.source_stats(), streamer.restarts()));
        }
    }

    fn show(&self, text: &str) {
        self.clear();
        if self.terminal {
            eprint!("{text}");
        } else {
            eprintln!("{text}");
        }
    }

    /// Back to the line's start; the old text goes.
    fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[2K");
        }
    }
}

/// What a state means to whoever waits; nothing for those that statistics tell of.
fn progress(state: &State) -> Option<String> {
    match state {
        State::Starting => None,
        State::Connecting(stage) => Some(format!("connecting: {stage}")),
        State::Connected => Some("connected: waiting for the first picture".to_owned()),
        State::Stalled => Some("no pictures come: waiting".to_owned()),
        State::Reconnecting { attempt, reason, .. } => {
            Some(format!("lost ({}): connecting again, attempt {attempt}", Failure::from(reason.clone())))
        }
        _ => None,
    }
}

fn statistics(streamer: &Streamer, before: &Stats, stats: &Stats, period: Duration) -> String {
    let picture = streamer.info().map(|info| {
        let video = &info.video;
        format!("{}x{} {}  ", video.width, video.height, video.codec.name())
    });
    let frames = stats.video_frames.saturating_sub(before.video_frames);
    format!(
        "{}{:.1} fps  {} kbit/s  {}",
        picture.unwrap_or_default(),
        frames as f64 / period.as_secs_f64(),
        stats.bits_per_second / 1000,
        totals(stats, &streamer.source_stats(), streamer.restarts()),
    )
}

fn totals(stats: &Stats, source: &SourceStats, restarts: u64) -> String {
    let mut text = format!(
        "{} frames  {} keyframe requests  {} repaired  {} lost",
        stats.video_frames, source.keyframe_requests, source.repaired, source.held_back
    );
    if source.kernel_drops > 0 {
        text.push_str(&format!("  {} dropped by this machine", source.kernel_drops));
    }
    if restarts > 0 {
        text.push_str(&format!("  {restarts} reconnects"));
    }
    text
}

/// What became of the stream by itself.
fn outcome(streamer: &Streamer, host: &HostRecord) -> Result<(), Failure> {
    let State::Ended(reason) = streamer.state() else { return Ok(()) };
    let exit = match (&reason, streamer.stats().video_frames) {
        (EndReason::Stopped, _) => return Ok(()),
        (EndReason::ByHost, _) => Exit::EndedByHost,
        (_, 0) => Exit::Failed,
        _ => Exit::Lost,
    };
    if let EndReason::Failed(error) = &reason
        && let Some(error) = error.cause().downcast_ref::<HostError>()
    {
        return Err(unpaired(error, host.id).with(exit));
    }
    Err(Failure::from(reason).with(exit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_two_sides_in_range() {
        assert_eq!("1920x1080".parse(), Ok(Size { width: 1920, height: 1080 }));
        assert_eq!("16x8192".parse(), Ok(Size { width: 16, height: 8192 }));
        for text in ["", "x", "1920", "1920x", "15x1080", "1920x8193", "1920x1080x1", "-16x16"] {
            text.parse::<Size>().expect_err(text);
        }
    }

    #[test]
    fn totals_tell_of_what_went_wrong_only_when_it_did() {
        let (mut stats, mut source) = (Stats::default(), SourceStats::default());
        stats.video_frames = 120;
        source.repaired = 3;
        let text = totals(&stats, &source, 0);
        assert_eq!(text, "120 frames  0 keyframe requests  3 repaired  0 lost");
        source.kernel_drops = 7;
        let text = totals(&stats, &source, 2);
        assert!(text.ends_with("0 lost  7 dropped by this machine  2 reconnects"), "{text}");
    }
}
