use super::*;
use crate::input::{KeyCode, Modifiers};
use crate::test_picture::font::{self, glyph};

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
fn a_touch_is_a_pointer_with_its_left_button_down() {
    let desktop = desktop();
    let touch = |phase, x, y| {
        let position = place(x, y);
        HostInput::Touch(Touch { phase, contact: 1, position, pressure: 0, rotation: None, ellipse: (0, 0) })
    };
    desktop.handle(&touch(PointerPhase::Down, 320, 359));
    let (at, buttons) = desktop.scene().pointer.expect("a pointer");
    assert_eq!((at, buttons.has(MouseButton::Left)), (Point { x: 640, y: 718 }, true));
    desktop.handle(&touch(PointerPhase::Move, 160, 180));
    assert!(desktop.scene().strokes[0].pressed);
    desktop.handle(&touch(PointerPhase::Up, 160, 180));
    assert!(!desktop.scene().pointer.expect("a pointer").1.any());
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
