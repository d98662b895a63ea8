//! `POST /api/streamers`: one call from a body to a stream that runs, or to the reason why it does not.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use moonlight_mux::{HostAddress, InputMode};
use serde::Deserialize;

use crate::create_request::{self, CreateRequest};
use crate::creation::OnConflict;
use crate::dto::StreamerInfo;
use crate::fields::Fields;
use crate::host_source::HostSource;
use crate::input;
use crate::kept::Kept;
use crate::problem::Problem;
use crate::recipes::Recipe;
use crate::router::{Named, Server};

#[derive(Deserialize)]
pub(crate) struct CreateQuery {
    #[serde(default = "yes")]
    wait: bool,
    #[serde(default)]
    on_conflict: OnConflict,
}

pub(crate) async fn create(
    State(server): State<Arc<Server>>,
    query: Result<Query<CreateQuery>, QueryRejection>,
    fields: Fields,
) -> Result<Json<StreamerInfo>, Problem> {
    let Query(query) = query.map_err(|_| Problem::InvalidQuery)?;
    let request = CreateRequest::parse(&fields)?;
    let mode = input::mode(&fields, server.input_mode)?;
    if request.persistent && server.creation.kept().is_none() {
        return Err(Problem::StreamersNotKept);
    }
    let hosts = server.hosts.as_ref().ok_or(Problem::HostNotFound)?;
    let address = hosts.get(request.host_id).ok_or(Problem::HostNotFound)?.address;
    let keep = request.persistent.then(|| keep(&fields, mode, address.clone()));
    let recipe = server.recipe(request, address).ok_or(Problem::HostNotFound)?;
    let made = server.creation.create(recipe, mode, keep, query.on_conflict).await?;
    if query.wait {
        server.creation.until_verdict(&made).await?;
    }
    Ok(Json(server.info(&made.streamer)))
}

#[derive(Deserialize)]
pub(crate) struct RestartQuery {
    #[serde(default = "yes")]
    wait: bool,
}

/// `POST /api/streamers/{id}/restart`.
pub(crate) async fn restart(
    State(server): State<Arc<Server>>,
    Named(ended): Named,
    query: Result<Query<RestartQuery>, QueryRejection>,
) -> Result<Json<StreamerInfo>, Problem> {
    let Query(query) = query.map_err(|_| Problem::InvalidQuery)?;
    let streamer = server.creation.restart(&ended)?;
    if query.wait {
        server.creation.verdict(&streamer).await?;
    }
    Ok(Json(server.info(&streamer)))
}

impl Server {
    /// None if this server has no hosts.
    fn recipe(&self, request: CreateRequest, address: HostAddress) -> Option<Recipe> {
        let hosts = self.hosts.clone()?;
        let CreateRequest { streamer_id: id, host_id: host, identity, stream: config, target, .. } = request;
        let source = HostSource { hosts, host, address, identity, config };
        Some(Recipe { make: self.isolation.make(id.clone(), source), id, target })
    }

    /// Starts the streamers that are kept.
    pub(crate) fn restore(&self) {
        let Some(kept) = self.creation.kept() else { return };
        for (id, ticket, kept) in kept.list() {
            let understood = kept.understood();
            let recipe =
                understood.ok().and_then(|(request, mode)| Some((self.recipe(request, kept.address)?, mode)));
            match recipe {
                Some((recipe, mode)) => self.creation.restore(recipe, mode, ticket),
                None => {
                    tracing::warn!(%id, "a persistent streamer was not started: this server has no hosts")
                }
            }
        }
    }
}

/// What to keep of a request, and nothing else that a caller may have put into it.
fn keep(fields: &Fields, mode: InputMode, address: HostAddress) -> Kept {
    let mut request = fields.only(&create_request::KEPT);
    input::put_mode(&mut request, mode);
    Kept { address, request }
}

fn yes() -> bool {
    true
}
