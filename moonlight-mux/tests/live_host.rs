//! From a host that nobody knows to a picture and back, with the library's public interface against a test host.

#![cfg(all(feature = "test-host", feature = "test-picture"))]

#[path = "recordings/folder.rs"]
mod folder;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use moonlight_mux::{
    AppSelector, ExitPolicy, Host, HostConfig, HostErrorCause, HostEvent, HostPicture, HostStep, Identity,
    Manner, Media, MoonlightConfig, MoonlightSource, Pin, Recording, Streamer, StreamerConfig, TestHost,
    TestHostConfig, VideoCodec,
};
use tokio::time::timeout;

/// Far above what anything here takes.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), Box::pin(future)).await.expect("it takes no minute")
}

fn client(host: &TestHost) -> Host {
    Host::new(HostConfig::new(host.address(), Identity::generate().expect("keys")))
}

/// The user types `typed` once the host asks for `pin`.
async fn pair(host: &TestHost, client: &Host, pin: &Pin, typed: &str) -> Result<(), HostErrorCause> {
    let mut events = host.events();
    // Earlier attempts asked too.
    let asked = host.log().iter().filter(|event| **event == HostEvent::PinWanted).count();
    let user = async {
        for _ in 0..=asked {
            events.find(|event| *event == HostEvent::PinWanted).await;
        }
        host.enter_pin(typed);
    };
    let pairing = Box::pin(client.pair(pin));
    let (paired, ()) = in_time(async { tokio::join!(pairing, user) }).await;
    paired.map(drop).map_err(|error| error.cause)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_paired_asked_streamed_from_and_its_app_quit() {
    for manner in [Manner::Sunshine, Manner::SunshineV023, Manner::Wolf] {
        let mut config = TestHostConfig::default();
        config.manner = manner;
        let host = TestHost::start(config).await.unwrap();
        let client = client(&host);

        let info = in_time(client.info()).await.unwrap();
        assert_eq!((info.name.as_str(), info.paired, info.running_app), ("test host", false, None));
        let pin: Pin = "1234".parse().unwrap();
        assert!(
            matches!(pair(&host, &client, &pin, "4321").await, Err(HostErrorCause::WrongPin)),
            "{manner:?}"
        );
        pair(&host, &client, &pin, "1234").await.unwrap();
        assert!(in_time(client.info()).await.unwrap().paired);
        let apps = in_time(client.apps()).await.unwrap();
        assert_eq!(apps.iter().map(|app| app.title.as_str()).collect::<Vec<_>>(), ["Desktop"]);
        let image = in_time(client.app_image(apps[0].id)).await;
        assert_eq!(image.is_ok(), manner != Manner::Wolf);

        let mut config = MoonlightConfig::new(AppSelector::Title("Desktop".to_owned()));
        (config.width, config.height, config.fps) = (320, 180, 30);
        let source = MoonlightSource::new(client.clone(), config);
        let streamer = Streamer::start("desktop".parse().unwrap(), source, StreamerConfig::default());
        in_time(streamer.wait_streaming()).await.unwrap();
        let frames = streamer.subscribe();
        let mut pictures = Vec::new();
        while pictures.len() < 10 {
            match in_time(frames.recv()).await.unwrap() {
                Media::Video(frame) => pictures.push(frame),
                Media::Audio(_) => {}
                Media::Gap { lost } => panic!("{lost} pictures are lost on loopback"),
            }
        }
        assert!(pictures[0].keyframe);
        assert_eq!(in_time(client.info()).await.unwrap().running_app, Some(apps[0].id));
        assert_eq!(host.sessions(), 1);

        in_time(streamer.shutdown(ExitPolicy::Quit)).await;
        let quit = |event: &HostEvent| {
            matches!(event, HostEvent::Called { step: HostStep::Cancel, status: Some(200), .. })
        };
        in_time(host.wait_for(quit)).await;
        assert_eq!(in_time(client.info()).await.unwrap().running_app, None, "{manner:?}");
        let idle =
            in_time(host.wait_for_counts(|counts| counts.sessions + counts.open_connections == 0)).await;
        assert_eq!(idle.open_rtsp_connections, 0);
        assert!(!host.log().contains(&HostEvent::RtspReset));
        in_time(host.shutdown()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recordings_frames_arrive_as_they_were_recorded() {
    for (name, codec) in [("v0.23-hevc-all-encrypted", VideoCodec::Hevc), ("v0.23-av1", VideoCodec::Av1)] {
        let thread = std::thread::current();
        let Some(folder) = folder::recording(thread.name().unwrap_or(name), name) else { return };
        let recording = Arc::new(Recording::open(folder).unwrap());
        let recorded: Vec<_> = recording.frames().map(|frame| frame.data.clone()).collect();
        let mut config = TestHostConfig::default();
        config.picture = HostPicture::Recording(recording);
        let host = TestHost::start(config).await.unwrap();
        let client = client(&host);
        pair(&host, &client, &"1234".parse().unwrap(), "1234").await.unwrap();
        assert!(in_time(client.info()).await.unwrap().codecs.contains(&codec));

        let mut config = MoonlightConfig::new(AppSelector::Title("Desktop".to_owned()));
        config.codecs = vec![codec];
        let source = MoonlightSource::new(client, config);
        let streamer = Streamer::start("desktop".parse().unwrap(), source, StreamerConfig::default());
        let frames = streamer.subscribe();
        let mut position = None;
        for _ in 0..60 {
            let frame = loop {
                match in_time(frames.recv()).await.unwrap() {
                    Media::Video(frame) => break frame,
                    Media::Audio(_) => {}
                    Media::Gap { lost } => panic!("{lost} pictures are lost on loopback"),
                }
            };
            // A wish goes back to a keyframe; otherwise one follows the other.
            let at = if frame.keyframe { 0 } else { position.map_or(0, |at: usize| at + 1) };
            assert_eq!(frame.data, recorded[at], "{name}: frame {at}");
            position = Some(at);
        }
        in_time(streamer.shutdown(ExitPolicy::LeaveRunning)).await;
        in_time(host.shutdown()).await;
    }
}
