//! What the test picture shows, drawn straight into its planes. Pure: the time is an argument.

mod overlay;

use std::time::Duration;

use openh264::formats::YUVSource;

use super::desktop::{Desktop, Trail};
use super::font::{self, glyph};
use super::{FLASH, PictureSize};

/// A picture, 4:2:0, BT.709 with limited range.
///
/// ```text
/// ██  ██ █   ██  █        the counter: 32 cells, lowest bit first, white for 1
///
///     moonlight-mux
///     HH:MM:SS.mmm        and behind it bars and a ball that move
///     UTC 1280x720 60 fps
/// ██   CTRL A             lit for 100 ms as each second begins; the keys that are down
/// ```
///
/// What a [`Desktop`] has, pointer, lines, fingers, keys and so on, is below the texts, the lamp and the counter, which stay readable.
pub(super) struct Picture {
    size: PictureSize,
    caption: String,
    desktop: Desktop,
    trail: Trail,
    /// What does not move.
    background: Planes,
    planes: Planes,
}

#[derive(Clone)]
struct Planes {
    width: usize,
    height: usize,
    y: Vec<u8>,
    /// A quarter of the size of `y`, as is `v`.
    u: Vec<u8>,
    v: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Colour {
    y: u8,
    u: u8,
    v: u8,
}

/// In pixels. May reach beyond the picture's right and lower edge: what is there is left out.
#[derive(Clone, Copy)]
struct Rect {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Rect {
    /// The same with even corners: colours have half the resolution, and what changes in colour alone the encoder takes for
    /// background and lets stand.
    fn aligned(self) -> Self {
        let Self { x, y, width, height } = self;
        Self { x: even(x), y: even(y), width: even(width + 1), height: even(height + 1) }
    }
}

impl Picture {
    pub(super) fn new(size: PictureSize, fps: u32, desktop: Desktop) -> Self {
        let background = Planes::gradient(size);
        let caption = format!("UTC  {size}  {fps} fps");
        let planes = background.clone();
        Self { size, caption, desktop, trail: Trail::default(), background, planes }
    }

    /// Draws the picture with number `counter` as of a time of day, given since the start of 1970.
    pub(super) fn draw(&mut self, counter: u32, utc: Duration) {
        let scale = Scale::new(self.size);
        let mut scene = self.desktop.scene();
        self.trail.handle(std::mem::take(&mut scene.strokes), utc, scale.width);
        let planes = &mut self.planes;
        planes.copy_from(&self.background);
        planes.bars(utc);
        planes.ball(utc);
        planes.trail(&self.trail, utc);
        if let Some((at, buttons)) = scene.pointer {
            planes.pointer(at, buttons);
        }
        planes.contacts(&scene.contacts);
        planes.keys(&scene, &scale);
        planes.words(&scene, &scale);
        let clock = time_of_day(utc);
        for (text, y, dot) in [
            (NAME, scale.name_y(), scale.small),
            (&clock, scale.clock_y(), scale.large),
            (&self.caption, scale.caption_y(), scale.small),
        ] {
            planes.text(text, scale.centred(text, dot), y, dot);
        }
        planes.lamp(utc);
        planes.counter(counter);
    }
}

impl YUVSource for Picture {
    fn dimensions(&self) -> (usize, usize) {
        (self.planes.width, self.planes.height)
    }

    fn strides(&self) -> (usize, usize, usize) {
        (self.planes.width, self.planes.width / 2, self.planes.width / 2)
    }

    fn y(&self) -> &[u8] {
        &self.planes.y
    }

    fn u(&self) -> &[u8] {
        &self.planes.u
    }

    fn v(&self) -> &[u8] {
        &self.planes.v
    }
}

/// How large letters are, and where they stand.
struct Scale {
    width: usize,
    height: usize,
    /// Pixels of a dot of the clock's letters.
    large: usize,
    /// Pixels of a dot of the other letters.
    small: usize,
}

impl Scale {
    fn new(size: PictureSize) -> Self {
        let (width, height) = (size.width() as usize, size.height() as usize);
        // The clock takes three quarters of the width, unless the picture is very wide.
        let large = even(width / 96).min(even(height / 36)).max(2);
        Self { width, height, large, small: even(large / 3).max(2) }
    }

    fn centred(&self, text: &str, dot: usize) -> usize {
        let width = (text.chars().count() * font::ADVANCE - 1) * dot;
        self.width.saturating_sub(width) / 2
    }

    fn clock_y(&self) -> usize {
        (self.height - font::HEIGHT * self.large) / 2
    }

    fn name_y(&self) -> usize {
        self.clock_y().saturating_sub(2 * font::HEIGHT * self.small)
    }

    fn caption_y(&self) -> usize {
        self.clock_y() + font::HEIGHT * (self.large + self.small)
    }
}

impl Planes {
    /// From deep blue above to violet below, lighter to the right.
    fn gradient(size: PictureSize) -> Self {
        let (width, height) = (size.width() as usize, size.height() as usize);
        let across: Vec<usize> = (0..width).map(|x| 40 * x / width).collect();
        let (mut y, mut u, mut v) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..height {
            let down = 40 + 30 * row / height;
            y.extend(across.iter().map(|across| (across + down) as u8));
        }
        for row in 0..height / 2 {
            let down = 40 * row / height;
            u.extend((0..width / 2).map(|_| (160 - down) as u8));
            v.extend(across.iter().step_by(2).map(|across| (112 + 2 * down + across / 5) as u8));
        }
        Self { width, height, y, u, v }
    }

    fn copy_from(&mut self, other: &Self) {
        self.y.copy_from_slice(&other.y);
        self.u.copy_from_slice(&other.u);
        self.v.copy_from_slice(&other.v);
    }

    /// The lowest bit is the left cell. Its cells are square at usual sizes, as in the recorded sessions.
    fn counter(&mut self, counter: u32) {
        let height = even((self.width / CELLS).max(self.height / 45).min(self.height / 8));
        for cell in 0..CELLS {
            let (left, right) = (cell * self.width / CELLS, (cell + 1) * self.width / CELLS);
            let colour = if counter >> cell & 1 == 1 { WHITE } else { BLACK };
            self.fill(Rect { x: left, y: 0, width: right - left, height }, colour);
        }
    }

    /// Bars that cross the picture, each at its own pace.
    fn bars(&mut self, utc: Duration) {
        let (width, height) = (self.width / 12, self.height / 40);
        for (i, colour) in (0..).zip(BARS) {
            let y = self.height * (3 + 2 * i) / 20;
            let x = swing(utc, Duration::from_millis(5000 + 1300 * i as u64), self.width - width);
            self.fill(Rect { x, y, width, height }.aligned(), colour);
        }
    }

    fn ball(&mut self, utc: Duration) {
        let radius = self.height.min(self.width) / 16;
        let x = radius + swing(utc, Duration::from_millis(7000), self.width - 2 * radius);
        let top = self.height / 8;
        let y = top + radius + swing(utc, Duration::from_millis(3300), self.height - top - 2 * radius);
        for row in (0..2 * radius).step_by(2) {
            let above = radius.abs_diff(row);
            let half = (radius * radius - above * above).isqrt();
            let rect = Rect { x: x - half, y: y - radius + row, width: 2 * half, height: 2 };
            self.fill(rect.aligned(), BALL);
        }
    }

    /// Lit as each second begins, while the sound ticks.
    fn lamp(&mut self, utc: Duration) {
        let colour = if utc.subsec_nanos() < FLASH.subsec_nanos() { WHITE } else { BLACK };
        self.fill(self.lamp_rect().aligned(), colour);
    }

    fn lamp_rect(&self) -> Rect {
        let side = self.height.min(self.width) / 10;
        Rect { x: side / 4, y: self.height - side - side / 4, width: side, height: side }
    }

    fn text(&mut self, text: &str, x: usize, y: usize, dot: usize) {
        for (i, letter) in text.chars().enumerate() {
            let left = x + i * font::ADVANCE * dot;
            for (row, dots) in glyph(letter).into_iter().enumerate() {
                for column in (0..5).filter(|column| dots >> (4 - column) & 1 == 1) {
                    let rect = Rect { x: left + column * dot, y: y + row * dot, width: dot, height: dot };
                    self.fill(rect.aligned(), WHITE);
                }
            }
        }
    }

    fn fill(&mut self, rect: Rect, colour: Colour) {
        let (left, right) = (rect.x.min(self.width), (rect.x + rect.width).min(self.width));
        let (top, bottom) = (rect.y.min(self.height), (rect.y + rect.height).min(self.height));
        if left == right || top == bottom {
            return;
        }
        for row in top..bottom {
            self.y[row * self.width..][left..right].fill(colour.y);
        }
        let stride = self.width / 2;
        for row in top / 2..bottom.div_ceil(2) {
            self.u[row * stride..][left / 2..right.div_ceil(2)].fill(colour.u);
            self.v[row * stride..][left / 2..right.div_ceil(2)].fill(colour.v);
        }
    }
}

fn even(pixels: usize) -> usize {
    pixels & !1
}

/// `HH:MM:SS.mmm`.
fn time_of_day(utc: Duration) -> String {
    let seconds = utc.as_secs() % 86_400;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", seconds % 60, utc.subsec_millis())
}

/// Goes from 0 to `travel` and back within `period`.
fn swing(utc: Duration, period: Duration, travel: usize) -> usize {
    let phase = utc.as_nanos() % period.as_nanos();
    let there = phase.min(period.as_nanos() - phase) * 2;
    (travel as u128 * there / period.as_nanos()) as usize
}

const CELLS: usize = 32;
const NAME: &str = "moonlight-mux";

const WHITE: Colour = Colour { y: 235, u: 128, v: 128 };
const BLACK: Colour = Colour { y: 16, u: 128, v: 128 };
const BALL: Colour = Colour { y: 180, u: 60, v: 160 };
const BARS: [Colour; 8] = [
    Colour { y: 190, u: 40, v: 140 },
    Colour { y: 170, u: 150, v: 50 },
    Colour { y: 160, u: 70, v: 60 },
    Colour { y: 150, u: 170, v: 180 },
    Colour { y: 140, u: 100, v: 200 },
    Colour { y: 170, u: 170, v: 120 },
    Colour { y: 160, u: 80, v: 180 },
    Colour { y: 190, u: 110, v: 100 },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{
        GamepadButtons, GamepadSlot, GamepadState, HostInput, KeyCode, Modifiers, MouseButton, Pen, PenTool,
        PointerPhase, Position, Touch,
    };
    use crate::test_picture::testing::read_counter;

    fn size(width: u32, height: u32) -> PictureSize {
        PictureSize::new(width, height).unwrap()
    }

    fn picture(size: PictureSize) -> Picture {
        Picture::new(size, 60, Desktop::new(size))
    }

    #[test]
    fn the_clock_shows_the_time_of_day() {
        assert_eq!(time_of_day(Duration::ZERO), "00:00:00.000");
        assert_eq!(time_of_day(Duration::from_millis(86_399_999)), "23:59:59.999");
        // `date -u -d @1700000000`
        assert_eq!(time_of_day(Duration::from_millis(1_700_000_000_042)), "22:13:20.042");
    }

    #[test]
    fn all_that_is_written_has_letters() {
        let picture = picture(size(1280, 720));
        let clock = time_of_day(Duration::from_millis(1_234_567_890));
        let written = [NAME, &picture.caption, &clock, "0123456789"].concat();
        for letter in written.chars().filter(|letter| !letter.is_whitespace()) {
            assert_ne!(glyph(letter), [0; font::HEIGHT], "{letter:?}");
        }
    }

    #[test]
    fn the_counter_can_be_read_at_every_size() {
        let counters = [0, 1, 0x8000_0001, 0xaaaa_aaaa, u32::MAX];
        for (width, height) in [(64, 64), (66, 2160), (2160, 3840), (3840, 64), (1280, 720), (854, 480)] {
            let mut picture = picture(size(width, height));
            for counter in counters {
                picture.draw(counter, Duration::from_millis(1_234_567_890));
                assert_eq!(read_counter(&picture), counter, "{width}x{height}");
            }
        }
    }

    #[test]
    fn it_moves_and_the_lamp_is_lit_as_a_second_begins() {
        let mut picture = picture(size(1280, 720));
        let mut draw = |ms| {
            picture.draw(7, Duration::from_millis(ms));
            picture.planes.y.clone()
        };
        let (first, same, next) = (draw(5000), draw(5000), draw(5016));
        assert_eq!(first, same);
        assert_ne!(first, next);
        // In the middle of the lamp.
        let lamp = |luma: &[u8]| luma[(720 - 18 - 36) * 1280 + 18 + 36];
        let lit = [4999, 5000, 5099, 5100].map(|ms| lamp(&draw(ms)) > 127);
        assert_eq!(lit, [false, true, true, false]);
    }

    /// In the middle of the right third, away from all text.
    const AT: (usize, usize) = (1100, 100);

    fn desktop_at(at: (usize, usize)) -> Desktop {
        let desktop = Desktop::new(size(1280, 720));
        point_to(&desktop, at);
        desktop
    }

    fn point_to(desktop: &Desktop, (x, y): (usize, usize)) {
        let share = |at: usize, side: usize| ((2 * at + 1) * 0x8000 / side) as u16;
        desktop.handle(&HostInput::PointerTo(Position { x: share(x, 1280), y: share(y, 720) }));
    }

    fn colour(picture: &Picture, (x, y): (usize, usize)) -> Colour {
        let (Planes { width, y: luma, u, v, .. }, half) = (&picture.planes, (y / 2) * 640 + x / 2);
        Colour { y: luma[y * width + x], u: u[half], v: v[half] }
    }

    #[test]
    fn the_pointer_shows_where_it_is_and_which_button_is_down() {
        let desktop = desktop_at(AT);
        let mut picture = Picture::new(size(1280, 720), 60, desktop.clone());
        let (x, y) = AT;
        let places = [
            (MouseButton::Left, (x - 14, y - 6)),
            (MouseButton::Middle, (x, y - 12)),
            (MouseButton::Right, (x + 14, y - 6)),
            (MouseButton::X1, (x - 10, y + 8)),
            (MouseButton::X2, (x + 10, y + 8)),
        ];
        for (pressed, _) in places {
            desktop.handle(&HostInput::Button { button: pressed, down: true });
            picture.draw(7, Duration::from_secs(5));
            for (button, place) in places {
                let wanted = if button == pressed { overlay::PRESSED } else { WHITE };
                assert_eq!(colour(&picture, place), wanted, "{button:?} while {pressed:?} is down");
            }
            desktop.handle(&HostInput::Button { button: pressed, down: false });
        }
        assert_eq!(colour(&picture, (x + 24, y)), BLACK, "its rim");
    }

    #[test]
    fn a_line_that_was_drawn_stays_for_some_seconds() {
        let desktop = desktop_at((1000, 100));
        let mut picture = Picture::new(size(1280, 720), 60, desktop.clone());
        desktop.handle(&HostInput::Button { button: MouseButton::Left, down: true });
        for at in [AT, (1100, 160), (1200, 220)] {
            point_to(&desktop, at);
        }
        let places = [(1040, 99), (1099, 140), (1149, 189)];
        let shown = |ms| {
            picture.draw(7, Duration::from_millis(ms));
            places.map(|place| colour(&picture, place) == overlay::DRAWN)
        };
        let all = [5000, 6000, 9900, 10_000].map(shown);
        assert_eq!(all, [[true; 3], [true; 3], [true; 3], [false; 3]]);
    }

    #[test]
    fn keys_stand_beside_the_lamp_while_they_are_down() {
        let desktop = Desktop::new(size(1280, 720));
        let mut picture = Picture::new(size(1280, 720), 60, desktop.clone());
        let without = drawn(&mut picture);
        let key = |code, down| HostInput::Key { code: KeyCode(code), down, modifiers: Modifiers::default() };
        desktop.handle(&key(b'T', true));
        let with = drawn(&mut picture);
        let changed: Vec<_> = (0..with.len()).filter(|&i| with[i] != without[i]).collect();
        // A T has 5 dots across and 6 below, each of 6x6 pixels, some of which are white anyway.
        assert!((200..=11 * 36).contains(&changed.len()), "{} pixels", changed.len());
        for (x, y) in changed.iter().map(|i| (i % 1280, i / 1280)) {
            assert!((90..200).contains(&x) && y >= 630, "{x},{y}");
            assert_eq!(with[y * 1280 + x], WHITE.y);
        }
        desktop.handle(&key(b'T', false));
        assert!(drawn(&mut picture) == without, "as before");
    }

    #[test]
    fn fingers_and_pens_are_discs_and_text_and_gamepads_stand_above_the_lamp() {
        let desktop = Desktop::new(size(1280, 720));
        let mut picture = Picture::new(size(1280, 720), 60, desktop.clone());
        let without = drawn(&mut picture);
        let place = |x: usize, y: usize| {
            let share = |at: usize, side: usize| ((2 * at + 1) * 0x8000 / side) as u16;
            Position { x: share(x, 1280), y: share(y, 720) }
        };
        let finger = |phase, contact, x, y| {
            let position = place(x, y);
            HostInput::Touch(Touch { phase, contact, position, pressure: 0, rotation: None, ellipse: (0, 0) })
        };
        let pen = |phase, x, y| {
            let (tool, position) = (PenTool::Pen, place(x, y));
            HostInput::Pen(Pen { phase, tool, buttons: 0, position, pressure: 0, rotation: None, tilt: None })
        };
        for input in [
            finger(PointerPhase::Down, 1, 1100, 100),
            finger(PointerPhase::Down, 2, 1100, 200),
            pen(PointerPhase::Hover, 1000, 100),
        ] {
            desktop.handle(&input);
        }
        picture.draw(7, Duration::from_secs(5));
        let at =
            |picture: &Picture| [(1100, 100), (1100, 200), (1000, 100)].map(|place| colour(picture, place));
        assert_eq!(at(&picture), [overlay::PRESSED, overlay::PRESSED, WHITE]);
        for input in [
            finger(PointerPhase::Cancel, 2, 1100, 200),
            finger(PointerPhase::Up, 1, 1100, 100),
            pen(PointerPhase::Leave, 1000, 100),
        ] {
            desktop.handle(&input);
        }
        // Where fingers were down is a line for a while.
        picture.draw(7, Duration::from_secs(60));
        assert!(drawn(&mut picture) == without, "as before");

        let slot = GamepadSlot::new(3).unwrap();
        let state = GamepadState { buttons: GamepadButtons(0x1000), ..GamepadState::default() };
        for (input, rows) in
            [(HostInput::Text('t'), 574..602), (HostInput::Gamepad { slot, state, active: 8 }, 518..602)]
        {
            desktop.handle(&input);
            let with = drawn(&mut picture);
            let changed: Vec<_> =
                (0..with.len()).filter(|&i| with[i] != without[i]).map(|i| i / 1280).collect();
            assert!(changed.len() > 100 && changed.iter().all(|y| rows.contains(y)), "{input:?}");
        }
    }

    #[test]
    fn whatever_is_drawn_the_texts_and_the_counter_stay_readable() {
        let utc = Duration::from_secs(5);
        for (width, height) in [(64, 64), (66, 2160), (2160, 3840), (3840, 64), (1280, 720)] {
            let size = size(width, height);
            let desktop = Desktop::new(size);
            let mut plain = Picture::new(size, 60, Desktop::new(size));
            let mut picture = Picture::new(size, 60, desktop.clone());
            desktop.handle(&HostInput::Button { button: MouseButton::Left, down: true });
            for n in 0..=200 {
                let (x, y) = (n % 11 * 6553, n * 327);
                desktop.handle(&HostInput::PointerTo(Position { x, y }));
            }
            for letter in 'A'..='Z' {
                desktop.handle(&HostInput::Text(letter));
            }
            for code in b'A'..=b'Z' {
                let key = HostInput::Key { code: KeyCode(code), down: true, modifiers: Modifiers::default() };
                desktop.handle(&key);
            }
            plain.draw(0xaaaa_5555, utc);
            picture.draw(0xaaaa_5555, utc);
            assert!(plain.planes.y != picture.planes.y);
            assert_eq!(read_counter(&picture), 0xaaaa_5555, "{size}");
            // Each dot of a letter is as white as without, and the drawing itself is darker than white.
            let white =
                |picture: &Picture| picture.planes.y.iter().map(|&y| y == WHITE.y).collect::<Vec<_>>();
            let kept = white(&plain).iter().zip(white(&picture)).all(|(&plain, drawn)| !plain || drawn);
            assert!(kept, "{size}");
        }
    }

    fn drawn(picture: &mut Picture) -> Vec<u8> {
        picture.draw(7, Duration::from_secs(5));
        picture.planes.y.clone()
    }

    #[test]
    fn what_moves_stays_within_its_travel() {
        let period = Duration::from_millis(1000);
        let swings = [0, 250, 500, 750, 1000].map(|ms| swing(Duration::from_millis(ms), period, 100));
        assert_eq!(swings, [0, 50, 100, 50, 0]);
    }
}
