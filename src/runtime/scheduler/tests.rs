//! The promises of dispatch, one by one.

use jiff::tz::TimeZone;
use tokio::sync::oneshot;

use super::*;
use crate::event::{Ack, TimerKey};
use crate::fault::{Fault, SourceLocation};
use crate::run::{Mode, Overflow, Policy, Rate, Retry};
use crate::services::clock::{ActivityGuard, Clock};
use crate::value::{Map, Value, map_of};

const QUEUE: QueueId = QueueId(1);

struct Table {
    scheduler: Scheduler<u64>,
    now: Timestamp,
    running: Vec<RunRequest<u64>>,
    notes: Vec<String>,
}

impl Table {
    fn new(policies: Vec<Policy>) -> Self {
        let limits = LIMITS;
        let mut table = Self {
            scheduler: Scheduler::new(limits),
            now: Timestamp::from_second(1_000_000).unwrap(),
            running: Vec::new(),
            notes: Vec::new(),
        };
        table.swap(1, policies.into_iter().enumerate().map(|(id, policy)| (id as u64, policy)).collect());
        table
    }

    fn swap(&mut self, version: u64, policies: Vec<(u64, Policy)>) {
        self.swap_with_heirs(version, policies, &|_, _| None);
    }

    fn swap_with_heirs(&mut self, version: u64, policies: Vec<(u64, Policy)>, handoff: &EventHandoff) {
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
        let mut event = Event::new(self.now.to_zoned(TimeZone::UTC), name, payload);
        event.delivery.hops = hops;
        let trigger_event =
            TriggerEvent { trigger: TriggerId(trigger), event, reply: Some(reply), skip: None, activity: activity() };
        self.scheduler.submit(trigger_event, self.now);
        self.step();
        outcome
    }

    /// What a broker sends again if it is not confirmed.
    fn submit_acked(&mut self, trigger: u64, name: &str) -> oneshot::Receiver<Outcome> {
        let (reply, outcome) = oneshot::channel();
        let event = Event::new(self.now.to_zoned(TimeZone::UTC), name, Map::new()).with_ack(Some(Ack::Sender));
        self.scheduler.submit(
            TriggerEvent { trigger: TriggerId(trigger), event, reply: Some(reply), activity: activity(), skip: None },
            self.now,
        );
        self.step();
        outcome
    }

    fn end(&mut self, name: &str, outcome: Outcome) {
        let at = self.running.iter().position(|start| start.event.summary == name).expect("it runs");
        let start = self.running.remove(at);
        self.scheduler.ended(start.run, outcome, self.now);
        self.step();
    }

    /// Lets a handler return whose run waits for the disk; the run can end after that.
    fn return_from(&mut self, name: &str) {
        let start = self.running.iter().find(|start| start.event.summary == name).expect("it runs");
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
                Action::Skipped { event, skip, .. } => self.notes.push(format!("{}: {}", event.summary, skip.reason())),
                Action::Acknowledge(event) => self.notes.push(format!("settle {}", event.summary)),
                Action::Paused { reason, .. } => self.notes.push(format!("paused: {reason}")),
                Action::Resumed(_) => self.notes.push("resumed".to_owned()),
            }
        }
    }

    fn running(&self) -> Vec<&str> {
        self.running.iter().map(|start| start.event.summary.as_str()).collect()
    }
}

fn activity() -> ActivityGuard {
    Clock::system(TimeZone::UTC).activity()
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
    let mut table = Table::new(vec![Policy::default(), Policy::default()]);
    drop((table.submit(0, "a"), table.submit(1, "b"), table.submit(0, "c")));
    assert_eq!(table.running(), ["a"]);
    table.end("a", done());
    assert_eq!(table.running(), ["b"]);
    table.end("b", done());
    assert_eq!(table.running(), ["c"]);
}

#[test]
fn a_run_that_waits_for_the_disk_holds_up_no_other_and_its_event_is_over_only_then() {
    let mut table = Table::new(vec![Policy::default()]);
    let [mut a, mut b] = ["a", "b"].map(|name| table.submit(0, name));
    assert_eq!(table.running(), ["a"]);
    table.return_from("a");
    assert_eq!(table.running(), ["a", "b"]);
    assert!(a.try_recv().is_err(), "nobody may take it for done");
    table.return_from("b");
    table.end("b", done());
    assert!(matches!(b.try_recv(), Ok(Outcome::Succeeded(_))));
    assert!(!table.scheduler.is_idle(Some(QUEUE)), "a stop or a reload waits for it");
    drop((table.submit(0, "c"), table.submit(0, "d")));
    table.end("a", done());
    assert!(matches!(a.try_recv(), Ok(Outcome::Succeeded(_))));
    assert_eq!(table.running(), ["c"], "what ends later than its line went on lets nothing in beside it");
}

#[test]
fn who_asked_hears_the_outcome() {
    let mut table = Table::new(vec![Policy::default()]);
    let mut outcome = table.submit(0, "a");
    table.end("a", Outcome::Succeeded(Value::Int(7)));
    assert_eq!(outcome.try_recv(), Ok(Outcome::Succeeded(Value::Int(7))));
}

#[test]
fn a_full_queue_drops_the_oldest_of_the_same_trigger() {
    let mut table = Table::new(vec![Policy::default(), Policy::default()]);
    let _ = [(0, "run"), (1, "other"), (0, "a"), (0, "b"), (0, "c")].map(|(id, name)| table.submit(id, name));
    assert_eq!(table.notes, ["a: queue full"]);
}

#[test]
fn drop_newest_keeps_what_waits() {
    let policy = Policy { max: Some(1), overflow: Overflow::DropNewest, ..Policy::default() };
    let mut table = Table::new(vec![policy]);
    let _ = ["run", "a", "b"].map(|name| table.submit(0, name));
    assert_eq!(table.notes, ["b: queue full"]);
}

#[test]
fn latest_per_key_replaces_what_waits_with_the_same_key() {
    let policy = Policy { overflow: Overflow::LatestPerKey, key: Some("key".into()), ..Policy::default() };
    let mut table = Table::new(vec![policy]);
    let _ = [("run", "x"), ("x1", "x"), ("y1", "y"), ("x2", "x")].map(|(name, key)| table.submit_with(0, name, key, 0));
    assert_eq!(table.notes, ["x1: replaced by a newer event"]);
    table.end("run", done());
    assert_eq!(table.running(), ["x2"]);
}

#[test]
fn single_skips_while_one_with_its_key_runs_or_waits() {
    let policy = Policy { key: Some("key".into()), ..mode(Mode::Single) };
    let mut table = Table::new(vec![policy]);
    let _ = [("x1", "x"), ("x2", "x"), ("y1", "y"), ("y2", "y")].map(|(name, key)| table.submit_with(0, name, key, 0));
    assert_eq!(table.running(), ["x1"]);
    assert_eq!(table.notes, ["x2: still busy (mode single)", "y2: still busy (mode single)"]);
}

#[test]
fn restart_cancels_the_run_and_takes_its_place() {
    let mut table = Table::new(vec![mode(Mode::Restart), Policy::default()]);
    let mut first = table.submit(0, "a");
    drop((table.submit(1, "other"), table.submit(0, "b"), table.submit(0, "c")));
    assert!(table.running[0].cancel.is_cancelled());
    assert_eq!(table.notes, ["b: replaced by a newer event"]);
    table.end("a", Outcome::Cancelled);
    assert_eq!(first.try_recv(), Ok(Outcome::Cancelled));
    assert_eq!(table.running(), ["c"]);
}

#[test]
fn parallel_runs_beside_the_line_up_to_its_number() {
    let mut table = Table::new(vec![Policy::default(), mode(Mode::Parallel)]);
    let _ = [(0, "line"), (1, "a"), (1, "b"), (1, "c")].map(|(id, name)| table.submit(id, name));
    assert_eq!(table.running(), ["line", "a", "b"]);
    table.end("a", done());
    assert_eq!(table.running(), ["line", "b", "c"]);
}

#[test]
fn what_is_over_the_rate_is_skipped() {
    let rate = Some(Rate { count: 1, per: Duration::from_secs(5) });
    let mut table = Table::new(vec![Policy { rate, ..Policy::default() }]);
    drop((table.submit(0, "a"), table.submit(0, "b")));
    table.pass(5);
    drop(table.submit(0, "c"));
    assert_eq!(table.notes, ["b: over the rate"]);
}

#[test]
fn a_failed_event_is_tried_again_before_later_ones_of_its_trigger_while_others_go_on() {
    let retry = Some(Retry { max: 2, delay: Duration::from_secs(10), backoff: 2.0 });
    let mut table = Table::new(vec![Policy { retry, ..Policy::default() }, Policy::default()]);
    let mut first = table.submit(0, "a");
    drop((table.submit(0, "b"), table.submit(1, "other")));
    table.end("a", failed());
    assert_eq!(table.running(), ["other"]);
    table.end("other", done());
    assert!(table.running().is_empty());
    table.pass(10);
    assert_eq!(table.running(), ["a"]);
    table.end("a", failed());
    table.pass(19);
    assert!(table.running().is_empty(), "the second wait is twice as long");
    table.pass(1);
    table.end("a", failed());
    assert!(first.try_recv().is_ok_and(|outcome| outcome.is_failure()));
    assert_eq!(table.running(), ["b"]);
}

#[test]
fn waiting_events_go_to_the_new_version_and_those_of_gone_triggers_are_skipped() {
    let mut table = Table::new(vec![Policy::default(), Policy::default()]);
    let _ = [(0, "run"), (0, "stays"), (1, "goes")].map(|(id, name)| table.submit(id, name));
    table.swap(2, vec![(0, Policy::default())]);
    assert_eq!(table.notes, ["goes: trigger removed"]);
    assert_eq!(table.running[0].version, 1);
    table.end("run", done());
    assert_eq!((table.running(), table.running[0].version), (vec!["stays"], 2));
}

#[test]
fn a_script_that_runs_away_is_paused_for_a_minute() {
    let mut table = Table::new(vec![Policy::default()]);
    table.scheduler.set_limits(QueueLimits { queue: 3, parallel: 2, runs: 10, breaker: 2, ..LIMITS });
    for name in ["a", "b", "c"] {
        drop(table.submit(0, name));
        if !table.running().is_empty() {
            table.end(name, done());
        }
    }
    drop(table.submit(0, "d"));
    assert_eq!(
        table.notes,
        ["c: breaker open", "paused: more than 2 runs in 10 seconds (`limits.breaker`)", "d: breaker open"]
    );
    table.pass(60);
    drop(table.submit(0, "e"));
    assert_eq!(table.running(), ["e"]);
}

#[test]
fn saving_the_script_ends_its_pause() {
    let mut table = Table::new(vec![Policy::default()]);
    drop(table.submit_with(0, "loop", "", MAX_HOPS + 1));
    assert!(table.notes[0].starts_with("paused: an event passed through 64 `emit` calls"), "{:?}", table.notes);
    table.swap(2, vec![(0, Policy::default())]);
    drop(table.submit(0, "a"));
    assert_eq!(table.running(), ["a"]);
}

#[test]
fn no_more_than_the_cap_run_and_scripts_take_turns() {
    let mut table = Table::new(vec![mode(Mode::Parallel)]);
    table.scheduler.set_limits(QueueLimits { queue: 3, parallel: 2, runs: 1, breaker: 100, ..LIMITS });
    let target = Target { name: "t9".into(), handler: 0, policy: Policy::default() };
    table.scheduler.swap(QueueId(2), "other".into(), 1, vec![(TriggerId(9), target)], &|_, _| None, Skip::TriggerGone);
    let _ = [(0, "a"), (0, "b"), (0, "c"), (9, "other")].map(|(id, name)| table.submit(id, name));
    assert_eq!(table.running(), ["a"]);
    table.end("a", done());
    let second = table.running()[0].to_owned();
    table.end(&second, done());
    let third = table.running()[0].to_owned();
    assert!([second, third].contains(&"other".to_owned()));
}

#[test]
fn a_timer_whose_event_was_not_run_is_settled_but_not_when_it_will_come_again() {
    let mut table = Table::new(vec![mode(Mode::Single)]);
    let settles = |table: &mut Table, name: &str| {
        let mut event = Event::new(table.now.to_zoned(TimeZone::UTC), name, Map::new());
        let due = table.now;
        event.delivery.ack = Some(Ack::Timer(TimerKey { owner: "s".into(), name: name.into(), due }));
        let trigger_event =
            TriggerEvent { trigger: TriggerId(0), event, reply: None, skip: None, activity: activity() };
        table.scheduler.submit(trigger_event, table.now);
        table.step();
    };
    settles(&mut table, "a");
    settles(&mut table, "b");
    assert_eq!(table.notes, ["settle b", "b: still busy (mode single)"]);
    table.notes.clear();
    table.scheduler.stop();
    table.end("a", Outcome::Cancelled);
    assert!(table.notes.is_empty(), "{:?}", table.notes);
}

#[test]
fn a_script_that_fails_again_and_again_is_paused_and_then_tried_once() {
    let mut table = Table::new(vec![Policy::default()]);
    table.scheduler.set_limits(QueueLimits { failures: 3, pause: Duration::from_secs(20), ..LIMITS });
    let run = |table: &mut Table, name: &str, outcome: Outcome| {
        table.submit(0, name);
        table.end(name, outcome);
        std::mem::take(&mut table.notes)
    };
    assert_eq!(run(&mut table, "a", failed()), [] as [&str; 0]);
    assert_eq!(run(&mut table, "b", failed()), [] as [&str; 0]);
    assert_eq!(run(&mut table, "c", done()), [] as [&str; 0]);
    assert_eq!(run(&mut table, "d", failed()), [] as [&str; 0]);
    assert_eq!(run(&mut table, "e", Outcome::Cancelled), [] as [&str; 0]);
    assert_eq!(run(&mut table, "f", failed()), [] as [&str; 0]);
    let paused = "paused: its last 3 runs failed (`limits.failures`)";
    assert_eq!(run(&mut table, "g", failed()), [paused]);
    table.submit(0, "h");
    assert_eq!(std::mem::take(&mut table.notes), ["h: breaker open"]);
    table.pass(20);
    assert_eq!(std::mem::take(&mut table.notes), ["resumed"]);
    assert_eq!(run(&mut table, "i", failed()), [paused]);
    table.pass(20);
    assert_eq!(run(&mut table, "j", done()), ["resumed"]);
    assert_eq!(run(&mut table, "k", failed()), [] as [&str; 0]);
}

#[test]
fn what_is_owed_is_pushed_out_by_no_limit_that_the_script_did_not_write() {
    let mut table =
        Table::new(vec![Policy::default(), Policy::default(), Policy { max: Some(1), ..Policy::default() }]);
    let _owed: Vec<_> = (0..10).map(|number| table.submit_acked(0, &format!("owed {number}"))).collect();
    let _others: Vec<_> = (0..4).map(|number| table.submit(1, &format!("other {number}"))).collect();
    assert_eq!(table.notes, ["other 0: queue full"], "the others have a queue of their own length");
    let _bounded: Vec<_> = (0..2).map(|number| table.submit_acked(2, &format!("bounded {number}"))).collect();
    assert_eq!(table.notes[1..], ["bounded 0: queue full"], "what the script wrote holds");
    for number in 0..10 {
        table.end(&format!("owed {number}"), done());
    }
    assert_eq!(table.running(), ["other 1"]);
}

#[test]
fn what_is_owed_waits_until_the_breaker_closes() {
    let mut table = Table::new(vec![Policy::default(), Policy::default()]);
    let owed: Vec<_> = (0..150).map(|number| table.submit_acked(0, &number.to_string())).collect();
    for number in 0..100 {
        table.end(&number.to_string(), done());
    }
    assert!(table.running().is_empty(), "{:?}", table.running());
    let _late = table.submit_acked(0, "late");
    let _other = table.submit(1, "other");
    assert_eq!(table.notes.len(), 2, "{:?}", table.notes);
    assert_eq!(table.notes[1], "other: breaker open");
    table.pass(60);
    for number in 100..150 {
        table.end(&number.to_string(), done());
    }
    assert_eq!(table.running(), ["late"]);
    for mut outcome in owed {
        assert_eq!(outcome.try_recv(), Ok(done()));
    }
}

#[test]
fn events_of_a_gone_trigger_go_to_its_heir_in_their_place() {
    let mut table = Table::new(vec![Policy::default(), Policy::default(), mode(Mode::Parallel)]);
    let _running = table.submit(1, "run");
    let _waiting = [(0, "a"), (1, "b"), (0, "c")].map(|(id, name)| table.submit(id, name));
    let handoff = |trigger: TriggerId, event: &Event| {
        (trigger == TriggerId(0) && event.summary != "c").then(|| (TriggerId(3), event.clone()))
    };
    table.swap_with_heirs(2, vec![(1, Policy::default()), (3, Policy::default())], &handoff);
    assert_eq!(table.notes, ["c: trigger removed"]);
    table.end("run", done());
    assert_eq!(table.running(), ["a"]);
    assert_eq!(table.running[0].target.name.as_ref(), "t3");
    table.end("a", done());
    assert_eq!(table.running(), ["b"]);
}
