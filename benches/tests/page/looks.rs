//! What a page shows, to the eye, to the keyboard, to assistive technology and on a phone; and the list of streams.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn text_stands_out_in_light_and_dark() {
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(Pictures::synthetic(10)).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = chromium.open(&served.list_url()).await.expect("the page opens");
    until(&mut chromium, &page, "document.querySelectorAll('.streamer').length === 1").await;
    for scheme in ["light", "dark"] {
        prefer(&mut chromium, &page, scheme).await;
        let faint = evaluate(&mut chromium, &page, FAINT).await;
        assert_eq!(faint, json!([]), "{scheme}");
    }
    chromium.quit().await;
}

/// The pairs of text and ground below the contrast of 4.5 to 1 that WCAG 2.2 (1.4.3) asks for.
const FAINT: &str = r#"(() => {
  const probe = document.body.appendChild(document.createElement("i"));
  const luminance = (name) => {
    probe.style.color = `var(--${name})`;
    const [r, g, b] = getComputedStyle(probe).color.match(/[\d.]+/g).map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const pairs = [["on-accent", "accent"]];
  for (const ground of ["ground", "surface", "raised"]) {
    for (const text of ["text", "quiet", "accent"]) pairs.push([text, ground]);
  }
  for (const state of ["good", "busy", "bad", "quiet"]) pairs.push([state, "surface"]);
  const faint = pairs.map(([text, ground]) => [text, ground, contrast(text, ground)]).filter(([, , ratio]) => !(ratio >= 4.5));
  probe.remove();
  return faint;
})()"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_figures_and_is_worked_by_keyboard() {
    let Some(source) = moving_picture("a_page_shows_figures_and_is_worked_by_keyboard") else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    // A name is for the server, which may ignore it.
    let page = open(&mut chromium, &format!("{}?name=Ann", served.page_url())).await;
    let chromium = &mut chromium;

    press(chromium, &page, "i").await;
    let figure = |label: &str| {
        format!(
            r#"[...document.querySelectorAll('#figures dt')].find((term) => term.textContent === '{label}').nextSibling.textContent"#
        )
    };
    until(chromium, &page, &format!("Number({}) > 0", figure("Frames per second"))).await;
    assert_eq!(evaluate(chromium, &page, &figure("Picture")).await, "1280×720");
    assert_eq!(evaluate(chromium, &page, &figure("Codec")).await, "H264");
    for label in ["Bitrate", "Sound", "Round trip", "Packets lost", "Jitter buffer", "Frames dropped", "Path"]
    {
        until(chromium, &page, &format!("{} !== '–'", figure(label))).await;
    }
    let path = evaluate(chromium, &page, &figure("Path")).await;
    assert!(path.as_str().is_some_and(|path| path.starts_with("UDP, ")), "{path}");

    let width = "document.getElementById('video').getBoundingClientRect().width";
    resize(chromium, &page, 1000, 600, false).await;
    until(chromium, &page, &format!("{width} === 1000")).await;
    press(chromium, &page, "p").await;
    until(chromium, &page, &format!("{width} === 1280")).await;
    let scrolls = "document.getElementById('picture').tabIndex === 0 && document.body.scrollWidth === 1000";
    assert_eq!(
        evaluate(chromium, &page, scrolls).await,
        true,
        "the picture alone scrolls, and takes the focus"
    );

    press(chromium, &page, "m").await;
    until(chromium, &page, "!window.moonlightMux.video.muted").await;
    press(chromium, &page, "f").await;
    until(chromium, &page, "document.fullscreenElement?.id === 'viewer'").await;
    // The controls go by themselves, but not from under the keyboard: that timer is wound by hand.
    let opacity = "getComputedStyle(document.querySelector('.controls')).opacity";
    until(chromium, &page, &format!("{opacity} === '0'")).await;
    let rests = r#"(() => {
        const real = window.setTimeout;
        window.setTimeout = (then) => ((window.rest = then), 0);
        document.getElementById("viewer").dispatchEvent(new PointerEvent("pointermove"));
        window.setTimeout = real;
        const seen = !document.getElementById("viewer").classList.contains("idle");
        window.rest();
        return seen && document.getElementById("viewer").classList.contains("idle");
    })()"#;
    assert_eq!(evaluate(chromium, &page, rests).await, true, "it is awake until it rests");
    evaluate(chromium, &page, "document.getElementById('help').focus()").await;
    assert_eq!(evaluate(chromium, &page, "document.activeElement.matches(':focus-visible')").await, true);
    assert_eq!(evaluate(chromium, &page, rests).await, false, "it does not rest under the keyboard");
    until(chromium, &page, &format!("{opacity} === '1'")).await;
    press(chromium, &page, "f").await;
    until(chromium, &page, "document.fullscreenElement === null").await;

    press(chromium, &page, "?").await;
    until(chromium, &page, "document.getElementById('help-dialog').open").await;
    press(chromium, &page, "p").await;
    assert_eq!(evaluate(chromium, &page, &format!("{width} === 1280")).await, true, "keys are the dialog's");
    evaluate(chromium, &page, "document.getElementById('shortcuts-enabled').click()").await;
    evaluate(chromium, &page, "document.getElementById('help-dialog').close()").await;
    press(chromium, &page, "p").await;
    assert_eq!(evaluate(chromium, &page, &format!("{width} === 1280")).await, true, "shortcuts are off");

    // The choices are remembered, and nothing is done that the security policy forbids.
    let listen = json!({ "source": "window.forbidden = []; addEventListener('securitypolicyviolation', ({ blockedURI, effectiveDirective }) => forbidden.push(`${effectiveDirective} ${blockedURI}`))" });
    command(chromium, &page, "Page.enable", json!({})).await;
    command(chromium, &page, "Page.addScriptToEvaluateOnNewDocument", listen).await;
    command(chromium, &page, "Page.reload", json!({})).await;
    until(
        chromium,
        &page,
        "!document.getElementById('statistics-panel')?.hidden && window.moonlightMux?.state === 'playing'",
    )
    .await;
    until(chromium, &page, &format!("{width} === 1280")).await;
    assert_eq!(
        evaluate(chromium, &page, "document.getElementById('shortcuts-enabled').checked").await,
        false
    );
    assert_eq!(evaluate(chromium, &page, "window.forbidden").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn assistive_technology_finds_everything_by_name() {
    let Some(source) = moving_picture("assistive_technology_finds_everything_by_name") else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;

    let list = chromium.open(&served.list_url()).await.expect("the page opens");
    until(chromium, &list, "document.querySelectorAll('.streamer').length === 1").await;
    let roles = named_roles(chromium, &list).await;
    assert!(roles.iter().any(|(role, name)| role == "link" && name.contains("test")), "{roles:?}");

    let page = open(chromium, &served.page_url()).await;
    tell(
        chromium,
        &page,
        json!({ "Viewers": { "you": "a", "count": 1, "viewers": [{ "id": "a", "since_ms": 0 }] } }),
    )
    .await;
    evaluate(chromium, &page, "document.getElementById('people').click()").await;
    press(chromium, &page, "i").await;
    let roles = named_roles(chromium, &page).await;
    let has = |wanted: &str, name: &str| roles.iter().any(|(role, said)| role == wanted && said == name);
    assert!(has("Video", "Picture of test"), "{roles:?}");
    for name in ["Unmute", "Statistics", "Pixel by pixel", "Full screen", "Help", "Only you are watching"] {
        assert!(has("button", name), "{name}: {roles:?}");
    }
    assert!(has("link", "All streams"), "{roles:?}");
    press(chromium, &page, "?").await;
    let roles = named_roles(chromium, &page).await;
    assert!(roles.iter().any(|(role, name)| role == "dialog" && name == "Shortcuts"), "{roles:?}");
    picture(chromium, &page, "page-help.png").await;
}

/// The role and the name of all that the accessibility tree holds, with the checks that hold for every page.
async fn named_roles(chromium: &mut Chromium, page: &Page) -> Vec<(String, String)> {
    let duplicates = r#"[...document.querySelectorAll("[id]")].map(({ id }) => id).filter((id, i, all) => all.indexOf(id) !== i)"#;
    assert_eq!(evaluate(chromium, page, duplicates).await, json!([]), "ids are there once");
    let tree = command(chromium, page, "Accessibility.getFullAXTree", json!({})).await;
    let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
    let nodes = tree["nodes"].as_array().expect("nodes").iter().filter(|node| node["ignored"] == false);
    let roles: Vec<_> = nodes.map(|node| (text(&node["role"]), text(&node["name"]))).collect();
    for (role, name) in &roles {
        let needs_name =
            ["button", "link", "checkbox", "Video", "dialog", "heading", "region", "img", "image"];
        assert!(!needs_name.contains(&role.as_str()) || !name.is_empty(), "a {role} has no name: {roles:?}");
    }
    assert!(roles.iter().filter(|(role, _)| role == "main").count() <= 1);
    roles
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_has_the_picture_and_all_controls_in_view() {
    let Some(source) = moving_picture("a_phone_has_the_picture_and_all_controls_in_view") else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let list = chromium.open(&served.list_url()).await.expect("the page opens");
    until(chromium, &list, "document.querySelectorAll('.streamer').length === 1").await;
    let page = open(chromium, &served.page_url()).await;
    let screens = [
        ("upright", 390, 844),
        ("on-its-side", 844, 390),
        ("small", 320, 568),
        ("small-on-its-side", 568, 320),
    ];
    for (name, width, height) in screens {
        for (page, kind) in [(&list, "list"), (&page, "page")] {
            resize(chromium, page, width, height, true).await;
            until(chromium, page, &format!("innerWidth === {width}")).await;
            let problems = evaluate(chromium, page, OUT_OF_REACH).await;
            assert_eq!(problems, json!([]), "{kind}, {name}");
            picture(chromium, page, &format!("{kind}-phone-{name}.png")).await;
        }
        let shown = evaluate(chromium, &page, "(() => { const { width, height } = document.getElementById('stage').getBoundingClientRect(); return width >= 0.8 * Math.min(innerWidth, height * 16 / 9); })()").await;
        assert_eq!(shown, true, "the picture has the room, {name}");
    }
}

/// What is out of view or too small for a finger, and whether the page scrolls sideways.
const OUT_OF_REACH: &str = r#"(() => {
  const problems = [];
  if (document.documentElement.scrollWidth > innerWidth) problems.push("scrolls sideways");
  for (const control of document.querySelectorAll("a, button")) {
    if (!control.checkVisibility()) continue;
    const { left, right, top, bottom, width, height } = control.getBoundingClientRect();
    const name = control.getAttribute("aria-label") ?? control.textContent.trim();
    if (left < 0 || right > innerWidth || top < 0 || bottom > innerHeight) problems.push(`${name} is out of view`);
    if (width < 44 || height < 44) problems.push(`${name} is ${width} by ${height}`);
  }
  return problems;
})()"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_list_follows_the_streams() {
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(Pictures::synthetic(10)).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let page = chromium.open(&served.list_url()).await.expect("the page opens");
    let card = |id: &str| {
        format!(
            "[...document.querySelectorAll('.streamer')].find(({{ href }}) => href.endsWith('/s/{id}'))?.innerText"
        )
    };
    until(chromium, &page, &format!("{}?.includes('Live')", card("test"))).await;
    until(chromium, &page, &format!("{}.includes('640×360 · 60 fps · H.264 · ')", card("test"))).await;
    let focused = format!("document.querySelector('.streamer').focus(); {}", card("test"));
    evaluate(chromium, &page, &focused).await;

    let id = "office".parse().expect("an id");
    served.registry.create(id, Unreachable, StreamerConfig::default()).expect("a free name");
    until(
        chromium,
        &page,
        &format!("{}?.includes('RTSP handshake: the host does not answer.')", card("office")),
    )
    .await;
    until(chromium, &page, "document.getElementById('status').textContent === '2 streams'").await;
    let still = "document.activeElement.href?.endsWith('/s/test')";
    assert_eq!(evaluate(chromium, &page, still).await, true, "focus survives an update");
    for scheme in ["light", "dark"] {
        prefer(chromium, &page, scheme).await;
        picture(chromium, &page, &format!("list-{scheme}.png")).await;
    }

    for id in ["office", "test"] {
        let id = id.parse().expect("an id");
        assert!(served.registry.remove(&id, ExitPolicy::LeaveRunning).await);
    }
    until(chromium, &page, "document.getElementById('empty').checkVisibility()").await;
    assert_eq!(evaluate(chromium, &page, "document.querySelectorAll('.streamer').length").await, 0);
    picture(chromium, &page, "list-empty.png").await;
}

/// A host that is not there.
struct Unreachable;

#[derive(Debug, thiserror::Error)]
#[error("the host does not answer")]
struct NoAnswer;

#[async_trait]
impl VideoSource for Unreachable {
    async fn run(&self, _: SourceIo) -> Result<Ended, SourceError> {
        Err(SourceError::permanent(NoAnswer).in_stage(Stage::RtspHandshake))
    }
}
