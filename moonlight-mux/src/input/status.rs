//! What is told of input: to each viewer what it may do, to all who points where.

use super::event::Position;
use super::host::InputFeatures;
use super::rights::{InputMode, Rights};
use crate::peer::PeerId;

/// How input stands for one viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InputStatus {
    /// How viewers share the host's input.
    pub mode: InputMode,
    /// What the source does with input; `None` while it takes none: what viewers do is dropped then.
    pub features: Option<InputFeatures>,
    /// What this viewer may do.
    pub rights: Rights,
    /// Whose turn it is, one at a time; `None` when nobody's, and in other modes.
    pub turn: Option<PeerId>,
}

/// Where a viewer points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// Who.
    pub peer: PeerId,
    /// Where on the picture.
    pub position: Position,
}
