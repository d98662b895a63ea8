//! Puts streams into a web service that has routes and state of its own:
//!
//! `cargo run --release -p moonlight-mux-examples --example embedding -- 127.0.0.1:8080`

#![allow(clippy::print_stdout, reason = "it speaks to a person")]

use std::error::Error;
use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::extract::State;
use axum::response::Html;
use axum::routing::get;
use moonlight_mux::{Registry, StreamerConfig, TestPicture, TestPictureConfig, WebRtc, WebRtcConfig};
use moonlight_mux_http::ServerConfig;

/// The state of the service. Handles are cheap to clone.
#[derive(Clone)]
struct Service {
    name: &'static str,
    streams: Registry,
}

fn service(ip: IpAddr) -> Result<Router, Box<dyn Error>> {
    let streams = Registry::new();
    let source = TestPicture::new(TestPictureConfig::default())?;
    streams.create("desk".parse()?, source, StreamerConfig::default())?;
    let mut reachable = WebRtcConfig::default();
    reachable.bind = (ip, 0).into();
    let rtc = WebRtc::bind(reachable)?;
    let mux = moonlight_mux_http::router(streams.clone(), rtc, ServerConfig::default());
    Ok(Router::new()
        .route("/", get(home))
        .with_state(Service { name: "My service", streams })
        // Below any path that ends in a slash: its pages name no absolute address.
        .nest("/streams/", mux))
}

async fn home(State(service): State<Service>) -> Html<String> {
    let streams: String = service
        .streams
        .list()
        .iter()
        .map(|stream| format!("<li><a href=streams/s/{}>{}</a>", stream.id(), stream.id()))
        .collect();
    Html(format!("<!doctype html><title>{0}</title><h1>{0}</h1><ul>{streams}</ul>", service.name))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: embedding ADDRESS:PORT")?;
    let address: SocketAddr = address.parse()?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/", listener.local_addr()?);
    Ok(axum::serve(listener, service(address.ip())?).await?)
}

#[tokio::test]
async fn both_sets_of_routes_answer() {
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode};
    use std::net::Ipv4Addr;
    use tower::ServiceExt;
    let service = service(Ipv4Addr::LOCALHOST.into()).unwrap();
    for (path, expected) in [
        ("/", "My service"),
        ("/streams/", "Streams"),
        ("/streams/api/streamers", "desk"),
        ("/streams/s/desk", "<video"),
    ] {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        assert!(String::from_utf8_lossy(&body).contains(expected), "{path}");
    }
}
