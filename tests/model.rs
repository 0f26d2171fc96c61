//! Random runs, power cuts, reloads and clocks that are set, held equal to a simple model after each step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rhaid::value::{Map, Value};

use crate::bench::{Bench, seconds};
use crate::seed::SeededRandom;

/// Does what it is told, and counts in the same run that it did.
const ACTOR: &str = r#"
fn act(deeds) {
    for deed in deeds {
        let key = deed[1];
        switch deed[0] {
            "set" => { state[key] = deed[2]; }
            "add" => { state.add(key, deed[2]); }
            "remove" => { state.remove(key); }
            "share" => { shared("house").add(key, deed[2]); }
            "start" => { timer_start(key, deed[2], #{ again: deed[2], left: deed[3] }); }
            "cancel" => { timer_cancel(key); }
            "emit" => { emit("told", deed[2]); }
            "throw" => { throw "on purpose"; }
        }
    }
    state.add("runs", 1);
}

fn ring(timer) {
    state.add(`${timer.name} rang`, 1);
    let left = timer.data.left;
    if left < 0 { throw "on purpose"; }
    if left > 0 { timer_start(timer.name, timer.data.again, #{ again: timer.data.again, left: left - 1 }); }
}

on_event("act", |event| act(event.data));
on_timer("a", |timer| ring(timer));
on_timer("b", |timer| ring(timer));
on_timer("c", |timer| ring(timer));
"#;

/// Counts how often it heard of each event.
const LISTENER: &str = r#"on_event("told", |event| state.add(event.data, 1));"#;

#[test]
fn random_runs_power_cuts_and_reloads_are_as_a_simple_model_says() {
    walk(250, SeededRandom::fixed());
}

/// The long form: `cargo test --test tests many_random_steps -- --ignored`, with another number in `RHAID_TEST_STEPS`.
#[test]
#[ignore = "takes minutes"]
fn many_random_steps_are_as_a_simple_model_says() {
    walk(std::env::var("RHAID_TEST_STEPS").map_or(5_000, |steps| steps.parse().unwrap()), SeededRandom::varied());
}

fn walk(steps: usize, random: SeededRandom) {
    let mut walk = Walk::new(random);
    for _ in 0..steps {
        walk.step();
    }
    assert!(walk.model.runs() > 0, "no run went well");
}

/// What a run is told to do.
#[derive(Debug, Clone)]
enum Action {
    Set(&'static str, Value),
    Add(&'static str, i64),
    Remove(&'static str),
    Share(&'static str, i64),
    /// Starts a timer that runs out after so many seconds, and so often again; fails instead if that is less than 0.
    Start(&'static str, i64, i64),
    Cancel(&'static str),
    Emit(String),
    Throw,
}

impl Action {
    fn written(&self) -> Value {
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

/// All that should be kept.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    state: BTreeMap<String, Value>,
    shared: BTreeMap<String, Value>,
    /// When each is due, how long it takes and how often it comes again.
    timers: BTreeMap<String, (Timestamp, i64, i64)>,
    /// How often each event was heard.
    heard: BTreeMap<String, Value>,
}

impl Model {
    /// Does all that a run is told, or nothing; returns whether it went well.
    fn run(&mut self, actions: &[Action], now: Timestamp) -> bool {
        let mut after = self.clone();
        let is_well = actions.iter().all(|action| after.act(action, now)) && add(&mut after.state, "runs", 1);
        if is_well {
            *self = after;
        }
        is_well
    }

    fn act(&mut self, action: &Action, now: Timestamp) -> bool {
        match action {
            Action::Set(key, value) => drop(self.state.insert((*key).into(), value.clone())),
            Action::Add(key, amount) => return add(&mut self.state, key, *amount),
            Action::Remove(key) => drop(self.state.remove(*key)),
            Action::Share(key, amount) => return add(&mut self.shared, key, *amount),
            Action::Start(key, after, left) => self.start(key, now, *after, *left),
            Action::Cancel(key) => drop(self.timers.remove(*key)),
            Action::Emit(id) => return add(&mut self.heard, id, 1),
            Action::Throw => return false,
        }
        true
    }

    fn start(&mut self, name: &str, now: Timestamp, after: i64, left: i64) {
        self.timers.insert(name.into(), (now + SignedDuration::from_secs(after), after, left));
    }

    /// Lets all timers run out that are due until a moment, each when it is due or, if that is gone by, at `now`.
    fn pass(&mut self, mut now: Timestamp, until: Timestamp) {
        while let Some(name) = self.timers.iter().min_by_key(|(_, timer)| timer.0).map(|(name, _)| name.clone()) {
            let (due, again, left) = self.timers[&name];
            if due > until {
                return;
            }
            now = now.max(due);
            self.timers.remove(&name);
            if left >= 0 {
                add(&mut self.state, &format!("{name} rang"), 1);
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

/// Adds to a number; returns whether it is one.
fn add(values: &mut BTreeMap<String, Value>, key: &str, amount: i64) -> bool {
    match values.entry(key.to_owned()).or_insert(Value::Int(0)) {
        Value::Int(number) => *number += amount,
        _ => return false,
    }
    true
}

/// rhaid and the model, side by side.
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
        let bench = Bench::new().config(limits).script("actor", ACTOR).script("ear", LISTENER).start();
        Self { bench, model: Model::default(), random, emitted: 0, edits: 0, steps: Vec::new() }
    }

    fn step(&mut self) {
        match self.random.below(40) {
            0..7 => self.pass(),
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
        let fired = self.bench.fire("actor", "on_event act", told(&actions));
        let is_well = self.model.run(&actions, self.bench.now());
        assert_eq!(fired.outcome, if is_well { "succeeded" } else { "failed" }, "{:?}", fired.why);
        self.compare();
    }

    fn pass(&mut self) {
        let (now, length) = (self.bench.now(), self.random.below(200));
        self.steps.push(format!("{length} s pass"));
        self.bench.pass(seconds(length));
        self.model.pass(now, self.bench.now());
        self.compare();
    }

    fn set_clock(&mut self) {
        let moment = self.bench.now() + SignedDuration::from_secs(self.random.below(36_000) as i64 - 18_000);
        self.steps.push(format!("the clock is set to {moment}"));
        self.bench.set_clock(moment);
        self.model.pass(moment, moment);
        self.compare();
    }

    fn restart(&mut self) {
        self.steps.push("an orderly restart".into());
        self.bench.restart();
        self.compare();
    }

    /// Saves the script again, now and then with a mistake, while runs wait; each run is done or not as it is answered.
    fn reload(&mut self) {
        let runs = self.runs();
        let text = if self.random.below(3) == 0 { "on_event(".to_owned() } else { format!("{ACTOR}// {}", self.edits) };
        self.edits += 1;
        self.steps.push(format!("a reload during {runs:?}"));
        let confirmed = self.start(&runs);
        self.bench.edit("actor", &text);
        self.bench.edit("ear", &format!("{LISTENER}// {}", self.edits));
        self.bench.until("all runs to be done", || confirmed.load(Ordering::SeqCst) == runs.len());
        let now = self.bench.now();
        for run in &runs {
            self.model.run(run, now);
        }
        self.compare();
        // A broken script that is not mended would be another one at the next start.
        if text == "on_event(" {
            self.bench.edit("actor", ACTOR);
        }
    }

    /// Lets the power go while runs wait: those that were confirmed are kept whole, and of the others one is, or is not.
    fn cut_power(&mut self) {
        let runs = self.runs();
        let (enough, away) = (self.random.below(runs.len() as u64 + 1) as usize, self.random.below(400));
        self.steps.push(format!("the power goes for {away} s during {runs:?}"));
        let before = self.bench.now();
        let confirmed = self.start(&runs);
        self.bench.until("some runs to be done", || confirmed.load(Ordering::SeqCst) >= enough);
        let confirmed = confirmed.load(Ordering::SeqCst);
        self.bench.cut_power(seconds(away));
        if self.random.below(2) == 0 {
            self.steps.push("and once more, while it starts".into());
            self.bench.cut_power(Duration::ZERO);
        }
        let now = self.bench.now();
        let mut candidates = vec![self.model.clone()];
        for run in &runs {
            let mut next = candidates.last().unwrap().clone();
            next.run(run, before);
            candidates.push(next);
        }
        candidates.drain(..confirmed);
        candidates.iter_mut().for_each(|candidate| candidate.pass(now, now));
        let found = self.look();
        assert!(candidates.contains(&found), "{found:#?}\nis none of\n{candidates:#?}");
        self.model = found;
    }

    /// Does runs one after another beside the test; returns how many were confirmed.
    fn start(&self, runs: &[Vec<Action>]) -> Arc<AtomicUsize> {
        let (confirmed, told) = (Arc::<AtomicUsize>::default(), runs.iter().map(|run| told(run)).collect::<Vec<_>>());
        let (count, runtime) = (Arc::clone(&confirmed), self.bench.runtime().clone());
        self.bench.beside(async move {
            for data in told {
                runtime.fire("actor", Some("on_event act"), data).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        confirmed
    }

    fn compare(&self) {
        let found = self.look();
        assert_eq!(found, self.model, "rhaid is on the left, the model on the right");
    }

    /// Returns what is kept, once nothing is going on.
    fn look(&self) -> Model {
        self.bench.pass(Duration::ZERO);
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
            heard: store.values("script:ear").unwrap(),
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
    #[expect(clippy::print_stderr, reason = "what a person repeats the failure with")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let last = self.steps.len().saturating_sub(12);
            eprintln!("step {}, after\n{}", self.steps.len(), self.steps[last..].join("\n"));
        }
    }
}

fn told(actions: &[Action]) -> Value {
    let actions = actions.iter().map(Action::written).collect();
    Value::Map(Map::from([("data".into(), Value::List(actions))]))
}
