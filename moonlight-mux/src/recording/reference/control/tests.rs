//! The control streams of the recorded sessions say what they are known to say.

use std::collections::BTreeMap;

use super::*;
use crate::gamestream::recorded::folder;

/// How often each message was seen; `None` where there are no recordings.
fn seen(test: &str, name: &str) -> Option<BTreeMap<String, usize>> {
    let recorded = Replay::open(&folder::recording(test, name)?).unwrap();
    let text = std::fs::read(folder::recording(test, name)?.join("control.jsonl")).unwrap();
    let lines: Vec<Line> =
        serde_json::Deserializer::from_slice(&text).into_iter().collect::<Result<_, _>>().unwrap();
    let mut differences = BTreeSet::new();
    let all = compare(&recorded, Some(&lines), &mut differences);
    assert_eq!(differences, BTreeSet::new());
    assert_eq!(all.len(), lines.iter().filter(|line| line.hdr.is_none()).count());
    assert_eq!(
        compare(&recorded, None, &mut differences).len(),
        all.iter().filter(|said| **said != Said::Sealed).count()
    );
    assert_eq!(differences, BTreeSet::new(), "without control.jsonl");

    let mut seen = BTreeMap::new();
    for said in all {
        let name = match &said {
            Said::Client(ClientMessage::Unknown { .. }) | Said::Host(HostMessage::Unknown { .. }) => {
                panic!("{said:?}")
            }
            Said::Client(message) => format!("{message:?}"),
            Said::Host(message) => format!("{message:?}"),
            Said::Sealed => "Sealed".to_owned(),
        };
        let name = name.split([' ', '{', '(']).next().unwrap();
        *seen.entry(name.to_owned()).or_default() += 1;
    }
    Some(seen)
}

macro_rules! recordings {
    ($($test:ident: $folder:literal, [$($message:literal),*];)*) => {
        $(#[test]
        fn $test() {
            let Some(seen) = seen(stringify!($test), $folder) else { return };
            for message in ["StartB", "Ping", $($message),*] {
                assert!(seen.contains_key(message), "{message}: {seen:?}");
            }
        })*
    };
}

recordings! {
    v0_23_av1: "v0.23-av1", ["Hdr"];
    v0_23_clear: "v0.23-clear", ["Hdr", "Input"];
    v0_23_default: "v0.23-default", ["Hdr", "Input"];
    v0_23_hevc_all_encrypted: "v0.23-hevc-all-encrypted", ["Hdr"];
    v0_23_host_closes_app: "v0.23-host-closes-app", ["Termination"];
    v0_23_idr_request: "v0.23-idr-request", ["RequestIdr"];
    v0_23_loss5_clear: "v0.23-loss5-clear", ["FecStatus"];
    v0_23_multi_block_loss5_encrypted: "v0.23-multi-block-loss5-encrypted", ["FecStatus"];
    v0_23_surround51: "v0.23-surround51", [];
    v2025_all_encrypted: "v2025-all-encrypted",
        ["Motion", "Led", "Rumble", "RumbleTriggers", "AdaptiveTriggers", "Hdr", "Input"];
    v2025_loss5_encrypted: "v2025-loss5-encrypted", ["FecStatus"];
    wolf_cancelled: "wolf-cancelled", ["Termination", "Sealed"];
    wolf_default: "wolf-default", ["StartB", "Input"];
    wolf_hevc: "wolf-hevc", [];
    wolf_loss5: "wolf-loss5", ["FecStatus"];
    wolf_multi_block_loss3: "wolf-multi-block-loss3", ["FecStatus"];
    wolf_no_encryption: "wolf-no-encryption", [];
    wolf_pause_resume_first: "wolf-pause-resume/s1", [];
    wolf_pause_resume_second: "wolf-pause-resume/s2", [];
    wolf_ps_pad: "wolf-ps-pad", ["Motion", "Led", "Rumble"];
}
