use proptest::prelude::*;

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("no answer")]
struct NoAnswer;

fn config() -> LifecycleConfig {
    LifecycleConfig {
        restart: RestartPolicy::OnFailure,
        backoff: RestartBackoff::default(),
        first_frame_timeout: Duration::from_secs(30),
        stall_timeout: Duration::from_secs(10),
    }
}

fn life(restart: RestartPolicy) -> Lifecycle {
    Lifecycle::new(LifecycleConfig { restart, ..config() })
}

/// The restart's number and wait, in seconds without chance.
fn reconnecting(life: &Lifecycle, now: Instant) -> Option<(u32, u64)> {
    match life.state() {
        State::Reconnecting { attempt, next, .. } => Some((*attempt, (*next - now).as_secs())),
        _ => None,
    }
}

fn retryable() -> EndReason {
    EndReason::Failed(SourceError::retryable(NoAnswer))
}

fn permanent() -> EndReason {
    EndReason::Failed(SourceError::permanent(NoAnswer))
}

#[test]
fn a_frozen_source_is_probed_at_one_second_stalled_at_two_and_stopped_at_ten() {
    let start = crate::task::now();
    let mut life = life(RestartPolicy::OnFailure);
    assert_eq!(life.timeout(), None, "before the first frame silence is no stall");
    life.handle_frame(start);
    assert_eq!(*life.state(), State::Streaming);

    let at = |ms| start + Duration::from_millis(ms);
    assert_eq!(life.handle_timeout(at(999), 0), None);
    assert_eq!(life.handle_timeout(at(1000), 0), Some(Action::Probe));
    assert_eq!(life.handle_timeout(at(1000), 0), None, "one probe, not one per poll");
    assert_eq!(life.handle_timeout(at(1999), 0), None);
    assert_eq!(*life.state(), State::Streaming);
    assert_eq!(life.handle_timeout(at(2000), 0), None);
    assert_eq!(*life.state(), State::Stalled);

    life.handle_frame(at(5000));
    assert_eq!(*life.state(), State::Streaming, "a frame ends the stall");
    assert_eq!(life.handle_timeout(at(6000), 0), Some(Action::Probe));
    assert_eq!(life.handle_timeout(at(7000), 0), None);
    assert_eq!(life.handle_timeout(at(14_999), 0), None);
    assert_eq!(life.handle_timeout(at(15_000), 0), Some(Action::Stop));
    assert_eq!(*life.state(), State::Stalled, "until the source has ended");
    life.handle_frame(at(15_500));
    assert_eq!(*life.state(), State::Stalled, "too late");
    assert_eq!(life.handle_timeout(at(16_999), 0), None);
    assert_eq!(life.handle_timeout(at(17_000), 0), Some(Action::Drop));
    assert_eq!(life.timeout(), None, "its end is awaited");
    assert!(life.handle_end(at(17_000), EndReason::Stopped, 0.0).is_some());
    assert_eq!(reconnecting(&life, at(17_000)), Some((1, 1)));
    let State::Reconnecting { reason: EndReason::Failed(error), .. } = life.state() else {
        panic!("{:?}", life.state())
    };
    let silent = Silent::Frozen { silent: Duration::from_secs(10) };
    assert_eq!(error.cause().downcast_ref(), Some(&silent), "not what the source said when it was stopped");
}

#[test]
fn without_restarts_a_stall_stays_a_stall() {
    let start = crate::task::now();
    let mut life = life(RestartPolicy::Never);
    life.handle_frame(start);
    for seconds in 1..=2 {
        life.handle_timeout(start + Duration::from_secs(seconds), 0);
    }
    assert_eq!(*life.state(), State::Stalled);
    assert_eq!(life.timeout(), None);
}

#[test]
fn a_still_desktop_that_answers_the_probe_stays_streaming() {
    let mut now = crate::task::now();
    let mut life = life(RestartPolicy::OnFailure);
    life.handle_frame(now);
    for _ in 0..10 {
        now += PROBE_AFTER;
        assert_eq!(life.handle_timeout(now, 0), Some(Action::Probe));
        now += Duration::from_millis(400);
        assert_eq!(life.handle_timeout(now, 0), None);
        life.handle_frame(now);
        assert_eq!(*life.state(), State::Streaming);
    }
}

#[test]
fn a_connection_without_a_picture_ends_and_says_how_much_was_seen() {
    let start = crate::task::now();
    let mut life = life(RestartPolicy::Always);
    life.handle_stage(Stage::Launch);
    assert_eq!(life.timeout(), None, "while it connects, the source keeps time");
    life.handle_connected(start);
    life.handle_connected(start + Duration::from_secs(20));
    assert_eq!(life.timeout(), Some(start + Duration::from_secs(30)));
    assert_eq!(life.handle_timeout(start + Duration::from_secs(30), 1234), Some(Action::Stop));
    assert_eq!(life.handle_end(start + Duration::from_secs(31), EndReason::Stopped, 0.0), None);
    let State::Ended(EndReason::Failed(error)) = life.state() else { panic!("{:?}", life.state()) };
    let silent = Silent::NoFirstFrame { waited: Duration::from_secs(30), datagrams: 1234 };
    assert_eq!(error.cause().downcast_ref(), Some(&silent));
    assert_eq!(
        error.to_string(),
        "no picture came within 30s of the connection to the host; datagrams with media: 1234"
    );
}

#[test]
fn a_run_ends_or_is_followed_by_another_as_the_policy_says() {
    use RestartPolicy::{Always, Never, OnFailure};
    let now = crate::task::now();
    let table = [
        (EndReason::Stopped, vec![]),
        (EndReason::ByHost, vec![Always]),
        (retryable(), vec![OnFailure, Always]),
        (EndReason::SourcePanicked, vec![OnFailure, Always]),
        (permanent(), vec![]),
    ];
    for (reason, restarting) in table {
        for policy in [Never, OnFailure, Always] {
            let mut first = life(policy);
            assert_eq!(first.handle_end(now, reason.clone(), 0.0), None);
            assert_eq!(*first.state(), State::Ended(reason.clone()), "the first start is told at once");

            let mut later = life(policy);
            later.handle_frame(now);
            let wait = later.handle_end(now, reason.clone(), 0.0);
            assert_eq!(wait.is_some(), restarting.contains(&policy), "{policy:?} {reason:?}");
            let expected = match wait {
                Some(wait) => {
                    State::Reconnecting { attempt: 1, next: now + wait.lasts, reason: reason.clone() }
                }
                None => State::Ended(reason.clone()),
            };
            assert_eq!(*later.state(), expected);
        }
    }
}

#[test]
fn a_restart_is_reconnecting_until_its_first_frame() {
    let mut now = crate::task::now();
    let mut life = life(RestartPolicy::OnFailure);
    life.handle_frame(now);
    life.handle_end(now, retryable(), 0.0);
    now += Duration::from_secs(1);
    assert_eq!(life.handle_timeout(now, 0), Some(Action::Run));
    assert_eq!(life.restarts(), 1);
    life.handle_stage(Stage::Launch);
    life.handle_connected(now);
    assert!(matches!(life.state(), State::Reconnecting { attempt: 1, .. }), "{:?}", life.state());
    now += Duration::from_secs(30);
    assert_eq!(
        life.handle_timeout(now, 0),
        Some(Action::Stop),
        "a restart without a picture is a failure too"
    );
    life.handle_end(now, EndReason::Stopped, 0.0);
    assert_eq!(reconnecting(&life, now), Some((2, 2)));
    now += Duration::from_secs(2);
    assert_eq!(life.handle_timeout(now, 0), Some(Action::Run));
    life.handle_frame(now);
    assert_eq!(*life.state(), State::Streaming);
    assert_eq!(life.restarts(), 2);

    life.handle_end(now, permanent(), 0.0);
    assert!(matches!(life.state(), State::Ended(EndReason::Failed(_))), "{:?}", life.state());
}

#[test]
fn the_first_reason_of_the_end_stays() {
    let now = crate::task::now();
    let mut life = life(RestartPolicy::OnFailure);
    life.handle_stage(Stage::RtspHandshake);
    assert_eq!(*life.state(), State::Connecting(Stage::RtspHandshake));
    life.handle_connected(now);
    life.handle_stage(Stage::Launch);
    assert_eq!(*life.state(), State::Connected, "a late stage does not go back");
    life.handle_end(now, EndReason::ByHost, 0.0);
    life.end(EndReason::Stopped);
    life.handle_frame(now);
    assert_eq!(*life.state(), State::Ended(EndReason::ByHost));
    assert_eq!(life.timeout(), None);
}

/// What a source may do next; the clock goes on by so many milliseconds before.
#[derive(Clone, Debug)]
enum Step {
    Connected,
    Frame,
    End(u8),
    Wait,
}

fn any_step() -> impl Strategy<Value = (u64, Step)> {
    let step = prop_oneof![
        1 => Just(Step::Connected),
        4 => Just(Step::Frame),
        2 => (0u8..4).prop_map(Step::End),
        3 => Just(Step::Wait),
    ];
    (0u64..40_000, step)
}

proptest! {
    /// Whatever a source does: a run begins only when the one before has ended, no sooner than its wait says; each run is
    /// told to stop once and dropped once at most; and once the stream is over, nothing happens any more.
    #[test]
    fn there_are_never_two_runs_and_no_restart_comes_early(
        steps in prop::collection::vec(any_step(), 1..300), restart in 0u8..3, chance in 0.0f64..=1.0,
    ) {
        let restart = [RestartPolicy::Never, RestartPolicy::OnFailure, RestartPolicy::Always][usize::from(restart)];
        let mut now = crate::task::now();
        let mut life = life(restart);
        let (mut running, mut told, mut restarts, mut trips) = (true, Vec::new(), 0, 0);
        let mut due = None;
        for (ms, step) in steps {
            let until = now + Duration::from_millis(ms);
            while let Some(timeout) = life.timeout().filter(|&timeout| timeout <= until) {
                now = now.max(timeout);
                match life.handle_timeout(now, 0) {
                    Some(Action::Run) => {
                        prop_assert!(!running, "two runs");
                        prop_assert!(due.is_some_and(|due| now >= due), "too early");
                        running = true;
                        restarts += 1;
                        told.clear();
                    }
                    Some(Action::Probe) => prop_assert!(running),
                    Some(action) => {
                        prop_assert!(running && !told.contains(&action), "{action:?} again");
                        told.push(action);
                    }
                    None => prop_assert_eq!(life.state(), &State::Stalled),
                }
            }
            now = until;
            match step {
                Step::Connected if running => life.handle_connected(now),
                Step::Frame if running => life.handle_frame(now),
                Step::End(reason) if running => {
                    running = false;
                    let reason = [EndReason::ByHost, retryable(), permanent(), EndReason::SourcePanicked][usize::from(reason)].clone();
                    let wait = life.handle_end(now, reason, chance);
                    due = wait.map(|wait| now + wait.lasts);
                    trips = wait.map_or(trips, |wait| if wait.attempt == 1 { 0 } else { trips });
                    trips += u32::from(wait.is_some_and(|wait| wait.breaker.is_some()));
                    prop_assert!(trips <= 10);
                    prop_assert_eq!(due.is_none(), matches!(life.state(), State::Ended(_)));
                }
                _ => {}
            }
            prop_assert_eq!(life.restarts(), restarts);
            if matches!(life.state(), State::Ended(_)) {
                prop_assert_eq!(life.timeout(), None);
            }
        }
    }
}
