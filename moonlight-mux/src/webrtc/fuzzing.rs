//! What the fuzz targets call: any bytes in, and a panic is a finding. No public interface.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;

use super::candidates::{Reach, with_candidates};
use super::framing::{self, Decoder};
use super::packetiser::{MAX_PAYLOAD, Payload, av1, h264};
use super::{negotiate, stun};
use crate::media::VideoCodec;

/// A datagram at the viewers' UDP port.
pub fn stun(datagram: &[u8]) {
    if stun::local_ufrag(datagram).is_some() {
        assert_eq!(stun::Kind::of(datagram), stun::Kind::Stun);
    }
}

/// A frame of either codec: payloads are bounded, and the last one is marked.
pub fn packetiser(frame: &[u8]) {
    let frame = Bytes::copy_from_slice(frame);
    let payloads = h264::packetise(&frame);
    assert_payloads(&payloads);
    assert!(payloads.is_empty() || h264::nal_units(&frame).next().is_some());
    assert_payloads(&av1::packetise(&frame, true));
}

fn assert_payloads(payloads: &[Payload]) {
    assert!(payloads.iter().all(|payload| (1..=MAX_PAYLOAD).contains(&payload.bytes.len())));
    assert_eq!(payloads.iter().filter(|payload| payload.marker).count(), payloads.len().min(1));
    assert!(payloads.last().is_none_or(|payload| payload.marker));
}

/// A session description from a browser, as far as we read it ourselves.
pub fn description(sdp: &[u8]) {
    let sdp = String::from_utf8_lossy(sdp);
    let _ =
        (negotiate::offers(&sdp, VideoCodec::H264), negotiate::offers_audio(&sdp), negotiate::ufrag(&sdp));
    let reach = Reach {
        udp_port: 5000,
        tcp: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 443))),
        public: vec![Ipv4Addr::new(192, 0, 2, 1).into()],
    };
    let rewritten = with_candidates(&sdp, &reach);
    assert_eq!(with_candidates(&rewritten, &reach), rewritten);
}

/// What comes through a viewer's TCP connection, wherever it is cut: the first byte says into how many bytes at a time.
pub fn tcp_frames(bytes: &[u8]) {
    let Some((&cut, stream)) = bytes.split_first() else { return };
    let frames = |cut| {
        let mut decoder = Decoder::new(1500);
        let mut frames = Vec::new();
        for mut input in stream.chunks(cut) {
            loop {
                match decoder.next(&mut input) {
                    Ok(Some(frame)) => frames.push(frame.to_vec()),
                    Ok(None) => break,
                    Err(_) => return frames,
                }
            }
        }
        frames
    };
    let whole = frames(stream.len().max(1));
    assert_eq!(frames(usize::from(cut).max(1)), whole);
    let mut again = Vec::new();
    for frame in &whole {
        again.extend(framing::header(frame).expect("16 bits said its length"));
        again.extend(frame);
    }
    assert!(stream.starts_with(&again));
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
            tcp_frames(&bytes);
        }
    }
}
