//! The program as a person runs it: what it prints, serves, and ends with.

mod support;

use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use support::{ISOLATIONS, PATIENCE, demo, get, post, program};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::process::Command;
use tokio::time::timeout;

/// Runs the program until it ends by itself: its exit code and what it says on standard error.
async fn ends(arguments: &[&str]) -> (Option<i32>, String) {
    ends_with(arguments, &[]).await
}

/// The same with variables in its environment.
async fn ends_with(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let run = timeout(PATIENCE, program(arguments).envs(variables.iter().copied()).output());
    let Output { status, stderr, .. } = run.await.expect("it ends").expect("it runs");
    (status.code(), String::from_utf8(stderr).expect("text"))
}

#[tokio::test]
async fn the_demo_prints_its_address_and_streams() {
    for isolation in ISOLATIONS {
        let (_child, address) = demo(&["--isolation", isolation, "--size", "640x360", "--fps", "30"]).await;
        for path in ["/", "/s/demo"] {
            let (status, body) = get(address, path).await;
            assert_eq!(status, "HTTP/1.1 200 OK");
            assert!(body.contains("<html"), "{body}");
        }
        let (status, body) = get(address, "/api/streamers").await;
        assert_eq!(status, "HTTP/1.1 200 OK");
        let list: Value = serde_json::from_str(&body).expect("JSON");
        let streamer = &list["streamers"][0];
        assert_eq!(streamer["streamer_id"], "demo");
        assert_eq!(streamer["status"], "active");
        assert_eq!((&streamer["width"], &streamer["height"]), (&640.into(), &360.into()));
        assert_eq!((&streamer["fps"], &streamer["codec"]), (&30.into(), &"H.264".into()));
        assert_eq!(streamer["pid"].is_u64(), *isolation == "process", "{streamer}");
    }
}

#[tokio::test]
async fn whoever_asks_gets_more_streams_of_the_demos_host() {
    for isolation in ISOLATIONS {
        let (_child, address) = demo(&["--isolation", isolation, "--size", "640x360", "--fps", "30"]).await;
        // A new identity is paired by the host itself.
        for (id, more) in [("second", ""), ("third", r#","client_unique_id":"helix-agent-1""#)] {
            let body = format!(
                r#"{{"streamer_id":"{id}","host_id":0,"app":"Desktop","width":320,"height":180,"fps":30{more}}}"#
            );
            let (status, answer) = post(address, "/api/streamers", &body).await;
            assert_eq!(status, "HTTP/1.1 200 OK", "{answer}");
            let info: Value = serde_json::from_str(&answer).expect("JSON");
            assert_eq!((&info["status"], &info["width"]), (&"active".into(), &320.into()), "{info}");
        }
        let (status, answer) =
            post(address, "/api/streamers", r#"{"streamer_id":"x","host_id":0,"app":"Solitaire"}"#).await;
        assert_eq!(status, "HTTP/1.1 404 Not Found", "{answer}");
        let (_, body) = get(address, "/api/streamers").await;
        let list: Value = serde_json::from_str(&body).expect("JSON");
        let active =
            list["streamers"].as_array().expect("a list").iter().filter(|info| info["status"] == "active");
        assert_eq!(active.count(), 3, "{list}");
    }
}

#[tokio::test]
async fn the_input_mode_is_that_of_the_demo_and_of_what_is_created_without_another() {
    for isolation in ISOLATIONS {
        let (_child, address) =
            demo(&["--isolation", isolation, "--size", "320x180", "--input-mode", "view_only"]).await;
        for (id, more) in [("second", ""), ("third", r#","input_mode":"one_at_a_time","idle_ms":500"#)] {
            let body = format!(
                r#"{{"streamer_id":"{id}","host_id":0,"app":"Desktop","width":320,"height":180{more}}}"#
            );
            let (status, answer) = post(address, "/api/streamers", &body).await;
            assert_eq!(status, "HTTP/1.1 200 OK", "{answer}");
        }
        let (_, body) = get(address, "/api/streamers").await;
        let list: Value = serde_json::from_str(&body).expect("JSON");
        let modes = list["streamers"].as_array().expect("a list").iter();
        let modes: Vec<_> =
            modes.map(|info| (info["input_mode"].as_str(), info["idle_ms"].as_u64())).collect();
        assert_eq!(
            modes,
            [(Some("view_only"), None), (Some("view_only"), None), (Some("one_at_a_time"), Some(500))]
        );
    }
}

#[cfg(unix)]
#[tokio::test]
async fn sigterm_and_ctrl_c_end_it_within_two_seconds() {
    for isolation in ISOLATIONS {
        for signal in ["-TERM", "-INT"] {
            let (mut child, address) = demo(&["--isolation", isolation, "--size", "640x360"]).await;
            // A browser's connection that stays open does not hold it up.
            let _idle = TcpStream::connect(address).await.expect("it listens");
            let pid = child.id().expect("it runs").to_string();
            let killed = Command::new("kill").args([signal, &pid]).status().await.expect("kill runs");
            assert!(killed.success());
            let ended = timeout(Duration::from_secs(2), child.wait()).await.expect("within 2 s");
            assert_eq!(ended.expect("it has ended").code(), Some(0), "{signal}");
        }
    }
}

#[tokio::test]
async fn a_used_port_ends_with_1_and_says_what_to_do() {
    let used = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = used.local_addr().expect("an address");
    let (code, said) = ends(&["demo", "--listen", &address.to_string()]).await;
    let sentence =
        format!("moonlight-mux: port {} is in use: choose another with --listen 127.0.0.1:", address.port());
    assert!(said.contains(&sentence), "{said}");
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn wrong_arguments_end_with_2_and_say_what_is_wrong() {
    for (arguments, sentence) in [
        (&["--size", "1281x720"][..], "1281x720 has an odd side: try 1280x720"),
        (&["--size", "10000x720"], "10000x720 is out of range"),
        (&["--size", "large"], "a size is WIDTHxHEIGHT in pixels, as in 1280x720"),
        (&["--fps", "0"], "0 is not in 1..=240"),
        (&["--listen", "0.0.0.0:8080"], "nobody is asked who they are yet"),
    ] {
        let (code, said) = ends(&[&["demo"], arguments].concat()).await;
        assert!(said.contains(sentence), "{said}");
        assert_eq!(code, Some(2), "{arguments:?}");
    }
}

#[tokio::test]
async fn ports_of_processes_are_refused_in_one_process_unless_the_environment_alone_has_them() {
    // So that it ends in any case, behind its options.
    let taken = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let udp = taken.local_addr().expect("a port").to_string();
    let demo = ["demo", "--listen", "127.0.0.1:0", "--udp", &udp];
    let environment = [("MOONLIGHT_MUX_UDP_PORTS", "20000-20001")];
    let (code, said) = ends_with(&[&demo[..], &["--udp-ports", "20000-20001"]].concat(), &environment).await;
    assert!(said.contains("--udp-ports is for streamers in processes of their own"), "{said}");
    assert_eq!(code, Some(2));
    let (code, said) = ends_with(&demo, &environment).await;
    assert!(!said.contains("--udp-ports"), "{said}");
    assert_eq!(code, Some(1));
    let (code, said) = ends_with(&demo, &[("MOONLIGHT_MUX_UDP_PORTS", "2-1")]).await;
    assert!(said.contains("expected FIRST-LAST"), "{said}");
    assert_eq!(code, Some(2));
}

#[tokio::test]
async fn every_help_has_examples_and_exit_codes() {
    for command in [&[][..], &["demo"], &["serve"], &["hosts"], &["stream"]] {
        let run = program(&[command, &["--help"]].concat()).output();
        let output = timeout(PATIENCE, run).await.expect("it ends").expect("it runs");
        let help = String::from_utf8(output.stdout).expect("text");
        assert!(help.contains("Examples:\n  moonlight-mux "), "{help}");
        assert!(help.contains("Exit codes: 0 "), "{help}");
        assert_eq!(output.status.code(), Some(0));
    }
}
