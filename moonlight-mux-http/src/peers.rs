//! `/api/streamers/{id}/peers/{peer_id}`: what becomes of a viewer.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::routing::patch;
use axum::{Json, Router};
use moonlight_mux::{LeaveReason, PeerInfo, Streamer};
use serde::Deserialize;

use crate::dto::Peer;
use crate::fields::Fields;
use crate::input::RightsChange;
use crate::problem::Problem;
use crate::router::{Named, Server};

pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new().route("/api/streamers/{id}/peers/{peer_id}", patch(change).delete(send_away))
}

/// The viewer that the path names by `{id}` and `{peer_id}`.
struct Viewer {
    streamer: Streamer,
    peer: PeerInfo,
}

impl FromRequestParts<Arc<Server>> for Viewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct ById {
            peer_id: String,
        }
        let Named(streamer) = Named::from_request_parts(parts, server).await?;
        let Path(ById { peer_id }) =
            Path::from_request_parts(parts, server).await.map_err(|_| Problem::PeerNotFound)?;
        let peer = streamer.peers().iter().find(|peer| peer.id.to_string() == peer_id).cloned();
        Ok(Self { peer: peer.ok_or(Problem::PeerNotFound)?, streamer })
    }
}

async fn change(Viewer { streamer, mut peer }: Viewer, fields: Fields) -> Result<Json<Peer>, Problem> {
    let change = RightsChange::parse(&fields)?;
    let rights = streamer.update_rights(peer.id, |rights| change.apply(rights));
    // The list of viewers learns of it a moment later.
    peer.rights = rights.ok_or(Problem::PeerNotFound)?;
    Ok(Json(Peer::from(&peer)))
}

async fn send_away(Viewer { streamer, peer }: Viewer) -> Result<StatusCode, Problem> {
    if streamer.kick(peer.id, LeaveReason::Kicked) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::PeerNotFound)
    }
}
