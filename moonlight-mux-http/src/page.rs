//! The pages: a list of streamers, and the viewer.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// The routes of the pages and what they need. All addresses in them are relative, so that they work below any path.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let pages = Router::new()
        .route("/", get(|| asset(HTML, include_str!("../page/list.html"))))
        .route("/s/{id}", get(|| asset(HTML, include_str!("../page/viewer.html"))));
    ASSETS.iter().fold(pages, |router, &(path, content_type, body)| {
        router.route(path, get(move || asset(content_type, body)))
    })
}

/// Puts the headers on a response that keep pages and answers from being put to another use.
pub(crate) async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[expect(clippy::unused_async, reason = "handlers are async")]
async fn asset(content_type: &'static str, body: &'static str) -> impl IntoResponse {
    // Asked for anew each time: pages and server are of one version.
    ([(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache")], body)
}

const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Path, content type, content.
const ASSETS: &[(&str, &str, &str)] = &[
    ("/assets/api.js", JAVASCRIPT, include_str!("../page/api.js")),
    ("/assets/app_choice.js", JAVASCRIPT, include_str!("../page/app_choice.js")),
    ("/assets/channels.js", JAVASCRIPT, include_str!("../page/channels.js")),
    ("/assets/connection.js", JAVASCRIPT, include_str!("../page/connection.js")),
    ("/assets/control.js", JAVASCRIPT, include_str!("../page/control.js")),
    ("/assets/cursors.js", JAVASCRIPT, include_str!("../page/cursors.js")),
    ("/assets/events.js", JAVASCRIPT, include_str!("../page/events.js")),
    ("/assets/gamepad_state.js", JAVASCRIPT, include_str!("../page/gamepad_state.js")),
    ("/assets/gamepads.js", JAVASCRIPT, include_str!("../page/gamepads.js")),
    ("/assets/host_choice.js", JAVASCRIPT, include_str!("../page/host_choice.js")),
    ("/assets/icon.svg", SVG, include_str!("../page/icon.svg")),
    ("/assets/icons.svg", SVG, include_str!("../page/icons.svg")),
    ("/assets/input.js", JAVASCRIPT, include_str!("../page/input.js")),
    ("/assets/input_message.js", JAVASCRIPT, include_str!("../page/input_message.js")),
    ("/assets/keyboard.js", JAVASCRIPT, include_str!("../page/keyboard.js")),
    ("/assets/list.css", CSS, include_str!("../page/list.css")),
    ("/assets/list.js", JAVASCRIPT, include_str!("../page/list.js")),
    ("/assets/new_stream.js", JAVASCRIPT, include_str!("../page/new_stream.js")),
    ("/assets/new_stream_request.js", JAVASCRIPT, include_str!("../page/new_stream_request.js")),
    ("/assets/overlay.js", JAVASCRIPT, include_str!("../page/overlay.js")),
    ("/assets/panels.js", JAVASCRIPT, include_str!("../page/panels.js")),
    ("/assets/pen.js", JAVASCRIPT, include_str!("../page/pen.js")),
    ("/assets/pen_state.js", JAVASCRIPT, include_str!("../page/pen_state.js")),
    ("/assets/people.js", JAVASCRIPT, include_str!("../page/people.js")),
    ("/assets/place.js", JAVASCRIPT, include_str!("../page/place.js")),
    ("/assets/pointer.js", JAVASCRIPT, include_str!("../page/pointer.js")),
    ("/assets/reconnect.js", JAVASCRIPT, include_str!("../page/reconnect.js")),
    ("/assets/rights.js", JAVASCRIPT, include_str!("../page/rights.js")),
    ("/assets/settings.js", JAVASCRIPT, include_str!("../page/settings.js")),
    ("/assets/shortcuts.js", JAVASCRIPT, include_str!("../page/shortcuts.js")),
    ("/assets/statistics.js", JAVASCRIPT, include_str!("../page/statistics.js")),
    ("/assets/stop_dialog.js", JAVASCRIPT, include_str!("../page/stop_dialog.js")),
    ("/assets/streamer_cards.js", JAVASCRIPT, include_str!("../page/streamer_cards.js")),
    ("/assets/streamer_words.js", JAVASCRIPT, include_str!("../page/streamer_words.js")),
    ("/assets/style.css", CSS, include_str!("../page/style.css")),
    ("/assets/text.js", JAVASCRIPT, include_str!("../page/text.js")),
    ("/assets/touch.js", JAVASCRIPT, include_str!("../page/touch.js")),
    ("/assets/touch_gestures.js", JAVASCRIPT, include_str!("../page/touch_gestures.js")),
    ("/assets/verdicts.js", JAVASCRIPT, include_str!("../page/verdicts.js")),
    ("/assets/view.js", JAVASCRIPT, include_str!("../page/view.js")),
    ("/assets/viewer.js", JAVASCRIPT, include_str!("../page/viewer.js")),
    ("/assets/watchdog.js", JAVASCRIPT, include_str!("../page/watchdog.js")),
];

/// No inline script or style, nothing from elsewhere, no framing by others.
const SECURITY_HEADERS: [(HeaderName, &str); 3] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
];
