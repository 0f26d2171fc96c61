//! Tests of the scheduler.

use tokio::sync::oneshot;

use super::*;
use crate::event::{Ack, SenderAck, TimerKey};
use crate::fault::{Fault, SourceLocation};
use crate::run::{Mode, Overflow, Policy, Rate, Retry};
use crate::services::clock::{ActivityGuard, Clock};
use crate::value::{Map, Value, map_of};

const QUEUE: QueueId = QueueId(1);

struct TestBench {
    scheduler: Scheduler<u64>,
    now: Timestamp,
    running: Vec<RunRequest<u64>>,
    notes: Vec<String>,
}

impl TestBench {
    fn new(policies: Vec<Policy>) -> Self {
        let limits = LIMITS;
        let mut bench = Self {
            scheduler: Scheduler::new(limits),
            now: Timestamp::from_second(1_000_000).unwrap(),
            running: Vec::new(),
            notes: Vec::new(),
        };
        bench.swap(1, policies.into_iter().enumerate().map(|(id, policy)| (id as u64, policy)).collect());
        bench
    }

    fn swap(&mut self, version: u64, policies: Vec<(u64, Policy)>) {
        self.swap_with_handoff(version, policies, &|_, _| None);
    }

    fn swap_with_handoff(&mut self, version: u64, policies: Vec<(u64, Policy)>, handoff: &EventHandoff) {
        let targets = policies
            .into_iter()
            .map(|(id, policy)| (TriggerId(id), Target { name: format!("t{id}").into(), handler: 0, policy }));
        self.scheduler.swap(QUEUE, "s".into(), version, targets.collect(), handoff, Skip::TriggerGone);
        self.step();
    }

    fn submit(&mut self, trigger: u64, name: &str) -> oneshot::Receiver<Outcome> {
        self.submit_with(trigger, name, "", 0)
    }

    fn submit_with(&mut self, trigger: u64, name: &str, key: &str, hops: u32) -> oneshot::Receiver<Outcome> {
        let (reply, outcome) = oneshot::channel();
        let payload = map_of([("key".into(), Value::from(key))]);
        let mut event = Event::new(self.now, name, payload);
        event.delivery.hops = hops;
        let trigger_event =
            TriggerEvent { trigger: TriggerId(trigger), event, reply: Some(reply), skip: None, activity: activity() };
        self.scheduler.submit(trigger_event, self.now);
        self.step();
        outcome
    }

    /// Submits an event whose sender waits for an acknowledgement.
    fn submit_acked(&mut self, trigger: u64, name: &str) -> oneshot::Receiver<Outcome> {
        let (reply, outcome) = oneshot::channel();
        let event = Event::new(self.now, name, Map::new()).with_ack(Some(Ack::Sender(Arc::new(TestAck))));
        self.scheduler.submit(
            TriggerEvent { trigger: TriggerId(trigger), event, reply: Some(reply), activity: activity(), skip: None },
            self.now,
        );
        self.step();
        outcome
    }

    fn end(&mut self, name: &str, outcome: Outcome) {
        let at = self.running.iter().position(|start| start.event.summary() == name).expect("it runs");
        let start = self.running.remove(at);
        self.scheduler.ended(start.run, outcome, self.now);
        self.step();
    }

    /// Lets the handler of a run return whose writes are pending.
    fn return_from(&mut self, name: &str) {
        let start = self.running.iter().find(|start| start.event.summary() == name).expect("it runs");
        self.scheduler.handler_returned(start.run, self.now);
        self.step();
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.scheduler.wake(self.now);
        self.step();
    }

    fn step(&mut self) {
        self.scheduler.pump(self.now);
        let (actions, replies) = self.scheduler.take_actions();
        replies.into_iter().for_each(|(reply, outcome)| drop(reply.send(outcome)));
        for action in actions {
            match action {
                Action::RunRequest(start) => self.running.push(start),
                Action::Skipped { event, skip, .. } => {
                    self.notes.push(format!("{}: {}", event.summary(), skip.reason()))
                }
                Action::Settle(event, _) if event.delivery.requires_ack() => {}
                Action::Settle(event, settlement) => self.notes.push(format!("{settlement:?} {}", event.summary())),
                Action::Paused { reason, .. } => self.notes.push(format!("paused: {reason}")),
                Action::Resumed(_) => self.notes.push("resumed".to_owned()),
            }
        }
    }

    fn running(&self) -> Vec<String> {
        self.running.iter().map(|start| start.event.summary().into_owned()).collect()
    }
}

/// Acknowledgement to a sender that does not exist.
#[derive(Debug)]
struct TestAck;

impl SenderAck for TestAck {
    fn ack(&self) {}
    fn nack(&self) {}
}

fn activity() -> ActivityGuard {
    Clock::system(jiff::tz::TimeZone::UTC).activity()
}

fn mode(mode: Mode) -> Policy {
    Policy { mode, ..Policy::default() }
}

fn failed() -> Outcome {
    Outcome::Failed(Box::new(Fault::new(SourceLocation::default(), "no")))
}

fn done() -> Outcome {
    Outcome::Succeeded(Value::Null)
}

const LIMITS: QueueLimits =
    QueueLimits { queue: 3, parallel: 2, runs: 10, breaker: 100, failures: 50, pause: Duration::from_secs(60) };

#[test]
fn events_of_one_script_run_one_after_another_in_order() {
    let mut bench = TestBench::new(vec![Policy::default(), Policy::default()]);
    drop((bench.submit(0, "a"), bench.submit(1, "b"), bench.submit(0, "c")));
    assert_eq!(bench.running(), ["a"]);
    bench.end("a", done());
    assert_eq!(bench.running(), ["b"]);
    bench.end("b", done());
    assert_eq!(bench.running(), ["c"]);
}

#[test]
fn a_run_with_pending_writes_blocks_no_other_run_and_finishes_after_them() {
    let mut bench = TestBench::new(vec![Policy::default()]);
    let [mut a, mut b] = ["a", "b"].map(|name| bench.submit(0, name));
    assert_eq!(bench.running(), ["a"]);
    bench.return_from("a");
    assert_eq!(bench.running(), ["a", "b"]);
    assert!(a.try_recv().is_err(), "not finished before its writes");
    bench.return_from("b");
    bench.end("b", done());
    assert!(matches!(b.try_recv(), Ok(Outcome::Succeeded(_))));
    assert!(!bench.scheduler.is_idle(Some(QUEUE)), "a stop or a reload waits for it");
    drop((bench.submit(0, "c"), bench.submit(0, "d")));
    bench.end("a", done());
    assert!(matches!(a.try_recv(), Ok(Outcome::Succeeded(_))));
    assert_eq!(bench.running(), ["c"], "its end does not start a second serial run");
}

#[test]
fn the_sender_receives_the_outcome() {
    let mut bench = TestBench::new(vec![Policy::default()]);
    let mut outcome = bench.submit(0, "a");
    bench.end("a", Outcome::Succeeded(Value::Int(7)));
    assert_eq!(outcome.try_recv(), Ok(Outcome::Succeeded(Value::Int(7))));
}

#[test]
fn a_full_queue_drops_the_oldest_of_the_same_trigger() {
    let mut bench = TestBench::new(vec![Policy::default(), Policy::default()]);
    let _ = [(0, "run"), (1, "other"), (0, "a"), (0, "b"), (0, "c")].map(|(id, name)| bench.submit(id, name));
    assert_eq!(bench.notes, ["a: queue full"]);
}

#[test]
fn drop_newest_keeps_the_queued_events() {
    let policy = Policy { max: Some(1), overflow: Overflow::DropNewest, ..Policy::default() };
    let mut bench = TestBench::new(vec![policy]);
    let _ = ["run", "a", "b"].map(|name| bench.submit(0, name));
    assert_eq!(bench.notes, ["b: queue full"]);
}

#[test]
fn latest_per_key_replaces_the_queued_event_with_the_same_key() {
    let policy = Policy { overflow: Overflow::LatestPerKey, key: Some("key".into()), ..Policy::default() };
    let mut bench = TestBench::new(vec![policy]);
    let _ = [("run", "x"), ("x1", "x"), ("y1", "y"), ("x2", "x")].map(|(name, key)| bench.submit_with(0, name, key, 0));
    assert_eq!(bench.notes, ["x1: replaced by a newer event"]);
    bench.end("run", done());
    assert_eq!(bench.running(), ["x2"]);
}

#[test]
fn single_skips_while_an_event_with_its_key_runs_or_is_queued() {
    let policy = Policy { key: Some("key".into()), ..mode(Mode::Single) };
    let mut bench = TestBench::new(vec![policy]);
    let _ = [("x1", "x"), ("x2", "x"), ("y1", "y"), ("y2", "y")].map(|(name, key)| bench.submit_with(0, name, key, 0));
    assert_eq!(bench.running(), ["x1"]);
    assert_eq!(bench.notes, ["x2: still busy (mode single)", "y2: still busy (mode single)"]);
}

#[test]
fn restart_cancels_the_run_and_takes_its_place() {
    let mut bench = TestBench::new(vec![mode(Mode::Restart), Policy::default()]);
    let mut first = bench.submit(0, "a");
    drop((bench.submit(1, "other"), bench.submit(0, "b"), bench.submit(0, "c")));
    assert!(bench.running[0].cancel.is_cancelled());
    assert_eq!(bench.notes, ["b: replaced by a newer event"]);
    bench.end("a", Outcome::Cancelled);
    assert_eq!(first.try_recv(), Ok(Outcome::Cancelled));
    assert_eq!(bench.running(), ["c"]);
}

#[test]
fn parallel_triggers_run_beside_the_serial_queue_up_to_their_limit() {
    let mut bench = TestBench::new(vec![Policy::default(), mode(Mode::Parallel)]);
    let _ = [(0, "line"), (1, "a"), (1, "b"), (1, "c")].map(|(id, name)| bench.submit(id, name));
    assert_eq!(bench.running(), ["line", "a", "b"]);
    bench.end("a", done());
    assert_eq!(bench.running(), ["line", "b", "c"]);
}

#[test]
fn events_over_the_rate_limit_are_skipped() {
    let rate = Some(Rate { count: 1, per: Duration::from_secs(5) });
    let mut bench = TestBench::new(vec![Policy { rate, ..Policy::default() }]);
    drop((bench.submit(0, "a"), bench.submit(0, "b")));
    bench.pass(5);
    drop(bench.submit(0, "c"));
    assert_eq!(bench.notes, ["b: over the rate limit"]);
}

#[test]
fn a_failed_event_is_retried_before_later_ones_of_its_trigger_while_others_run() {
    let retry = Some(Retry { max: 2, delay: Duration::from_secs(10), backoff: 2.0 });
    let mut bench = TestBench::new(vec![Policy { retry, ..Policy::default() }, Policy::default()]);
    let mut first = bench.submit(0, "a");
    drop((bench.submit(0, "b"), bench.submit(1, "other")));
    bench.end("a", failed());
    assert_eq!(bench.running(), ["other"]);
    bench.end("other", done());
    assert!(bench.running().is_empty());
    bench.pass(10);
    assert_eq!(bench.running(), ["a"]);
    bench.end("a", failed());
    bench.pass(19);
    assert!(bench.running().is_empty(), "the second wait is twice as long");
    bench.pass(1);
    bench.end("a", failed());
    assert!(first.try_recv().is_ok_and(|outcome| outcome.is_failure()));
    assert_eq!(bench.running(), ["b"]);
}

#[test]
fn queued_events_run_on_the_new_version_and_those_of_removed_triggers_are_skipped() {
    let mut bench = TestBench::new(vec![Policy::default(), Policy::default()]);
    let _ = [(0, "run"), (0, "stays"), (1, "goes")].map(|(id, name)| bench.submit(id, name));
    bench.swap(2, vec![(0, Policy::default())]);
    assert_eq!(bench.notes, ["goes: trigger removed"]);
    assert_eq!(bench.running[0].version, 1);
    bench.end("run", done());
    assert_eq!((bench.running(), bench.running[0].version), (vec!["stays".to_owned()], 2));
}

#[test]
fn a_runaway_script_is_paused_for_a_minute() {
    let mut bench = TestBench::new(vec![Policy::default()]);
    bench.scheduler.set_limits(QueueLimits { queue: 3, parallel: 2, runs: 10, breaker: 2, ..LIMITS });
    for name in ["a", "b", "c"] {
        drop(bench.submit(0, name));
        if !bench.running().is_empty() {
            bench.end(name, done());
        }
    }
    drop(bench.submit(0, "d"));
    assert_eq!(
        bench.notes,
        ["c: breaker open", "paused: more than 2 runs in 10 seconds (`limits.breaker`)", "d: breaker open"]
    );
    bench.pass(60);
    drop(bench.submit(0, "e"));
    assert_eq!(bench.running(), ["e"]);
}

#[test]
fn saving_the_script_ends_its_pause() {
    let mut bench = TestBench::new(vec![Policy::default()]);
    drop(bench.submit_with(0, "loop", "", MAX_HOPS + 1));
    assert!(bench.notes[0].starts_with("paused: an event passed through 64 `emit` calls"), "{:?}", bench.notes);
    bench.swap(2, vec![(0, Policy::default())]);
    drop(bench.submit(0, "a"));
    assert_eq!(bench.running(), ["a"]);
}

#[test]
fn runs_are_limited_and_scripts_take_turns() {
    let mut bench = TestBench::new(vec![mode(Mode::Parallel)]);
    bench.scheduler.set_limits(QueueLimits { queue: 3, parallel: 2, runs: 1, breaker: 100, ..LIMITS });
    let target = Target { name: "t9".into(), handler: 0, policy: Policy::default() };
    bench.scheduler.swap(QueueId(2), "other".into(), 1, vec![(TriggerId(9), target)], &|_, _| None, Skip::TriggerGone);
    let _ = [(0, "a"), (0, "b"), (0, "c"), (9, "other")].map(|(id, name)| bench.submit(id, name));
    assert_eq!(bench.running(), ["a"]);
    bench.end("a", done());
    let second = bench.running()[0].to_owned();
    bench.end(&second, done());
    let third = bench.running()[0].to_owned();
    assert!([second, third].contains(&"other".to_owned()));
}

#[test]
fn a_timer_without_a_run_is_acknowledged_unless_it_is_delivered_again() {
    let mut bench = TestBench::new(vec![mode(Mode::Single)]);
    let settles = |bench: &mut TestBench, name: &str| {
        let mut event = Event::new(bench.now, name, Map::new());
        let due = bench.now;
        event.delivery.ack = Some(Ack::Timer(TimerKey { owner: "s".into(), name: name.into(), due }));
        let trigger_event =
            TriggerEvent { trigger: TriggerId(0), event, reply: None, skip: None, activity: activity() };
        bench.scheduler.submit(trigger_event, bench.now);
        bench.step();
    };
    settles(&mut bench, "a");
    settles(&mut bench, "b");
    assert_eq!(bench.notes, ["Ack b", "b: still busy (mode single)"]);
    bench.notes.clear();
    bench.scheduler.stop();
    bench.end("a", Outcome::Cancelled);
    assert!(bench.notes.is_empty(), "{:?}", bench.notes);
}

#[test]
fn a_script_that_keeps_failing_is_paused_and_then_tried_once() {
    let mut bench = TestBench::new(vec![Policy::default()]);
    bench.scheduler.set_limits(QueueLimits { failures: 3, pause: Duration::from_secs(20), ..LIMITS });
    let run = |bench: &mut TestBench, name: &str, outcome: Outcome| {
        bench.submit(0, name);
        bench.end(name, outcome);
        std::mem::take(&mut bench.notes)
    };
    assert_eq!(run(&mut bench, "a", failed()), [] as [&str; 0]);
    assert_eq!(run(&mut bench, "b", failed()), [] as [&str; 0]);
    assert_eq!(run(&mut bench, "c", done()), [] as [&str; 0]);
    assert_eq!(run(&mut bench, "d", failed()), [] as [&str; 0]);
    assert_eq!(run(&mut bench, "e", Outcome::Cancelled), [] as [&str; 0]);
    assert_eq!(run(&mut bench, "f", failed()), [] as [&str; 0]);
    let paused = "paused: its last 3 runs failed (`limits.failures`)";
    assert_eq!(run(&mut bench, "g", failed()), [paused]);
    bench.submit(0, "h");
    assert_eq!(std::mem::take(&mut bench.notes), ["h: breaker open"]);
    bench.pass(20);
    assert_eq!(std::mem::take(&mut bench.notes), ["resumed"]);
    assert_eq!(run(&mut bench, "i", failed()), [paused]);
    bench.pass(20);
    assert_eq!(run(&mut bench, "j", done()), ["resumed"]);
    assert_eq!(run(&mut bench, "k", failed()), [] as [&str; 0]);
}

#[test]
fn events_that_require_an_acknowledgement_are_dropped_by_explicit_limits_only() {
    let mut bench =
        TestBench::new(vec![Policy::default(), Policy::default(), Policy { max: Some(1), ..Policy::default() }]);
    let _acked: Vec<_> = (0..10).map(|number| bench.submit_acked(0, &format!("acked {number}"))).collect();
    let _others: Vec<_> = (0..4).map(|number| bench.submit(1, &format!("other {number}"))).collect();
    assert_eq!(bench.notes, ["other 0: queue full"], "the others have a queue of their own length");
    let _bounded: Vec<_> = (0..2).map(|number| bench.submit_acked(2, &format!("bounded {number}"))).collect();
    assert_eq!(bench.notes[1..], ["bounded 0: queue full"], "explicit limits apply");
    for number in 0..10 {
        bench.end(&format!("acked {number}"), done());
    }
    assert_eq!(bench.running(), ["other 1"]);
}

#[test]
fn events_that_require_an_acknowledgement_stay_queued_until_the_breaker_closes() {
    let mut bench = TestBench::new(vec![Policy::default(), Policy::default()]);
    let acked: Vec<_> = (0..150).map(|number| bench.submit_acked(0, &number.to_string())).collect();
    for number in 0..100 {
        bench.end(&number.to_string(), done());
    }
    assert!(bench.running().is_empty(), "{:?}", bench.running());
    let _late = bench.submit_acked(0, "late");
    let _other = bench.submit(1, "other");
    assert_eq!(bench.notes.len(), 2, "{:?}", bench.notes);
    assert_eq!(bench.notes[1], "other: breaker open");
    bench.pass(60);
    for number in 100..150 {
        bench.end(&number.to_string(), done());
    }
    assert_eq!(bench.running(), ["late"]);
    for mut outcome in acked {
        assert_eq!(outcome.try_recv(), Ok(done()));
    }
}

#[test]
fn events_of_a_removed_trigger_are_handed_off_in_place() {
    let mut bench = TestBench::new(vec![Policy::default(), Policy::default(), mode(Mode::Parallel)]);
    let _running = bench.submit(1, "run");
    let _waiting = [(0, "a"), (1, "b"), (0, "c")].map(|(id, name)| bench.submit(id, name));
    let handoff = |trigger: TriggerId, event: &Event| {
        (trigger == TriggerId(0) && event.summary() != "c").then(|| (TriggerId(3), event.clone()))
    };
    bench.swap_with_handoff(2, vec![(1, Policy::default()), (3, Policy::default())], &handoff);
    assert_eq!(bench.notes, ["c: trigger removed"]);
    bench.end("run", done());
    assert_eq!(bench.running(), ["a"]);
    assert_eq!(bench.running[0].target.name.as_ref(), "t3");
    bench.end("a", done());
    assert_eq!(bench.running(), ["b"]);
}
