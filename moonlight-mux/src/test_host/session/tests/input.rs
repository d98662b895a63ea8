//! Much input: what there is room for, and what becomes of it.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::*;
use super::net::{Net, Path, config};
use crate::gamestream::connection::Event;
use crate::gamestream::negotiation::tests::wishes;
use crate::input::{Aggregator, HostInput, InputEvent, InputMode, KeyCode, Modifiers, MouseButton, Rights};
use crate::peer::PeerId;

/// What waits for a session, as viewers' input does.
struct Crowd {
    net: Net,
    waiting: VecDeque<HostInput>,
    done: u32,
    most_waiting: usize,
    most_unacknowledged: usize,
}

impl Crowd {
    fn new(manner: Manner, loss: u64) -> Self {
        let path = Path { loss, reordering: 0, delay: Duration::from_millis(15) };
        let mut net = Net::new(config(manner), wishes(), path, 3);
        net.run(Duration::from_secs(2));
        assert!(net.connected_at.is_some(), "{:?}", net.events);
        Self { net, waiting: VecDeque::new(), done: 0, most_waiting: 0, most_unacknowledged: 0 }
    }

    /// So many more things are done in each of so many milliseconds. Each is one that cannot be merged with another.
    fn run(&mut self, each: u32, milliseconds: u32) {
        for _ in 0..milliseconds {
            let done = self.done..self.done + each;
            self.waiting.extend(done.map(|n| HostInput::Scroll { horizontal: false, amount: n as i16 }));
            self.done += each;
            self.take();
            self.net.run(Duration::from_millis(1));
        }
    }

    fn take(&mut self) {
        let Self { net, waiting, .. } = self;
        net.client.handle_inputs(net.now, |_| waiting.pop_front());
        self.most_waiting = self.most_waiting.max(self.waiting.len());
        self.most_unacknowledged = self.most_unacknowledged.max(self.net.client.unacknowledged());
    }

    fn settle(&mut self) {
        for _ in 0..5000 {
            self.take();
            self.net.run(Duration::from_millis(1));
            if self.waiting.is_empty() && self.net.client.unacknowledged() <= 1 {
                return;
            }
        }
        panic!("{} still wait", self.waiting.len());
    }

    fn came(&self) -> Vec<HostInput> {
        self.net.inputs().iter().filter_map(|input| HostInput::try_from(input).ok()).collect()
    }

    /// All that was done has come, once and in order, and nobody ended the session.
    fn check(&self) {
        let came = self.came();
        let done = (0..self.done).map(|n| HostInput::Scroll { horizontal: false, amount: n as i16 });
        assert_eq!(came.len() as u32, self.done);
        assert!(came.into_iter().eq(done));
        assert_eq!(self.net.host_end(), None);
        assert!(!self.net.events.iter().any(|event| matches!(event, Event::Ended { .. })));
        // The control stream's 1024, and its own pings and reports.
        assert!(self.most_unacknowledged < 1100, "{}", self.most_unacknowledged);
    }
}

#[test]
fn twenty_thousand_inputs_a_second_pass_on_a_path_of_30_ms() {
    for manner in [Manner::Sunshine, Manner::Wolf] {
        let mut crowd = Crowd::new(manner, 0);
        crowd.run(20, 2000);
        assert!(crowd.most_waiting < 100, "{manner:?}: {} wait", crowd.most_waiting);
        crowd.settle();
        crowd.check();
    }
}

#[test]
fn twenty_thousand_inputs_a_second_all_arrive_where_one_datagram_in_fifty_is_lost() {
    let mut crowd = Crowd::new(Manner::Sunshine, 2);
    crowd.run(20, 1000);
    crowd.settle();
    crowd.check();
}

/// What the bound of unacknowledged messages makes of a path of 30 ms.
#[test]
fn more_than_thirty_thousand_inputs_a_second_find_room() {
    let mut crowd = Crowd::new(Manner::Sunshine, 0);
    let before = crowd.net.inputs().len();
    crowd.run(60, 1000);
    let passed = crowd.net.inputs().len() - before;
    assert!((30_000..36_000).contains(&passed), "{passed}");
    assert!(crowd.most_waiting > 20_000, "what has no room waits outside: {}", crowd.most_waiting);
    crowd.settle();
    crowd.check();
}

/// They are channels of their own: what is lost on one comes late, behind what went on the other.
#[test]
fn text_and_keys_keep_their_order_where_datagrams_are_lost() {
    let mut net = Crowd::new(Manner::Sunshine, 20).net;
    let mut aggregator = Aggregator::new(InputMode::Shared);
    let viewer = PeerId::random();
    aggregator.handle_connected();
    aggregator.join(viewer, Rights::ALL);
    let (code, modifiers) = (KeyCode(0x0d), Modifiers::default());
    let key = |down| InputEvent::Key { code, down, modifiers, locks: None };
    let typing = ('a'..='z').flat_map(|letter| [InputEvent::Text(letter.to_string()), key(true), key(false)]);
    let mut typing = typing.peekable();
    let host_key = |down| HostInput::Key { code, down, modifiers };
    let typed: Vec<_> =
        ('a'..='z').flat_map(|letter| [HostInput::Text(letter), host_key(true), host_key(false)]).collect();
    let came = |net: &Net| -> Vec<_> {
        net.inputs().iter().filter_map(|input| HostInput::try_from(input).ok()).collect()
    };
    for _ in 0..120_000 {
        // Each in a datagram of its own.
        typing.next_if(|event| aggregator.handle(net.now, viewer, event).is_ok());
        net.client.handle_inputs(net.now, |change| aggregator.poll(change).map(|(_, input)| input));
        net.run(Duration::from_millis(1));
        if came(&net).len() == typed.len() {
            break;
        }
    }
    assert_eq!(came(&net), typed);
}

#[test]
fn what_is_down_is_let_go_before_the_session_is_left() {
    for manner in [Manner::Sunshine, Manner::SunshineV023, Manner::Wolf] {
        let mut net = Net::streaming(manner);
        let key = |down| HostInput::Key { code: KeyCode(0xa0), down, modifiers: Modifiers::default() };
        let button = |down| HostInput::Button { button: MouseButton::Left, down };
        let mut inputs = [key(true), button(true)].into_iter();
        net.client.handle_inputs(net.now, |_| inputs.next());
        net.client.close(net.now);
        net.run(Duration::from_secs(1));
        let came: Vec<_> =
            net.inputs().into_iter().filter_map(|input| HostInput::try_from(&input).ok()).collect();
        assert_eq!(came[..2], [key(true), button(true)], "{manner:?}");
        // Keyboard and mouse are channels of their own.
        assert_eq!(came.len(), 4, "{manner:?}: {came:?}");
        assert!(came[2..].contains(&key(false)) && came[2..].contains(&button(false)), "{manner:?}");
        assert_eq!(net.host_end().map(|(_, reason)| reason), Some(EndReason::ClientLeft), "{manner:?}");
    }
}
