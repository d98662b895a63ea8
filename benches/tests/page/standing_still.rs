//! Pictures that stand still: what the page says, and what the server hears of it.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_server_hears_of_a_picture_that_stands_still_and_of_one_that_moves_again() {
    let name = "the_server_hears_of_a_picture_that_stands_still_and_of_one_that_moves_again";
    let Some(recording) = moving_picture(name) else { return };
    let _one_at_a_time = BROWSER.lock().await;
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .with_ansi(false)
        .with_writer(|| Log)
        .init();
    let (source, sends) = Moody::new(&recording);
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let page = open(chromium, &served.page_url()).await;
    until_reported("FirstFrame").await;

    forget_reports();
    sends.send(Sends::Garbage).expect("the source runs");
    until_reported("Frozen").await;
    until(
        chromium,
        &page,
        &says("Pictures arrive, but cannot be decoded: waiting for the next full picture."),
    )
    .await;
    picture(chromium, &page, "page-frozen.png").await;

    forget_reports();
    sends.send(Sends::Pictures).expect("the source runs");
    until_reported("Playing").await;
    until(chromium, &page, "!document.getElementById('interruption').checkVisibility()").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_sends_nothing_is_named_until_it_sends_again() {
    let Some(recording) = moving_picture("a_host_that_sends_nothing_is_named_until_it_sends_again") else {
        return;
    };
    let _one_at_a_time = BROWSER.lock().await;
    let (source, sends) = Moody::new(&recording);
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = open(&mut chromium, &served.page_url()).await;
    sends.send(Sends::Nothing).expect("the source runs");
    until(&mut chromium, &page, &says("The host sends no new pictures at the moment.")).await;
    sends.send(Sends::Pictures).expect("the source runs");
    until(&mut chromium, &page, LIVE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_lost_is_named_and_its_picture_comes_back_in_the_same_connection() {
    let name = "a_host_that_is_lost_is_named_and_its_picture_comes_back_in_the_same_connection";
    let Some(recording) = moving_picture(name) else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let (source, sends) = Moody::new(&recording);
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let page = open(chromium, &served.page_url()).await;
    evaluate(chromium, &page, "window.firstConnection = window.moonlightMux.pc; true").await;

    sends.send(Sends::Failure).expect("the source runs");
    until(chromium, &page, &says("The server lost the host and is connecting to it again.")).await;
    until(chromium, &page, "document.getElementById('status').textContent === 'Reconnecting'").await;
    picture(chromium, &page, "page-reconnecting.png").await;
    let card = "document.querySelector('.streamer')?.innerText";
    let named = format!("{card}?.includes('Reconnecting') && {card}?.includes('The host is gone.')");
    let list = chromium.open(&served.list_url()).await.expect("the page opens");
    until(chromium, &list, &named).await;
    let joined_meanwhile = chromium.open(&served.page_url()).await.expect("the page opens");
    let hint = "document.getElementById('hint')?.textContent === 'The server lost the host and is connecting to it again.'";
    until(chromium, &joined_meanwhile, hint).await;

    // Only the tab in front is up to date.
    command(chromium, &page, "Page.bringToFront", json!({})).await;
    sends.send(Sends::Pictures).expect("the streamer holds the source");
    until(chromium, &page, LIVE).await;
    let moving = "(async () => { const video = window.moonlightMux.video; const before = video.currentTime; await new Promise((then) => video.requestVideoFrameCallback(then)); await new Promise((then) => video.requestVideoFrameCallback(then)); return video.currentTime > before; })()";
    assert_eq!(evaluate(chromium, &page, moving).await, true);
    let same = "window.moonlightMux.pc === window.firstConnection";
    assert_eq!(evaluate(chromium, &page, same).await, true, "neither reloaded nor joined again");
    command(chromium, &joined_meanwhile, "Page.bringToFront", json!({})).await;
    reach(chromium, &joined_meanwhile, "playing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_joins_again_by_itself_when_the_stream_has_sound_that_it_had_not() {
    let name = "a_page_joins_again_by_itself_when_the_stream_has_sound_that_it_had_not";
    let Some(recording) = moving_picture(name) else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let (source, sends) = Moody::new(&recording);
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let page = open(chromium, &served.page_url()).await;
    evaluate(chromium, &page, "window.firstConnection = window.moonlightMux.pc; true").await;
    sends.send(Sends::Failure).expect("the source runs");
    until(chromium, &page, "document.getElementById('status').textContent === 'Reconnecting'").await;
    sends.send(Sends::PicturesWithSound).expect("the streamer holds the source");
    let again =
        "window.moonlightMux.state === 'playing' && window.moonlightMux.pc !== window.firstConnection";
    until(chromium, &page, again).await;
}

/// What is true while a picture that stands still has this sentence over it.
fn says(sentence: &str) -> String {
    format!(
        "document.getElementById('interruption').checkVisibility() && document.getElementById('interruption-text').textContent === {}",
        json!(sentence)
    )
}

const LIVE: &str = "!document.getElementById('interruption').checkVisibility() && document.getElementById('status').textContent === 'Live'";

async fn until_reported(event: &str) {
    let heard = timeout(PATIENCE, async {
        while !reported(event) {
            sleep(Duration::from_millis(50)).await;
        }
    });
    heard.await.unwrap_or_else(|_| panic!("no report of {event}"));
}

fn forget_reports() {
    LOG.lock().expect("nobody panics with it").clear();
}

/// Whether the server has logged such a report.
fn reported(event: &str) -> bool {
    let log = LOG.lock().expect("nobody panics with it");
    let wanted = format!("the viewer reports event={event} ");
    String::from_utf8_lossy(&log).lines().any(|line| line.contains(&wanted))
}

static LOG: StdMutex<Vec<u8>> = StdMutex::new(Vec::new());

/// Writes to [`LOG`].
struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().expect("nobody panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
