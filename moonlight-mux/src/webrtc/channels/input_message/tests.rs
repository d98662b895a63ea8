use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Messages byte by byte, and what they say. The page's tests read the same file.
const VECTORS: &str = include_str!("../vectors.json");

/// The messages of the vectors, with their channels.
pub(in crate::webrtc) fn vectors() -> Vec<(String, Channel, Vec<u8>, Value)> {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).expect("a list");
    let of = |vector: Value| {
        let channel = if vector["channel"] == "input" { Channel::Input } else { Channel::Motion };
        let name = vector["name"].as_str().expect("a name").to_owned();
        (name, channel, from_hex(vector["hex"].as_str().expect("bytes")), vector["message"].clone())
    };
    vectors.into_iter().map(of).collect()
}

pub(in crate::webrtc::channels) fn from_hex(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter(|digit| !digit.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hex");
    digits.chunks(2).map(byte).collect()
}

/// A message in the words of the vectors.
fn fields(message: &InputMessage) -> Value {
    let place = |place: &Place| match place {
        Place::Unsaid => Value::Null,
        Place::At(at) => json!({"x": at.x, "y": at.y}),
        Place::Total { x, y } => json!({"total_x": x, "total_y": y}),
    };
    let phase = |phase: PointerPhase| format!("{phase:?}").to_lowercase();
    let mut fields = match &message.body {
        Body::Key { code, down, modifiers, locks } => json!({
            "kind": "key", "code": code.0, "down": down, "modifiers": modifiers.0,
            "locks": locks.map(|locks| locks.0),
        }),
        Body::Text(text) => json!({"kind": "text", "text": text}),
        Body::Button { button, down, place: at } => {
            json!({"kind": "button", "button": *button as u8, "down": down, "place": place(at)})
        }
        Body::Scroll { dx, dy, place: at } => {
            json!({"kind": "scroll", "dx": dx, "dy": dy, "place": place(at)})
        }
        Body::Pointer(at) => json!({"kind": "pointer", "place": place(at)}),
        Body::Touch(touch) => json!({
            "kind": "touch", "phase": phase(touch.phase), "contact": touch.contact,
            "x": touch.position.x, "y": touch.position.y, "pressure": touch.pressure,
            "rotation": touch.rotation, "major": touch.ellipse.0, "minor": touch.ellipse.1,
        }),
        Body::Pen(pen) => json!({
            "kind": "pen", "phase": phase(pen.phase), "tool": format!("{:?}", pen.tool).to_lowercase(),
            "buttons": pen.buttons, "x": pen.position.x, "y": pen.position.y, "pressure": pen.pressure,
            "rotation": pen.rotation, "tilt": pen.tilt,
        }),
        Body::GamepadConnected { index, info } => json!({
            "kind": "gamepad_connected", "gamepad": index.get(),
            "type": format!("{:?}", info.kind).to_lowercase(), "capabilities": info.capabilities,
            "buttons": info.buttons.0,
        }),
        Body::GamepadDisconnected { index } => {
            json!({"kind": "gamepad_disconnected", "gamepad": index.get()})
        }
        Body::Gamepad { index, state } => json!({
            "kind": "gamepad", "gamepad": index.get(), "buttons": state.buttons.0,
            "left_trigger": state.left_trigger, "right_trigger": state.right_trigger,
            "left_x": state.left_stick.0, "left_y": state.left_stick.1,
            "right_x": state.right_stick.0, "right_y": state.right_stick.1,
        }),
        Body::GamepadMotion { index, reading } => {
            let [x, y, z] = reading.value;
            json!({
                "kind": "gamepad_motion", "gamepad": index.get(),
                "sensor": format!("{:?}", reading.sensor).to_lowercase(), "x": x, "y": y, "z": z,
            })
        }
        Body::GamepadTouch { index, touch } => json!({
            "kind": "gamepad_touch", "gamepad": index.get(), "phase": phase(touch.phase),
            "touchpad": touch.touchpad, "contact": touch.contact,
            "x": touch.position.x, "y": touch.position.y, "pressure": touch.pressure,
        }),
        Body::Held { keys, buttons } => {
            let keys: Vec<_> = keys.iter().map(|code| code.0).collect();
            json!({"kind": "held", "buttons": buttons.0, "keys": keys})
        }
        Body::ReleaseAll => json!({"kind": "release_all"}),
    };
    fields["sequence"] = message.sequence.0.into();
    fields
}

#[test]
fn the_vectors_are_read_and_written_as_they_say() {
    for (name, channel, bytes, expected) in vectors() {
        let message =
            InputMessage::parse(channel, &bytes).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
        assert_eq!(fields(&message), expected, "{name}");
        assert_eq!(message.to_bytes(), bytes, "{name}");
    }
}

#[test]
fn a_message_that_is_cut_or_goes_on_is_malformed() {
    for (name, channel, bytes, message) in vectors() {
        // A text, and a list of keys, are as long as they are.
        let open = message["kind"] == "text" || message["kind"] == "held";
        let parse = |bytes: &[u8]| InputMessage::parse(channel, bytes);
        for len in 0..if open { 6.min(bytes.len()) } else { bytes.len() } {
            assert_eq!(parse(&bytes[..len]), Err(Fault::Malformed), "{name}: {len} bytes");
        }
        if !open {
            assert_eq!(parse(&[&bytes[..], &[0]].concat()), Err(Fault::Malformed), "{name} and a byte");
        }
    }
}

#[test]
fn what_is_out_of_range_is_malformed() {
    let table = [
        ("no kind", Channel::Input, "00000001"),
        ("kind 0", Channel::Input, "00000001 00"),
        ("kind beyond", Channel::Input, "00000001 0f"),
        ("key 0", Channel::Input, "00000001 01 01 00 00 00"),
        ("key with other flags", Channel::Input, "00000001 01 05 41 00 00"),
        ("key with other modifiers", Channel::Input, "00000001 01 01 41 10 00"),
        ("key with other locks", Channel::Input, "00000001 01 03 41 00 08"),
        ("key with locks that are not known", Channel::Input, "00000001 01 01 41 00 01"),
        ("text without text", Channel::Input, "00000001 02"),
        ("text that is no UTF-8", Channel::Input, "00000001 02 c3"),
        ("button 0", Channel::Input, "00000001 03 00 01 00"),
        ("button 6", Channel::Input, "00000001 03 06 01 00"),
        ("button that is more than down", Channel::Input, "00000001 03 01 02 00"),
        ("button at a place of another kind", Channel::Input, "00000001 03 01 01 03"),
        ("pointer without a place", Channel::Motion, "00000001 05 00"),
        ("touch that hovers", Channel::Input, "00000001 06 00 00000000 0000 0000 0000 ffff 0000 0000"),
        ("touch beyond cancel", Channel::Input, "00000001 06 05 00000000 0000 0000 0000 ffff 0000 0000"),
        ("touch turned too far", Channel::Input, "00000001 06 01 00000000 0000 0000 0000 0169 0000 0000"),
        ("pen beyond buttons", Channel::Input, "00000001 07 07 01 00 0000 0000 0000 ffff ff"),
        ("pen with another tool", Channel::Input, "00000001 07 01 03 00 0000 0000 0000 ffff ff"),
        ("pen with other buttons", Channel::Input, "00000001 07 01 01 08 0000 0000 0000 ffff ff"),
        ("pen turned too far", Channel::Input, "00000001 07 01 01 00 0000 0000 0000 0169 ff"),
        ("pen tilted too far", Channel::Input, "00000001 07 01 01 00 0000 0000 0000 ffff 5b"),
        ("gamepad 16", Channel::Input, "00000001 08 10 01 0000 00000000"),
        ("gamepad of another kind", Channel::Input, "00000001 08 00 05 0000 00000000"),
        ("gamepad 16 is gone", Channel::Input, "00000001 09 10"),
        ("sensor 0", Channel::Motion, "00000001 0b 00 00 00000000 00000000 00000000"),
        ("sensor 3", Channel::Motion, "00000001 0b 00 03 00000000 00000000 00000000"),
        ("sensor without a number", Channel::Motion, "00000001 0b 00 01 00000000 7fc00000 00000000"),
        ("sensor without end", Channel::Motion, "00000001 0b 00 01 00000000 00000000 ff800000"),
        ("touchpad 2", Channel::Input, "00000001 0c 00 01 02 00000000 0000 0000 0000"),
        ("held button 0", Channel::Motion, "00000001 0d 01"),
        ("held button 6", Channel::Motion, "00000001 0d 40"),
        ("held key 0", Channel::Motion, "00000001 0d 02 41 00"),
    ];
    for (name, channel, hex) in table {
        assert_eq!(InputMessage::parse(channel, &from_hex(hex)), Err(Fault::Malformed), "{name}");
    }
    let text = |len| [&[0, 0, 0, 1, TEXT], &vec![b'a'; len][..]].concat();
    assert!(InputMessage::parse(Channel::Input, &text(4096)).is_ok());
    assert_eq!(InputMessage::parse(Channel::Input, &text(4097)), Err(Fault::Malformed));
}

#[test]
fn of_a_gamepad_what_has_no_meaning_yet_is_left_out() {
    for (name, said, read) in [
        ("connected", "00000001 08 00 01 ffff ffffffff", "00000001 08 00 01 01ff 003ff7ff"),
        (
            "state",
            "00000001 0a 00 ffffffff 01 02 0003 0004 0005 0006",
            "00000001 0a 00 003ff7ff 01 02 0003 0004 0005 0006",
        ),
        (
            "one button that is none",
            "00000001 0a 00 00000800 00 00 0000 0000 0000 0000",
            "00000001 0a 00 00000000 00 00 0000 0000 0000 0000",
        ),
    ] {
        let message = InputMessage::parse(Channel::Input, &from_hex(said));
        assert_eq!(message.map(|message| message.to_bytes()), Ok(from_hex(read)), "{name}");
    }
}

#[test]
fn what_must_not_be_lost_may_not_come_on_motion_nor_what_is_stale_soon_on_input() {
    for (name, channel, bytes, message) in vectors() {
        let other = if channel == Channel::Input { Channel::Motion } else { Channel::Input };
        // These may come on both.
        let both = message["kind"] == "gamepad"
            || message["phase"] == "move"
            || message["kind"] == "pen" && message["phase"] == "hover";
        let expected = if both { None } else { Some(Fault::WrongChannel) };
        assert_eq!(InputMessage::parse(other, &bytes).err(), expected, "{name}");
    }
}

/// Any message that can be sent.
pub(in crate::webrtc::channels) fn messages() -> impl Strategy<Value = InputMessage> {
    (any::<u32>(), bodies()).prop_map(|(sequence, body)| InputMessage { sequence: Sequence(sequence), body })
}

fn positions() -> impl Strategy<Value = Position> {
    any::<(u16, u16)>().prop_map(|(x, y)| Position { x, y })
}

fn said_places() -> impl Strategy<Value = Place> {
    prop_oneof![positions().prop_map(Place::At), any::<(i32, i32)>().prop_map(|(x, y)| Place::Total { x, y }),]
}

fn places() -> impl Strategy<Value = Place> {
    prop_oneof![1 => Just(Place::Unsaid), 3 => said_places()]
}

fn indices() -> impl Strategy<Value = GamepadIndex> {
    prop_oneof![4 => 0u8..2, 1 => 0u8..16].prop_map(|index| GamepadIndex::new(index).expect("below 16"))
}

fn finger_phases() -> impl Strategy<Value = PointerPhase> {
    prop::sample::select(FINGER_PHASES.to_vec())
}

/// Mostly a few, so that several messages tell of one finger.
fn contacts() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0u32..3, 1 => any::<u32>()]
}

fn rotations() -> impl Strategy<Value = Option<u16>> {
    prop::option::of(0u16..=360)
}

pub(in crate::webrtc) fn bodies() -> impl Strategy<Value = Body> {
    let key = ((1u8.., any::<bool>()), 0u8..16, prop::option::of(0u8..8)).prop_map(
        |((code, down), modifiers, locks)| Body::Key {
            code: KeyCode(code),
            down,
            modifiers: Modifiers(modifiers),
            locks: locks.map(Locks),
        },
    );
    let button = (prop::sample::select(MouseButton::ALL.to_vec()), any::<bool>(), places())
        .prop_map(|(button, down, place)| Body::Button { button, down, place });
    let scroll = (any::<(i16, i16)>(), places()).prop_map(|((dx, dy), place)| Body::Scroll { dx, dy, place });
    let touch = (finger_phases(), contacts(), any::<(u16, u16, u16)>(), positions(), rotations()).prop_map(
        |(phase, contact, (pressure, major, minor), position, rotation)| {
            Body::Touch(Touch { phase, contact, position, pressure, rotation, ellipse: (major, minor) })
        },
    );
    let pen = (
        (prop::sample::select(PEN_PHASES.to_vec()), prop::sample::select(PEN_TOOLS.to_vec()), 0u8..8),
        (positions(), any::<u16>(), rotations(), prop::option::of(0u8..=90)),
    )
        .prop_map(|((phase, tool, buttons), (position, pressure, rotation, tilt))| {
            Body::Pen(Pen { phase, tool, buttons, position, pressure, rotation, tilt })
        });
    let connected = (indices(), prop::sample::select(GAMEPAD_KINDS.to_vec()), any::<(u16, u32)>()).prop_map(
        |(index, kind, (capabilities, buttons))| {
            let info = GamepadInfo {
                kind,
                capabilities: capabilities & CAPABILITIES,
                buttons: GamepadButtons(buttons & GAMEPAD_BUTTONS),
            };
            Body::GamepadConnected { index, info }
        },
    );
    let state = (indices(), any::<(u32, u8, u8)>(), any::<((i16, i16), (i16, i16))>()).prop_map(
        |(index, (buttons, left_trigger, right_trigger), (left_stick, right_stick))| {
            let buttons = GamepadButtons(buttons & GAMEPAD_BUTTONS);
            let state = GamepadState { buttons, left_trigger, right_trigger, left_stick, right_stick };
            Body::Gamepad { index, state }
        },
    );
    let finite = || prop::num::f32::NORMAL | prop::num::f32::ZERO | prop::num::f32::NEGATIVE;
    let sensors = prop::sample::select(vec![Sensor::Accelerometer, Sensor::Gyroscope]);
    let motion = (indices(), sensors, [finite(), finite(), finite()]).prop_map(|(index, sensor, value)| {
        Body::GamepadMotion { index, reading: SensorReading { sensor, value } }
    });
    let finger = (indices(), finger_phases(), 0u8..2, (contacts(), any::<u16>()), positions()).prop_map(
        |(index, phase, touchpad, (contact, pressure), position)| Body::GamepadTouch {
            index,
            touch: GamepadTouch { phase, touchpad, contact, position, pressure },
        },
    );
    let held = (prop::collection::vec(1u8.., 0..8), 0u8..32).prop_map(|(keys, buttons)| Body::Held {
        keys: keys.into_iter().map(KeyCode).collect(),
        buttons: Buttons(buttons << 1),
    });
    prop_oneof![
        key,
        "\\PC{1,100}".prop_map(Body::Text),
        button,
        scroll,
        said_places().prop_map(Body::Pointer),
        touch,
        pen,
        connected,
        indices().prop_map(|index| Body::GamepadDisconnected { index }),
        state,
        motion,
        finger,
        held,
        Just(Body::ReleaseAll),
    ]
}

proptest! {
    #[test]
    fn a_message_is_read_as_it_was_written(message in messages()) {
        let bytes = message.to_bytes();
        let mut taken = 0;
        for channel in [Channel::Input, Channel::Motion] {
            let parsed = InputMessage::parse(channel, &bytes);
            if message.body.may_come_on(channel) {
                prop_assert_eq!(parsed.as_ref(), Ok(&message));
                taken += 1;
            } else {
                prop_assert_eq!(parsed, Err(Fault::WrongChannel));
            }
        }
        prop_assert!(taken > 0, "no channel takes it");
    }

    #[test]
    fn what_is_read_is_written_to_the_same_bytes(
        sequence in any::<u32>(),
        kind in 0u8..16,
        body in prop::collection::vec(prop_oneof![3 => 0u8..3, 1 => any::<u8>()], 0..24),
    ) {
        let bytes = [&sequence.to_be_bytes()[..], &[kind], &body].concat();
        for channel in [Channel::Input, Channel::Motion] {
            if let Ok(message) = InputMessage::parse(channel, &bytes) {
                // Keys are a set, in no order; of gamepads, what has no meaning is left out.
                if ![HELD, GAMEPAD_CONNECTED, GAMEPAD].contains(&kind) {
                    prop_assert_eq!(message.to_bytes(), &bytes[..]);
                }
                prop_assert_eq!(InputMessage::parse(channel, &message.to_bytes()), Ok(message));
            }
        }
    }
}
