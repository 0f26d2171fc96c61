//! Model test: random runs, power cuts, reloads and clock changes, compared with a simple model after each step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rhaid::value::{Map, Value};

use crate::bench::{Bench, seconds};
use crate::seed::SeededRandom;

/// Executes the actions of an event, and counts the run in the same transaction.
const ACTOR: &str = r#"
fn act(actions) {
    for action in actions {
        let key = action[1];
        switch action[0] {
            "set" => { state[key] = action[2]; }
            "add" => { state.add(key, action[2]); }
            "remove" => { state.remove(key); }
            "share" => { shared("house").add(key, action[2]); }
            "start" => { timer_start(key, action[2], #{ again: action[2], left: action[3] }); }
            "cancel" => { timer_cancel(key); }
            "emit" => { emit("emitted", action[2]); }
            "throw" => { throw "on purpose"; }
        }
    }
    state.add("runs", 1);
}

fn expired(timer) {
    state.add(`${timer.name} fired`, 1);
    let left = timer.data.left;
    if left < 0 { throw "on purpose"; }
    if left > 0 { timer_start(timer.name, timer.data.again, #{ again: timer.data.again, left: left - 1 }); }
}

on_event("act", |event| act(event.data));
on_timer("a", |timer| expired(timer));
on_timer("b", |timer| expired(timer));
on_timer("c", |timer| expired(timer));
"#;

/// Counts how often each event was received.
const LISTENER: &str = r#"on_event("emitted", |event| state.add(event.data, 1));"#;

#[test]
fn random_runs_power_cuts_and_reloads_match_a_model() {
    walk(250, SeededRandom::fixed());
}

/// Long version: `cargo test --test tests many_random_steps -- --ignored`, with the number of steps in `RHAID_TEST_STEPS`.
#[test]
#[ignore = "takes minutes"]
fn many_random_steps_match_a_model() {
    walk(std::env::var("RHAID_TEST_STEPS").map_or(5_000, |steps| steps.parse().unwrap()), SeededRandom::varied());
}

fn walk(steps: usize, random: SeededRandom) {
    let mut walk = Walk::new(random);
    for _ in 0..steps {
        walk.step();
    }
    assert!(walk.model.runs() > 0, "no run succeeded");
}

/// One action of a run.
#[derive(Debug, Clone)]
enum Action {
    Set(&'static str, Value),
    Add(&'static str, i64),
    Remove(&'static str),
    Share(&'static str, i64),
    /// Starts a timer by name, with its seconds and its number of repeats; its handler fails if the number is negative.
    Start(&'static str, i64, i64),
    Cancel(&'static str),
    Emit(String),
    Throw,
}

impl Action {
    fn to_value(&self) -> Value {
        let name = |name: &str| Value::from(name);
        Value::List(match self {
            Self::Set(key, value) => vec![name("set"), name(key), value.clone()],
            Self::Add(key, amount) => vec![name("add"), name(key), Value::Int(*amount)],
            Self::Remove(key) => vec![name("remove"), name(key)],
            Self::Share(key, amount) => vec![name("share"), name(key), Value::Int(*amount)],
            Self::Start(key, after, left) => vec![name("start"), name(key), Value::Int(*after), Value::Int(*left)],
            Self::Cancel(key) => vec![name("cancel"), name(key)],
            Self::Emit(id) => vec![name("emit"), Value::Null, name(id)],
            Self::Throw => vec![name("throw"), Value::Null],
        })
    }
}

/// The expected stored data.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    state: BTreeMap<String, Value>,
    shared: BTreeMap<String, Value>,
    /// By name: the due time, the duration in seconds and the number of repeats left.
    timers: BTreeMap<String, (Timestamp, i64, i64)>,
    /// The number of deliveries of each event.
    received: BTreeMap<String, Value>,
}

impl Model {
    /// Applies all actions of a run or none; returns whether the run succeeds.
    fn run(&mut self, actions: &[Action], now: Timestamp) -> bool {
        let mut after = self.clone();
        let succeeded = actions.iter().all(|action| after.act(action, now)) && add(&mut after.state, "runs", 1);
        if succeeded {
            *self = after;
        }
        succeeded
    }

    fn act(&mut self, action: &Action, now: Timestamp) -> bool {
        match action {
            Action::Set(key, value) => drop(self.state.insert((*key).into(), value.clone())),
            Action::Add(key, amount) => return add(&mut self.state, key, *amount),
            Action::Remove(key) => drop(self.state.remove(*key)),
            Action::Share(key, amount) => return add(&mut self.shared, key, *amount),
            Action::Start(key, after, left) => self.start(key, now, *after, *left),
            Action::Cancel(key) => drop(self.timers.remove(*key)),
            Action::Emit(id) => return add(&mut self.received, id, 1),
            Action::Throw => return false,
        }
        true
    }

    fn start(&mut self, name: &str, now: Timestamp, after: i64, left: i64) {
        self.timers.insert(name.into(), (now + SignedDuration::from_secs(after), after, left));
    }

    /// Fires all timers that are due at `until` or before, each at its due time or, if that has passed, at `now`.
    fn advance(&mut self, mut now: Timestamp, until: Timestamp) {
        while let Some(name) = self.timers.iter().min_by_key(|(_, timer)| timer.0).map(|(name, _)| name.clone()) {
            let (due, again, left) = self.timers[&name];
            if due > until {
                return;
            }
            now = now.max(due);
            self.timers.remove(&name);
            if left >= 0 {
                add(&mut self.state, &format!("{name} fired"), 1);
            }
            if left > 0 {
                self.start(&name, now, again, left - 1);
            }
        }
    }

    fn runs(&self) -> i64 {
        match self.state.get("runs") {
            Some(Value::Int(runs)) => *runs,
            _ => 0,
        }
    }
}

/// Adds to a number; returns false if the value is not a number.
fn add(values: &mut BTreeMap<String, Value>, key: &str, amount: i64) -> bool {
    match values.entry(key.to_owned()).or_insert(Value::Int(0)) {
        Value::Int(number) => *number += amount,
        _ => return false,
    }
    true
}

/// A random walk over the runtime and the model in parallel.
struct Walk {
    bench: Bench,
    model: Model,
    random: SeededRandom,
    emitted: usize,
    edits: usize,
    steps: Vec<String>,
}

impl Walk {
    fn new(random: SeededRandom) -> Self {
        let limits = "limits: { breaker: 1000000, failures: 1000000 }";
        let bench = Bench::new().config(limits).script("actor", ACTOR).script("listener", LISTENER).start();
        Self { bench, model: Model::default(), random, emitted: 0, edits: 0, steps: Vec::new() }
    }

    fn step(&mut self) {
        match self.random.below(40) {
            0..7 => self.advance(),
            7..11 => self.set_clock(),
            11..14 => self.cut_power(),
            14 => self.restart(),
            15 => self.reload(),
            _ => self.run(),
        }
    }

    fn run(&mut self) {
        let actions = self.actions();
        self.steps.push(format!("run {actions:?}"));
        let fired = self.bench.fire("actor", "on_event act", payload(&actions));
        let succeeded = self.model.run(&actions, self.bench.now());
        assert_eq!(fired.outcome, if succeeded { "succeeded" } else { "failed" }, "{:?}", fired.why);
        self.compare();
    }

    fn advance(&mut self) {
        let (now, length) = (self.bench.now(), self.random.below(200));
        self.steps.push(format!("advance by {length} s"));
        self.bench.advance(seconds(length));
        self.model.advance(now, self.bench.now());
        self.compare();
    }

    fn set_clock(&mut self) {
        let moment = self.bench.now() + SignedDuration::from_secs(self.random.below(36_000) as i64 - 18_000);
        self.steps.push(format!("the clock is set to {moment}"));
        self.bench.set_clock(moment);
        self.model.advance(moment, moment);
        self.compare();
    }

    fn restart(&mut self) {
        self.steps.push("an orderly restart".into());
        self.bench.restart();
        self.compare();
    }

    /// Saves the script again, sometimes with a mistake, while runs are queued; all runs complete.
    fn reload(&mut self) {
        let runs = self.runs();
        let text = if self.random.below(3) == 0 { "on_event(".to_owned() } else { format!("{ACTOR}// {}", self.edits) };
        self.edits += 1;
        self.steps.push(format!("a reload during {runs:?}"));
        let completed = self.start(&runs);
        self.bench.edit("actor", &text);
        self.bench.edit("listener", &format!("{LISTENER}// {}", self.edits));
        self.bench.until("all runs to complete", || completed.load(Ordering::SeqCst) == runs.len());
        let now = self.bench.now();
        for run in &runs {
            self.model.run(run, now);
        }
        self.compare();
        // Repairs a broken script, because a restart would run its last accepted version.
        if text == "on_event(" {
            self.bench.edit("actor", ACTOR);
        }
    }

    /// Cuts the power while runs are queued: completed runs are stored, and each later run is stored completely or not at all.
    fn cut_power(&mut self) {
        let runs = self.runs();
        let (minimum, seconds_off) = (self.random.below(runs.len() as u64 + 1) as usize, self.random.below(400));
        self.steps.push(format!("a power cut of {seconds_off} s during {runs:?}"));
        let before = self.bench.now();
        let completed = self.start(&runs);
        self.bench.until("some runs to complete", || completed.load(Ordering::SeqCst) >= minimum);
        let completed = completed.load(Ordering::SeqCst);
        self.bench.cut_power(seconds(seconds_off));
        if self.random.below(2) == 0 {
            self.steps.push("another power cut during the start".into());
            self.bench.cut_power(Duration::ZERO);
        }
        let now = self.bench.now();
        let mut candidates = vec![self.model.clone()];
        for run in &runs {
            let mut next = candidates.last().unwrap().clone();
            next.run(run, before);
            candidates.push(next);
        }
        candidates.drain(..completed);
        candidates.iter_mut().for_each(|candidate| candidate.advance(now, now));
        let found = self.stored();
        assert!(candidates.contains(&found), "{found:#?}\nis not one of\n{candidates:#?}");
        self.model = found;
    }

    /// Starts runs one after another in a task; returns the counter of completed runs.
    fn start(&self, runs: &[Vec<Action>]) -> Arc<AtomicUsize> {
        let (completed, payloads) =
            (Arc::<AtomicUsize>::default(), runs.iter().map(|run| payload(run)).collect::<Vec<_>>());
        let (count, runtime) = (Arc::clone(&completed), self.bench.runtime().clone());
        self.bench.spawn(async move {
            for data in payloads {
                runtime.fire("actor", Some("on_event act"), data).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        completed
    }

    fn compare(&self) {
        let found = self.stored();
        assert_eq!(found, self.model, "left: stored data, right: model");
    }

    /// Returns the stored data, once no run is active.
    fn stored(&self) -> Model {
        self.bench.advance(Duration::ZERO);
        let store = &self.bench.services().store;
        store.flush();
        let number = |data: &Map, key: &str| match data[key] {
            Value::Int(number) => number,
            _ => panic!("{data:?}"),
        };
        let timer = |timer: rhaid::services::store::Timer| match &timer.data {
            Value::Map(data) => (timer.name.clone(), (timer.due, number(data, "again"), number(data, "left"))),
            other => panic!("{other:?}"),
        };
        Model {
            state: store.values("script:actor").unwrap(),
            shared: store.values("shared:house").unwrap(),
            timers: store.timers().unwrap().into_iter().map(timer).collect(),
            received: store.values("script:listener").unwrap(),
        }
    }

    fn runs(&mut self) -> Vec<Vec<Action>> {
        (0..=self.random.below(6)).map(|_| self.actions()).collect()
    }

    fn actions(&mut self) -> Vec<Action> {
        (0..=self.random.below(4)).map(|_| self.action()).collect()
    }

    fn action(&mut self) -> Action {
        let key = ["k", "l", "m", "n"][self.random.below(4) as usize];
        let name = ["a", "b", "c"][self.random.below(3) as usize];
        let number = self.random.below(100) as i64;
        match self.random.below(16) {
            0 | 1 => Action::Set(key, Value::Int(number)),
            2 => Action::Set(key, Value::List(vec![Value::Int(number), "x".into()])),
            3..6 => Action::Add(key, number - 50),
            6 => Action::Remove(key),
            7 => Action::Share(key, number),
            8..11 => Action::Start(name, number + 1, self.random.below(6) as i64 - 1),
            11 => Action::Cancel(name),
            12..15 => {
                self.emitted += 1;
                Action::Emit(format!("event {}", self.emitted))
            }
            _ => Action::Throw,
        }
    }
}

impl Drop for Walk {
    #[expect(clippy::print_stderr, reason = "the steps to reproduce the failure")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let last = self.steps.len().saturating_sub(12);
            eprintln!("step {}, after\n{}", self.steps.len(), self.steps[last..].join("\n"));
        }
    }
}

fn payload(actions: &[Action]) -> Value {
    let actions = actions.iter().map(Action::to_value).collect();
    Value::Map(Map::from([("data".into(), Value::List(actions))]))
}
