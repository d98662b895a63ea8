//! Viewers, by what passes through the server.

use super::*;
use crate::input::Rights;
use crate::peer::{PeerId, PeerName};
use crate::signalling::{Candidate, Description, DescriptionKind, Report, ReportEvent, Signal};
use crate::webrtc::Offerer;

async fn join(server: &mut Server, peer_id: PeerId, offerer: Offerer) {
    let name: PeerName = "Ann".parse().unwrap();
    server.tell(ToChild::AddPeer { peer_id, offerer, name: Some(name), rights: Rights::NONE }).await;
    server.until(|word| matches!(word, FromChild::ToPeer { peer_id: to, .. } if *to == peer_id)).await;
}

/// Until nothing is left of the viewer: what was said to it last, and why it is gone.
async fn gone(server: &mut Server, peer: PeerId) -> (Option<LeaveReason>, LeaveReason) {
    let words =
        server.until(|word| matches!(word, FromChild::PeerClosed { peer_id, .. } if *peer_id == peer)).await;
    let closing = words.iter().find_map(|word| match word {
        FromChild::PeerClosing { peer_id, reason } if *peer_id == peer => Some(*reason),
        _ => None,
    });
    match words.last() {
        Some(FromChild::PeerClosed { reason, .. }) => (closing, *reason),
        other => panic!("{other:?}"),
    }
}

fn candidate() -> Signal {
    Signal::Candidate(Candidate {
        candidate: "candidate:1 1 udp 1 127.0.0.1 9 typ host".into(),
        ..Candidate::default()
    })
}

async fn stop(server: Server) {
    server.tell(ToChild::Stop { quit: false, reason: LeaveReason::StreamerDeleted }).await;
    assert_eq!(server.end().await.1, Exit::Ended);
}

#[tokio::test]
async fn viewers_are_told_of_by_the_names_that_the_server_gave_them_and_leave_as_it_says() {
    let mut server = Server::streaming().await;
    let (ann, bob) = (PeerId::random(), PeerId::random());
    join(&mut server, ann, Offerer::Viewer).await;
    join(&mut server, bob, Offerer::Server).await;
    // A page that waits is offered.
    let is_offer = |word: &FromChild| match word {
        FromChild::ToPeer { peer_id, signal: Signal::Description(description) } => {
            *peer_id == bob && description.kind == DescriptionKind::Offer
        }
        _ => false,
    };
    server.until(is_offer).await;
    let is_counted = |word: &FromChild| matches!(word, FromChild::Stats { peers, .. } if peers.len() == 2);
    server.until(is_counted).await;

    let report = Report { event: ReportEvent::FirstFrame, after: Duration::from_millis(200) };
    server.tell(ToChild::FromPeer { peer_id: ann, signal: Signal::Report(report) }).await;
    server.until(|word| matches!(word, FromChild::FirstFrame { peer_id } if *peer_id == ann)).await;

    server.tell(ToChild::SetRights { peer_id: ann, rights: Rights::ALL }).await;
    server.tell(ToChild::RemovePeer { peer_id: ann, reason: LeaveReason::Kicked }).await;
    assert_eq!(gone(&mut server, ann).await, (Some(LeaveReason::Kicked), LeaveReason::Kicked));
    server.tell(ToChild::PeerLost { peer_id: bob }).await;
    assert_eq!(gone(&mut server, bob).await.1, LeaveReason::Left);
    // What crosses that is for nobody.
    for peer_id in [ann, bob, PeerId::random()] {
        server.tell(ToChild::FromPeer { peer_id, signal: candidate() }).await;
        server.tell(ToChild::RemovePeer { peer_id, reason: LeaveReason::Kicked }).await;
        server.tell(ToChild::PeerLost { peer_id }).await;
    }
    server.until(|word| matches!(word, FromChild::Stats { peers, .. } if peers.is_empty())).await;
    stop(server).await;
}

#[tokio::test]
async fn a_viewer_that_talks_nonsense_or_too_much_costs_itself() {
    let mut server = Server::streaming().await;
    let [quiet, odd, flood] = [(); 3].map(|()| PeerId::random());
    for peer in [quiet, odd, flood] {
        join(&mut server, peer, Offerer::Viewer).await;
    }
    for _ in 0..100 {
        server.tell(ToChild::PeerMalformed { peer_id: odd }).await;
    }
    assert_eq!(gone(&mut server, odd).await, (Some(LeaveReason::BadSignalling), LeaveReason::BadSignalling));
    let sdp = "x".repeat(10_000);
    let description = Description { kind: DescriptionKind::Answer, sdp };
    for _ in 0..2000 {
        let signal = Signal::Description(description.clone());
        server.sender.tell(ToChild::FromPeer { peer_id: flood, signal });
    }
    assert_eq!(
        gone(&mut server, flood).await,
        (Some(LeaveReason::BadSignalling), LeaveReason::BadSignalling)
    );
    let is_left = |word: &FromChild| matches!(word, FromChild::Stats { peers, .. } if peers.iter().map(|(peer, _)| *peer).eq([quiet]));
    server.until(is_left).await;
    stop(server).await;
}

#[tokio::test]
async fn viewers_of_no_stream_are_refused_and_those_of_one_that_ends_are_told_why() {
    let mut server = Server::new(false);
    server.introduce(init()).await;
    let early = PeerId::random();
    let add =
        |peer_id| ToChild::AddPeer { peer_id, offerer: Offerer::Viewer, name: None, rights: Rights::ALL };
    server.tell(add(early)).await;
    assert_eq!(gone(&mut server, early).await, (Some(LeaveReason::StreamEnded), LeaveReason::StreamEnded));
    server.tell(ToChild::StartMoonlight).await;
    server.show(1, 1).await;
    let watching = PeerId::random();
    join(&mut server, watching, Offerer::Viewer).await;
    server.tell(ToChild::Stop { quit: false, reason: LeaveReason::ServerShutdown }).await;
    let (words, exit) = server.end().await;
    let closed = |word: &FromChild| matches!(word, FromChild::PeerClosed { peer_id, reason: LeaveReason::ServerShutdown } if *peer_id == watching);
    let closing = |word: &FromChild| matches!(word, FromChild::PeerClosing { peer_id, reason: LeaveReason::ServerShutdown } if *peer_id == watching);
    let place = |wanted: &dyn Fn(&FromChild) -> bool| words.iter().position(wanted).unwrap();
    assert!(place(&closing) < place(&closed));
    assert!(place(&closed) < place(&|word| matches!(word, FromChild::Stopped { .. })), "{words:?}");
    assert_eq!(exit, Exit::Ended);
}
