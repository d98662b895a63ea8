//! What the fuzz targets call, and their seeds as plain tests. No public interface.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::{fmt, fs};

pub use crate::gamestream::fuzzing::*;
pub use crate::process::fuzzing::*;
pub use crate::test_host::fuzzing::*;
pub use crate::webrtc::fuzzing::*;

/// Where seeds stand: one folder for each target.
pub const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds");

/// Runs a target over each of its seeds: as it is, cut at every length, and, if it is small, with each bit flipped.
///
/// # Panics
/// When the target does, when a seed is not of the form that its name ends with, and when there is no seed.
pub fn run_over_seeds(target: &str, fuzz: fn(&[u8]) -> Forms) {
    let folder = Path::new(SEEDS).join(target);
    let seeds = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut count = 0;
    for seed in seeds {
        let path = seed.expect("a folder that opens can be read").path();
        let mut bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let run = |bytes: &[u8], change: fmt::Arguments<'_>| {
            catch_unwind(AssertUnwindSafe(|| fuzz(bytes)))
                .unwrap_or_else(|_| panic!("{target} panics on {}{change}: {bytes:02x?}", path.display()))
        };
        let forms = run(&bytes, format_args!(""));
        if let Some(form) = path.extension().and_then(|form| form.to_str()) {
            assert!(forms.contains(form), "{} is {forms:?}", path.display());
        }
        for len in 0..bytes.len() {
            run(&bytes[..len], format_args!(" cut after {len} bytes"));
        }
        if bytes.len() <= SMALL {
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                run(&bytes, format_args!(" with bit {bit} flipped"));
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

/// Bytes of a seed of which each bit is flipped: most messages are shorter, and a second is enough for all of them.
const SMALL: usize = 512;
