//! Pairing and calls against a test host over real sockets, and what is kept of them.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use moonlight_mux::{
    AppSelector, Faults, Host, HostConfig, HostErrorCause, HostEvent, HostId, HostOptions, HostStep, Hosts,
    HostsError, Identity, IdentityName, Manner, MoonlightConfig, PairingMethod, Pin, PinEntry, TestHost,
    TestHostConfig,
};
use tokio::time::timeout;

const MANNERS: [Manner; 3] = [Manner::Sunshine, Manner::SunshineV023, Manner::Wolf];

/// Far above what anything here takes.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), Box::pin(future)).await.expect("it takes no minute")
}

async fn start(manner: Manner) -> TestHost {
    let mut config = TestHostConfig::default();
    config.manner = manner;
    TestHost::start(config).await.expect("loopback has free ports")
}

fn client(host: &TestHost) -> Host {
    Host::new(HostConfig::new(host.address(), Identity::generate().expect("keys can be made")))
}

/// A user at the host, who types what the client shows.
struct User(TestHost);

#[async_trait::async_trait]
impl PinEntry for User {
    async fn enter_pin(&self, pin: &Pin) -> Result<(), HostErrorCause> {
        self.0.wait_for(|event| *event == HostEvent::PinWanted).await;
        self.0.enter_pin(pin.digits());
        Ok(())
    }
}

fn options(pairing: PairingMethod) -> HostOptions {
    let mut options = HostOptions::default();
    options.pairing = pairing;
    options
}

/// A directory of this test's own, removed with it.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn scratch(test: &str) -> Scratch {
    Scratch(std::env::temp_dir().join(format!("moonlight-mux-{test}-{}", std::process::id())))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pairing_is_kept_and_good_in_the_next_run() {
    let host = start(Manner::Sunshine).await;
    let directory = scratch("kept");
    let name = IdentityName::default();
    let id;
    {
        let hosts = Hosts::open(&directory.0).unwrap();
        let record = in_time(hosts.add(host.address(), HostOptions::default())).await.unwrap();
        assert_eq!((record.id, record.name.as_str()), (HostId(0), "test host"));
        id = record.id;
        let pairing = in_time(hosts.begin_pairing(id, &name)).await.unwrap();
        host.enter_pin(pairing.pin().digits());
        in_time(pairing.outcome()).await.unwrap();
        assert_eq!(hosts.get(id).unwrap().paired, std::slice::from_ref(&name));
    }
    let hosts = Hosts::open(&directory.0).unwrap();
    assert!(in_time(hosts.info(id, &name)).await.unwrap().paired);
    let other: IdentityName = "other".parse().unwrap();
    assert!(!in_time(hosts.info(id, &other)).await.unwrap().paired, "each identity pairs for itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_pairs_by_itself_when_the_host_says_how() {
    let hosts = Hosts::in_memory();
    let (id, name) = (HostId(3), IdentityName::default());
    let config = || MoonlightConfig::new(AppSelector::Title("Desktop".to_owned()));
    let host = start(Manner::Sunshine).await;
    let address = host.address();
    hosts.declare(id, address.clone(), HostOptions::default()).unwrap();
    let with_a_pin = in_time(hosts.source(id, &name, config())).await;
    assert!(with_a_pin.is_ok(), "a person may yet pair before it runs: {with_a_pin:?}");

    hosts.declare(id, address, options(PairingMethod::Other(Arc::new(User(host))))).unwrap();
    in_time(hosts.source(id, &name, config())).await.unwrap();
    assert_eq!(hosts.get(id).unwrap().paired, std::slice::from_ref(&name));
    assert!(in_time(hosts.info(id, &name)).await.unwrap().paired);
}

/// A user at the host who counts the PINs.
struct Counting(User, AtomicUsize);

#[async_trait::async_trait]
impl PinEntry for Counting {
    async fn enter_pin(&self, pin: &Pin) -> Result<(), HostErrorCause> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.enter_pin(pin).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_of_one_identity_pair_it_once() {
    let host = start(Manner::Sunshine).await;
    let hosts = Hosts::in_memory();
    let (id, name) = (HostId(0), IdentityName::default());
    let config = || MoonlightConfig::new(AppSelector::Title("Desktop".to_owned()));
    let address = host.address();
    let user = Arc::new(Counting(User(host), AtomicUsize::new(0)));
    hosts.declare(id, address, options(PairingMethod::Other(user.clone()))).unwrap();
    let source = || in_time(hosts.source(id, &name, config()));
    let (a, b, c) = tokio::join!(source(), source(), source());
    assert!(a.is_ok() && b.is_ok() && c.is_ok(), "{a:?} {b:?} {c:?}");
    assert_eq!(user.1.load(Ordering::Relaxed), 1);
}

/// A user who never types the PIN, though the host's interface said that it had it.
struct Absent;

#[async_trait::async_trait]
impl PinEntry for Absent {
    async fn enter_pin(&self, _pin: &Pin) -> Result<(), HostErrorCause> {
        Err(HostErrorCause::Interface { status: 503 })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pairing_that_its_interface_refuses_ends_with_its_word_and_nothing_is_kept() {
    let host = start(Manner::Sunshine).await;
    let hosts = Hosts::in_memory();
    let (id, name) = (HostId(0), IdentityName::default());
    hosts.declare(id, host.address(), options(PairingMethod::Other(Arc::new(Absent)))).unwrap();
    match in_time(hosts.pair_by_itself(id, &name)).await {
        Err(HostsError::Host(error)) => {
            assert_eq!(error.cause, HostErrorCause::Interface { status: 503 });
            assert!(error.to_string().contains("entering the PIN failed after"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert!(hosts.get(id).unwrap().paired.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_left_in_the_middle_of_a_pairing_is_told_so_and_pairs_again() {
    for manner in [Manner::Sunshine, Manner::SunshineV023] {
        let host = start(manner).await;
        let client = client(&host);
        let pin: Pin = "0042".parse().unwrap();
        let mut faults = Faults::default();
        faults.silent = vec![HostStep::Pair(3)];
        host.set_faults(faults);
        host.enter_pin(pin.digits());
        {
            let mut events = host.events();
            let mut pairing = Box::pin(client.pair(&pin));
            // The client waits for the answer to stage 3 when it is dropped.
            let asked =
                events.find(|event| matches!(event, HostEvent::Called { step: HostStep::Pair(2), .. }));
            in_time(async {
                tokio::select! {
                    paired = &mut pairing => panic!("{paired:?}"),
                    _ = asked => {}
                }
            })
            .await;
        }
        let refused = |event: &HostEvent| {
            matches!(event, HostEvent::Called { step: HostStep::Pair(2), status: Some(400), .. })
        };
        in_time(host.wait_for(refused)).await;
        host.set_faults(Faults::default());
        host.enter_pin(pin.digits());
        in_time(client.pair(&pin)).await.unwrap_or_else(|error| panic!("{manner:?}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_the_host_forgot_is_not_paired_and_every_call_says_so() {
    for manner in MANNERS {
        let host = start(manner).await;
        let client = client(&host);
        let pin: Pin = "1234".parse().unwrap();
        host.enter_pin(pin.digits());
        in_time(client.pair(&pin)).await.unwrap();
        assert!(in_time(client.info()).await.unwrap().paired);

        host.distrust_all();
        let info = in_time(client.info()).await.unwrap();
        assert!(!info.paired && info.name == "test host", "{manner:?}: {info:?}");
        for error in [
            in_time(client.apps()).await.unwrap_err(),
            in_time(client.quit_app()).await.unwrap_err(),
            in_time(client.app_image("7".parse().unwrap())).await.unwrap_err(),
        ] {
            assert_eq!(error.cause, HostErrorCause::NotPaired, "{manner:?}: {error}");
            assert!(error.is_permanent());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_starts_again_at_another_port_of_https_is_found() {
    let host = start(Manner::Sunshine).await;
    let client = client(&host);
    let pin: Pin = "1234".parse().unwrap();
    host.enter_pin(pin.digits());
    in_time(client.pair(&pin)).await.unwrap();
    in_time(client.apps()).await.unwrap();

    let mut config = host.config();
    // Free, and not the one of before, which is still taken.
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    config.ports.https = free.port();
    in_time(host.kill()).await;
    let _host = TestHost::start(config).await.unwrap();
    let refused = in_time(client.apps()).await.unwrap_err();
    assert_eq!(refused.cause, HostErrorCause::Refused);
    in_time(client.apps()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_pair_with_one_host_at_once_each_get_their_own_pin() {
    let host = start(Manner::Sunshine).await;
    let hosts = Hosts::in_memory();
    let id = HostId(0);
    hosts.declare(id, host.address(), options(PairingMethod::Other(Arc::new(User(host))))).unwrap();
    let names: [IdentityName; 3] = ["a", "b", "c"].map(|name| name.parse().unwrap());
    for name in &names {
        in_time(hosts.identity(name)).await.unwrap();
    }
    let pairings = names.each_ref().map(|name| Box::pin(hosts.pair_by_itself(id, name)));
    let [a, b, c] = pairings;
    let (a, b, c) = in_time(async { tokio::join!(a, b, c) }).await;
    for paired in [a, b, c] {
        paired.unwrap();
    }
    assert_eq!(hosts.get(id).unwrap().paired, names);
}
