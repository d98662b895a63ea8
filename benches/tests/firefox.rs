//! Firefox on the page: AV1 plays, and what it cannot play is said in words.

#[path = "../../moonlight-mux/tests/recordings/folder.rs"]
mod recordings;
mod support;

use std::io::{self, Write};

use moonlight_mux::{Recording, TestPicture, TestPictureConfig};
use moonlight_mux_benches::driver::BrowserError;
use moonlight_mux_benches::firefox::Firefox;
use serde_json::json;
use support::page::{PATIENCE, evaluate, open, picture, reach, until};
use support::serve;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// One browser at a time: two would share the machine's cores.
static BROWSER: Mutex<()> = Mutex::const_new(());

/// `None` where there is no Firefox; then it has said that `test` is left out.
async fn firefox(test: &str) -> Option<Firefox> {
    match Firefox::launch().await {
        Ok(firefox) => Some(firefox),
        Err(BrowserError::Launch { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            // In one piece, and past the test harness, which swallows what a passing test prints.
            let line = format!("left out: {test}: firefox-esr is not installed\n");
            io::stderr().write_all(line.as_bytes()).expect("stderr can be written");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn firefox_shows_an_av1_session() {
    let test = "firefox_shows_an_av1_session";
    let Some(folder) = recordings::recording(test, "v0.23-av1") else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let Some(mut firefox) = firefox(test).await else { return };
    let recording = Recording::open(&folder).expect("a whole recording");
    let served = serve(recording).await;
    let page = open(&mut firefox, &served.page_url()).await;
    let counters: Vec<u32> =
        serde_json::from_value(evaluate(&mut firefox, &page, READ_COUNTERS).await).expect("counters");
    eprintln!("{} pictures from {:?} to {:?}", counters.len(), counters.first(), counters.last());
    // It falls where the recording begins anew: rarely, however few of its pictures a busy machine shows.
    let falls = counters.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(4 * falls < counters.len(), "{counters:?}");
    let rises = counters.windows(2).filter(|pair| pair[1] > pair[0]).count();
    assert!(2 * rises > counters.len(), "{counters:?}");
    until(&mut firefox, &page, "moonlightMux.events.Viewers?.count === 1").await;
    until(&mut firefox, &page, "moonlightMux.events.Stream?.codec === 'AV1'").await;
    picture(&mut firefox, &page, "firefox-av1.png").await;
    firefox.quit().await;
    let mut peers = served.streamer.watch_peers();
    let left = timeout(PATIENCE, peers.wait_for(|peers| peers.is_empty()));
    left.await.expect("nothing of a closed page is left").expect("the streamer is there");
}

/// The frame counters of 60 pictures, in order: cells in the picture's top row, as `browser.rs` reads them in Chromium.
const READ_COUNTERS: &str = r#"(async () => {
  const { video } = window.moonlightMux;
  const [width, height] = [video.videoWidth, video.videoHeight];
  const canvas = new OffscreenCanvas(width, 1).getContext("2d", { willReadFrequently: true });
  const counters = [];
  while (counters.length < 60) {
    await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    canvas.drawImage(video, 0, -Math.floor(height / 90));
    const pixels = canvas.getImageData(0, 0, width, 1).data;
    let counter = 0;
    for (let i = 0; i < 32; i++) if (pixels[4 * Math.floor((i + 0.5) * width / 32)] > 127) counter += 2 ** i;
    counters.push(counter);
  }
  return counters;
})()"#;

#[tokio::test(flavor = "multi_thread")]
async fn firefox_says_that_it_cannot_play_h264_without_its_plugin() {
    let test = "firefox_says_that_it_cannot_play_h264_without_its_plugin";
    let _one_at_a_time = BROWSER.lock().await;
    let Some(mut firefox) = firefox(test).await else { return };
    let served = serve(TestPicture::new(TestPictureConfig::default()).expect("in range")).await;
    let page = firefox.open(&served.page_url()).await.expect("the page opens");
    reach(&mut firefox, &page, "ended").await;
    let said = r#"["message", "hint"].map((id) => document.getElementById(id).textContent)"#;
    let sentences = [
        "This stream's codec, H.264, cannot be played here.",
        "This browser does not know H.264. In Firefox, check that the OpenH264 plugin is on (about:addons, Plugins).",
    ];
    assert_eq!(evaluate(&mut firefox, &page, said).await, json!(sentences));
    picture(&mut firefox, &page, "firefox-h264.png").await;
    firefox.quit().await;
}
