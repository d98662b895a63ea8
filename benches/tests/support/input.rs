//! Keys for many viewers.

/// Keys that are neither modifiers nor lock keys nor on the number pad, no two viewers' the same: two for each of 20.
pub(crate) fn keys_of(viewer: usize) -> [u8; 2] {
    let mut codes = (0x30..=0x39).chain(0x41..=0x5a).chain(0x70..=0x87).skip(2 * viewer);
    [codes.next(), codes.next()].map(|code| code.expect("there are keys for 30 viewers"))
}
