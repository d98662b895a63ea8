//! `POST /api/streamers`: one call from a body to a stream that runs, or to the reason why it does not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use futures_util::FutureExt;
use moonlight_mux::{
    CreateError, EndReason, ExitPolicy, Registry, State as StreamerState, Streamer, StreamerConfig,
    StreamerId, VideoSource,
};
use serde::Deserialize;
use tokio::time;

use crate::create_request::CreateRequest;
use crate::dto::StreamerInfo;
use crate::failure::Failure;
use crate::fields::Fields;
use crate::host_source::HostSource;
use crate::input;
use crate::problem::Problem;
use crate::router::Server;
use crate::target::{Target, Targets};

#[derive(Deserialize)]
pub(crate) struct CreateQuery {
    #[serde(default = "yes")]
    wait: bool,
    #[serde(default)]
    on_conflict: OnConflict,
}

/// What becomes of a running streamer with the same id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnConflict {
    /// It stays, and the request is refused.
    #[default]
    Refuse,
    /// It is stopped first.
    Replace,
}

pub(crate) async fn create(
    State(server): State<Arc<Server>>,
    query: Result<Query<CreateQuery>, QueryRejection>,
    fields: Fields,
) -> Result<Json<StreamerInfo>, Problem> {
    let Query(query) = query.map_err(|_| Problem::InvalidQuery)?;
    let request = CreateRequest::parse(&fields)?;
    let CreateRequest { streamer_id, host_id: host, identity, stream: config, target } = request;
    let mut streamer_config = StreamerConfig::default();
    streamer_config.input_mode = input::mode(&fields, server.input_mode)?;
    let hosts = server.hosts.clone().ok_or(Problem::HostNotFound)?;
    let address = hosts.get(host).ok_or(Problem::HostNotFound)?.address;
    let source = HostSource { hosts, host, address, identity, config };
    let streamer = server.creation.start(streamer_id, source, streamer_config, target, query.on_conflict)?;
    if query.wait {
        server.creation.until_verdict(&streamer).await?;
    }
    Ok(Json(StreamerInfo::from(&streamer)))
}

/// Makes streamers in a registry. They are the registry's: a request that is dropped stops nothing.
#[derive(Debug)]
pub(crate) struct Creation {
    registry: Registry,
    max_streamers: usize,
    targets: Targets,
    /// Held while a streamer is counted, made and remembered.
    deciding: Mutex<()>,
}

impl Creation {
    pub(crate) fn new(registry: Registry, max_streamers: usize) -> Self {
        Self { registry, max_streamers, targets: Targets::default(), deciding: Mutex::default() }
    }

    fn start(
        &self,
        id: StreamerId,
        source: impl VideoSource,
        config: StreamerConfig,
        target: Target,
        on_conflict: OnConflict,
    ) -> Result<Streamer, Problem> {
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        self.make_room(&id)?;
        let created = match on_conflict {
            OnConflict::Refuse => self.registry.create(id.clone(), source, config),
            OnConflict::Replace => self.registry.replace(id.clone(), source, config),
        };
        match created {
            Ok(streamer) => {
                self.targets.insert(&self.registry, &streamer, target);
                Ok(streamer)
            }
            Err(CreateError::Exists { .. }) => {
                Err(self.registry.get(&id).map_or(Problem::StreamerExists(None), |taken| self.exists(&taken)))
            }
            // `ShutDown`, and reasons that the library learns before this server does.
            Err(_) => Err(Problem::ShuttingDown),
        }
    }

    /// When all places are taken, the oldest streamer that has ended gives its own: it is only there to be read of.
    fn make_room(&self, id: &StreamerId) -> Result<(), Problem> {
        let streamers = self.registry.list();
        if streamers.len() < self.max_streamers || streamers.iter().any(|streamer| streamer.id() == id) {
            return Ok(());
        }
        let ended = streamers.iter().filter(|streamer| has_ended(streamer));
        let oldest = ended.min_by_key(|streamer| streamer.created_at());
        let oldest = oldest.ok_or(Problem::Limit { what: "streamers", max: self.max_streamers })?;
        // Its name is free at once. What is left of it goes by itself.
        let _ = self.registry.remove_if_same(oldest, ExitPolicy::LeaveRunning).now_or_never();
        Ok(())
    }

    /// Waits until the stream runs, up to [`VERDICT`]. One that will never run leaves no entry.
    async fn until_verdict(&self, streamer: &Streamer) -> Result<(), Problem> {
        match time::timeout(VERDICT, streamer.wait_streaming()).await {
            Ok(Err(reason)) => {
                self.registry.remove_if_same(streamer, ExitPolicy::LeaveRunning).await;
                Err(match &reason {
                    EndReason::Stopped if self.registry.is_shut_down() => Problem::ShuttingDown,
                    EndReason::Stopped => Problem::StreamerStopped,
                    reason => Problem::Failure(Failure::of_start(reason)),
                })
            }
            // It streams, or goes on trying.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    fn exists(&self, streamer: &Streamer) -> Problem {
        Problem::StreamerExists(self.targets.of(streamer))
    }
}

fn has_ended(streamer: &Streamer) -> bool {
    matches!(streamer.state(), StreamerState::Ended(_))
}

fn yes() -> bool {
    true
}

/// Existing clients give up after 30 s; by then they have their answer.
const VERDICT: Duration = Duration::from_secs(25);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the clock is paused: it is the test's own")]
mod tests {
    use async_trait::async_trait;
    use axum::body::Bytes;
    use moonlight_mux::{
        Ended, FrameNumber, SourceError, SourceIo, Stage, StreamInfo, VideoCodec, VideoFrame, VideoInfo,
        VideoTimestamp,
    };
    use tokio::sync::watch;
    use tokio::task::JoinSet;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::dto::Status;

    /// Streams, fails or goes on connecting, as the test says and when it says so.
    #[derive(Clone)]
    struct Scripted(watch::Receiver<Verdict>);

    #[derive(Clone, Copy, PartialEq)]
    enum Verdict {
        None,
        Streams,
        Fails,
        EndsByHost,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the host does not answer")]
    struct NoAnswer;

    #[async_trait]
    impl VideoSource for Scripted {
        async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
            io.stage_starting(Stage::RtspHandshake);
            let mut verdict = self.0.clone();
            let verdict = tokio::select! {
                verdict = verdict.wait_for(|verdict| *verdict != Verdict::None) => *verdict.expect("the test lives"),
                None = io.command() => return Ok(Ended::Stopped),
            };
            match verdict {
                Verdict::Streams => {}
                Verdict::EndsByHost => return Ok(Ended::ByHost),
                _ => return Err(SourceError::permanent(NoAnswer).in_stage(Stage::RtspHandshake)),
            }
            io.connected();
            let video = VideoInfo { codec: VideoCodec::H264, width: 1280, height: 720, fps: 60 };
            io.info(StreamInfo { video, audio: None });
            io.video(VideoFrame {
                number: FrameNumber(0),
                timestamp: VideoTimestamp(0),
                keyframe: true,
                host_latency: None,
                data: Bytes::from_static(b"picture"),
            });
            while io.command().await.is_some() {}
            Ok(Ended::Stopped)
        }
    }

    fn scripted(verdict: Verdict) -> (watch::Sender<Verdict>, Scripted) {
        let (sender, receiver) = watch::channel(verdict);
        (sender, Scripted(receiver))
    }

    fn target(app_id: u32) -> Target {
        Target {
            host_id: 0,
            app_id: Some(app_id),
            app: None,
            client_unique_id: "me".to_owned(),
            width: 1280,
            height: 720,
            fps: 60,
        }
    }

    fn id(text: &str) -> StreamerId {
        text.parse().unwrap()
    }

    fn creation() -> Creation {
        Creation::new(Registry::new(), 3)
    }

    fn status(streamer: &Streamer) -> Status {
        StreamerInfo::from(streamer).status
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_64_creates_at_once_one_is_made_and_the_others_are_told_what_it_streams() {
        let creation = Arc::new(creation());
        let (_script, source) = scripted(Verdict::Streams);
        let barrier = Arc::new(tokio::sync::Barrier::new(64));
        let mut creates = JoinSet::new();
        for n in 0..64 {
            let (creation, source, barrier) = (creation.clone(), source.clone(), barrier.clone());
            creates.spawn(async move {
                barrier.wait().await;
                creation
                    .start(id("desk"), source, StreamerConfig::default(), target(n), OnConflict::Refuse)
                    .map(|_| n)
            });
        }
        let results = creates.join_all().await;
        let made: Vec<_> = results.iter().flatten().collect();
        let &[&made] = &made[..] else { panic!("{made:?}") };
        let refused = results.iter().filter(
            |result| matches!(result, Err(Problem::StreamerExists(Some(taken))) if *taken == target(made)),
        );
        assert_eq!(refused.count(), 63);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_runs_is_the_verdict() {
        let creation = creation();
        let (script, source) = scripted(Verdict::None);
        let streamer = creation
            .start(id("desk"), source, StreamerConfig::default(), target(1), OnConflict::Refuse)
            .unwrap();
        let start = Instant::now();
        let (verdict, ()) = tokio::join!(creation.until_verdict(&streamer), async {
            sleep(Duration::from_secs(3)).await;
            script.send_replace(Verdict::Streams);
        });
        assert_eq!(verdict, Ok(()));
        assert_eq!(start.elapsed().as_secs(), 3);
        assert_eq!(status(&streamer), Status::Active);
    }

    #[tokio::test(start_paused = true)]
    async fn after_25_seconds_it_is_starting_and_goes_on() {
        let creation = creation();
        let (script, source) = scripted(Verdict::None);
        let streamer = creation
            .start(id("desk"), source, StreamerConfig::default(), target(1), OnConflict::Refuse)
            .unwrap();
        let start = Instant::now();
        assert_eq!(creation.until_verdict(&streamer).await, Ok(()));
        assert_eq!(start.elapsed().as_secs(), 25);
        assert_eq!(status(&streamer), Status::Starting);
        script.send_replace(Verdict::Streams);
        streamer.wait_streaming().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_start_that_fails_leaves_no_entry() {
        let creation = creation();
        for verdict in [Verdict::Fails, Verdict::EndsByHost] {
            let (_script, source) = scripted(verdict);
            let streamer = creation
                .start(id("desk"), source, StreamerConfig::default(), target(1), OnConflict::Refuse)
                .unwrap();
            let problem = creation.until_verdict(&streamer).await.unwrap_err();
            assert!(matches!(problem, Problem::Failure(_)), "{problem:?}");
            assert!(creation.registry.get(&id("desk")).is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_dropped_leaves_the_stream_running() {
        let creation = creation();
        let (script, source) = scripted(Verdict::None);
        let streamer = creation
            .start(id("desk"), source, StreamerConfig::default(), target(1), OnConflict::Refuse)
            .unwrap();
        let dropped = time::timeout(Duration::from_secs(1), creation.until_verdict(&streamer)).await;
        assert!(dropped.is_err(), "it was waiting");
        drop(streamer);
        script.send_replace(Verdict::Streams);
        let streamer = creation.registry.get(&id("desk")).expect("it is the registry's");
        streamer.wait_streaming().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_streamer_that_is_deleted_while_it_starts_was_stopped() {
        let creation = creation();
        let (_script, source) = scripted(Verdict::None);
        let streamer = creation
            .start(id("desk"), source, StreamerConfig::default(), target(1), OnConflict::Refuse)
            .unwrap();
        let (verdict, removed) = tokio::join!(
            creation.until_verdict(&streamer),
            creation.registry.remove(streamer.id(), ExitPolicy::LeaveRunning)
        );
        assert_eq!((verdict, removed), (Err(Problem::StreamerStopped), true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_shuts_down_says_so_to_those_who_wait() {
        let creation = creation();
        let (_script, source) = scripted(Verdict::None);
        let streamer = creation
            .start(id("desk"), source, StreamerConfig::default(), target(1), OnConflict::Refuse)
            .unwrap();
        let (verdict, ()) = tokio::join!(creation.until_verdict(&streamer), creation.registry.shutdown());
        assert_eq!(verdict, Err(Problem::ShuttingDown));
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_fails_does_not_take_its_successor_with_it() {
        let creation = creation();
        let (_script, fails) = scripted(Verdict::Fails);
        let failed = creation
            .start(id("desk"), fails, StreamerConfig::default(), target(1), OnConflict::Refuse)
            .unwrap();
        failed.wait_streaming().await.unwrap_err();
        // The failed one is there, but is in nobody's way.
        let (_script, streams) = scripted(Verdict::Streams);
        let streamer = creation
            .start(id("desk"), streams, StreamerConfig::default(), target(2), OnConflict::Refuse)
            .unwrap();
        creation.until_verdict(&failed).await.unwrap_err();
        assert!(creation.registry.get(&id("desk")).unwrap().is_same(&streamer));
    }

    #[tokio::test(start_paused = true)]
    async fn one_is_replaced_when_that_is_asked() {
        let creation = creation();
        let (_script, source) = scripted(Verdict::Streams);
        let first = creation
            .start(id("desk"), source.clone(), StreamerConfig::default(), target(1), OnConflict::Replace)
            .unwrap();
        first.wait_streaming().await.unwrap();
        let refused = creation.start(
            id("desk"),
            source.clone(),
            StreamerConfig::default(),
            target(2),
            OnConflict::Refuse,
        );
        assert_eq!(refused.unwrap_err(), Problem::StreamerExists(Some(target(1))));

        let second = creation
            .start(id("desk"), source.clone(), StreamerConfig::default(), target(2), OnConflict::Replace)
            .unwrap();
        assert_eq!(creation.until_verdict(&second).await, Ok(()));
        assert_eq!(first.state(), StreamerState::Ended(EndReason::Stopped));
        let refused =
            creation.start(id("desk"), source, StreamerConfig::default(), target(3), OnConflict::Refuse);
        assert_eq!(refused.unwrap_err(), Problem::StreamerExists(Some(target(2))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_streamer_that_was_not_created_here_has_no_target() {
        let creation = creation();
        let (_script, source) = scripted(Verdict::Streams);
        creation
            .start(id("desk"), source.clone(), StreamerConfig::default(), target(1), OnConflict::Refuse)
            .unwrap();
        creation.registry.remove(&id("desk"), ExitPolicy::LeaveRunning).await;
        creation.registry.create(id("desk"), source.clone(), StreamerConfig::default()).unwrap();
        let refused =
            creation.start(id("desk"), source, StreamerConfig::default(), target(2), OnConflict::Refuse);
        assert_eq!(refused.unwrap_err(), Problem::StreamerExists(None));
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_so_many_streamers_and_no_more() {
        let creation = creation();
        let start = |name: &str, verdict| {
            let (script, source) = scripted(verdict);
            script.send_replace(verdict);
            // The script's end is of no interest to a source that has its verdict.
            creation.start(id(name), source, StreamerConfig::default(), target(1), OnConflict::Replace)
        };
        let failed = start("a", Verdict::Fails).unwrap();
        failed.wait_streaming().await.unwrap_err();
        for name in ["b", "c", "d"] {
            start(name, Verdict::Streams).unwrap().wait_streaming().await.unwrap();
        }
        let names: Vec<_> = creation.registry.list().iter().map(|s| s.id().to_string()).collect();
        assert_eq!(names, ["b", "c", "d"], "the failed one gave its place");
        let limit = start("e", Verdict::Streams).unwrap_err();
        assert_eq!(limit, Problem::Limit { what: "streamers", max: 3 });
        start("d", Verdict::Streams).expect("in its own place");
        creation.registry.shutdown().await;
        assert_eq!(start("d", Verdict::Streams).unwrap_err(), Problem::ShuttingDown);
    }
}
