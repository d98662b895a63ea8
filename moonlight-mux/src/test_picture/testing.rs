//! What the tests of the test picture share.

use openh264::formats::YUVSource;

/// The counter in a picture's top row, read as the tests of the recorded sessions read theirs: in the middle of each
/// cell, at a 90th of the picture's height.
pub(super) fn read_counter(picture: &impl YUVSource) -> u32 {
    let ((width, height), stride) = (picture.dimensions(), picture.strides().0);
    let white = |i: usize| picture.y()[height / 90 * stride + (2 * i + 1) * width / 64] > 127;
    (0..32).filter(|&i| white(i)).map(|i| 1 << i).sum()
}
