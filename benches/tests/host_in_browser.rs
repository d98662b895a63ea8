//! A host's stream in Chromium: it shows the host's picture over the whole protocol, says when the host is gone, and shows
//! pictures again in the same page when the host was started again.

#![expect(clippy::disallowed_methods, reason = "a browser runs in real time")]

#[path = "../../moonlight-mux/tests/live/mod.rs"]
mod live;
mod support;

use std::time::Duration;

use moonlight_mux::{Manner, State, TestHost};
use moonlight_mux_benches::chromium::Chromium;
use tokio::time::Instant;

use live::{Live, host, small};
use support::decoded::{pitches, watch, watched};
use support::page::{evaluate, keep, open, until};
use support::serve;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_plays_a_host_and_plays_on_when_the_host_was_started_again() {
    let live = Live::start(host(Manner::Sunshine)).await;
    let mut config = small();
    (config.width, config.height) = (640, 360);
    let served = serve(live.source("one", config).await).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = open(&mut chromium, &served.page_url()).await;
    assert_shows(&mut chromium, &page).await;
    for (heard, hz) in pitches(&mut chromium, &page).await.into_iter().zip([440.0, 660.0]) {
        assert!((heard - hz).abs() < 6.0, "{heard} Hz instead of {hz} Hz");
    }
    keep("page-host.png", &chromium.screenshot(&page).await.expect("a picture of the page"));

    let same = "window.before = window.moonlightMux.pc; undefined";
    evaluate(&mut chromium, &page, same).await;
    let config = live.host.config();
    let killed = Instant::now();
    live.host.kill().await;
    live::until(&served.streamer, |state| matches!(state, State::Reconnecting { .. })).await;
    eprintln!("killed: the streamer reconnects after {:?}", killed.elapsed());
    let says = r#"document.getElementById("interruption").checkVisibility()"#;
    until(&mut chromium, &page, says).await;
    let words = r#"document.getElementById("interruption-text").textContent"#;
    eprintln!("after {:?} the page says: {}", killed.elapsed(), evaluate(&mut chromium, &page, words).await);
    keep("page-host-gone.png", &chromium.screenshot(&page).await.expect("a picture of the page"));

    let started = Instant::now();
    let _again = TestHost::start(config).await.expect("its ports are free");
    let plays = format!("window.moonlightMux.state === 'playing' && !{says}");
    until(&mut chromium, &page, &plays).await;
    eprintln!("started again: the page plays after {:?}", started.elapsed());
    assert_shows(&mut chromium, &page).await;
    assert_eq!(evaluate(&mut chromium, &page, "window.before === window.moonlightMux.pc").await, true);
    chromium.quit().await;
}

/// The counter in the picture rises.
async fn assert_shows(chromium: &mut Chromium, page: &moonlight_mux_benches::chromium::Page) {
    watch(chromium, page, Duration::from_secs(2)).await;
    let counters = watched(chromium, page).await.counters;
    assert!(counters.len() > 10 && counters.is_sorted_by(|a, b| a < b), "{counters:?}");
}
