//! What a viewer says on `input` and `motion`, written down once more from docs/http-api.md: no bug is on both ends.

use bytes::{BufMut, Bytes, BytesMut};
use moonlight_mux_benches::viewer::{CloseReason, Viewer};

pub(crate) const INPUT: &str = "input";
pub(crate) const MOTION: &str = "motion";

/// One connection's messages, numbered.
#[derive(Debug, Default)]
pub(crate) struct Hand {
    sequence: u32,
}

impl Hand {
    /// A key that is no modifier and no lock key.
    pub(crate) async fn key(&mut self, viewer: &Viewer, code: u8, down: bool) -> Result<(), CloseReason> {
        let message = self.message(0x01, &[u8::from(down), code, 0, 0]);
        viewer.send(INPUT, message).await
    }

    /// A mouse button, where the pointer is.
    pub(crate) async fn button(
        &mut self,
        viewer: &Viewer,
        button: u8,
        down: bool,
    ) -> Result<(), CloseReason> {
        let message = self.message(0x03, &[button, u8::from(down), 0]);
        viewer.send(INPUT, message).await
    }

    /// The pointer at a share of the picture.
    pub(crate) async fn point(&mut self, viewer: &Viewer, x: u16, y: u16) -> Result<(), CloseReason> {
        let [[x0, x1], [y0, y1]] = [x.to_be_bytes(), y.to_be_bytes()];
        let message = self.message(0x05, &[1, x0, x1, y0, y1]);
        viewer.send(MOTION, message).await
    }

    fn message(&mut self, kind: u8, body: &[u8]) -> Bytes {
        let mut message = BytesMut::with_capacity(5 + body.len());
        message.put_u32(self.sequence);
        message.put_u8(kind);
        message.put_slice(body);
        self.sequence = self.sequence.wrapping_add(1);
        message.freeze()
    }
}

/// Keys that are neither modifiers nor lock keys nor on the number pad, no two viewers' the same: two for each of 20.
pub(crate) fn keys_of(viewer: usize) -> [u8; 2] {
    let mut codes = (0x30..=0x39).chain(0x41..=0x5a).chain(0x70..=0x87).skip(2 * viewer);
    [codes.next(), codes.next()].map(|code| code.expect("there are keys for 30 viewers"))
}
