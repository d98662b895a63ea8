use proptest::prelude::*;

use super::controller::{BatteryState, ControllerId, ControllerKind, Sensor, Stick, buttons, capabilities};
use super::pointer::{Contact, PointerEvent, Position, Tool};
use super::*;
use crate::gamestream::wire::tests::hex;

/// Streams 10.4, in its order.
#[rustfmt::skip]
pub(crate) const PACKETS: [&str; 23] = [
    "000000060d0000000100",
    "0000000807000000000afffb",
    "0000000e05000000006400c80000077f0437",
    "000000050800000001",
    "000000050900000003",
    "0000000a0a000000ff88ff880000",
    "0000000601000055003c",
    "0000000a03000000004180010000",
    "0000000a04000000014180000000",
    "000000051700000061",
    "0000000617000000c3a9",
    "0000000717000000e282ac",
    "0000000c0400005501023b01ffff3000",
    "0000001e0c0000001a000100030014000000000000000000000000009c0000005500",
    "0000001e0c0000001a00010003001400001080ff0080ff7fe80318fc9c0001005500",
    "000000180500005501010001070000000000803e0000003f0000803f",
    "000000140600005501010000000000000ae81c410000003f",
    "000000140600005501020000000000000000000000000000",
    "000000080700005501034d00",
    "00000020020000550100ffff2a0000000000003f0000803e0000403f0ad7233c0ad7a33c",
    "000000200200005503005a002a0000000000003f0000803e0000403f0ad7233c0ad7a33c",
    "0000002003000055000100000000003f0000803e0000003effffff000000000000000000",
    "0000002003000055010201000000003f0000803e0000803f2d001e006f12833a6f12833a",
];

/// What the document says that they mean, with channel and whether the delivery is reliable.
fn meanings() -> [(Input, u8, bool); 23] {
    let key = |down, modifiers, not_normalised| Key { code: 0x41, down, modifiers, not_normalised };
    let pad = ControllerId::new(1).unwrap();
    let neutral = State::neutral(pad, 3);
    let pressed = State {
        buttons: buttons::A | buttons::PADDLE_1,
        left_trigger: 0x80,
        right_trigger: 0xff,
        left_stick: Stick { x: i16::MIN, y: i16::MAX },
        right_stick: Stick { x: 1000, y: -1000 },
        ..neutral
    };
    let fraction = Fraction::new;
    let position = |x, y| Position { x: fraction(x), y: fraction(y) };
    let touchpad = Touchpad {
        controller: pad,
        event: PointerEvent::Down,
        touchpad: 1,
        pointer: 7,
        position: position(0.25, 0.5),
        pressure: fraction(1.0),
    };
    let motion = |sensor, axes| Input::ControllerMotion(Motion { controller: pad, sensor, axes });
    let touch = Touch {
        event: PointerEvent::Down,
        pointer: 42,
        position: position(0.5, 0.25),
        pressure: fraction(0.75),
        rotation: None,
        contact: Contact { major: fraction(0.01), minor: fraction(0.02) },
    };
    let hover = Pen {
        event: PointerEvent::Hover,
        tool: Tool::Pen,
        buttons: 0,
        position: position(0.5, 0.25),
        pressure: fraction(0.125),
        rotation: None,
        tilt: None,
        contact: Contact::default(),
    };
    let pen = Pen {
        event: PointerEvent::Down,
        tool: Tool::Eraser,
        buttons: 1,
        pressure: fraction(1.0),
        rotation: Some(45),
        tilt: Some(30),
        contact: Contact { major: fraction(0.001), minor: fraction(0.001) },
        ..hover
    };
    let arrival = Arrival {
        controller: pad,
        kind: ControllerKind::PlayStation,
        capabilities: 0x013b,
        buttons: 0x0030_ffff,
    };
    let battery = Battery { controller: pad, state: BatteryState::Charging, percent: Some(77) };
    let plane = MousePosition { x: 100, y: 200, width: 1920, height: 1080 };
    [
        (Input::EnableHaptics, 0x00, true),
        (Input::MouseMove(MouseMove { dx: 10, dy: -5 }), 0x03, true),
        (Input::MousePosition(plane), 0x03, true),
        (Input::MouseButton { button: MouseButton::Left, down: true }, 0x03, true),
        (Input::MouseButton { button: MouseButton::Right, down: false }, 0x03, true),
        (Input::Scroll(-120), 0x03, true),
        (Input::ScrollHorizontal(60), 0x03, true),
        (Input::Key(key(true, modifiers::SHIFT, false)), 0x02, true),
        (Input::Key(key(false, 0, true)), 0x02, true),
        (Input::Text('a'), 0x06, true),
        (Input::Text('é'), 0x06, true),
        (Input::Text('€'), 0x06, true),
        (Input::ControllerArrival(arrival), 0x11, true),
        (Input::ControllerState(neutral), 0x11, true),
        (Input::ControllerState(pressed), 0x11, true),
        (Input::ControllerTouchpad(touchpad), 0x11, true),
        (motion(Sensor::Accelerometer, [0.0, 9.80665, 0.5]), 0x21, false),
        (motion(Sensor::Gyroscope, [0.0; 3]), 0x21, true),
        (Input::ControllerBattery(battery), 0x11, true),
        (Input::Touch(touch), 0x05, true),
        (Input::Touch(Touch { event: PointerEvent::Move, rotation: Some(90), ..touch }), 0x05, false),
        (Input::Pen(hover), 0x04, false),
        (Input::Pen(pen), 0x04, true),
    ]
}

fn emitted(input: &Input) -> Vec<u8> {
    let mut bytes = Vec::new();
    input.emit(&mut bytes);
    bytes
}

#[test]
fn the_documents_packets_parse_and_build_back() {
    for (packet, (input, channel, reliable)) in PACKETS.into_iter().zip(meanings()) {
        assert_eq!(Input::parse(&hex(packet)), Ok(input), "{packet}");
        assert_eq!(emitted(&input), hex(packet));
        let delivery = if reliable { Delivery::Reliable } else { Delivery::Unreliable };
        assert_eq!((input.channel(), input.delivery()), (channel, delivery), "{packet}");
    }
}

#[test]
fn the_documents_capabilities_have_names() {
    use capabilities::*;
    let named = ANALOG_TRIGGERS | RUMBLE | TOUCHPAD | ACCELEROMETER | GYROSCOPE | TWO_TOUCHPADS;
    assert_eq!(named, 0x013b);
}

#[test]
fn packets_of_the_wrong_length_are_refused() {
    for packet in PACKETS {
        let bytes = hex(packet);
        assert!(matches!(Input::parse(&bytes[..bytes.len() - 1]), Err(Malformed::Field { .. })), "{packet}");
        let mut longer = bytes.clone();
        longer.extend([0xff; 4]);
        longer[3] += 4;
        assert!(Input::parse(&longer).is_err(), "{packet}");
    }
    assert!(matches!(Input::parse(&[0; 7]), Err(Malformed::Short { .. })));
}

#[test]
fn values_that_no_client_sends_are_refused() {
    for (packet, at, value, field) in [
        (0, 8, 2, "haptics"),
        (0, 4, 0x0e, "input magic"),
        (2, 14, 0x80, "plane"),
        (3, 8, 6, "mouse button"),
        (5, 10, 0, "second amount"),
        (5, 13, 1, "third amount"),
        (7, 8, 2, "key flags"),
        (7, 10, 0, "high byte of the key code"),
        (7, 11, 0x10, "modifiers"),
        (9, 8, 0xff, "text"),
        (12, 8, 16, "controller"),
        (12, 9, 5, "controller kind"),
        (13, 8, 0, "constant of a controller's state"),
        (13, 11, 1, "controller"),
        (15, 11, 2, "touchpad"),
        (15, 27, 0x40, "fraction"),
        (16, 9, 3, "sensor"),
        (18, 9, 6, "battery state"),
        (18, 10, 101, "percent"),
        (19, 8, 8, "pointer event"),
        (20, 11, 2, "rotation"),
        (21, 9, 3, "tool"),
        (21, 10, 8, "pen buttons"),
        (22, 26, 91, "tilt"),
    ] {
        let mut bytes = hex(PACKETS[packet]);
        bytes[at] = value;
        let refused = Input::parse(&bytes);
        assert!(
            matches!(refused, Err(Malformed::Field { field: found, .. }) if found == field),
            "{field}: {refused:?}"
        );
    }
    let not_a_number = "00000014060000550101000000000000000000000000c07f";
    assert!(matches!(Input::parse(&hex(not_a_number)), Err(Malformed::Field { field: "axis", .. })));
}

#[test]
fn what_is_out_of_bounds_is_sent_within_them() {
    for (value, sent) in [(f32::NAN, 0.0f32), (-0.0, 0.0), (-1.0, 0.0), (2.0, 1.0), (f32::INFINITY, 1.0)] {
        assert_eq!(Fraction::new(value).0.to_bits(), sent.to_bits(), "{value}");
    }
    let controller = ControllerId::new(0).unwrap();
    let wild = Motion { controller, sensor: Sensor::Accelerometer, axes: [f32::NAN, f32::INFINITY, 1.0] };
    let tame = Motion { axes: [0.0, 0.0, 1.0], ..wild };
    assert_eq!(emitted(&Input::ControllerMotion(wild)), emitted(&Input::ControllerMotion(tame)));
    let empty = MousePosition { x: 0, y: 0, width: 0, height: u16::MAX };
    let least = MousePosition { width: 1, height: 32_768, ..empty };
    assert_eq!(emitted(&Input::MousePosition(empty)), emitted(&Input::MousePosition(least)));
    assert_eq!(ControllerId::new(16), None);
}

fn fraction() -> impl Strategy<Value = Fraction> {
    (0.0f32..=1.0).prop_map(Fraction::new)
}

fn pointer_inputs() -> impl Strategy<Value = Input> {
    let place = [fraction(), fraction(), fraction(), fraction(), fraction()];
    let rotation = prop::option::of(0u16..=360);
    let tilt = prop::option::of(0u8..=90);
    (place, 0usize..8, 0u8..3, 0u8..8, any::<u32>(), rotation, tilt).prop_map(
        |([x, y, pressure, major, minor], event, tool, buttons, pointer, rotation, tilt)| {
            let (position, contact) = (Position { x, y }, Contact { major, minor });
            let event = PointerEvent::ALL[event];
            if pointer % 2 == 0 {
                Input::Touch(Touch { event, pointer, position, pressure, rotation, contact })
            } else {
                let tool = [Tool::Unknown, Tool::Pen, Tool::Eraser][usize::from(tool)];
                Input::Pen(Pen { event, tool, buttons, position, pressure, rotation, tilt, contact })
            }
        },
    )
}

fn controller_inputs() -> impl Strategy<Value = Input> {
    let id = || (0u8..16).prop_map(|number| ControllerId::new(number).unwrap());
    let arrival = (id(), 0usize..5, any::<(u16, u32)>()).prop_map(|(controller, kind, more)| {
        let (capabilities, buttons) = more;
        Input::ControllerArrival(Arrival {
            controller,
            kind: ControllerKind::ALL[kind],
            capabilities,
            buttons,
        })
    });
    let state = (id(), any::<(u16, u32, [u8; 2], [i16; 4])>()).prop_map(|(controller, more)| {
        let (active, buttons, [left_trigger, right_trigger], axes) = more;
        Input::ControllerState(State {
            controller,
            active,
            buttons,
            left_trigger,
            right_trigger,
            left_stick: Stick { x: axes[0], y: axes[1] },
            right_stick: Stick { x: axes[2], y: axes[3] },
        })
    });
    let touchpad = (id(), 0usize..8, 0u8..2, any::<u32>(), [fraction(), fraction(), fraction()]).prop_map(
        |(controller, event, touchpad, pointer, [x, y, pressure])| {
            let (event, position) = (PointerEvent::ALL[event], Position { x, y });
            Input::ControllerTouchpad(Touchpad { controller, event, touchpad, pointer, position, pressure })
        },
    );
    let axis = || -1000.0f32..1000.0;
    let motion = (id(), any::<bool>(), [axis(), axis(), axis()]).prop_map(|(controller, gyroscope, axes)| {
        let sensor = if gyroscope { Sensor::Gyroscope } else { Sensor::Accelerometer };
        Input::ControllerMotion(Motion { controller, sensor, axes })
    });
    let battery = (id(), 0usize..6, prop::option::of(0u8..=100)).prop_map(|(controller, state, percent)| {
        Input::ControllerBattery(Battery { controller, state: BatteryState::ALL[state], percent })
    });
    prop_oneof![arrival, state, touchpad, motion, battery]
}

pub(crate) fn inputs() -> impl Strategy<Value = Input> {
    let mouse_buttons =
        [MouseButton::Left, MouseButton::Middle, MouseButton::Right, MouseButton::X1, MouseButton::X2];
    let key = (any::<u8>(), any::<bool>(), 0u8..16, any::<bool>()).prop_map(
        |(code, down, modifiers, not_normalised)| Input::Key(Key { code, down, modifiers, not_normalised }),
    );
    let position = (any::<[i16; 2]>(), 1u16..=32_768, 1u16..=32_768)
        .prop_map(|([x, y], width, height)| Input::MousePosition(MousePosition { x, y, width, height }));
    prop_oneof![
        Just(Input::EnableHaptics),
        key,
        any::<char>().prop_map(Input::Text),
        any::<[i16; 2]>().prop_map(|[dx, dy]| Input::MouseMove(MouseMove { dx, dy })),
        position,
        (0usize..5, any::<bool>())
            .prop_map(move |(button, down)| { Input::MouseButton { button: mouse_buttons[button], down } }),
        any::<i16>().prop_map(Input::Scroll),
        any::<i16>().prop_map(Input::ScrollHorizontal),
        pointer_inputs(),
        controller_inputs(),
    ]
}

proptest! {
    #[test]
    fn any_input_builds_and_parses_back(input in inputs()) {
        let bytes = emitted(&input);
        prop_assert_eq!(Input::parse(&bytes), Ok(input));
        prop_assert!(bytes.len() <= MAX_LEN);
        prop_assert!(input.channel() < 48);
    }
}
