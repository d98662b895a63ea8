//! A host that is lost and found again, over real sockets.

#![cfg(all(feature = "test-host", feature = "test-picture"))]

mod live;

use std::time::Duration;

use live::{Live, host, pictures, small, streaming, until};
use moonlight_mux::{
    EndReason, Faults, Freeze, HostEndReason, HostEvent, HostSessionId, Manner, Silent, State, Streamer,
    StreamerConfig,
};

#[tokio::test(flavor = "multi_thread")]
async fn media_that_stay_away_while_control_lives_bring_a_new_session_that_resumes_the_app() {
    for manner in [Manner::Sunshine, Manner::Wolf] {
        let live = Live::start(host(manner)).await;
        let mut config = StreamerConfig::default();
        config.stall_timeout = Duration::from_secs(3);
        config.backoff.first = Duration::from_millis(200);
        let source = live.source("one", small()).await;
        let streamer = Streamer::start("frozen".parse().expect("a name"), source, config);
        streaming(&streamer).await;
        let frames = streamer.subscribe();
        let before = pictures(&frames, 10).await;

        let mut faults = Faults::default();
        faults.freeze = Freeze::Media;
        live.host.set_faults(faults.clone());
        let state = until(&streamer, |state| matches!(state, State::Reconnecting { .. })).await;
        let State::Reconnecting { attempt: 1, reason: EndReason::Failed(error), .. } = state else {
            panic!("{state:?}")
        };
        assert!(matches!(error.cause().downcast_ref(), Some(Silent::Frozen { .. })), "{error:?}");
        faults.freeze = Freeze::Nothing;
        live.host.set_faults(faults);
        streaming(&streamer).await;
        assert_eq!(streamer.restarts(), 1);
        assert_eq!(live.host.sessions(), 1, "{:?}", live.host.log());
        let after = pictures(&streamer.subscribe(), 10).await;
        assert!(after[0].number > before[9].number && after[0].timestamp > before[9].timestamp);
        let first = HostSessionId(0);
        let log = live.host.log();
        assert!(
            log.contains(&HostEvent::Ended { session: first, reason: HostEndReason::ByClient }),
            "{log:?}"
        );
        let resumed = log.iter().any(
            |event| matches!(event, HostEvent::Launched { session, resumed: true, .. } if *session != first),
        );
        assert!(resumed, "{log:?}");
    }
}
