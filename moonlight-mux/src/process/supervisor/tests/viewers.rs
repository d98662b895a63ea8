//! Viewers whom a process serves, on a clock of the test's own.

use super::*;
use crate::signalling::Signal;
use crate::streamer::RestartPolicy;
use crate::webrtc::Offerer;

#[tokio::test(start_paused = true)]
async fn a_viewer_s_signals_pass_both_ways_and_it_leaves_when_the_process_says_so() {
    let mut host = Host::new();
    let streamer = host.spawn("desk", |_, _| {});
    let (egress, mut page) = Page::new(true);
    let peer = streamer.add_peer(egress, PeerConfig::default()).unwrap();
    // Before there is a process: nothing that it says is lost.
    page.say(play::offer("early")).await;
    let mut process = host.process().await;
    process.stream().await;
    let ToChild::AddPeer { peer_id, offerer: Offerer::Viewer, rights, .. } = process.told().await else {
        panic!()
    };
    assert_eq!((peer_id, rights), (peer.id(), Rights::ALL));
    let ToChild::FromPeer { signal, .. } = process.told().await else { panic!() };
    assert_eq!(signal, play::offer("early"));
    process.say(FromChild::ToPeer { peer_id, signal: play::offer("answer") });
    assert_eq!(page.heard().await, Some(play::offer("answer")));
    page.say(play::offer("more")).await;
    assert!(matches!(process.told().await, ToChild::FromPeer { .. }));

    let stats = crate::PeerStats { frames: 7, ..Default::default() };
    process.count_peer(peer_id, stats);
    peer.watch_stats().wait_for(|stats| stats.frames == 7).await.unwrap();
    assert_eq!(streamer.peers()[0].id, peer_id);

    process.say(FromChild::PeerClosing { peer_id, reason: LeaveReason::TooSlow });
    process.say(FromChild::PeerClosed { peer_id, reason: LeaveReason::TooSlow });
    assert_eq!(peer.closed().await, LeaveReason::TooSlow);
    assert_eq!((page.heard().await, page.closed()), (None, Some(LeaveReason::TooSlow)));
    assert!(streamer.peers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_kicked_viewer_is_let_go_by_the_process_and_told_why_though_that_says_nothing() {
    for answers in [true, false] {
        let mut host = Host::new();
        let streamer = host.spawn("desk", |_, _| {});
        let (egress, mut page) = Page::new(true);
        let peer = streamer.add_peer(egress, PeerConfig::default()).unwrap();
        let mut process = host.process().await;
        process.stream().await;
        assert!(matches!(process.told().await, ToChild::AddPeer { .. }));
        assert!(streamer.kick(peer.id(), LeaveReason::Kicked));
        let ToChild::RemovePeer { peer_id, reason: LeaveReason::Kicked } = process.told().await else {
            panic!()
        };
        if answers {
            process.say(FromChild::PeerClosed { peer_id, reason: LeaveReason::Kicked });
        }
        assert_eq!(peer.closed().await, LeaveReason::Kicked);
        assert_eq!((page.heard().await, page.closed()), (None, Some(LeaveReason::Kicked)));
    }
}

#[tokio::test(start_paused = true)]
async fn viewers_go_over_to_the_next_process_and_existing_pages_join_again() {
    let mut host = Host::new();
    let streamer = host.spawn("desk", |_, _| {});
    let (egress, mut page) = Page::new(true);
    let stays = streamer.add_peer(egress, PeerConfig::default()).unwrap();
    let (egress, mut existing) = Page::new(false);
    let goes = streamer.add_peer(egress, PeerConfig::default()).unwrap();
    let mut first = host.process().await;
    first.stream().await;
    for _ in 0..2 {
        assert!(matches!(first.told().await, ToChild::AddPeer { .. }));
    }
    streamer.set_rights(stays.id(), Rights::NONE);
    let ToChild::SetRights { peer_id, rights: Rights::NONE } = first.told().await else { panic!() };
    assert_eq!(peer_id, stays.id());
    first.exit(ProcessExit::Signal(9));
    assert_eq!(goes.closed().await, LeaveReason::ConnectionFailed);
    assert_eq!((existing.heard().await, existing.closed()), (None, Some(LeaveReason::ConnectionFailed)));

    // About a connection that is gone.
    page.say(play::offer("stale")).await;
    let mut second = host.process().await;
    second.stream().await;
    let ToChild::AddPeer { peer_id, rights: Rights::NONE, .. } = second.told().await else { panic!() };
    assert_eq!(peer_id, stays.id());
    second.say(FromChild::ToPeer { peer_id, signal: Signal::IceServers(Vec::new()) });
    assert_eq!(page.heard().await, Some(Signal::IceServers(Vec::new())));
    page.say(play::offer("fresh")).await;
    let ToChild::FromPeer { signal, .. } = second.told().await else { panic!() };
    assert_eq!(signal, play::offer("fresh"));
}

#[tokio::test(start_paused = true)]
async fn viewers_outlive_a_later_process_whose_stream_could_not_start_and_end_with_the_streamer() {
    let mut host = Host::new();
    let streamer = host.spawn("desk", |_, _| {});
    let (egress, mut page) = Page::new(true);
    let peer = streamer.add_peer(egress, PeerConfig::default()).unwrap();
    let mut process = host.process().await;
    process.stream().await;
    assert!(matches!(process.told().await, ToChild::AddPeer { .. }));
    process.exit(ProcessExit::Signal(9));
    let mut process = host.process().await;
    process.ready().await;
    let ToChild::AddPeer { peer_id, .. } = process.told().await else { panic!() };
    let busy = || EndReason::Failed(SourceError::retryable(std::fmt::Error));
    let reason = LeaveReason::StreamEnded;
    process.say(FromChild::PeerClosing { peer_id, reason });
    process.say(FromChild::PeerClosed { peer_id, reason });
    process.say(FromChild::Stopped { reason: busy() });
    process.exit(ProcessExit::Code(0));

    let mut process = host.process().await;
    process.stream().await;
    assert!(matches!(process.told().await, ToChild::AddPeer { .. }));
    streamer.wait_streaming().await.unwrap();
    // One that had pictures has tried what there was to try.
    process.say(FromChild::PeerClosing { peer_id, reason });
    process.say(FromChild::Stopped { reason: busy() });
    process.exit(ProcessExit::Code(0));
    assert_eq!(peer.closed().await, reason);
    assert_eq!((page.heard().await, page.closed()), (None, Some(reason)));
    assert!(matches!(streamer.state(), State::Ended(EndReason::Failed(_))));
}

#[tokio::test(start_paused = true)]
async fn existing_pages_are_told_that_the_stream_has_ended() {
    for says in [true, false] {
        let mut host = Host::new();
        let streamer = host.spawn("desk", |config, _| config.restart = RestartPolicy::Never);
        let (egress, mut page) = Page::new(false);
        let peer = streamer.add_peer(egress, PeerConfig::default()).unwrap();
        let mut process = host.process().await;
        process.stream().await;
        let ToChild::AddPeer { peer_id, .. } = process.told().await else { panic!() };
        if says {
            process.say(FromChild::PeerClosing { peer_id, reason: LeaveReason::StreamEnded });
            process.say(FromChild::Stopped { reason: EndReason::ByHost });
        }
        process.exit(ProcessExit::Code(0));
        assert_eq!(peer.closed().await, LeaveReason::StreamEnded);
        assert_eq!((page.heard().await, page.closed()), (None, Some(LeaveReason::StreamEnded)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_leaves_while_there_is_no_process_is_gone_at_once() {
    let mut host = Host::new();
    let streamer = host.spawn("desk", |_, _| {});
    let mut process = host.process().await;
    process.stream().await;
    streamer.wait_streaming().await.unwrap();
    process.exit(ProcessExit::Signal(9));
    reaches(&streamer, |state| matches!(state, State::Reconnecting { .. })).await;
    let ((closes, page), (kicked, mut other)) = (Page::new(true), Page::new(true));
    let closes = streamer.add_peer(closes, PeerConfig::default()).unwrap();
    let kicked = streamer.add_peer(kicked, PeerConfig::default()).unwrap();
    drop(page);
    assert_eq!(closes.closed().await, LeaveReason::Left);
    kicked.leave(LeaveReason::Kicked);
    assert_eq!(kicked.closed().await, LeaveReason::Kicked);
    assert_eq!((other.heard().await, other.closed()), (None, Some(LeaveReason::Kicked)));
}

#[tokio::test(start_paused = true)]
async fn a_viewer_whose_transport_takes_nothing_is_sent_away_alone() {
    let mut host = Host::new();
    let streamer = host.spawn("desk", |_, _| {});
    let (egress, stuck) = Page::stuck();
    let peer = streamer.add_peer(egress, PeerConfig::default()).unwrap();
    let mut process = host.process().await;
    process.stream().await;
    let ToChild::AddPeer { peer_id, .. } = process.told().await else { panic!() };
    for _ in 0..200 {
        process.say_waiting(FromChild::ToPeer { peer_id, signal: play::offer("x") }).await;
    }
    assert_eq!(process.pump_until(peer.closed()).await, LeaveReason::SignallingTimeout);
    assert!(matches!(streamer.state(), State::Streaming), "the process is heard all the time");
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn a_kicked_viewer_whose_transport_takes_nothing_is_let_go_by_the_process_at_once() {
    let mut host = Host::new();
    let streamer = host.spawn("desk", |_, _| {});
    let (egress, _stuck) = Page::stuck();
    let peer = streamer.add_peer(egress, PeerConfig::default()).unwrap();
    let mut process = host.process().await;
    process.stream().await;
    let ToChild::AddPeer { peer_id, .. } = process.told().await else { panic!() };
    process.say(FromChild::ToPeer { peer_id, signal: play::offer("x") });
    assert!(silent(&mut process).await, "it is being sent");
    let began = task::now();
    assert!(streamer.kick(peer_id, LeaveReason::Kicked));
    let ToChild::RemovePeer { reason: LeaveReason::Kicked, .. } = process.told().await else { panic!() };
    assert_eq!(task::now(), began);
    assert_eq!(peer.closed().await, LeaveReason::Kicked);
}

#[tokio::test(start_paused = true)]
async fn a_full_streamer_refuses_a_viewer_without_asking_the_process() {
    let mut host = Host::new();
    let streamer = host.spawn("desk", |config, _| config.max_peers = 0);
    let mut process = host.process().await;
    process.stream().await;
    let (egress, mut page) = Page::new(true);
    let peer = streamer.add_peer(egress, PeerConfig::default()).unwrap();
    assert_eq!(peer.closed().await, LeaveReason::StreamerFull);
    assert_eq!((page.heard().await, page.closed()), (None, Some(LeaveReason::StreamerFull)));
    assert!(silent(&mut process).await);
}

#[tokio::test(start_paused = true)]
async fn who_joins_between_two_processes_waits_for_the_next_however_long_that_takes() {
    let pause = seconds(600);
    let mut host = Host::new();
    let streamer = host.spawn("desk", |config, _| {
        (config.backoff.first, config.backoff.longest) = (pause, pause);
    });
    let mut process = host.process().await;
    process.stream().await;
    streamer.wait_streaming().await.unwrap();
    process.exit(ProcessExit::Signal(9));
    reaches(&streamer, |state| matches!(state, State::Reconnecting { .. })).await;
    let died = task::now();
    let ((own, mut page), (theirs, mut existing)) = (Page::new(true), Page::new(false));
    let peers = [own, theirs].map(|egress| streamer.add_peer(egress, PeerConfig::default()).unwrap());

    let mut process = host.process().await;
    assert!(task::now() - died >= pause * 4 / 5, "{:?}", task::now() - died);
    process.stream().await;
    for _ in &peers {
        let ToChild::AddPeer { peer_id, offerer, .. } = process.told().await else { panic!() };
        let expected = if peer_id == peers[0].id() { Offerer::Viewer } else { Offerer::Server };
        assert_eq!(offerer, expected);
        process.say(FromChild::ToPeer { peer_id, signal: Signal::IceServers(Vec::new()) });
    }
    for page in [&mut page, &mut existing] {
        assert_eq!(page.heard().await, Some(Signal::IceServers(Vec::new())), "the first that it hears");
        assert_eq!(page.closed(), None);
    }
}
