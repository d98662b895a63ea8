//! What `POST /api/streamers` asks for.

use moonlight_mux::{AppId, AppSelector, HostId, IdentityName, MoonlightConfig, StreamerId, VideoCodec};

use crate::fields::{Fault, Fields, InvalidField};
use crate::recipes::Target;

/// A request that makes sense.
#[derive(Clone, Debug)]
pub(crate) struct CreateRequest {
    pub(crate) streamer_id: StreamerId,
    pub(crate) host_id: HostId,
    /// As which client the host is asked.
    pub(crate) identity: IdentityName,
    pub(crate) stream: MoonlightConfig,
    /// Whether it comes back when the server is started again.
    pub(crate) persistent: bool,
    /// What whoever meets the streamer is told of it.
    pub(crate) target: Target,
}

impl CreateRequest {
    pub(crate) fn parse(fields: &Fields) -> Result<Self, InvalidField> {
        let streamer_id = fields.parsed("streamer_id", Fault::NotAnId)?;
        let streamer_id = streamer_id.ok_or(Fault::Missing.of("streamer_id"))?;
        let identity = identity(fields)?;
        let host_id = fields.number("host_id", 0..=u32::MAX)?.ok_or(Fault::Missing.of("host_id"))?;

        let (app_id, title) = app(fields)?;
        let mut stream = MoonlightConfig::new(match (app_id, &title) {
            // It is what the caller got from the list of apps.
            (Some(id), _) => AppSelector::Id(id),
            (None, Some(title)) => AppSelector::Title(title.clone()),
            (None, None) => return Err(Fault::NoApp.of("app_id")),
        });
        let numbers = [
            ("bitrate", &mut stream.bitrate_kbps, 500..=1_000_000),
            ("packet_size", &mut stream.packet_size, 256..=1408),
            ("fps", &mut stream.fps, 1..=1000),
            ("width", &mut stream.width, 16..=8192),
            ("height", &mut stream.height, 16..=8192),
        ];
        for (field, value, range) in numbers {
            *value = fields.number(field, range)?.unwrap_or(*value);
        }
        stream.play_audio_on_host = fields.flag("play_audio_local")?.unwrap_or(stream.play_audio_on_host);
        if let Some(formats) = fields.number("video_supported_formats", 0..=u32::MAX)? {
            stream.codecs = codecs(formats).map_err(|fault| fault.of("video_supported_formats"))?;
        }
        let persistent = fields.flag("persistent")?.unwrap_or_default();
        check_unused(fields)?;
        let target = Target {
            host_id,
            app_id: app_id.map(AppId::get),
            app: title,
            client_unique_id: identity.to_string(),
            width: stream.width,
            height: stream.height,
            fps: stream.fps,
        };
        Ok(Self { streamer_id, host_id: HostId(host_id), identity, stream, persistent, target })
    }
}

/// The identity that a request names, or the one that is meant when it names none.
pub(crate) fn identity(fields: &Fields) -> Result<IdentityName, InvalidField> {
    let identity = fields.parsed("client_unique_id", Fault::NotAnId)?;
    Ok(identity.unwrap_or_default())
}

/// The app's number and its title, as far as they are given.
fn app(fields: &Fields) -> Result<(Option<AppId>, Option<String>), InvalidField> {
    let id = fields.number("app_id", 1..=MAX_APP_ID)?.and_then(AppId::new);
    let title = fields.text("app")?;
    let is_title = |title: &str| {
        !title.is_empty() && title.chars().count() <= MAX_TITLE && !title.contains(char::is_control)
    };
    match title {
        Some(title) if !is_title(title) => Err(Fault::NotATitle { max: MAX_TITLE }.of("app")),
        title => Ok((id, title.map(str::to_owned))),
    }
}

/// The codecs of a mask that viewers can be sent, the best first; HEVC last, as few browsers play it. Bits that are not known
/// mean nothing.
fn codecs(formats: u32) -> Result<Vec<VideoCodec>, Fault> {
    let playable = [(AV1, VideoCodec::Av1), (H264, VideoCodec::H264), (HEVC, VideoCodec::Hevc)];
    let codecs: Vec<_> =
        playable.into_iter().filter(|(bit, _)| formats & bit != 0).map(|(_, codec)| codec).collect();
    match codecs.is_empty() {
        false => Ok(codecs),
        true if formats & (HEVC_MAIN_10 | AV1_10_BIT) != 0 => Err(Fault::NotPlayable),
        true => Err(Fault::NoCodec),
    }
}

/// Fields that existing backends send: they have to be what they claim, and change nothing. Nothing is queued here, and
/// hosts are always asked for Rec. 709 in limited range, which is what browsers take H.264 and AV1 for.
fn check_unused(fields: &Fields) -> Result<(), InvalidField> {
    fields.number("video_sample_queue_size", 0..=u32::MAX)?;
    fields.number("audio_sample_queue_size", 0..=u32::MAX)?;
    fields.choice("video_colorspace", &["Rec601", "Rec709", "Rec2020"])?;
    fields.flag("video_color_range_full")?;
    Ok(())
}

/// The fields that make a streamer what it is: what is kept of a persistent one.
pub(crate) const KEPT: [&str; 15] = [
    "streamer_id",
    "host_id",
    "app_id",
    "app",
    "client_unique_id",
    "width",
    "height",
    "fps",
    "bitrate",
    "packet_size",
    "play_audio_local",
    "video_supported_formats",
    "input_mode",
    "idle_ms",
    "persistent",
];

/// Bits of `video_supported_formats`.
const H264: u32 = 0x1;
const HEVC: u32 = 0x100;
const HEVC_MAIN_10: u32 = 0x200;
const AV1: u32 = 0x1000;
const AV1_10_BIT: u32 = 0x2000;

/// Hosts give their apps positive 31-bit numbers.
const MAX_APP_ID: u32 = i32::MAX as u32;
/// Characters of an app's title: titles are names on a tile.
const MAX_TITLE: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn parse(body: Value) -> Result<CreateRequest, InvalidField> {
        CreateRequest::parse(&Fields::from(body))
    }

    /// What is required and nothing else.
    fn least() -> Value {
        json!({"streamer_id": "desk", "host_id": 0, "app_id": 1})
    }

    fn least_and(field: &str, value: Value) -> Value {
        let mut body = least();
        body[field] = value;
        body
    }

    #[test]
    fn the_body_of_existing_backends_is_understood() {
        let request = parse(json!({
            "streamer_id": "agent-ses_01k7jt2n9c5nt9pffq1r8kg92p",
            "client_unique_id": "helix-agent-ses_01k7jt2n9c5nt9pffq1r8kg92p",
            "host_id": 0, "app_id": 304391717, "bitrate": 20000, "packet_size": 1024, "fps": 60, "width": 2560,
            "height": 1600, "video_sample_queue_size": 10, "play_audio_local": false,
            "audio_sample_queue_size": 10, "video_supported_formats": 1, "video_colorspace": "Rec709",
            "video_color_range_full": false,
        }));
        let request = request.unwrap();
        assert_eq!(request.streamer_id.as_str(), "agent-ses_01k7jt2n9c5nt9pffq1r8kg92p");
        assert_eq!(request.identity.to_string(), "helix-agent-ses_01k7jt2n9c5nt9pffq1r8kg92p");
        assert_eq!(request.host_id, HostId(0));
        let stream = &request.stream;
        assert_eq!(stream.app, AppSelector::Id(AppId::new(304_391_717).unwrap()));
        assert_eq!((stream.bitrate_kbps, stream.packet_size, stream.fps), (20_000, 1024, 60));
        assert_eq!((stream.width, stream.height), (2560, 1600));
        assert!(!stream.play_audio_on_host);
        assert_eq!(stream.codecs, [VideoCodec::H264]);
    }

    #[test]
    fn only_streamer_host_and_app_are_required() {
        let request = parse(least()).unwrap();
        assert_eq!(request.identity, IdentityName::default());
        let wanted = MoonlightConfig::new(AppSelector::Id(AppId::new(1).unwrap()));
        assert_eq!(format!("{:?}", request.stream), format!("{wanted:?}"), "the rest is left to the library");
        let by_title = parse(json!({"streamer_id": "desk", "host_id": 3, "app": "Big Picture"})).unwrap();
        assert_eq!(by_title.stream.app, AppSelector::Title("Big Picture".to_owned()));
        let nulls = json!({"streamer_id": "desk", "host_id": 0, "app_id": 1, "app": null, "fps": null,
            "play_audio_local": null, "client_unique_id": null, "video_colorspace": null, "unknown": [[{}]]});
        assert_eq!(format!("{:?}", parse(nulls).unwrap()), format!("{request:?}"));

        for (missing, sentence) in [
            ("streamer_id", "streamer_id is missing"),
            ("host_id", "host_id is missing"),
            ("app_id", "app_id is missing: name the app by app_id, or by app, its title"),
        ] {
            let mut body = least();
            body.as_object_mut().unwrap().remove(missing);
            let invalid = parse(body).unwrap_err();
            assert_eq!((invalid.field, invalid.to_string().as_str()), (missing, sentence));
        }
    }

    #[test]
    fn each_field_has_its_type_and_its_range() {
        let id = "a".repeat(128);
        let ids = (
            vec![json!("a"), json!("A-z_0.9"), json!(id)],
            vec![
                json!(""),
                json!("a b"),
                json!("a/b"),
                json!("é"),
                json!("a\0"),
                json!("a".repeat(129)),
                json!(1),
                json!(["a"]),
            ],
        );
        let flags = (vec![json!(true), json!(false)], vec![json!("true"), json!(0), json!({})]);
        let number = |least: u32, most: u32| {
            let (below, above) = (i64::from(least) - 1, i64::from(most) + 1);
            let good = vec![json!(least), json!(most)];
            let bad =
                [json!(below), json!(above), json!(60.5), json!("60"), json!(true), json!(1e99), json!([60])];
            (good, bad.to_vec())
        };
        let table = [
            ("streamer_id", ids.clone()),
            ("client_unique_id", ids),
            ("host_id", number(0, u32::MAX)),
            ("app_id", number(1, i32::MAX as u32)),
            ("bitrate", number(500, 1_000_000)),
            ("packet_size", number(256, 1408)),
            ("fps", number(1, 1000)),
            ("width", number(16, 8192)),
            ("height", number(16, 8192)),
            ("video_sample_queue_size", number(0, u32::MAX)),
            ("audio_sample_queue_size", number(0, u32::MAX)),
            ("play_audio_local", flags.clone()),
            ("video_color_range_full", flags.clone()),
            ("persistent", flags),
            (
                "app",
                (
                    vec![json!("Desktop"), json!("é".repeat(256))],
                    vec![json!(""), json!("é".repeat(257)), json!("a\nb"), json!(1)],
                ),
            ),
            (
                "video_colorspace",
                (
                    vec![json!("Rec601"), json!("Rec709"), json!("Rec2020")],
                    vec![json!("rec709"), json!(""), json!(709)],
                ),
            ),
            (
                "video_supported_formats",
                (
                    vec![json!(1), json!(0x100), json!(0x1000), json!(0x3301), json!(u32::MAX)],
                    vec![
                        json!(0),
                        json!(2),
                        json!(0x200),
                        json!(0x2000),
                        json!(0x2200),
                        json!(-1),
                        json!(1_u64 << 32),
                        json!("1"),
                    ],
                ),
            ),
        ];
        for (field, (good, bad)) in table {
            for value in good {
                if let Err(invalid) = parse(least_and(field, value.clone())) {
                    panic!("{field} = {value}: {invalid}");
                }
            }
            for value in bad {
                let invalid = parse(least_and(field, value.clone()));
                let invalid = invalid.expect_err(&format!("{field} = {value}"));
                assert_eq!(invalid.field, field, "{value}");
                assert!(invalid.to_string().starts_with(field), "{invalid}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_body_is_too_strange(values in proptest::collection::vec((0..FIELDS.len(), strange()), 0..8)) {
            let mut body = least();
            for (field, value) in values {
                body[FIELDS[field]] = value;
            }
            match parse(body.clone()) {
                Ok(request) => prop_assert!(request.stream.check().is_ok(), "{body}"),
                Err(invalid) => prop_assert!(FIELDS.contains(&invalid.field), "{invalid}"),
            }
        }
    }

    const FIELDS: [&str; 17] = [
        "streamer_id",
        "client_unique_id",
        "host_id",
        "app_id",
        "app",
        "bitrate",
        "packet_size",
        "fps",
        "width",
        "height",
        "video_sample_queue_size",
        "audio_sample_queue_size",
        "play_audio_local",
        "video_supported_formats",
        "video_colorspace",
        "video_color_range_full",
        "persistent",
    ];

    fn strange() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u32>().prop_map(Value::from),
            (0_u32..9000).prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            Just(json!([1])),
        ]
    }

    #[test]
    fn values_go_where_they_belong() {
        let body = json!({"streamer_id": "desk", "client_unique_id": "me", "host_id": 7, "app_id": 9, "app": "A",
            "bitrate": 501, "packet_size": 272, "fps": 31, "width": 18, "height": 20, "play_audio_local": true});
        let CreateRequest { host_id, identity, stream, .. } = parse(body).unwrap();
        assert_eq!((host_id, identity.to_string().as_str()), (HostId(7), "me"));
        assert_eq!(stream.app, AppSelector::Id(AppId::new(9).unwrap()), "the number counts");
        let numbers = (stream.bitrate_kbps, stream.packet_size, stream.fps, stream.width, stream.height);
        assert_eq!(numbers, (501, 272, 31, 18, 20));
        assert!(stream.play_audio_on_host);
    }

    #[test]
    fn codecs_are_those_that_viewers_can_be_sent() {
        use VideoCodec::{Av1, H264, Hevc};
        assert_eq!(codecs(0x1), Ok(vec![H264]));
        assert_eq!(codecs(0x1000), Ok(vec![Av1]));
        assert_eq!(codecs(0x3301), Ok(vec![Av1, H264, Hevc]));
        assert_eq!(codecs(0x101), Ok(vec![H264, Hevc]));
        assert_eq!(codecs(0x300), Ok(vec![Hevc]));
        assert_eq!(codecs(0x200), Err(Fault::NotPlayable));
        assert_eq!(codecs(0x2200), Err(Fault::NotPlayable));
        assert_eq!(codecs(0), Err(Fault::NoCodec));
        assert_eq!(codecs(0x8000_0000), Err(Fault::NoCodec));
    }
}
