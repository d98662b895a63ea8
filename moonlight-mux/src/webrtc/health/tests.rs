use proptest::prelude::*;

use super::Verdict::{Hold, Leave, Pause, RequestKeyframe, Resume};
use super::*;

const HISTORY: u16 = 1024;
/// Where sequence numbers begin here: they wrap soon.
const FIRST: u16 = 65_000;
/// Packets of a second.
const RATE: u32 = 300;

/// A viewer on a clock of its own, whose timers come in time.
struct Run {
    health: Health,
    start: Instant,
    now: Instant,
    /// What it reports.
    highest: u32,
    lost: i32,
    sent: u64,
    said: Vec<(Duration, Verdict)>,
}

impl Run {
    fn new() -> Self {
        let start = crate::task::now();
        Self {
            health: Health::new(start, HISTORY),
            start,
            now: start,
            highest: u32::from(FIRST) - 1,
            lost: 0,
            sent: 0,
            said: Vec::new(),
        }
    }

    fn take(&mut self) {
        let at = self.now - self.start;
        self.said.extend(std::iter::from_fn(|| self.health.poll_verdict()).map(|verdict| (at, verdict)));
    }

    /// Lets time pass, and all timers in it.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.health.timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.health.handle_timeout(self.now);
            self.take();
            let next = self.health.timeout();
            assert!(next.is_none_or(|next| next > self.now), "a timer that has fired is over");
        }
        self.now = end;
    }

    /// So much time passes at once, without any timer: the process stands still.
    fn sleep(&mut self, time: Duration) {
        self.now += time;
        self.health.handle_timeout(self.now);
        self.take();
    }

    fn hear(&mut self) {
        self.health.handle_heard(self.now, self.now);
        self.take();
    }

    fn send(&mut self, keyframe: bool, packets: u32) {
        self.send_part(true, keyframe, packets);
    }

    fn send_part(&mut self, begins: bool, keyframe: bool, packets: u32) {
        self.sent += u64::from(packets);
        self.highest += packets;
        self.health.handle_sent(self.now, begins, keyframe, packets as usize, self.highest as u16);
        self.take();
    }

    fn report(&mut self, report: &Report) {
        self.health.handle_report(self.now, report);
        self.take();
    }

    fn pli(&mut self) {
        self.report(&Report::KeyframeRequest);
    }

    fn reception(&mut self) {
        let (highest, lost) = (self.highest, self.lost);
        self.report(&Report::Reception(Reception { highest, lost, ..Reception::default() }));
    }

    /// A second of pictures, as far as it is sent any, of which it loses a share; it answers and reports.
    fn second(&mut self, loss_percent: u32) {
        if self.health.is_sending() {
            self.send(false, RATE);
            self.lost += (RATE * loss_percent / 100) as i32;
        }
        self.pass(Duration::from_millis(1000));
        self.hear();
        self.reception();
    }

    /// What was said since the last call, with the time in milliseconds.
    fn said(&mut self) -> Vec<(u128, Verdict)> {
        self.said.drain(..).map(|(at, verdict)| (at.as_millis(), verdict)).collect()
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_viewer_that_answers_is_left_in_peace() {
    let mut run = Run::new();
    run.send(true, 50);
    for loss in [0, 1, 5, 20, 0, 19].repeat(20) {
        run.second(loss);
    }
    assert_eq!(run.said(), []);
}

#[test]
fn silence_stops_its_media_after_two_seconds_and_ends_it_after_five() {
    let mut run = Run::new();
    run.pass(ms(1500));
    run.hear();
    run.pass(ms(60_000));
    assert_eq!(run.said(), [(3500, Pause), (6500, Leave(LeaveReason::Vanished))]);
    run.hear();
    run.pli();
    run.pass(ms(60_000));
    assert_eq!(run.health.timeout(), None);
    assert!(run.said().is_empty(), "it is over");
}

#[test]
fn a_viewer_that_answers_again_goes_on_with_a_keyframe() {
    let mut run = Run::new();
    run.send(true, 50);
    run.pass(ms(3000));
    assert_eq!(run.health.quality(), VideoQuality::Paused);
    run.pli();
    run.hear();
    assert_eq!(run.health.quality(), VideoQuality::Flowing);
    run.pass(ms(1000));
    assert_eq!(run.said(), [(2000, Pause), (3000, Resume), (3000, RequestKeyframe)]);
    run.hear();
    // A report of what was sent before, and then what became of it: not its loss now.
    run.reception();
    run.send(true, 50);
    run.lost += 1000;
    run.second(0);
    run.second(0);
    assert!(run.said().is_empty());
    run.second(50);
    assert_eq!(run.said(), [(7000, Hold)]);
    assert_eq!(run.health.quality(), VideoQuality::Held);
    run.send(true, 50);
    assert_eq!(run.health.quality(), VideoQuality::Flowing);
}

#[test]
fn who_comes_and_goes_asks_for_keyframes_ever_more_rarely() {
    let mut run = Run::new();
    for _ in 0..20 {
        run.send(true, 50);
        run.pass(ms(2500));
        run.hear();
    }
    let requests: Vec<_> =
        run.said().into_iter().filter(|&(_, verdict)| verdict == RequestKeyframe).collect();
    assert!(requests.len() <= 9, "{requests:?}");
}

#[test]
fn a_process_that_stood_still_does_not_blame_its_viewers() {
    let mut run = Run::new();
    run.sleep(ms(30_000));
    assert_eq!(run.said(), []);
    run.pass(ms(400));
    run.hear();
    run.pass(ms(1900));
    assert_eq!(run.said(), [], "what the viewer had sent was read");
    run.pass(ms(100));
    assert_eq!(run.said(), [(32_400, Pause)]);
    run.sleep(ms(30_000));
    assert_eq!(run.said(), [], "nor give them up");
}

#[test]
fn heavy_loss_holds_the_pictures_until_a_keyframe_that_comes_anyway() {
    let mut run = Run::new();
    run.send(true, 50);
    run.second(0);
    run.second(21);
    assert_eq!(run.said(), [(2000, Hold)]);
    run.pass(ms(1900));
    run.hear();
    run.send(true, 50);
    run.pass(ms(1900));
    assert_eq!(run.said(), [], "it costs nobody a keyframe");
}

#[test]
fn a_viewer_that_does_not_catch_up_asks_after_2_4_and_8_s_and_has_to_go() {
    let mut run = Run::new();
    run.send(true, 50);
    run.second(0);
    let mut holds = Vec::new();
    while !run.health.left {
        run.second(50);
        for (at, verdict) in run.said() {
            match verdict {
                RequestKeyframe => run.send(true, 50),
                Hold => holds.push((at, None)),
                Leave(reason) => assert_eq!(reason, LeaveReason::TooSlow),
                _ => panic!("{verdict:?}"),
            }
            if verdict == RequestKeyframe
                && let Some((held, asked)) = holds.last_mut()
            {
                *asked = Some(at - *held);
            }
        }
        assert!(run.now - run.start < ms(60_000));
    }
    let asked: Vec<_> = holds.iter().map(|&(_, asked)| asked).collect();
    assert_eq!(asked[..3], [Some(2000), Some(4000), Some(8000)], "{holds:?}");
    assert!(run.now - run.start >= ms(2000 + 30_000));
}

#[test]
fn a_viewer_that_caught_up_is_never_too_slow() {
    let mut run = Run::new();
    run.send(true, 50);
    run.second(0);
    for _ in 0..30 {
        run.second(50);
        for _ in 0..10 {
            if run.said().iter().any(|&(_, verdict)| verdict == RequestKeyframe) {
                run.send(true, 50);
            }
            run.second(0);
        }
    }
    assert!(!run.health.left);
}

#[test]
fn without_a_keyframe_from_the_source_nobody_is_too_slow() {
    let mut run = Run::new();
    run.send(true, 50);
    run.second(0);
    for _ in 0..100 {
        run.second(50);
    }
    assert_eq!(run.said(), [(2000, Hold), (4000, RequestKeyframe)], "a wish stands until a keyframe comes");
}

#[test]
fn pictures_that_cannot_be_sent_again_any_more_are_a_reason_to_hold() {
    let newest = |run: &Run| run.highest as u16;
    for (age, held) in [(0, false), (1023, false), (1024, true), (1999, true), (2000, false), (40_000, false)]
    {
        let mut run = Run::new();
        run.send(false, 100);
        run.send(true, 1000);
        run.send(false, 1000);
        let number = newest(&run).wrapping_sub(age);
        run.report(&Report::Nack(vec![number, newest(&run)]));
        assert_eq!(run.said(), if held { vec![(0, Hold)] } else { vec![] }, "{age} packets ago");
        run.send(true, 1);
        run.report(&Report::Nack(vec![number]));
        assert!(run.said().is_empty(), "a keyframe came since");
    }
}

/// The last picture is kept whole.
#[test]
fn a_picture_larger_than_what_is_kept_is_too_old_once_there_is_a_next_one() {
    for parts in [&[3000][..], &[64, 1000, 1936]] {
        let mut run = Run::new();
        run.send(true, 5);
        run.send(false, 5);
        for (i, &part) in parts.iter().enumerate() {
            run.send_part(i == 0, true, part);
        }
        let first = (run.highest as u16).wrapping_sub(2999);
        run.report(&Report::Nack(vec![first]));
        assert!(run.said().is_empty(), "{parts:?}");
        run.send(false, 1);
        run.report(&Report::Nack(vec![first]));
        assert_eq!(run.said(), [(0, Hold)], "{parts:?}");
    }
}

#[test]
fn few_packets_and_reports_that_overtake_each_other_are_no_ground_for_a_judgement() {
    let mut run = Run::new();
    run.send(true, 5);
    run.reception();
    for _ in 0..3 {
        run.send(false, 5);
        run.lost += 5;
        run.pass(ms(1000));
        run.hear();
        run.reception();
        assert!(run.said().is_empty());
    }
    run.send(false, 5);
    run.pass(ms(1000));
    run.hear();
    let late = Reception { highest: run.highest - 10, lost: 0, ..Reception::default() };
    run.report(&Report::Reception(late));
    assert!(run.said().is_empty());
    run.reception();
    assert_eq!(run.said(), [(4000, Hold)], "they add up");
    run.send(true, 50);
    run.reception();
    let late = Reception { highest: run.highest - 10, lost: 0, ..Reception::default() };
    run.report(&Report::Reception(late));
    run.second(0);
    assert!(run.said().is_empty());
}

#[test]
fn keyframe_requests_pass_at_once_after_peace_and_ever_later_while_they_go_on() {
    let mut run = Run::new();
    run.send(true, 50);
    // It cannot be helped: each keyframe is lost for it.
    for _ in 0..400 {
        run.pli();
        run.pass(ms(100));
        run.hear();
    }
    let times: Vec<_> = run.said().into_iter().map(|(at, _)| at).collect();
    assert_eq!(times, [0, 500, 1500, 3500, 7500, 15_500, 23_500, 31_500, 39_500]);
    run.send(true, 50);
    for _ in 0..10 {
        run.second(0);
    }
    run.pli();
    run.pass(ms(0));
    assert_eq!(run.said(), [(50_000, RequestKeyframe)]);
}

#[test]
fn a_keyframe_fulfils_the_wish_that_waits() {
    let mut run = Run::new();
    run.pli();
    run.pass(ms(100));
    run.pli();
    run.send(true, 50);
    run.pass(ms(1000));
    assert_eq!(run.said(), [(0, RequestKeyframe)]);
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Sleep(u64),
    Hear,
    Send(bool, u32),
    Lose(u8),
    Reception,
    Forged(u32, i32),
    Nack(Vec<u16>),
    Pli,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..3000).prop_map(Step::Pass),
        1 => (0u64..20_000).prop_map(Step::Sleep),
        6 => Just(Step::Hear),
        4 => (prop::bool::weighted(0.1), 0u32..400).prop_map(|(keyframe, packets)| Step::Send(keyframe, packets)),
        2 => any::<u8>().prop_map(Step::Lose),
        4 => Just(Step::Reception),
        1 => (any::<u32>(), any::<i32>()).prop_map(|(highest, lost)| Step::Forged(highest, lost)),
        1 => prop::collection::vec(any::<u16>(), 0..20).prop_map(Step::Nack),
        3 => Just(Step::Pli),
    ]
}

proptest! {
    /// Whatever a viewer reports, and however the clock goes: its requests are spaced and few, nothing is sent to or
    /// asked for a viewer that is paused, and it leaves once, for a reason that holds.
    #[test]
    fn verdicts_make_sense_whatever_is_reported(steps in prop::collection::vec(step(), 1..400)) {
        let mut run = Run::new();
        let mut heard = run.now;
        for step in steps {
            match step {
                Step::Pass(time) => run.pass(ms(time)),
                Step::Sleep(time) => run.sleep(ms(time)),
                Step::Hear => {
                    run.hear();
                    heard = if run.health.left { heard } else { run.now };
                }
                Step::Send(keyframe, packets) => run.send(keyframe, packets),
                Step::Lose(packets) => run.lost += i32::from(packets),
                Step::Reception => run.reception(),
                Step::Forged(highest, lost) => {
                    run.report(&Report::Reception(Reception { highest, lost, ..Reception::default() }));
                }
                Step::Nack(lost) => run.report(&Report::Nack(lost)),
                Step::Pli => run.pli(),
            }
            prop_assert!(run.health.timeout().is_some() || run.health.left);
        }
        let (mut paused, mut first_hold, mut over) = (false, None, false);
        let mut requests: Vec<Duration> = Vec::new();
        for &(at, verdict) in &run.said {
            prop_assert!(!over, "{verdict:?} after the end");
            match verdict {
                Pause => { prop_assert!(!paused); paused = true; }
                Resume => { prop_assert!(paused); paused = false; }
                Hold => { prop_assert!(!paused); first_hold.get_or_insert(at); }
                RequestKeyframe => { prop_assert!(!paused); requests.push(at); }
                Leave(LeaveReason::Vanished) => {
                    prop_assert!(paused && run.start + at >= heard + GONE);
                    over = true;
                }
                Leave(reason) => {
                    prop_assert_eq!(reason, LeaveReason::TooSlow);
                    prop_assert!(!paused && first_hold.is_some_and(|first| at - first >= TOO_SLOW));
                    over = true;
                }
            }
        }
        prop_assert!(requests.windows(2).all(|pair| pair[1] - pair[0] >= MIN_SPACING), "{requests:?}");
        // The most that there can be: five in 7.5 s, then 10 s of peace, and again.
        for (i, &from) in requests.iter().enumerate() {
            for (j, &to) in requests.iter().enumerate().skip(i) {
                let bound = 5.0 + 5.0 * (to - from).as_secs_f64() / 17.5;
                prop_assert!((j - i + 1) as f64 <= bound, "{requests:?}");
            }
        }
    }
}
