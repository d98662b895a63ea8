use std::io::{Read, Write};

use futures_util::poll;

use super::sender::{Closed, OUTGOING};
use super::*;
use crate::lifecycle::{EndReason, State};
use crate::process::message::StateMessage;

type Parent = Link<ToChild, FromChild>;
type Child = Link<FromChild, ToChild>;

fn pair() -> (Parent, Child) {
    let (ours, theirs) = unix::net::UnixStream::pair().unwrap();
    (Link::open(ours.into()).unwrap(), Link::open(theirs.into()).unwrap())
}

fn hello(pid: u32) -> FromChild {
    FromChild::Hello { version: message::VERSION, pid }
}

fn state(state: &State) -> FromChild {
    FromChild::State { state: StateMessage::new(state, task::now()) }
}

async fn pid(parent: &mut Parent) -> u32 {
    match parent.receiver.recv().await.unwrap().message {
        FromChild::Hello { pid, .. } => pid,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_come_in_order_both_ways_and_each_descriptor_with_its_message() {
    let (mut parent, mut child) = pair();
    let mut kept = Vec::new();
    for _ in 0..20 {
        parent.sender.send(ToChild::StartMoonlight).await.unwrap();
        let (mut ours, theirs) = unix::net::UnixStream::pair().unwrap();
        assert!(parent.sender.offer(ToChild::OpenMedia, Some(theirs.into())));
        parent.sender.send(ToChild::LaunchGranted).await.unwrap();
        ours.write_all(&[kept.len() as u8]).unwrap();
        kept.push(ours);
    }
    for n in 0..20 {
        let Received { message, descriptor } = child.receiver.recv().await.unwrap();
        assert!(matches!(message, ToChild::StartMoonlight) && descriptor.is_none());
        let Received { message, descriptor } = child.receiver.recv().await.unwrap();
        assert!(matches!(message, ToChild::OpenMedia));
        let mut byte = [0];
        unix::net::UnixStream::from(descriptor.unwrap()).read_exact(&mut byte).unwrap();
        assert_eq!(byte, [n]);
        assert!(matches!(child.receiver.recv().await.unwrap().message, ToChild::LaunchGranted));
    }
    // More than fits into the queue and the socket.
    let sent = async {
        for n in 0..2000 {
            child.sender.send(hello(n)).await.unwrap();
        }
        child.sender.finish();
    };
    let received = async {
        for n in 0..2000 {
            assert_eq!(pid(&mut parent).await, n);
        }
    };
    tokio::join!(sent, received);
    assert!(parent.receiver.recv().await.is_none(), "the end of input is behind the last message");
    child.writer.await.unwrap().unwrap();
    assert_eq!(child.sender.send(hello(0)).await, Err(Closed));
    assert!(!child.sender.offer(hello(0), None));
}

#[tokio::test]
async fn what_cannot_be_read_is_counted_and_what_follows_is_read() {
    let (mut parent, child) = pair();
    let mut other = Vec::new();
    let frame = |payload: &[u8]| {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(payload);
        frame
    };
    other.extend(frame(b"\xff\x00 no JSON"));
    other.extend(frame(br#"{"Hello":{"version":"one"}}"#));
    other.extend(frame(br#"{"Later":{"x":1}}"#));
    other.extend(frame(br#""Later""#));
    other.extend(frame(br#"{"Hello":{"version":1,"pid":7,"later":[]}}"#));
    other.extend(frame(&vec![b' '; 10_000_000]));
    let sent = async {
        // In pieces of all sizes.
        for piece in other.chunks(777) {
            child.sender.send_raw(piece.to_vec()).await.unwrap();
        }
        child.sender.send(hello(8)).await.unwrap();
    };
    let received = async {
        assert_eq!(pid(&mut parent).await, 7);
        assert_eq!(parent.receiver.counts(), Counts { malformed: 2, unknown: 2, too_long: 0 });
        assert_eq!(pid(&mut parent).await, 8);
        assert_eq!(parent.receiver.counts(), Counts { malformed: 2, unknown: 2, too_long: 1 });
        assert_eq!(parent.receiver.counts().total(), 5);
    };
    tokio::join!(sent, received);
}

#[tokio::test]
async fn a_side_that_does_not_read_makes_senders_wait_and_loses_what_cannot() {
    let (mut parent, child) = pair();
    // Nothing waits here, so the writer does not run.
    for n in 0..OUTGOING as u32 {
        assert!(child.sender.offer(hello(n), None));
    }
    assert!(!child.sender.offer(hello(1_000_002), None));
    let (mut ours, theirs) = unix::net::UnixStream::pair().unwrap();
    assert!(!child.sender.offer(hello(1_000_003), Some(theirs.into())));
    assert_eq!(ours.read(&mut [0]).unwrap(), 0, "what rides on it is closed");
    let mut waiting = Box::pin(child.sender.send(hello(1_000_000)));
    assert!(poll!(&mut waiting).is_pending());
    drop(waiting);
    for n in 0..OUTGOING as u32 + 3 {
        child.sender.tell(hello(1000 + n));
        child.sender.tell(state(&State::Starting));
    }
    child.sender.tell(state(&State::Ended(EndReason::ByHost)));
    assert_eq!(child.sender.dropped(), 3);
    let mut waiting = Box::pin(child.sender.send(hello(1_000_001)));
    assert!(poll!(&mut waiting).is_pending());
    for n in 0..OUTGOING as u32 {
        assert_eq!(pid(&mut parent).await, n);
    }
    waiting.await.unwrap();
    for n in 0..OUTGOING as u32 {
        assert_eq!(pid(&mut parent).await, 1000 + n);
    }
    let FromChild::State { state: newest } = parent.receiver.recv().await.unwrap().message else { panic!() };
    assert_eq!(newest.into_state(task::now()), State::Ended(EndReason::ByHost), "of states only the newest");
    assert_eq!(pid(&mut parent).await, 1_000_001);
    // There is room again for both.
    child.sender.tell(hello(5));
    child.sender.send(hello(6)).await.unwrap();
    assert!(child.sender.offer(hello(7), None));
    for n in 5..8 {
        assert_eq!(pid(&mut parent).await, n);
    }
    assert_eq!(child.sender.dropped(), 3);
}

#[tokio::test]
async fn whoever_waits_for_room_hears_that_the_other_side_is_gone() {
    let (parent, child) = pair();
    let mut closed = Box::pin(child.sender.closed());
    assert!(poll!(&mut closed).is_pending());
    drop(parent);
    while child.sender.send(hello(0)).await.is_ok() {}
    closed.await;
    assert!(child.writer.await.unwrap().is_err());
    child.sender.tell(hello(0));
    assert_eq!(child.sender.dropped(), 0);
}

#[tokio::test]
async fn a_writer_that_is_dropped_ends_the_link() {
    let (mut parent, child) = pair();
    let Link { sender, receiver, writer } = child;
    sender.send(hello(1)).await.unwrap();
    assert_eq!(pid(&mut parent).await, 1);
    drop(writer);
    sender.closed().await;
    assert_eq!(sender.send(hello(2)).await, Err(Closed));
    drop(receiver);
    assert!(parent.receiver.recv().await.is_none());
}
