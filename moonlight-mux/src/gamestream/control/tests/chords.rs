//! A click with a key held: keys and clicks are on channels of their own, so only the way keeps them in order.

use super::*;
use crate::gamestream::wire::input::MouseButton;

const CHORDS: usize = 200;

/// Of [`CHORDS`] clicks with Ctrl held, how many came to the host in another order. `gap`: how many milliseconds before the
/// click Ctrl goes down, and after it up; without any, both go in one datagram.
fn come_wrong(loss: u64, gap: u64) -> usize {
    let control = |down| Input::Key(Key { code: 0xa2, down, modifiers: 2, not_normalised: false });
    let click = |down| Input::MouseButton { button: MouseButton::Left, down };
    let mut net = Net::connected();
    (net.path, net.random) = (Path::Steady { loss }, SPREAD);
    // Until the round trip is known.
    net.run(ms(2000));
    let mut wrong = 0;
    for _ in 0..CHORDS {
        let before = net.host.inputs().len();
        let chord = [control(true), click(true), click(false), control(false)];
        for (input, pause) in chord.into_iter().zip([gap, 80, gap, 0]) {
            net.client.queue_input(net.now, input, true).unwrap();
            if pause > 0 || input == control(false) {
                net.client.flush(net.now);
            }
            net.run(ms(pause));
        }
        while net.client.unacknowledged().ordered > 0 {
            net.run(ms(20));
        }
        wrong += usize::from(net.host.inputs()[before..] != chord);
    }
    wrong
}

/// What docs/gamestream.md says of it (Input).
#[test]
fn a_key_and_a_click_change_places_only_within_two_round_trips_of_30_ms_where_a_datagram_is_lost() {
    for gap in [0, 1, 10, 30, 100] {
        assert_eq!(come_wrong(0, gap), 0, "gap {gap}");
    }
    for gap in [1, 10, 30] {
        let wrong = come_wrong(5, gap);
        assert!((1..CHORDS / 5).contains(&wrong), "{wrong} of {CHORDS}, gap {gap}");
    }
    assert_eq!(come_wrong(5, 200), 0);
}
