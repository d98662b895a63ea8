//! The calls of the HTTP API.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::rand;
use bytes::Bytes;

use super::answer::{APP_IMAGE, Answer};
use super::launches::Caller;
use super::pairing::Outcome;
use super::state::Shared;
use super::stream::Stream;
use super::{HostEncryption, HostEndReason, HostEvent, HostPicture, HostStep, Manner, TestApp};
use crate::gamestream::pairing::Randomness;
use crate::gamestream::pairing::certificate::Certificate;
use crate::gamestream::wire::http::pairing::{self, PairAnswer, PairRequest};
use crate::gamestream::wire::http::request::{Call, Launch, Malformed, UniqueId};
use crate::gamestream::wire::http::{
    App, CodecModes, Permission, ServerInfo, Start, Started, Version, emit_apps, emit_cancelled,
};
use crate::media::VideoCodec;
use crate::task;

/// Who calls, and how.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// By HTTPS, with this certificate; by HTTP if `None`.
    pub(super) certificate: Option<Certificate>,
}

/// Answers a call, as soon as the host does answer it.
pub(super) async fn answer(shared: &Arc<Shared>, peer: &Peer, target: &str) -> Answer {
    let call = Call::parse(target);
    let path = target.split('?').next().unwrap_or_default();
    let step = step(path, call.as_ref());
    shared.answers(step).await;
    let answer = shared.spoil(genuine(shared, peer, path, call).await, step);
    let status = match &answer {
        Answer::Nothing => None,
        Answer::Body { status, .. } => Some(*status),
    };
    shared.book.note(HostEvent::Called { step, https: peer.certificate.is_some(), status });
    answer
}

async fn genuine(
    shared: &Arc<Shared>,
    peer: &Peer,
    path: &str,
    call: Result<(Option<UniqueId>, Call), Malformed>,
) -> Answer {
    let manner = shared.config.manner;
    let known = match &peer.certificate {
        None => matches!(path, "/serverinfo" | "/pair") || path == "/unpair" && manner == Manner::Wolf,
        Some(_) => {
            matches!(
                path,
                "/serverinfo" | "/pair" | "/applist" | "/appasset" | "/launch" | "/resume" | "/cancel"
            )
        }
    };
    if let Some(certificate) = &peer.certificate
        && !shared.state().clients.knows(certificate)
        && (known || manner != Manner::Wolf)
    {
        return Answer::unauthorized(manner, path);
    }
    if !known {
        return Answer::status(manner, 404);
    }
    let (uniqueid, call) = match call {
        Ok(call) => call,
        Err(malformed) => return refuse_malformed(manner, path, malformed),
    };
    match call {
        Call::ServerInfo => server_info(shared, peer, uniqueid.as_ref()),
        Call::Pair(request) => pair(shared, peer, uniqueid, request).await,
        Call::Unpair => {
            let known = uniqueid.is_some_and(|id| shared.state().clients.unpair(&id));
            if known { Answer::status(manner, 200) } else { Answer::Nothing }
        }
        Call::Apps => apps(shared),
        Call::AppImage(_) => app_image(manner),
        Call::Launch(launch) => start(shared, peer, Start::Launch, launch).await,
        Call::Resume(launch) => start(shared, peer, Start::Resume, launch).await,
        Call::Cancel => cancel(shared, peer),
    }
}

fn step(path: &str, call: Result<&(Option<UniqueId>, Call), &Malformed>) -> HostStep {
    match path {
        "/serverinfo" => HostStep::ServerInfo,
        "/pair" => HostStep::Pair(match call {
            Ok((_, Call::Pair(PairRequest::ServerCertificate { .. }))) => 1,
            Ok((_, Call::Pair(PairRequest::ClientChallenge(_)))) => 2,
            Ok((_, Call::Pair(PairRequest::ServerChallengeResponse(_)))) => 3,
            Ok((_, Call::Pair(PairRequest::ClientSecret(_)))) => 4,
            Ok((_, Call::Pair(PairRequest::PairChallenge))) => 5,
            _ => 0,
        }),
        "/applist" => HostStep::Apps,
        "/appasset" => HostStep::AppImage,
        "/launch" => HostStep::Launch,
        "/resume" => HostStep::Resume,
        "/cancel" => HostStep::Cancel,
        "/unpair" => HostStep::Unpair,
        _ => HostStep::Unknown,
    }
}

/// Session 5, the table of status codes, and 22, H5 and H13.
fn refuse_malformed(manner: Manner, path: &str, malformed: Malformed) -> Answer {
    match (manner, path, malformed) {
        (Manner::Wolf, ..) => Answer::Nothing,
        (_, "/launch", _) => Answer::incomplete_start(manner, Start::Launch),
        (_, "/resume", _) => Answer::incomplete_start(manner, Start::Resume),
        (
            Manner::SunshineV023,
            "/pair",
            Malformed::Pair(pairing::Malformed::Parameter { parameter: "salt" }),
        ) => Answer::Nothing,
        (_, "/pair", Malformed::Pair(pairing::Malformed::Stage)) => {
            Answer::refusal(manner, 404, Some("Invalid pairing request"), Some("paired"))
        }
        (_, "/pair", Malformed::Pair(pairing::Malformed::Parameter { parameter })) => {
            let message = match parameter {
                "salt" => "Salt too short",
                "clientcert" => "Invalid client certificate",
                _ => "Client pairing secret too short",
            };
            Answer::refusal(manner, 400, Some(message), Some("paired"))
        }
        (_, "/pair", _) => Answer::refusal(manner, 400, Some("Invalid uniqueid"), Some("paired")),
        _ => Answer::status(manner, 404),
    }
}

fn server_info(shared: &Shared, peer: &Peer, uniqueid: Option<&UniqueId>) -> Answer {
    let config = &shared.config;
    let state = shared.state();
    let is_paired = |certificate: &Certificate| state.clients.is_paired(certificate, uniqueid);
    // Wolf tells an address of its session only behind HTTPS; Sunshine has one app for all.
    let told = peer.certificate.is_some() || config.manner != Manner::Wolf;
    let info = ServerInfo {
        hostname: config.name.clone(),
        version: Version::SUNSHINE,
        uniqueid: config.unique_id.clone(),
        https_port: shared.ports.https,
        external_port: shared.ports.http,
        mac: None,
        codec_modes: codec_modes(&config.picture),
        paired: peer.certificate.as_ref().is_some_and(is_paired),
        running: state.launches.running(peer.address, peer.certificate.as_ref()).filter(|_| told),
        nvidia: false,
        permission: shared.faults.borrow().permission.or(config.permission).map(Permission),
    };
    Answer::server_info(config.manner, &info)
}

/// H.264, and what the picture is encoded with.
fn codec_modes(picture: &HostPicture) -> CodecModes {
    let more = match picture.codec() {
        VideoCodec::H264 => 0,
        VideoCodec::Hevc => CodecModes::HEVC.0,
        VideoCodec::Av1 => CodecModes::AV1.0,
    };
    CodecModes(CodecModes::H264.0 | more)
}

async fn pair(shared: &Shared, peer: &Peer, uniqueid: Option<UniqueId>, request: PairRequest) -> Answer {
    let manner = shared.config.manner;
    let Some(uniqueid) = uniqueid else {
        return match manner {
            Manner::Wolf => Answer::Nothing,
            _ => Answer::refusal(manner, 400, Some("Missing uniqueid parameter"), Some("paired")),
        };
    };
    let outcome = match request {
        PairRequest::PairChallenge => {
            let knows_it = manner != Manner::Wolf || shared.state().clients.is_pairing(&uniqueid);
            return match (&peer.certificate, knows_it) {
                (Some(_), true) => Answer::pairing(manner, &Outcome::Answer(PairAnswer::Yes)),
                _ => Answer::Nothing,
            };
        }
        request @ PairRequest::ServerCertificate { .. } => {
            let pin = {
                let mut state = shared.state();
                state.clients.begin(&uniqueid);
                state.pin()
            };
            shared.book.note(HostEvent::PinWanted);
            let Ok(pin) = pin.await else { return Answer::Nothing };
            shared.state().clients.enter_pin(&uniqueid, &request, pin, randomness())
        }
        request => shared.state().clients.handle(&uniqueid, &request),
    };
    match outcome {
        Outcome::Paired(_) => shared.book.note(HostEvent::Paired),
        Outcome::Failed(_) | Outcome::OutOfOrder(_) => shared.book.note(HostEvent::PairingFailed),
        Outcome::Answer(_) => {}
    }
    Answer::pairing(manner, &outcome)
}

fn randomness() -> Randomness {
    let mut random = Randomness { challenge: [0; 16], secret: [0; 16] };
    let filled = rand::fill(&mut random.challenge).and_then(|()| rand::fill(&mut random.secret));
    filled.expect("the operating system has randomness");
    random
}

fn apps(shared: &Shared) -> Answer {
    let state = shared.state();
    let app = |app: &TestApp| Some(App { id: app.id()?, title: app.title.clone(), hdr: false });
    let apps: Vec<_> = state.apps.iter().filter_map(app).collect();
    let mut text = String::new();
    emit_apps(&apps, &mut text);
    Answer::document(shared.config.manner, 200, text)
}

/// Sunshine has an image for anything, Wolf none unless told.
fn app_image(manner: Manner) -> Answer {
    match manner {
        Manner::Wolf => Answer::status(manner, 400),
        Manner::Sunshine | Manner::SunshineV023 => Answer::Body {
            http_status: 200,
            status: 200,
            content_type: Some("image/png"),
            body: Bytes::from_static(APP_IMAGE),
        },
    }
}

async fn start(shared: &Arc<Shared>, peer: &Peer, start: Start, launch: Launch) -> Answer {
    let manner = shared.config.manner;
    let Some(caller) = caller(peer) else { return Answer::status(manner, 404) };
    let faults = shared.faults.borrow().clone();
    task::at(task::now().checked_add(faults.slow_launch)).await;
    if let Some(refusal) = faults.refuse_start {
        return Answer::refusal(manner, refusal.status, Some(&refusal.message), Some("resume"));
    }
    if shared.config.encryption == HostEncryption::Mandatory
        && manner != Manner::Wolf
        && !launch.rtsp_encryption
    {
        let message = "Encryption is mandatory for this host but unsupported by the client";
        return Answer::refusal(manner, 403, Some(message), Some("resume"));
    }
    let granted = {
        let mut state = shared.state();
        let known = state.apps.iter().any(|app| app.id() == Some(launch.app));
        match start {
            Start::Launch => state.launches.launch(launch.app, known, &caller),
            Start::Resume => state.launches.resume(&caller),
        }
    };
    let granted = match granted {
        Ok(granted) => granted,
        Err(refused) => return Answer::refused_start(manner, refused),
    };
    shared.end(&granted.ended, HostEndReason::Cancelled);
    let scheme = if launch.rtsp_encryption && manner != Manner::Wolf { "rtspenc" } else { "rtsp" };
    if let Some(id) = granted.session {
        let event = HostEvent::Launched {
            session: id,
            app: launch.app.to_string().parse().unwrap_or_default(),
            resumed: start == Start::Resume,
            width: launch.width,
            height: launch.height,
            fps: launch.fps,
        };
        match Stream::open(shared, id, launch).await {
            Ok(stream) => {
                shared.book.note(event);
                // Fails only when the host stops.
                let _ = shared.streams.send(stream).await;
            }
            Err(_) => {
                shared.state().launches.ended(id);
                return Answer::refusal(manner, 503, Some("No UDP port is free"), Some("resume"));
            }
        }
    }
    let own = granted.session.and_then(|id| shared.state().launches.address_of(id));
    let rtsp = SocketAddr::new(own.map_or(shared.config.address, Into::into), shared.ports.rtsp);
    let url = format!("{scheme}://{rtsp}").parse().expect("an address and a port make a URL");
    let mut text = String::new();
    Started { session_url: Some(url) }.emit(start, &mut text);
    Answer::document(manner, 200, text)
}

fn cancel(shared: &Shared, peer: &Peer) -> Answer {
    let manner = shared.config.manner;
    let Some(caller) = caller(peer) else { return Answer::status(manner, 404) };
    let cancelled = shared.state().launches.cancel(&caller);
    match cancelled {
        Ok(sessions) => {
            shared.end(&sessions, HostEndReason::Cancelled);
            let mut text = String::new();
            emit_cancelled(&mut text);
            Answer::document(manner, 200, text)
        }
        Err(_) => {
            let message = "All sessions must be disconnected before quitting";
            Answer::refusal(manner, 503, Some(message), Some("resume"))
        }
    }
}

fn caller(peer: &Peer) -> Option<Caller> {
    Some(Caller { certificate: peer.certificate.clone()?, address: peer.address })
}
