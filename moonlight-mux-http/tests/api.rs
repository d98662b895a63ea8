//! The plain HTTP calls.

mod support;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use moonlight_mux::{
    Ended, FrameNumber, InputMode, SourceError, Stage, State, StreamInfo, VideoCodec, VideoFrame, VideoInfo,
    VideoTimestamp,
};
use serde_json::json;
use support::{Fixture, call, exchange, patch, request};
use tokio::task::JoinSet;

fn from_page(method: &str, path: &str, origin: &str) -> Request<Body> {
    let mut request = request(method, path);
    request.headers_mut().insert("origin", origin.parse().expect("a header value"));
    request
}

fn connected(io: &mut moonlight_mux::SourceIo) {
    io.stage_starting(Stage::Launch);
    io.stage_complete(Stage::Launch);
    io.connected();
    let video = VideoInfo { codec: VideoCodec::H264, width: 1280, height: 720, fps: 60 };
    io.info(StreamInfo { video, audio: None });
}

fn picture() -> VideoFrame {
    VideoFrame {
        number: FrameNumber(0),
        timestamp: VideoTimestamp(0),
        keyframe: true,
        host_latency: None,
        data: Bytes::from_static(b"picture"),
    }
}

#[tokio::test]
async fn streamers_are_listed_by_id_and_shown_one_by_one() {
    let fixture = Fixture::new();
    let router = fixture.router();
    assert_eq!(call(&router, request("GET", "/api/streamers")).await.json(), json!({"streamers": []}));

    let (streamer, _script) = fixture.streamer("b", connected);
    let (other, _other_script) = fixture.streamer("a", |io| io.stage_starting(Stage::RtspHandshake));
    streamer.watch_state().wait_for(|state| *state == State::Connected).await.unwrap();
    other.watch_state().wait_for(|state| matches!(state, State::Connecting(_))).await.unwrap();

    let list = call(&router, request("GET", "/api/streamers")).await;
    assert_eq!(list.status, StatusCode::OK);
    let list = list.json();
    let ids: Vec<_> = list["streamers"].as_array().unwrap().iter().map(|info| &info["streamer_id"]).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(list["streamers"][0]["stage"], "RTSP handshake");

    let one = call(&router, request("GET", "/api/streamers/b")).await.json();
    assert_eq!(one, list["streamers"][1]);
    assert_eq!(one["status"], "starting");
    assert_eq!(one["moonlight_connected"], true);
    assert_eq!((&one["width"], &one["height"], &one["fps"]), (&json!(1280), &json!(720), &json!(60)));
    assert_eq!(one["codec"], "H.264");
    assert_eq!(one["peers"], json!([]));
}

#[tokio::test]
async fn a_failed_streamer_says_why() {
    #[derive(Debug, thiserror::Error)]
    #[error("the host does not answer")]
    struct NoAnswer;

    let fixture = Fixture::new();
    let (streamer, script) = fixture.streamer("desk", connected);
    let failure = SourceError::permanent(NoAnswer).in_stage(Stage::RtspHandshake);
    script.end.send(Err(failure)).await.unwrap();
    streamer.watch_state().wait_for(|state| matches!(state, State::Ended(_))).await.unwrap();

    let info = call(&fixture.router(), request("GET", "/api/streamers/desk")).await.json();
    assert_eq!(info["status"], "failed");
    let expected = json!({"stage": "RTSP handshake", "code": "connection_failed", "message": "the host does not answer"});
    assert_eq!(info["error"], expected);
}

#[tokio::test]
async fn a_streamer_that_lost_its_host_says_why_and_how_often_it_came_back() {
    #[derive(Debug, thiserror::Error)]
    #[error("the host is gone")]
    struct Gone;

    let fixture = Fixture::new();
    let router = fixture.router();
    let (streamer, script) = fixture.streamer("desk", |io| {
        connected(io);
        io.video(picture());
    });
    streamer.wait_streaming().await.unwrap();
    script.end.send(Err(SourceError::retryable(Gone))).await.unwrap();
    let mut state = streamer.watch_state();
    state.wait_for(|state| matches!(state, State::Reconnecting { .. })).await.unwrap();
    let info = call(&router, request("GET", "/api/streamers/desk")).await.json();
    assert_eq!(info["status"], "reconnecting");
    assert_eq!(info["moonlight_connected"], false);
    assert_eq!(info["error"], json!({"stage": null, "code": "stream_failed", "message": "the host is gone"}));
    assert_eq!(info["restarts"], 0);

    streamer.wait_streaming().await.unwrap();
    let info = call(&router, request("GET", "/api/streamers/desk")).await.json();
    assert_eq!((&info["status"], &info["restarts"]), (&json!("active"), &json!(1)));
    assert_eq!(info.get("error"), None);
}

#[tokio::test]
async fn an_unknown_streamer_is_a_problem_with_a_code() {
    let router = Fixture::new().router();
    for (method, path) in [
        ("GET", "/api/streamers/none"),
        ("GET", "/api/streamers/no%20id"),
        ("GET", "/api/streamers/%FF"),
        ("DELETE", "/api/streamers/none"),
        ("POST", "/api/streamers/none/keyframe"),
        ("GET", "/api/streamers/none/peer"),
        ("PATCH", "/api/streamers/none"),
        ("PATCH", "/api/streamers/none/peers/none"),
        ("DELETE", "/api/streamers/none/peers/none"),
    ] {
        let answer = call(&router, request(method, path)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let expected = json!({
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "detail": "there is no streamer with this id",
            "code": "streamer_not_found",
            "error": "SessionNotFound: there is no streamer with this id",
        });
        assert_eq!(answer.json(), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn an_unknown_viewer_is_a_problem_with_a_code() {
    let fixture = Fixture::new();
    let router = fixture.router();
    let (_streamer, _script) = fixture.streamer("desk", connected);
    let sentence = "the streamer has no viewer with this id";
    for path in ["none", "no%20id", "00000000-0000-4000-8000-000000000000"] {
        let path = format!("/api/streamers/desk/peers/{path}");
        for request in [patch(&path, r#"{"rights":{}}"#), request("DELETE", &path)] {
            let answer = call(&router, request).await;
            let expected = json!({
                "type": "about:blank", "title": "Not Found", "status": 404, "detail": sentence,
                "code": "peer_not_found", "error": format!("InternalServerError: {sentence}"),
            });
            assert_eq!((answer.status.as_u16(), answer.json()), (404, expected), "{path}");
        }
    }
}

#[tokio::test]
async fn how_viewers_share_the_input_is_told_and_changed() {
    let fixture = Fixture::new();
    let router = fixture.router();
    let (streamer, _script) = fixture.streamer("desk", connected);
    let told = |info: serde_json::Value| (info["input_mode"].clone(), info.get("idle_ms").cloned());
    let now = async || told(call(&router, request("GET", "/api/streamers/desk")).await.json());
    assert_eq!(now().await, (json!("shared"), None));
    for (body, mode, idle) in [
        (r#"{"input_mode":"one_at_a_time"}"#, "one_at_a_time", Some(json!(2000))),
        (r#"{"idle_ms":500}"#, "one_at_a_time", Some(json!(500))),
        (r#"{"input_mode":"one_at_a_time"}"#, "one_at_a_time", Some(json!(500))),
        (r#"{"input_mode":"view_only"}"#, "view_only", None),
        (r#"{"input_mode":"shared"}"#, "shared", None),
    ] {
        let answer = call(&router, patch("/api/streamers/desk", body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{body}");
        assert_eq!(told(answer.json()), (json!(mode), idle.clone()), "{body}");
        assert_eq!(now().await, (json!(mode), idle), "{body}");
        assert_eq!(streamer.input_mode().name(), mode);
    }
}

#[tokio::test]
async fn an_input_mode_that_cannot_be_is_refused_and_changes_nothing() {
    let fixture = Fixture::new();
    let router = fixture.router();
    let (streamer, _script) = fixture.streamer("desk", connected);
    for (body, field, sentence) in [
        ("{}", "input_mode", "input_mode is missing"),
        (r#"{"input_mode":"both"}"#, "input_mode", "input_mode has to be shared, one_at_a_time or view_only"),
        (r#"{"input_mode":7}"#, "input_mode", "input_mode has to be a string"),
        (
            r#"{"input_mode":"one_at_a_time","idle_ms":99}"#,
            "idle_ms",
            "idle_ms has to be a whole number from 100 to 60000",
        ),
        (r#"{"idle_ms":500}"#, "idle_ms", "idle_ms means something with the input_mode one_at_a_time alone"),
    ] {
        let answer = call(&router, patch("/api/streamers/desk", body)).await;
        let expected = json!({
            "type": "about:blank", "title": "Unprocessable Entity", "status": 422, "detail": sentence,
            "code": "invalid_field", "error": format!("InternalServerError: {sentence}"), "field": field,
        });
        assert_eq!((answer.status.as_u16(), answer.json()), (422, expected), "{body}");
        assert_eq!(streamer.input_mode(), InputMode::Shared, "{body}");
    }
}

#[tokio::test]
async fn a_mode_is_changed_by_what_it_was_with_nothing_in_between() {
    let fixture = Fixture::new();
    let (streamer, _script) = fixture.streamer("desk", connected);
    let mode = thread::scope(|scope| {
        let (sets, set) = mpsc::channel();
        streamer.update_input_mode(|now| {
            let other = streamer.clone();
            scope.spawn(move || {
                other.set_input_mode(InputMode::ViewOnly);
                // Nobody waits for it any more when it was in time.
                let _ = sets.send(());
            });
            // The other one waits. One that did not would be through by then, and undone by this.
            assert!(set.recv_timeout(Duration::from_millis(200)).is_err(), "it came in between");
            assert_eq!(now, InputMode::Shared);
            Ok::<_, Infallible>(InputMode::one_at_a_time())
        })
    });
    assert_eq!(mode, Ok(InputMode::one_at_a_time()));
    assert_eq!(streamer.input_mode(), InputMode::ViewOnly);

    assert_eq!(streamer.update_input_mode(|_| Err("no")), Err("no"));
    assert_eq!(streamer.input_mode(), InputMode::ViewOnly);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_changes_the_gap_alone_undoes_no_change_of_the_mode() {
    let fixture = Fixture::new();
    let router = fixture.router();
    let (streamer, _script) = fixture.streamer("desk", connected);
    let other = router.clone();
    let mut calls = JoinSet::new();
    calls.spawn(async move {
        loop {
            call(&other, patch("/api/streamers/desk", r#"{"idle_ms":500}"#)).await;
            tokio::task::yield_now().await;
        }
    });
    // On the workers' threads, as the other: each many times within the other's call.
    let mut rounds = JoinSet::new();
    rounds.spawn(async move {
        for round in 0..10_000 {
            streamer.set_input_mode(InputMode::one_at_a_time());
            tokio::task::yield_now().await;
            let answer = call(&router, patch("/api/streamers/desk", r#"{"input_mode":"view_only"}"#)).await;
            assert_eq!(answer.status, StatusCode::OK);
            for _ in 0..50 {
                assert_eq!(streamer.input_mode(), InputMode::ViewOnly, "round {round}");
            }
        }
    });
    rounds.join_all().await;
}

#[tokio::test]
async fn a_keyframe_is_asked_for() {
    let fixture = Fixture::new();
    let (streamer, mut script) = fixture.streamer("desk", |io| {
        connected(io);
        io.video(picture());
    });
    streamer.wait_streaming().await.unwrap();
    let answer = call(&fixture.router(), request("POST", "/api/streamers/desk/keyframe")).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    script.keyframes.recv().await.expect("the wish reaches the source");
}

#[tokio::test]
async fn a_deleted_streamer_has_stopped_and_is_gone() {
    let fixture = Fixture::new();
    let router = fixture.router();
    let (streamer, _script) = fixture.streamer("desk", connected);
    let answer = call(&router, request("DELETE", "/api/streamers/desk")).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(matches!(streamer.state(), State::Ended(_)), "{:?}", streamer.state());
    assert_eq!(call(&router, request("DELETE", "/api/streamers/desk")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_streamer_that_the_host_ended_stays_listed_until_it_is_deleted() {
    let fixture = Fixture::new();
    let (streamer, script) = fixture.streamer("desk", connected);
    script.end.send(Ok(Ended::ByHost)).await.unwrap();
    streamer.watch_state().wait_for(|state| matches!(state, State::Ended(_))).await.unwrap();
    let info = call(&fixture.router(), request("GET", "/api/streamers/desk")).await.json();
    assert_eq!((&info["status"], &info["moonlight_connected"]), (&json!("stopped"), &json!(false)));
}

#[tokio::test]
async fn foreign_pages_are_kept_out() {
    let fixture = Fixture::new();
    let router = fixture.router();
    let (_streamer, _script) = fixture.streamer("desk", connected);
    for (method, path) in [
        ("POST", "/api/streamers/desk/keyframe"),
        ("DELETE", "/api/streamers/desk"),
        ("PATCH", "/api/streamers/desk"),
        ("DELETE", "/api/streamers/desk/peers/none"),
        ("GET", "/api/streamers/desk/peer"),
    ] {
        let answer = call(&router, from_page(method, path, "https://evil.example")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}");
        assert_eq!(answer.json()["code"], "origin_not_allowed");
    }
    for origin in ["http://127.0.0.1:8080", "https://listed.example"] {
        let answer = call(&router, from_page("POST", "/api/streamers/desk/keyframe", origin)).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{origin}");
    }
    let mut odd = request("POST", "/api/streamers/desk/keyframe");
    odd.headers_mut().insert("origin", axum::http::HeaderValue::from_bytes(b"http://\xff").unwrap());
    assert_eq!(call(&router, odd).await.status, StatusCode::FORBIDDEN, "an origin that is no text");
}

#[tokio::test]
async fn bad_requests_are_problems_too() {
    let fixture = Fixture::new();
    let router = fixture.router();
    let (_streamer, _script) = fixture.streamer("desk", connected);
    for (method, path, status, code) in [
        ("GET", "/api/streamers/desk/peer", 426, "upgrade_required"),
        ("GET", "/api/streamers/desk/peer?instance=a%20b", 422, "invalid_instance_id"),
        ("GET", "/api/streamers/desk/peer?instance=a&instance=b", 400, "invalid_query"),
        ("GET", "/api/streamers/desk/peer?role=admin", 422, "invalid_role"),
        ("PUT", "/api/streamers/desk/peers/none", 405, "method_not_allowed"),
        ("DELETE", "/api/streamers/desk?quit=perhaps", 400, "invalid_query"),
        ("PUT", "/api/streamers/desk", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
    ] {
        let answer = call(&router, request(method, path)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["code"].as_str().unwrap()),
            (status, code),
            "{path}"
        );
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
}

#[tokio::test]
async fn pages_come_with_all_they_need_below_any_path_and_with_hardened_headers() {
    let router = Router::new().nest("/below/", Fixture::new().router());
    let mut found = BTreeSet::from(["/below/s/desk".to_owned(), "/below/".to_owned()]);
    let mut todo: Vec<_> = found.iter().cloned().collect();
    while let Some(path) = todo.pop() {
        let answer = call(&router, request("GET", &path)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let content_type = match path.rsplit_once('.') {
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(answer.header("content-type"), content_type, "{path}");
        assert!(answer.header("content-security-policy").starts_with("default-src 'self'"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");

        let text = String::from_utf8(answer.body).unwrap();
        for inline in ["<style", "style=\"", "onclick=\"", "<script>"] {
            assert!(!text.contains(inline), "{path} has {inline}, which its security policy forbids");
        }
        for reference in references(&text) {
            let target = resolve(&path, reference);
            if found.insert(target.clone()) {
                todo.push(target);
            }
        }
    }
    for page in ["/below/assets/list.js", "/below/assets/viewer.js", "/below/assets/watchdog.js"] {
        assert!(found.contains(page), "{page} is not among {found:?}");
    }
    let router = Fixture::new().router();
    assert_eq!(call(&router, request("GET", "/healthz")).await.body, b"ok");
    assert_eq!(call(&router, request("GET", "/nothing")).await.status, StatusCode::NOT_FOUND);
}

/// The addresses of what a page or a script needs.
fn references(text: &str) -> Vec<&str> {
    let starts = [" href=\"", " src=\"", " from \""];
    let behind = starts.iter().flat_map(|start| text.split(start).skip(1));
    let addresses = behind.filter_map(|rest| rest.split_once('"')).map(|(address, _)| address);
    addresses.map(|address| address.split_once('#').map_or(address, |(file, _)| file)).collect()
}

/// Where a relative address leads from a page, as browsers have it.
fn resolve(page: &str, address: &str) -> String {
    assert!(!address.starts_with('/') && !address.contains(':'), "{address} in {page} is not relative");
    let mut parts: Vec<_> = page.split('/').collect();
    parts.pop();
    for part in address.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[tokio::test]
async fn it_fits_into_a_router_that_has_a_fallback() {
    let own = Router::new().fallback(async || (StatusCode::IM_A_TEAPOT, "own"));
    let router = own.merge(Fixture::new().router());
    assert_eq!(call(&router, request("GET", "/nothing")).await.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(call(&router, request("GET", "/api/streamers")).await.status, StatusCode::OK);
}

/// None of these calls takes a body. Whatever comes as one changes no answer, and is not kept.
#[tokio::test]
async fn bodies_change_no_answer_and_cost_their_sender_alone() {
    let fixture = Fixture::new();
    let (streamer, _script) = fixture.streamer("desk", connected);
    let calls = [
        ("GET", "/", 200),
        ("GET", "/s/desk", 200),
        ("GET", "/healthz", 200),
        ("GET", "/api/streamers", 200),
        ("GET", "/api/streamers/desk", 200),
        ("GET", "/api/streamers/nobody", 404),
        ("GET", "/api/streamers/desk/peer", 426),
        ("POST", "/api/streamers/desk/keyframe", 202),
        ("POST", "/api/streamers/nobody/keyframe", 404),
        ("DELETE", "/api/streamers/nobody", 404),
        ("PUT", "/api/streamers/desk", 405),
    ];
    let junk = "\0{\"a\":[[[\u{fffd}".repeat(100_000);
    // The head's last lines and the body, and whether the message is valid HTTP.
    let bodies = [
        ("Content-Length: 0".to_owned(), "", true),
        ("Content-Length: 1".to_owned(), "{", true),
        ("Content-Type: application/json\r\nContent-Length: 9".to_owned(), "{\"a\":nul}", true),
        (format!("Content-Length: {}", junk.len()), &junk, true),
        ("Transfer-Encoding: chunked".to_owned(), "3\r\nabc\r\n0\r\n\r\n", true),
        // Ends before it is whole.
        ("Content-Length: 1000000000000".to_owned(), "abc", true),
        ("Transfer-Encoding: chunked".to_owned(), "zz\r\nabc", true),
        ("Content-Length: -1".to_owned(), "abc", false),
        ("Content-Length: 1\r\nContent-Length: 2".to_owned(), "ab", false),
    ];
    fixture
        .serve(async |address| {
            for (method, path, status) in calls {
                for (lines, body, valid) in &bodies {
                    let head = format!(
                        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{lines}\r\n\r\n"
                    );
                    let answer = exchange(address, &[head.as_bytes(), body.as_bytes()]).await;
                    let status = if *valid { status } else { 400 };
                    let wanted = format!("HTTP/1.1 {status} ");
                    assert!(answer.starts_with(&wanted), "{method} {path}, {lines}: {answer:.200}");
                }
            }
            for nonsense in
                ["\0\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "\r\n\r\nNO\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"]
            {
                let answer = exchange(address, &[nonsense.as_bytes()]).await;
                assert!(answer.starts_with("HTTP/1.1 400 "), "{nonsense:?}: {answer:.200}");
            }
        })
        .await;
    assert_eq!(streamer.state(), State::Connected);
}
