use bytes::BufMut;
use proptest::prelude::*;

use super::*;
use crate::input::{GamepadButtons, GamepadKind, GamepadState};

const MOUSE: PageChannel = PageChannel::Mouse { ordered: true };
const CLICKS: PageChannel = PageChannel::Mouse { ordered: false };

fn pad(index: u8) -> GamepadIndex {
    GamepadIndex::new(index).expect("an index")
}

#[expect(clippy::disallowed_methods, reason = "any time will do")]
fn any_time() -> Instant {
    Instant::now()
}

fn decode(decoder: &mut Decoder, channel: PageChannel, bytes: &[u8]) -> Result<Vec<InputEvent>, Fault> {
    decoder.handle(any_time(), channel, bytes)
}

/// What a page's message does by itself.
fn alone(channel: PageChannel, bytes: &[u8]) -> Result<Vec<InputEvent>, Fault> {
    decode(&mut Decoder::default(), channel, bytes)
}

/// A message as a page writes it. For [`Message::MouseBy`] and on there are no others; texts say their length.
fn written(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    match *message {
        Message::Key { down, modifiers, code } => bytes.extend([0, down.into(), modifiers, 0, code]),
        Message::Text(text) => {
            bytes.extend([1, u8::try_from(text.encode_utf16().count()).unwrap_or(u8::MAX)]);
            bytes.extend(text.as_bytes());
        }
        Message::MouseBy { dx, dy } => {
            bytes.put_u8(0);
            bytes.put_i16(dx);
            bytes.put_i16(dy);
        }
        Message::MouseTo { x, y, width, height } => {
            bytes.put_u8(1);
            for value in [x, y, width, height] {
                bytes.put_u16(value);
            }
        }
        Message::MouseButton { down, button } => bytes.extend([2, down.into(), button as u8]),
        Message::Wheel { dx, dy } => {
            bytes.put_u8(3);
            bytes.put_i16(dx);
            bytes.put_i16(dy);
        }
        Message::Touch { phase, contact, position, pressure, rotation } => {
            bytes.put_u8(phase as u8);
            bytes.put_u32(contact);
            for share in [position.x, position.y, pressure] {
                bytes.put_f32(f32::from(share) / 65535.0);
            }
            bytes.put_f32(11.5);
            bytes.put_f32(11.5);
            bytes.put_u16(rotation.unwrap_or(u16::MAX));
        }
        Message::ControllerAdded { index, buttons, capabilities } => {
            bytes.extend([0, index.get()]);
            bytes.put_u32(buttons.0);
            bytes.put_u16(capabilities);
        }
        Message::ControllerRemoved { id } => bytes.extend([1, id]),
        Message::ControllerState(state) => {
            bytes.put_u8(0);
            bytes.put_u32(state.buttons.0);
            bytes.extend([state.left_trigger, state.right_trigger]);
            let ((lx, ly), (rx, ry)) = (state.left_stick, state.right_stick);
            for value in [lx, ly, rx, ry] {
                bytes.put_i16(value);
            }
        }
    }
    bytes
}

#[test]
fn every_label_of_every_version_has_its_channel() {
    for (label, channel) in [
        ("keyboard", PageChannel::Keyboard),
        ("mouse", MOUSE),
        ("mouseClicks", CLICKS),
        ("mouseAbsolute", MOUSE),
        ("mouseRelative", MOUSE),
        ("mouse_reliable", MOUSE),
        ("mouse_absolute", MOUSE),
        ("mouse_relative", MOUSE),
        ("touch", PageChannel::Touch),
        ("controllers", PageChannel::Controllers),
        ("controller0", PageChannel::Controller(pad(0))),
        ("controller15", PageChannel::Controller(pad(15))),
    ] {
        assert_eq!(PageChannel::of_label(label), channel, "{label}");
    }
    for label in
        ["", "stats", "general", "Keyboard", "controller", "controller16", "controller01", "controller+1"]
    {
        assert_eq!(PageChannel::of_label(label), PageChannel::Other, "{label}");
    }
}

#[test]
fn every_message_means_what_the_document_says() {
    let key = |code, down, modifiers| InputEvent::Key {
        code: KeyCode(code),
        down,
        modifiers: Modifiers(modifiers),
        locks: None,
    };
    let place = |x, y| Position { x, y };
    let touch = |phase, x, y, pressure, rotation| {
        let position = place(x, y);
        InputEvent::Touch(Touch { phase, contact: 7, position, pressure, rotation, ellipse: (0, 0) })
    };
    let start: &[u8] = &[
        0, 0, 0, 0, 7, 0x3f, 0, 0, 0, 0x3e, 0x80, 0, 0, 0x3f, 0x80, 0, 0, 0x41, 0x38, 0, 0, 0x41, 0x38, 0, 0,
        0, 45,
    ];
    let info =
        GamepadInfo { kind: GamepadKind::Unknown, capabilities: 0x07, buttons: GamepadButtons(0xf7ff) };
    let state = GamepadState {
        buttons: GamepadButtons(0x0020_1001),
        left_trigger: 0x80,
        right_trigger: 0xff,
        left_stick: (1, -2),
        right_stick: (i16::MAX, i16::MIN),
    };
    let table: [(PageChannel, &[u8], InputEvent); 13] = [
        (PageChannel::Keyboard, &[0, 1, 1, 0, 0xa0], key(0xa0, true, 1)),
        (PageChannel::Keyboard, &[0, 0, 0, 0, 0x41], key(0x41, false, 0)),
        // The length is in UTF-16 units, and whatever it is, it is not needed.
        (PageChannel::Keyboard, b"\x01\x02\xf0\x9f\x8e\xae", InputEvent::Text("🎮".to_owned())),
        (PageChannel::Keyboard, b"\x01\xffa\nb", InputEvent::Text("a\nb".to_owned())),
        (MOUSE, &[0, 0xff, 0xff, 0x01, 0x00], InputEvent::PointerBy { dx: -1, dy: 256 }),
        (MOUSE, &[1, 0x08, 0, 0x10, 0, 0x10, 0, 0x10, 0], InputEvent::PointerTo(place(32768, 65535))),
        (MOUSE, &[2, 1, 5], InputEvent::Button { button: MouseButton::X2, down: true, at: None }),
        (CLICKS, &[2, 0, 1], InputEvent::Button { button: MouseButton::Left, down: false, at: None }),
        (MOUSE, &[3, 0, 100, 0xff, 0x9c], InputEvent::Scroll { dx: 120, dy: -120, at: None }),
        (MOUSE, &[4, 0, 0xce], InputEvent::Scroll { dx: 0, dy: -60, at: None }),
        (PageChannel::Touch, start, touch(PointerPhase::Down, 32768, 16384, 65535, Some(45))),
        (
            PageChannel::Controllers,
            &[0, 3, 0, 0, 0xf7, 0xff, 0, 6],
            InputEvent::GamepadConnected { index: pad(3), info },
        ),
        (
            PageChannel::Controller(pad(15)),
            &[0, 0, 0x20, 0x10, 0x01, 0x80, 0xff, 0, 1, 0xff, 0xfe, 0x7f, 0xff, 0x80, 0],
            InputEvent::Gamepad { index: pad(15), state },
        ),
    ];
    for (channel, bytes, event) in table {
        assert_eq!(alone(channel, bytes), Ok(vec![event]), "{channel:?} {bytes:02x?}");
    }
}

#[test]
fn stale_bytes_on_the_keyboard_channel_are_dropped_and_what_follows_is_read() {
    let mut page = Decoder::default();
    for stale in [
        &b""[..],
        // An earlier key in front of a text, of a key; an earlier text in front of a key, of a text; a text's head alone.
        b"\x00\x01\x00\x00\x41\x01\x02hi",
        b"\x00\x01\x00\x00\x41\x00\x00\x00\x00\x41",
        b"\x01\x02hi\x00\x01\x00\x00\x41",
        b"\x01\x02hi\x01\x05again",
        b"\x01\x02",
        // Half a character, and keys that are none.
        b"\x01\x01\xc3",
        b"\x00\x01\x00\x80\x41",
        b"\x00\x02\x00\x00\x41",
        b"\x00\x01\x10\x00\x41",
        b"\x00\x01\x00\x00\x00",
        b"\x07",
    ] {
        assert_eq!(decode(&mut page, PageChannel::Keyboard, stale), Ok(Vec::new()), "{stale:02x?}");
        assert_eq!(
            decode(&mut page, PageChannel::Keyboard, &[0, 1, 0, 0, 0x41]).map(|events| events.len()),
            Ok(1)
        );
    }
}

#[test]
fn what_no_page_sends_is_malformed_but_never_on_a_channel_that_is_not_read() {
    let not_a_number = {
        let mut start = vec![0; 27];
        start[5..9].copy_from_slice(&f32::NAN.to_be_bytes());
        start
    };
    for (channel, bytes) in [
        (MOUSE, &b""[..]),
        (MOUSE, &[0, 0, 0, 0]),
        (MOUSE, &[0, 0, 0, 0, 0, 0]),
        (MOUSE, &[1, 0, 0, 0, 0, 0, 0, 0, 9]),
        (MOUSE, &[1, 0, 0, 0, 0, 0, 9, 0x80, 0]),
        (MOUSE, &[2, 1, 0]),
        (MOUSE, &[2, 1, 6]),
        (MOUSE, &[2, 2, 1]),
        (MOUSE, &[5, 0, 0]),
        (PageChannel::Touch, &[]),
        (PageChannel::Touch, &[0; 26]),
        (PageChannel::Touch, &[3; 27]),
        (PageChannel::Touch, &not_a_number),
        (PageChannel::Controllers, &[]),
        (PageChannel::Controllers, &[0, 16, 0, 0, 0, 0, 0, 0]),
        (PageChannel::Controllers, &[0, 1]),
        (PageChannel::Controllers, &[1, 1, 1]),
        (PageChannel::Controllers, &[2, 1]),
        (PageChannel::Controller(pad(0)), &[]),
        (PageChannel::Controller(pad(0)), &[0; 14]),
        (PageChannel::Controller(pad(0)), &[1; 15]),
    ] {
        assert_eq!(alone(channel, bytes), Err(Fault::Malformed), "{channel:?} {bytes:02x?}");
        assert_eq!(alone(PageChannel::Other, bytes), Ok(Vec::new()));
    }
}

#[test]
fn places_beside_the_picture_are_at_its_edge() {
    for (bytes, x, y) in [
        ([1, 0xff, 0xff, 0x10, 0x01, 0x10, 0, 0x10, 0], 0, 65535),
        ([1, 0x7f, 0xff, 0, 0, 0, 1, 0, 1], 65535, 0),
        ([1, 0, 1, 0, 2, 0, 3, 0, 3], 21845, 43690),
    ] {
        assert_eq!(alone(MOUSE, &bytes), Ok(vec![InputEvent::PointerTo(Position { x, y })]), "{bytes:?}");
    }
}

#[test]
fn clicks_and_wheel_carry_the_place_until_the_pointer_is_moved_by_an_amount() {
    let mut page = Decoder::default();
    let mut at = |bytes: &[u8]| match decode(&mut page, MOUSE, bytes).as_deref() {
        Ok([InputEvent::Button { at, .. } | InputEvent::Scroll { at, .. }]) => *at,
        Ok(_) => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(at(&[2, 1, 1]), None);
    at(&[1, 0x08, 0, 0x10, 0, 0x10, 0, 0x10, 0]);
    let place = Position { x: 32768, y: 65535 };
    assert_eq!(at(&[2, 1, 1]), Some(place));
    assert_eq!(at(&[3, 0, 100, 0, 0]), Some(place));
    at(&[0, 0, 0, 0, 0]);
    assert_eq!(at(&[2, 1, 1]), Some(place), "it did not move");
    at(&[0, 0, 1, 0, 0]);
    assert_eq!(at(&[2, 0, 1]), None);
}

#[test]
fn fingers_whose_end_never_comes_are_taken_away() {
    let mut page = Decoder::default();
    let mut say = |phase, contact| {
        let position = Position { x: 6, y: 6 };
        let message = Message::Touch { phase, contact, position, pressure: 0, rotation: None };
        let events = decode(&mut page, PageChannel::Touch, &written(&message)).expect("it is a message");
        let told = events.into_iter().map(|event| match event {
            InputEvent::Touch(touch) => (touch.phase, touch.contact),
            event => panic!("{event:?}"),
        });
        told.collect::<Vec<_>>()
    };
    use PointerPhase::{Cancel, Down, Move, Up};
    use TouchPhase::{End, Move as Moved, Start};

    assert_eq!(say(Moved, 1), [], "it never came");
    assert_eq!(say(End, 1), []);
    assert_eq!(say(Start, 1), [(Down, 1)]);
    assert_eq!(say(Start, 1), [(Cancel, 1), (Down, 1)]);
    assert_eq!(say(Moved, 1), [(Move, 1)]);
    for contact in 2..=10 {
        assert_eq!(say(Start, contact), [(Down, contact)]);
    }
    assert_eq!(say(Start, u32::MAX), [(Cancel, 1), (Down, u32::MAX)]);
    assert_eq!(say(Moved, 1), []);
    for contact in 2..=10 {
        assert_eq!(say(End, contact), [(Up, contact)]);
    }
    assert_eq!(say(End, u32::MAX), [(Up, u32::MAX)]);
}

#[test]
fn a_gamepad_that_is_removed_by_another_name_is_unplugged_if_it_is_the_only_one() {
    let mut page = Decoder::default();
    let gone = |index| Ok(vec![InputEvent::GamepadDisconnected { index: pad(index) }]);
    let state = [0; 15];
    decode(&mut page, PageChannel::Controller(pad(2)), &state).expect("a state");
    assert_eq!(decode(&mut page, PageChannel::Controllers, &[1, 0]), gone(2));
    assert_eq!(decode(&mut page, PageChannel::Controllers, &[1, 2]), Ok(vec![]), "it is gone");
    for index in [2, 5] {
        decode(&mut page, PageChannel::Controllers, &[0, index, 0, 0, 0, 0, 0, 0]).expect("an arrival");
    }
    assert_eq!(
        decode(&mut page, PageChannel::Controllers, &[1, 200]),
        Ok(vec![]),
        "which one is not to be told"
    );
    assert_eq!(decode(&mut page, PageChannel::Controllers, &[1, 5]), gone(5));
}

#[test]
fn a_gamepad_that_was_removed_stays_so_until_it_is_announced_again() {
    let mut page = Decoder::default();
    let mut say = |channel, bytes: &[u8]| {
        let events = decode(&mut page, channel, bytes).expect("pages send such");
        let of = |event| match event {
            InputEvent::GamepadConnected { index, .. } => ("connected", index.get()),
            InputEvent::Gamepad { index, .. } => ("state", index.get()),
            InputEvent::GamepadDisconnected { index } => ("gone", index.get()),
            event => panic!("{event:?}"),
        };
        events.into_iter().map(of).collect::<Vec<_>>()
    };
    let (added, removed, state) = (|index| [0, index, 0, 0, 0, 0, 0, 0], |index| [1, index], [0; 15]);
    let channel = |index| PageChannel::Controller(pad(index));
    assert_eq!(say(PageChannel::Controllers, &added(3)), [("connected", 3)]);
    assert_eq!(say(PageChannel::Controllers, &added(4)), [("connected", 4)]);
    assert_eq!(say(PageChannel::Controllers, &removed(3)), [("gone", 3)]);
    assert_eq!(say(channel(3), &state), [], "it was on its way when the gamepad went");
    assert_eq!(say(channel(4), &state), [("state", 4)], "the other is there");
    assert_eq!(say(channel(5), &state), [("state", 5)], "one that was never announced is plugged in by it");
    assert_eq!(say(PageChannel::Controllers, &added(3)), [("connected", 3)]);
    assert_eq!(say(channel(3), &state), [("state", 3)]);
}

#[test]
fn an_up_that_overtakes_its_down_leaves_no_button_down() {
    let begin = any_time();
    let mut clicks = Clicks::default();
    let mut say = |after, down| {
        clicks.handle(begin + Duration::from_millis(after), MouseButton::Left, down).collect::<Vec<_>>()
    };
    assert_eq!(say(0, true), [true]);
    assert_eq!(say(10, false), [false]);
    // The second click's down comes after its up.
    assert_eq!(say(20, false), [false]);
    assert_eq!(say(1020, true), [true, false]);
    // A press elsewhere that was let go here: the next click is whole.
    assert_eq!(say(5000, false), [false]);
    assert_eq!(say(7000, true), [true]);
    assert_eq!(say(7001, false), [false]);
    assert_eq!(say(7002, true), [true], "the up before was no early one");
}

#[test]
fn rumble_and_the_connections_status_have_the_bytes_that_pages_know() {
    let rumble = HostFeedback::Rumble { gamepad: pad(3), low: 0x1234, high: 0xffff };
    assert_eq!(controllers_message(rumble), Some([0, 3, 0x12, 0x34, 0xff, 0xff]));
    let triggers = HostFeedback::TriggerRumble { gamepad: pad(15), left: 1, right: 2 };
    assert_eq!(controllers_message(triggers), Some([1, 15, 0, 1, 0, 2]));
    assert_eq!(controllers_message(HostFeedback::Led { gamepad: pad(0), rgb: [1, 2, 3] }), None);
    for (quality, status) in
        [(VideoQuality::Flowing, "Ok"), (VideoQuality::Held, "Poor"), (VideoQuality::Paused, "Poor")]
    {
        let json: serde_json::Value = serde_json::from_str(general_message(quality)).expect("JSON");
        assert_eq!(json, serde_json::json!({"ConnectionStatusUpdate": {"status": status}}));
    }
}

fn any_message() -> impl Strategy<Value = (PageChannel, Message<'static>)> {
    let keyboard = prop_oneof![
        (any::<bool>(), 0u8..16, 1u8..).prop_map(|(down, modifiers, code)| Message::Key {
            down,
            modifiers,
            code
        }),
        "[^\\p{C}]{1,40}".prop_map(|text| Message::Text(text.leak())),
    ];
    let mouse = prop_oneof![
        (any::<i16>(), any::<i16>()).prop_map(|(dx, dy)| Message::MouseBy { dx, dy }),
        (0u16..0x8000, 0u16..0x8000, 1u16..0x8000, 1u16..0x8000)
            .prop_map(|(x, y, width, height)| Message::MouseTo { x, y, width, height }),
        (any::<bool>(), prop::sample::select(&MouseButton::ALL[..]))
            .prop_map(|(down, button)| Message::MouseButton { down, button }),
        (any::<i16>(), any::<i16>()).prop_map(|(dx, dy)| Message::Wheel { dx, dy }),
    ];
    let phases = vec![TouchPhase::Start, TouchPhase::Move, TouchPhase::End];
    let touch = (prop::sample::select(phases), 0u32..20, any::<[u16; 3]>(), prop::option::of(0u16..=360))
        .prop_map(|(phase, contact, [x, y, pressure], rotation)| Message::Touch {
            phase,
            contact,
            position: Position { x, y },
            pressure,
            rotation,
        });
    let controllers = prop_oneof![
        (0u8..16, any::<u32>(), any::<u16>()).prop_map(|(index, buttons, capabilities)| {
            Message::ControllerAdded {
                index: pad(index),
                buttons: GamepadButtons(buttons & 0x003f_f7ff),
                capabilities: capabilities & 6,
            }
        }),
        any::<u8>().prop_map(|id| Message::ControllerRemoved { id }),
    ];
    let state = (any::<u32>(), any::<[u8; 2]>(), any::<[i16; 4]>()).prop_map(
        |(buttons, [left_trigger, right_trigger], [lx, ly, rx, ry])| {
            Message::ControllerState(GamepadState {
                buttons: GamepadButtons(buttons & 0x003f_f7ff),
                left_trigger,
                right_trigger,
                left_stick: (lx, ly),
                right_stick: (rx, ry),
            })
        },
    );
    prop_oneof![
        keyboard.prop_map(|message| (PageChannel::Keyboard, message)),
        (mouse, any::<bool>()).prop_map(|(message, ordered)| (PageChannel::Mouse { ordered }, message)),
        touch.prop_map(|message| (PageChannel::Touch, message)),
        controllers.prop_map(|message| (PageChannel::Controllers, message)),
        (0u8..16, state).prop_map(|(index, message)| (PageChannel::Controller(pad(index)), message)),
    ]
}

fn read(channel: PageChannel, bytes: &[u8]) -> Option<Message<'_>> {
    match channel {
        PageChannel::Keyboard => message::keyboard(bytes),
        PageChannel::Mouse { .. } => message::mouse(bytes),
        PageChannel::Touch => message::touch(bytes),
        PageChannel::Controllers => message::controllers(bytes),
        PageChannel::Controller(_) => message::controller(bytes),
        PageChannel::Other => None,
    }
}

proptest! {
    #[test]
    fn what_a_page_writes_is_read((channel, message) in any_message()) {
        let bytes = written(&message);
        prop_assert_eq!(read(channel, &bytes), Some(message));
    }

    #[test]
    fn a_message_that_is_cut_or_too_long_is_another_or_none((channel, message) in any_message(), cut: prop::sample::Index) {
        let bytes = written(&message);
        let fixed = !matches!(message, Message::Text(_));
        let short = read(channel, &bytes[..cut.index(bytes.len())]);
        prop_assert!(short != Some(message));
        let long: Vec<_> = bytes.iter().copied().chain([0]).collect();
        prop_assert!(!fixed || read(channel, &long).is_none());
    }

    #[test]
    fn the_wheel_loses_no_pixel(turns in prop::collection::vec(-2000i16..2000, 1..100)) {
        let mut page = Decoder::default();
        let mut sum = 0;
        for &turn in &turns {
            let bytes = written(&Message::Wheel { dx: 0, dy: turn });
            for event in decode(&mut page, MOUSE, &bytes).expect("a wheel") {
                let InputEvent::Scroll { dx: 0, dy, .. } = event else { panic!("{event:?}") };
                sum += i32::from(dy);
            }
        }
        let pixels: i32 = turns.iter().map(|&turn| i32::from(turn)).sum();
        let left = pixels * 6 - sum * 5;
        prop_assert!(left.abs() < 5, "{left} fifths of a unit");
    }

    #[test]
    fn whatever_a_page_says_its_fingers_come_before_they_move_and_are_at_most_ten(
        messages in prop::collection::vec(any_message(), 0..200),
    ) {
        let mut page = Decoder::default();
        let mut down = std::collections::HashSet::new();
        for (channel, message) in messages {
            for event in decode(&mut page, channel, &written(&message)).expect("pages send such") {
                let InputEvent::Touch(touch) = event else { continue };
                match touch.phase {
                    PointerPhase::Down => prop_assert!(down.insert(touch.contact)),
                    PointerPhase::Move => prop_assert!(down.contains(&touch.contact)),
                    _ => prop_assert!(down.remove(&touch.contact)),
                }
                prop_assert!(down.len() <= FINGERS);
            }
        }
    }
}
