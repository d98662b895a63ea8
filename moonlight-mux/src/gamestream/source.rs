//! A Moonlight host as a source: finds the app, launches or resumes it, and holds the session.

mod config;
mod failure;
mod orders;

use std::time::Duration;

use async_trait::async_trait;

pub use self::config::{AppSelector, InvalidConfig, MoonlightConfig};
pub use self::failure::{ConnectionError, ConnectionErrorKind};
use self::orders::Orders;
use super::connection::{ConnectionConfig, EndReason, Event};
use super::crypto::SessionKey;
use super::driver::Driver;
use super::host::{Host, Launching, Started};
use super::input;
use super::negotiation::Route;
use super::pairing::{self, NoRandomness};
use super::wire::control::Termination;
use super::wire::http::{AppId, Start};
pub use super::wire::sdp::Channels;
use crate::source::{Ended, SourceError, SourceIo, Stage, VideoSource};
use crate::task;

/// One of a host's apps as a [`VideoSource`]: each run is a session of its own, launched or resumed.
///
/// When it is told to stop it leaves the app running on the host, unless it is told to
/// [quit](crate::Command::Quit) it.
#[derive(Clone, Debug)]
pub struct MoonlightSource {
    host: Host,
    config: MoonlightConfig,
}

impl MoonlightSource {
    /// Streams what `config` names from `host`. Nothing is asked of the host before the source runs.
    #[must_use]
    pub fn new(host: Host, config: MoonlightConfig) -> Self {
        Self { host, config }
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn config(&self) -> &MoonlightConfig {
        &self.config
    }
}

#[async_trait]
impl VideoSource for MoonlightSource {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        self.config.check().map_err(SourceError::permanent)?;
        let mut orders = Orders::new(&mut io);
        match self.session(&mut orders, Trust::Host).await {
            // wolf24 says that an app runs, and agrees to resume it, when it is another client's at this client's address
            // (session 10.4).
            Err(Failure { resumed: true, error }) if is_no_session(&error) => {
                tracing::warn!(%error, "the host has no session to resume: launching");
                self.session(&mut orders, Trust::Nothing).await
            }
            result => result,
        }
        .map_err(|failure| failure.error)
    }
}

/// What the decision between launching and resuming rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// What the host says that runs.
    Host,
    /// Nothing runs, whatever the host says.
    Nothing,
}

/// Why there is no session.
struct Failure {
    error: SourceError,
    /// The host had agreed to resume the app.
    resumed: bool,
}

/// What the host agreed to.
struct Launched {
    start: Start,
    config: ConnectionConfig,
    launching: Launching,
}

impl MoonlightSource {
    async fn session(&self, orders: &mut Orders<'_>, trust: Trust) -> Result<Ended, Failure> {
        let early = |error| Failure { error, resumed: false };
        orders.io.stage_starting(Stage::ServerInfo);
        let Some(app) = orders.during(Box::pin(self.find_app())).await else { return Ok(Ended::Stopped) };
        let app = app.map_err(|error| early(error.in_stage(Stage::ServerInfo)))?;
        orders.io.stage_complete(Stage::ServerInfo);

        orders.io.stage_starting(Stage::Launch);
        let Some(launched) = orders.during(Box::pin(self.launch(app, trust))).await else {
            // From an earlier run, or since the host was asked just now. Never another app.
            if orders.quit && self.host.info().await.is_ok_and(|info| info.running_app == Some(app)) {
                self.quit_app().await;
            }
            return Ok(Ended::Stopped);
        };
        let launched = launched.map_err(|error| early(error.in_stage(Stage::Launch)))?;
        orders.io.stage_complete(Stage::Launch);

        let resumed = launched.start == Start::Resume;
        let ended = self.stream(orders, launched).await;
        if orders.quit {
            self.quit_app().await;
        }
        ended.map_err(|error| Failure { error, resumed })
    }

    /// There is nobody any more who could be told that it failed.
    async fn quit_app(&self) {
        if let Err(error) = self.host.quit_app().await {
            tracing::warn!(%error, "the app was not quit");
        }
    }

    /// The app's number now: apps come and go, and are renamed.
    async fn find_app(&self) -> Result<AppId, SourceError> {
        self.host.info().await.map_err(failure::of_host)?;
        let apps = self.host.apps().await.map_err(failure::of_host)?;
        let app = self.config.app.find(&apps).map(|app| app.id);
        app.ok_or_else(|| failure::of_host(self.host.unknown_app()))
    }

    /// Takes the host's slot and puts a session into it.
    async fn launch(&self, app: AppId, trust: Trust) -> Result<Launched, SourceError> {
        let mut launching = Launching::begin(self.host.launch_slot()).await;
        // Launches that were waited for have changed what runs.
        let mut start = self.decide(app, trust).await?;
        loop {
            let Randomness { key, rikeyid, seed } = Randomness::draw().map_err(SourceError::retryable)?;
            let launch = self.config.launch(app, key.clone(), rikeyid);
            launching.asked();
            match self.host.start(start, &launch).await {
                Ok(started) => {
                    launching.answered(task::now(), started.session_url.is_encrypted());
                    let Started { session_url: url, address: host } = started;
                    let wishes = self.config.wishes(Route::to(host));
                    let config = ConnectionConfig { url, host, key, rikeyid, wishes, seed };
                    return Ok(Launched { start, config, launching });
                }
                Err(error) => {
                    if error.is_refusal() {
                        launching.refused();
                        // Somebody else may have launched it in between, and a host that refuses for this reason is to be
                        // trusted after all (session 10.4).
                        if start == Start::Launch && self.decide(app, Trust::Host).await? == Start::Resume {
                            start = Start::Resume;
                            continue;
                        }
                    }
                    return Err(failure::of_host(error));
                }
            }
        }
    }

    /// Whether to launch or to resume (session 10.4).
    async fn decide(&self, app: AppId, trust: Trust) -> Result<Start, SourceError> {
        if trust == Trust::Nothing {
            return Ok(Start::Launch);
        }
        match self.host.info().await.map_err(failure::of_host)?.running_app {
            None => Ok(Start::Launch),
            Some(running) if running == app => Ok(Start::Resume),
            Some(running) => Err(failure::of_host(self.host.busy(running))),
        }
    }

    /// Holds the session until it ends.
    async fn stream(&self, orders: &mut Orders<'_>, launched: Launched) -> Result<Ended, SourceError> {
        let Launched { config, launching, .. } = launched;
        let began = task::now();
        let mut launching = Some(launching);
        let mut stage = Some(Stage::PlatformInitialization);
        let mut driver = Driver::new(config, self.host.local_address())
            .map_err(|error| SourceError::retryable(error).in_stage(Stage::PlatformInitialization))?;
        let mut report = began + REPORT;
        let reason = loop {
            tokio::select! {
                event = driver.next() => match event {
                    Event::StageStarting(next) => {
                        stage = Some(next);
                        orders.io.stage_starting(next);
                    }
                    Event::StageComplete(stage) => orders.io.stage_complete(stage),
                    Event::Connected => {
                        stage = None;
                        launching.take().into_iter().for_each(Launching::connected);
                        orders.io.connected();
                        driver.take_inputs(orders.io.inputs(driver.input_features()));
                    }
                    Event::Info(info) => orders.io.info(info),
                    Event::Video(frame) => orders.io.video(frame),
                    Event::Audio(frame) => orders.io.audio(frame),
                    Event::Host(message) => match input::feedback(&message) {
                        Some(feedback) => orders.io.feedback(feedback),
                        None => tracing::debug!(?message, "the host says"),
                    },
                    Event::Ended { reason } => break reason,
                },
                keyframe = orders.next() => {
                    if keyframe {
                        driver.request_idr();
                    }
                    if orders.stopped {
                        driver.close();
                    }
                }
                () = task::at(Some(report)) => {
                    report = task::now() + REPORT;
                    orders.io.statistics(driver.stats());
                }
            }
        };
        orders.io.statistics(driver.stats());
        if orders.stopped {
            return Ok(Ended::Stopped);
        }
        if let EndReason::Terminated(Termination::INTENDED) = reason {
            return Ok(Ended::ByHost);
        }
        let elapsed = task::now().saturating_duration_since(began);
        let error = ConnectionError::new(self.host.address().clone(), elapsed, reason).into_source_error();
        Err(match stage {
            Some(stage) => error.in_stage(stage),
            None => error,
        })
    }
}

/// New for each session: with the same key twice, nonces would repeat (session 10.2).
struct Randomness {
    key: SessionKey,
    rikeyid: u32,
    seed: u32,
}

impl Randomness {
    fn draw() -> Result<Self, NoRandomness> {
        Ok(Self {
            key: SessionKey::new(pairing::random()?),
            rikeyid: u32::from_be_bytes(pairing::random()?),
            seed: u32::from_be_bytes(pairing::random()?),
        })
    }
}

fn is_no_session(error: &SourceError) -> bool {
    let cause = error.cause().downcast_ref::<ConnectionError>();
    cause.is_some_and(|error| error.kind() == ConnectionErrorKind::NoSession)
}

/// How often what was counted is told.
const REPORT: Duration = Duration::from_secs(1);
