//! Fingers, pens and people in the page: what is done in Chromium, as the source is told it.

#![expect(clippy::disallowed_methods, reason = "a browser runs in real time")]

mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use moonlight_mux::{
    Ended, HostInput, InputFeatures, InputMode, MouseButton, Pen, PenTool, PointerPhase, Position,
    SourceError, SourceIo, Touch, VideoSource,
};
use moonlight_mux_benches::chromium::{Chromium, Page};
use serde_json::{Value, json};
use support::page::{PATIENCE, command, evaluate, open, picture, resize, until};
use support::{Pictures, Served, serve};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{sleep, timeout};

/// One browser at a time: two would share the machine's cores.
static BROWSER: Mutex<()> = Mutex::const_new(());

/// A picture with somebody who takes all that is done to it.
struct Desk {
    pictures: Pictures,
    touch: bool,
    done: mpsc::Sender<HostInput>,
}

impl Desk {
    async fn start(touch: bool) -> (Served, Inputs) {
        let (done, inputs) = mpsc::channel(4096);
        (serve(Self { pictures: Pictures::encoded(30), touch, done }).await, Inputs(inputs))
    }
}

#[async_trait]
impl VideoSource for Desk {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        let mut features = InputFeatures::default();
        features.touch = self.touch;
        let mut inputs = io.inputs(features);
        let taking = async {
            loop {
                let input = inputs.next().await;
                self.done.send(input).await.expect("the test listens");
            }
        };
        tokio::select! {
            ended = self.pictures.run(io) => ended,
            never = taking => never,
        }
    }
}

/// What the source was told.
struct Inputs(mpsc::Receiver<HostInput>);

impl Inputs {
    /// The next that is wanted; those before are passed by.
    async fn find<T>(&mut self, mut wanted: impl FnMut(HostInput) -> Option<T>) -> T {
        let next = async {
            loop {
                let input = self.0.recv().await.expect("the source runs");
                if let Some(found) = wanted(input) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, next).await.expect("it comes")
    }

    async fn touch(&mut self, phase: PointerPhase) -> Touch {
        self.find(|input| match input {
            HostInput::Touch(touch) if touch.phase == phase => Some(touch),
            _ => None,
        })
        .await
    }

    async fn pen(&mut self, phase: PointerPhase) -> Pen {
        self.find(|input| match input {
            HostInput::Pen(pen) if pen.phase == phase => Some(pen),
            _ => None,
        })
        .await
    }

    async fn button(&mut self) -> (MouseButton, bool) {
        self.find(|input| match input {
            HostInput::Button { button, down } => Some((button, down)),
            _ => None,
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fingers_touch_the_host_where_they_touch_the_picture_and_are_the_pages_without_control() {
    let _one_at_a_time = BROWSER.lock().await;
    let (served, mut inputs) = Desk::start(true).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let page = phone(chromium, &served.page_url()).await;
    let touch_action = "getComputedStyle(document.getElementById('picture')).touchAction";
    assert_eq!(evaluate(chromium, &page, touch_action).await, "auto", "the page scrolls and zooms");
    let shown = shown(chromium, &page).await;
    let quarter = shown.at(0.25, 0.25);
    take_control(chromium, &page, "touch").await;
    assert_eq!(evaluate(chromium, &page, touch_action).await, "none");

    let middle = shown.at(0.5, 0.5);
    fingers(chromium, &page, "touchStart", &[middle]).await;
    let first = inputs.touch(PointerPhase::Down).await;
    assert_near(first.position, 0.5, 0.5);
    fingers(chromium, &page, "touchStart", &[middle, quarter]).await;
    let second = inputs.touch(PointerPhase::Down).await;
    assert_near(second.position, 0.25, 0.25);
    assert_ne!(first.contact, second.contact, "they are two");
    let (left, right) = (shown.at(0.2, 0.5), shown.at(0.8, 0.5));
    fingers(chromium, &page, "touchMove", &[right, left]).await;
    let mut moved = [inputs.touch(PointerPhase::Move).await, inputs.touch(PointerPhase::Move).await];
    moved.sort_by_key(|touch| touch.contact != first.contact);
    assert_near(moved[0].position, 0.8, 0.5);
    assert_near(moved[1].position, 0.2, 0.5);
    fingers(chromium, &page, "touchEnd", &[]).await;
    let mut lifted = [inputs.touch(PointerPhase::Up).await, inputs.touch(PointerPhase::Up).await];
    lifted.sort_by_key(|touch| touch.contact != first.contact);
    assert_eq!(lifted.map(|touch| touch.contact), [first.contact, second.contact]);

    fingers(chromium, &page, "touchStart", &[middle]).await;
    inputs.touch(PointerPhase::Down).await;
    evaluate(chromium, &page, "dispatchEvent(new Event('blur'))").await;
    inputs.touch(PointerPhase::Cancel).await;
    picture(chromium, &page, "page-touch.png").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_trackpad_fingers_move_click_and_scroll() {
    let _one_at_a_time = BROWSER.lock().await;
    let (served, mut inputs) = Desk::start(true).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let page = phone(chromium, &served.page_url()).await;
    evaluate(chromium, &page, "document.getElementById('keys').click()").await;
    evaluate(chromium, &page, "document.getElementById('touch-mode').click()").await;
    picture(chromium, &page, "page-trackpad.png").await;
    evaluate(chromium, &page, "document.getElementById('control').click()").await;
    evaluate(chromium, &page, "document.getElementById('keys').click()").await;
    until(chromium, &page, "moonlightMux.sender.takes('pointer')").await;
    // Below the picture: a trackpad is all of the stage.
    let from = Point { x: 100.0, y: 600.0 };

    fingers(chromium, &page, "touchStart", &[from]).await;
    for step in 1..=5 {
        fingers(chromium, &page, "touchMove", &[Point { x: from.x + 20.0 * f64::from(step), ..from }]).await;
    }
    fingers(chromium, &page, "touchEnd", &[]).await;
    let mut way = 0;
    while way < 100 {
        way += inputs
            .find(|input| match input {
                HostInput::PointerBy { dx, dy } => {
                    assert_eq!(dy, 0);
                    Some(i32::from(dx))
                }
                HostInput::Touch(touch) => panic!("{touch:?}"),
                _ => None,
            })
            .await;
    }

    tap(chromium, &page, &[from]).await;
    let clicked = [inputs.button().await, inputs.button().await];
    assert_eq!(clicked, [(MouseButton::Left, true), (MouseButton::Left, false)]);

    let beside = Point { x: 200.0, ..from };
    tap(chromium, &page, &[from, beside]).await;
    let clicked = [inputs.button().await, inputs.button().await];
    assert_eq!(clicked, [(MouseButton::Right, true), (MouseButton::Right, false)]);

    let down = |point: Point| Point { y: point.y + 60.0, ..point };
    fingers(chromium, &page, "touchStart", &[from, beside]).await;
    fingers(chromium, &page, "touchMove", &[down(from), down(beside)]).await;
    fingers(chromium, &page, "touchEnd", &[]).await;
    let turned = inputs
        .find(|input| match input {
            HostInput::Scroll { horizontal: false, amount } => Some(amount),
            _ => None,
        })
        .await;
    assert!(turned > 0, "the text goes down with the fingers: {turned}");

    evaluate(chromium, &page, "location.reload()").await;
    until(chromium, &page, "document.getElementById('touch-mode')?.ariaPressed === 'true'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pen_hovers_presses_and_leans_at_the_host() {
    let _one_at_a_time = BROWSER.lock().await;
    let (served, mut inputs) = Desk::start(true).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let page = open(chromium, &served.page_url()).await;
    look(chromium, &page).await;
    take_control(chromium, &page, "pen").await;
    let shown = shown(chromium, &page).await;
    let tip = |kind: &str, at: Point, force: f64| {
        let touches = if force > 0.0 { 1 } else { 0 };
        let button = if kind == "mouseMoved" && touches == 0 { "none" } else { "left" };
        json!({
            "type": kind, "x": at.x, "y": at.y, "pointerType": "pen", "button": button, "buttons": touches,
            "clickCount": u8::from(kind != "mouseMoved"), "force": force, "tiltX": 30, "tiltY": 0,
        })
    };
    command(chromium, &page, "Input.dispatchMouseEvent", tip("mouseMoved", shown.at(0.5, 0.5), 0.0)).await;
    assert_near(inputs.pen(PointerPhase::Hover).await.position, 0.5, 0.5);
    command(chromium, &page, "Input.dispatchMouseEvent", tip("mousePressed", shown.at(0.5, 0.5), 0.5)).await;
    let down = inputs.pen(PointerPhase::Down).await;
    assert_eq!((down.tool, down.tilt, down.rotation), (PenTool::Pen, Some(30), Some(90)));
    assert!((32_000..=33_500).contains(&down.pressure), "{down:?}");
    command(chromium, &page, "Input.dispatchMouseEvent", tip("mouseMoved", shown.at(0.75, 0.25), 1.0)).await;
    let moved = inputs.pen(PointerPhase::Move).await;
    assert_near(moved.position, 0.75, 0.25);
    assert_eq!(moved.pressure, 65_535);
    command(chromium, &page, "Input.dispatchMouseEvent", tip("mouseReleased", shown.at(0.75, 0.25), 0.0))
        .await;
    inputs.pen(PointerPhase::Up).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_host_has_no_touch_a_tap_clicks_at_its_place() {
    let _one_at_a_time = BROWSER.lock().await;
    let (served, mut inputs) = Desk::start(false).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let page = phone(chromium, &served.page_url()).await;
    take_control(chromium, &page, "pointer").await;
    let shown = shown(chromium, &page).await;
    // On a machine that lags the finger would rest for long enough to ask for the right button.
    let no_long_press = "const wait = setTimeout; window.setTimeout = (then, ms) => (ms > 400 && ms < 600 ? 0 : wait(then, ms))";
    evaluate(chromium, &page, no_long_press).await;
    tap(chromium, &page, &[shown.at(0.25, 0.75)]).await;
    let place = inputs
        .find(|input| match input {
            HostInput::PointerTo(position) => Some(position),
            HostInput::Touch(touch) => panic!("{touch:?}"),
            _ => None,
        })
        .await;
    assert_near(place, 0.25, 0.75);
    let clicked = [inputs.button().await, inputs.button().await];
    assert_eq!(clicked, [(MouseButton::Left, true), (MouseButton::Left, false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_who_acts_whose_turn_it_is_and_where_others_point() {
    let _one_at_a_time = BROWSER.lock().await;
    let (served, _inputs) = Desk::start(true).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let ann = open(chromium, &format!("{}?name=Ann", served.page_url())).await;
    look(chromium, &ann).await;
    let bob = open(chromium, &format!("{}?name=Bob", served.page_url())).await;
    look(chromium, &bob).await;
    let rows = "[...document.querySelectorAll('#people-list li')].map((row) => row.querySelector('.name').textContent + ': ' + row.querySelector('.rights').textContent).join('; ')";
    evaluate(chromium, &bob, "document.getElementById('people').click()").await;
    until(chromium, &bob, &format!("{rows} === 'Ann: Full control; Bob (you): Full control'")).await;

    take_control(chromium, &ann, "pointer").await;
    let at = shown(chromium, &ann).await.at(0.3, 0.6);
    let acts = format!("{rows}.startsWith('Ann: Acting now · Full control')");
    until_seen(chromium, &ann, at, &bob, &acts).await;
    // Where the pointer's tip is, as a share of the picture.
    let tip = "(async () => {
        const { boxOf } = await import('/assets/place.js');
        const box = boxOf(moonlightMux.video);
        const cursor = document.querySelector('.cursor')?.getBoundingClientRect();
        return cursor && [(cursor.x - box.left) / box.width, (cursor.y - box.top) / box.height];
    })()";
    let name = "document.querySelector('.cursor')?.textContent";
    let there = format!(
        "{tip}.then((tip) => tip && Math.hypot(tip[0] - 0.3, tip[1] - 0.6) < 0.01 && {name} === 'Ann')"
    );
    until_seen(chromium, &ann, at, &bob, &there).await;
    let own = evaluate(chromium, &ann, "document.querySelectorAll('.cursor').length").await;
    assert_eq!(own, 0, "nobody sees their own twice");
    picture(chromium, &bob, "page-people.png").await;

    served.streamer.set_input_mode(InputMode::one_at_a_time());
    let has_it = format!(
        "{rows}.startsWith('Ann: Has the turn · Full control') \
         && document.getElementById('control').textContent.includes('Ann has the turn')"
    );
    until_seen(chromium, &ann, at, &bob, &has_it).await;
    picture(chromium, &bob, "page-turn.png").await;
}

/// Waits until `watches` sees what the pointer of `moves` does about `at`. It trembles meanwhile: who rests for long, on a
/// machine that lags, neither acts nor points any more.
async fn until_seen(chromium: &mut Chromium, moves: &Page, at: Point, watches: &Page, script: &str) {
    let seen = timeout(PATIENCE, async {
        for tremble in [0.0, 1.0].into_iter().cycle() {
            let event = json!({ "type": "mouseMoved", "x": at.x + tremble, "y": at.y });
            command(chromium, moves, "Input.dispatchMouseEvent", event).await;
            sleep(Duration::from_millis(100)).await;
            if evaluate(chromium, watches, script).await == true {
                break;
            }
        }
    });
    seen.await.unwrap_or_else(|_| panic!("not seen: {script}"));
}

/// Opens a page on a phone.
async fn phone(chromium: &mut Chromium, url: &str) -> Page {
    let page = open(chromium, url).await;
    look(chromium, &page).await;
    let touch = json!({ "enabled": true, "maxTouchPoints": 5 });
    command(chromium, &page, "Emulation.setTouchEmulationEnabled", touch).await;
    resize(chromium, &page, 390, 844, true).await;
    until(chromium, &page, "innerWidth === 390 && !document.getElementById('touch-mode').hidden").await;
    page
}

/// As if each page were the one that its person looks at.
async fn look(chromium: &mut Chromium, page: &Page) {
    command(chromium, page, "Emulation.setFocusEmulationEnabled", json!({ "enabled": true })).await;
    until(chromium, page, "moonlightMux.events.Input?.takes === true").await;
}

async fn take_control(chromium: &mut Chromium, page: &Page, class: &str) {
    evaluate(chromium, page, "document.getElementById('control').click()").await;
    until(chromium, page, &format!("moonlightMux.sender.takes('{class}')")).await;
}

/// `points` are those on the screen behind it, the same finger at the same index.
async fn fingers(chromium: &mut Chromium, page: &Page, kind: &str, points: &[Point]) {
    fingers_at(chromium, page, kind, points, SystemTime::now()).await;
}

/// All down and all up 50 ms later, however long the machine takes for it.
async fn tap(chromium: &mut Chromium, page: &Page, points: &[Point]) {
    let now = SystemTime::now();
    for fingers in 1..=points.len() {
        fingers_at(chromium, page, "touchStart", &points[..fingers], now).await;
    }
    fingers_at(chromium, page, "touchEnd", &[], now + Duration::from_millis(50)).await;
}

async fn fingers_at(chromium: &mut Chromium, page: &Page, kind: &str, points: &[Point], at: SystemTime) {
    let points: Vec<Value> =
        points.iter().enumerate().map(|(id, &Point { x, y })| json!({ "id": id, "x": x, "y": y })).collect();
    let at = at.duration_since(UNIX_EPOCH).expect("it is later").as_secs_f64();
    let event = json!({ "type": kind, "touchPoints": points, "timestamp": at });
    command(chromium, page, "Input.dispatchTouchEvent", event).await;
}

/// A place in the window.
#[derive(Clone, Copy)]
struct Point {
    x: f64,
    y: f64,
}

/// Where in the window the picture is.
#[derive(serde::Deserialize)]
struct Shown {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Shown {
    /// At these shares of the picture.
    fn at(&self, x: f64, y: f64) -> Point {
        Point { x: self.left + x * self.width, y: self.top + y * self.height }
    }
}

async fn shown(chromium: &mut Chromium, page: &Page) -> Shown {
    let script = "import('/assets/place.js').then(({ boxOf }) => boxOf(moonlightMux.video))";
    serde_json::from_value(evaluate(chromium, page, script).await).expect("a box")
}

/// Within two pixels of a phone's picture.
fn assert_near(Position { x, y }: Position, wanted_x: f64, wanted_y: f64) {
    let off = |share: u16, wanted: f64| (f64::from(share) / 65535.0 - wanted).abs();
    assert!(off(x, wanted_x) < 0.01 && off(y, wanted_y) < 0.01, "{x}, {y} is not {wanted_x}, {wanted_y}");
}
