//! `demo` in Chromium, as a person meets it: pages come and go, fail and come back; what they show is read from the decoded
//! pictures. Times are printed, not checked: this machine may do much else.

#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "a browser runs in real time")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use moonlight_mux_benches::chromium::{Chromium, Page};
use serde_json::{Value, json};
use support::decoded::{Decoded, pitches, watch, watched};
use support::page::{command, evaluate, open, open_with_script, picture, press, reach, until};
use support::relay::Relay;
use support::{ISOLATIONS, PATIENCE, demo, demo_at, end, streamer};
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// Less than the default, for the sake of busy machines.
const PICTURE: [&str; 4] = ["--size", "640x360", "--fps", "30"];
const FPS: f64 = 30.0;

/// One browser at a time: two would share the machine's cores.
static BROWSER: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_and_go_and_the_stream_goes_on_with_nobody_watching() {
    let _one_at_a_time = BROWSER.lock().await;
    for isolation in ISOLATIONS {
        let (_demo, address) = demo(&demo_in(isolation)).await;
        let mut chromium = Chromium::launch().await.expect("chromium");
        let chromium = &mut chromium;
        let first = open(chromium, &page_url(address)).await;
        // The only keyframe that comes by itself is long gone when the second page joins.
        let alone = watch_for(chromium, [&first], Duration::from_secs(2)).await;
        assert_rises(&alone[0]);

        let second = late(chromium, address).await;
        let [a, b] = watch_for(chromium, [&first, &second], Duration::from_secs(3)).await;
        assert_rises(&a);
        assert_rises(&b);
        assert_agree(&a, &b);

        let connection = "window.before = window.moonlightMux.pc; undefined";
        evaluate(chromium, &first, connection).await;
        watch(chromium, &first, Duration::from_secs(3)).await;
        chromium.close(second).await.expect("the page closes");
        until_peers(address, 1).await;
        let stays = watched(chromium, &first).await;
        assert_rises(&stays);
        let longest = stays.times.windows(2).map(|pair| pair[1] - pair[0]).max().expect("pictures");
        eprintln!("while the other left, the longest time between two pictures was {longest:?}");
        let [stays] = watch_for(chromium, [&first], Duration::from_secs(1)).await;
        assert_rises(&stays);
        let same = "window.moonlightMux.state === 'playing' && window.before === window.moonlightMux.pc";
        assert_eq!(evaluate(chromium, &first, same).await, true);

        let last = (*stays.counters.last().expect("pictures"), *stays.times.last().expect("pictures"));
        chromium.close(first).await.expect("the page closes");
        until_peers(address, 0).await;
        nobody_watches(address, Duration::from_secs(10)).await;

        let third = late(chromium, address).await;
        let fourth = open(chromium, &page_url(address)).await;
        let [a, b] = watch_for(chromium, [&third, &fourth], Duration::from_secs(2)).await;
        assert_rises(&a);
        assert_agree(&a, &b);
        let (frames, time) = (f64::from(a.counters[0] - last.0), a.times[0] - last.1);
        eprintln!("{frames} frames in {time:?}, of which 10 s with nobody watching");
        // All of them, but for what a busy machine leaves out.
        assert!(frames > 0.5 * FPS * time.as_secs_f64(), "{frames} frames in {time:?}");
        picture(chromium, &third, "demo.png").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sound_flows_in_stereo() {
    let _one_at_a_time = BROWSER.lock().await;
    for isolation in ISOLATIONS {
        let (_demo, address) = demo(&demo_in(isolation)).await;
        let mut chromium = Chromium::launch().await.expect("chromium");
        let chromium = &mut chromium;
        let page = open(chromium, &page_url(address)).await;
        for (heard, hz) in pitches(chromium, &page).await.into_iter().zip([440.0, 660.0]) {
            assert!((heard - hz).abs() < 6.0, "{heard} Hz instead of {hz} Hz");
        }
        press(chromium, &page, "m").await;
        until(chromium, &page, "!window.moonlightMux.video.muted").await;
        let before = evaluate(chromium, &page, ENERGY).await.as_f64().expect("a number");
        until(chromium, &page, &format!("{ENERGY}.then((energy) => energy > {before})")).await;
    }
}

/// A promise of the sound's energy so far.
const ENERGY: &str = r#"window.moonlightMux.pc.getStats().then((report) =>
  [...report.values()].find(({ type, kind }) => type === "inbound-rtp" && kind === "audio").totalAudioEnergy)"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_was_killed_or_reloaded_plays_again() {
    let _one_at_a_time = BROWSER.lock().await;
    for isolation in ISOLATIONS {
        let (_demo, address) = demo(&demo_in(isolation)).await;
        let mut chromium = Chromium::launch().await.expect("chromium");
        let chromium = &mut chromium;
        let page = open(chromium, &page_url(address)).await;

        evaluate(chromium, &page, "window.old = true").await;
        let reloaded = Instant::now();
        command(chromium, &page, "Page.reload", json!({})).await;
        until(chromium, &page, "window.moonlightMux !== undefined && !window.old").await;
        until_moves(chromium, &page).await;
        eprintln!("reloaded: a picture after {:?}", reloaded.elapsed());
        until_peers(address, 1).await;

        let killed = Instant::now();
        chromium.crash(&page).await.expect("it crashes");
        until_peers(address, 0).await;
        eprintln!("killed: the server knows after {:?}", killed.elapsed());
        let reloaded = Instant::now();
        command(chromium, &page, "Page.reload", json!({})).await;
        until_moves(chromium, &page).await;
        eprintln!("killed and reloaded: a picture after {:?}", reloaded.elapsed());
        until_peers(address, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_was_frozen_in_the_background_plays_again() {
    let _one_at_a_time = BROWSER.lock().await;
    let (_demo, address) = demo(&PICTURE).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let page = open(chromium, &page_url(address)).await;
    let other = chromium.open("about:blank").await.expect("another tab");
    command(chromium, &other, "Page.bringToFront", json!({})).await;
    until(chromium, &page, "document.hidden").await;
    command(chromium, &page, "Page.setWebLifecycleState", json!({ "state": "frozen" })).await;
    // Longer than the page and the server wait for each other.
    sleep(Duration::from_secs(8)).await;
    command(chromium, &page, "Page.setWebLifecycleState", json!({ "state": "active" })).await;
    command(chromium, &page, "Page.bringToFront", json!({})).await;
    let front = Instant::now();
    until_moves(chromium, &page).await;
    eprintln!("back from the background: a picture after {:?}", front.elapsed());
    assert_rises(&watch_for(chromium, [&page], Duration::from_secs(1)).await[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_was_offline_for_five_seconds_says_so_and_plays_again() {
    let _one_at_a_time = BROWSER.lock().await;
    for isolation in ISOLATIONS {
        let (_demo, address) = demo(&demo_in(isolation)).await;
        let relay = Relay::bind(address).await;
        let mut chromium = Chromium::launch().await.expect("chromium");
        let chromium = &mut chromium;
        let page = open_with_script(chromium, &page_url(relay.address()), &relay.script()).await;
        until(chromium, &page, "window.serverPort > 0").await;
        let port = evaluate(chromium, &page, "window.serverPort").await;
        let port = port.as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        relay.lead_to(SocketAddr::new(address.ip(), port));
        until_moves(chromium, &page).await;

        relay.cut(true);
        be_online(chromium, &page, false).await;
        let offline = Instant::now();
        let reason = until_reason(chromium, &page).await;
        eprintln!("offline: after {:?} the page says: {reason}", offline.elapsed());
        sleep(Duration::from_secs(5).saturating_sub(offline.elapsed())).await;
        relay.cut(false);
        be_online(chromium, &page, true).await;
        let online = Instant::now();
        until_moves(chromium, &page).await;
        eprintln!("online again: a picture after {:?}", online.elapsed());
        assert_rises(&watch_for(chromium, [&page], Duration::from_secs(1)).await[0]);
        until_peers(address, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_that_the_server_is_gone_and_plays_when_it_was_restarted() {
    let _one_at_a_time = BROWSER.lock().await;
    for isolation in ISOLATIONS {
        let (mut child, address) = demo(&demo_in(isolation)).await;
        let mut chromium = Chromium::launch().await.expect("chromium");
        let chromium = &mut chromium;
        let page = open(chromium, &page_url(address)).await;
        evaluate(chromium, &page, "window.stillThisPage = true").await;
        for signal in ["-TERM", "-KILL"] {
            let ended = Instant::now();
            end(child, signal).await;
            let reason = until_reason(chromium, &page).await;
            eprintln!("{signal}: after {:?} the page says: {reason}", ended.elapsed());
            let restarted = Instant::now();
            child = demo_at(address, &demo_in(isolation)).await.0;
            until_moves(chromium, &page).await;
            eprintln!("restarted: a picture after {:?}", restarted.elapsed());
            assert_eq!(evaluate(chromium, &page, "window.stillThisPage").await, true, "without a reload");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_whose_streamers_process_is_killed_play_again_without_a_reload() {
    let _one_at_a_time = BROWSER.lock().await;
    let (_demo, address) = demo(&demo_in("process")).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let pages = [open(chromium, &page_url(address)).await, open(chromium, &page_url(address)).await];
    for page in &pages {
        until_moves(chromium, page).await;
        evaluate(chromium, page, "window.stillThisPage = true").await;
    }
    let pid = streamer(address).await["pid"].as_u64().expect("a process").to_string();
    let killed = Command::new("kill").args(["-KILL", &pid]).status().await.expect("kill runs");
    assert!(killed.success());
    let dead = Instant::now();
    let another = timeout(PATIENCE, async {
        loop {
            let info = streamer(address).await;
            if info["status"] == "active" && info["pid"].as_u64().is_some_and(|now| now.to_string() != pid) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    another.await.expect("it runs again");
    eprintln!("killed: it streams again after {:?}", dead.elapsed());
    for page in &pages {
        until_moves(chromium, page).await;
        eprintln!("killed: a picture after {:?}", dead.elapsed());
        assert_eq!(evaluate(chromium, page, "window.stillThisPage").await, true, "without a reload");
    }
    until_peers(address, 2).await;
    let [a, b] = watch_for(chromium, [&pages[0], &pages[1]], Duration::from_secs(2)).await;
    assert_rises(&a);
    assert_agree(&a, &b);
}

/// The arguments of a demo whose streamer runs there.
fn demo_in(isolation: &'static str) -> [&'static str; 6] {
    eprintln!("{isolation}:");
    let [size, of, fps, number] = PICTURE;
    ["--isolation", isolation, size, of, fps, number]
}

fn page_url(address: SocketAddr) -> String {
    format!("http://{address}/s/demo")
}

/// Opens a page and tells how long it took to its first picture.
async fn late(chromium: &mut Chromium, address: SocketAddr) -> Page {
    let page = open_with_script(chromium, &page_url(address), FIRST_PICTURE).await;
    until(chromium, &page, "window.firstPicture > 0").await;
    let ms = evaluate(chromium, &page, "window.firstPicture").await;
    eprintln!("joined late: a picture {:.0} ms after the navigation began", ms.as_f64().expect("a number"));
    reach(chromium, &page, "playing").await;
    page
}

/// `firstPicture`: when a picture was shown first, in milliseconds since the navigation began.
const FIRST_PICTURE: &str = r#"
  addEventListener("DOMContentLoaded", () =>
    document.querySelector("video")?.requestVideoFrameCallback((now) => (window.firstPicture = now)));"#;

async fn be_online(chromium: &mut Chromium, page: &Page, online: bool) {
    let conditions =
        json!({ "offline": !online, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
    command(chromium, page, "Network.emulateNetworkConditions", conditions).await;
}

/// Waits until the page plays and has decoded new pictures since it was asked.
async fn until_moves(chromium: &mut Chromium, page: &Page) {
    until(chromium, page, MOVES).await;
}

const MOVES: &str = r#"(async () => {
  const { pc, state } = window.moonlightMux ?? {};
  if (state !== "playing" || document.getElementById("interruption").checkVisibility()) return false;
  const decoded = async () => [...(await pc.getStats()).values()]
    .find(({ type, kind }) => type === "inbound-rtp" && kind === "video")?.framesDecoded;
  const before = await decoded();
  await new Promise((resolve) => setTimeout(resolve, 100));
  return (await decoded()) > before && window.moonlightMux.pc === pc;
})()"#;

/// Waits until the page says why there is no moving picture, and gives its words.
async fn until_reason(chromium: &mut Chromium, page: &Page) -> String {
    let seen = r#"["interruption-text", "message"].map((id) => document.getElementById(id))
        .find((element) => element.checkVisibility() && element.textContent)?.textContent"#;
    let reason = timeout(PATIENCE, async {
        loop {
            match evaluate(chromium, page, seen).await {
                Value::String(reason) => return reason,
                _ => sleep(Duration::from_millis(20)).await,
            }
        }
    });
    reason.await.expect("the page says why")
}

async fn until_peers(address: SocketAddr, count: u64) {
    let reached = timeout(PATIENCE, async {
        while streamer(address).await["connected_peers"] != count {
            sleep(Duration::from_millis(50)).await;
        }
    });
    reached.await.unwrap_or_else(|_| panic!("not {count} viewers within {PATIENCE:?}"));
}

/// For so long, the stream flows without a viewer.
async fn nobody_watches(address: SocketAddr, time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        let info = streamer(address).await;
        assert_eq!((&info["connected_peers"], &info["status"]), (&0.into(), &"active".into()), "{info}");
        sleep(Duration::from_millis(200)).await;
    }
}

/// Watches pages, all at once.
async fn watch_for<const N: usize>(
    chromium: &mut Chromium,
    pages: [&Page; N],
    time: Duration,
) -> [Decoded; N] {
    for page in pages {
        watch(chromium, page, time).await;
    }
    let mut seen = Vec::new();
    for page in pages {
        seen.push(watched(chromium, page).await);
    }
    seen.try_into().expect("one per page")
}

fn assert_rises(Decoded { counters, .. }: &Decoded) {
    assert!(counters.len() > 1, "{counters:?}");
    assert!(counters.is_sorted_by(|a, b| a < b), "{counters:?}");
}

/// Both show the same pictures, at about the same time.
fn assert_agree(a: &Decoded, b: &Decoded) {
    let shown = |decoded: &Decoded, counter| {
        decoded.counters.iter().position(|&other| other == counter).map(|i| decoded.times[i].as_secs_f64())
    };
    let mut apart: Vec<f64> = a
        .counters
        .iter()
        .zip(&a.times)
        .filter_map(|(&counter, time)| Some((shown(b, counter)? - time.as_secs_f64()).abs()))
        .collect();
    apart.sort_by(f64::total_cmp);
    let (both, shorter) = (apart.len(), a.counters.len().min(b.counters.len()));
    assert!(4 * both > shorter, "{both} of {shorter} pictures in both: {a:?} {b:?}");
    let median = apart[both / 2];
    eprintln!("{both} of {shorter} pictures in both, {:.0} ms apart", 1000.0 * median);
    assert!(median < 3.0, "{median} s apart");
}
