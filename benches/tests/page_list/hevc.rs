//! A host's HEVC, which some viewers play and this browser does not.

use std::sync::Arc;

use moonlight_mux::{HostPicture, Recording, TestHostConfig};
use moonlight_mux_benches::viewer::{Codec, Viewer, ViewerConfig};
use moonlight_mux_http::ServerConfig;
use serde_json::json;
use tokio::time::timeout;

use super::scene::Scene;
use super::support::page::{PATIENCE, command, picture, until};
use super::{BROWSER, recordings};

#[tokio::test(flavor = "multi_thread")]
async fn hevc_is_streamed_to_who_plays_it_and_others_are_told_so() {
    let test = "hevc_is_streamed_to_who_plays_it_and_others_are_told_so";
    let Some(folder) = recordings::recording(test, "v0.23-hevc-all-encrypted") else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let mut host = TestHostConfig::default();
    host.picture = HostPicture::Recording(Arc::new(Recording::open(folder).expect("a whole recording")));
    let mut scene = Scene::of(host, ServerConfig::default()).await;
    scene.pair().await;
    let body =
        json!({"streamer_id": "desk", "host_id": 0, "app": "Desktop", "video_supported_formats": 0x100});
    let request =
        json!({"method": "POST", "headers": {"Content-Type": "application/json"}, "body": body.to_string()});
    let create = format!("fetch('/api/streamers', {request}).then((answer) => answer.json())");
    let info = scene.evaluate(&create).await;
    assert_eq!((&info["status"], &info["codec"]), (&"active".into(), &"HEVC".into()), "{info}");
    scene.click("#new-cancel").await;
    scene.says(".streamer .facts", "HEVC").await;

    let url = format!("ws://{}/api/streamers/desk/peer", scene.address).parse().expect("a URL");
    let config = ViewerConfig { codecs: vec![Codec::Hevc], ..ViewerConfig::default() };
    let viewer = Viewer::connect(&url, None, config).await.expect("the server takes viewers");
    let sees = timeout(PATIENCE, viewer.wait_for(|stats| stats.video.frames > 30)).await;
    sees.expect("in time").expect("it sees pictures");
    drop(viewer);

    let page = format!("http://{}/s/desk", scene.address);
    let page = scene.chromium.open(&page).await.expect("the page opens");
    let says = "(document.body?.innerText ?? '')";
    until(
        &mut scene.chromium,
        &page,
        &format!("{says}.includes(\"This stream's codec, HEVC, cannot be played here.\")"),
    )
    .await;
    until(&mut scene.chromium, &page, &format!("{says}.includes('H.264 or AV1')")).await;
    picture(&mut scene.chromium, &page, "page-hevc-host.png").await;
    command(&mut scene.chromium, &scene.page, "Page.bringToFront", json!({})).await;
    scene.quit().await;
}
