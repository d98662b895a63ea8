//! The list of streams as a person meets it: creates one of a host that is added and paired on the way, sees it start, opens
//! it, stops it, and reads why another failed.

#[path = "page_list/hevc.rs"]
mod hevc;
#[cfg(target_os = "linux")]
#[path = "page_list/processes.rs"]
mod processes;
#[path = "../../moonlight-mux/tests/recordings/folder.rs"]
mod recordings;
#[path = "page_list/scene.rs"]
mod scene;
mod support;

use std::fs;
use std::path::PathBuf;

use moonlight_mux::{ExitPolicy, Faults, HostStep, HostileAnswer, Manner, StartRefusal, StateDirectory};
use moonlight_mux_http::{KeptStreamers, ServerConfig};
use scene::{Scene, WATCHED, is_launch};
use serde_json::json;
use support::page::{command, open, prefer, resize};
use tokio::sync::Mutex;

/// One browser at a time: two would share the machine's cores.
static BROWSER: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn the_lists_pure_modules_do_what_their_tests_say() {
    let _one_at_a_time = BROWSER.lock().await;
    support::modules::run(&[("list.js", include_str!("page/list.js"))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_created_seen_to_start_opened_and_stopped_in_the_page() {
    let _one_at_a_time = BROWSER.lock().await;
    let mut scene = Scene::new(Manner::Sunshine).await;
    scene.says("#status", "No streams").await;
    scene.pair().await;
    scene.until("document.getElementById('new-name').value === 'desktop'").await;
    scene.until("document.activeElement.id === 'new-host'").await;
    scene.evaluate("document.querySelectorAll('#new-apps input')[1].click()").await;
    assert_eq!(scene.evaluate("document.getElementById('new-name').value").await, "big-picture");
    let pictured = "[...document.querySelectorAll('#new-apps img')].every(({ complete, naturalWidth }) => complete && naturalWidth > 0)";
    scene.until(pictured).await;
    for scheme in ["light", "dark"] {
        prefer(&mut scene.chromium, &scene.page, scheme).await;
        scene.picture(&format!("list-new-{scheme}.png")).await;
    }
    prefer(&mut scene.chromium, &scene.page, "light").await;

    // What the server does not take is said at its field, and the person is there.
    scene.fill_small().await;
    scene.fill("#new-fps", "5000").await;
    scene.click("#new-create").await;
    scene.says("#new-fps-error", "Frames per second has to be a whole number from 1 to 1000.").await;
    let told = "document.activeElement.id === 'new-fps' && document.activeElement.getAttribute('aria-invalid') === 'true'";
    scene.until(told).await;
    scene.picture("list-new-refused.png").await;

    // The host takes its time: the stage is seen, and how long it takes.
    let mut slow = Faults::default();
    slow.silent = vec![HostStep::Launch];
    scene.host.set_faults(slow);
    scene.fill("#new-fps", "30").await;
    scene.click("#new-create").await;
    scene.until("!document.getElementById('new-dialog').open").await;
    scene.until("document.activeElement.href?.endsWith('/s/big-picture')").await;
    scene.until("/Starting: launch, \\d+ s/.test(document.querySelector('.streamer').innerText)").await;
    assert_eq!(scene.evaluate("document.querySelector('.card').classList.contains('measured')").await, true);
    scene.picture("list-starting.png").await;
    scene.host.set_faults(Faults::default());
    scene.says(".streamer .state", "Live").await;
    scene.says(".streamer .facts", "320×180 · 30 fps · H.264").await;
    scene.says("#announcement", "big-picture: Live.").await;

    // The name is taken: that is said at the name, with a way out that is another button.
    scene.click("#new-stream").await;
    scene.until("document.querySelectorAll('#new-apps .app').length === 3").await;
    // The app is the one that was chosen last.
    scene.until("document.getElementById('new-name').value === 'big-picture-2'").await;
    assert_eq!(scene.evaluate("document.querySelector('#new-apps input:checked').value").await, "2");
    scene.fill("#new-name", "big-picture").await;
    scene.fill_small().await;
    scene.click("#new-create").await;
    scene.says("#new-name-error", "A stream with this name is running (320×180, 30 fps).").await;
    scene.until("document.activeElement.id === 'new-name'").await;
    let first = scene.registry.get(&"big-picture".parse().expect("an id")).expect("it runs");
    scene.click("#new-replace").await;
    scene.until("!document.getElementById('new-dialog').open").await;
    scene.says(".streamer .state", "Live").await;
    let second = scene.registry.get(&"big-picture".parse().expect("an id")).expect("it runs");
    assert!(!second.is_same(&first));

    let url = scene.evaluate("document.querySelector('.streamer').href").await;
    open(&mut scene.chromium, &format!("{}?name=Ann", url.as_str().expect("an address"))).await;
    scene.info("big-picture", WATCHED).await;
    // In the list, which is asked for often, nobody's statistics are.
    let brief = "fetch('/api/streamers').then((answer) => answer.json()).then(({ streamers: [info] }) => info.peers.length === 1 && !('stats' in info.peers[0]))";
    scene.until(brief).await;
    command(&mut scene.chromium, &scene.page, "Page.bringToFront", json!({})).await;
    scene.says(".streamer .watching", "1 watching").await;

    // Nothing is stopped unasked: Enter twice is no stop.
    scene.evaluate("document.querySelector('.stop').focus()").await;
    scene.press_enter().await;
    scene.says("#stop-dialog", "One viewer is watching, and is sent away.").await;
    scene.picture("list-stop.png").await;
    scene.press_enter().await;
    scene.until("!document.getElementById('stop-dialog').open").await;
    scene.press_enter().await;
    scene.until("document.getElementById('stop-dialog').open").await;
    scene.press("Escape", 27, "").await;
    scene.until("!document.getElementById('stop-dialog').open").await;
    assert_eq!(scene.evaluate("document.activeElement.className").await, "plain stop", "where it was");
    assert!(!scene.app_was_quit());
    scene.click(".stop").await;
    scene.click("#stop-quit").await;
    scene.click("#stop-confirm").await;
    scene.until("document.getElementById('empty').checkVisibility()").await;
    scene.until("document.activeElement.id === 'new-stream'").await;
    assert!(scene.registry.list().is_empty());
    assert!(scene.app_was_quit(), "its app too: {:?}", scene.host.log());
    scene.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_fails_says_why_and_where_and_what_to_do() {
    let _one_at_a_time = BROWSER.lock().await;
    let mut scene = Scene::new(Manner::Sunshine).await;
    scene.pair().await;
    let mut faults = Faults::default();
    faults.refuse_start = Some(StartRefusal { status: 503, message: "no encoder".to_owned() });
    scene.host.set_faults(faults);
    scene.fill("#new-name", "no-such-luck").await;
    scene.click("#new-create").await;
    scene.says(".streamer .state", "Failed").await;
    scene.says(".streamer .problem", "launch failed after").await;
    scene.says(".streamer .advice", "The host's own log or settings say more.").await;
    scene.says(".foot .code", "host_refused").await;
    for scheme in ["light", "dark"] {
        prefer(&mut scene.chromium, &scene.page, scheme).await;
        scene.picture(&format!("list-failed-{scheme}.png")).await;
    }

    // This server has no place for it.
    scene.click("#new-stream").await;
    scene.until("document.querySelectorAll('#new-apps .app').length === 3").await;
    scene.click("#new-persistent").await;
    scene.click("#new-create").await;
    scene.says("#new-persistent-error", "This server keeps no streamers: it has no state directory.").await;
    scene.until("document.activeElement.id === 'new-persistent'").await;
    scene.click("#new-persistent").await;
    scene.click("#new-cancel").await;

    // Once more, by its own button: it fails again, and is there still.
    scene.evaluate("document.querySelector('.again').focus()").await;
    scene.press_enter().await;
    scene.until("document.activeElement.href?.endsWith('/s/no-such-luck')").await;
    scene.says(".streamer .state", "Failed").await;
    scene.says(".foot .again", "Try again").await;
    let launches = scene.host.log().iter().filter(|event| is_launch(event)).count();
    assert_eq!(launches, 2, "{:?}", scene.host.log());
    scene.host.set_faults(Faults::default());
    scene.click(".again").await;
    scene.says(".streamer .state", "Live").await;
    scene.until("document.querySelector('.again').hidden").await;
    scene.registry.remove(&"no-such-luck".parse().expect("an id"), ExitPolicy::LeaveRunning).await;
    scene.until("document.getElementById('empty').checkVisibility()").await;

    // Its name is free.
    scene.click("#new-stream").await;
    scene.until("document.querySelectorAll('#new-apps .app').length === 3").await;
    scene.fill("#new-name", "no-such-luck").await;
    scene.fill_small().await;
    scene.click("#new-create").await;
    scene.says(".streamer .state", "Live").await;
    assert_eq!(scene.evaluate("document.querySelector('.streamer .problem').textContent").await, "");
    scene.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persistent_stream_that_fails_is_tried_again_until_it_is_stopped() {
    let _one_at_a_time = BROWSER.lock().await;
    let folder = Folder::new("kept");
    let kept = KeptStreamers::open(&StateDirectory::open(&folder.0).expect("a folder")).expect("none yet");
    let config = ServerConfig { kept: Some(kept), ..ServerConfig::default() };
    let mut scene = Scene::with(Manner::Sunshine, config).await;
    scene.pair().await;
    let mut faults = Faults::default();
    faults.refuse_start = Some(StartRefusal { status: 503, message: "no encoder".to_owned() });
    scene.host.set_faults(faults);
    scene.fill_small().await;
    scene.click("#new-persistent").await;
    scene.click("#new-create").await;
    scene.says(".streamer .advice", "It is tried again by itself.").await;
    scene.says(".foot .details", "Persistent").await;
    scene.says(".foot .stop", "Stop").await;
    scene.host.set_faults(Faults::default());
    scene.says(".streamer .state", "Live").await;
    scene.click(".stop").await;
    scene.says("#stop-dialog", "The server forgets it: it is not started again.").await;
    scene.click("#stop-confirm").await;
    scene.until("document.getElementById('empty').checkVisibility()").await;
    assert!(scene.registry.list().is_empty());
    scene.quit().await;
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("moonlight-mux-page-list-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_be_added_is_said_at_its_address() {
    let _one_at_a_time = BROWSER.lock().await;
    let mut scene = Scene::new(Manner::Sunshine).await;
    scene.click("#empty .new-stream").await;
    scene.until("document.activeElement.id === 'new-address'").await;
    scene.fill("#new-address", "no address").await;
    scene.press_enter().await;
    scene.says("#new-address-error", "The address has to be a name or an IP address").await;
    assert_eq!(
        scene.evaluate("document.getElementById('new-dialog').open").await,
        true,
        "nothing is created"
    );
    // What nobody chose is asked for.
    scene.click("#new-create").await;
    scene.says("#new-host-error", "Choose a host, or add one.").await;
    scene.says("#new-app-error", "Choose an app.").await;
    assert!(scene.registry.list().is_empty());
    scene.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_pin_and_a_host_that_does_not_answer_are_said_and_tried_again() {
    let _one_at_a_time = BROWSER.lock().await;
    let mut scene = Scene::new(Manner::Sunshine).await;
    scene.add().await;
    let pin = scene.begin_pairing().await;
    scene.host.enter_pin(if pin == "0000" { "1111" } else { "0000" });
    scene.says("#new-pairing .error", "PIN").await;
    assert_eq!(
        scene.evaluate("document.querySelector('.pin').checkVisibility()").await,
        false,
        "it is of no use"
    );

    let mut faults = Faults::default();
    faults.hostile = Some((HostStep::Apps, HostileAnswer::Garbage));
    scene.host.set_faults(faults);
    let pin = scene.begin_pairing().await;
    assert_eq!(scene.evaluate("document.querySelector('#new-pairing .error').textContent").await, "");
    scene.host.enter_pin(&pin);
    scene.says("#new-app-error", "app list failed").await;
    scene.picture("list-new-no-apps.png").await;
    scene.host.set_faults(Faults::default());
    // By the keyboard, whose focus goes on to what comes.
    scene.evaluate("document.getElementById('new-apps-again').focus()").await;
    scene.press_enter().await;
    scene.until("document.querySelectorAll('#new-apps .app').length === 3").await;
    scene.until("document.activeElement.matches('#new-apps input')").await;
    assert_eq!(scene.evaluate("document.getElementById('new-app-error').textContent").await, "");
    scene.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_phone_the_form_is_in_reach_and_has_names() {
    let _one_at_a_time = BROWSER.lock().await;
    let mut scene = Scene::new(Manner::Wolf).await;
    scene.pair().await;
    // This host has no pictures of its apps.
    let letters =
        "[...document.querySelectorAll('.app .face')].map(({ textContent }) => textContent).join('')";
    scene.until(&format!("{letters} === 'DBP'")).await;
    let apart = "document.querySelector('.heading').getBoundingClientRect().right <= document.getElementById('new-stream').getBoundingClientRect().left";
    for (name, width, height) in [("upright", 390, 844), ("small", 320, 568), ("on-its-side", 844, 390)] {
        resize(&mut scene.chromium, &scene.page, width, height, true).await;
        scene.until(&format!("innerWidth === {width}")).await;
        assert_eq!(scene.evaluate(OUT_OF_REACH).await, json!([]), "{name}");
        assert_eq!(scene.evaluate(apart).await, true, "the button covers nothing, {name}");
        scene.picture(&format!("list-new-phone-{name}.png")).await;
    }
    let tree = command(&mut scene.chromium, &scene.page, "Accessibility.getFullAXTree", json!({})).await;
    let named = ["button", "checkbox", "combobox", "dialog", "radio", "radiogroup", "spinbutton", "textbox"];
    let nodes = tree["nodes"].as_array().expect("nodes").iter().filter(|node| node["ignored"] == false);
    let mut seen = Vec::new();
    for node in nodes {
        let role = node["role"]["value"].as_str().unwrap_or_default();
        if named.contains(&role) {
            let name = node["name"]["value"].as_str().unwrap_or_default();
            assert!(!name.is_empty(), "a {role} has no name");
            seen.push(format!("{role} {name}"));
        }
    }
    for wanted in ["dialog New stream", "combobox Host", "radiogroup App", "radio Desktop", "textbox Name"] {
        assert!(seen.iter().any(|seen| seen == wanted), "{wanted}: {seen:?}");
    }
    scene.quit().await;
}

/// What of the form no scrolling brings into view, or is too small for a finger.
const OUT_OF_REACH: &str = r#"(() => {
  const problems = [];
  const dialog = document.getElementById("new-dialog");
  const box = dialog.getBoundingClientRect();
  if (box.left < 0 || box.right > innerWidth || box.top < 0 || box.bottom > innerHeight) problems.push("the dialog is out of view");
  const form = dialog.firstElementChild;
  if (form.scrollWidth > form.clientWidth) problems.push("scrolls sideways");
  for (const control of dialog.querySelectorAll("button, select, input, label.app, label.check")) {
    if (!control.checkVisibility() || control.matches("label input")) continue;
    control.scrollIntoView();
    const { left, right, top, bottom, width, height } = control.getBoundingClientRect();
    const name = control.id || control.textContent.trim();
    if (left < 0 || right > innerWidth || top < -1 || bottom > innerHeight + 1) problems.push(`${name} is out of view`);
    if (width < 44 || height < 44) problems.push(`${name} is ${width} by ${height}`);
  }
  form.scrollTo(0, 0);
  return problems;
})()"#;
