//! What the recorded hosts answered in many states, and what ours answers in the same ones.

use std::fs;

use super::client::{Answer, http, https, pair};
use super::*;
use crate::gamestream::recorded::{Exchange, exchanges, recording};
use crate::gamestream::wire::http::parse_apps;
use crate::gamestream::wire::xml::{Document, Element};

/// The recorded answer under a title: `None` where the host gave none.
fn recorded(text: &str, title: &str) -> Option<Answer> {
    let (_, section) =
        text.split_once(&format!("##### {title}\n")).expect("the title stands in the recording");
    answer_in(section.split("##### ").next().unwrap())
}

/// The first answer in a part of a recording.
fn answer_in(part: &str) -> Option<Answer> {
    let body = &part[part.find("<?xml")?..];
    let end = ["\n[http ", "\n(exit "].iter().filter_map(|end| body.find(end)).min().unwrap_or(body.len());
    let status = part.strip_prefix("HTTP/1.1 ").map_or(200, |rest| rest[..3].parse().unwrap());
    Some((status, body[..end].to_owned()))
}

/// What is compared: all but what each host calls itself, and what its encoders and screens can do.
fn compared(answer: Option<Answer>) -> Option<(u16, Document, Option<String>)> {
    let (status, text) = answer?;
    let mut document = Document::parse(text.as_bytes()).unwrap();
    document
        .elements
        .retain(|element| element.depth == 1 || element.name == "ID" || element.name == "AppTitle");
    for Element { name, text, .. } in &mut document.elements {
        match name.as_str() {
            "hostname"
            | "uniqueid"
            | "HttpsPort"
            | "ExternalPort"
            | "MaxLumaPixelsHEVC"
            | "ServerCodecModeSupport" => text.clear(),
            "sessionUrl0" => text.truncate(text.rfind(':').unwrap()),
            _ => {}
        }
    }
    // Wolf's order of elements is another.
    if document.records("App").next().is_none() {
        document.elements.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let query = text.split_once(" query=\"").map(|(_, rest)| rest[..rest.find('"').unwrap()].to_owned());
    Some((status, document, query))
}

#[track_caller]
fn assert_same(what: &str, ours: Option<Answer>, recorded: Option<Answer>) {
    assert_eq!(compared(ours), compared(recorded), "{what}");
}

/// The host that was recorded, with its apps; the client pairs as it did.
async fn paired(manner: Manner, applist: &str) -> TestHost {
    let host = TestHost::start(config(manner)).await.unwrap();
    let apps = parse_apps(applist.as_bytes()).unwrap();
    let apps = apps.into_iter().map(|app| TestApp::new(app.id.to_string().parse().unwrap(), app.title));
    host.set_apps(apps.collect());
    host.enter_pin("1234");
    assert_eq!(pair(&host, "1234").await.0, Ok(()));
    host
}

#[tokio::test]
async fn newer_sunshines_answers_are_as_recorded() {
    let Some(folder) = recording("http-facts") else { return };
    let text = fs::read_to_string(folder.join("v2025-http-facts.txt")).unwrap();
    let text = text.replace("status_code=\"200\" query", "query");
    let host = paired(Manner::Sunshine, &recorded(&text, "applist").unwrap().1).await;
    let expect = |title| recorded(&text, title);
    assert_same("HTTP", http(&host, &target("serverinfo")).await, expect("serverinfo HTTP"));
    assert_same("paired", https(&host, &target("serverinfo")).await, expect("serverinfo HTTPS paired"));
    let other = https(&host, "/serverinfo?uniqueid=other").await;
    assert_same("other id", other, expect("serverinfo HTTPS paired cert, other uniqueid"));
    let none = https(&host, "/serverinfo").await;
    assert_same("no id", none, expect("serverinfo HTTPS paired cert, no uniqueid"));
    assert_same("apps", https(&host, &target("applist")).await, expect("applist"));
    let unknown = https(&host, &start("launch").replace("881448767", "1")).await;
    assert_same("unknown app", unknown, expect("launch unknown app"));
    assert_same("resume", https(&host, &start("resume")).await, expect("resume nothing"));
    assert_same("cancel", https(&host, &target("cancel")).await, expect("cancel nothing"));
    let launched = https(&host, &start("launch")).await;
    assert_same("launch", launched, expect("launch, never followed by RTSP"));
    assert_same("busy", https(&host, &target("serverinfo")).await, expect("serverinfo right after"));
    let again = https(&host, &start("launch")).await;
    assert_same("launch again", again, expect("launch 1 s after the unused launch"));
    assert_same("resume again", https(&host, &start("resume")).await, expect("resume 1 s after"));
    assert_same("cancel it", https(&host, &target("cancel")).await, expect("cancel 1 s after"));
    assert_same("free", https(&host, &target("serverinfo")).await, expect("serverinfo after cancel"));
    host.distrust_all();
    assert_same("unpaired", https(&host, &target("applist")).await, expect("unpaired cert"));
    host.kill().await;
}

#[tokio::test]
async fn the_answers_of_v023_are_as_recorded() {
    let Some(folder) = recording("http-facts") else { return };
    let text = fs::read_to_string(folder.join("v0.23-a.txt")).unwrap();
    let host = paired(Manner::SunshineV023, &recorded(&text, "applist").unwrap().1).await;
    let expect = |title| recorded(&text, title);
    let info = http(&host, &target("serverinfo")).await;
    assert_same("HTTP", info, expect("serverinfo over HTTP, unpaired view"));
    let info = https(&host, &target("serverinfo")).await;
    assert_same("paired", info, expect("serverinfo over HTTPS with the paired certificate"));
    let info = https(&host, "/serverinfo?uniqueid=other").await;
    assert_same(
        "other id",
        info,
        expect("serverinfo over HTTPS with the paired certificate but ANOTHER uniqueid"),
    );
    let info = https(&host, "/serverinfo").await;
    assert_same("no id", info, expect("serverinfo over HTTPS with the paired certificate and no uniqueid"));
    assert_same("HTTP", http(&host, &target("applist")).await, expect("applist over plain HTTP"));
    assert_same("HTTP", http(&host, &start("launch")).await, expect("launch over plain HTTP"));
    assert_same("apps", https(&host, &target("applist")).await, expect("applist"));
    let incomplete = https(&host, &start("launch").replace("rikey=", "x=")).await;
    assert_same("incomplete", incomplete, expect("launch without rikey"));
    let unknown = https(&host, &start("launch").replace("881448767", "1")).await;
    assert_same("unknown app", unknown, expect("launch of an unknown app id"));
    assert_same("resume", https(&host, &start("resume")).await, expect("resume when nothing runs"));
    assert_same("cancel", https(&host, &target("cancel")).await, expect("cancel when nothing runs"));
    let launched = https(&host, &start("launch").replace("&corever=1", "")).await;
    assert_same("launch", launched, expect("launch Desktop without corever"));
    let busy = https(&host, &target("serverinfo")).await;
    assert_same("busy", busy, expect("serverinfo while an app runs (no stream)"));
    let again = https(&host, &start("launch")).await;
    assert_same("launch again", again, expect("launch again while an app runs"));
    assert_same("resume", https(&host, &start("resume")).await, expect("resume with corever=1"));
    assert_same("cancel", https(&host, &target("cancel")).await, expect("cancel"));
    let salt = http(&host, &format!("{}&phrase=getservercert&salt=00&clientcert=00", target("pair"))).await;
    assert_same("salt", salt, None);
    host.distrust_all();
    let unpaired = https(&host, &target("applist")).await;
    assert_same("unpaired", unpaired, expect("applist over HTTPS with an unpaired certificate"));
    host.kill().await;
}

#[tokio::test]
async fn wolfs_answers_are_as_recorded() {
    let Some(folder) = recording("wolf-http-facts") else { return };
    let text = fs::read_to_string(folder.join("http.txt")).unwrap();
    let (text, _) = text.split_once("##### keep-alive").unwrap();
    // Long answers are cut off there; these are whole.
    let whole = exchanges(&recording("wolf-pairing").unwrap().join("list.http.txt"));
    let list = whole.iter().find(|exchange| exchange.target.starts_with("/applist")).unwrap();
    let text_of = |answer: &Option<Vec<u8>>| String::from_utf8(answer.clone().unwrap()).unwrap();
    let host = paired(Manner::Wolf, &text_of(&list.answer)).await;
    for Exchange { https: by_https, target, answer } in &whole {
        let ours = if *by_https { https(&host, target).await } else { http(&host, target).await };
        assert_same(target, ours, Some((200, text_of(answer))));
    }
    host.distrust_all();
    let mut compared = 0;
    let mut paired = false;
    for part in text.split("\n$ curl ").skip(1) {
        if paired {
            host.trust(document::CLIENT_CERTIFICATE).unwrap();
        }
        paired |= part.contains("##### paired");
        let (command, answer) = part.split_once('\n').unwrap();
        let url = command.split(' ').next_back().unwrap();
        let (_, at) = url.split_once("://").unwrap();
        let target = &at[at.find('/').unwrap()..];
        let shows = command.contains("--cert");
        // PINs by the page, and no certificate at all.
        if target == "/pin/" || url.starts_with("https") && !shows {
            continue;
        }
        let ours = if shows { https(&host, target).await } else { http(&host, target).await };
        let recorded = answer_in(answer);
        let is_whole =
            recorded.as_ref().is_none_or(|(_, body)| body.ends_with("</root>") || body.ends_with("/>"));
        // This client's pairing is still known there, as the recorded one's was not.
        let comparable = is_whole && !target.contains("pairchallenge");
        if comparable {
            assert_same(command, ours, recorded);
            compared += 1;
        }
    }
    assert!(compared > 15, "{compared}");
    host.kill().await;
}
