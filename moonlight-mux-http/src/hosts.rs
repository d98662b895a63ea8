//! `/api/hosts`: which hosts there are, what they say, and how to pair with them.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use moonlight_mux::{
    AppId, Host, HostAddress, HostErrorCause, HostId, HostInfo, HostOptions, HostRecord, Hosts, IdentityName,
};
use serde::Deserialize;

use crate::create_request;
use crate::dto;
use crate::failure::Failure;
use crate::fields::{Fault, Fields};
use crate::problem::Problem;
use crate::router::Server;

pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/api/hosts", get(list).post(add))
        .route("/api/hosts/{id}", get(show).delete(remove))
        .route("/api/hosts/{id}/pair", post(pair))
        .route("/api/hosts/{id}/apps", get(apps))
        .route("/api/hosts/{id}/apps/{app}/image", get(image))
        .route("/api/hosts/{id}/wake", post(wake))
}

/// The host that the path names by `{id}`.
struct Known {
    hosts: Hosts,
    record: HostRecord,
}

impl FromRequestParts<Arc<Server>> for Known {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct ById {
            id: u32,
        }
        let Path(ById { id }) =
            Path::from_request_parts(parts, server).await.map_err(|_| Problem::HostNotFound)?;
        let hosts = server.hosts.clone().ok_or(Problem::HostNotFound)?;
        let record = hosts.get(HostId(id)).ok_or(Problem::HostNotFound)?;
        Ok(Self { hosts, record })
    }
}

/// As which client the host is asked: `?client_unique_id=`.
struct As(IdentityName);

impl FromRequestParts<Arc<Server>> for As {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct IdentityQuery {
            client_unique_id: Option<String>,
        }
        let query: Result<Query<IdentityQuery>, QueryRejection> =
            Query::from_request_parts(parts, server).await;
        let Query(IdentityQuery { client_unique_id: name }) = query.map_err(|_| Problem::InvalidQuery)?;
        let name = name.map(|name| name.parse()).transpose();
        let name = name.map_err(|_| Fault::NotAnId.of("client_unique_id"))?;
        Ok(Self(name.unwrap_or_default()))
    }
}

async fn list(State(server): State<Arc<Server>>) -> Json<dto::HostList> {
    let records = server.hosts.as_ref().map(Hosts::list).unwrap_or_default();
    let identity = IdentityName::default();
    let hosts = records.iter().map(|record| describe(&server, record, &identity)).collect();
    Json(dto::HostList { hosts })
}

async fn add(
    State(server): State<Arc<Server>>,
    fields: Fields,
) -> Result<(StatusCode, Json<dto::Host>), Problem> {
    let address = fields.parsed::<HostAddress>("address", Fault::NotAnAddress)?;
    let address = address.ok_or(Fault::Missing.of("address"))?;
    let hosts = server.hosts.as_ref().ok_or(Problem::HostsNotTaken)?;
    let known = hosts.list();
    if let Some(record) = known.iter().find(|record| record.address == address) {
        return Err(Problem::HostExists { id: record.id.0 });
    }
    if known.len() >= MAX_HOSTS {
        return Err(Problem::Limit { what: "hosts", max: MAX_HOSTS });
    }
    let record = hosts.add(address, HostOptions::default()).await?;
    let host = describe(&server, &record, &IdentityName::default());
    Ok((StatusCode::CREATED, Json(host)))
}

async fn show(
    State(server): State<Arc<Server>>,
    Known { hosts, record }: Known,
    As(identity): As,
) -> Json<dto::Host> {
    let host = describe(&server, &record, &identity);
    // Asking makes no identity. A host that does not know this one says as much to another.
    let asker = if host.paired { identity } else { IdentityName::default() };
    Json(match hosts.info(record.id, &asker).await {
        // It may have forgotten what was kept here.
        Ok(info) => dto::Host { paired: host.paired && info.paired, answer: Some(info.into()), ..host },
        Err(error) => dto::Host {
            answer: Some(dto::HostAnswer::Offline { error: Failure::from(&error).into() }),
            ..host
        },
    })
}

async fn remove(State(server): State<Arc<Server>>, known: Known) -> Result<StatusCode, Problem> {
    let id = known.record.id;
    server.pairings.forget(id);
    if known.hosts.remove(id)? { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::HostNotFound) }
}

async fn pair(
    State(server): State<Arc<Server>>,
    known: Known,
    fields: Option<Fields>,
) -> Result<Json<dto::PairingStarted>, Problem> {
    let identity = create_request::identity(&fields.unwrap_or_default())?;
    let id = known.record.id;
    let pairing = known.hosts.begin_pairing(id, &identity).await?;
    let pin = pairing.pin().digits().to_owned();
    let outcome = async { Box::pin(pairing.outcome()).await.map_err(|error| Failure::from(&error)) };
    server.pairings.wait_for(id, identity, outcome)?;
    Ok(Json(dto::PairingStarted { pin }))
}

async fn apps(known: Known, As(identity): As) -> Result<Json<dto::AppList>, Problem> {
    let apps = known.host(&identity).await?.apps().await.map_err(|error| Problem::from(&error))?;
    let apps = apps.into_iter().map(|app| dto::App {
        app_id: app.id.get(),
        title: app.title,
        is_hdr_supported: app.hdr,
    });
    Ok(Json(dto::AppList { apps: apps.collect() }))
}

type Image = ([(HeaderName, &'static str); 2], Bytes);

async fn image(
    known: Known,
    Path((_, app)): Path<(String, String)>,
    As(identity): As,
) -> Result<Image, Problem> {
    let app: AppId = app.parse().map_err(|_| Problem::AppNotFound)?;
    let image = known.host(&identity).await?.app_image(app).await.map_err(|error| match error.cause {
        // So do hosts say that there is none (session 9).
        HostErrorCause::Host { code: 400 | 404, .. } => Problem::ImageNotFound,
        _ => Problem::from(&error),
    })?;
    Ok(([(CONTENT_TYPE, "image/png"), (CACHE_CONTROL, "no-cache")], image))
}

async fn wake(known: Known) -> Result<StatusCode, Problem> {
    known.hosts.wake(known.record.id).await?;
    Ok(StatusCode::ACCEPTED)
}

impl Known {
    /// The host as an identity that it knows sees it. Others are not made for this.
    async fn host(&self, identity: &IdentityName) -> Result<Host, Problem> {
        if !self.record.paired.contains(identity) {
            return Err(Problem::HostNotPaired);
        }
        Ok(self.hosts.host(self.record.id, identity).await?)
    }
}

/// From what is kept here.
fn describe(server: &Server, record: &HostRecord, identity: &IdentityName) -> dto::Host {
    let pairing = server.pairings.of(record.id, identity);
    dto::Host {
        host_id: record.id.0,
        name: record.name.clone(),
        address: record.address.to_string(),
        // The record may be a moment older.
        paired: record.paired.contains(identity) || pairing == Some(dto::Pairing::Paired),
        pairing,
        answer: None,
    }
}

impl From<HostInfo> for dto::HostAnswer {
    fn from(info: HostInfo) -> Self {
        let facts = dto::HostFacts {
            version: info.version,
            codecs: info.codecs.iter().map(|codec| codec.name()).collect(),
            permission: info.permission,
        };
        match info.running_app {
            Some(app) => Self::Busy { running_app_id: app.get(), facts },
            None => Self::Free(facts),
        }
    }
}

/// Hosts that can be added: each is a few hundred bytes here, and a line for people.
const MAX_HOSTS: usize = 256;
