//! What the fuzz targets call: any bytes in, and a panic is a finding. No public interface.

use bytes::Bytes;

use super::packetiser::{MAX_PAYLOAD, Payload, av1, h264};
use super::{negotiate, stun};
use crate::gamestream::fuzzing::Forms;
use crate::media::VideoCodec;

/// A datagram at the viewers' UDP port.
pub fn stun(datagram: &[u8]) -> Forms {
    let mut forms = Forms::new();
    if stun::local_ufrag(datagram).is_some() {
        forms.insert("request");
        assert_eq!(stun::Kind::of(datagram), stun::Kind::Stun);
    }
    forms
}

/// A frame of either codec: payloads are bounded, and the last one is marked.
pub fn packetiser(frame: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let frame = Bytes::copy_from_slice(frame);
    let payloads = h264::packetise(&frame);
    assert_payloads(&payloads);
    if !payloads.is_empty() {
        forms.insert("h264");
        assert!(h264::nal_units(&frame).next().is_some());
    }
    let payloads = av1::packetise(&frame, true);
    assert_payloads(&payloads);
    if !payloads.is_empty() {
        forms.insert("av1");
    }
    forms
}

fn assert_payloads(payloads: &[Payload]) {
    assert!(payloads.iter().all(|payload| (1..=MAX_PAYLOAD).contains(&payload.bytes.len())));
    assert_eq!(payloads.iter().filter(|payload| payload.marker).count(), payloads.len().min(1));
    assert!(payloads.last().is_none_or(|payload| payload.marker));
}

/// A session description from a browser, as far as we read it ourselves.
pub fn description(sdp: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let sdp = String::from_utf8_lossy(sdp);
    for (form, offered) in [
        ("h264", negotiate::offers(&sdp, VideoCodec::H264)),
        ("av1", negotiate::offers(&sdp, VideoCodec::Av1)),
        ("audio", negotiate::offers_audio(&sdp)),
    ] {
        if offered && negotiate::ufrag(&sdp).is_some() {
            forms.insert(form);
        }
    }
    let _ = (negotiate::offers_channels(&sdp), negotiate::takes(&sdp, VideoCodec::H264));
    assert!(negotiate::without_rejected_credentials(&sdp).len() <= sdp.len());
    let rewritten = negotiate::with_host_port(&sdp, 5000);
    assert_eq!(negotiate::with_host_port(&rewritten, 5000), rewritten);
    forms
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
