//! The pages as a person meets them: what they say and show, how they are worked, how they come back.
//!
//! The pages' pure modules are tested here too, in `page/*.js`: a browser runs them, which the other tests need anyway.

#![expect(clippy::disallowed_methods, reason = "a browser runs in real time")]

#[path = "page/closing.rs"]
mod closing;
#[path = "page/coming_back.rs"]
mod coming_back;
#[path = "page/looks.rs"]
mod looks;
#[path = "page/moody.rs"]
mod moody;
#[path = "page/people.rs"]
mod people;
#[path = "../../moonlight-mux/tests/recordings/folder.rs"]
mod recordings;
#[path = "page/standing_still.rs"]
mod standing_still;
mod support;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Mutex as StdMutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use closing::CLOSING_SOCKET;
use moody::{Moody, Sends};
use moonlight_mux::{
    AudioInfo, Command, Ended, ExitPolicy, FrameNumber, LeaveReason, Recording, Registry, SourceError,
    SourceIo, Stage, StreamInfo, StreamerConfig, VideoCodec, VideoFrame, VideoInfo, VideoSource,
    VideoTimestamp,
};
use moonlight_mux_benches::chromium::{Chromium, Page};
use moonlight_mux_http::{ServerConfig, close_code};
use people::tell;
use serde_json::{Value, json};
use support::page::{
    PATIENCE, command, evaluate, open, open_with_script, picture, prefer, press, reach, resize, until,
};
use support::{Pictures, loopback, serve};
use tokio::runtime::{self, Runtime};
use tokio::sync::{Mutex, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// One browser at a time: two would share the machine's cores.
static BROWSER: Mutex<()> = Mutex::const_new(());

/// The picture that most tests play: 1280x720 in H.264, 60 frames per second. `None` where there is none.
fn moving_picture(test: &str) -> Option<Recording> {
    let folder = recordings::recording(test, "v0.23-clear")?;
    Some(Recording::open(&folder).expect("a whole recording"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_pure_modules_do_what_their_tests_say() {
    const TESTS: [(&str, &str); 15] = [
        ("statistics.js", include_str!("page/statistics.js")),
        ("watchdog.js", include_str!("page/watchdog.js")),
        ("verdicts.js", include_str!("page/verdicts.js")),
        ("other.js", include_str!("page/other.js")),
        ("input.js", include_str!("page/input.js")),
        ("keyboard.js", include_str!("page/keyboard.js")),
        ("pointer.js", include_str!("page/pointer.js")),
        ("text.js", include_str!("page/text.js")),
        ("control.js", include_str!("page/control.js")),
        ("touch.js", include_str!("page/touch.js")),
        ("pen.js", include_str!("page/pen.js")),
        ("gamepads.js", include_str!("page/gamepads.js")),
        ("people.js", include_str!("page/people.js")),
        ("devices.js", include_str!("page/devices.js")),
        ("connection.js", include_str!("page/connection.js")),
    ];
    let _one_at_a_time = BROWSER.lock().await;
    support::modules::run(&TESTS).await;
}
