//! Client and test host over real sockets: every manner and encryption, many at once, and each way to end.

#![cfg(all(feature = "test-host", feature = "test-picture"))]

mod live;

use std::time::Duration;

use futures_util::future::join_all;
use moonlight_mux::{
    ConnectionError, ConnectionErrorKind, EndReason, ExitPolicy, Faults, Freeze, HostEncryption,
    HostEndReason, HostEvent, HostSessionId, HostStep, HostileAnswer, Manner, Media, MoonlightConfig,
    RestartPolicy, Stage, State, Streamer, StreamerConfig,
};

use self::live::{Live, PATIENCE, ended, host, in_time, small, streaming, until};

async fn start(manner: Manner, encryption: HostEncryption) -> Live {
    let mut config = host(manner);
    config.encryption = encryption;
    Live::start(config).await
}

/// Streams until the first end.
async fn stream(live: &Live, config: MoonlightConfig) -> Streamer {
    let mut streamer = StreamerConfig::default();
    streamer.restart = RestartPolicy::Never;
    let source = live.source("one", config).await;
    Streamer::start("desktop".parse().expect("a name"), source, streamer)
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

fn connection_error(reason: &EndReason) -> &ConnectionError {
    let EndReason::Failed(error) = reason else { panic!("{reason:?}") };
    assert!(!error.is_permanent());
    error.cause().downcast_ref().unwrap_or_else(|| panic!("{error}"))
}

/// Launch, stream, leave.
async fn whole_life(manner: Manner, encryption: HostEncryption, wished: bool) {
    let live = start(manner, encryption).await;
    let mut config = small();
    (config.encrypt_video, config.encrypt_audio) = (wished, wished);
    let streamer = stream(&live, config).await;
    streaming(&streamer).await;
    watch(&streamer).await;
    // Whoever comes later brings a wish, which the host hears of.
    watch(&streamer).await;
    in_time(live.host.wait_for(|event| matches!(event, HostEvent::KeyframeRequested(_)))).await;

    in_time(streamer.shutdown(ExitPolicy::LeaveRunning)).await;
    let left = |event: &HostEvent| matches!(event, HostEvent::Ended { reason: HostEndReason::ByClient, .. });
    in_time(live.host.wait_for(left)).await;
    assert!(!live.host.log().iter().any(|event| matches!(event, HostEvent::RtspReset)));
    in_time(live.host.shutdown()).await;
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

/// On a way that loses, delays and reorders: pictures and sound go on, behind a keyframe that was asked for where FEC
/// could not help.
async fn lossy_life(manner: Manner, encryption: HostEncryption, loss: f64) {
    let live = start(manner, encryption).await;
    let mut config = small();
    (config.encrypt_video, config.encrypt_audio) = (true, true);
    let mut faults = Faults::default();
    (faults.loss, faults.reordering, faults.delay) = (loss, 0.2, Duration::from_millis(10));
    live.host.set_faults(faults);
    let streamer = stream(&live, config).await;
    let frames = streamer.subscribe();
    let (mut pictures, mut sounds, mut whole) = (0, 0, true);
    let mut last = None;
    let came = async {
        let enough = |pictures, sounds| {
            let counts = live.host.counts();
            pictures >= 60
                && sounds >= 60
                && counts.datagrams_lost > 0
                && (loss < 0.2 || counts.keyframe_requests > 0)
        };
        while !enough(pictures, sounds) {
            match frames.recv().await.expect("the stream goes on") {
                Media::Video(frame) => {
                    // What lacks the picture before it is not shown.
                    whole &= frame.keyframe || last.is_some_and(|last| frame.number.0 == last + 1);
                    assert!(last.is_none_or(|last| frame.number.0 > last), "{frame:?}");
                    last = Some(frame.number.0);
                    pictures += 1;
                }
                Media::Audio(_) => sounds += 1,
                Media::Gap { .. } => {}
            }
        }
    };
    in_time(came).await;
    assert!(whole, "{manner:?}: a picture whose reference never came");
    assert_eq!(live.host.sessions(), 1, "{manner:?}");
    in_time(streamer.shutdown(ExitPolicy::LeaveRunning)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lossy_way_costs_pictures_and_no_session() {
    lossy_life(Manner::Sunshine, HostEncryption::Mandatory, 0.05).await;
    lossy_life(Manner::SunshineV023, HostEncryption::AudioOnly, 0.01).await;
    lossy_life(Manner::Wolf, HostEncryption::Optional, 0.2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_ends_the_session_is_believed() {
    for manner in [Manner::Sunshine, Manner::Wolf] {
        let live = start(manner, HostEncryption::Optional).await;
        let streamer = stream(&live, small()).await;
        streaming(&streamer).await;
        live.host.end_sessions();
        let reason = ended(&streamer).await;
        assert!(matches!(reason, EndReason::ByHost), "{manner:?}: {reason:?}");
    }
}

/// Both take the 10 s that a silent host is given, so they take them together.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_or_frozen_is_given_up_and_named() {
    let killed = start(Manner::Sunshine, HostEncryption::Optional).await;
    let frozen = start(Manner::Wolf, HostEncryption::Optional).await;
    let names = [&killed, &frozen].map(|live| live.host.http_address().to_string());
    let streamers = [stream(&killed, small()).await, stream(&frozen, small()).await];
    for streamer in &streamers {
        streaming(streamer).await;
    }
    let mut faults = Faults::default();
    faults.freeze = Freeze::Everything;
    frozen.host.set_faults(faults);
    killed.host.kill().await;
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
    let live = start(Manner::SunshineV023, HostEncryption::Optional).await;
    let streamer = stream(&live, small()).await;
    streaming(&streamer).await;
    in_time(streamer.shutdown(ExitPolicy::Quit)).await;
    let cancelled = |event: &HostEvent| matches!(event, HostEvent::Called { step: HostStep::Cancel, .. });
    in_time(live.host.wait_for(cancelled)).await;
    let end: Vec<_> = live.host.log().into_iter().rev().take(2).collect();
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

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_runs_is_quit_by_whoever_was_about_to_resume_it() {
    let live = start(Manner::Sunshine, HostEncryption::Optional).await;
    let first = stream(&live, small()).await;
    streaming(&first).await;
    in_time(first.shutdown(ExitPolicy::LeaveRunning)).await;
    let client = live.client("one").await;
    assert!(in_time(client.info()).await.expect("it answers").running_app.is_some());

    let mut faults = Faults::default();
    faults.slow_launch = PATIENCE;
    live.host.set_faults(faults);
    let second = stream(&live, small()).await;
    until(&second, |state| *state == State::Connecting(Stage::Launch)).await;
    in_time(second.shutdown(ExitPolicy::Quit)).await;
    assert_eq!(in_time(client.info()).await.expect("it answers").running_app, None);
}

/// The host has a place for one pending session, and loses a second one.
#[tokio::test(flavor = "multi_thread")]
async fn two_launches_at_once_on_one_host_take_turns() {
    let live = start(Manner::Sunshine, HostEncryption::Optional).await;
    let streamers = [stream(&live, small()).await, stream(&live, small()).await];
    for streamer in &streamers {
        streaming(streamer).await;
        watch(streamer).await;
    }
    let steps: Vec<_> = live
        .host
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

/// As Sunshine does when somebody else's launch was pending (session 11). Takes the 10 s for which its place may be taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_resume_that_the_host_lost_is_asked_for_again_though_it_refuses_to_launch() {
    let live = start(Manner::Sunshine, HostEncryption::Optional).await;
    let first = stream(&live, small()).await;
    streaming(&first).await;
    in_time(first.shutdown(ExitPolicy::LeaveRunning)).await;

    let mut faults = Faults::default();
    faults.hostile = Some((HostStep::Rtsp, HostileAnswer::Nothing));
    live.host.set_faults(faults);
    let second = stream(&live, small()).await;
    let lost = |event: &HostEvent| matches!(event, HostEvent::Rtsp { session: Some(HostSessionId(1)), .. });
    in_time(live.host.wait_for(lost)).await;
    live.host.set_faults(Faults::default());
    streaming(&second).await;
    watch(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_hosts_stream_to_one_process_at_once() {
    let manners = [Manner::Sunshine, Manner::SunshineV023, Manner::Wolf, Manner::Sunshine];
    let one = |manner: Manner| async move {
        let live = start(manner, HostEncryption::Optional).await;
        let streamer = stream(&live, small()).await;
        streaming(&streamer).await;
        (live, streamer)
    };
    let pairs = join_all(manners.into_iter().cycle().take(8).map(one)).await;
    join_all(pairs.iter().map(|(_, streamer)| watch(streamer))).await;
    for (_, streamer) in &pairs {
        let stats = streamer.source_stats();
        assert_eq!(stats.held_back, 0);
    }
    join_all(pairs.iter().map(|(_, streamer)| streamer.shutdown(ExitPolicy::LeaveRunning))).await;
}
