use proptest::prelude::*;

use super::*;
use crate::gamestream::wire::tests::hex;

fn packet(input: HostInput) -> Vec<u8> {
    let mut bytes = Vec::new();
    Input::from(input).emit(&mut bytes);
    bytes
}

fn slot(number: u8) -> GamepadSlot {
    GamepadSlot::new(number).unwrap()
}

/// The vectors of streams 10.4 that somebody can do, with what they are.
fn vectors() -> Vec<(&'static str, HostInput)> {
    let position = |x, y| Position { x, y };
    let motion =
        |sensor, value| HostInput::GamepadMotion { slot: slot(1), reading: SensorReading { sensor, value } };
    vec![
        ("0000000807000000000afffb", HostInput::PointerBy { dx: 10, dy: -5 }),
        ("000000050800000001", HostInput::Button { button: MouseButton::Left, down: true }),
        ("000000050900000003", HostInput::Button { button: MouseButton::Right, down: false }),
        ("0000000a0a000000ff88ff880000", HostInput::Scroll { horizontal: false, amount: -120 }),
        ("0000000601000055003c", HostInput::Scroll { horizontal: true, amount: 60 }),
        (
            "0000000a03000000004180010000",
            HostInput::Key { code: KeyCode(b'A'), down: true, modifiers: Modifiers::SHIFT },
        ),
        ("000000051700000061", HostInput::Text('a')),
        ("0000000617000000c3a9", HostInput::Text('é')),
        ("0000000717000000e282ac", HostInput::Text('€')),
        (
            "0000000c0400005501023b01ffff3000",
            HostInput::GamepadConnected {
                slot: slot(1),
                info: GamepadInfo {
                    kind: GamepadKind::PlayStation,
                    capabilities: 0x13b,
                    buttons: GamepadButtons(0x0030_ffff),
                },
            },
        ),
        (
            "0000001e0c0000001a000100030014000000000000000000000000009c0000005500",
            HostInput::Gamepad { slot: slot(1), state: GamepadState::default(), active: 3 },
        ),
        (
            "0000001e0c0000001a00010003001400001080ff0080ff7fe80318fc9c0001005500",
            HostInput::Gamepad {
                slot: slot(1),
                state: GamepadState {
                    buttons: GamepadButtons(0x0001_1000),
                    left_trigger: 0x80,
                    right_trigger: 0xff,
                    left_stick: (i16::MIN, i16::MAX),
                    right_stick: (1000, -1000),
                },
                active: 3,
            },
        ),
        (
            "000000140600005501010000000000000ae81c410000003f",
            motion(Sensor::Accelerometer, [0.0, 9.80665, 0.5]),
        ),
        ("000000140600005501020000000000000000000000000000", motion(Sensor::Gyroscope, [0.0; 3])),
        ("0000000e050000000000000000007fff7fff", HostInput::PointerTo(position(0, 0))),
        ("0000000e050000000001400000007fff7fff", HostInput::PointerTo(position(2, 0x8000))),
        ("0000000e050000007fff7fff00007fff7fff", HostInput::PointerTo(position(0xffff, 0xffff))),
    ]
}

#[test]
fn the_documents_packets_are_what_somebody_did_and_back() {
    for (bytes, input) in vectors() {
        assert_eq!(packet(input), hex(bytes), "{input:?}");
        assert_eq!(HostInput::try_from(&Input::parse(&hex(bytes)).unwrap()), Ok(input), "{bytes}");
    }
}

#[test]
fn haptics_batteries_and_all_fingers_are_nothing_that_somebody_does() {
    let mut all_fingers = hex("00000020020000550100ffff2a0000000000003f0000803e0000403f0ad7233c0ad7a33c");
    all_fingers[8] = PointerEvent::CancelAll as u8;
    for packet in [hex("000000060d0000000100"), hex("000000080700005501034d00"), all_fingers] {
        assert_eq!(HostInput::try_from(&Input::parse(&packet).unwrap()), Err(NotHostInput));
    }
}

#[test]
fn a_place_on_any_plane_is_a_share_of_the_picture() {
    let share = |x, y, width, height| {
        let Position { x, y } = MousePosition { x, y, width, height }.into();
        (x, y)
    };
    assert_eq!(share(480, 135, 1921, 541), (16_383, 16_383));
    assert_eq!(share(1920, 540, 1921, 541), (0xffff, 0xffff));
    assert_eq!(share(-5, i16::MAX, 640, 360), (0, 0xffff));
    assert_eq!(share(7, 0, 0, 1), (0xffff, 0));
}

#[test]
fn feedback_is_for_gamepads_that_there_can_be() {
    let gamepad = slot(15);
    for (message, wanted) in [
        (
            HostMessage::Rumble { controller: 15, low_frequency: 1, high_frequency: 2 },
            HostFeedback::Rumble { gamepad, low: 1, high: 2 },
        ),
        (
            HostMessage::RumbleTriggers { controller: 15, left: 3, right: 4 },
            HostFeedback::TriggerRumble { gamepad, left: 3, right: 4 },
        ),
        (HostMessage::Led { controller: 15, rgb: [1, 2, 3] }, HostFeedback::Led { gamepad, rgb: [1, 2, 3] }),
        (
            HostMessage::Motion { controller: 15, rate: 100, sensor: 2 },
            HostFeedback::Motion { gamepad, sensor: Sensor::Gyroscope, rate: 100 },
        ),
    ] {
        assert_eq!(feedback(&message), Some(wanted));
        assert_eq!(HostMessage::from(wanted), message);
    }
    let none = HostMessage::Rumble { controller: 16, low_frequency: 1, high_frequency: 2 };
    assert_eq!(feedback(&none), None);
    assert_eq!(feedback(&HostMessage::Motion { controller: 0, rate: 100, sensor: 3 }), None);
}

/// Everything that there is to do. Places have only the bits that a packet carries.
pub(crate) fn any_host_input() -> impl Strategy<Value = HostInput> {
    let slot = || (0u8..16).prop_map(slot);
    let position = || any::<(u16, u16)>().prop_map(|(x, y)| Position { x, y });
    let phase = || {
        use PointerPhase::{Buttons, Cancel, Down, Hover, Leave, Move, Up};
        proptest::sample::select(vec![Hover, Down, Move, Up, Cancel, Leave, Buttons])
    };
    let button = proptest::sample::select(&MouseButton::ALL[..]);
    let info = (0usize..5, any::<u16>(), any::<u32>()).prop_map(|(kind, capabilities, buttons)| {
        GamepadInfo { kind: ControllerKind::ALL[kind].into(), capabilities, buttons: GamepadButtons(buttons) }
    });
    let state = any::<(u32, u8, u8, (i16, i16), (i16, i16))>().prop_map(
        |(buttons, left_trigger, right_trigger, left_stick, right_stick)| GamepadState {
            buttons: GamepadButtons(buttons),
            left_trigger,
            right_trigger,
            left_stick,
            right_stick,
        },
    );
    let axis = || -1000f32..1000.0;
    let reading = (any::<bool>(), axis(), axis(), axis()).prop_map(|(turns, x, y, z)| SensorReading {
        sensor: if turns { Sensor::Gyroscope } else { Sensor::Accelerometer },
        value: [x, y, z],
    });
    let rotation = || proptest::option::of(0u16..=360);
    prop_oneof![
        (any::<u8>(), any::<bool>(), 0u8..16).prop_map(|(code, down, modifiers)| HostInput::Key {
            code: KeyCode(code),
            down,
            modifiers: Modifiers(modifiers),
        }),
        any::<char>().prop_map(HostInput::Text),
        position().prop_map(|Position { x, y }| {
            let carried = |share: u16| if share >= 0xfffe { 0xffff } else { share & !1 };
            HostInput::PointerTo(Position { x: carried(x), y: carried(y) })
        }),
        any::<(i16, i16)>().prop_map(|(dx, dy)| HostInput::PointerBy { dx, dy }),
        (button, any::<bool>()).prop_map(|(button, down)| HostInput::Button { button, down }),
        any::<(bool, i16)>().prop_map(|(horizontal, amount)| HostInput::Scroll { horizontal, amount }),
        (phase(), any::<u32>(), position(), any::<u16>(), rotation(), any::<(u16, u16)>()).prop_map(
            |(phase, contact, position, pressure, rotation, ellipse)| HostInput::Touch(Touch {
                phase,
                contact,
                position,
                pressure,
                rotation,
                ellipse,
            })
        ),
        (phase(), 0usize..3, 0u8..8, position(), any::<u16>(), rotation(), proptest::option::of(0u8..=90))
            .prop_map(|(phase, tool, buttons, position, pressure, rotation, tilt)| HostInput::Pen(Pen {
                phase,
                tool: [PenTool::Unknown, PenTool::Pen, PenTool::Eraser][tool],
                buttons,
                position,
                pressure,
                rotation,
                tilt,
            })),
        (slot(), info).prop_map(|(slot, info)| HostInput::GamepadConnected { slot, info }),
        (slot(), state, any::<u16>()).prop_map(|(slot, state, active)| HostInput::Gamepad {
            slot,
            state,
            active
        }),
        (slot(), reading).prop_map(|(slot, reading)| HostInput::GamepadMotion { slot, reading }),
        (slot(), phase(), 0u8..2, any::<u32>(), position(), any::<u16>()).prop_map(
            |(slot, phase, touchpad, contact, position, pressure)| HostInput::GamepadTouch {
                slot,
                touch: GamepadTouch { phase, touchpad, contact, position, pressure },
            }
        ),
    ]
}

proptest! {
    #[test]
    fn whatever_somebody_does_arrives_at_a_host_as_it_was(input in any_host_input()) {
        let packet = packet(input);
        prop_assert_eq!(HostInput::try_from(&Input::parse(&packet).unwrap()), Ok(input));
    }

    #[test]
    fn a_place_loses_its_lowest_bit_at_most(x: u16, y: u16) {
        let Input::MousePosition(sent) = Input::from(HostInput::PointerTo(Position { x, y })) else { unreachable!() };
        let arrived = Position::from(sent);
        prop_assert!(arrived.x.abs_diff(x) <= 1 && arrived.y.abs_diff(y) <= 1);
    }
}
