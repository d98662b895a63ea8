use super::*;
use crate::input::{KeyCode, Modifiers};

fn desktop() -> Desktop {
    Desktop::new(PictureSize::new(1280, 720).unwrap())
}

/// In the middle of a pixel of a picture of 640x360.
fn position(x: u32, y: u32) -> HostInput {
    HostInput::PointerTo(place(x, y))
}

fn place(x: u32, y: u32) -> Position {
    let share = |at: u32, side: u32| ((2 * at + 1) * 0x8000 / side) as u16;
    Position { x: share(x, 640), y: share(y, 360) }
}

fn key(code: u8, down: bool) -> HostInput {
    HostInput::Key { code: KeyCode(code), down, modifiers: Modifiers::default() }
}

fn pointer(desktop: &Desktop) -> (usize, usize) {
    let (Point { x, y }, _) = desktop.scene().pointer.expect("a pointer");
    (x, y)
}

#[test]
fn a_place_is_a_pixel_of_the_picture() {
    let desktop = desktop();
    assert_eq!(desktop.scene().pointer, None);
    desktop.handle(&position(320, 90));
    assert_eq!(pointer(&desktop), (640, 180));
    desktop.handle(&HostInput::PointerTo(Position { x: 0, y: u16::MAX }));
    assert_eq!(pointer(&desktop), (0, 719));
}

#[test]
fn a_relative_move_begins_in_the_middle_and_stays_within_the_picture() {
    let desktop = desktop();
    desktop.handle(&HostInput::PointerBy { dx: 10, dy: -20 });
    assert_eq!(pointer(&desktop), (650, 340));
    desktop.handle(&HostInput::PointerBy { dx: i16::MIN, dy: i16::MAX });
    assert_eq!(pointer(&desktop), (0, 719));
}

#[test]
fn a_stroke_is_told_once_and_whether_a_button_was_down() {
    let desktop = desktop();
    for input in [position(10, 10), position(20, 10)] {
        desktop.handle(&input);
    }
    desktop.handle(&HostInput::Button { button: MouseButton::Right, down: true });
    desktop.handle(&position(20, 30));
    desktop.handle(&HostInput::Button { button: MouseButton::Right, down: false });
    desktop.handle(&position(20, 30));
    let point = |x, y| Point { x, y };
    let stroke = |from, to, pressed| Stroke { from, to, pressed };
    let scene = desktop.scene();
    let (before, at, after) = (point(20, 20), point(40, 20), point(40, 60));
    assert_eq!(
        scene.strokes,
        [stroke(before, at, false), stroke(at, at, true), stroke(at, after, true)],
        "the first move comes from nowhere, the last leads nowhere"
    );
    assert_eq!(desktop.scene().strokes, []);
}

#[test]
fn each_finger_is_where_it_is_until_it_lifts_and_leaves_a_line() {
    let desktop = desktop();
    let touch = |phase, contact, x, y| {
        let position = place(x, y);
        HostInput::Touch(Touch { phase, contact, position, pressure: 0, rotation: None, ellipse: (0, 0) })
    };
    let point = |x, y| Point { x, y };
    desktop.handle(&touch(PointerPhase::Down, 1, 320, 90));
    desktop.handle(&touch(PointerPhase::Down, 2, 10, 10));
    desktop.handle(&touch(PointerPhase::Move, 1, 160, 90));
    desktop.handle(&touch(PointerPhase::Move, 3, 160, 90));
    let scene = desktop.scene();
    let finger = Contact::Finger;
    assert_eq!(scene.contacts, [(point(320, 180), finger), (point(20, 20), finger)]);
    assert!(scene.strokes.iter().all(|stroke| stroke.pressed));
    assert_eq!(scene.strokes[2], Stroke { from: point(640, 180), to: point(320, 180), pressed: true });
    assert_eq!(scene.pointer, None, "the mouse is elsewhere");
    desktop.handle(&touch(PointerPhase::Up, 1, 160, 90));
    desktop.handle(&touch(PointerPhase::Cancel, 2, 160, 90));
    assert_eq!(desktop.scene().contacts, []);
    for contact in 0..1000 {
        desktop.handle(&touch(PointerPhase::Down, contact, 1, 1));
    }
    assert_eq!(desktop.scene().contacts.len(), MAX_FINGERS);
}

#[test]
fn a_pen_is_seen_while_it_is_near_and_draws_while_it_touches() {
    let desktop = desktop();
    let pen = |phase, x, y| {
        let (tool, position) = (crate::input::PenTool::Pen, place(x, y));
        HostInput::Pen(Pen { phase, tool, buttons: 0, position, pressure: 0, rotation: None, tilt: None })
    };
    let seen = |phase, x, y| {
        desktop.handle(&pen(phase, x, y));
        let scene = desktop.scene();
        (scene.contacts.first().map(|(_, contact)| *contact), scene.strokes.len())
    };
    let near = Some(Contact::Pen { down: false });
    let down = Some(Contact::Pen { down: true });
    assert_eq!(seen(PointerPhase::Hover, 10, 10), (near, 0));
    assert_eq!(seen(PointerPhase::Down, 10, 10), (down, 1));
    assert_eq!(seen(PointerPhase::Buttons, 10, 10), (down, 1));
    assert_eq!(seen(PointerPhase::Move, 20, 10), (down, 1));
    assert_eq!(seen(PointerPhase::Up, 20, 10), (near, 0));
    assert_eq!(seen(PointerPhase::Leave, 20, 10), (None, 0));
}

#[test]
fn typed_text_stands_in_capitals_and_the_last_of_it_stays() {
    let desktop = desktop();
    for letter in "aé b".chars() {
        desktop.handle(&HostInput::Text(letter));
    }
    assert_eq!(desktop.scene().text, format!("A{} B", font::MISSING));
    for letter in ('0'..='9').cycle().take(100) {
        desktop.handle(&HostInput::Text(letter));
    }
    assert_eq!(desktop.scene().text, "0123456789".repeat(4));
}

#[test]
fn gamepads_are_named_while_they_are_plugged_in_with_what_is_pressed() {
    use crate::input::{GamepadButtons, GamepadInfo, GamepadSlot, GamepadState};

    let desktop = desktop();
    let slot = |number| GamepadSlot::new(number).unwrap();
    desktop.handle(&HostInput::GamepadConnected { slot: slot(0), info: GamepadInfo::default() });
    assert_eq!(desktop.scene().gamepads, "PAD0");
    let rest = GamepadState::default();
    let state =
        GamepadState { buttons: GamepadButtons(0x1100), right_trigger: 1, left_stick: (0, -1), ..rest };
    desktop.handle(&HostInput::Gamepad { slot: slot(3), state, active: 9 });
    assert_eq!(desktop.scene().gamepads, "PAD0 PAD3 LB A RT LEFT*");
    desktop.handle(&HostInput::Gamepad { slot: slot(0), state: rest, active: 8 });
    desktop.handle(&HostInput::Gamepad { slot: slot(3), state: rest, active: 8 });
    assert_eq!(desktop.scene().gamepads, "PAD3");
    let state = GamepadState { buttons: GamepadButtons(u32::MAX), ..rest };
    desktop.handle(&HostInput::Gamepad { slot: slot(3), state, active: 8 });
    let names = desktop.scene().gamepads;
    assert_eq!(names.split(' ').count(), 1 + 21, "{names}");
    assert!(names.chars().all(|letter| letter == ' ' || glyph(letter) != [0; font::HEIGHT]), "{names}");
}

#[test]
fn keys_are_named_while_they_are_down_oldest_first() {
    let desktop = desktop();
    for input in [key(0xa2, true), key(b'A', true), key(0x70, true), key(0x07, true), key(b'A', true)] {
        desktop.handle(&input);
    }
    assert_eq!(desktop.scene().keys, "CTRL F1 07 A");
    desktop.handle(&key(0xa2, false));
    assert_eq!(desktop.scene().keys, "F1 07 A");
    desktop.release_all();
    assert_eq!(desktop.scene().keys, "");
}

#[test]
fn every_key_has_a_name_and_every_name_has_letters() {
    for code in 0..=u8::MAX {
        let name = keys::name(code);
        assert!(!name.is_empty(), "{code:#04x}");
        for letter in name.chars() {
            assert_ne!(glyph(letter), [0; font::HEIGHT], "{letter:?} of {name}");
        }
    }
}

#[test]
fn no_two_letters_look_alike() {
    let letters: Vec<char> = ('!'..='~').filter(|&letter| glyph(letter) != [0; font::HEIGHT]).collect();
    for (i, &a) in letters.iter().enumerate() {
        for &b in &letters[..i] {
            assert_ne!(glyph(a), glyph(b), "{a} and {b}");
        }
    }
}

#[test]
fn a_stroke_fades_and_is_gone_later_when_it_was_drawn_with_a_button() {
    let mut trail = Trail::default();
    let to = Point { x: 9, y: 0 };
    let stroke = |pressed| Stroke { from: Point { x: 0, y: 0 }, to, pressed };
    trail.handle([stroke(false), stroke(true)].into(), Duration::from_secs(100), 1280);
    let mut left = |ms| {
        let now = Duration::from_millis(ms);
        trail.handle(VecDeque::new(), now, 1280);
        trail.strokes(now).map(|(stroke, left)| (stroke.pressed, left)).collect::<Vec<_>>()
    };
    assert_eq!(left(100_000), [(false, 1.0), (true, 1.0)]);
    assert_eq!(left(100_500), [(false, 0.5), (true, 0.9)]);
    assert_eq!(left(102_500), [(true, 0.5)]);
    assert_eq!(left(105_000), []);
}

#[test]
fn the_trail_is_bounded_in_number_and_length() {
    let desktop = desktop();
    for n in 0..10_000 {
        desktop.handle(&position(n % 2, 0));
    }
    let scene = desktop.scene();
    assert_eq!(scene.strokes.len(), MAX_STROKES);
    let mut trail = Trail::default();
    trail.handle(scene.strokes, Duration::ZERO, 1280);
    for n in 0..100 {
        desktop.handle(&position(n % 2 * 639, 0));
    }
    trail.handle(desktop.scene().strokes, Duration::ZERO, 1280);
    let lengths: Vec<usize> = trail.strokes(Duration::ZERO).map(|(stroke, _)| stroke.length()).collect();
    assert_eq!(lengths.iter().sum::<usize>(), trail.length);
    assert!(
        trail.length <= MAX_CROSSINGS * 1280 && trail.length > (MAX_CROSSINGS - 2) * 1280,
        "{}",
        trail.length
    );
}
