//! Connections that close: what the page says of each code, and what it does then.

use super::*;

/// Which codes there are, and whether a page tries again after them.
type CloseCodes = BTreeMap<u16, bool>;

/// The rows `| 1000 | the viewer left | no |` of a text.
fn documented(text: &str) -> CloseCodes {
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, code, _, again, ""] = cells[..] else { return None };
        let again = match again {
            "yes" => true,
            "no" => false,
            _ => return None,
        };
        Some((code.parse().ok()?, again))
    });
    rows.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn server_page_and_documentation_know_the_same_close_codes() {
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(Pictures::synthetic(10)).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = chromium.open(&served.list_url()).await.expect("the page opens");
    until(&mut chromium, &page, "document.getElementById('streamers') !== null").await;
    let script = r#"import("/assets/verdicts.js").then(({ CLOSE_CODES }) =>
        Object.fromEntries(Object.entries(CLOSE_CODES).map(([code, { again }]) => [code, again])))"#;
    let codes = evaluate(&mut chromium, &page, script).await;
    let codes: CloseCodes = serde_json::from_value(codes).expect("codes");
    chromium.quit().await;

    let source = include_str!("../../../moonlight-mux-http/src/close_code.rs");
    assert_eq!(codes, documented(source), "the page and close_code.rs");
    let manual = include_str!("../../../docs/http-api.md");
    assert_eq!(codes, documented(manual), "the page and docs/http-api.md");
    for code in used_codes() {
        assert!(codes.contains_key(&code), "{code} has no sentence");
    }
}

/// The codes that the server closes with.
fn used_codes() -> Vec<u16> {
    let reasons = [
        LeaveReason::Left,
        LeaveReason::Superseded,
        LeaveReason::StreamerDeleted,
        LeaveReason::StreamEnded,
        LeaveReason::Kicked,
        LeaveReason::TooSlow,
        LeaveReason::ServerShutdown,
        LeaveReason::SignallingTimeout,
        LeaveReason::BadSignalling,
        LeaveReason::BadInput,
        LeaveReason::UnsupportedCodec,
        LeaveReason::FormatChanged,
        LeaveReason::ConnectionFailed,
        LeaveReason::Vanished,
        LeaveReason::StreamerFull,
        LeaveReason::Internal,
    ];
    let mut codes: Vec<_> = reasons.into_iter().map(close_code::of_leave_reason).collect();
    codes.extend([close_code::MESSAGE_TOO_BIG, close_code::INTERNAL_ERROR, close_code::TRY_AGAIN_LATER]);
    codes
}

/// A WebSocket that closes at once, with the code behind `#` in the page's address. `sockets` are all their addresses.
pub(super) const CLOSING_SOCKET: &str = r#"
  window.sockets = [];
  window.WebSocket = class extends EventTarget {
    static OPEN = 1;
    readyState = 3;
    constructor(url) {
      super();
      window.sockets.push(String(url));
      setTimeout(() => this.onclose({ code: Number(location.hash.slice(1)) }));
    }
    close() {}
  };"#;

#[tokio::test(flavor = "multi_thread")]
async fn each_close_code_is_said_in_words() {
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(Pictures::synthetic(10)).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = open_with_script(&mut chromium, "about:blank", CLOSING_SOCKET).await;
    let codes = documented(include_str!("../../../moonlight-mux-http/src/close_code.rs"));
    for (code, again) in codes {
        // Another query is another document: another fragment alone is not.
        let url = json!({ "url": format!("{}?code={code}#{code}", served.page_url()) });
        command(&mut chromium, &page, "Page.navigate", url).await;
        let wanted = if again { "waiting" } else { "ended" };
        // All at once: a moment later it may try again.
        let said = format!(
            r#"location.hash === '#{code}' && window.moonlightMux?.state === "{wanted}" && (() => {{
                const seen = (id) => document.getElementById(id).checkVisibility() && document.getElementById(id).textContent;
                window.said = {{
                    message: seen("message"),
                    countdown: seen("countdown"),
                    retry: seen("retry"),
                    announced: document.getElementById("announcement").textContent,
                }};
                return true;
            }})()"#
        );
        until(&mut chromium, &page, &said).await;
        let sentence = format!(
            r#"import("/assets/verdicts.js").then(({{ CLOSE_CODES }}) => ({{ ...said, sentence: CLOSE_CODES[{code}].message }}))"#
        );
        let said = evaluate(&mut chromium, &page, &sentence).await;
        let sentence = said["sentence"].as_str().expect("a sentence");
        // The stream plays H.264, and the page may say so.
        if code != close_code::of_leave_reason(LeaveReason::UnsupportedCodec) {
            assert_eq!(said["message"], sentence, "{code}");
            assert!(
                said["announced"].as_str().is_some_and(|text| text.starts_with(sentence)),
                "{code}: {said}"
            );
        }
        assert_eq!(said["retry"], "Try again now", "{code}");
        let counts_down = said["countdown"].as_str().is_some_and(|text| text.starts_with("Trying again in "));
        assert_eq!(counts_down, again, "{code}: {said}");
        if code == 4010 {
            picture(&mut chromium, &page, "page-error.png").await;
        }
    }
    chromium.quit().await;
}
