//! What the messages are: the vectors, every message there and back, and what is none.

mod arbitrary;
mod errors;

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::gamestream::identity::Identity;
use crate::gamestream::pairing::certificate::Certificate;
use crate::gamestream::pairing::tests::document;

const VECTORS: &str = include_str!("vectors.txt");

/// A message of [`VECTORS`].
pub(crate) struct Vector {
    pub(crate) to_child: bool,
    pub(crate) json: String,
    /// Whether it is written as it is read.
    is_exact: bool,
    /// As `Debug` prints it.
    meaning: String,
}

/// The documented ones, with the document's client in them.
pub(crate) fn vectors() -> Vec<Vector> {
    let (mut vectors, mut to_child) = (Vec::<Vector>::new(), false);
    for line in VECTORS.lines().skip_while(|line| !line.starts_with('[')) {
        match line.split_once(' ') {
            Some(("[to", "child]")) => to_child = true,
            Some(("[from", "child]")) => to_child = false,
            Some((mark @ (">" | "~"), json)) => {
                let (is_exact, json) = (mark == ">", with_documents_client(json));
                vectors.push(Vector { to_child, json, is_exact, meaning: String::new() });
            }
            Some(("=", meaning)) => vectors.last_mut().unwrap().meaning = meaning.to_owned(),
            Some(("#", _)) | None => {}
            Some(_) => panic!("{line}"),
        }
    }
    vectors
}

fn with_documents_client(json: &str) -> String {
    let host = certificate();
    [
        ("CLIENT_CERTIFICATE", STANDARD.encode(document::CLIENT_CERTIFICATE)),
        ("CLIENT_KEY", document::CLIENT_KEY.to_owned()),
        ("HOST_CERTIFICATE", STANDARD.encode(host.der())),
    ]
    .into_iter()
    .fold(json.to_owned(), |json, (name, base64)| json.replace(name, &base64))
}

fn certificate() -> Certificate {
    Certificate::from_pem(document::HOST_CERTIFICATE.as_bytes()).unwrap()
}

fn identity() -> Identity {
    let pem = document::CLIENT_CERTIFICATE.as_bytes().to_vec();
    Identity::from_parts(pem, STANDARD.decode(document::CLIENT_KEY).unwrap()).unwrap()
}

/// What it means, and how it is written again.
fn read<M: Message + fmt::Debug>(json: &str) -> (String, Value) {
    let message: M = decode(json.as_bytes()).unwrap_or_else(|error| panic!("{error}: {json}"));
    (format!("{message:?}"), serde_json::from_slice(&encode(&message)).unwrap())
}

/// `WRITE_VECTORS=1` writes the meanings, to be read before they are kept.
#[test]
fn the_vectors_mean_what_they_say() {
    let mut found = VECTORS.to_owned();
    for Vector { to_child, json, is_exact, meaning } in vectors() {
        let (means, written) = if to_child { read::<ToChild>(&json) } else { read::<FromChild>(&json) };
        if is_exact {
            assert_eq!(written, serde_json::from_str::<Value>(&json).unwrap(), "{json}");
        }
        if env::var_os("WRITE_VECTORS").is_some() {
            assert_eq!(meaning, "?", "only what stands for nothing yet is written");
            found = found.replacen("= ?\n", &format!("= {means}\n"), 1);
        } else {
            assert_eq!(means, meaning, "{json}");
        }
    }
    if env::var_os("WRITE_VECTORS").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/process/message/vectors.txt"), found)
            .unwrap();
    }
}

#[test]
fn every_message_has_a_vector() {
    for (to_child, names) in [(true, ToChild::NAMES), (false, FromChild::NAMES)] {
        let vectors = vectors().into_iter().filter(|vector| vector.to_child == to_child);
        let found: BTreeSet<String> = vectors.map(|vector| name(vector.json.as_bytes()).unwrap()).collect();
        assert_eq!(found, names.iter().map(|name| (*name).to_owned()).collect());
    }
}

#[test]
fn what_is_no_message_says_which_way() {
    let fields = |name| Malformed::Fields { name, at: 0 };
    let long = format!("{{\"Hello\":\"{}\"}}", "x".repeat(1000));
    for (payload, error) in [
        ("", Malformed::Form),
        ("{}", Malformed::Form),
        ("7", Malformed::Form),
        ("[\"Keyframe\"]", Malformed::Form),
        ("{\"Keyframe\":null,\"Stop\":null}", Malformed::Form),
        ("{\"Stop\":{\"quit\":true", Malformed::Form),
        ("\"Keyframe\"x", Malformed::Form),
        ("\u{0}\u{1}garbage", Malformed::Form),
        ("\"Dance\"", Malformed::UnknownName),
        ("{\"Dance\":{\"to\":[1,2,{}]}}", Malformed::UnknownName),
        ("{\"Ready\":{\"udp\":1,\"tcp\":null}}", Malformed::UnknownName),
        ("\"Stop\"", fields("Stop")),
        ("{\"Stop\":{\"quit\":true}}", fields("Stop")),
        ("{\"Stop\":{\"quit\":1,\"reason\":\"Left\"}}", fields("Stop")),
        ("{\"PeerLost\":{\"peer_id\":\"me\"}}", fields("PeerLost")),
        (&long, fields("Hello")),
    ] {
        let found = match decode::<ToChild>(payload.as_bytes()).unwrap_err() {
            Malformed::Fields { name, at } if at <= payload.len() => fields(name),
            found => found,
        };
        assert_eq!(found, error, "{payload}");
    }
    assert_eq!(decode::<ToChild>(b"\"\xff\"").unwrap_err(), Malformed::Form);
    let deep = "[".repeat(MAX_DEPTH);
    assert_eq!(decode::<FromChild>(deep.as_bytes()).unwrap_err(), Malformed::Form);
}

/// Deeper than any stack.
const MAX_DEPTH: usize = 1_000_000;

#[test]
fn values_outside_their_ranges_are_malformed() {
    let peer = "550e8400-e29b-41d4-a716-446655440000";
    for payload in [
        "{\"Hello\":{\"version\":-1,\"pid\":1}}".to_owned(),
        "{\"Hello\":{\"version\":4294967296,\"pid\":1}}".to_owned(),
        format!("{{\"SetRights\":{{\"peer_id\":\"{peer}\",\"rights\":[\"feet\"]}}}}"),
        format!("{{\"AddPeer\":{{\"peer_id\":\"{peer}\",\"offerer\":\"Viewer\",\"name\":\"\",\"rights\":[]}}}}"),
        "{\"SetInputMode\":{\"mode\":{\"OneAtATime\":{\"idle\":{\"secs\":18446744073709551615,\"nanos\":4294967295}}}}}"
            .to_owned(),
    ] {
        let error = decode::<ToChild>(payload.as_bytes()).unwrap_err();
        assert!(matches!(error, Malformed::Fields { .. }), "{error}: {payload}");
    }
}

#[test]
fn an_init_with_a_damaged_part_is_malformed_and_none_of_it_is_told() {
    let [init, _] =
        &vectors().into_iter().filter(|vector| vector.json.starts_with("{\"Init\"")).collect::<Vec<_>>()[..]
    else {
        panic!("two");
    };
    for (part, damaged) in [
        (document::CLIENT_KEY, "MIIE"),
        (document::CLIENT_KEY, "no base64 at all"),
        ("\"bm9ydGg=\"", "\"north\""),
        ("\"desktop\"", "\"desk top\""),
        ("pc.lan:48989", "pc.lan:0"),
        ("\"Title\":\"Desktop\"", "\"Id\":0"),
        ("192.168.1.7", "192.168.1.700"),
    ] {
        assert!(init.json.contains(part), "{part}");
        let json = init.json.replace(part, damaged);
        let error = decode::<ToChild>(json.as_bytes()).unwrap_err();
        assert!(matches!(error, Malformed::Fields { name: "Init", .. }), "{error:?}");
        assert!(error.to_string().starts_with("the fields of a message Init are wrong, at byte "), "{error}");
    }
}

/// It is the heartbeat: one that is too long would be a silent child.
#[test]
fn statistics_of_as_many_viewers_as_are_listed_fit_into_a_frame() {
    let longest = Some(std::time::Duration::MAX);
    let stats = PeerStats {
        frames: u64::MAX,
        packets: u64::MAX,
        lost: u64::MAX,
        round_trip: longest,
        jitter: longest,
        nacks: u64::MAX,
        keyframe_requests: u64::MAX,
        holds: u64::MAX,
        pauses: u64::MAX,
        path: Some(crate::peer::MediaPath::Standard),
        send_failures: u64::MAX,
    };
    let (stream, source) = (Stats::default(), SourceStats::default());
    let peers = vec![(PeerId::random(), stats); MAX_STATS_PEERS];
    let payload = encode(&FromChild::Stats { stream, source, restarts: 0, peers, malformed: 0, dropped: 0 });
    assert!(payload.len() <= crate::process::frames::MAX_MESSAGE * 3 / 4, "{}", payload.len());
}

#[test]
fn secrets_are_not_shown() {
    let key = &document::CLIENT_KEY[..40];
    let key_bytes = format!("{:?}", &STANDARD.decode(document::CLIENT_KEY).unwrap()[..8]);
    let init = vectors().into_iter().find(|vector| vector.json.contains(key)).unwrap();
    let shown = format!("{:?}", decode::<ToChild>(init.json.as_bytes()).unwrap());
    for secret in [key, &key_bytes[1..key_bytes.len() - 1], "bm9ydGg", "north", "static"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    assert_eq!(format!("{:?}", Secret::new(vec![1, 2, 3])), "Secret");
}

#[test]
fn a_source_is_the_same_for_its_host_behind_the_boundary() {
    use crate::gamestream::host::{Host, HostConfig, Learned, Turns};
    use crate::gamestream::source::{AppSelector, MoonlightConfig, MoonlightSource};

    let config = HostConfig {
        certificate: Some(certificate()),
        local_address: Some([192, 168, 1, 7].into()),
        timeout: std::time::Duration::from_millis(2500),
        ..HostConfig::new("pc.lan:48989".parse().unwrap(), identity())
    };
    let learned = Learned { https_port: Some(48984), ip: Some([192, 168, 1, 5].into()) };
    let host = Host::from_parts(config, learned, Turns::default());
    let app = AppSelector::Title("Desktop".to_owned());
    let source = MoonlightSource::new(host, MoonlightConfig::new(app));

    let json = serde_json::to_string(&MoonlightInit::new(&source)).unwrap();
    let again: MoonlightInit = serde_json::from_str(&json).unwrap();
    let again = again.into_source(Turns::default());
    assert_eq!(again.config(), source.config());
    let (ours, theirs) = (source.host(), again.host());
    assert_eq!(theirs.identity().certificate_pem(), ours.identity().certificate_pem());
    assert_eq!(theirs.identity().key_pkcs8(), ours.identity().key_pkcs8());
    assert_eq!(theirs.certificate(), ours.certificate());
    assert_eq!(theirs.address(), ours.address());
    assert_eq!(theirs.to_parts().1, learned);
    assert_eq!(format!("{:?}", theirs.to_parts()), format!("{:?}", ours.to_parts()));
}

proptest! {
    #[test]
    fn what_is_sent_to_a_child_is_what_it_reads(message in arbitrary::to_child()) {
        let payload = encode(&message);
        prop_assert!(payload.len() <= crate::process::frames::MAX_MESSAGE);
        let again = decode::<ToChild>(&payload).unwrap();
        prop_assert_eq!(encode(&again), payload);
        prop_assert_eq!(format!("{again:?}"), format!("{message:?}"));
    }

    #[test]
    fn what_a_child_sends_is_what_is_read(message in arbitrary::from_child()) {
        let payload = encode(&message);
        let again = decode::<FromChild>(&payload).unwrap();
        prop_assert_eq!(encode(&again), payload);
        prop_assert_eq!(format!("{again:?}"), format!("{message:?}"));
    }

    #[test]
    fn a_field_more_is_ignored_everywhere(message in arbitrary::from_child()) {
        let mut json: Value = serde_json::from_slice(&encode(&message)).unwrap();
        let Some(fields) = json.as_object_mut().and_then(|object| object.values_mut().next()) else {
            return Ok(());
        };
        fields.as_object_mut().unwrap().insert("of a newer child".to_owned(), Value::Null);
        let again = decode::<FromChild>(json.to_string().as_bytes()).unwrap();
        prop_assert_eq!(format!("{again:?}"), format!("{message:?}"));
    }

    #[test]
    fn a_state_keeps_its_time_by_each_ones_clock(wait in 0u64..10_000_000, passed in 0u64..10_000_000) {
        use std::time::Duration;

        let now = crate::task::now();
        let theirs = now + Duration::from_secs(5);
        let (attempt, reason) = (3, EndReason::ByHost);
        let next = now + Duration::from_millis(wait);
        let state = crate::lifecycle::State::Reconnecting { attempt, next, reason: reason.clone() };
        let told = StateMessage::new(&state, now + Duration::from_millis(passed));
        let left = Duration::from_millis(wait.saturating_sub(passed));
        let expected = crate::lifecycle::State::Reconnecting { attempt, next: theirs + left, reason };
        prop_assert_eq!(told.into_state(theirs), expected);
    }

    #[test]
    fn any_bytes_are_a_message_or_malformed(payload in proptest::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(decode::<ToChild>(&payload).is_err() && decode::<FromChild>(&payload).is_err());
    }
}
