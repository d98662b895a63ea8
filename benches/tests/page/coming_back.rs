//! How a page comes back: looked at again, its connection replaced, its server killed.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_looked_at_again_does_not_wait_any_longer() {
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(Pictures::synthetic(10)).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let url = format!("{}?name=Ann%20%26%20Bob#4010", served.page_url());
    let page = open_with_script(&mut chromium, &url, CLOSING_SOCKET).await;
    for (target, event) in [("document", "visibilitychange"), ("window", "online")] {
        // All at once: no timer fires within a script.
        let script = format!(
            "window.moonlightMux?.state === 'waiting' && (() => {{
                const before = sockets.length;
                {target}.dispatchEvent(new Event('{event}'));
                window.joined = sockets.length - before;
                return true;
            }})()"
        );
        until(&mut chromium, &page, &script).await;
        assert_eq!(evaluate(&mut chromium, &page, "window.joined").await, 1, "{event}");
    }
    let name = evaluate(&mut chromium, &page, "new URL(sockets.at(-1)).searchParams.get('name')").await;
    assert_eq!(name, "Ann & Bob", "the page's own name goes along");
    let instances = "new Set(sockets.map((url) => new URL(url).searchParams.get('instance'))).size";
    assert_eq!(evaluate(&mut chromium, &page, instances).await, 1, "it is the same page all along");
    chromium.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_does_not_answer_any_more_is_replaced() {
    let Some(source) = moving_picture("a_connection_that_does_not_answer_any_more_is_replaced") else {
        return;
    };
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = open(&mut chromium, &served.page_url()).await;
    // As far as the page can see, nothing comes from here on.
    let script = r#"(async () => {
        const pc = window.dead = window.moonlightMux.pc;
        const report = await pc.getStats();
        pc.getStats = async () => report;
    })()"#;
    evaluate(&mut chromium, &page, script).await;
    let replaced =
        "![null, window.dead].includes(window.moonlightMux.pc) && window.moonlightMux.state === 'playing'";
    until(&mut chromium, &page, replaced).await;
    assert_eq!(evaluate(&mut chromium, &page, "window.dead.connectionState").await, "closed");
}

/// A server that can be killed: it has a runtime of its own.
struct Killable {
    runtime: Runtime,
    address: SocketAddr,
}

impl Killable {
    async fn start(address: SocketAddr, source: impl VideoSource) -> Self {
        let runtime = runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let started = runtime.spawn(async move {
            let listener = moonlight_mux_http::bind(address).await.expect("a free port");
            let address = listener.local_addr().expect("an address");
            let registry = Registry::new();
            let id = "test".parse().expect("an id");
            let streamer = registry.create(id, source, StreamerConfig::default()).expect("a free name");
            let router = moonlight_mux_http::router(registry.clone(), loopback(), ServerConfig::default());
            tokio::spawn(async move {
                let _streamer = streamer;
                moonlight_mux_http::serve(listener, router, registry, std::future::pending()).await
            });
            address
        });
        let address = started.await.expect("it starts");
        Self { runtime, address }
    }

    /// Says goodbye to nobody.
    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

/// The browser's emulation of being offline holds for HTTP and WebSockets and for `navigator.onLine`, not for WebRTC.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_comes_back_by_itself_after_the_server_was_killed() {
    let name = "a_page_comes_back_by_itself_after_the_server_was_killed";
    let (Some(source), Some(again)) = (moving_picture(name), moving_picture(name)) else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let server = Killable::start(([127, 0, 0, 1], 0).into(), source).await;
    let address = server.address;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let page = open(chromium, &format!("http://{address}/s/test")).await;
    evaluate(chromium, &page, "window.stillThisPage = true").await;

    server.kill();
    let says = |sentence: &str| {
        format!(
            "window.moonlightMux.state === 'waiting' && document.getElementById('message').textContent === '{sentence}'"
        )
    };
    until(chromium, &page, &says("The server cannot be reached.")).await;
    assert_eq!(evaluate(chromium, &page, "window.moonlightMux.pc").await, Value::Null);

    be_online(chromium, &page, false).await;
    evaluate(chromium, &page, "document.getElementById('retry').click()").await;
    until(chromium, &page, &says("This device is offline.")).await;
    let server = Killable::start(address, again).await;
    be_online(chromium, &page, true).await;
    reach(chromium, &page, "playing").await;
    assert_eq!(evaluate(chromium, &page, "window.stillThisPage").await, true, "without a reload");
    server.kill();
}

async fn be_online(chromium: &mut Chromium, page: &Page, online: bool) {
    let conditions =
        json!({ "offline": !online, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
    command(chromium, page, "Network.emulateNetworkConditions", conditions).await;
}
