//! The input of the recorded sessions, taken for what somebody did and made packets of again.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;

use super::*;
use crate::gamestream::recorded::sessions;
use crate::gamestream::wire::tests::hex;

#[derive(Deserialize)]
struct Line {
    dir: char,
    #[serde(rename = "type")]
    kind: Option<String>,
    payload: Option<String>,
}

/// How a packet came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Again {
    Same,
    /// It enables haptics, or tells of a battery: nobody does that.
    NotHostInput,
    /// A key whose code is what it says, not where it is: viewers' codes are places.
    NotNormalised,
    /// A pointer's place, which was sent on a plane of another size.
    OtherPlane,
    /// Of a finger or a pen: shares of the picture and pressures have 65536 steps here, and finer ones on the wire.
    Rounded,
}

fn again(packet: &[u8]) -> Again {
    let input = Input::parse(packet).unwrap();
    let Ok(done) = HostInput::try_from(&input) else {
        assert!(matches!(input, Input::EnableHaptics | Input::ControllerBattery(_)), "{input:?}");
        return Again::NotHostInput;
    };
    let rebuilt = Input::from(done);
    let mut bytes = Vec::new();
    rebuilt.emit(&mut bytes);
    if bytes == packet {
        return Again::Same;
    }
    let shares = match (input, rebuilt) {
        (Input::MousePosition(theirs), Input::MousePosition(ours)) => {
            let share = |at: i16, plane: u16| f32::from(at) / f32::from(plane - 1);
            for (theirs, ours) in [
                (share(theirs.x, theirs.width), share(ours.x, ours.width)),
                (share(theirs.y, theirs.height), share(ours.y, ours.height)),
            ] {
                assert!((theirs - ours).abs() <= 1.0 / 32_767.0, "{theirs} became {ours}");
            }
            return Again::OtherPlane;
        }
        (Input::Key(theirs), Input::Key(ours)) => {
            assert_eq!(Key { not_normalised: false, ..theirs }, ours);
            return Again::NotNormalised;
        }
        (Input::Touch(_), _) => &[16, 20, 24, 28, 32][..],
        (Input::Pen(_), _) => &[12, 16, 20, 28, 32],
        (Input::ControllerTouchpad(_), _) => &[16, 20, 24],
        _ => panic!("{input:?} became {rebuilt:?}"),
    };
    let mut theirs = packet.to_vec();
    for &place in shares {
        let [their, our] =
            [packet, &bytes].map(|packet| f32::from_le_bytes(packet[place..place + 4].try_into().unwrap()));
        assert!((their - our).abs() <= 0.5001 / 65_535.0, "{their} became {our} in {input:?}");
        theirs[place..place + 4].copy_from_slice(&bytes[place..place + 4]);
    }
    assert_eq!(bytes, theirs, "{input:?}");
    Again::Rounded
}

#[test]
fn the_recorded_input_comes_out_as_it_went_in() {
    let Some(sessions) = sessions() else { return };
    let mut seen = BTreeMap::<_, usize>::new();
    for session in sessions {
        let text = fs::read_to_string(session.join("control.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Line>(line).unwrap());
        for line in lines.filter(|line| line.dir == 'C' && line.kind.as_deref() == Some("0206")) {
            *seen.entry(again(&hex(&line.payload.unwrap()))).or_default() += 1;
        }
    }
    assert!(seen[&Again::Same] > 450, "{seen:?}");
    assert_eq!(seen.len(), 5, "{seen:?}");
}
