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
    Router::new()
        .route("/", get(|| asset(HTML, include_str!("../page/list.html"))))
        .route("/s/{id}", get(|| asset(HTML, include_str!("../page/viewer.html"))))
        .route("/assets/list.js", get(|| asset(JAVASCRIPT, include_str!("../page/list.js"))))
        .route("/assets/viewer.js", get(|| asset(JAVASCRIPT, include_str!("../page/viewer.js"))))
        .route("/assets/style.css", get(|| asset(CSS, include_str!("../page/style.css"))))
        .route("/assets/icon.svg", get(|| asset(SVG, include_str!("../page/icon.svg"))))
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

/// No inline script or style, nothing from elsewhere, no framing by others.
const SECURITY_HEADERS: [(HeaderName, &str); 3] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
];
