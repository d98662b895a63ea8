//! What went wrong between clients and hosts elsewhere does not here: over real sockets, with a host of each manner.
//! docs/testing.md names the lesson of each test, and the tests of lessons that need no sockets.

#![cfg(all(feature = "test-host", feature = "test-picture"))]

mod live;

use std::collections::HashSet;
use std::time::Duration;

use moonlight_mux::{
    AppSelector, EndReason, ExitPolicy, Faults, FrameNumber, Freeze, Host, HostEndReason, HostError,
    HostErrorCause, HostEvent, HostId, HostOptions, HostRight, HostSessionId, HostStep, Hosts, IdentityName,
    Manner, MoonlightSource, RestartPolicy, Silent, StartRefusal, State, Streamer, StreamerConfig, TestApp,
};

use live::{Live, ended, host, in_time, in_words, pictures, small, streaming, until};

const MANNERS: [Manner; 3] = [Manner::Sunshine, Manner::SunshineV023, Manner::Wolf];

fn without_restarts() -> StreamerConfig {
    let mut config = StreamerConfig::default();
    config.restart = RestartPolicy::Never;
    config
}

fn words(reason: &EndReason) -> String {
    match reason {
        EndReason::Failed(error) => in_words(error),
        reason => panic!("{reason:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_streamers_stream_from_one_host_at_once_each_with_a_key_of_its_own() {
    let live = Live::start(host(Manner::Sunshine)).await;
    let streamers = [live.streaming("one").await, live.streaming("two").await, live.streaming("three").await];
    for streamer in &streamers {
        pictures(&streamer.subscribe(), 10).await;
    }
    assert_eq!(live.host.sessions(), 3);
    let mut certificates = HashSet::new();
    for identity in ["one", "two", "three"] {
        certificates.insert(live.client(identity).await.identity().certificate_pem().to_owned());
    }
    assert_eq!(certificates.len(), 3);
    for streamer in &streamers {
        streamer.shutdown(ExitPolicy::LeaveRunning).await;
    }
    in_time(live.host.wait_for_counts(|counts| counts.sessions == 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn below_and_above_15_mbit_per_second_the_hosts_own_url_is_used() {
    for manner in MANNERS {
        let mut config = host(manner);
        // A later Wolf: who does not say the URL that the host gave is taken for whoever came first from that address.
        config.session_addresses = true;
        let live = Live::start(config).await;
        let _first = match manner {
            Manner::Wolf => Some(live.streaming("first").await),
            _ => None,
        };
        for bitrate_kbps in [5_000, 14_900, 15_000, 40_000] {
            let mut config = small();
            config.bitrate_kbps = bitrate_kbps;
            let source = live.source("one", config).await;
            let id = format!("at-{bitrate_kbps}").parse().expect("a name");
            let streamer = Streamer::start(id, source, without_restarts());
            streaming(&streamer).await;
            pictures(&streamer.subscribe(), 5).await;
            streamer.shutdown(ExitPolicy::Quit).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_creates_on_one_host_at_once_are_both_served() {
    let live = Live::start(host(Manner::Sunshine)).await;
    // Who takes turns at a host is known there, not by each identity.
    let (hosts, id) = (Hosts::in_memory(), HostId(0));
    hosts.declare(id, live.host.address(), HostOptions::default()).expect("in memory");
    let mut sources = Vec::new();
    for name in ["one", "two"] {
        let name: IdentityName = name.parse().expect("a name");
        let pairing = hosts.begin_pairing(id, &name).await.expect("a PIN");
        live.host.enter_pin(pairing.pin().digits());
        in_time(pairing.outcome()).await.expect("the PIN is right");
        sources.push(in_time(hosts.source(id, &name, small())).await.expect("a host that is known"));
    }
    let start = |source| Streamer::start("s".parse().expect("a name"), source, without_restarts());
    let streamers: Vec<_> = sources.into_iter().map(start).collect();
    for streamer in &streamers {
        streaming(streamer).await;
        pictures(&streamer.subscribe(), 5).await;
    }
    // One at a time has a session that waits.
    let mut steps = live.host.log().into_iter().filter_map(|event| match event {
        HostEvent::Launched { session, resumed, .. } => Some(("launched", session, resumed)),
        HostEvent::ControlConnected(session) => Some(("connected", session, false)),
        _ => None,
    });
    let (one, two) = (HostSessionId(0), HostSessionId(1));
    let wanted = [
        ("launched", one, false),
        ("connected", one, false),
        ("launched", two, true),
        ("connected", two, false),
    ];
    assert!(steps.by_ref().eq(wanted), "{:?}", live.host.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_stays_open_behind_a_call() {
    let live = Live::start(host(Manner::Sunshine)).await;
    let client = live.client("one").await;
    for _ in 0..5 {
        in_time(client.info()).await.expect("it answers");
        in_time(client.apps()).await.expect("it answers");
        in_time(live.host.wait_for_counts(|counts| counts.open_connections == 0)).await;
    }
    let _streamer = live.streaming("one").await;
    in_time(live.host.wait_for_counts(|counts| counts.open_connections + counts.open_rtsp_connections == 0))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_inside_an_answer_that_http_calls_ok_is_told_in_the_hosts_words() {
    let live = Live::start(host(Manner::Sunshine)).await;
    let mut faults = Faults::default();
    faults.refuse_start = Some(StartRefusal { status: 503, message: "no display to capture".to_owned() });
    live.host.set_faults(faults);
    let reason = ended(&live.streamer("one").await).await;
    let words = words(&reason);
    assert!(words.contains("no display to capture") && words.contains("503"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_was_added_while_the_host_ran_is_found() {
    let live = Live::start(host(Manner::Sunshine)).await;
    live.streaming("one").await.shutdown(ExitPolicy::Quit).await;
    live.host.set_apps(vec![TestApp::new(1, "Desktop"), TestApp::new(77, "Fresh")]);
    let mut config = small();
    config.app = AppSelector::Title("Fresh".to_owned());
    let source = live.source("one", config).await;
    let streamer = Streamer::start("fresh".parse().expect("a name"), source, without_restarts());
    streaming(&streamer).await;
    let launched = |event: &HostEvent| matches!(event, HostEvent::Launched { app: 77, .. });
    in_time(live.host.wait_for(launched)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_slow_to_launch_gets_its_time() {
    let live = Live::start(host(Manner::Sunshine)).await;
    let mut faults = Faults::default();
    // More than the second after which other clients give up.
    faults.slow_launch = Duration::from_secs(5);
    live.host.set_faults(faults);
    pictures(&live.streaming("one").await.subscribe(), 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_answer_is_named_with_the_stage_and_the_time_that_passed() {
    let live = Live::start(host(Manner::Sunshine)).await;
    let streamer = live.source("one", small()).await;
    let mut faults = Faults::default();
    faults.silent = vec![HostStep::ServerInfo];
    live.host.set_faults(faults);
    let streamer = Streamer::start("silent".parse().expect("a name"), streamer, without_restarts());
    let EndReason::Failed(error) = ended(&streamer).await else { panic!("{streamer:?}") };
    let words = in_words(&error);
    let address = live.host.http_address().to_string();
    let elapsed = error.cause().downcast_ref::<HostError>().expect("of a call").elapsed;
    let told = format!(" {:.1} s", elapsed.as_secs_f32());
    assert!(words.contains(&address) && words.contains("server info") && words.contains(&told), "{words}");
    assert!(elapsed >= Duration::from_secs(10), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_needs_twelve_seconds_for_its_first_picture_gets_them() {
    let live = Live::start(host(Manner::Wolf)).await;
    let mut faults = Faults::default();
    faults.slow_first_frame = Duration::from_secs(12);
    live.host.set_faults(faults);
    pictures(&live.streaming("one").await.subscribe(), 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_freezes_behind_the_control_connection_is_left_with_a_clean_error() {
    let live = Live::start(host(Manner::Sunshine)).await;
    let source = live.source("one", small()).await;
    let mut faults = Faults::default();
    faults.freeze = Freeze::Media;
    live.host.set_faults(faults);
    let mut config = without_restarts();
    config.first_frame_timeout = Duration::from_secs(2);
    let streamer = Streamer::start("frozen".parse().expect("a name"), source, config);
    match ended(&streamer).await {
        EndReason::Failed(error) => {
            let silent = error.cause().downcast_ref();
            assert!(matches!(silent, Some(Silent::NoFirstFrame { datagrams: 0, .. })), "{error:?}");
        }
        reason => panic!("{reason:?}"),
    }
    let session = HostSessionId(0);
    in_time(
        live.host.wait_for(|event| *event == HostEvent::Ended { session, reason: HostEndReason::ByClient }),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_that_is_cancelled_in_the_middle_resets_no_rtsp_connection() {
    let live = Live::start(host(Manner::Wolf)).await;
    let streamer = live.source("one", small()).await;
    let mut faults = Faults::default();
    faults.silent = vec![HostStep::Rtsp];
    live.host.set_faults(faults.clone());
    let streamer = Streamer::start("cancelled".parse().expect("a name"), streamer, without_restarts());
    in_time(live.host.wait_for_counts(|counts| counts.open_rtsp_connections == 1)).await;
    streamer.shutdown(ExitPolicy::LeaveRunning).await;
    // The host closes when it cares to; until then it must not see a reset.
    faults.silent.clear();
    live.host.set_faults(faults);
    in_time(live.host.wait_for_counts(|counts| counts.open_rtsp_connections == 0)).await;
    assert!(!live.host.log().contains(&HostEvent::RtspReset), "{:?}", live.host.log());
    // Its RTSP server lives.
    pictures(&live.streaming("one").await.subscribe(), 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_picture_is_shown_whether_its_number_is_zero_or_one() {
    for manner in MANNERS {
        let live = Live::start(host(manner)).await;
        let source = live.source("one", small()).await;
        // Until somebody waits for the very first picture.
        let mut faults = Faults::default();
        faults.silent = vec![HostStep::ServerInfo];
        live.host.set_faults(faults);
        let streamer = Streamer::start("first".parse().expect("a name"), source, without_restarts());
        let frames = streamer.subscribe();
        live.host.set_faults(Faults::default());
        let first = &pictures(&frames, 5).await[0];
        assert_eq!(first.number, FrameNumber(0), "of {manner:?}, counted by the streamer");
        assert_eq!(live.host.counts().keyframes, 1, "of {manner:?}: the first picture was of use");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_the_host_ends_is_known_to_be_ended_by_the_host() {
    for manner in MANNERS {
        let live = Live::start(host(manner)).await;
        let source = live.source("one", small()).await;
        let streamer = Streamer::start("ended".parse().expect("a name"), source, without_restarts());
        streaming(&streamer).await;
        live.host.end_sessions();
        let reason = ended(&streamer).await;
        assert!(matches!(reason, EndReason::ByHost), "{manner:?}: {reason:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_host_is_stalled_and_streams_again_when_it_goes_on() {
    let live = Live::start(host(Manner::Sunshine)).await;
    let streamer = live.streaming("one").await;
    let mut faults = Faults::default();
    faults.freeze = Freeze::Media;
    live.host.set_faults(faults.clone());
    until(&streamer, |state| matches!(state, State::Stalled)).await;
    assert_eq!(live.host.sessions(), 1, "control goes on");
    faults.freeze = Freeze::Nothing;
    live.host.set_faults(faults);
    until(&streamer, |state| matches!(state, State::Streaming)).await;
    assert_eq!(streamer.restarts(), 0);
    pictures(&streamer.subscribe(), 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_streamers_with_two_addresses_have_two_sessions_on_a_host_that_tells_clients_by_address() {
    let live = Live::start(host(Manner::Wolf)).await;
    let mut sessions = Vec::new();
    for (identity, address) in [("one", "127.0.0.1"), ("two", "127.0.0.2")] {
        let mut config = live::stranger(&live.host);
        config.local_address = Some(address.parse().expect("an address"));
        let client = Host::new(config);
        live::pair(&client, &live.host).await;
        let source = MoonlightSource::new(client, small());
        let streamer = Streamer::start(identity.parse().expect("a name"), source, without_restarts());
        streaming(&streamer).await;
        pictures(&streamer.subscribe(), 5).await;
        sessions.push(streamer);
    }
    let launched = live.host.log().into_iter().filter_map(|event| match event {
        HostEvent::Launched { session, resumed, .. } => Some((session, resumed)),
        _ => None,
    });
    assert!(launched.eq([(HostSessionId(0), false), (HostSessionId(1), false)]), "{:?}", live.host.log());
    assert_eq!(live.host.sessions(), 2);
    for streamer in sessions {
        assert!(matches!(streamer.state(), State::Streaming), "{streamer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_the_host_forbids_this_client_is_told_and_not_tried_again() {
    let live = Live::start(host(Manner::Sunshine)).await;
    let mut faults = Faults::default();
    // As hosts of the Apollo family refuse whoever has no right to launch.
    faults.refuse_start = Some(StartRefusal { status: 403, message: "Permission denied".to_owned() });
    live.host.set_faults(faults);
    let streamer = live.streamer("one").await;
    match ended(&streamer).await {
        EndReason::Failed(error) => {
            assert!(error.is_permanent(), "{error:?}");
            let words = in_words(&error);
            assert!(words.contains("launch") && words.contains("Permission denied"), "{words}");
        }
        reason => panic!("{reason:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_the_host_did_not_give_is_named() {
    for (permission, refuse_start) in [
        (0, None),
        (0x0300_0000, Some(StartRefusal { status: 403, message: "Permission denied".to_owned() })),
    ] {
        let live = Live::start(host(Manner::Sunshine)).await;
        let mut faults = Faults::default();
        (faults.permission, faults.refuse_start) = (Some(permission), refuse_start);
        live.host.set_faults(faults);
        match ended(&live.streamer("one").await).await {
            EndReason::Failed(error) => {
                assert!(error.is_permanent(), "{error:?}");
                let cause = &error.cause().downcast_ref::<HostError>().expect("of a call").cause;
                assert_eq!(*cause, HostErrorCause::MissingRight { right: HostRight::Launch });
            }
            reason => panic!("{reason:?}"),
        }
        assert_eq!(live.host.sessions(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invisible_characters_before_a_title_do_not_hide_an_app() {
    let mut config = host(Manner::Sunshine);
    config.apps = vec![TestApp::new(1, "\u{200b}Other"), TestApp::new(7, "\u{200c}\u{200b}Desktop")];
    let live = Live::start(config).await;
    let _streamer = live.streaming("one").await;
    in_time(live.host.wait_for(|event| matches!(event, HostEvent::Launched { app: 7, .. }))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_that_stands_for_a_missing_right_is_not_launched() {
    let mut config = host(Manner::Sunshine);
    config.apps = vec![TestApp::new(114_514, "Desktop")];
    let live = Live::start(config).await;
    let words = words(&ended(&live.streamer("one").await).await);
    assert!(words.contains("right"), "{words}");
    assert!(!live.host.log().iter().any(|event| matches!(event, HostEvent::Launched { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_the_operator_shut_out_is_told_so_once_and_does_not_try_again() {
    let live = Live::start(host(Manner::Sunshine)).await;
    let source = live.source("one", small()).await;
    let mut config = StreamerConfig::default();
    config.restart = RestartPolicy::Always;
    let streamer = Streamer::start("out".parse().expect("a name"), source, config);
    streaming(&streamer).await;
    live.host.distrust_all();
    live.host.end_sessions();
    let reason = ended(&streamer).await;
    let words = words(&reason);
    assert!(words.contains("paired"), "{words}");
    assert!(streamer.restarts() <= 1, "{}", streamer.restarts());
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_smaller_than_asked_for_are_taken() {
    for manner in MANNERS {
        let live = Live::start(host(manner)).await;
        let mut faults = Faults::default();
        faults.packet_size = Some(400);
        live.host.set_faults(faults);
        pictures(&live.streaming("one").await.subscribe(), 10).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_from_one_address_each_have_their_own_key() {
    // Encrypted by all means: with the other's key nothing would open.
    let mut config = host(Manner::Sunshine);
    config.encryption = moonlight_mux::HostEncryption::Mandatory;
    let live = Live::start(config).await;
    let streamers = [live.streaming("one").await, live.streaming("two").await];
    for streamer in &streamers {
        pictures(&streamer.subscribe(), 10).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_joins_at_once_cost_the_host_at_most_two_keyframes() {
    let live = Live::start(host(Manner::Sunshine)).await;
    let streamer = live.streaming("one").await;
    pictures(&streamer.subscribe(), 1).await;
    let before = live.host.counts();
    let joined: Vec<_> = (0..20).map(|_| streamer.subscribe()).collect();
    for subscription in &joined {
        pictures(subscription, 1).await;
    }
    let after = live.host.counts();
    assert!(after.keyframe_requests - before.keyframe_requests <= 2, "{before:?}, {after:?}");
}
