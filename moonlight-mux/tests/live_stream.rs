//! Client and test host over real sockets: every manner and encryption, many at once, and each way to end.

use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use moonlight_mux::{
    AppSelector, ConnectionError, ConnectionErrorKind, EndReason, ExitPolicy, Faults, Freeze, Host,
    HostConfig, HostEncryption, HostEndReason, HostEvent, HostStep, Identity, Manner, Media, MoonlightConfig,
    MoonlightSource, Pin, RestartPolicy, State, Streamer, StreamerConfig, TestHost, TestHostConfig,
};
use tokio::time::timeout;

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, Box::pin(future)).await.expect("it takes no minute")
}

async fn start(manner: Manner, encryption: HostEncryption) -> TestHost {
    let mut config = TestHostConfig::default();
    (config.manner, config.encryption) = (manner, encryption);
    TestHost::start(config).await.unwrap()
}

/// The host as a new identity sees it that is paired.
async fn client(host: &TestHost) -> Host {
    let address = host.http_address().to_string().parse().unwrap();
    let client = Host::new(HostConfig::new(address, Identity::generate().unwrap()));
    let pin = Pin::random().unwrap();
    host.enter_pin(pin.digits());
    in_time(client.pair(&pin)).await.unwrap();
    client
}

/// What costs little to encode.
fn config() -> MoonlightConfig {
    let mut config = MoonlightConfig::new(AppSelector::Title("Desktop".to_owned()));
    (config.width, config.height, config.fps, config.bitrate_kbps) = (320, 180, 30, 5000);
    config
}

fn stream(client: Host, config: MoonlightConfig) -> Streamer {
    let mut streamer = StreamerConfig::default();
    streamer.restart = RestartPolicy::Never;
    Streamer::start("desktop".parse().unwrap(), MoonlightSource::new(client, config), streamer)
}

/// Pictures and packets of sound come, and a keyframe to whoever begins to look.
async fn watch(streamer: &Streamer) {
    let frames = streamer.subscribe();
    let (mut pictures, mut sounds) = (Vec::new(), 0);
    while pictures.len() < 5 || sounds < 5 {
        match in_time(frames.recv()).await.expect("the stream goes on") {
            Media::Video(frame) => pictures.push(frame),
            Media::Audio(_) => sounds += 1,
            Media::Gap { lost } => panic!("{lost} pictures are lost on loopback"),
        }
    }
    assert!(pictures[0].keyframe);
    assert!(pictures.windows(2).all(|pair| pair[1].number.0 == pair[0].number.0 + 1));
}

async fn ended(streamer: &Streamer) -> EndReason {
    let mut state = streamer.watch_state();
    let ended = in_time(state.wait_for(|state| matches!(state, State::Ended(_)))).await.unwrap();
    match &*ended {
        State::Ended(reason) => reason.clone(),
        state => unreachable!("{state:?}"),
    }
}

fn connection_error(reason: &EndReason) -> &ConnectionError {
    let EndReason::Failed(error) = reason else { panic!("{reason:?}") };
    assert!(!error.is_permanent());
    error.cause().downcast_ref().unwrap_or_else(|| panic!("{error}"))
}

/// Launch, stream, leave.
async fn whole_life(manner: Manner, encryption: HostEncryption, wished: bool) {
    let host = start(manner, encryption).await;
    let mut config = config();
    (config.encrypt_video, config.encrypt_audio) = (wished, wished);
    let streamer = stream(client(&host).await, config);
    in_time(streamer.wait_streaming()).await.unwrap_or_else(|error| panic!("{manner:?}: {error}"));
    watch(&streamer).await;
    // Whoever comes later brings a wish, which the host hears of.
    watch(&streamer).await;
    in_time(host.wait_for(|event| matches!(event, HostEvent::KeyframeRequested(_)))).await;

    in_time(streamer.shutdown(ExitPolicy::LeaveRunning)).await;
    let left = |event: &HostEvent| matches!(event, HostEvent::Ended { reason: HostEndReason::ByClient, .. });
    in_time(host.wait_for(left)).await;
    assert!(!host.log().iter().any(|event| matches!(event, HostEvent::RtspReset)));
    in_time(host.shutdown()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_manner_and_encryption_streams_and_is_left_in_peace() {
    use HostEncryption::{AudioOnly, Mandatory, Optional};
    let manners = [Manner::Sunshine, Manner::SunshineV023, Manner::Wolf];
    let kinds = [(Optional, false), (Optional, true), (AudioOnly, true), (Mandatory, false)];
    let lives = manners.iter().flat_map(|&manner| {
        kinds.iter().map(move |&(encryption, wished)| whole_life(manner, encryption, wished))
    });
    for life in lives {
        life.await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_ends_the_session_is_believed() {
    for manner in [Manner::Sunshine, Manner::Wolf] {
        let host = start(manner, HostEncryption::Optional).await;
        let streamer = stream(client(&host).await, config());
        in_time(streamer.wait_streaming()).await.unwrap();
        host.end_sessions();
        let reason = ended(&streamer).await;
        assert!(matches!(reason, EndReason::ByHost), "{manner:?}: {reason:?}");
    }
}

/// Both take the 10 s that a silent host is given, so they take them together.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_or_frozen_is_given_up_and_named() {
    let killed = start(Manner::Sunshine, HostEncryption::Optional).await;
    let frozen = start(Manner::Wolf, HostEncryption::Optional).await;
    let names = [&killed, &frozen].map(|host| host.http_address().to_string());
    let streamers = [stream(client(&killed).await, config()), stream(client(&frozen).await, config())];
    for streamer in &streamers {
        in_time(streamer.wait_streaming()).await.unwrap();
    }
    let mut faults = Faults::default();
    faults.freeze = Freeze::Everything;
    frozen.set_faults(faults);
    killed.kill().await;
    for (streamer, name) in streamers.iter().zip(names) {
        let reason = ended(streamer).await;
        let error = connection_error(&reason);
        assert_eq!(error.kind(), ConnectionErrorKind::HostSilent);
        assert_eq!(error.host().to_string(), name);
        assert!(error.elapsed() >= Duration::from_secs(10), "{error}");
        assert!(
            error.to_string().starts_with(&name) && error.to_string().ends_with("the host fell silent"),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quitting_the_app_comes_behind_leaving_the_session() {
    let host = start(Manner::SunshineV023, HostEncryption::Optional).await;
    let streamer = stream(client(&host).await, config());
    in_time(streamer.wait_streaming()).await.unwrap();
    in_time(streamer.shutdown(ExitPolicy::Quit)).await;
    let cancelled = |event: &HostEvent| matches!(event, HostEvent::Called { step: HostStep::Cancel, .. });
    in_time(host.wait_for(cancelled)).await;
    let end: Vec<_> = host.log().into_iter().rev().take(2).collect();
    // That host refuses while there is a session.
    assert!(
        matches!(
            end[..],
            [
                HostEvent::Called { step: HostStep::Cancel, status: Some(200), .. },
                HostEvent::Ended { reason: HostEndReason::ByClient, .. }
            ]
        ),
        "{end:?}"
    );
}

/// The host has a place for one pending session, and loses a second one.
#[tokio::test(flavor = "multi_thread")]
async fn two_launches_at_once_on_one_host_take_turns() {
    let host = start(Manner::Sunshine, HostEncryption::Optional).await;
    let client = client(&host).await;
    let streamers = [stream(client.clone(), config()), stream(client, config())];
    for streamer in &streamers {
        in_time(streamer.wait_streaming()).await.unwrap();
        watch(streamer).await;
    }
    let steps: Vec<_> = host
        .log()
        .into_iter()
        .filter_map(|event| match event {
            HostEvent::Launched { session, resumed, .. } => {
                Some((session.0, if resumed { "resumed" } else { "launched" }))
            }
            HostEvent::ControlConnected(session) => Some((session.0, "connected")),
            _ => None,
        })
        .collect();
    assert_eq!(steps, [(0, "launched"), (0, "connected"), (1, "resumed"), (1, "connected")]);
    for streamer in streamers {
        in_time(streamer.shutdown(ExitPolicy::LeaveRunning)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_hosts_stream_to_one_process_at_once() {
    let manners = [Manner::Sunshine, Manner::SunshineV023, Manner::Wolf, Manner::Sunshine];
    let one = |manner: Manner| async move {
        let host = start(manner, HostEncryption::Optional).await;
        let streamer = stream(client(&host).await, config());
        in_time(streamer.wait_streaming()).await.unwrap();
        (host, streamer)
    };
    let pairs = join_all(manners.into_iter().cycle().take(8).map(one)).await;
    join_all(pairs.iter().map(|(_, streamer)| watch(streamer))).await;
    for (_, streamer) in &pairs {
        let stats = streamer.source_stats();
        assert_eq!(stats.held_back, 0);
    }
    join_all(pairs.iter().map(|(_, streamer)| streamer.shutdown(ExitPolicy::LeaveRunning))).await;
}
