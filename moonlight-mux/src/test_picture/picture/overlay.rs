//! The desktop's pointer, lines and keys, drawn into the planes.

use std::time::Duration;

use super::super::desktop::{Buttons, Contact, Point, Scene, Trail};
use super::super::font;
use super::{BLACK, Colour, Planes, Rect, Scale, WHITE, even};
use crate::input::MouseButton;

impl Planes {
    /// Lines, each as broad as it is new.
    pub(super) fn trail(&mut self, trail: &Trail, now: Duration) {
        let unit = self.height.min(self.width) as f32 / 720.0;
        for (stroke, left) in trail.strokes(now) {
            let (full, colour) = if stroke.pressed { (12.0, DRAWN) } else { (6.0, WHITE) };
            let side = ((full * unit * left) as usize).max(2);
            self.line(stroke.from, stroke.to, side, colour);
        }
    }

    /// The disc, a mouse seen from above: with left, middle and right button in its upper half, the others below.
    pub(super) fn pointer(&mut self, at: Point, buttons: Buttons) {
        let radius = self.radius();
        self.disc(at, radius, |dx, dy| {
            let button = button_at(dx, dy, radius);
            if buttons.has(button) { PRESSED } else { WHITE }
        });
    }

    /// A disc for each finger and the pen.
    pub(super) fn contacts(&mut self, contacts: &[(Point, Contact)]) {
        for &(at, contact) in contacts {
            let (radius, colour) = match contact {
                Contact::Finger => (self.radius(), PRESSED),
                Contact::Pen { down: true } => (self.radius() / 2, DRAWN),
                Contact::Pen { down: false } => (self.radius() / 2, WHITE),
            };
            self.disc(at, radius, |_, _| colour);
        }
    }

    fn radius(&self) -> isize {
        even(self.height.min(self.width) / 28).max(6) as isize
    }

    /// With a black rim; `colour` is asked by the place from the middle.
    fn disc(&mut self, at: Point, radius: isize, colour: impl Fn(isize, isize) -> Colour) {
        let rim = (radius / 6).max(2);
        for dy in (-radius..=radius).step_by(2) {
            for dx in (-radius..=radius).step_by(2) {
                let inside = dx * dx + dy * dy;
                let colour = if inside > radius * radius {
                    continue;
                } else if inside > (radius - rim).pow(2) {
                    BLACK
                } else {
                    colour(dx, dy)
                };
                let (x, y) = (at.x.checked_add_signed(dx), at.y.checked_add_signed(dy));
                if let (Some(x), Some(y)) = (x, y) {
                    self.fill(Rect { x, y, width: 1, height: 1 }.aligned(), colour);
                }
            }
        }
    }

    /// What was typed and the gamepads, above the lamp, each in a row of its own; what does not fit is left out.
    pub(super) fn words(&mut self, scene: &Scene, scale: &Scale) {
        let lamp = self.lamp_rect();
        for (row, words) in (1..).zip([&scene.text, &scene.gamepads]) {
            let y = lamp.y.saturating_sub(row * 2 * font::HEIGHT * scale.small);
            self.text(words, lamp.x, y, scale.small);
        }
    }

    /// The keys that are down, to the right of the lamp; what does not fit is left out.
    pub(super) fn keys(&mut self, scene: &Scene, scale: &Scale) {
        if scene.keys.is_empty() {
            return;
        }
        let lamp = self.lamp_rect();
        let dot = scale.small + scale.small / 2;
        let x = lamp.x + lamp.width + 2 * font::ADVANCE * dot;
        self.text(&scene.keys, x, lamp.y + lamp.height.saturating_sub(font::HEIGHT * dot) / 2, dot);
    }

    fn line(&mut self, from: Point, to: Point, side: usize, colour: Colour) {
        let longer = from.x.abs_diff(to.x).max(from.y.abs_diff(to.y));
        let steps = longer.div_ceil(side / 2).max(1);
        let between = |a: usize, b: usize, step| (a * (steps - step) + b * step) / steps;
        for step in 0..=steps {
            let (x, y) = (between(from.x, to.x, step), between(from.y, to.y, step));
            let (x, y) = (x.saturating_sub(side / 2), y.saturating_sub(side / 2));
            self.fill(Rect { x, y, width: side, height: side }.aligned(), colour);
        }
    }
}

/// The button that is shown at this place of the disc, given from its middle.
fn button_at(dx: isize, dy: isize, radius: isize) -> MouseButton {
    match (dy < 0, 3 * dx) {
        (true, x) if x < -radius => MouseButton::Left,
        (true, x) if x > radius => MouseButton::Right,
        (true, _) => MouseButton::Middle,
        (false, x) if x < 0 => MouseButton::X1,
        (false, _) => MouseButton::X2,
    }
}

pub(super) const PRESSED: Colour = Colour { y: 90, u: 95, v: 230 };
pub(super) const DRAWN: Colour = Colour { y: 205, u: 40, v: 150 };
