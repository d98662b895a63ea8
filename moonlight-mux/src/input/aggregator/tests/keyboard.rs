use super::*;

#[test]
fn a_key_is_down_from_the_first_who_presses_it_to_the_last_who_lets_go() {
    let (mut room, [one, two]) = Room::new();
    assert_eq!(room.told(one, key(A, true)), [host_key(A, true, NONE)]);
    assert_eq!(room.told(two, key(A, true)), []);
    assert_eq!(room.told(one, key(A, false)), []);
    assert_eq!(room.told(two, key(A, false)), [host_key(A, false, NONE)]);
}

#[test]
fn repeats_and_the_release_of_what_is_not_held_are_ignored() {
    let (mut room, [one, two]) = Room::new();
    room.told(one, key(A, true));
    assert_eq!(room.told(one, key(A, true)), []);
    assert_eq!(room.told(two, key(A, false)), []);
    assert_eq!(room.told(one, key(A, false)), [host_key(A, false, NONE)]);
    assert_eq!(room.told(one, key(A, false)), []);
}

#[test]
fn a_key_carries_the_modifiers_that_are_down_at_the_host() {
    let (mut room, [one, two]) = Room::new();
    let shift = room.told(one, key_with(LEFT_SHIFT, true, Modifiers::SHIFT));
    assert_eq!(shift, [host_key(LEFT_SHIFT, true, Modifiers::SHIFT)]);
    assert_eq!(room.told(two, key(A, true)), [host_key(A, true, Modifiers::SHIFT)]);
    assert_eq!(room.told(one, key(LEFT_SHIFT, false)), [host_key(LEFT_SHIFT, false, NONE)]);
    assert_eq!(room.told(two, key(A, false)), [host_key(A, false, NONE)]);
}

#[test]
fn a_modifier_whose_release_was_lost_is_let_go_by_the_next_key_that_contradicts_it() {
    let (mut room, [one, two]) = Room::new();
    room.told(one, key_with(RIGHT_CTRL, true, Modifiers::CTRL));
    // Another's keys say nothing of it.
    assert_eq!(room.told(two, key(A, true)), [host_key(A, true, Modifiers::CTRL)]);
    room.told(two, key(A, false));
    assert_eq!(room.told(one, key(A, true)), [host_key(RIGHT_CTRL, false, NONE), host_key(A, true, NONE)]);
}

#[test]
fn a_modifier_that_was_down_before_is_pressed_with_the_first_key_and_let_go_when_it_is_up() {
    let (mut room, [one]) = Room::new();
    assert_eq!(
        room.told(one, key_with(A, true, Modifiers::CTRL)),
        [host_key(LEFT_CTRL, true, Modifiers::CTRL), host_key(A, true, Modifiers::CTRL)]
    );
    // It is in no page's set of held keys.
    let held = InputEvent::Held { keys: [KeyCode(A)].into_iter().collect(), buttons: Buttons(0) };
    assert_eq!(room.told(one, held), []);
    // The right one it was.
    assert_eq!(room.told(one, key(RIGHT_CTRL, false)), [host_key(LEFT_CTRL, false, NONE)]);
    assert_eq!(room.told(one, key(A, false)), [host_key(A, false, NONE)]);
}

#[test]
fn a_modifier_that_is_only_implied_is_let_go_with_the_last_key_that_is_held() {
    let (mut room, [one]) = Room::new();
    let down = [host_key(LEFT_CTRL, true, Modifiers::CTRL), host_key(A, true, Modifiers::CTRL)];
    let up = [host_key(A, false, Modifiers::CTRL), host_key(LEFT_CTRL, false, NONE)];
    assert_eq!(room.told(one, key_with(A, true, Modifiers::CTRL)), down);
    room.told(one, key_with(0x42, true, Modifiers::CTRL));
    // The page never says that it goes up, as it never had it down.
    assert_eq!(
        room.told(one, key_with(0x42, false, Modifiers::CTRL)),
        [host_key(0x42, false, Modifiers::CTRL)]
    );
    assert_eq!(room.told(one, key_with(A, false, Modifiers::CTRL)), up);
    assert_eq!(room.told(one, key_with(A, true, Modifiers::CTRL)), down, "each time");
    let nothing = InputEvent::Held { keys: KeySet::default(), buttons: Buttons(0) };
    assert_eq!(room.told(one, nothing), up);
}

#[test]
fn a_modifier_that_goes_up_lets_its_class_go_if_it_says_that_no_other_of_it_is_down() {
    let (mut room, [one]) = Room::new();
    room.told(one, key_with(LEFT_CTRL, true, Modifiers::CTRL));
    room.told(one, key_with(RIGHT_CTRL, true, Modifiers::CTRL));
    assert_eq!(
        room.told(one, key_with(RIGHT_CTRL, false, Modifiers::CTRL)),
        [host_key(RIGHT_CTRL, false, Modifiers::CTRL)]
    );
    room.told(one, key_with(RIGHT_CTRL, true, Modifiers::CTRL));
    // The left one's release was lost.
    assert_eq!(
        room.told(one, key(RIGHT_CTRL, false)),
        [host_key(LEFT_CTRL, false, Modifiers::CTRL), host_key(RIGHT_CTRL, false, NONE)]
    );
}

#[test]
fn an_implied_modifier_that_is_pressed_for_good_is_held_like_any_key() {
    let (mut room, [one]) = Room::new();
    room.told(one, key_with(A, true, Modifiers::CTRL));
    assert_eq!(room.told(one, key_with(LEFT_CTRL, true, Modifiers::CTRL)), []);
    let held = InputEvent::Held { keys: [KeyCode(A)].into_iter().collect(), buttons: Buttons(0) };
    assert_eq!(room.told(one, held), [host_key(LEFT_CTRL, false, NONE)]);
}

#[test]
fn lifting_a_key_implies_no_modifier() {
    let (mut room, [one]) = Room::new();
    room.told(one, key(A, true));
    assert_eq!(room.told(one, key_with(A, false, Modifiers::META)), [host_key(A, false, NONE)]);
}

#[test]
fn alt_gr_is_not_contradicted_by_systems_that_do_not_call_it_alt() {
    let (mut room, [one]) = Room::new();
    room.told(one, key_with(LEFT_CTRL, true, Modifiers::CTRL));
    room.told(one, key(RIGHT_ALT, true));
    let both = Modifiers(Modifiers::CTRL.0 | Modifiers::ALT.0);
    assert_eq!(room.told(one, key(A, true)), [host_key(A, true, both)]);
}

#[test]
fn keys_are_released_before_their_modifiers() {
    let (mut room, [one]) = Room::new();
    room.told(one, key_with(LEFT_CTRL, true, Modifiers::CTRL));
    room.told(one, key_with(0xbc, true, Modifiers::CTRL));
    room.aggregator.release(one);
    assert_eq!(room.all(), [host_key(0xbc, false, Modifiers::CTRL), host_key(LEFT_CTRL, false, NONE)]);
}

#[test]
fn held_lets_go_what_it_does_not_name_and_presses_nothing() {
    let (mut room, [one]) = Room::new();
    room.told(one, key(A, true));
    room.told(one, button(true));
    let held = InputEvent::Held { keys: [KeyCode(0x42)].into_iter().collect(), buttons: Buttons(2) };
    assert_eq!(room.told(one, held), [host_key(A, false, NONE)]);
    let held = InputEvent::Held { keys: KeySet::default(), buttons: Buttons(4) };
    assert_eq!(room.told(one, held), [host_button(false)]);
}

fn typed(code: u8, locks: Locks) -> InputEvent {
    InputEvent::Key { code: KeyCode(code), down: true, modifiers: NONE, locks: Some(locks) }
}

fn tap(code: u8) -> [HostInput; 2] {
    [host_key(code, true, NONE), host_key(code, false, NONE)]
}

#[test]
fn the_first_viewers_lock_keys_are_taken_for_the_hosts_and_others_are_made_true_before_their_keys() {
    let (mut room, [one, two]) = Room::new();
    assert_eq!(room.told(one, typed(A, Locks::CAPS)), [host_key(A, true, NONE)]);
    let (tapped, b) = (tap(CAPS_LOCK), host_key(0x42, true, NONE));
    assert_eq!(room.told(two, typed(0x42, Locks(0))), [tapped[0], tapped[1], b]);
    let c = host_key(0x43, true, NONE);
    assert_eq!(room.told(two, typed(0x43, Locks(0))), [c]);
    let d = host_key(0x44, true, NONE);
    assert_eq!(room.told(one, typed(0x44, Locks::CAPS)), [tapped[0], tapped[1], d]);
}

#[test]
fn each_lock_matters_to_its_own_keys_alone() {
    let (mut room, [one]) = Room::new();
    room.told(one, typed(0x20, Locks(0)));
    let (caps, num) = (tap(CAPS_LOCK), tap(NUM_LOCK));
    assert_eq!(room.told(one, typed(0x25, Locks::ALL)), [host_key(0x25, true, NONE)]);
    assert_eq!(room.told(one, typed(0x60, Locks::ALL)), [num[0], num[1], host_key(0x60, true, NONE)]);
    assert_eq!(room.told(one, typed(0x30, Locks::ALL)), [caps[0], caps[1], host_key(0x30, true, NONE)]);
}

#[test]
fn a_lock_key_turns_what_the_host_is_believed_to_have_round() {
    let (mut room, [one]) = Room::new();
    room.told(one, typed(0x20, Locks(0)));
    // What is said with a lock key itself is unclear, and not heeded.
    assert_eq!(room.told(one, typed(CAPS_LOCK, Locks(0))), [host_key(CAPS_LOCK, true, NONE)]);
    assert_eq!(room.told(one, typed(A, Locks::CAPS)), [host_key(A, true, NONE)]);
    // Still held, it is turned round by being lifted first.
    assert_eq!(
        room.told(one, typed(0x42, Locks(0))),
        [host_key(CAPS_LOCK, false, NONE), host_key(CAPS_LOCK, true, NONE), host_key(0x42, true, NONE)]
    );
}

#[test]
fn lock_keys_are_left_alone_in_shortcuts() {
    let (mut room, [one]) = Room::new();
    room.told(one, typed(0x20, Locks(0)));
    room.told(one, key_with(LEFT_CTRL, true, Modifiers::CTRL));
    let shortcut = InputEvent::Key {
        code: KeyCode(A),
        down: true,
        modifiers: Modifiers::CTRL,
        locks: Some(Locks::CAPS),
    };
    assert_eq!(room.told(one, shortcut), [host_key(A, true, Modifiers::CTRL)]);
}

#[test]
fn a_new_hosts_lock_keys_are_unknown_again() {
    let (mut room, [one, two]) = Room::new();
    room.told(one, typed(A, Locks::CAPS));
    room.aggregator.handle_disconnected();
    room.aggregator.handle_connected();
    assert_eq!(room.told(two, typed(A, Locks(0))), [host_key(A, true, NONE)]);
}

#[test]
fn text_is_told_character_by_character_in_its_place_between_keys() {
    let (mut room, [one]) = Room::new();
    assert_eq!(room.told(one, key(A, true)), [host_key(A, true, NONE)]);
    let text = InputEvent::Text("ä\u{1f600}".to_owned());
    assert_eq!(room.told(one, text), [HostInput::Text('ä'), HostInput::Text('\u{1f600}')]);
    assert_eq!(room.told(one, key(A, false)), [host_key(A, false, NONE)]);
}
