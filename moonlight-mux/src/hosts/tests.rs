use std::fs;
use std::path::PathBuf;

use futures_util::poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::*;

/// A directory of this test's own, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("moonlight-mux-hosts-{}", Uuid::new_v4())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn address(text: &str) -> HostAddress {
    text.parse().unwrap()
}

#[tokio::test]
async fn hosts_identities_and_certificates_are_there_again() {
    let scratch = Scratch::new();
    let name: IdentityName = "agent-1".parse().unwrap();
    let certificate;
    let unique_id;
    {
        let hosts = Hosts::open(&scratch.0).unwrap();
        hosts.declare(HostId(0), address("pc.lan"), HostOptions::default()).unwrap();
        hosts.declare(HostId(7), address("[::1]:48989"), HostOptions::default()).unwrap();
        let identity = hosts.identity(&name).await.unwrap();
        unique_id = identity.unique_id().clone();
        certificate = identity.pairing().certificate().clone();
        hosts.trust(HostId(7), &name, certificate.clone()).unwrap();
        assert!(matches!(
            hosts.trust(HostId(1), &name, certificate.clone()),
            Err(HostsError::Unknown { id: HostId(1) })
        ));
    }
    let hosts = Hosts::open(&scratch.0).unwrap();
    assert_eq!(hosts.damaged(), None);
    let records = hosts.list();
    let listed: Vec<_> = records.iter().map(|r| (r.id.0, r.address.to_string(), r.paired.clone())).collect();
    assert_eq!(listed, [(0, "pc.lan".to_owned(), vec![]), (7, "[::1]:48989".to_owned(), vec![name.clone()])]);
    assert_eq!(*hosts.identity(&name).await.unwrap().unique_id(), unique_id);
    assert_eq!(hosts.host(HostId(7), &name).await.unwrap().certificate(), Some(certificate));
    assert_eq!(hosts.host(HostId(0), &name).await.unwrap().certificate(), None);

    assert!(hosts.remove(HostId(7)).unwrap());
    assert!(!hosts.remove(HostId(7)).unwrap());
    drop(hosts);
    assert_eq!(Hosts::open(&scratch.0).unwrap().list().len(), 1);
}

#[tokio::test]
async fn of_many_who_want_a_new_identity_one_makes_it() {
    let hosts = Hosts::in_memory();
    let name = IdentityName::default();
    let (a, b, c) = tokio::join!(hosts.identity(&name), hosts.identity(&name), hosts.identity(&name));
    let ids = [a, b, c].map(|identity| identity.unwrap().unique_id().clone());
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[tokio::test]
async fn an_identity_that_nobody_waits_for_any_more_is_made_before_anybody_makes_it_again() {
    let scratch = Scratch::new();
    let hosts = Hosts::open(&scratch.0).unwrap();
    let name = IdentityName::default();
    let mut waiting = Box::pin(hosts.identity(&name));
    assert!(poll!(&mut waiting).is_pending());
    {
        let _book = hosts.book();
        // Once it has begun it cannot be stopped.
        while !scratch.0.join("identities/moonlight-mux.identity/certificate.pem").exists() {
            std::thread::yield_now();
        }
        drop(waiting);
        assert!(hosts.shared.making.try_lock().is_err(), "it is not in the book");
    }
    let identity = hosts.identity(&name).await.unwrap();
    drop(hosts);
    let kept = Hosts::open(&scratch.0).unwrap().identity(&name).await.unwrap();
    assert_eq!(kept.certificate_pem(), identity.certificate_pem());
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_kept_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let scratch = Scratch::new();
    let hosts = Hosts::open(&scratch.0).unwrap();
    hosts.declare(HostId(0), address("pc"), HostOptions::default()).unwrap();
    hosts.identity(&"..".parse().unwrap()).await.unwrap();
    let mut seen = 0;
    let mut directories = vec![scratch.0.clone()];
    while let Some(directory) = directories.pop() {
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                directories.push(entry.path());
            } else {
                assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 4, "lock, hosts.json, certificate.pem and key.pem, and nothing half written");
}

#[test]
fn a_directory_is_for_one_program_at_a_time() {
    let scratch = Scratch::new();
    let first = Hosts::open(&scratch.0).unwrap();
    assert!(matches!(Hosts::open(&scratch.0), Err(StateError::InUse { .. })));
    drop(first);
    Hosts::open(&scratch.0).unwrap();
}

#[test]
fn a_damaged_file_is_set_aside_and_told_of() {
    let bad = [
        "",
        "{",
        "{}",
        r#"{"schema":1}"#,
        r#"{"schema":1,"hosts":[{"id":0,"address":"a b"}]}"#,
        r#"{"schema":1,"hosts":[{"id":0,"address":"pc","paired":{"a b":"AA=="}}]}"#,
        r#"{"schema":1,"hosts":[{"id":0,"address":"pc","paired":{"a":"%"}}]}"#,
        r#"{"schema":1,"hosts":[{"id":0,"address":"pc","paired":{"a":"AA=="}}]}"#,
    ];
    let scratch = Scratch::new();
    for (n, text) in bad.into_iter().enumerate() {
        drop(Hosts::open(&scratch.0).unwrap());
        fs::write(scratch.0.join("hosts.json"), text).unwrap();
        let hosts = Hosts::open(&scratch.0).unwrap();
        let damaged = hosts.damaged().unwrap_or_else(|| panic!("{text:?} was taken"));
        assert!(hosts.list().is_empty());
        assert_eq!(damaged.set_aside, scratch.0.join(format!("hosts.damaged-{}", n + 1)));
        assert_eq!(fs::read_to_string(&damaged.set_aside).unwrap(), text, "nothing of it is lost");
    }
}

#[test]
fn what_a_newer_version_wrote_is_left_alone() {
    let scratch = Scratch::new();
    drop(Hosts::open(&scratch.0).unwrap());
    fs::write(scratch.0.join("hosts.json"), r#"{"schema":2,"what":"ever"}"#).unwrap();
    assert!(matches!(Hosts::open(&scratch.0), Err(StateError::Newer { schema: 2, .. })));
    assert!(scratch.0.join("hosts.json").exists());
}

#[tokio::test]
async fn an_identity_that_is_damaged_is_an_error_and_no_new_one() {
    let scratch = Scratch::new();
    let name = IdentityName::default();
    Hosts::open(&scratch.0).unwrap().identity(&name).await.unwrap();
    let key = scratch.0.join("identities/moonlight-mux.identity/key.pem");
    fs::write(&key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    let error = Hosts::open(&scratch.0).unwrap().identity(&name).await.unwrap_err();
    assert!(matches!(error, HostsError::State(StateError::Identity { .. })), "{error}");
    fs::remove_file(&key).unwrap();
    let error = Hosts::open(&scratch.0).unwrap().identity(&name).await.unwrap_err();
    assert!(matches!(error, HostsError::State(StateError::Identity { .. })), "{error}");
}

#[tokio::test]
async fn one_host_under_two_numbers_launches_for_one_at_a_time() {
    let scratch = Scratch::new();
    let name = IdentityName::default();
    let hosts = Hosts::open(&scratch.0).unwrap();
    for (id, text) in [(0, "pc"), (1, "other"), (2, "pc")] {
        hosts.declare(HostId(id), address(text), HostOptions::default()).unwrap();
    }
    let share = async |hosts: &Hosts, a, b| {
        let a = hosts.host(HostId(a), &name).await.unwrap().launch_slot();
        Arc::ptr_eq(&a, &hosts.host(HostId(b), &name).await.unwrap().launch_slot())
    };
    assert!(share(&hosts, 0, 2).await && !share(&hosts, 0, 1).await);
    hosts.declare(HostId(1), address("pc"), HostOptions::default()).unwrap();
    hosts.declare(HostId(2), address("other"), HostOptions::default()).unwrap();
    assert!(share(&hosts, 0, 1).await && !share(&hosts, 0, 2).await, "they have moved");
    drop(hosts);
    let hosts = Hosts::open(&scratch.0).unwrap();
    assert!(share(&hosts, 0, 1).await && !share(&hosts, 0, 2).await, "in the next run too");
}

#[test]
fn the_smallest_free_number_is_given() {
    let hosts = Hosts::in_memory();
    let free = || hosts.book().free_id().0;
    assert_eq!(free(), 0);
    for id in [0, 1, 3] {
        hosts.declare(HostId(id), address("pc"), HostOptions::default()).unwrap();
    }
    assert_eq!(free(), 2);
    hosts.remove(HostId(0)).unwrap();
    assert_eq!(free(), 0);
}

#[tokio::test]
async fn a_host_that_tells_its_hardware_address_to_everybody_can_be_woken_once_it_was_added() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let wolf = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.readable().await.unwrap();
        let body = "<root status_code=\"200\"><appversion>7.1.431.-1</appversion><mac>02:00:00:00:00:01</mac>\
                    <PairStatus>0</PairStatus><currentgame>0</currentgame><state>SUNSHINE_SERVER_FREE</state></root>";
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let hosts = Hosts::in_memory();
    let (added, ()) = tokio::join!(hosts.add(self::address(&address), HostOptions::default()), wolf);
    let id = added.unwrap().id;
    assert_eq!(hosts.book().hosts[&id].mac, Some(MacAddress([2, 0, 0, 0, 0, 1])));
}

#[test]
fn no_password_is_printed() {
    let hosts = Hosts::in_memory();
    let pairing = PairingMethod::Sunshine { user: "admin".into(), password: "hunter2".into() };
    let options = HostOptions { pairing, ..HostOptions::default() };
    hosts.declare(HostId(0), address("pc"), options).unwrap();
    let text = format!("{hosts:?}");
    assert!(text.contains("admin") && !text.contains("hunter2"), "{text}");
}
