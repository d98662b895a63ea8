//! Deadlines, and how sessions end.

use super::super::*;
use super::dialogue::{announce, session};
use super::net::{Net, Path, config};
use crate::gamestream::connection::{EndReason as ClientEnd, Event};
use crate::gamestream::control::{Control, ControlConfig, EndReason as ControlEnd, Event as ControlEvent};
use crate::gamestream::crypto::SessionKey;
use crate::gamestream::crypto::tests::key;
use crate::gamestream::negotiation::tests::wishes;
use crate::gamestream::wire::enet::{Body, Datagram};
use crate::gamestream::wire::sdp::tests::announcement;
use crate::task;

const SECOND: Duration = Duration::from_secs(1);
const SUNSHINES: [Manner; 2] = [Manner::Sunshine, Manner::SunshineV023];
const ALL: [Manner; 3] = [Manner::Sunshine, Manner::SunshineV023, Manner::Wolf];

/// Runs a host that hears nothing more, and says when it gave up.
fn left_alone(session: &mut HostSession) -> Option<(Instant, EndReason)> {
    for _ in 0..100_000 {
        let due = session.poll_timeout()?;
        session.handle_timeout(due);
        if let Some(HostSessionEvent::Ended(reason)) = session.poll_event() {
            return Some((due, reason));
        }
    }
    None
}

#[test]
fn a_launch_that_nobody_follows_expires_after_ten_seconds() {
    for manner in SUNSHINES {
        let mut session = session(manner);
        let launched = session.launched;
        assert_eq!(left_alone(&mut session), Some((launched + 10 * SECOND, EndReason::NeverConnected)));
        assert_eq!(session.poll_timeout(), None);
    }
}

#[test]
fn both_media_must_be_pinged_within_ten_seconds_of_announce() {
    for (manner, mute) in [(Manner::Sunshine, Stream::Audio), (Manner::SunshineV023, Stream::Video)] {
        let mut net = Net::new(config(manner), wishes(), Path::CLEAN, 1);
        net.mute = Some(mute);
        net.run(12 * SECOND);
        let is_announced =
            |(_, event): &&(Instant, HostSessionEvent)| matches!(event, HostSessionEvent::Announced(_));
        let announced = net.host_events.iter().find(is_announced).unwrap().0;
        assert_eq!(net.host_end(), Some((announced + 10 * SECOND, EndReason::NeverPinged(mute))));
        let disconnected = ClientEnd::Control(ControlEnd::HostDisconnected);
        assert_eq!(net.events.last(), Some(&Event::Ended { reason: disconnected }));
    }
}

#[test]
fn ten_seconds_without_a_control_message_end_the_session_though_acknowledgements_come() {
    for manner in ALL {
        let mut net = Net::streaming(manner);
        net.client_sleeps = true;
        let asleep = net.now;
        net.run(12 * SECOND);
        if manner == Manner::Wolf {
            assert_eq!(net.host_end(), None);
            continue;
        }
        let (at, reason) = net.host_end().unwrap();
        assert_eq!(reason, EndReason::ControlSilent);
        assert!(at <= asleep + 10 * SECOND && at > asleep + 9 * SECOND, "{:?}", at - asleep);
        let disconnected = Event::Ended { reason: ClientEnd::Control(ControlEnd::HostDisconnected) };
        assert_eq!(net.events.last(), Some(&disconnected));
    }
}

#[test]
fn a_client_that_vanishes_is_given_up() {
    for manner in ALL {
        let mut net = Net::streaming(manner);
        net.path = Path { loss: 100, ..Path::CLEAN };
        let vanished = net.now;
        net.run(40 * SECOND);
        let (at, reason) = net.host_end().unwrap();
        assert!(matches!(reason, EndReason::ControlSilent | EndReason::ControlLost), "{reason:?}");
        assert!(at > vanished + 4 * SECOND && at < vanished + 31 * SECOND, "{manner:?}: {:?}", at - vanished);
    }
}

#[test]
fn wolf_hears_pings_for_four_seconds_only() {
    for (muted, heard) in [(3, true), (5, false)] {
        let mut net = Net::new(config(Manner::Wolf), wishes(), Path::CLEAN, 1);
        net.mute = Some(Stream::Video);
        net.run(muted * SECOND);
        net.mute = None;
        net.run(SECOND);
        assert_eq!(!net.sent.is_empty(), heard);
        assert!(!net.sounds.is_empty() && net.host_end().is_none());
    }
}

#[test]
fn the_first_ping_counts_and_its_payload_must_be_the_sessions() {
    let mut session = session(Manner::Sunshine);
    let now = task::now();
    let (here, there) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    let payload = session.responder.ping_payload().unwrap();
    let mut ping = Vec::new();
    Ping::Payload { payload, counter: 1 }.emit(&mut ping);
    session.handle_datagram(now, Stream::Video, (here, 1).into(), &ping);
    session.handle_rtsp(now, announce(&announcement()).as_bytes());
    assert!(matches!(session.poll_event(), Some(HostSessionEvent::Announced(_))));
    assert_eq!(session.poll_event(), None, "a ping before ANNOUNCE is lost");
    session.handle_datagram(now, Stream::Video, (here, 1).into(), b"PING");
    session.handle_datagram(now, Stream::Video, (here, 1).into(), b"0123456789abcdef\0\0\0\x01");
    session.send_video(VideoTimestamp(0), None, true, b"picture");
    assert_eq!((session.poll_event(), session.poll_transmit()), (None, None));
    session.handle_datagram(now, Stream::Video, (here, 1).into(), &ping);
    session.handle_datagram(now, Stream::Video, (there, 2).into(), &ping);
    assert_eq!(session.poll_event(), Some(HostSessionEvent::MediaWanted(Stream::Video)));
    assert_eq!(session.poll_event(), None);
    session.send_video(VideoTimestamp(0), None, true, b"picture");
    assert_eq!(session.poll_transmit().unwrap().to, SocketAddr::from((here, 1)));
}

/// What commands a host's datagram holds, and when it left.
fn from_host(net: &Net) -> Vec<(Instant, Vec<String>)> {
    let name = |body: &Body<'_>| match body {
        Body::Reliable(_) => Some("message"),
        Body::Disconnect { .. } => Some("disconnect"),
        _ => None,
    };
    let datagrams = net.from_host.iter().map(|(at, transmit)| {
        let commands = Datagram::parse(&transmit.bytes).unwrap().commands;
        (*at, commands.iter().filter_map(|c| name(&c.body)).map(str::to_owned).collect::<Vec<_>>())
    });
    datagrams.filter(|(_, commands)| !commands.is_empty()).collect()
}

#[test]
fn an_app_that_exits_is_told_and_the_client_disconnected_a_while_later() {
    for (manner, later) in [(Manner::Sunshine, 400_000), (Manner::SunshineV023, 400_000), (Manner::Wolf, 100)]
    {
        let mut net = Net::streaming(manner);
        // The client's own disconnect does not arrive: the host's can be seen.
        net.mute = Some(Stream::Control);
        net.from_host.clear();
        let told = net.now;
        let pictures = net.sent.len();
        net.host.terminate(told, Termination::INTENDED);
        net.run(SECOND);
        let mut words = from_host(&net);
        let (left, last) = words.pop().unwrap();
        assert_eq!((left - told, last), (Duration::from_micros(later), vec!["disconnect".to_owned()]));
        assert!(words.iter().all(|(_, words)| *words == ["message"]), "{manner:?}: {words:?}");
        assert_eq!(net.host_end(), Some((left, EndReason::Host)));
        let reason = ClientEnd::Terminated(Termination::INTENDED);
        assert_eq!(net.events.last(), Some(&Event::Ended { reason }), "{manner:?}");
        assert!(net.pictures.len() <= pictures, "nothing more is sent");
    }
}

#[test]
fn cancelling_is_what_each_host_makes_of_it() {
    for (manner, reason) in [
        (Manner::Sunshine, ClientEnd::Control(ControlEnd::HostDisconnected)),
        (Manner::SunshineV023, ClientEnd::Terminated(Termination::INTENDED)),
        (Manner::Wolf, ClientEnd::Terminated(Termination::INTENDED)),
    ] {
        let mut net = Net::streaming(manner);
        net.from_host.clear();
        net.host.cancel(net.now);
        net.run(SECOND);
        assert_eq!(net.events.last(), Some(&Event::Ended { reason }), "{manner:?}");
        assert_eq!(net.host_end().unwrap().1, EndReason::Host);
        let words = from_host(&net);
        match manner {
            Manner::Wolf => assert_eq!(words[0].1, ["message", "message"], "in one datagram"),
            Manner::SunshineV023 => assert_eq!(words[0].1, ["message"]),
            _ => {
                assert_eq!(words[0].1, ["disconnect"]);
                assert_eq!(net.from_host[0].1.bytes.len(), 10, "it wants no acknowledgement");
            }
        }
    }
}

#[test]
fn a_client_that_leaves_ends_its_session() {
    for manner in ALL {
        let mut net = Net::streaming(manner);
        net.client.close(net.now);
        let left = net.now;
        net.run(SECOND);
        assert_eq!(net.host_end(), Some((left + net.path.delay, EndReason::ClientLeft)));
        assert_eq!(net.events.last(), Some(&Event::Ended { reason: ClientEnd::Closed }));
        assert_eq!(net.host.poll_timeout(), None);
    }
}

#[test]
fn sunshine_tells_its_displays_colours_soon_and_wolf_does_not() {
    for manner in ALL {
        let net = Net::streaming(manner);
        let hdr = net.events.iter().any(|event| matches!(event, Event::Host(HostMessage::Hdr(_))));
        assert_eq!(hdr, manner != Manner::Wolf);
    }
}

#[test]
fn what_the_host_says_is_heard() {
    let said = [
        HostMessage::Rumble { controller: 1, low_frequency: 2, high_frequency: 3 },
        HostMessage::Led { controller: 0, rgb: [1, 2, 3] },
        HostMessage::Motion { controller: 0, rate: 100, sensor: 1 },
        HostMessage::RumbleTriggers { controller: 2, left: 5, right: 6 },
    ];
    for manner in ALL {
        let mut net = Net::streaming(manner);
        net.events.clear();
        for message in &said {
            net.host.send_message(net.now, message);
        }
        net.run(SECOND);
        assert_eq!(net.events, said.clone().map(Event::Host), "{manner:?}");
    }
}

/// A control stream to a host that was told what session 24.5 announces, exchanged in no time.
fn control(manner: Manner, key: SessionKey, tamper: u32) -> (HostSession, Vec<ControlEvent>) {
    let mut host = session(manner);
    let mut now = host.launched;
    host.handle_rtsp(now, announce(&announcement()).as_bytes());
    let nonce = ControlNonce::V2;
    let connect_data = host.responder.connect_data().unwrap_or(0) ^ tamper;
    let mut client = Control::new(now, &ControlConfig { key, nonce, connect_data, seed: 5 });
    let from = ([127, 0, 0, 1], 5).into();
    let mut events = Vec::new();
    for _ in 0..20 {
        while let Some(bytes) = client.poll_datagram() {
            host.handle_datagram(now, Stream::Control, from, &bytes);
        }
        while let Some(transmit) = host.poll_transmit() {
            client.handle_datagram(now, &transmit.bytes);
        }
        events.extend(std::iter::from_fn(|| client.poll_event()));
        now += Duration::from_millis(10);
        host.handle_timeout(now);
        client.handle_timeout(now);
    }
    (host, events)
}

#[test]
fn sunshine_turns_away_who_does_not_know_the_connect_data() {
    // ENet takes the connection before the host can look at it.
    let refused = ControlEvent::Disconnected { reason: ControlEnd::HostDisconnected };
    for (manner, tamper, taken) in
        [(Manner::Sunshine, 0, true), (Manner::Sunshine, 1, false), (Manner::Wolf, 1, true)]
    {
        let (mut host, events) = control(manner, key(), tamper);
        let connected =
            std::iter::from_fn(|| host.poll_event()).any(|event| event == HostSessionEvent::ControlConnected);
        assert_eq!(connected, taken, "{manner:?} {tamper}");
        assert_eq!(events.contains(&refused), !taken, "{manner:?} {tamper}: {events:?}");
    }
}

#[test]
fn a_message_that_does_not_open_ends_a_session_of_sunshine_and_wolf_ignores_it() {
    for (manner, ends) in [(Manner::Sunshine, true), (Manner::Wolf, false)] {
        let (mut host, _) = control(manner, SessionKey::new([9; 16]), 0);
        let events: Vec<_> = std::iter::from_fn(|| host.poll_event()).collect();
        let end = HostSessionEvent::Ended(EndReason::BadMessage);
        assert_eq!(events.last() == Some(&end), ends, "{events:?}");
        assert!(events.contains(&HostSessionEvent::ControlConnected));
    }
}
