use super::*;
use crate::source::{SourceError, Stage};

fn config() -> SupervisionConfig {
    SupervisionConfig {
        restart: RestartPolicy::OnFailure,
        backoff: RestartBackoff::default(),
        ready_timeout: Duration::from_secs(10),
        silence_stalled: Duration::from_secs(3),
        silence_killed: Duration::from_secs(10),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a crash")]
struct Crash;

fn crash() -> EndReason {
    EndReason::Failed(SourceError::retryable(Crash))
}

/// A supervision and its clock, in milliseconds.
struct Test {
    begin: Instant,
    now: u64,
    supervision: Supervision,
}

impl Test {
    fn new(config: SupervisionConfig) -> Self {
        Self { begin: crate::task::now(), now: 0, supervision: Supervision::new(config) }
    }

    /// One whose process has pictures.
    fn streaming() -> Self {
        let mut test = Self::new(config());
        test.start();
        test.state(State::Streaming);
        test
    }

    fn at(&self, ms: u64) -> Instant {
        self.begin + Duration::from_millis(ms)
    }

    fn now(&self) -> Instant {
        self.at(self.now)
    }

    fn start(&mut self) {
        self.supervision.handle_started(self.now());
        self.supervision.handle_word(self.now());
        self.supervision.handle_ready();
    }

    fn state(&mut self, state: State) {
        self.supervision.handle_word(self.now());
        self.supervision.handle_state(self.now(), state);
    }

    /// When something is done next and what, up to this time.
    fn until(&mut self, ms: u64) -> Vec<(u64, Action)> {
        let mut done = Vec::new();
        while let Some(due) = self.supervision.timeout().filter(|&due| due <= self.at(ms)) {
            assert!(due >= self.now(), "time goes on");
            self.now = u64::try_from((due - self.begin).as_millis()).expect("a short test");
            assert_eq!(
                self.supervision.handle_timeout(due - Duration::from_millis(1)),
                None,
                "nothing is done before it is due"
            );
            done.extend(self.supervision.handle_timeout(due).map(|action| (self.now, action)));
        }
        self.now = ms;
        done
    }

    fn end(&mut self, reason: EndReason, own: bool) -> Option<Duration> {
        self.supervision.handle_end(self.now(), reason, own, 0.0).map(|wait| wait.lasts)
    }
}

#[test]
fn a_process_that_is_not_ready_in_time_is_killed_though_it_talks() {
    let mut test = Test::new(config());
    assert_eq!(test.until(60_000), [], "finding out what to run may take its time");
    test.supervision.handle_started(test.now());
    test.until(69_000);
    test.supervision.handle_word(test.now());
    let waited = Duration::from_secs(10);
    assert_eq!(test.until(80_000), [(70_000, Action::Kill(Doom::NotReady { waited }))]);
    assert_eq!(test.end(crash(), false), None, "a first start that fails is told at once");
    assert_eq!(test.supervision.state(), &State::Ended(crash_of(&test)));
}

fn crash_of(test: &Test) -> EndReason {
    match test.supervision.state() {
        State::Ended(reason) | State::Reconnecting { reason, .. } => reason.clone(),
        state => panic!("{state:?}"),
    }
}

#[test]
fn a_silent_process_is_stalled_after_three_seconds_and_killed_after_ten() {
    let mut test = Test::streaming();
    assert_eq!(test.until(2_999), []);
    assert_eq!(test.supervision.state(), &State::Streaming);
    assert_eq!(test.until(9_999), []);
    assert_eq!(test.supervision.state(), &State::Stalled);
    let silent = Duration::from_secs(10);
    assert_eq!(test.until(60_000), [(10_000, Action::Kill(Doom::Silent { silent }))]);
    assert_eq!(test.end(crash(), false), Some(Duration::from_secs(1)));
    assert_eq!(test.until(100_000), [(61_000, Action::Start)]);
}

#[test]
fn a_process_that_is_heard_again_is_what_it_was() {
    for told in [State::Streaming, State::Stalled] {
        let mut test = Test::streaming();
        test.state(told.clone());
        test.until(5_000);
        assert_eq!(test.supervision.state(), &State::Stalled);
        test.supervision.handle_word(test.now());
        assert_eq!(test.supervision.state(), &told);
        // The silence begins anew.
        assert_eq!(test.until(14_999), []);
        assert_eq!(test.until(15_000).len(), 1);
    }
}

#[test]
fn a_heartbeat_a_second_keeps_a_process_for_ever() {
    let mut test = Test::streaming();
    for second in 1..=10_000 {
        assert_eq!(test.until(second * 1000), []);
        test.supervision.handle_word(test.now());
        assert_eq!(test.supervision.state(), &State::Streaming);
    }
}

#[test]
fn states_up_to_the_first_picture_of_a_later_process_are_one_reconnecting() {
    let mut test = Test::new(config());
    test.start();
    for state in [State::Connecting(Stage::Launch), State::Connected, State::Streaming] {
        test.state(state.clone());
        assert_eq!(test.supervision.state(), &state);
    }
    test.end(crash(), false);
    let reconnecting = test.supervision.state().clone();
    assert!(matches!(reconnecting, State::Reconnecting { attempt: 1, .. }), "{reconnecting:?}");
    test.until(1_000);
    test.start();
    for state in [State::Starting, State::Connecting(Stage::Launch), State::Connected] {
        test.state(state);
        assert_eq!(test.supervision.state(), &reconnecting);
    }
    test.state(State::Streaming);
    assert_eq!(test.supervision.state(), &State::Streaming);
}

#[test]
fn a_stream_that_ended_in_its_process_has_ended() {
    for reason in [EndReason::ByHost, EndReason::Stopped, crash()] {
        let mut test = Test::streaming();
        assert_eq!(test.end(reason.clone(), true), None);
        assert_eq!(test.supervision.state(), &State::Ended(reason));
        assert!(test.supervision.is_over());
        assert_eq!(test.until(100_000), []);
    }
}

#[test]
fn a_later_process_that_could_not_start_its_stream_is_followed_by_another() {
    let mut test = Test::streaming();
    test.end(crash(), false);
    test.until(1_000);
    test.start();
    test.state(State::Connecting(Stage::Launch));
    // The host still has the session of the process before.
    assert_eq!(test.end(crash(), true), Some(Duration::from_secs(2)));
    test.until(3_000);
    assert_eq!(
        test.end(EndReason::Failed(SourceError::permanent(Crash)), false),
        None,
        "it is not paired any more"
    );
}

#[test]
fn a_crash_loop_opens_the_breaker_and_ends() {
    let backoff = RestartBackoff { breaker_trips: 2, ..RestartBackoff::default() };
    let mut test = Test::new(SupervisionConfig { backoff, ..config() });
    test.start();
    test.state(State::Streaming);
    let mut waits = Vec::new();
    while let Some(wait) = test.end(crash(), false) {
        waits.push(wait.as_secs());
        let due = test.now + u64::try_from(wait.as_millis()).expect("a short wait");
        assert_eq!(test.until(due), [(due, Action::Start)]);
        test.start();
    }
    assert_eq!(waits, [1, 2, 4, 8, 30, 1, 2, 4, 8, 30, 1, 2, 4, 8]);
    assert!(matches!(test.supervision.state(), State::Ended(EndReason::Failed(_))));
}

#[test]
fn a_minute_with_pictures_makes_the_next_crash_the_first() {
    let mut test = Test::streaming();
    assert_eq!(test.end(crash(), false), Some(Duration::from_secs(1)));
    test.until(1_000);
    test.start();
    test.state(State::Streaming);
    for second in 2..=61 {
        test.until(second * 1000);
        test.supervision.handle_word(test.now());
    }
    assert_eq!(test.end(crash(), false), Some(Duration::from_secs(1)));
    test.until(62_000);
    test.start();
    assert_eq!(test.end(crash(), false), Some(Duration::from_secs(2)));
}

#[test]
fn memory_over_the_limit_kills_once() {
    let mut test = Test::streaming();
    assert_eq!(test.supervision.handle_memory(100, Some(100)), None);
    assert_eq!(test.supervision.handle_memory(u64::MAX, None), None);
    let doom = Doom::OverMemory { resident: 101, limit: 100 };
    assert_eq!(test.supervision.handle_memory(101, Some(100)), Some(Action::Kill(doom)));
    assert_eq!(test.supervision.handle_memory(101, Some(100)), None);
    assert_eq!(test.until(100_000), [], "its end is awaited");
    assert!(test.end(crash(), false).is_some());
}

#[test]
fn a_process_that_says_nothing_more_has_two_seconds_to_end() {
    let mut test = Test::streaming();
    test.until(1_000);
    test.supervision.handle_closed(test.now());
    assert_eq!(test.until(60_000), [(3_000, Action::Kill(Doom::Lingers))]);
}

#[test]
fn a_program_that_was_stopped_for_a_while_hears_its_process_before_it_judges_it() {
    let called_late = |test: &mut Test, ms| {
        test.now = ms;
        assert_eq!(test.supervision.handle_timeout(test.now()), None);
    };
    let mut test = Test::streaming();
    called_late(&mut test, 15_000);
    assert_eq!(test.supervision.state(), &State::Streaming);
    test.supervision.handle_word(test.now());
    assert_eq!(test.until(24_999), []);
    let silent = Duration::from_secs(10);
    assert_eq!(test.until(60_000), [(25_000, Action::Kill(Doom::Silent { silent }))]);

    let mut test = Test::new(config());
    test.supervision.handle_started(test.now());
    called_late(&mut test, 15_000);
    assert_eq!(test.until(16_999), []);
    assert_eq!(test.until(17_000).len(), 1, "it was not ready within the two seconds either");

    let mut test = Test::streaming();
    test.supervision.handle_closed(test.now());
    called_late(&mut test, 15_000);
    assert_eq!(test.until(60_000), [(17_000, Action::Kill(Doom::Lingers))]);
}

#[test]
fn nothing_is_done_any_more_for_a_stream_that_was_stopped() {
    let mut test = Test::streaming();
    test.supervision.end(EndReason::Stopped);
    assert_eq!(test.until(100_000), []);
    assert_eq!(test.end(crash(), false), None);
    test.state(State::Streaming);
    assert_eq!(test.supervision.state(), &State::Ended(EndReason::Stopped));
    assert_eq!(Supervision::over().state(), &State::Ended(EndReason::Stopped));
}
