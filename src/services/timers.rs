//! Durable timers: `timer_start` sets them, `on_timer` handles them; they survive a restart.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::event::TimerKey;
use crate::services::clock::{ActivityGuard, Clock};
use crate::services::store::{Batch, Store, Timer};

/// Durable timers; cheap to clone.
#[derive(Clone)]
pub struct Timers {
    shared: Arc<Shared>,
    _task: Arc<DropGuard>,
}

struct Shared {
    store: Store,
    clock: Clock,
    queue: Mutex<TimerQueue>,
    /// Wakes the task when the nearest deadline may have changed.
    changed: Notify,
}

/// Owner and name.
type Key = (String, String);

#[derive(Default)]
struct TimerQueue {
    timers: HashMap<Key, TimerEntry>,
    /// Timers that have not expired, by deadline and sequence number.
    pending: BTreeMap<(Timestamp, u64), Key>,
    listeners: HashMap<Key, Vec<Weak<Wakeup>>>,
    /// Sequence number of the last timer that was set.
    sequence: u64,
    /// Keep a manual clock from advancing until the task has seen the changes.
    unseen: Vec<ActivityGuard>,
}

struct TimerEntry {
    timer: Timer,
    sequence: u64,
    /// Set when the timer has expired. The entry stays until the run that it triggered commits, or until it is acknowledged.
    expired: Option<Expired>,
}

#[derive(Default)]
struct Expired {
    /// Listeners that have not received the timer, each with the guard that keeps a manual clock from advancing until then.
    waiting: Vec<(Arc<Wakeup>, ActivityGuard)>,
    was_received: bool,
}

/// Wake-up of a listener.
#[derive(Default)]
struct Wakeup(Notify);

impl Timers {
    /// Loads the stored timers and starts the task that waits for the nearest deadline. Timers that are overdue expire at once.
    ///
    /// Must be called within a tokio runtime.
    pub fn start(store: Store, clock: Clock) -> Self {
        let stored = store.timers().unwrap_or_else(|error| {
            tracing::error!(why = %error, "the stored timers cannot be read: they do not expire");
            Vec::new()
        });
        let mut queue = TimerQueue::default();
        stored.into_iter().for_each(|timer| queue.set(timer));
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared { store, clock: clock.clone(), queue: Mutex::new(queue), changed: Notify::new() });
        let task = expire_timers(Arc::clone(&shared), clock.activity());
        tokio::spawn(stop.clone().run_until_cancelled_owned(task));
        Self { shared, _task: Arc::new(stop.drop_guard()) }
    }

    /// Registers a listener for the timers of an owner and a name, until it is dropped. It also receives a timer that expired while
    /// there was no listener.
    ///
    /// A received timer is deleted from the store when the run that it triggered commits ([`Batch::acknowledged_timers`]).
    /// A timer that is set again or cancelled before a listener has received it is not received.
    pub fn listen(&self, owner: &str, name: &str) -> TimerListener {
        let key = (owner.to_owned(), name.to_owned());
        let wakeup = Arc::<Wakeup>::default();
        let mut queue = self.shared.queue.lock();
        let listeners = queue.listeners.entry(key.clone()).or_default();
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(&wakeup));
        if let Some(expired) = queue.timers.get_mut(&key).and_then(|entry| entry.expired.as_mut())
            && expired.waiting.is_empty()
            && !expired.was_received
        {
            expired.waiting.push((Arc::clone(&wakeup), self.shared.clock.activity()));
        }
        drop(queue);
        TimerListener { shared: Arc::clone(&self.shared), key, wakeup, activity: None }
    }

    /// Returns a timer that is set and has not expired.
    pub fn find(&self, owner: &str, name: &str) -> Option<Timer> {
        let queue = self.shared.queue.lock();
        let entry = queue.timers.get(&(owner.to_owned(), name.to_owned()))?;
        entry.expired.is_none().then(|| entry.timer.clone())
    }

    /// Deletes a received timer if it still has this deadline, for events whose run does not commit. Returns before it is on disk.
    pub fn acknowledge(&self, key: &TimerKey) {
        let mut queue = self.shared.queue.lock();
        let name = (key.owner.clone(), key.name.clone());
        if queue.timers.get(&name).is_some_and(|entry| entry.timer.due == key.due) {
            queue.remove(&name);
            drop(queue);
            self.shared.store.acknowledge_timer(key);
        }
    }

    /// Applies the timer changes of a batch that the store has just committed.
    pub fn apply_commit(&self, batch: &Batch) {
        let acknowledged = batch.acknowledged_timers.iter().map(|key| (key.owner.clone(), key.name.clone()));
        let removed: Vec<Key> = acknowledged.chain(batch.timers_cancelled.iter().cloned()).collect();
        if removed.is_empty() && batch.timers_set.is_empty() {
            return;
        }
        let mut queue = self.shared.queue.lock();
        // Two runs may arrive here in another order than that of their commits, so the state of the store decides.
        for key in removed {
            if let Ok(None) = self.shared.store.timer(&key.0, &key.1) {
                queue.remove(&key);
            }
        }
        for set in &batch.timers_set {
            match self.shared.store.timer(&set.owner, &set.name) {
                Ok(Some(timer)) => queue.set(timer),
                Ok(None) => queue.remove(&(set.owner.clone(), set.name.clone())),
                Err(_) => queue.set(set.clone()),
            }
        }
        queue.unseen.push(self.shared.clock.activity());
        drop(queue);
        self.shared.changed.notify_one();
    }
}

impl TimerQueue {
    /// Sets a timer in the place of the one of its name.
    fn set(&mut self, timer: Timer) {
        let key = (timer.owner.clone(), timer.name.clone());
        self.remove(&key);
        self.sequence += 1;
        self.pending.insert((timer.due, self.sequence), key.clone());
        self.timers.insert(key, TimerEntry { timer, sequence: self.sequence, expired: None });
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.timers.remove(key) {
            self.pending.remove(&(entry.timer.due, entry.sequence));
        }
    }

    /// Expires all timers that are due; returns the next deadline.
    fn expire(&mut self, clock: &Clock) -> Option<Timestamp> {
        let now = clock.now();
        while let Some(first) = self.pending.first_entry() {
            if first.key().0 > now {
                return Some(first.key().0);
            }
            let key = first.remove();
            let listeners = self.listeners.get(&key).into_iter().flatten().filter_map(Weak::upgrade);
            let waiting: Vec<_> = listeners.map(|listener| (listener, clock.activity())).collect();
            waiting.iter().for_each(|(listener, _)| listener.0.notify_one());
            if let Some(entry) = self.timers.get_mut(&key) {
                entry.expired = Some(Expired { waiting, was_received: false });
            }
        }
        None
    }
}

async fn expire_timers(shared: Arc<Shared>, mut activity: ActivityGuard) {
    loop {
        let (next, unseen) = {
            let mut queue = shared.queue.lock();
            (queue.expire(&shared.clock), std::mem::take(&mut queue.unseen))
        };
        drop(unseen);
        match next {
            Some(due) => tokio::select! {
                _ = activity.sleep(&shared.clock, due) => {}
                () = shared.changed.notified() => {}
            },
            None => activity.idle(shared.changed.notified()).await,
        }
    }
}

/// Receiver of one owner's timers of one name.
pub struct TimerListener {
    shared: Arc<Shared>,
    key: Key,
    wakeup: Arc<Wakeup>,
    activity: Option<ActivityGuard>,
}

impl TimerListener {
    /// Waits until the timer expires; never returns `None`. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Timer> {
        self.activity = None;
        loop {
            if let Some((timer, activity)) = self.receive() {
                self.activity = Some(activity);
                return Some(timer);
            }
            self.wakeup.0.notified().await;
        }
    }

    fn receive(&self) -> Option<(Timer, ActivityGuard)> {
        let mut queue = self.shared.queue.lock();
        let entry = queue.timers.get_mut(&self.key)?;
        let expired = entry.expired.as_mut()?;
        let own = expired.waiting.iter().position(|(listener, _)| Arc::ptr_eq(listener, &self.wakeup))?;
        expired.was_received = true;
        Some((entry.timer.clone(), expired.waiting.swap_remove(own).1))
    }

    /// Withdraws from an expired timer that this listener has not received.
    fn withdraw(&self) -> Option<ActivityGuard> {
        let mut queue = self.shared.queue.lock();
        let expired = queue.timers.get_mut(&self.key)?.expired.as_mut()?;
        let own = expired.waiting.iter().position(|(listener, _)| Arc::ptr_eq(listener, &self.wakeup))?;
        Some(expired.waiting.swap_remove(own).1)
    }
}

impl Drop for TimerListener {
    fn drop(&mut self) {
        // A timer that it has not received stays for the next listener.
        drop(self.withdraw());
        let mut queue = self.shared.queue.lock();
        if let Some(listeners) = queue.listeners.get_mut(&self.key) {
            listeners.retain(|listener| !std::ptr::eq(listener.as_ptr(), Arc::as_ptr(&self.wakeup)));
            if listeners.is_empty() {
                queue.listeners.remove(&self.key);
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
    use crate::value::Value;

    struct Bench {
        runtime: Runtime,
        store: Store,
        clock: Clock,
        timers: Timers,
        received: Arc<Mutex<Vec<String>>>,
    }

    impl Bench {
        fn new() -> Self {
            Self::with(Store::in_memory().unwrap())
        }

        fn with(store: Store) -> Self {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
            let clock = Clock::manual("2026-01-01T00:00:00Z[UTC]".parse().unwrap());
            let timers = runtime.block_on(async { Timers::start(store.clone(), clock.clone()) });
            Self { runtime, store, clock, timers, received: Arc::default() }
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

        /// Starts a task that lists the timers it receives, and when, until the returned guard is dropped.
        fn listen(&self, name: &str) -> DropGuard {
            let mut listener = self.timers.listen("a", name);
            let (mut activity, clock, received) =
                (self.clock.activity(), self.clock.clone(), Arc::clone(&self.received));
            let stop = CancellationToken::new();
            self.runtime.spawn(stop.clone().run_until_cancelled_owned(async move {
                while let Some(timer) = activity.idle(listener.recv()).await {
                    tokio::task::yield_now().await;
                    let at = clock.now_zoned().strftime("%M:%S").to_string();
                    received.lock().push(format!("{} {} {at}", timer.name, timer.data.to_json()));
                }
            }));
            stop.drop_guard()
        }

        fn pass(&self, seconds: u64) -> Vec<String> {
            self.clock.advance(Duration::from_secs(seconds));
            std::mem::take(&mut *self.received.lock())
        }
    }

    #[test]
    fn timers_expire_at_their_deadline_in_order() {
        let bench = Bench::new();
        let _listeners = (bench.listen("x"), bench.listen("y"));
        bench.set("y", 70);
        bench.set("x", 10);
        assert_eq!(bench.timers.find("a", "x").unwrap(), bench.timer("x", 10));
        assert_eq!(bench.pass(60), ["x 10 00:10"]);
        assert_eq!(bench.timers.find("a", "x"), None);
        assert_eq!(bench.pass(60), ["y 70 01:10"]);
    }

    #[test]
    fn setting_again_replaces_and_cancelling_removes() {
        let bench = Bench::new();
        let _listeners = (bench.listen("x"), bench.listen("y"));
        bench.set("x", 10);
        bench.set("y", 10);
        assert_eq!(bench.pass(5), [] as [&str; 0]);
        bench.set("x", 20);
        bench.cancel("y");
        assert_eq!(bench.pass(60), ["x 20 00:25"]);
        assert_eq!(bench.timers.find("a", "y"), None);
    }

    #[test]
    fn an_expired_timer_without_a_listener_waits_for_one() {
        let bench = Bench::new();
        bench.set("x", 10);
        assert_eq!(bench.pass(60), [] as [&str; 0]);
        let _listener = bench.listen("x");
        assert_eq!(bench.pass(1), ["x 10 01:00"]);
        let _next = bench.listen("x");
        assert_eq!(bench.pass(1), [] as [&str; 0]);
    }

    #[test]
    fn an_expired_timer_without_a_listener_can_be_cancelled_or_set_again() {
        let bench = Bench::new();
        bench.set("x", 10);
        bench.set("y", 10);
        bench.pass(60);
        bench.cancel("x");
        bench.set("y", 30);
        let _listeners = (bench.listen("x"), bench.listen("y"));
        assert_eq!(bench.pass(60), ["y 30 01:30"]);
    }

    #[test]
    fn a_timer_that_became_due_while_rhaid_was_down_expires_at_once() {
        let store = Store::in_memory().unwrap();
        let before = Bench::with(store.clone());
        before.set("x", -100);
        before.set("y", 5);
        let late = before.timer("x", -100);
        drop(before);
        let bench = Bench::with(store);
        let _listeners = (bench.listen("x"), bench.listen("y"));
        assert_eq!(bench.pass(0), ["x -100 00:00"]);
        assert_eq!(bench.pass(10), ["y 5 00:05"]);
        assert_eq!(bench.store.timer("a", "x").unwrap(), Some(late));
    }

    #[test]
    fn a_received_timer_stays_stored_until_its_run_commits_or_it_is_acknowledged() {
        let bench = Bench::new();
        let _listeners = (bench.listen("x"), bench.listen("y"));
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
    fn setting_the_clock_neither_loses_nor_repeats_a_timer() {
        let bench = Bench::new();
        let _listeners = (bench.listen("x"), bench.listen("y"));
        let start = bench.clock.now();
        let set = |hours: i64, minutes: i64| {
            bench.clock.set(start + SignedDuration::from_mins(hours * 60 + minutes));
            std::mem::take(&mut *bench.received.lock())
        };
        bench.set("x", 600);
        bench.set("y", 2 * 3_600);
        assert_eq!(set(1, 0), ["x 600 00:00"], "set forward: a timer that became due meanwhile expires at once");
        assert_eq!(set(-5, 0), [] as [&str; 0], "set back: an expired timer does not expire again");
        assert_eq!(set(0, 30), [] as [&str; 0]);
        assert_eq!(set(1, 59), [] as [&str; 0]);
        assert_eq!(bench.pass(60), ["y 7200 00:00"], "set back and forth: a timer that had not expired does so once");
        assert_eq!(bench.pass(3 * 3_600), [] as [&str; 0]);
        assert_eq!(set(-9, 0), [] as [&str; 0]);
    }

    #[test]
    fn a_hundred_thousand_timers_wait_in_one_task_without_polling() {
        let bench = Bench::new();
        let before = bench.runtime.metrics().num_alive_tasks();
        let timers_set = (0..100_000).map(|n| bench.timer(&format!("t{n}"), 3_600 + n)).collect();
        bench.commit(&Batch { timers_set, ..Batch::default() });
        let _listener = bench.listen("t0");
        assert_eq!(bench.runtime.metrics().num_alive_tasks(), before + 1, "the task of the listener");
        // Half an hour in which no timer is due: a task that polled would wake up.
        let wakeups = || bench.runtime.metrics().worker_park_count(0);
        bench.pass(1);
        let so_far = wakeups();
        assert_eq!(bench.pass(1_800), [] as [&str; 0]);
        assert!(wakeups() - so_far < 50, "{} wake-ups", wakeups() - so_far);
        assert_eq!(bench.pass(1_800), ["t0 3600 00:00"]);
    }

    #[test]
    fn a_hundred_thousand_timers_expire() {
        let bench = Bench::new();
        let timers_set = (0..100_000).map(|n| bench.timer(&format!("t{n}"), 10 + n % 50)).collect();
        bench.commit(&Batch { timers_set, ..Batch::default() });
        let _listener = bench.listen("t49999");
        assert_eq!(bench.pass(58), [] as [&str; 0]);
        assert_eq!(bench.pass(1), ["t49999 59 00:59"]);
        assert_eq!(bench.timers.find("a", "t0"), None);
    }
}
