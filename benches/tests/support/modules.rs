//! Runs the tests of the pages' modules, `page/*.js`, in a browser.

use moonlight_mux_benches::chromium::Chromium;
use serde_json::json;

use super::page::{evaluate, until};
use super::{Pictures, serve};

/// Runs each file of tests, given by its name and its text.
pub(crate) async fn run(tests: &[(&str, &str)]) {
    let served = serve(Pictures::synthetic(10)).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = chromium.open(&served.list_url()).await.expect("the page opens");
    until(&mut chromium, &page, "document.getElementById('streamers') !== null").await;
    for (name, tests) in tests {
        let harness = include_str!("../page/harness.js");
        let vectors = include_str!("../../../moonlight-mux/src/webrtc/channels/vectors.json");
        let script = format!(
            "(async () => {{ const VECTORS = {vectors};\n{harness}\n{tests}\nawait finished;\nreturn {{ count, failures }}; }})()"
        );
        let result = evaluate(&mut chromium, &page, &script).await;
        assert_eq!(result["failures"], json!([]), "{name}");
        assert!(result["count"].as_u64().is_some_and(|count| count > 0), "{name}: {result}");
    }
    chromium.quit().await;
}
