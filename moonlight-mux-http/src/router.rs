//! The routes.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{FromRequestParts, Path, Query, Request, State, WebSocketUpgrade};
use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use moonlight_mux::{
    ExitPolicy, Hosts, InputMode, PeerConfig, PeerName, Registry, Rights, Streamer, StreamerId, WebRtc,
};
use serde::Deserialize;

use crate::create::{create, restart};
use crate::creation::Creation;
use crate::dto::{StreamerInfo, StreamerList};
use crate::fields::{Fault, Fields, InvalidField};
use crate::instances::{Full, InstanceId, Instances};
use crate::isolation::Isolation;
use crate::kept::KeptStreamers;
use crate::pairings::Pairings;
use crate::peer_message::MAX_MESSAGE;
use crate::peer_socket::{self, Dialect, SUBPROTOCOL};
use crate::problem::Problem;
use crate::{close_code, hosts, input, origin, page, peers};

/// How [`router`] behaves.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The hosts that streamers can be created from. Default: none; then every host is one that is not found, and
    /// none can be added.
    pub hosts: Option<Hosts>,
    /// How many streamers there may be, those that ended and were not deleted included; when all places are taken, the
    /// oldest one that has ended gives its own, and else creating is refused. Default 64: each costs a session on a
    /// host and the network to it. Streamers that the program itself creates count, and are not refused.
    pub max_streamers: usize,
    /// Where streamers run that are created over HTTP. Default: in this process.
    pub isolation: Isolation,
    /// The persistent streamers, and where they are kept: the router starts them, from `hosts`, and tries each again when
    /// it has failed. Default: nowhere; then none can be declared persistent.
    pub kept: Option<KeptStreamers>,
    /// How viewers share the input of a host whose streamer is created without a word about it. Default: all at once.
    pub input_mode: InputMode,
    /// Web pages that may call the API besides this server's own, as browsers send it in `Origin`, such as
    /// `https://mux.example.org`. Default: none. Each entry lets that page watch and end all streamers.
    ///
    /// This server's own pages need no entry when it is reached as `localhost` or by an IP address. When it is
    /// reached by another name, through a proxy for example, that name's origin belongs here.
    pub allowed_origins: Vec<String>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            hosts: None,
            max_streamers: 64,
            isolation: Isolation::default(),
            kept: None,
            input_mode: InputMode::default(),
            allowed_origins: Vec::new(),
        }
    }
}

/// The HTTP API, the peer WebSocket and the pages.
///
/// | call | answer |
/// | --- | --- |
/// | `GET /` | the page that lists the streamers |
/// | `GET /s/{id}` | the page that plays one |
/// | `GET /api/streamers` | 200 [`StreamerList`] |
/// | `POST /api/streamers` | 200 [`StreamerInfo`] once the stream runs; docs/http-api.md has body and errors |
/// | `GET /api/streamers/{id}` | 200 [`StreamerInfo`], 404 |
/// | `DELETE /api/streamers/{id}` | 204 when it has stopped, 404; `?quit=true` ends the app on the host too |
/// | `PATCH /api/streamers/{id}` | 200 [`StreamerInfo`] with another input mode, 404 |
/// | `POST /api/streamers/{id}/keyframe` | 202, 404 |
/// | `POST /api/streamers/{id}/restart` | 200 [`StreamerInfo`] once one that had ended runs again; 404, 409 |
/// | `PATCH /api/streamers/{id}/peers/{peer_id}` | 200 [`Peer`](crate::dto::Peer) with other rights, 404 |
/// | `DELETE /api/streamers/{id}/peers/{peer_id}` | 204, it is sent away; 404 |
/// | `GET /api/streamers/{id}/peer` | WebSocket: [`peer_message`](crate::peer_message), [`close_code`] |
/// | `GET`, `POST /api/hosts` | 200 [`HostList`](crate::dto::HostList); add one: 201 [`Host`](crate::dto::Host) |
/// | `GET`, `DELETE /api/hosts/{id}` | 200 [`Host`](crate::dto::Host), asked now; 204 |
/// | `POST /api/hosts/{id}/pair` | 200 [`PairingStarted`](crate::dto::PairingStarted) |
/// | `GET /api/hosts/{id}/apps` | 200 [`AppList`](crate::dto::AppList) |
/// | `GET /api/hosts/{id}/apps/{app}/image` | 200, a picture |
/// | `POST /api/hosts/{id}/wake` | 202 |
/// | `GET /healthz` | 200 `ok` |
///
/// Errors are `application/problem+json` (RFC 9457) with a stable `code`. The router has no fallback of its own, so
/// that it merges with routers that have one.
///
/// # Panics
/// Outside a tokio runtime, when there are persistent streamers to start.
pub fn router(registry: Registry, rtc: WebRtc, config: ServerConfig) -> Router {
    let server = Arc::new(Server {
        creation: Creation::new(registry.clone(), config.max_streamers, config.kept),
        registry,
        rtc,
        hosts: config.hosts,
        isolation: config.isolation,
        input_mode: config.input_mode,
        pairings: Pairings::default(),
        instances: Instances::default(),
        allowed_origins: config.allowed_origins,
    });
    server.restore();
    Router::new()
        .route("/api/streamers", get(list).post(create))
        .route("/api/streamers/{id}", get(show).patch(change).delete(remove))
        .route("/api/streamers/{id}/keyframe", post(keyframe))
        .route("/api/streamers/{id}/restart", post(restart))
        .route("/api/streamers/{id}/peer", get(peer))
        .merge(peers::routes())
        .merge(hosts::routes())
        .route_layer(middleware::from_fn_with_state(server.clone(), require_allowed_origin))
        .route("/healthz", get(async || "ok"))
        .merge(page::routes())
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .layer(middleware::map_response(page::harden))
        .with_state(server)
}

pub(crate) struct Server {
    registry: Registry,
    rtc: WebRtc,
    pub(crate) creation: Creation,
    pub(crate) hosts: Option<Hosts>,
    pub(crate) isolation: Isolation,
    pub(crate) input_mode: InputMode,
    pub(crate) pairings: Pairings,
    instances: Instances,
    allowed_origins: Vec<String>,
}

impl Server {
    pub(crate) fn info(&self, streamer: &Streamer) -> StreamerInfo {
        StreamerInfo { persistent: self.creation.is_persistent(streamer), ..StreamerInfo::from(streamer) }
    }
}

/// The id in the path, of a streamer or not.
struct Id(StreamerId);

impl FromRequestParts<Arc<Server>> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct ById {
            id: String,
        }
        let Path(ById { id }) =
            Path::from_request_parts(parts, server).await.map_err(|_| Problem::StreamerNotFound)?;
        id.parse().map(Self).map_err(|_| Problem::StreamerNotFound)
    }
}

/// The streamer that the path names by `{id}`.
pub(crate) struct Named(pub(crate) Streamer);

impl FromRequestParts<Arc<Server>> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        let Id(id) = Id::from_request_parts(parts, server).await?;
        server.registry.get(&id).map(Self).ok_or(Problem::StreamerNotFound)
    }
}

async fn require_allowed_origin(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let headers = request.headers();
    // An origin that is no text cannot be allowed.
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if !origin::is_allowed(text(ORIGIN), text(HOST), &server.allowed_origins) {
        return Err(Problem::OriginNotAllowed);
    }
    Ok(next.run(request).await)
}

async fn list(State(server): State<Arc<Server>>) -> Json<StreamerList> {
    Json(StreamerList {
        streamers: server.registry.list().iter().map(|streamer| server.info(streamer).in_brief()).collect(),
    })
}

async fn show(State(server): State<Arc<Server>>, Named(streamer): Named) -> Json<StreamerInfo> {
    Json(server.info(&streamer))
}

async fn change(
    State(server): State<Arc<Server>>,
    Named(streamer): Named,
    fields: Fields,
) -> Result<Json<StreamerInfo>, Problem> {
    if !["input_mode", "idle_ms"].iter().any(|&field| fields.has(field)) {
        return Err(Fault::Missing.of("input_mode").into());
    }
    // Kept with nothing in between, so that of two changes at once the same one stands here and there.
    streamer.update_input_mode(|now| {
        let mode = input::mode(&fields, now)?;
        server.creation.note_input_mode(&streamer, mode);
        Ok::<_, InvalidField>(mode)
    })?;
    server.creation.until_noted(&streamer).await?;
    Ok(Json(server.info(&streamer)))
}

#[derive(Deserialize)]
struct RemoveQuery {
    #[serde(default)]
    quit: bool,
}

async fn remove(
    State(server): State<Arc<Server>>,
    Id(id): Id,
    query: Result<Query<RemoveQuery>, QueryRejection>,
) -> Result<StatusCode, Problem> {
    let Query(query) = query.map_err(|_| Problem::InvalidQuery)?;
    let policy = if query.quit { ExitPolicy::Quit } else { ExitPolicy::LeaveRunning };
    if server.creation.remove(&id, policy).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::StreamerNotFound)
    }
}

async fn keyframe(Named(streamer): Named) -> StatusCode {
    streamer.request_keyframe();
    StatusCode::ACCEPTED
}

#[derive(Deserialize)]
struct PeerQuery {
    instance: Option<String>,
    name: Option<String>,
    role: Option<String>,
}

async fn peer(
    State(server): State<Arc<Server>>,
    Named(streamer): Named,
    query: Result<Query<PeerQuery>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|_| Problem::InvalidQuery)?;
    let instance = query.instance.map(|text| text.parse::<InstanceId>());
    let instance = instance.transpose().map_err(|_| Problem::InvalidInstanceId)?;
    let mut config = PeerConfig::default();
    config.name =
        query.name.map(|text| text.parse::<PeerName>()).transpose().map_err(|_| Problem::InvalidName)?;
    config.rights = match query.role.as_deref() {
        None | Some("control") => Rights::ALL,
        Some("view") => Rights::NONE,
        Some(_) => return Err(Problem::InvalidRole),
    };
    let upgrade = upgrade.map_err(|_| Problem::UpgradeRequired)?;
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        // Larger ones up to here get a close frame that says so; beyond, the connection is cut.
        // What is larger is read in parts; the buffer stays as long as the viewer does.
        .read_buffer_size(READ_BUFFER)
        .max_message_size(4 * MAX_MESSAGE)
        .max_frame_size(4 * MAX_MESSAGE);
    let dialect = if upgrade.selected_protocol().is_some() { Dialect::Ours } else { Dialect::ExistingPage };
    Ok(upgrade.on_upgrade(async move |socket| {
        let seat = instance.map(|instance| server.instances.take(streamer.id().clone(), instance));
        match seat.transpose() {
            Ok(seat) => peer_socket::serve(socket, dialect, streamer, server.rtc.clone(), config, seat).await,
            Err(Full) => {
                let reason = "there are too many viewers, try again later";
                peer_socket::close(socket, close_code::TRY_AGAIN_LATER, reason).await;
            }
        }
    }))
}

/// Of a viewer's WebSocket, in bytes: two of its messages fit, an offer seldom. 128 kB otherwise.
const READ_BUFFER: usize = 8 << 10;
