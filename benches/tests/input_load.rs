//! Twenty viewers who do as much as they can at one desktop. Alone in its process, since it counts what that allocates.
//!
//! Of what must not be lost nothing is lost: each press and each release of each viewer arrives at the host, in its order.
//! A machine that is too slow for it takes longer.

#![expect(clippy::disallowed_methods, reason = "people act in real time")]

#[path = "support/held.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod held;
#[path = "../../moonlight-mux/tests/live/mod.rs"]
mod live;
mod support;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::{join_all, select_all, try_join_all};
use moonlight_mux::{HostEvent, HostEvents, HostInput, KeyCode, State, TestHostConfig};
use moonlight_mux_benches::viewer::{CloseReason, Hand, Viewer};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use held::memory;
use live::{Live, streaming};
use support::input::{acting, keys_of};
use support::loopback;

const VIEWERS: usize = 20;
/// Each viewer's. `EVENTS=10000` is ten seconds of it where the code is optimised.
const EVENTS: usize = 600;
/// Each tick a viewer does [`A_TICK`] things, half of them reliable: 1,000 a second. Code that is not optimised is ten times
/// as slow, and with viewers' pictures too would fall behind for so long that viewers seem to be gone.
const TICK: Duration = Duration::from_millis(if cfg!(debug_assertions) { 120 } else { 12 });
const A_TICK: usize = 12;
/// Above what twenty viewers hold who watch: their messages that wait, within SCTP and for the host. Two seconds of
/// unbounded queues would be ten times as much.
const HEAP_GROWTH: usize = 24_000_000;
/// Far above what this takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(600);

/// What is held down or let go. Each is one viewer's own, so that each press reaches the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Thing {
    Key(u8),
    Button(u8),
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_viewers_who_do_a_thousand_things_a_second_each_nothing_is_lost() {
    let events = std::env::var("EVENTS").ok().and_then(|events| events.parse().ok()).unwrap_or(EVENTS);
    let rounds = events / A_TICK;
    let live = Live::start(TestHostConfig::default()).await;
    let streamer = live.streamer("one").await;
    streaming(&streamer).await;
    let rtc = loopback();
    let viewers = timeout(PATIENCE, acting(&streamer, &rtc, VIEWERS)).await.expect("they join");

    let before = memory().heap;
    let highest = AtomicUsize::new(before);
    let started = Instant::now();
    let acting = try_join_all(viewers.iter().enumerate().map(|(n, (viewer, _))| act(n, viewer, rounds)));
    let everything = async {
        acting.await.expect("all stay");
        eprintln!("said after {:?}", started.elapsed());
    };
    let all = async { tokio::join!(everything, arrivals(live.host.events(), rounds)).1 };
    let watched = async {
        loop {
            highest.fetch_max(memory().heap, Relaxed);
            sleep(Duration::from_millis(50)).await;
        }
    };
    let moves = tokio::select! {
        moves = timeout(PATIENCE, all) => moves.expect("all of it arrives"),
        () = watched => unreachable!("it watches for ever"),
        (reason, n, _) = select_all(viewers.iter().map(|(viewer, _)| Box::pin(viewer.closed()))) => {
            panic!("viewer {n} is gone: {reason}")
        }
    };
    let took = started.elapsed();
    let reliable = VIEWERS * rounds * A_TICK / 2;
    eprintln!(
        "{reliable} presses and releases, {moves} of as many moves at the host, in {took:?}: {:.0} events a second and \
         viewer; the heap grew by {} kB at most",
        (rounds * A_TICK) as f64 / took.as_secs_f64(),
        (highest.load(Relaxed) - before) / 1000,
    );
    assert!(highest.load(Relaxed) - before < HEAP_GROWTH, "{before} bytes became {highest:?}");
    assert_eq!(live.host.counts().events_forgotten, 0);

    assert_eq!(live.host.counts().sessions, 1, "it is the session that it was");
    live::until(&streamer, |state| matches!(state, State::Streaming)).await;
    assert_eq!(streamer.restarts(), 0);
    let leaving = viewers.into_iter().map(async |(viewer, handle)| {
        let frames = viewer.stats().video.frames;
        let plays = viewer.wait_for(|stats| stats.video.frames > frames + 10);
        plays.await.expect("it stays");
        assert_eq!(viewer.stats().messages_refused, 0);
        viewer.close().await;
        handle.closed().await
    });
    timeout(PATIENCE, join_all(leaving)).await.expect("frames come, and all leave");
    let told = live.host.log().into_iter().filter(|event| thing(event).is_some()).count();
    assert_eq!(told, reliable, "nothing was held at the end, so nothing is let go");
}

/// What a viewer presses and lets go, over and over. Nothing stays down.
fn pattern(viewer: usize) -> [(Thing, bool); A_TICK / 2] {
    let [first, second] = keys_of(viewer).map(Thing::Key);
    // There is a button for each of the first viewers.
    let (a, b, c) = match viewer as u8 {
        n @ 0..5 => (first, Thing::Button(n + 1), second),
        _ => (first, second, first),
    };
    [(a, true), (b, true), (a, false), (c, true), (b, false), (c, false)]
}

async fn act(n: usize, viewer: &Viewer, rounds: usize) -> Result<(), CloseReason> {
    let mut hand = Hand::default();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for round in 0..rounds {
        ticks.tick().await;
        for (thing, down) in pattern(n) {
            hand.point(viewer, (n * 1000) as u16, round as u16).await?;
            match thing {
                Thing::Key(code) => hand.key(viewer, code, down).await?,
                Thing::Button(button) => hand.button(viewer, button, down).await?,
            }
        }
    }
    Ok(())
}

/// Waits until the host has seen everything: each thing goes down and up in turns, and each viewer's go down in its order,
/// keys and buttons apart, which have channels of their own to the host: a datagram that is lost holds up one of them alone.
/// They go up in that order too, but where a viewer was not heard for so long that what it held was let go.
/// Gives how many moves the host has seen.
async fn arrivals(mut events: HostEvents, rounds: usize) -> usize {
    let mut lines: HashMap<_, Line> = HashMap::new();
    let mut owners = HashMap::new();
    for viewer in 0..VIEWERS {
        for (thing, down) in pattern(viewer) {
            let line = (viewer, matches!(thing, Thing::Button(_)));
            owners.insert(thing, line);
            if down {
                lines.entry(line).or_default().pattern.push(thing);
            }
        }
    }
    let mut held = HashSet::new();
    let mut missing = VIEWERS * rounds * A_TICK / 2;
    let mut moves = 0;
    while missing > 0 {
        let event = events.next().await.expect("the host is here");
        let Some((thing, down)) = thing(&event) else {
            moves += usize::from(matches!(event, HostEvent::Input(_, HostInput::PointerTo(_))));
            continue;
        };
        missing -= 1;
        if down {
            let line = owners[&thing];
            let Line { pattern, arrived } = lines.get_mut(&line).expect("each thing has one");
            assert_eq!(thing, pattern[*arrived % pattern.len()], "{line:?}, press {arrived}");
            *arrived += 1;
            assert!(held.insert(thing), "{thing:?} of {line:?} went down twice");
        } else {
            assert!(held.remove(&thing), "{thing:?} went up and was not down");
        }
    }
    assert!(held.is_empty(), "{held:?}");
    moves
}

/// What one goes down after another, over and over.
#[derive(Debug, Default)]
struct Line {
    pattern: Vec<Thing>,
    arrived: usize,
}

fn thing(event: &HostEvent) -> Option<(Thing, bool)> {
    match *event {
        HostEvent::Input(_, HostInput::Key { code: KeyCode(code), down, .. }) => {
            Some((Thing::Key(code), down))
        }
        HostEvent::Input(_, HostInput::Button { button, down }) => Some((Thing::Button(button as u8), down)),
        _ => None,
    }
}
