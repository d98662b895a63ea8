//! `POST /api/streamers/{id}/restart`, and what is refused for now.

use axum::http::StatusCode;
use moonlight_mux::{Faults, StartRefusal};
use serde_json::json;

use super::support::{Fixture, call, post, request};
use super::{Live, golden, golden_with};

const DESK: &str = "/api/streamers/agent-ses_01k7jt2n9c5nt9pffq1r8kg92p";

#[tokio::test]
async fn one_that_has_failed_is_made_as_it_was_and_is_listed_whatever_comes_of_it() {
    let live = Live::new().await;
    let again = async |query: &str| {
        let answer = call(&live.router, request("POST", &format!("{DESK}/restart{query}"))).await;
        (answer.status.as_u16(), answer.json())
    };
    let (status, problem) = again("").await;
    assert_eq!((status, &problem["code"]), (404, &json!("streamer_not_found")));

    let mut refuses = Faults::default();
    refuses.refuse_start = Some(StartRefusal { status: 503, message: "no encoder".to_owned() });
    live.host.set_faults(refuses);
    assert_eq!(live.create("?wait=false", &golden()).await.status, StatusCode::OK);
    live.until(DESK, |info| info["status"] == "failed").await;
    let (status, problem) = again("").await;
    assert_eq!((status, &problem["code"], &problem["host_code"]), (502, &json!("host_refused"), &json!(503)));
    assert_eq!(live.get(DESK).await.json()["error"]["code"], "host_refused");
    let (status, info) = again("?wait=false").await;
    assert_eq!((status, &info["streamer_id"]), (200, &golden()["streamer_id"]));
    live.until(DESK, |info| info["status"] == "failed").await;

    live.host.set_faults(Faults::default());
    let (status, info) = again("").await;
    assert_eq!((status, &info["status"]), (200, &json!("active")), "{info}");
    assert_eq!((&info["width"], &info["height"]), (&json!(320), &json!(240)));
    let (status, problem) = again("").await;
    assert_eq!((status, &problem["code"]), (409, &json!("streamer_exists")));
    assert_eq!(problem["target"]["app_id"], golden()["app_id"]);
    let (status, problem) = again("?wait=perhaps").await;
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_query")));
}

#[tokio::test]
async fn one_that_the_program_started_itself_is_not_made_again() {
    let fixture = Fixture::new();
    let (streamer, script) = fixture.streamer("desk", |_| {});
    script.end.send(Ok(moonlight_mux::Ended::ByHost)).await.expect("it runs");
    streamer.wait_streaming().await.expect_err("it has ended");
    let answer = call(&fixture.router(), request("POST", "/api/streamers/desk/restart")).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (409, &json!("not_restartable")));
}

#[tokio::test]
async fn whoever_meets_a_limit_is_told_when_to_ask_again() {
    let live = Live::new().await;
    let config = moonlight_mux_http::ServerConfig { max_streamers: 1, ..live.fixture.config() };
    let router = live.fixture.router_with(config);
    let create = async |id: &str| {
        call(&router, post("/api/streamers", &golden_with("streamer_id", id).to_string())).await
    };
    assert_eq!(create("one").await.status, StatusCode::OK);
    let limit = create("two").await;
    assert_eq!((limit.status.as_u16(), &limit.json()["code"]), (503, &json!("limit")));
    let seconds: u32 = limit.header("retry-after").parse().expect("RFC 9110, 10.2.3: seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
    live.fixture.registry.shutdown().await;
    let ends = create("two").await;
    assert_eq!((ends.status.as_u16(), &ends.json()["code"]), (503, &json!("shutting_down")));
    assert!(ends.header("retry-after").parse::<u32>().is_ok());
}
