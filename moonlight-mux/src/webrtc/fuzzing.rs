//! What the fuzz targets call: any bytes in, and a panic is a finding. No public interface.

use bytes::Bytes;

use super::packetiser::{MAX_PAYLOAD, nal_units, packetise_h264};
use super::{negotiate, stun};
use crate::media::VideoCodec;

/// A datagram at the viewers' UDP port.
pub fn stun(datagram: &[u8]) {
    if stun::local_ufrag(datagram).is_some() {
        assert_eq!(stun::Kind::of(datagram), stun::Kind::Stun);
    }
}

/// An access unit: payloads are bounded, and none is lost.
pub fn packetiser(access_unit: &[u8]) {
    let access_unit = Bytes::copy_from_slice(access_unit);
    let payloads = packetise_h264(&access_unit);
    assert!(payloads.iter().all(|payload| (1..=MAX_PAYLOAD).contains(&payload.bytes.len())));
    assert_eq!(payloads.iter().filter(|payload| payload.marker).count(), payloads.len().min(1));
    assert!(payloads.is_empty() || nal_units(&access_unit).next().is_some());
}

/// A session description from a browser, as far as we read it ourselves.
pub fn description(sdp: &[u8]) {
    let sdp = String::from_utf8_lossy(sdp);
    let _ =
        (negotiate::offers(&sdp, VideoCodec::H264), negotiate::offers_audio(&sdp), negotiate::ufrag(&sdp));
    let rewritten = negotiate::with_host_port(&sdp, 5000);
    assert_eq!(negotiate::with_host_port(&rewritten, 5000), rewritten);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(prop_oneof![2 => 0u8..2, 1 => any::<u8>()], 0..3000)) {
            stun(&bytes);
            packetiser(&bytes);
            description(&bytes);
        }
    }
}
