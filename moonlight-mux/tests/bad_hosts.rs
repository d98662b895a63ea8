//! Hosts that are not there, are others than they were, or answer what no host should: the error names the host, the step
//! and the time that passed, and nobody else notices.

#![cfg(all(feature = "test-host", feature = "test-picture"))]

mod live;

use futures_util::future::join_all;
use moonlight_mux::{
    EndReason, ExitPolicy, Faults, Host, HostConfig, HostEvent, HostStep, HostileAnswer, Identity, Manner,
    Pin, RestartPolicy, Streamer, StreamerConfig, TestHost,
};

use live::{Live, ended, host, in_time, in_words, pictures, small};
use tokio::net::TcpSocket;
use tokio::sync::Mutex;

/// Since one measures the memory of the process, which endless answers fill for a while.
static ALONE: Mutex<()> = Mutex::const_new(());

const ANSWERS: [HostileAnswer; 8] = [
    HostileAnswer::Nothing,
    HostileAnswer::Garbage,
    HostileAnswer::Truncated,
    HostileAnswer::OtherXml,
    HostileAnswer::Empty,
    HostileAnswer::Status(500),
    HostileAnswer::Endless,
    HostileAnswer::HalfCertificate,
];

/// It names where, at which step, and how long it took.
fn assert_named(words: &str, address: &str, step: &str) {
    assert!(words.contains(address) && words.to_lowercase().contains(step), "{step} at {address}: {words}");
    let is_time = |(at, _): (usize, &str)| words[..at].ends_with(|c: char| c.is_ascii_digit());
    assert!(words.match_indices(" s").any(is_time), "elapsed time: {words}");
}

fn hostile(step: HostStep, answer: HostileAnswer) -> Faults {
    let mut faults = Faults::default();
    faults.hostile = Some((step, answer));
    faults
}

/// Another stream, which goes on whatever happens.
struct Bystander {
    _live: Live,
    streamer: Streamer,
}

impl Bystander {
    async fn start() -> Self {
        let live = Live::start(host(Manner::Sunshine)).await;
        let streamer = live.streaming("bystander").await;
        Self { _live: live, streamer }
    }

    async fn assert_goes_on(&self) {
        pictures(&self.streamer.subscribe(), 10).await;
        assert_eq!(self.streamer.restarts(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_host_should_answer_to_a_call_is_refused_and_told() {
    let _alone = ALONE.lock().await;
    let bystander = Bystander::start().await;
    let live = Live::start(host(Manner::Sunshine)).await;
    let client = live.client("one").await;
    let address = live.host.http_address().to_string();
    let before = resident();
    for answer in ANSWERS {
        live.host.set_faults(hostile(HostStep::ServerInfo, answer));
        let error = in_time(client.info()).await.expect_err("no host answers so");
        assert_named(&in_words(&error), &address, "server info");
        live.host.set_faults(hostile(HostStep::Apps, answer));
        let error = in_time(client.apps()).await;
        // A host without apps is a host.
        if answer != HostileAnswer::Empty {
            assert_named(&in_words(&error.expect_err("no host answers so")), &address, "app");
        }
        live.host.set_faults(hostile(HostStep::Cancel, answer));
        if let Err(error) = in_time(client.quit_app()).await {
            assert_named(&in_words(&error), &address, "quitting");
        }
    }
    live.host.set_faults(Faults::default());
    in_time(client.info()).await.expect("it is well again");
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "an endless answer was kept: {grown} bytes more");
    bystander.assert_goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_host_should_answer_to_a_start_ends_the_streamer_with_words() {
    let _alone = ALONE.lock().await;
    let bystander = Bystander::start().await;
    let steps =
        [(HostStep::ServerInfo, "server info"), (HostStep::Apps, "app"), (HostStep::Launch, "launch")];
    let starts = steps.into_iter().flat_map(|step| ANSWERS.map(|answer| (step, answer)));
    // Each has its own host: one that was launched in vain is waited for.
    join_all(starts.map(async |((step, named), answer)| {
        let live = Live::start(host(Manner::Sunshine)).await;
        let source = live.source("one", small()).await;
        live.host.set_faults(hostile(step, answer));
        let mut config = StreamerConfig::default();
        if step == HostStep::Launch {
            // The host did launch, whatever it said: another attempt would meet that session.
            config.restart = RestartPolicy::Never;
        }
        let streamer = Streamer::start("s".parse().expect("a name"), source, config);
        match ended(&streamer).await {
            EndReason::Failed(error) => {
                // After success and no more the session is looked for where real hosts have RTSP; after a refusal, since
                // the app runs now, it is resumed.
                let goes_on = matches!(answer, HostileAnswer::Empty | HostileAnswer::Status(_));
                let named = if step == HostStep::Launch && goes_on { "rtsp" } else { named };
                assert_named(&in_words(&error), &live.host.http_address().to_string(), named);
            }
            reason => panic!("{step:?} {answer:?}: {reason:?}"),
        }
    }))
    .await;
    bystander.assert_goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_host_should_answer_to_a_pairing_fails_it_and_nothing_is_paired() {
    let _alone = ALONE.lock().await;
    let bystander = Bystander::start().await;
    let live = Live::start(host(Manner::Sunshine)).await;
    let address = live.host.http_address().to_string();
    let client = Host::new(live::stranger(&live.host));
    for stage in 1..=5 {
        for answer in ANSWERS {
            live.host.set_faults(hostile(HostStep::Pair(stage), answer));
            let pin = Pin::random().expect("random numbers");
            live.host.enter_pin(pin.digits());
            let error = in_time(client.pair(&pin)).await.expect_err("no host answers so");
            assert_named(&in_words(&error), &address, "pair");
            assert_eq!(client.certificate(), None, "{stage} {answer:?}");
        }
    }
    live.host.set_faults(Faults::default());
    live::pair(&client, &live.host).await;
    bystander.assert_goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_host_at_a_known_address_is_not_trusted() {
    let live = Live::start(host(Manner::Sunshine)).await;
    let client = live.client("one").await;
    let mut config = host(Manner::Sunshine);
    config.ports = live.host.config().ports;
    config.identity = Some(Identity::generate().expect("keys"));
    live.host.kill().await;
    let impostor = TestHost::start(config).await.expect("the same ports");
    let error = in_time(client.apps()).await.expect_err("another certificate");
    let words = in_words(&error);
    assert_named(&words, &impostor.http_address().to_string(), "app");
    assert!(words.contains("certificate"), "{words}");
    let called = |event: &HostEvent| matches!(event, HostEvent::Called { https: true, .. });
    assert!(!impostor.log().iter().any(called), "it was told nothing: {:?}", impostor.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_refuses_a_name_that_nobody_has_and_an_address_that_nobody_reaches_are_named() {
    let bystander = Bystander::start().await;
    // Bound, so that nobody else gets it, and not listening.
    let taken = TcpSocket::new_v4().expect("a socket");
    taken.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let closed = taken.local_addr().expect("it is bound");
    let identity = Identity::generate().expect("keys");
    let mut seen = Vec::new();
    for address in [closed.to_string(), "no-such-host.invalid:47000".to_owned(), "240.0.0.1:47000".to_owned()]
    {
        let client = Host::new(HostConfig::new(address.parse().expect("an address"), identity.clone()));
        let error = in_time(client.info()).await.expect_err("nobody is there");
        let words = in_words(&error);
        assert_named(&words, &address, "server info");
        seen.push(words.replace(&address, ""));
    }
    // How the third is out of reach is a matter of the network.
    assert!(seen[0].contains("refuses"), "{seen:?}");
    assert!(seen[1].contains("name"), "{seen:?}");
    bystander.assert_goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_answers_in_the_rtsp_dialogue_end_the_start_at_its_stage() {
    let _alone = ALONE.lock().await;
    let live = Live::start(host(Manner::Sunshine)).await;
    let address = live.host.http_address().to_string();
    for answer in
        [HostileAnswer::Nothing, HostileAnswer::Garbage, HostileAnswer::Truncated, HostileAnswer::Endless]
    {
        let source = live.source("one", small()).await;
        live.host.set_faults(hostile(HostStep::Rtsp, answer));
        let mut config = StreamerConfig::default();
        config.restart = RestartPolicy::Never;
        let streamer = Streamer::start("s".parse().expect("a name"), source, config);
        match ended(&streamer).await {
            EndReason::Failed(error) => assert_named(&in_words(&error), &address, "rtsp"),
            reason => panic!("{answer:?}: {reason:?}"),
        }
        live.host.set_faults(Faults::default());
        live.host.end_sessions();
        in_time(live.host.wait_for_counts(|counts| counts.sessions == 0)).await;
    }
}

/// Of a start that these faults spoil, the error; nobody tries again.
async fn failed_start(live: &Live, faults: Faults) -> String {
    let source = live.source("one", small()).await;
    live.host.set_faults(faults);
    let mut config = StreamerConfig::default();
    config.restart = RestartPolicy::Never;
    let streamer = Streamer::start("s".parse().expect("a name"), source, config);
    match ended(&streamer).await {
        EndReason::Failed(error) => in_words(&error),
        reason => panic!("{reason:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_answers_to_each_rtsp_request_end_the_start_at_its_stage() {
    let _alone = ALONE.lock().await;
    let bystander = Bystander::start().await;
    // SETUP three times.
    let methods = ["OPTIONS", "DESCRIBE", "SETUP", "SETUP", "SETUP", "ANNOUNCE", "PLAY"];
    let answers =
        [HostileAnswer::Nothing, HostileAnswer::Garbage, HostileAnswer::Truncated, HostileAnswer::Endless];
    let starts = (0..).zip(methods).flat_map(|request| answers.map(|answer| (request, answer)));
    join_all(starts.map(async |((number, method), answer)| {
        let live = Live::start(host(Manner::Sunshine)).await;
        let words = failed_start(&live, hostile(HostStep::RtspRequest(number), answer)).await;
        assert_named(&words, &live.host.http_address().to_string(), "rtsp");
        assert!(words.contains(method), "{method} {answer:?}: {words}");
        // An endless answer is never at its end.
        let asked = live.host.log().iter().filter(|event| matches!(event, HostEvent::Rtsp { .. })).count();
        assert!(asked <= usize::from(number) + 1, "{method} {answer:?}: it went on");
    }))
    .await;
    bystander.assert_goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_datagrams_on_the_control_connection_end_the_start_at_its_stage() {
    let bystander = Bystander::start().await;
    let answers =
        [HostileAnswer::Nothing, HostileAnswer::Garbage, HostileAnswer::Truncated, HostileAnswer::Endless];
    join_all(answers.map(async |answer| {
        let live = Live::start(host(Manner::Sunshine)).await;
        let words = failed_start(&live, hostile(HostStep::Control, answer)).await;
        assert_named(&words, &live.host.http_address().to_string(), "control");
    }))
    .await;
    bystander.assert_goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_answers_to_a_resume_end_the_start_with_words() {
    let _alone = ALONE.lock().await;
    let bystander = Bystander::start().await;
    join_all(ANSWERS.map(async |answer| {
        let live = Live::start(host(Manner::Sunshine)).await;
        let streamer = live.streaming("one").await;
        streamer.shutdown(ExitPolicy::LeaveRunning).await;
        in_time(live.host.wait_for_counts(|counts| counts.sessions == 0)).await;
        let words = failed_start(&live, hostile(HostStep::Resume, answer)).await;
        // After success and no more the session is looked for where real hosts have RTSP.
        let named = if answer == HostileAnswer::Empty { "rtsp" } else { "resume" };
        assert_named(&words, &live.host.http_address().to_string(), named);
        let resumed = |event: &HostEvent| matches!(event, HostEvent::Called { step: HostStep::Resume, .. });
        assert!(live.host.log().iter().any(resumed), "{answer:?}: {:?}", live.host.log());
    }))
    .await;
    bystander.assert_goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_picture_of_an_app_is_refused_and_told() {
    let _alone = ALONE.lock().await;
    let live = Live::start(host(Manner::Sunshine)).await;
    let client = live.client("one").await;
    let app = in_time(client.apps()).await.expect("a list")[0].id;
    let address = live.host.http_address().to_string();
    for answer in ANSWERS {
        live.host.set_faults(hostile(HostStep::AppImage, answer));
        let image = in_time(client.app_image(app)).await;
        // What begins as a picture is given as it is.
        if !matches!(answer, HostileAnswer::Truncated | HostileAnswer::HalfCertificate) {
            let words = in_words(&image.expect_err("no host answers so"));
            assert_named(&words, &address, "image");
        }
    }
    live.host.set_faults(Faults::default());
    in_time(client.app_image(app)).await.expect("it is well again");
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = status.split(' ').nth(1).expect("a field").parse().expect("a number");
    pages * 4096
}
