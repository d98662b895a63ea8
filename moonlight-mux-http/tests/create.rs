//! `POST /api/streamers`: what is refused before any host is asked.

mod support;

use axum::body::Body;
use serde_json::{Value, json};
use support::{Fixture, call, exchange, post, request};

#[tokio::test]
async fn a_body_that_cannot_be_used_is_refused_with_the_reason() {
    let router = Fixture::new().router();
    let long = format!("{{\"a\":\"{}\"}}", "a".repeat(64 * 1024));
    let deep = "[".repeat(1000);
    for (body, status, code, detail) in [
        ("", 400, "invalid_json", "the body is no JSON, or not all of it"),
        ("{", 400, "invalid_json", "the body is no JSON, or not all of it"),
        ("{\"streamer_id\":\"a\"} x", 400, "invalid_json", "the body is no JSON, or not all of it"),
        ("{\"streamer_id\":\"\\ud800\"}", 400, "invalid_json", "the body is no JSON, or not all of it"),
        (&deep, 400, "invalid_json", "the body is no JSON, or not all of it"),
        (&long, 413, "body_too_large", "the body is longer than 65536 bytes"),
        ("[]", 422, "not_an_object", "the body has to be a JSON object"),
        ("null", 422, "not_an_object", "the body has to be a JSON object"),
        ("{}", 422, "invalid_field", "streamer_id is missing"),
        ("{\"streamer_id\":\"a\"}", 422, "invalid_field", "host_id is missing"),
    ] {
        let answer = call(&router, post("/api/streamers", body)).await;
        assert_eq!(answer.status.as_u16(), status, "{body:.100}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{body:.100}");
        let problem = answer.json();
        assert_eq!((&problem["code"], &problem["detail"]), (&json!(code), &json!(detail)), "{body:.100}");
    }
}

#[tokio::test]
async fn only_json_that_says_so_is_read() {
    let router = Fixture::new().router();
    for (content_type, status) in [
        (None, 415),
        (Some("text/plain"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("application/json; charset=utf-8"), 422),
        (Some("Application/JSON"), 422),
    ] {
        let mut request = request("POST", "/api/streamers");
        if let Some(content_type) = content_type {
            request.headers_mut().insert("content-type", content_type.parse().expect("a header value"));
        }
        *request.body_mut() = Body::from("{}");
        let answer = call(&router, request).await;
        assert_eq!(answer.status.as_u16(), status, "{content_type:?}");
        if status == 415 {
            assert_eq!(answer.json()["code"], "unsupported_media_type");
        }
    }
}

#[tokio::test]
async fn a_field_that_cannot_be_used_is_named() {
    let router = Fixture::new().router();
    for (field, value, sentence) in [
        ("streamer_id", json!("a b"), "streamer_id has to be 1 to 128 characters of A-Z a-z 0-9 . _ -"),
        ("streamer_id", json!(7), "streamer_id has to be a string"),
        (
            "client_unique_id",
            json!("é"),
            "client_unique_id has to be 1 to 128 characters of A-Z a-z 0-9 . _ -",
        ),
        ("host_id", json!("0"), "host_id has to be a whole number from 0 to 4294967295"),
        ("app_id", json!(0), "app_id has to be a whole number from 1 to 2147483647"),
        ("app", json!(""), "app has to be 1 to 256 characters, none of them a control character"),
        ("bitrate", json!(499), "bitrate has to be a whole number from 500 to 1000000"),
        ("packet_size", json!(1409), "packet_size has to be a whole number from 256 to 1408"),
        ("fps", json!(59.94), "fps has to be a whole number from 1 to 1000"),
        ("width", json!(8193), "width has to be a whole number from 16 to 8192"),
        ("height", json!(-1), "height has to be a whole number from 16 to 8192"),
        ("play_audio_local", json!(1), "play_audio_local has to be true or false"),
        ("video_colorspace", json!("Rec2100"), "video_colorspace has to be one of Rec601, Rec709, Rec2020"),
        ("input_mode", json!("both"), "input_mode has to be shared, one_at_a_time or view_only"),
        ("idle_ms", json!(500), "idle_ms means something with the input_mode one_at_a_time alone"),
        (
            "video_supported_formats",
            json!(0x200),
            "video_supported_formats names 10-bit video only, which cannot be sent to browsers yet: \
             add 1 (H.264), 256 (HEVC) or 4096 (AV1)",
        ),
    ] {
        let mut body = json!({"streamer_id": "desk", "host_id": 0, "app_id": 1});
        body[field] = value;
        let answer = call(&router, post("/api/streamers", &body.to_string())).await;
        let expected = json!({
            "type": "about:blank",
            "title": "Unprocessable Entity",
            "status": 422,
            "detail": sentence,
            "code": "invalid_field",
            "error": format!("InternalServerError: {sentence}"),
            "field": field,
        });
        assert_eq!((answer.status.as_u16(), answer.json()), (422, expected));
    }
}

#[tokio::test]
async fn a_query_that_cannot_be_understood_is_refused() {
    let router = Fixture::new().router();
    let body = json!({"streamer_id": "desk", "host_id": 0, "app_id": 1}).to_string();
    for query in ["wait=perhaps", "wait=", "on_conflict=merge", "on_conflict=Replace", "wait=true&wait=false"]
    {
        let answer = call(&router, post(&format!("/api/streamers?{query}"), &body)).await;
        assert_eq!(answer.status.as_u16(), 400, "{query}");
        assert_eq!(answer.json()["code"], "invalid_query", "{query}");
    }
}

#[tokio::test]
async fn a_server_without_hosts_finds_none() {
    let fixture = Fixture::new();
    let router = fixture.router();
    let body = json!({"streamer_id": "desk", "host_id": 0, "app_id": 1}).to_string();
    let answer = call(&router, post("/api/streamers", &body)).await;
    let expected = json!({
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "there is no host with this id",
        "code": "host_not_found",
        "error": "HostNotFound: there is no host with this id",
    });
    assert_eq!((answer.status.as_u16(), answer.json()), (404, expected));
    assert!(fixture.registry.list().is_empty());
}

#[tokio::test]
async fn a_server_without_a_state_directory_keeps_no_streamers() {
    let router = Fixture::with_hosts(moonlight_mux::Hosts::in_memory()).router();
    let create = async |persistent: bool| {
        let body = json!({"streamer_id": "desk", "host_id": 0, "app_id": 1, "persistent": persistent});
        let answer = call(&router, post("/api/streamers", &body.to_string())).await;
        (answer.status.as_u16(), answer.json()["code"].clone())
    };
    assert_eq!(create(true).await, (409, json!("streamers_not_kept")));
    assert_eq!(create(false).await, (404, json!("host_not_found")));
}

/// Over a socket, where a body may end before it is whole, or be longer than it says.
#[tokio::test]
async fn bodies_that_break_off_cost_their_sender_alone() {
    let fixture = Fixture::new();
    let junk = "{\"a\":[[[\u{fffd}".repeat(100_000);
    let bodies = [
        ("Content-Length: 0".to_owned(), "", 400),
        ("Content-Length: 9".to_owned(), "{\"a\":nul}", 400),
        (format!("Content-Length: {}", junk.len()), &junk, 413),
        ("Transfer-Encoding: chunked".to_owned(), "2\r\n{}\r\n0\r\n\r\n", 422),
        ("Transfer-Encoding: chunked".to_owned(), "zz\r\nabc", 400),
        ("Content-Length: 1000000000000".to_owned(), "abc", 400),
        ("Content-Length: 1000".to_owned(), "{\"a\":", 400),
    ];
    fixture
        .serve(async |address| {
            for (lines, body, status) in bodies {
                let head = format!(
                    "POST /api/streamers HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
                     Content-Type: application/json\r\n{lines}\r\n\r\n"
                );
                let answer = exchange(address, &[head.as_bytes(), body.as_bytes()]).await;
                assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{lines}: {answer:.200}");
            }
        })
        .await;
    assert!(fixture.registry.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let router = Fixture::new().router();
    let mut request = post("/api/streamers", "");
    let endless = futures_util::stream::pending::<Result<axum::body::Bytes, std::io::Error>>();
    *request.body_mut() = Body::from_stream(endless);
    let answer = call(&router, request).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (408, &Value::from("body_too_slow")));
}

#[tokio::test]
async fn pages_of_other_origins_create_nothing() {
    let fixture = Fixture::new();
    let mut request = post("/api/streamers", "{}");
    request.headers_mut().insert("origin", "https://evil.example".parse().expect("a header value"));
    let answer = call(&fixture.router(), request).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (403, &Value::from("origin_not_allowed")));
}
