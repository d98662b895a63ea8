//! What the fuzz targets call. No public interface.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::clock::{self, first_slice, stamp};
use crate::gamestream::fuzzing::Forms;

/// A NAL unit, which may be a clock, and an access unit, which gets one: what is read is written so that it is read as the
/// same, and nothing else of the unit is touched.
pub fn host_clock(bytes: &[u8]) -> Forms {
    let mut forms = Forms::new();
    if let Some(at) = clock::host_clock(bytes) {
        forms.insert("clock");
        assert_stamped(&Bytes::from_static(SLICE), at);
    }
    let unit = Bytes::copy_from_slice(bytes);
    if first_slice(&unit).is_some() {
        forms.insert("access-unit");
        assert_stamped(&unit, UNIX_EPOCH + Duration::from_nanos(1 << 60));
    } else {
        assert_eq!(stamp(&unit, UNIX_EPOCH), unit);
    }
    forms
}

fn assert_stamped(unit: &Bytes, at: SystemTime) {
    let slice = first_slice(unit).expect("the caller looked");
    let stamped = stamp(unit, at);
    let behind = stamped.len() - (unit.len() - slice);
    assert_eq!(stamped[..slice], unit[..slice]);
    assert_eq!(stamped[behind..], unit[slice..]);
    assert_eq!(clock::host_clock(&stamped[slice + START_CODE..behind]), Some(at));
}

const SLICE: &[u8] = &[0, 0, 1, 0x41, 9];
const START_CODE: usize = 4;
