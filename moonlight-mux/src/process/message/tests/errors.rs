//! Errors: whatever a program reads of one is the same behind the boundary.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::arbitrary::{durations, stages};
use super::*;
use crate::gamestream::host::{HostCall, HostError, HostErrorCause, HostRight};
use crate::gamestream::pairing::certificate::Unusable;
use crate::gamestream::source::{AppSelector, ConnectionError, InvalidConfig, MoonlightConfig};
use crate::gamestream::wire::http::AppId;
use crate::lifecycle::Silent;
use crate::source::SourceError;

/// The causes that programs tell apart.
pub(super) fn source_errors() -> impl Strategy<Value = SourceError> {
    let connection = (durations(), select(KINDS.to_vec()), any::<(bool, bool, Option<u32>, String)>());
    let connection = connection.prop_map(|(elapsed, kind, (is_timeout, is_permanent, host_code, text))| {
        let json = serde_json::json!({
            "host": "pc.lan", "elapsed": elapsed, "kind": kind, "is_timeout": is_timeout,
            "host_code": host_code, "is_permanent": is_permanent, "text": text,
        });
        serde_json::from_value::<ConnectionError>(json).unwrap()
    });
    let silent = prop_oneof![
        (durations(), any::<u64>())
            .prop_map(|(waited, datagrams)| Silent::NoFirstFrame { waited, datagrams }),
        durations().prop_map(|silent| Silent::Frozen { silent }),
    ];
    let config = (select(InvalidConfig::FIELDS.to_vec()), any::<u32>())
        .prop_map(|(field, value)| InvalidConfig { field, value });
    let flags = || (any::<bool>(), option::of(stages()));
    prop_oneof![
        4 => (flags(), host_errors()).prop_map(|(flags, error)| of(flags, error)),
        2 => (flags(), connection).prop_map(|(flags, error)| of(flags, error)),
        1 => (flags(), silent).prop_map(|(flags, error)| of(flags, error)),
        1 => (flags(), config).prop_map(|(flags, error)| of(flags, error)),
    ]
}

const KINDS: [&str; 7] =
    ["NoSession", "Handshake", "Control", "NoPicture", "Terminated", "HostDisconnected", "HostSilent"];

fn of((permanent, stage): (bool, Option<Stage>), cause: impl Error + Send + Sync + 'static) -> SourceError {
    let error = if permanent { SourceError::permanent(cause) } else { SourceError::retryable(cause) };
    match stage {
        Some(stage) => error.in_stage(stage),
        None => error,
    }
}

fn host_errors() -> impl Strategy<Value = HostError> {
    let calls = prop_oneof![
        any::<u8>().prop_map(|stage| HostCall::Pair { stage }),
        select(vec![
            HostCall::ServerInfo,
            HostCall::EnterPin,
            HostCall::AppList,
            HostCall::AppImage,
            HostCall::Launch,
            HostCall::Resume,
            HostCall::Cancel,
        ]),
    ];
    (calls, durations(), causes()).prop_map(|(call, elapsed, cause)| {
        let host = "[::1]:47990".parse().unwrap();
        HostError { host, call, elapsed, cause }
    })
}

fn causes() -> impl Strategy<Value = HostErrorCause> {
    use HostErrorCause as Cause;
    let kinds = || select(error_kind::KINDS.to_vec());
    let unusable = prop_oneof![
        any::<u32>().prop_map(|got| Unusable::Long { got: got as usize }),
        select(vec![Unusable::Pem, Unusable::Certificate, Unusable::Key, Unusable::Stranger]),
    ];
    prop_oneof![
        select(vec![
            Cause::NameNotFound,
            Cause::Refused,
            Cause::Timeout,
            Cause::Tls,
            Cause::WrongCertificate,
            Cause::Closed,
            Cause::NotPaired,
            Cause::WrongPin,
            Cause::PairingBusy,
            Cause::PairingRefused,
            Cause::Impostor,
            Cause::NobodyPairs,
            Cause::UnknownApp,
            Cause::NoRandomness,
            Cause::no_json(),
            Cause::MissingRight { right: HostRight::List },
            Cause::MissingRight { right: HostRight::Launch },
            Cause::Busy { running: None },
        ]),
        kinds().prop_map(Cause::Unreachable),
        kinds().prop_map(Cause::LocalAddress),
        unusable.prop_map(Cause::Certificate),
        any::<u16>().prop_map(|status| Cause::Interface { status }),
        (1u32..=0x7fff_ffff).prop_map(|id| Cause::Busy { running: AppId::new(id) }),
        any::<(i32, Option<String>)>().prop_map(|(code, message)| Cause::Host { code, message }),
        any::<u32>().prop_map(|limit| Cause::TooLong { limit: limit as usize }),
        any::<String>().prop_map(|version| Cause::Version { version }),
    ]
}

/// Behind the boundary.
fn told(error: &SourceError) -> SourceError {
    let reason = EndReason::Failed(error.clone());
    let payload = encode(&FromChild::Stopped { reason });
    match decode(&payload).unwrap() {
        FromChild::Stopped { reason: EndReason::Failed(error) } => error,
        message => panic!("{message:?}"),
    }
}

/// All that `moonlight-mux-http` reads (its `failure.rs`), and what people read.
fn assert_same(told: &SourceError, error: &SourceError) {
    assert_eq!(told.is_permanent(), error.is_permanent());
    assert_eq!(told.stage(), error.stage());
    assert_eq!(told.to_string(), error.to_string());
    let (theirs, ours) = (told.cause(), error.cause());
    assert_eq!(theirs.to_string(), ours.to_string());
    assert_eq!(theirs.downcast_ref::<HostError>(), ours.downcast_ref());
    assert_eq!(theirs.downcast_ref::<ConnectionError>(), ours.downcast_ref());
    assert_eq!(theirs.downcast_ref::<Silent>(), ours.downcast_ref());
    assert_eq!(theirs.downcast_ref::<InvalidConfig>(), ours.downcast_ref());
    let (mut theirs, mut ours) = (theirs.source(), ours.source());
    while let (Some(their), Some(our)) = (theirs, ours) {
        assert_eq!(their.to_string(), our.to_string());
        (theirs, ours) = (their.source(), our.source());
    }
    assert!(theirs.is_none() && ours.is_none());
}

proptest! {
    #[test]
    fn an_error_is_the_same_behind_the_boundary(error in source_errors()) {
        assert_same(&told(&error), &error);
    }
}

#[test]
fn an_error_that_no_program_tells_apart_keeps_its_words_down_to_its_root() {
    #[derive(Debug, thiserror::Error)]
    #[error("the recording is damaged")]
    struct Damaged(#[source] io::Error);

    let root = io::Error::new(ErrorKind::InvalidData, "no index");
    let error = SourceError::permanent(Damaged(root)).in_stage(Stage::PlatformInitialization);
    assert_same(&told(&error), &error);
    assert_same(&told(&told(&error)), &error);
    assert_same(
        &told(&SourceError::retryable(io::Error::from(ErrorKind::AddrInUse))),
        &SourceError::retryable(io::Error::from(ErrorKind::AddrInUse)),
    );
}

#[test]
fn whatever_a_configurations_check_refuses_keeps_its_type() {
    type Change = fn(&mut MoonlightConfig);
    let changes: [Change; 7] = [
        |config| config.codecs.clear(),
        |config| config.width = 0,
        |config| config.height = 0,
        |config| config.fps = 0,
        |config| config.bitrate_kbps = 0,
        |config| config.packet_size = 0,
        |config| config.packet_duration = Duration::from_millis(7),
    ];
    for change in changes {
        let mut config = MoonlightConfig::new(AppSelector::Title("Desktop".to_owned()));
        change(&mut config);
        let error = config.check().unwrap_err();
        let told = told(&SourceError::permanent(error));
        assert_eq!(told.cause().downcast_ref(), Some(&error), "{error}");
    }
}

#[test]
fn a_field_of_a_newer_child_is_named_all_the_same() {
    let json = r#"{"Stopped":{"reason":{"Failed":{"permanent":true,"stage":null,
        "cause":{"Config":{"field":"brightness","value":7}}}}}}"#;
    let FromChild::Stopped { reason: EndReason::Failed(error) } = decode(json.as_bytes()).unwrap() else {
        panic!("another message");
    };
    assert_eq!(error.to_string(), "brightness cannot be 7");
}

#[test]
fn an_errors_kind_has_its_name_and_the_systems_unknown_one_stays_unknown() {
    let host_error = |kind| HostError {
        host: "pc.lan".parse().unwrap(),
        call: HostCall::ServerInfo,
        elapsed: Duration::ZERO,
        cause: HostErrorCause::Unreachable(kind),
    };
    for kind in error_kind::KINDS {
        let error = SourceError::retryable(host_error(kind));
        assert_same(&told(&error), &error);
    }
    let json = serde_json::to_string(&host_error(ErrorKind::HostUnreachable)).unwrap();
    assert!(json.ends_with(r#""cause":{"Unreachable":"HostUnreachable"}}"#), "{json}");
    let strange = serde_json::from_str::<HostError>(&json.replace("HostUnreachable", "Enchanted")).unwrap();
    assert_eq!(
        strange.to_string(),
        "pc.lan: server info failed after 0.0 s: it cannot be reached: uncategorized error"
    );
    let error = SourceError::retryable(strange);
    assert_same(&told(&error), &error);
}
