//! Messages of any content.

use std::num::NonZeroUsize;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::errors::source_errors;
use super::*;
use crate::gamestream::host::{HostConfig, Learned};
use crate::gamestream::source::{AppSelector, Channels, MoonlightConfig};
use crate::gamestream::wire::http::AppId;
use crate::input::DeviceClass;
use crate::lifecycle::{RestartBackoff, RestartPolicy};
use crate::media::{AudioInfo, VideoInfo};
use crate::peer::MediaPath;
use crate::process::Limits;
use crate::signalling::{Candidate, Description, DescriptionKind, IceServer, Report, ReportEvent};
use crate::streamer::StreamerConfig;
use crate::webrtc::{TurnSecret, WebRtcConfig};

pub(super) fn to_child() -> impl Strategy<Value = ToChild> {
    let add = (peers(), select(vec![Offerer::Viewer, Offerer::Server]), option::of("[a-zä]{1,64}"), rights())
        .prop_map(|(peer_id, offerer, name, rights)| {
            let name = name.map(|name| name.parse().unwrap());
            ToChild::AddPeer { peer_id, offerer, name, rights }
        });
    prop_oneof![
        any::<(u32, u32)>().prop_map(|(version, pid)| ToChild::Hello { version, pid }),
        inits().prop_map(|init| ToChild::Init(Box::new(init))),
        Just(ToChild::StartMoonlight),
        add,
        (peers(), signals()).prop_map(|(peer_id, signal)| ToChild::FromPeer { peer_id, signal }),
        peers().prop_map(|peer_id| ToChild::PeerMalformed { peer_id }),
        peers().prop_map(|peer_id| ToChild::PeerLost { peer_id }),
        (peers(), rights()).prop_map(|(peer_id, rights)| ToChild::SetRights { peer_id, rights }),
        modes().prop_map(|mode| ToChild::SetInputMode { mode }),
        (peers(), reasons()).prop_map(|(peer_id, reason)| ToChild::RemovePeer { peer_id, reason }),
        Just(ToChild::Keyframe),
        Just(ToChild::OpenMedia),
        Just(ToChild::LaunchGranted),
        (any::<bool>(), reasons()).prop_map(|(quit, reason)| ToChild::Stop { quit, reason }),
    ]
}

pub(super) fn from_child() -> impl Strategy<Value = FromChild> {
    let format = || (any::<(u32, u32, u32)>(), codecs());
    prop_oneof![
        any::<(u32, u32)>().prop_map(|(version, pid)| FromChild::Hello { version, pid }),
        any::<(u16, Option<u16>)>().prop_map(|(udp, tcp)| FromChild::Ready { udp, tcp }),
        any::<String>().prop_map(|error| FromChild::NotReady { error }),
        stages().prop_map(|stage| FromChild::StageStarting { stage }),
        stages().prop_map(|stage| FromChild::StageComplete { stage }),
        (stages(), source_errors()).prop_map(|(stage, error)| FromChild::StageFailed { stage, error }),
        Just(FromChild::MoonlightConnected),
        format().prop_map(|((width, height, fps), codec)| FromChild::ConnectionComplete {
            width,
            height,
            codec,
            fps
        }),
        format().prop_map(|((width, height, fps), codec)| FromChild::FormatChanged {
            width,
            height,
            codec,
            fps
        }),
        any::<(bool, u32)>()
            .prop_map(|(keyframe, bytes)| FromChild::FirstPicture { keyframe, bytes: bytes as usize }),
        states().prop_map(|state| FromChild::State { state }),
        infos().prop_map(|info| FromChild::Info { info }),
        (peers(), signals()).prop_map(|(peer_id, signal)| FromChild::ToPeer { peer_id, signal }),
        (peers(), reasons()).prop_map(|(peer_id, reason)| FromChild::PeerClosing { peer_id, reason }),
        peers().prop_map(|peer_id| FromChild::PeerJoined { peer_id }),
        peers().prop_map(|peer_id| FromChild::FirstFrame { peer_id }),
        (peers(), reasons()).prop_map(|(peer_id, reason)| FromChild::PeerClosed { peer_id, reason }),
        inputs(),
        stats(),
        Just(FromChild::LaunchWanted),
        any::<u64>().prop_map(|pending_ms| FromChild::LaunchOver { pending_ms }),
        ends().prop_map(|reason| FromChild::Stopped { reason }),
    ]
}

fn peers() -> impl Strategy<Value = PeerId> {
    any::<u128>().prop_map(|bits| {
        let text = uuid::Uuid::from_u128(bits).to_string();
        serde_json::from_value(text.into()).unwrap()
    })
}

pub(super) fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (any::<u64>(), 0u32..1_000_000_000).prop_map(|(secs, nanos)| Duration::new(secs, nanos)),
        (0u64..100_000).prop_map(Duration::from_millis),
    ]
}

fn rights() -> impl Strategy<Value = Rights> {
    proptest::sample::subsequence(DeviceClass::ALL.to_vec(), 0..=6).prop_map(Rights::from_iter)
}

fn modes() -> impl Strategy<Value = InputMode> {
    prop_oneof![
        Just(InputMode::Shared),
        durations().prop_map(|idle| InputMode::OneAtATime { idle }),
        Just(InputMode::ViewOnly),
    ]
}

fn reasons() -> impl Strategy<Value = LeaveReason> {
    select(vec![
        LeaveReason::Left,
        LeaveReason::Vanished,
        LeaveReason::Superseded,
        LeaveReason::StreamerDeleted,
        LeaveReason::StreamEnded,
        LeaveReason::StreamerFull,
        LeaveReason::Kicked,
        LeaveReason::TooSlow,
        LeaveReason::ServerShutdown,
        LeaveReason::SignallingTimeout,
        LeaveReason::BadSignalling,
        LeaveReason::BadInput,
        LeaveReason::UnsupportedCodec,
        LeaveReason::FormatChanged,
        LeaveReason::ConnectionFailed,
        LeaveReason::Internal,
    ])
}

pub(super) fn stages() -> impl Strategy<Value = Stage> {
    select(vec![
        Stage::ServerInfo,
        Stage::Launch,
        Stage::PlatformInitialization,
        Stage::NameResolution,
        Stage::AudioStreamInitialization,
        Stage::RtspHandshake,
        Stage::ControlStreamInitialization,
        Stage::VideoStreamInitialization,
        Stage::InputStreamInitialization,
        Stage::ControlStreamEstablishment,
        Stage::VideoStreamEstablishment,
        Stage::AudioStreamEstablishment,
        Stage::InputStreamEstablishment,
    ])
}

fn codecs() -> impl Strategy<Value = VideoCodec> {
    select(vec![VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Av1])
}

fn ice_servers() -> impl Strategy<Value = Vec<IceServer>> {
    let server = (vec(any::<String>(), 0..3), any::<(Option<String>, Option<String>)>());
    vec(server.prop_map(|(urls, (username, credential))| IceServer { urls, username, credential }), 0..3)
}

fn signals() -> impl Strategy<Value = Signal> {
    let kinds = select(vec![DescriptionKind::Offer, DescriptionKind::Answer]);
    let events =
        select(vec![ReportEvent::FirstFrame, ReportEvent::Black, ReportEvent::Frozen, ReportEvent::Playing]);
    let candidates = any::<(String, Option<String>, Option<u16>, Option<String>)>();
    prop_oneof![
        ice_servers().prop_map(Signal::IceServers),
        (kinds, any::<String>()).prop_map(|(kind, sdp)| Signal::Description(Description { kind, sdp })),
        candidates.prop_map(|(candidate, sdp_mid, sdp_mline_index, username_fragment)| {
            Signal::Candidate(Candidate { candidate, sdp_mid, sdp_mline_index, username_fragment })
        }),
        (events, durations()).prop_map(|(event, after)| Signal::Report(Report { event, after })),
    ]
}

fn infos() -> impl Strategy<Value = StreamInfo> {
    let video = (codecs(), any::<(u32, u32, u32)>()).prop_map(|(codec, (width, height, fps))| VideoInfo {
        codec,
        width,
        height,
        fps,
    });
    let audio = (any::<u8>(), durations())
        .prop_map(|(channels, packet_duration)| AudioInfo { channels, packet_duration });
    (video, option::of(audio)).prop_map(|(video, audio)| StreamInfo { video, audio })
}

fn ends() -> impl Strategy<Value = EndReason> {
    prop_oneof![
        Just(EndReason::Stopped),
        Just(EndReason::ByHost),
        Just(EndReason::SourcePanicked),
        source_errors().prop_map(EndReason::Failed),
    ]
}

fn states() -> impl Strategy<Value = StateMessage> {
    prop_oneof![
        Just(StateMessage::Starting),
        stages().prop_map(|stage| StateMessage::Connecting { stage }),
        Just(StateMessage::Connected),
        Just(StateMessage::Streaming),
        Just(StateMessage::Stalled),
        (any::<(u32, u64)>(), ends()).prop_map(|((attempt, in_ms), reason)| StateMessage::Reconnecting {
            attempt,
            in_ms,
            reason
        }),
        ends().prop_map(|reason| StateMessage::Ended { reason }),
    ]
}

fn inputs() -> impl Strategy<Value = FromChild> {
    let features =
        any::<(bool, bool)>().prop_map(|(touch, gamepad_sensors)| InputFeatures { touch, gamepad_sensors });
    (option::of(features), option::of(peers()), vec(peers(), 0..5))
        .prop_map(|(features, turn, acting)| FromChild::Input { features, turn, acting })
}

fn stats() -> impl Strategy<Value = FromChild> {
    let stream = (any::<[u64; 5]>(), option::of(durations()), any::<u32>()).prop_map(
        |([video_frames, keyframes, audio_frames, bytes, bits_per_second], last_frame_age, viewers)| Stats {
            video_frames,
            keyframes,
            audio_frames,
            bytes,
            bits_per_second,
            last_frame_age,
            viewers: viewers as usize,
        },
    );
    let source = (any::<[u64; 5]>(), any::<Option<u32>>(), option::of(durations())).prop_map(
        |([datagrams, kernel_drops, repaired, held_back, keyframe_requests], buffer, round_trip)| {
            SourceStats {
                datagrams,
                kernel_drops,
                receive_buffer: buffer.map(|bytes| bytes as usize),
                repaired,
                held_back,
                keyframe_requests,
                round_trip,
            }
        },
    );
    let peer = (any::<[u64; 8]>(), option::of(durations()), option::of(durations()), paths()).prop_map(
        |(numbers, round_trip, jitter, path)| {
            let [frames, packets, lost, nacks, keyframe_requests, holds, pauses, send_failures] = numbers;
            PeerStats {
                frames,
                packets,
                lost,
                round_trip,
                jitter,
                nacks,
                keyframe_requests,
                holds,
                pauses,
                path,
                send_failures,
            }
        },
    );
    (stream, source, any::<(u64, u64, u64)>(), vec((peers(), peer), 0..4)).prop_map(
        |(stream, source, (restarts, malformed, dropped), peers)| FromChild::Stats {
            stream,
            source,
            restarts,
            peers,
            malformed,
            dropped,
        },
    )
}

fn paths() -> impl Strategy<Value = Option<MediaPath>> {
    select(vec![None, Some(MediaPath::Direct), Some(MediaPath::Standard)])
}

fn inits() -> impl Strategy<Value = Init> {
    ("[A-Za-z0-9._-]{1,128}", hosts(), moonlight_configs(), streamer_configs(), webrtc_configs(), limits())
        .prop_map(|(streamer_id, (host, learned), moonlight, config, webrtc, limits)| Init {
            streamer_id: streamer_id.parse().unwrap(),
            source: MoonlightInit { host, learned, config: moonlight },
            config,
            webrtc,
            limits,
        })
}

fn hosts() -> impl Strategy<Value = (HostConfig, Learned)> {
    let addresses = any::<(Option<std::net::IpAddr>, Option<std::net::IpAddr>)>();
    ("[a-z][a-z0-9.-]{0,40}", 1u16.., any::<(bool, Option<u16>)>(), addresses, durations()).prop_map(
        |(name, port, (paired, https_port), (local_address, ip), timeout)| {
            let address = crate::gamestream::address::HostAddress::new(&name, port).unwrap();
            let certificate = paired.then(certificate);
            let config =
                HostConfig { certificate, local_address, timeout, ..HostConfig::new(address, identity()) };
            (config, Learned { https_port, ip })
        },
    )
}

fn moonlight_configs() -> impl Strategy<Value = MoonlightConfig> {
    let apps = prop_oneof![
        (1u32..=0x7fff_ffff).prop_map(|id| AppSelector::Id(AppId::new(id).unwrap())),
        any::<String>().prop_map(AppSelector::Title),
    ];
    let channels = select(vec![Channels::Stereo, Channels::Surround51, Channels::Surround71]);
    (apps, any::<[u32; 5]>(), vec(codecs(), 0..4), channels, durations(), any::<[bool; 3]>()).prop_map(
        |(app, [width, height, fps, bitrate_kbps, packet_size], codecs, channels, packet_duration, flags)| {
            let [encrypt_video, encrypt_audio, play_audio_on_host] = flags;
            MoonlightConfig {
                app,
                width,
                height,
                fps,
                bitrate_kbps,
                packet_size,
                codecs,
                channels,
                packet_duration,
                encrypt_video,
                encrypt_audio,
                play_audio_on_host,
            }
        },
    )
}

fn streamer_configs() -> impl Strategy<Value = StreamerConfig> {
    let restarts = select(vec![RestartPolicy::Never, RestartPolicy::OnFailure, RestartPolicy::Always]);
    let waits = [durations(), durations(), durations(), durations()];
    let backoff = (waits, any::<(u32, u32)>()).prop_map(
        |([first, longest, breaker_pause, healthy_after], (breaker_failures, breaker_trips))| {
            RestartBackoff { first, longest, breaker_failures, breaker_pause, breaker_trips, healthy_after }
        },
    );
    (any::<u32>(), restarts, backoff, durations(), modes(), durations()).prop_map(
        |(max_peers, restart, backoff, first_frame_timeout, input_mode, stall_timeout)| StreamerConfig {
            max_peers: max_peers as usize,
            restart,
            backoff,
            first_frame_timeout,
            input_mode,
            stall_timeout,
        },
    )
}

fn webrtc_configs() -> impl Strategy<Value = WebRtcConfig> {
    let turns =
        (vec(any::<String>(), 0..3), durations(), vec(any::<u8>(), 0..40)).prop_map(|(urls, ttl, secret)| {
            let mut turn = TurnSecret::new(urls, &secret);
            turn.ttl = ttl;
            turn
        });
    let addresses = any::<((std::net::IpAddr, u16), Option<(std::net::IpAddr, u16)>)>();
    (addresses, vec(any::<std::net::IpAddr>(), 0..3), ice_servers(), vec(turns, 0..3), any::<(bool, usize)>())
        .prop_map(|((bind, tcp), public_addresses, ice_servers, turn_secrets, (direct, shards))| {
            WebRtcConfig {
                bind: bind.into(),
                tcp: tcp.map(Into::into),
                public_addresses,
                ice_servers,
                turn_secrets,
                direct,
                shards: NonZeroUsize::new(shards),
            }
        })
}

fn limits() -> impl Strategy<Value = Limits> {
    any::<(Option<u64>, Option<u64>, i32)>().prop_map(|(memory, open_files, nice)| Limits {
        memory,
        open_files,
        nice,
    })
}
