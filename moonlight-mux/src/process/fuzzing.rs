//! What the fuzz targets call. No public interface.

use bytes::Bytes;

use super::frames::{self, Decoder};
use super::media_frames::MediaFrame;
use super::message::{self, FromChild, Malformed, Message, ToChild};
use crate::gamestream::fuzzing::Forms;

/// A stream from another process, in pieces as long as its first byte says: payloads are the same in one piece and in many,
/// and within the limit.
pub fn ipc_frames(bytes: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let Some((&piece, stream)) = bytes.split_first() else { return forms };
    let (mut cut, mut payloads) = (Decoder::new(LIMIT), Vec::<Bytes>::new());
    for piece in stream.chunks(usize::from(piece).max(1)) {
        cut.push(piece);
        payloads.extend(std::iter::from_fn(|| cut.next()));
    }
    let mut whole = Decoder::new(LIMIT);
    whole.push(stream);
    assert!(payloads.iter().all(|payload| payload.len() <= LIMIT));
    assert_eq!(payloads, std::iter::from_fn(|| whole.next()).collect::<Vec<_>>());
    assert_eq!(cut.too_long(), whole.too_long());
    assert_eq!(cut.is_between_frames(), whole.is_between_frames());
    for payload in &payloads {
        forms.insert("frame");
        assert!(frames::encode(payload, LIMIT).is_some());
    }
    if cut.too_long() > 0 {
        forms.insert("too-long");
    }
    if !cut.is_between_frames() {
        forms.insert("rest");
    }
    forms
}

/// A payload of the control socket, for either side: what is read is written so that it is read as the same.
pub fn ipc_message(payload: &[u8]) -> Forms {
    let mut forms = Forms::new();
    for (form, read) in [("to-child", read::<ToChild>(payload)), ("from-child", read::<FromChild>(payload))] {
        match read {
            Ok(()) => forms.insert(form),
            Err(Malformed::UnknownName) => forms.insert("unknown"),
            Err(Malformed::Fields { .. }) => forms.insert("fields"),
            Err(Malformed::Form) => forms.insert("form"),
        };
    }
    forms
}

fn read<M: Message>(payload: &[u8]) -> Result<(), Malformed> {
    let written = message::encode(&message::decode::<M>(payload)?);
    let again: M = message::decode(&written).expect("what was written is read");
    assert_eq!(message::encode(&again), written);
    Ok(())
}

/// A payload of the media socket: what is read is written as the same.
pub fn ipc_media(payload: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let Ok(frame) = MediaFrame::decode(Bytes::copy_from_slice(payload)) else { return forms };
    forms.insert(match frame {
        MediaFrame::Info(_) => "info",
        MediaFrame::Video(_) => "video",
        MediaFrame::Audio(_) => "audio",
    });
    let (head, data) = frame.encode().expect("what was read is short enough");
    let written = [&head[frames::LENGTH..], &data].concat();
    assert_eq!(MediaFrame::decode(written.into()), Ok(frame));
    forms
}

/// Small, so that a fuzzer comes past it.
const LIMIT: usize = 64;

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{env, fs};

    use crate::fuzzing::SEEDS;
    use crate::process::{media_frames, message};

    /// `WRITE_SEEDS=1` writes them.
    #[test]
    fn the_seeds_in_the_folders_are_the_vectors() {
        let messages = message::tests::vectors().into_iter().enumerate().map(|(i, vector)| {
            let form = if vector.to_child { "to-child" } else { "from-child" };
            ("ipc_message", format!("vector-{i}.{form}"), vector.json.into_bytes())
        });
        let media = media_frames::tests::vectors()
            .into_iter()
            .map(|(name, payload, _)| ("ipc_media", name.to_owned(), payload));
        for (target, name, bytes) in messages.chain(media) {
            let folder = Path::new(SEEDS).join(target);
            let path = folder.join(name);
            if env::var_os("WRITE_SEEDS").is_some() {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, &bytes).unwrap();
            }
            let is_there = fs::read(&path).is_ok_and(|found| found == bytes);
            assert!(is_there, "{} differs: see fuzz/README.md", path.display());
        }
    }
}
