//! Named events between scripts: what `emit` says and `on_event` hears.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;

use crate::services::clock::{ActivityGuard, Clock};
#[cfg(test)]
use crate::services::store::Batch;
use crate::services::store::Store;
use crate::value::Value;

/// So many events wait for one listener.
const MAX_WAITING: usize = 256;
/// So long is waited for a listener whose events pile up; then it misses one. It may be the teller's own script that does not listen.
const PATIENCE: Duration = Duration::from_secs(2);

/// What one script told all others.
#[derive(Debug, Clone)]
pub struct Emitted {
    /// The event's name.
    pub name: String,
    /// What comes with it.
    pub data: Value,
    /// The script that told it.
    pub from: String,
    /// How many hands this has gone through: 1 for a run that was woken by something else than an `emit`.
    pub hops: u32,
}

/// An emitted event for one who is to hear it.
#[derive(Debug, Clone, PartialEq)]
pub struct EventDelivery {
    /// Tells it from all others that the store keeps, in the order in which they were told; 0: it is not kept.
    pub number: u64,
    /// The script that is to hear it.
    pub listener: String,
    /// Which of that script's listeners.
    pub place: u32,
    /// The event's name.
    pub name: String,
    /// What comes with it.
    pub data: Value,
    /// The script that told it.
    pub from: String,
    /// How many hands this has gone through.
    pub hops: u32,
}

/// Named events between scripts; cheap to clone.
#[derive(Clone, Default)]
pub struct EventBus {
    clock: Option<Clock>,
    store: Option<Store>,
    hall: Arc<Mutex<Listeners>>,
}

/// Who listens, and what an earlier process has left for them.
#[derive(Default)]
struct Listeners {
    ears: HashMap<String, Vec<Ear>>,
    left: Vec<EventDelivery>,
}

struct Ear {
    owner: String,
    place: u32,
    inbox: mpsc::Sender<Envelope>,
}

/// An event, and what keeps a hand-turned clock from moving on before it is heard.
type Envelope = (EventDelivery, Option<ActivityGuard>);

impl EventBus {
    /// Makes a bus whose events count as going on, for a hand-turned clock, until their listener asks for the next.
    pub fn new(clock: Clock) -> Self {
        Self { clock: Some(clock), ..Self::default() }
    }

    /// Makes a bus like [`EventBus::new`] whose events are kept in the store: those of an earlier process that had no effect are heard first.
    pub fn with_store(clock: Clock, store: &Store) -> Self {
        let left = store.event_deliveries().unwrap_or_else(|error| {
            tracing::error!(why = %error, "the events that were emitted before can not be read: they are not heard");
            Vec::new()
        });
        Self {
            store: Some(store.clone()),
            hall: Arc::new(Mutex::new(Listeners { left, ..Listeners::default() })),
            ..Self::new(clock)
        }
    }

    /// Hears every event of a name from now on, and those that were left for this listener of its script; ends when it is dropped.
    pub fn listen(&self, owner: &str, name: &str) -> EventListener {
        let (inbox, parcels) = mpsc::channel(MAX_WAITING);
        let mut hall = self.hall();
        hall.ears.retain(|_, ears| {
            ears.retain(|ear| !ear.inbox.is_closed());
            !ears.is_empty()
        });
        let ears = hall.ears.entry(name.to_owned()).or_default();
        let is_taken = |place: &u32| ears.iter().any(|ear| ear.owner == owner && ear.place == *place);
        let place = (0..).find(|place| !is_taken(place)).unwrap_or_default();
        ears.push(Ear { owner: owner.to_owned(), place, inbox });
        let is_ours = |told: &mut EventDelivery| told.listener == owner && told.place == place && told.name == name;
        let left = hall.left.extract_if(.., is_ours).map(|told| (told, self.activity())).collect();
        EventListener { left, inbox: parcels, activity: None }
    }

    /// Finds who is to hear these events.
    pub fn route(&self, emitted: Vec<Emitted>) -> Vec<EventDelivery> {
        let hall = self.hall();
        let mut told = Vec::new();
        for event in emitted {
            let ears = hall.ears.get(&event.name).into_iter().flatten().filter(|ear| !ear.inbox.is_closed());
            told.extend(ears.map(|ear| EventDelivery {
                number: self.store.as_ref().map_or(0, Store::next_event_number),
                listener: ear.owner.clone(),
                place: ear.place,
                name: event.name.clone(),
                data: event.data.clone(),
                from: event.from.clone(),
                hops: event.hops,
            }));
        }
        told
    }

    /// Tells each its event, in order; returns the numbers of those that were not heard.
    ///
    /// Waits for a listener whose channel is full, but no longer than two seconds: then it misses all of these, and a warning says so.
    pub async fn deliver(&self, told: Vec<EventDelivery>) -> Vec<u64> {
        let mut lines: Vec<(Option<mpsc::Sender<Envelope>>, Vec<EventDelivery>)> = Vec::new();
        for told in told {
            let is_same = |(_, line): &&mut (_, Vec<EventDelivery>)| {
                let first = line.first();
                first.is_some_and(|first| {
                    (&first.listener, first.place, &first.name) == (&told.listener, told.place, &told.name)
                })
            };
            match lines.iter_mut().find(is_same) {
                Some((_, line)) => line.push(told),
                None => lines.push((self.ear(&told), vec![told])),
            }
        }
        join_all(lines.into_iter().map(|(ear, line)| self.tell_one(ear, line))).await.concat()
    }

    async fn tell_one(&self, ear: Option<mpsc::Sender<Envelope>>, line: Vec<EventDelivery>) -> Vec<u64> {
        let Some(ear) = ear else { return line.iter().map(|told| told.number).collect() };
        let (mut missed, until) = (Vec::new(), Instant::now() + PATIENCE);
        for told in line {
            let number = told.number;
            let (name, from) = (told.name.clone(), told.from.clone());
            let patience = until.saturating_duration_since(Instant::now());
            let heard = ear.send_timeout((told, self.activity()), patience).await;
            if let Err(SendTimeoutError::Timeout((told, _))) = &heard
                && missed.is_empty()
            {
                let by = &told.listener;
                tracing::warn!(event = name, from, by, "an event was not heard: its listener has too many waiting");
            }
            missed.extend(heard.is_err().then_some(number));
        }
        missed
    }

    fn ear(&self, told: &EventDelivery) -> Option<mpsc::Sender<Envelope>> {
        let hall = self.hall();
        let mut ears = hall.ears.get(&told.name)?.iter();
        ears.find(|ear| ear.owner == told.listener && ear.place == told.place).map(|ear| ear.inbox.clone())
    }

    fn activity(&self) -> Option<ActivityGuard> {
        self.clock.as_ref().map(Clock::activity)
    }

    fn hall(&self) -> MutexGuard<'_, Listeners> {
        self.hall.lock()
    }
}

/// Hears the events of one name, in the order in which they were told.
pub struct EventListener {
    /// What was told before it listened.
    left: VecDeque<Envelope>,
    inbox: mpsc::Receiver<Envelope>,
    activity: Option<ActivityGuard>,
}

impl EventListener {
    /// Waits for the next event; `None` if the bus is gone. Cancel-safe.
    pub async fn recv(&mut self) -> Option<EventDelivery> {
        self.activity = None;
        let (told, activity) = match self.left.pop_front() {
            Some(parcel) => parcel,
            None => self.inbox.recv().await?,
        };
        self.activity = activity;
        Some(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emitted(name: &str, number: i64) -> Emitted {
        Emitted { name: name.into(), data: Value::Int(number), from: "a".into(), hops: 1 }
    }

    /// Tells all who listen; returns how many heard it.
    async fn tell(bus: &EventBus, name: &str, number: i64) -> usize {
        let told = bus.route(vec![emitted(name, number)]);
        let count = told.len();
        count - bus.deliver(told).await.len()
    }

    #[tokio::test]
    async fn every_listener_of_the_name_hears_it_in_order() {
        let bus = EventBus::default();
        let (mut one, mut two, mut other) = (bus.listen("a", "x"), bus.listen("a", "x"), bus.listen("b", "y"));
        assert_eq!(tell(&bus, "x", 1).await, 2);
        assert_eq!(tell(&bus, "x", 2).await, 2);
        assert_eq!(tell(&bus, "nobody", 3).await, 0);
        for listener in [&mut one, &mut two] {
            assert_eq!(listener.recv().await.unwrap().data, Value::Int(1));
            assert_eq!(listener.recv().await.unwrap().data, Value::Int(2));
        }
        drop(one);
        assert_eq!(tell(&bus, "x", 4).await, 1);
        assert_eq!(tell(&bus, "y", 5).await, 1);
        assert_eq!(other.recv().await.unwrap().data, Value::Int(5));
    }

    #[tokio::test]
    async fn a_listener_that_does_not_listen_holds_nobody_up_for_long() {
        let bus = EventBus::default();
        let mut lazy = bus.listen("lazy", "x");
        for number in 0..256 {
            assert_eq!(tell(&bus, "x", number).await, 1);
        }
        let mut keen = bus.listen("keen", "x");
        let told = tokio::time::timeout(Duration::from_secs(20), tell(&bus, "x", 256)).await.unwrap();
        assert_eq!(told, 1);
        assert_eq!(keen.recv().await.unwrap().data, Value::Int(256));
        for number in 0..256 {
            assert_eq!(lazy.recv().await.unwrap().data, Value::Int(number));
        }
        assert_eq!(tell(&bus, "x", 257).await, 2);
        assert_eq!(lazy.recv().await.unwrap().data, Value::Int(257));
    }

    #[tokio::test]
    async fn what_was_told_and_had_no_effect_is_heard_by_the_same_listener_of_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let bus = |store: &Store| EventBus::with_store(Clock::system(jiff::tz::TimeZone::UTC), store);
        let store = Store::open(folder.path()).unwrap();
        let first = bus(&store);
        let (_a, _b, _again) = (first.listen("a", "x"), first.listen("b", "x"), first.listen("a", "x"));
        let told = first.route(vec![emitted("x", 1), emitted("x", 2)]);
        assert_eq!(told.len(), 6);
        store.commit(&Batch { event_deliveries: told.clone(), ..Batch::default() }).unwrap();
        // One has its effect together with a commit, one without.
        store.commit(&Batch { acknowledged_events: vec![told[0].number], ..Batch::default() }).unwrap();
        store.acknowledge_event(told[1].number);
        store.flush();
        drop((first, store));
        let store = Store::open(folder.path()).unwrap();
        let second = bus(&store);
        let mut a = second.listen("a", "x");
        assert_eq!(a.recv().await.unwrap().data, Value::Int(2));
        let mut b = second.listen("b", "x");
        assert_eq!(b.recv().await.unwrap().data, Value::Int(2));
        let mut again = second.listen("a", "x");
        assert_eq!(again.recv().await.unwrap().data, Value::Int(1));
        assert_eq!(again.recv().await.unwrap().data, Value::Int(2));
        let next = second.route(vec![emitted("x", 3)]);
        assert!(next[0].number > told[5].number);
        second.deliver(next).await;
        assert_eq!(a.recv().await.unwrap().data, Value::Int(3));
    }

    #[test]
    fn a_hand_turned_clock_stands_until_an_event_was_seen_to() {
        let clock = Clock::manual("2026-01-01T00:00:00Z[UTC]".parse().unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let bus = EventBus::new(clock.clone());
        let (mut listener, seen) = (bus.listen("a", "x"), Arc::new(Mutex::new(Vec::new())));
        let (mut activity, record, watch) = (clock.activity(), Arc::clone(&seen), clock.clone());
        runtime.spawn(async move {
            while activity.idle(listener.recv()).await.is_some() {
                tokio::task::yield_now().await;
                record.lock().push(watch.now());
            }
        });
        let start = clock.now();
        runtime.block_on(tell(&bus, "x", 1));
        clock.advance(Duration::from_secs(60));
        assert_eq!(*seen.lock(), [start]);
    }
}
