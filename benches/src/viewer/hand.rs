//! What a viewer says on `input` and `motion`, written down once more from docs/http-api.md: no bug is on both ends.

use bytes::{BufMut, Bytes, BytesMut};

use super::{CloseReason, Viewer};

/// One connection's messages, numbered. All methods wait as [`Viewer::send`] does, and fail as it does.
#[derive(Debug, Default)]
pub struct Hand {
    sequence: u32,
    /// Relative movement so far.
    total: (i32, i32),
}

/// Where a click or a turn of the wheel happens.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// Where the pointer is.
    Unsaid,
    /// On the picture, in shares of 65535.
    At(u16, u16),
    /// Where all movement so far has led.
    Total,
}

#[expect(
    missing_docs,
    reason = "one of each kind of message, by the names and in the order of docs/http-api.md"
)]
#[expect(clippy::missing_errors_doc, reason = "said above")]
impl Hand {
    /// Neither with modifiers nor lock keys.
    pub async fn key(&mut self, viewer: &Viewer, code: u8, down: bool) -> Result<(), CloseReason> {
        self.say(viewer, "input", 0x01, &[u8::from(down), code, 0, 0]).await
    }

    pub async fn text(&mut self, viewer: &Viewer, text: &str) -> Result<(), CloseReason> {
        self.say(viewer, "input", 0x02, text.as_bytes()).await
    }

    /// Where the pointer is.
    pub async fn button(&mut self, viewer: &Viewer, button: u8, down: bool) -> Result<(), CloseReason> {
        self.button_at(viewer, button, down, Place::Unsaid).await
    }

    pub async fn button_at(
        &mut self,
        viewer: &Viewer,
        button: u8,
        down: bool,
        place: Place,
    ) -> Result<(), CloseReason> {
        let mut body = vec![button, u8::from(down)];
        self.put_place(&mut body, place);
        self.say(viewer, "input", 0x03, &body).await
    }

    pub async fn scroll(
        &mut self,
        viewer: &Viewer,
        dx: i16,
        dy: i16,
        place: Place,
    ) -> Result<(), CloseReason> {
        let mut body = Vec::new();
        body.put_i16(dx);
        body.put_i16(dy);
        self.put_place(&mut body, place);
        self.say(viewer, "input", 0x04, &body).await
    }

    /// The pointer at a share of the picture.
    pub async fn point(&mut self, viewer: &Viewer, x: u16, y: u16) -> Result<(), CloseReason> {
        let mut body = Vec::new();
        self.put_place(&mut body, Place::At(x, y));
        self.say(viewer, "motion", 0x05, &body).await
    }

    /// The pointer by so many pixels.
    pub async fn move_by(&mut self, viewer: &Viewer, dx: i32, dy: i32) -> Result<(), CloseReason> {
        self.total = (self.total.0.wrapping_add(dx), self.total.1.wrapping_add(dy));
        let mut body = Vec::new();
        self.put_place(&mut body, Place::Total);
        self.say(viewer, "motion", 0x05, &body).await
    }

    /// `phase`: 1 down, 2 move, 3 up, 4 cancel. Moves go on `motion`.
    pub async fn touch(
        &mut self,
        viewer: &Viewer,
        phase: u8,
        contact: u32,
        x: u16,
        y: u16,
    ) -> Result<(), CloseReason> {
        let mut body = vec![phase];
        body.put_u32(contact);
        for number in [x, y, 0, 0xffff, 0, 0] {
            body.put_u16(number);
        }
        self.say(viewer, if phase == 2 { "motion" } else { "input" }, 0x06, &body).await
    }

    /// An Xbox controller that rumbles.
    pub async fn gamepad_connected(&mut self, viewer: &Viewer, gamepad: u8) -> Result<(), CloseReason> {
        self.say(viewer, "input", 0x08, &[gamepad, 1, 0, 3, 0, 0, 0xf7, 0xff]).await
    }

    pub async fn gamepad_disconnected(&mut self, viewer: &Viewer, gamepad: u8) -> Result<(), CloseReason> {
        self.say(viewer, "input", 0x09, &[gamepad]).await
    }

    /// A change of buttons, so on `input`.
    pub async fn gamepad(
        &mut self,
        viewer: &Viewer,
        gamepad: u8,
        buttons: u32,
        left_stick: (i16, i16),
    ) -> Result<(), CloseReason> {
        let mut body = vec![gamepad];
        body.put_u32(buttons);
        body.put_u16(0);
        for axis in [left_stick.0, left_stick.1, 0, 0] {
            body.put_i16(axis);
        }
        self.say(viewer, "input", 0x0a, &body).await
    }

    /// The heartbeat: mouse buttons as bits, codes of keys.
    pub async fn held(&mut self, viewer: &Viewer, buttons: u8, keys: &[u8]) -> Result<(), CloseReason> {
        self.say(viewer, "motion", 0x0d, &[&[buttons], keys].concat()).await
    }

    pub async fn release_all(&mut self, viewer: &Viewer) -> Result<(), CloseReason> {
        self.say(viewer, "input", 0x0e, &[]).await
    }

    /// A message of any kind, well-formed or not.
    pub async fn say(
        &mut self,
        viewer: &Viewer,
        channel: &str,
        kind: u8,
        body: &[u8],
    ) -> Result<(), CloseReason> {
        let message = self.message(kind, body);
        viewer.send(channel, message).await
    }

    fn message(&mut self, kind: u8, body: &[u8]) -> Bytes {
        let mut message = BytesMut::with_capacity(5 + body.len());
        message.put_u32(self.sequence);
        message.put_u8(kind);
        message.put_slice(body);
        self.sequence = self.sequence.wrapping_add(1);
        message.freeze()
    }

    fn put_place(&self, body: &mut Vec<u8>, place: Place) {
        match place {
            Place::Unsaid => body.put_u8(0),
            Place::At(x, y) => {
                body.put_u8(1);
                body.put_u16(x);
                body.put_u16(y);
            }
            Place::Total => {
                body.put_u8(2);
                body.put_i32(self.total.0);
                body.put_i32(self.total.1);
            }
        }
    }
}
