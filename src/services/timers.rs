//! Timers that survive a restart: what `timer_start` sets and `on_timer` hears.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::event::TimerKey;
use crate::services::clock::{ActivityGuard, Clock};
use crate::services::store::{Batch, Store};
use crate::value::Value;

/// A timer; its owner (a script) and name tell it from all others.
#[derive(Debug, Clone, PartialEq)]
pub struct Timer {
    /// The script that set it.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// When it runs out.
    pub due: Timestamp,
    /// What comes with it.
    pub data: Value,
}

/// Timers that survive a restart; cheap to clone.
#[derive(Clone)]
pub struct Timers {
    shared: Arc<Shared>,
    _task: Arc<DropGuard>,
}

struct Shared {
    store: Store,
    clock: Clock,
    state: Mutex<State>,
    /// Wakes the task when the nearest deadline may have changed.
    stirred: Notify,
}

/// Owner and name.
type Key = (String, String);

#[derive(Default)]
struct State {
    timers: HashMap<Key, Entry>,
    /// Those that have not run out, by deadline.
    waiting: BTreeMap<(Timestamp, u64), Key>,
    listeners: HashMap<Key, Vec<Weak<Ear>>>,
    /// Tells one setting of a timer from the next.
    settings: u64,
    /// Holds a hand-turned clock until the task has seen what changed.
    news: Vec<ActivityGuard>,
}

struct Entry {
    timer: Timer,
    setting: u64,
    /// Once it has run out: who is to hear it.
    fired: Option<Fired>,
}

/// A timer that has run out stays until the run it woke commits, or it is settled.
#[derive(Default)]
struct Fired {
    /// Who has not heard it yet, and what holds a hand-turned clock until then.
    unheard: Vec<(Arc<Ear>, ActivityGuard)>,
    was_heard: bool,
}

/// What wakes a listener.
#[derive(Default)]
struct Ear(Notify);

impl Timers {
    /// Takes up the timers that the store kept, and waits for the nearest in a task of its own. One that came due meanwhile fires at once.
    ///
    /// Must be called within a tokio runtime.
    pub fn start(store: Store, clock: Clock) -> Self {
        let kept = store.timers().unwrap_or_else(|error| {
            tracing::error!(why = %error, "the stored timers can not be read: they do not run out");
            Vec::new()
        });
        let mut state = State::default();
        kept.into_iter().for_each(|timer| state.set(timer));
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared { store, clock: clock.clone(), state: Mutex::new(state), stirred: Notify::new() });
        let task = wait(Arc::clone(&shared), clock.activity());
        tokio::spawn(stop.clone().run_until_cancelled_owned(task));
        Self { shared, _task: Arc::new(stop.drop_guard()) }
    }

    /// Hears an owner's timers of a name from now on, also one that ran out while nobody listened; ends when the listener is dropped.
    ///
    /// A timer that was heard is forgotten by the store when the run it woke commits ([`Batch::acknowledged_timers`]).
    /// One that is set anew or cancelled before it was heard is not heard.
    pub fn listen(&self, owner: &str, name: &str) -> TimerListener {
        let key = (owner.to_owned(), name.to_owned());
        let ear = Arc::<Ear>::default();
        let mut state = self.shared.lock();
        let ears = state.listeners.entry(key.clone()).or_default();
        ears.retain(|ear| ear.strong_count() > 0);
        ears.push(Arc::downgrade(&ear));
        if let Some(fired) = state.timers.get_mut(&key).and_then(|entry| entry.fired.as_mut())
            && fired.unheard.is_empty()
            && !fired.was_heard
        {
            fired.unheard.push((Arc::clone(&ear), self.shared.clock.activity()));
        }
        drop(state);
        TimerListener { shared: Arc::clone(&self.shared), key, ear, activity: None }
    }

    /// Returns a timer that is set and has not run out.
    pub fn find(&self, owner: &str, name: &str) -> Option<Timer> {
        let state = self.shared.lock();
        let entry = state.timers.get(&(owner.to_owned(), name.to_owned()))?;
        entry.fired.is_none().then(|| entry.timer.clone())
    }

    /// Puts an end to a timer that was heard, if it is still set for that moment; for events that no run committed.
    ///
    /// Does not wait for the disk.
    pub fn acknowledge(&self, key: &TimerKey) {
        let mut state = self.shared.lock();
        let name = (key.owner.clone(), key.name.clone());
        if state.timers.get(&name).is_some_and(|entry| entry.timer.due == key.due) {
            state.remove(&name);
            drop(state);
            self.shared.store.acknowledge_timer(key);
        }
    }

    /// Takes notice of what a batch that the store has just committed did to timers.
    pub fn apply_commit(&self, batch: &Batch) {
        let done = batch.acknowledged_timers.iter().map(|key| (key.owner.clone(), key.name.clone()));
        let gone: Vec<Key> = done.chain(batch.timers_cancelled.iter().cloned()).collect();
        if gone.is_empty() && batch.timers_set.is_empty() {
            return;
        }
        let mut state = self.shared.lock();
        // Two runs may get here in another order than they were committed in: what the store says counts.
        for key in gone {
            if let Ok(None) = self.shared.store.timer(&key.0, &key.1) {
                state.remove(&key);
            }
        }
        for set in &batch.timers_set {
            match self.shared.store.timer(&set.owner, &set.name) {
                Ok(Some(timer)) => state.set(timer),
                Ok(None) => state.remove(&(set.owner.clone(), set.name.clone())),
                Err(_) => state.set(set.clone()),
            }
        }
        state.news.push(self.shared.clock.activity());
        drop(state);
        self.shared.stirred.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// Sets a timer in the place of the one of its name.
    fn set(&mut self, timer: Timer) {
        let key = (timer.owner.clone(), timer.name.clone());
        self.remove(&key);
        self.settings += 1;
        self.waiting.insert((timer.due, self.settings), key.clone());
        self.timers.insert(key, Entry { timer, setting: self.settings, fired: None });
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.timers.remove(key) {
            self.waiting.remove(&(entry.timer.due, entry.setting));
        }
    }

    /// Lets everything run out that is due; returns the next deadline.
    fn fire(&mut self, clock: &Clock) -> Option<Timestamp> {
        let now = clock.now();
        while let Some(first) = self.waiting.first_entry() {
            if first.key().0 > now {
                return Some(first.key().0);
            }
            let key = first.remove();
            let ears = self.listeners.get(&key).into_iter().flatten().filter_map(Weak::upgrade);
            let unheard: Vec<_> = ears.map(|ear| (ear, clock.activity())).collect();
            unheard.iter().for_each(|(ear, _)| ear.0.notify_one());
            if let Some(entry) = self.timers.get_mut(&key) {
                entry.fired = Some(Fired { unheard, was_heard: false });
            }
        }
        None
    }
}

async fn wait(shared: Arc<Shared>, mut activity: ActivityGuard) {
    loop {
        let (next, news) = {
            let mut state = shared.lock();
            (state.fire(&shared.clock), std::mem::take(&mut state.news))
        };
        drop(news);
        match next {
            Some(due) => tokio::select! {
                _ = activity.sleep(&shared.clock, due) => {}
                () = shared.stirred.notified() => {}
            },
            None => activity.idle(shared.stirred.notified()).await,
        }
    }
}

/// Hears one owner's timers of one name.
pub struct TimerListener {
    shared: Arc<Shared>,
    key: Key,
    ear: Arc<Ear>,
    activity: Option<ActivityGuard>,
}

impl TimerListener {
    /// Waits for the timer to run out; never `None` while the listener lives. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Timer> {
        self.activity = None;
        loop {
            if let Some((timer, activity)) = self.take() {
                self.activity = Some(activity);
                return Some(timer);
            }
            self.ear.0.notified().await;
        }
    }

    fn take(&self) -> Option<(Timer, ActivityGuard)> {
        let mut state = self.shared.lock();
        let entry = state.timers.get_mut(&self.key)?;
        let fired = entry.fired.as_mut()?;
        let mine = fired.unheard.iter().position(|(ear, _)| Arc::ptr_eq(ear, &self.ear))?;
        fired.was_heard = true;
        Some((entry.timer.clone(), fired.unheard.swap_remove(mine).1))
    }

    fn take_back(&self) -> Option<ActivityGuard> {
        let mut state = self.shared.lock();
        let fired = state.timers.get_mut(&self.key)?.fired.as_mut()?;
        let mine = fired.unheard.iter().position(|(ear, _)| Arc::ptr_eq(ear, &self.ear))?;
        Some(fired.unheard.swap_remove(mine).1)
    }
}

impl Drop for TimerListener {
    fn drop(&mut self) {
        // What it did not hear waits for the next who listens.
        drop(self.take_back());
        let mut state = self.shared.lock();
        if let Some(ears) = state.listeners.get_mut(&self.key) {
            ears.retain(|ear| !std::ptr::eq(ear.as_ptr(), Arc::as_ptr(&self.ear)));
            if ears.is_empty() {
                state.listeners.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::SignedDuration;
    use tokio::runtime::Runtime;

    use super::*;

    struct Bench {
        runtime: Runtime,
        store: Store,
        clock: Clock,
        timers: Timers,
        heard: Arc<Mutex<Vec<String>>>,
    }

    impl Bench {
        fn new() -> Self {
            Self::with(Store::in_memory().unwrap())
        }

        fn with(store: Store) -> Self {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
            let clock = Clock::manual("2026-01-01T00:00:00Z[UTC]".parse().unwrap());
            let timers = runtime.block_on(async { Timers::start(store.clone(), clock.clone()) });
            Self { runtime, store, clock, timers, heard: Arc::default() }
        }

        fn commit(&self, batch: &Batch) {
            self.store.commit(batch).unwrap();
            self.timers.apply_commit(batch);
        }

        fn set(&self, name: &str, seconds: i64) {
            self.commit(&Batch { timers_set: vec![self.timer(name, seconds)], ..Batch::default() });
        }

        fn cancel(&self, name: &str) {
            self.commit(&Batch { timers_cancelled: vec![("a".into(), name.into())], ..Batch::default() });
        }

        fn timer(&self, name: &str, seconds: i64) -> Timer {
            let due = self.clock.now() + SignedDuration::from_secs(seconds);
            Timer { owner: "a".into(), name: name.into(), due, data: Value::Int(seconds) }
        }

        /// Listens in a task that notes what it hears, and when, until the returned token is dropped.
        fn listen(&self, name: &str) -> DropGuard {
            let mut listener = self.timers.listen("a", name);
            let (mut activity, clock, heard) = (self.clock.activity(), self.clock.clone(), Arc::clone(&self.heard));
            let stop = CancellationToken::new();
            self.runtime.spawn(stop.clone().run_until_cancelled_owned(async move {
                while let Some(timer) = activity.idle(listener.recv()).await {
                    tokio::task::yield_now().await;
                    let at = clock.now_zoned().strftime("%M:%S").to_string();
                    heard.lock().push(format!("{} {} {at}", timer.name, timer.data.to_json()));
                }
            }));
            stop.drop_guard()
        }

        fn pass(&self, seconds: u64) -> Vec<String> {
            self.clock.advance(Duration::from_secs(seconds));
            std::mem::take(&mut *self.heard.lock())
        }
    }

    #[test]
    fn timers_run_out_at_their_moment_in_order() {
        let bench = Bench::new();
        let _ears = (bench.listen("x"), bench.listen("y"));
        bench.set("y", 70);
        bench.set("x", 10);
        assert_eq!(bench.timers.find("a", "x").unwrap(), bench.timer("x", 10));
        assert_eq!(bench.pass(60), ["x 10 00:10"]);
        assert_eq!(bench.timers.find("a", "x"), None);
        assert_eq!(bench.pass(60), ["y 70 01:10"]);
    }

    #[test]
    fn setting_anew_replaces_and_cancelling_removes() {
        let bench = Bench::new();
        let _ears = (bench.listen("x"), bench.listen("y"));
        bench.set("x", 10);
        bench.set("y", 10);
        assert_eq!(bench.pass(5), [] as [&str; 0]);
        bench.set("x", 20);
        bench.cancel("y");
        assert_eq!(bench.pass(60), ["x 20 00:25"]);
        assert_eq!(bench.timers.find("a", "y"), None);
    }

    #[test]
    fn one_that_ran_out_unheard_waits_for_a_listener() {
        let bench = Bench::new();
        bench.set("x", 10);
        assert_eq!(bench.pass(60), [] as [&str; 0]);
        let _ear = bench.listen("x");
        assert_eq!(bench.pass(1), ["x 10 01:00"]);
        let _next = bench.listen("x");
        assert_eq!(bench.pass(1), [] as [&str; 0]);
    }

    #[test]
    fn one_that_nobody_heard_can_still_be_cancelled_or_set_anew() {
        let bench = Bench::new();
        bench.set("x", 10);
        bench.set("y", 10);
        bench.pass(60);
        bench.cancel("x");
        bench.set("y", 30);
        let _ears = (bench.listen("x"), bench.listen("y"));
        assert_eq!(bench.pass(60), ["y 30 01:30"]);
    }

    #[test]
    fn one_that_came_due_while_rhaid_was_down_runs_out_at_once() {
        let store = Store::in_memory().unwrap();
        let before = Bench::with(store.clone());
        before.set("x", -100);
        before.set("y", 5);
        let late = before.timer("x", -100);
        drop(before);
        let bench = Bench::with(store);
        let _ears = (bench.listen("x"), bench.listen("y"));
        assert_eq!(bench.pass(0), ["x -100 00:00"]);
        assert_eq!(bench.pass(10), ["y 5 00:05"]);
        assert_eq!(bench.store.timer("a", "x").unwrap(), Some(late));
    }

    #[test]
    fn one_that_was_heard_stays_stored_until_its_run_commits_or_it_is_settled() {
        let bench = Bench::new();
        let _ears = (bench.listen("x"), bench.listen("y"));
        bench.set("x", 1);
        bench.set("y", 1);
        let key = |name: &str| TimerKey { owner: "a".into(), name: name.into(), due: bench.timer(name, 1).due };
        let (x, y) = (key("x"), key("y"));
        bench.pass(10);
        assert_eq!(bench.store.timers().unwrap().len(), 2);
        let again = vec![bench.timer("x", 7)];
        bench.commit(&Batch { acknowledged_timers: vec![x], timers_set: again, ..Batch::default() });
        bench.timers.acknowledge(&y);
        bench.store.flush();
        assert_eq!(bench.store.timers().unwrap(), [bench.timer("x", 7)]);
        assert_eq!(bench.pass(10), ["x 7 00:17"]);
    }

    #[test]
    fn a_clock_that_is_set_neither_loses_nor_doubles_a_timer() {
        let bench = Bench::new();
        let _ears = (bench.listen("x"), bench.listen("y"));
        let start = bench.clock.now();
        let set = |hours: i64, minutes: i64| {
            bench.clock.set(start + SignedDuration::from_mins(hours * 60 + minutes));
            std::mem::take(&mut *bench.heard.lock())
        };
        bench.set("x", 600);
        bench.set("y", 2 * 3_600);
        assert_eq!(set(1, 0), ["x 600 00:00"], "set forward: what came due meanwhile runs out at once");
        assert_eq!(set(-5, 0), [] as [&str; 0], "set back: what ran out does not again");
        assert_eq!(set(0, 30), [] as [&str; 0]);
        assert_eq!(set(1, 59), [] as [&str; 0]);
        assert_eq!(bench.pass(60), ["y 7200 00:00"], "set back and forth: what had not run out does, once");
        assert_eq!(bench.pass(3 * 3_600), [] as [&str; 0]);
        assert_eq!(set(-9, 0), [] as [&str; 0]);
    }

    #[test]
    fn a_hundred_thousand_timers_wait_in_one_task_that_sleeps() {
        let bench = Bench::new();
        let before = bench.runtime.metrics().num_alive_tasks();
        let timers_set = (0..100_000).map(|n| bench.timer(&format!("t{n}"), 3_600 + n)).collect();
        bench.commit(&Batch { timers_set, ..Batch::default() });
        let _ear = bench.listen("t0");
        assert_eq!(bench.runtime.metrics().num_alive_tasks(), before + 1, "the listener's");
        // Half an hour in which nothing is due: whoever counted down would be woken.
        let wakings = || bench.runtime.metrics().worker_park_count(0);
        bench.pass(1);
        let so_far = wakings();
        assert_eq!(bench.pass(1_800), [] as [&str; 0]);
        assert!(wakings() - so_far < 50, "{} wakings", wakings() - so_far);
        assert_eq!(bench.pass(1_800), ["t0 3600 00:00"]);
    }

    #[test]
    fn a_hundred_thousand_timers_run_out() {
        let bench = Bench::new();
        let timers_set = (0..100_000).map(|n| bench.timer(&format!("t{n}"), 10 + n % 50)).collect();
        bench.commit(&Batch { timers_set, ..Batch::default() });
        let _ear = bench.listen("t49999");
        assert_eq!(bench.pass(58), [] as [&str; 0]);
        assert_eq!(bench.pass(1), ["t49999 59 00:59"]);
        assert_eq!(bench.timers.find("a", "t0"), None);
    }
}
