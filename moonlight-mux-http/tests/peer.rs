//! The peer WebSocket, over real sockets.

mod support;

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use moonlight_mux::{
    Ended, ExitPolicy, PeerName, SourceIo, Stage, State, StreamInfo, Streamer, VideoCodec, VideoInfo,
};
use moonlight_mux_http::SUBPROTOCOL;
use moonlight_mux_http::peer_message::{DescriptionType, MAX_MESSAGE, ServerMessage, SignalingMessage};
use serde_json::{Value, json};
use support::{Fixture, call, patch, request};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

struct Page(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Page {
    async fn join(server: SocketAddr, query: &str) -> Self {
        let url = format!("ws://{server}/api/streamers/desk/peer{query}");
        Self::connect(url, &[("sec-websocket-protocol", SUBPROTOCOL)]).await.expect("an upgrade")
    }

    async fn connect(url: String, headers: &[(&'static str, &str)]) -> Result<Self, Error> {
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value)?);
        }
        Ok(Self(connect_async(request).await?.0))
    }

    async fn send(&mut self, message: impl Into<Message>) {
        self.0.send(message.into()).await.expect("the server listens");
    }

    /// The next text.
    async fn message(&mut self) -> ServerMessage {
        loop {
            match self.0.next().await.expect("a message").expect("a message") {
                Message::Text(text) => return serde_json::from_str(&text).expect("a server message"),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    /// The close frame, behind whatever comes before it. Says goodbye too.
    async fn close_code(&mut self) -> (u16, String) {
        let mut closed = None;
        while let Some(Ok(message)) = self.0.next().await {
            if let Message::Close(frame) = message {
                let frame = frame.expect("a code");
                closed = Some((frame.code.into(), frame.reason.to_string()));
            }
        }
        closed.expect("a close frame")
    }
}

fn connecting(io: &mut SourceIo) {
    io.stage_starting(Stage::RtspHandshake);
}

/// Waits until the streamer has this many viewers.
async fn until_viewers(streamer: &Streamer, count: usize) {
    while streamer.peers().len() != count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_ice_servers_come_first_and_then_what_the_stream_does() {
    let fixture = Fixture::new();
    let (streamer, _script) = fixture.streamer("desk", connecting);
    streamer.watch_state().wait_for(|state| matches!(state, State::Connecting(_))).await.unwrap();
    fixture
        .serve(async |server| {
            let mut page = Page::join(server, "").await;
            assert!(matches!(page.message().await, ServerMessage::WebRtcConfig { .. }));
            let stage = "RTSP handshake".into();
            assert_eq!(page.message().await, ServerMessage::StageStarting { stage });
        })
        .await;
}

#[tokio::test]
async fn pings_binaries_and_a_malformed_message_do_not_end_the_connection() {
    let fixture = Fixture::new();
    let (streamer, _script) = fixture.streamer("desk", connecting);
    fixture
        .serve(async |server| {
            let mut page = Page::join(server, "").await;
            page.message().await;
            page.send(Message::Binary(vec![0; 1000].into())).await;
            page.send(Message::Pong(vec![1].into())).await;
            page.send("no message at all").await;
            page.send(r#"{"AuthenticateAndInit":{"credentials":"x"}}"#).await;
            page.send(Message::Ping(vec![2].into())).await;
            loop {
                match page.0.next().await.unwrap().unwrap() {
                    Message::Pong(data) => break assert_eq!(data.as_ref(), [2]),
                    Message::Close(frame) => panic!("closed: {frame:?}"),
                    _ => {}
                }
            }
            assert_eq!(streamer.peers().len(), 1);
        })
        .await;
}

#[tokio::test]
async fn a_page_that_closes_its_socket_leaves() {
    let fixture = Fixture::new();
    let (streamer, _script) = fixture.streamer("desk", connecting);
    fixture
        .serve(async |server| {
            let mut polite = Page::join(server, "").await;
            let rude = Page::join(server, "").await;
            until_viewers(&streamer, 2).await;
            polite.0.close(None).await.unwrap();
            until_viewers(&streamer, 1).await;
            drop(rude);
            until_viewers(&streamer, 0).await;
        })
        .await;
}

#[tokio::test]
async fn each_end_has_its_code_and_its_sentence() {
    let fixture = Fixture::new();
    let (_streamer, script) = fixture.streamer("desk", connecting);
    fixture
        .serve(async |server| {
            let mut page = Page::join(server, "").await;
            page.message().await;
            script.end.send(Ok(Ended::ByHost)).await.unwrap();
            assert_eq!(page.close_code().await, (4002, "the stream ended".to_owned()));

            let mut late = Page::join(server, "").await;
            assert_eq!(late.close_code().await.0, 4002, "the stream is over already");

            let id = "desk".parse().unwrap();
            fixture.registry.remove(&id, ExitPolicy::LeaveRunning).await;
            let (_streamer, _script) = fixture.streamer("desk", connecting);
            let mut page = Page::join(server, "").await;
            page.message().await;
            let (removed, closed) =
                tokio::join!(fixture.registry.remove(&id, ExitPolicy::LeaveRunning), page.close_code());
            assert!(removed);
            assert_eq!(closed, (4001, "the streamer was deleted".to_owned()));

            let (_streamer, _script) = fixture.streamer("desk", connecting);
            let mut page = Page::join(server, "").await;
            page.message().await;
            let ((), closed) = tokio::join!(fixture.registry.shutdown(), page.close_code());
            assert_eq!(closed, (4006, "the server is shutting down".to_owned()));
        })
        .await;
}

/// Waits until the one viewer is as `wanted`, and gives it.
async fn until_viewer(fixture: &Fixture, wanted: impl Fn(&Value) -> bool) -> Value {
    let router = fixture.router();
    loop {
        let mut info = call(&router, request("GET", "/api/streamers/desk")).await.json();
        match info["peers"].as_array_mut().expect("a list").pop() {
            Some(viewer) if wanted(&viewer) => return viewer,
            _ => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_viewers_rights_are_changed_class_by_class() {
    let fixture = Fixture::new();
    let (_streamer, _script) = fixture.streamer("desk", connecting);
    fixture
        .serve(async |server| {
            let mut page = Page::join(server, "?name=Ann").await;
            page.message().await;
            let viewer = until_viewer(&fixture, |_| true).await;
            let mut rights = json!({
                "keyboard": true, "pointer": true, "touch": true, "pen": true, "gamepad": true, "text": true,
            });
            assert_eq!((&viewer["rights"], &viewer["acting"]), (&rights, &json!(false)));
            let path = format!("/api/streamers/desk/peers/{}", viewer["peer_id"].as_str().unwrap());
            for (class, allowed) in [("keyboard", false), ("text", false), ("keyboard", true)] {
                // One behind the other, before anybody was told of the first.
                let body = json!({"rights": {class: allowed}}).to_string();
                let answer = call(&fixture.router(), patch(&path, &body)).await;
                rights[class] = json!(allowed);
                let expected = json!({
                    "peer_id": viewer["peer_id"], "connected_at": viewer["connected_at"], "name": "Ann",
                    "rights": rights, "acting": false,
                });
                assert_eq!((answer.status.as_u16(), answer.json()), (200, expected));
            }
            until_viewer(&fixture, |viewer| viewer["rights"] == rights).await;

            for (body, field) in [
                (r#"{"rights":{"keybord":true,"pen":false}}"#, "rights"),
                (r#"{"rights":{"pen":false,"touch":"no"}}"#, "rights.touch"),
                (r#"{"rights":true}"#, "rights"),
                ("{}", "rights"),
            ] {
                let answer = call(&fixture.router(), patch(&path, body)).await;
                let problem = answer.json();
                assert_eq!((answer.status.as_u16(), &problem["field"]), (422, &json!(field)), "{problem}");
            }
            assert_eq!(
                until_viewer(&fixture, |_| true).await["rights"],
                rights,
                "a whole body counts or none"
            );
        })
        .await;
}

#[tokio::test]
async fn whoever_joins_to_view_has_no_right() {
    let fixture = Fixture::new();
    let (streamer, _script) = fixture.streamer("desk", connecting);
    fixture
        .serve(async |server| {
            for (query, allowed) in [("?role=view", false), ("?role=control", true), ("", true)] {
                let mut page = Page::join(server, query).await;
                page.message().await;
                let viewer = until_viewer(&fixture, |_| true).await;
                let rights = viewer["rights"].as_object().unwrap();
                assert!(
                    rights.len() == 6 && rights.values().all(|right| *right == allowed),
                    "{query}: {viewer}"
                );
                page.0.close(None).await.unwrap();
                until_viewers(&streamer, 0).await;
            }
        })
        .await;
}

#[tokio::test]
async fn a_viewer_that_is_sent_away_is_told_so_and_the_others_stay() {
    let fixture = Fixture::new();
    let (streamer, _script) = fixture.streamer("desk", connecting);
    fixture
        .serve(async |server| {
            let mut page = Page::join(server, "").await;
            page.message().await;
            let viewer = until_viewer(&fixture, |_| true).await;
            let mut other = Page::join(server, "").await;
            other.message().await;
            let path = format!("/api/streamers/desk/peers/{}", viewer["peer_id"].as_str().unwrap());
            let answer = call(&fixture.router(), request("DELETE", &path)).await;
            assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (204, &b""[..]));
            assert_eq!(page.close_code().await, (4003, "the viewer was sent away".to_owned()));
            until_viewers(&streamer, 1).await;
            assert_eq!(call(&fixture.router(), request("DELETE", &path)).await.status.as_u16(), 404);
            assert_ne!(until_viewer(&fixture, |_| true).await["peer_id"], viewer["peer_id"]);
        })
        .await;
}

#[tokio::test]
async fn a_page_that_joins_again_takes_the_place_of_its_older_self() {
    let fixture = Fixture::new();
    let (streamer, _script) = fixture.streamer("desk", connecting);
    fixture
        .serve(async |server| {
            let mut other = Page::join(server, "?instance=other").await;
            other.message().await;
            let mut page = Page::join(server, "?instance=mine").await;
            page.message().await;
            for _ in 0..20 {
                let mut newer = Page::join(server, "?instance=mine").await;
                newer.message().await;
                assert_eq!(page.close_code().await, (4000, "the same viewer joined again".to_owned()));
                page = newer;
            }
            until_viewers(&streamer, 2).await;
            for page in [&mut page, &mut other] {
                page.send(Message::Ping(vec![].into())).await;
                while !matches!(page.0.next().await.unwrap().unwrap(), Message::Pong(_)) {}
            }
        })
        .await;
}

#[tokio::test]
async fn a_page_without_the_subprotocol_gets_the_servers_offer() {
    let fixture = Fixture::new();
    let (streamer, _script) = fixture.streamer("desk", |io| {
        io.connected();
        io.info(StreamInfo {
            video: VideoInfo { codec: VideoCodec::H264, width: 1280, height: 720, fps: 60 },
            audio: None,
        });
    });
    fixture
        .serve(async |server| {
            let url = format!("ws://{server}/api/streamers/desk/peer");
            let mut page = Page::connect(url, &[]).await.unwrap();
            page.send(
                r#"{"AuthenticateAndInit":{"credentials":null,"host_id":0,"video_colorspace":"Rec709"}}"#,
            )
            .await;
            assert!(matches!(page.message().await, ServerMessage::WebRtcConfig { .. }));
            let ServerMessage::Signaling(SignalingMessage::Description { ty, sdp }) = page.message().await
            else {
                panic!("no description");
            };
            assert_eq!(ty, DescriptionType::Offer);
            for part in [
                "m=video ",
                "m=audio ",
                "m=application ",
                "packetization-mode=1;profile-level-id=42e01f",
                "opus/48000/2",
                "a=msid:moonlight-mux video",
                "a=msid:moonlight-mux audio",
                "a=setup:actpass",
                "a=candidate:",
                "a=end-of-candidates",
            ] {
                assert!(sdp.contains(part), "{part} is not in {sdp}");
            }
            assert_eq!(streamer.peers().len(), 1);
            page.0.close(None).await.unwrap();
            until_viewers(&streamer, 0).await;
        })
        .await;
}

#[tokio::test]
async fn a_page_without_the_subprotocol_waits_until_the_format_is_known() {
    let fixture = Fixture::new();
    let (streamer, _script) = fixture.streamer("desk", connecting);
    streamer.watch_state().wait_for(|state| matches!(state, State::Connecting(_))).await.unwrap();
    fixture
        .serve(async |server| {
            let url = format!("ws://{server}/api/streamers/desk/peer");
            let mut page = Page::connect(url, &[]).await.unwrap();
            assert!(matches!(page.message().await, ServerMessage::WebRtcConfig { .. }));
            let stage = "RTSP handshake".into();
            assert_eq!(page.message().await, ServerMessage::StageStarting { stage });
            page.send(Message::Ping(vec![].into())).await;
            // Nothing comes in between.
            assert!(matches!(page.0.next().await.unwrap().unwrap(), Message::Pong(_)));
        })
        .await;
}

#[tokio::test]
async fn a_viewer_has_the_name_that_it_gives_itself() {
    let fixture = Fixture::new();
    let (streamer, _script) = fixture.streamer("desk", connecting);
    fixture
        .serve(async |server| {
            let mut page = Page::join(server, "?name=%20Ann%20B.%20").await;
            page.message().await;
            until_viewers(&streamer, 1).await;
            assert_eq!(streamer.peers()[0].name.as_ref().map(PeerName::as_str), Some("Ann B."));
            for bad in ["", "%20", "a%0Ab", &"x".repeat(65)] {
                let url = format!("ws://{server}/api/streamers/desk/peer?name={bad}");
                match Page::connect(url, &[("sec-websocket-protocol", SUBPROTOCOL)]).await {
                    Err(Error::Http(response)) => assert_eq!(response.status(), 422, "{bad:?}"),
                    other => panic!("{bad:?} let in: {}", other.is_ok()),
                }
            }
            assert_eq!(streamer.peers().len(), 1);
        })
        .await;
}

#[tokio::test]
async fn a_message_may_not_be_larger_than_64_kib() {
    let fixture = Fixture::new();
    let (streamer, _script) = fixture.streamer("desk", connecting);
    fixture
        .serve(async |server| {
            let mut page = Page::join(server, "").await;
            page.send(" ".repeat(MAX_MESSAGE + 1)).await;
            assert_eq!(page.close_code().await.0, 1009);
            until_viewers(&streamer, 0).await;

            let mut page = Page::join(server, "").await;
            until_viewers(&streamer, 1).await;
            let _ = page.0.send(Message::text(" ".repeat(64 * MAX_MESSAGE))).await;
            until_viewers(&streamer, 0).await;
        })
        .await;
}

#[tokio::test]
async fn pages_of_other_servers_get_no_socket() {
    let fixture = Fixture::new();
    let (streamer, _script) = fixture.streamer("desk", connecting);
    fixture
        .serve(async |server| {
            let url = format!("ws://{server}/api/streamers/desk/peer");
            let foreign = [("sec-websocket-protocol", SUBPROTOCOL), ("origin", "https://evil.example")];
            match Page::connect(url.clone(), &foreign).await {
                Err(Error::Http(response)) => assert_eq!(response.status(), 403),
                other => panic!("let in: {}", other.is_ok()),
            }
            assert!(streamer.peers().is_empty());

            let own = format!("http://{server}");
            let own = [("sec-websocket-protocol", SUBPROTOCOL), ("origin", own.as_str())];
            Page::connect(url, &own).await.unwrap().message().await;
        })
        .await;
}
