//! Firefox on the page: AV1 plays, and what it cannot play is said in words.

#![expect(clippy::disallowed_methods, reason = "a browser runs in real time")]

#[path = "../../moonlight-mux/tests/recordings/folder.rs"]
mod recordings;
mod support;

use std::io::{self, Write};

use moonlight_mux::{Recording, TestPicture, TestPictureConfig};
use moonlight_mux_benches::driver::BrowserError;
use moonlight_mux_benches::firefox::Firefox;
use serde_json::{Value, json};
use support::page::{evaluate, open, picture, reach, until};
use support::serve;
use tokio::sync::Mutex;

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
    let d = evaluate(&mut firefox, &page, "(async () => [...(await window.moonlightMux.pc.getStats()).values()])()").await;
    eprintln!("{d:#}");
    picture(&mut firefox, &page, "firefox-av1.png").await;
    firefox.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn firefox_says_that_it_cannot_play_h264_without_its_plugin() {
    let test = "firefox_says_that_it_cannot_play_h264_without_its_plugin";
    let _one_at_a_time = BROWSER.lock().await;
    let Some(mut firefox) = firefox(test).await else { return };
    let served = serve(TestPicture::new(TestPictureConfig::default()).expect("in range")).await;
    let page = firefox.open(&served.page_url()).await.expect("the page opens");
    reach(&mut firefox, &page, "ended").await;
    let said = r#"["message", "hint"].map((id) => document.getElementById(id).textContent)"#;
    let said = evaluate(&mut firefox, &page, said).await;
    eprintln!("{said}");
    picture(&mut firefox, &page, "firefox-h264.png").await;
    firefox.quit().await;
}
