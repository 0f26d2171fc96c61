//! Event bus: delivers what scripts `emit` to the `on_event` triggers of others.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;

use crate::services::clock::{ActivityGuard, Clock};
use crate::services::store::{Emitted, EventDelivery, Store};

/// Capacity of a listener's queue.
const QUEUE_CAPACITY: usize = 256;
/// How long a delivery blocks on a full queue before it is dropped. The queue may belong to the emitting script itself, whose handler
/// then cannot drain it.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);

/// Event bus; cheap to clone.
#[derive(Clone, Default)]
pub struct EventBus {
    clock: Option<Clock>,
    store: Option<Store>,
    listeners: Arc<Mutex<Listeners>>,
}

/// Registered listeners, and stored deliveries of an earlier process.
#[derive(Default)]
struct Listeners {
    /// Listeners by name of the event.
    by_name: HashMap<String, Vec<Listener>>,
    stored: Vec<EventDelivery>,
}

struct Listener {
    owner: String,
    /// Index among the owner's listeners of the same event; with owner and name it identifies the listener across restarts.
    index: u32,
    queue: mpsc::Sender<Envelope>,
}

/// Delivery with the guard that keeps a manual clock from advancing before it is handled.
type Envelope = (EventDelivery, Option<ActivityGuard>);

impl EventBus {
    /// Creates a bus whose deliveries count as activity, for a manual clock, until their listener requests the next one.
    pub fn new(clock: Clock) -> Self {
        Self { clock: Some(clock), ..Self::default() }
    }

    /// Creates a bus like [`EventBus::new`] whose deliveries are stored. Listeners receive stored deliveries of an earlier process
    /// first.
    pub fn with_store(clock: Clock, store: &Store) -> Self {
        let stored = store.event_deliveries().unwrap_or_else(|error| {
            tracing::error!(why = %error, "the stored events cannot be read: they are not delivered");
            Vec::new()
        });
        Self {
            store: Some(store.clone()),
            listeners: Arc::new(Mutex::new(Listeners { stored, ..Listeners::default() })),
            ..Self::new(clock)
        }
    }

    /// Registers a listener for the events of a name, until it is dropped. It receives its stored deliveries first.
    pub fn listen(&self, owner: &str, name: &str) -> EventListener {
        let (queue, receiver) = mpsc::channel(QUEUE_CAPACITY);
        let mut listeners = self.listeners();
        listeners.by_name.retain(|_, listeners| {
            listeners.retain(|listener| !listener.queue.is_closed());
            !listeners.is_empty()
        });
        let others = listeners.by_name.entry(name.to_owned()).or_default();
        let is_taken = |index: &u32| others.iter().any(|other| other.owner == owner && other.index == *index);
        let index = (0..).find(|index| !is_taken(index)).unwrap_or_default();
        others.push(Listener { owner: owner.to_owned(), index, queue });
        let is_own = |delivery: &mut EventDelivery| {
            delivery.listener == owner && delivery.listener_index == index && delivery.name == name
        };
        let stored = listeners.stored.extract_if(.., is_own).map(|delivery| (delivery, self.activity())).collect();
        EventListener { stored, queue: receiver, activity: None }
    }

    /// Returns a delivery for each listener of each event, in order.
    pub fn route(&self, emitted: Vec<Emitted>) -> Vec<EventDelivery> {
        let listeners = self.listeners();
        let mut deliveries = Vec::new();
        for event in emitted {
            let by_name = listeners.by_name.get(&event.name).into_iter().flatten();
            let open = by_name.filter(|listener| !listener.queue.is_closed());
            deliveries.extend(open.map(|listener| EventDelivery {
                number: self.store.as_ref().map_or(0, Store::next_event_number),
                listener: listener.owner.clone(),
                listener_index: listener.index,
                name: event.name.clone(),
                data: event.data.clone(),
                from: event.from.clone(),
                hops: event.hops,
            }));
        }
        deliveries
    }

    /// Enqueues deliveries, in order for each listener; returns the numbers of those that were dropped.
    ///
    /// Waits for listeners whose queue is full, all together at most two seconds. After that their remaining deliveries are dropped,
    /// and a warning is logged.
    pub async fn deliver(&self, deliveries: Vec<EventDelivery>) -> Vec<u64> {
        let mut groups: Vec<(Option<mpsc::Sender<Envelope>>, Vec<EventDelivery>)> = Vec::new();
        for delivery in deliveries {
            let is_same = |(_, group): &&mut (_, Vec<EventDelivery>)| {
                let first = group.first();
                first.is_some_and(|first| {
                    (&first.listener, first.listener_index, &first.name)
                        == (&delivery.listener, delivery.listener_index, &delivery.name)
                })
            };
            match groups.iter_mut().find(is_same) {
                Some((_, group)) => group.push(delivery),
                None => groups.push((self.queue_of(&delivery), vec![delivery])),
            }
        }
        join_all(groups.into_iter().map(|(queue, group)| self.deliver_group(queue, group))).await.concat()
    }

    /// Enqueues deliveries for one listener; returns the numbers of those that were dropped.
    async fn deliver_group(&self, queue: Option<mpsc::Sender<Envelope>>, group: Vec<EventDelivery>) -> Vec<u64> {
        let Some(queue) = queue else { return group.iter().map(|delivery| delivery.number).collect() };
        let (mut dropped, deadline) = (Vec::new(), Instant::now() + SEND_TIMEOUT);
        for delivery in group {
            let number = delivery.number;
            let (name, from) = (delivery.name.clone(), delivery.from.clone());
            let timeout = deadline.saturating_duration_since(Instant::now());
            let sent = queue.send_timeout((delivery, self.activity()), timeout).await;
            if let Err(SendTimeoutError::Timeout((delivery, _))) = &sent
                && dropped.is_empty()
            {
                let by = &delivery.listener;
                tracing::warn!(event = name, from, by, "an event was dropped: the queue of its listener is full");
            }
            dropped.extend(sent.is_err().then_some(number));
        }
        dropped
    }

    fn queue_of(&self, delivery: &EventDelivery) -> Option<mpsc::Sender<Envelope>> {
        let listeners = self.listeners();
        let mut by_name = listeners.by_name.get(&delivery.name)?.iter();
        by_name
            .find(|listener| listener.owner == delivery.listener && listener.index == delivery.listener_index)
            .map(|listener| listener.queue.clone())
    }

    fn activity(&self) -> Option<ActivityGuard> {
        self.clock.as_ref().map(Clock::activity)
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock()
    }
}

/// Receiver of the events of one name, in the order of their emission.
pub struct EventListener {
    /// Deliveries of an earlier process.
    stored: VecDeque<Envelope>,
    queue: mpsc::Receiver<Envelope>,
    activity: Option<ActivityGuard>,
}

impl EventListener {
    /// Waits for the next event; `None` if the bus was dropped. Cancel-safe.
    pub async fn recv(&mut self) -> Option<EventDelivery> {
        self.activity = None;
        let (delivery, activity) = match self.stored.pop_front() {
            Some(envelope) => envelope,
            None => self.queue.recv().await?,
        };
        self.activity = activity;
        Some(delivery)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::store::Batch;
    use crate::value::Value;

    fn emitted(name: &str, number: i64) -> Emitted {
        Emitted { name: name.into(), data: Value::Int(number), from: "a".into(), hops: 1 }
    }

    /// Emits an event; returns the number of listeners that received it.
    async fn emit(bus: &EventBus, name: &str, number: i64) -> usize {
        let deliveries = bus.route(vec![emitted(name, number)]);
        let count = deliveries.len();
        count - bus.deliver(deliveries).await.len()
    }

    #[tokio::test]
    async fn every_listener_of_a_name_receives_its_events_in_order() {
        let bus = EventBus::default();
        let (mut one, mut two, mut other) = (bus.listen("a", "x"), bus.listen("a", "x"), bus.listen("b", "y"));
        assert_eq!(emit(&bus, "x", 1).await, 2);
        assert_eq!(emit(&bus, "x", 2).await, 2);
        assert_eq!(emit(&bus, "unknown", 3).await, 0);
        for listener in [&mut one, &mut two] {
            assert_eq!(listener.recv().await.unwrap().data, Value::Int(1));
            assert_eq!(listener.recv().await.unwrap().data, Value::Int(2));
        }
        drop(one);
        assert_eq!(emit(&bus, "x", 4).await, 1);
        assert_eq!(emit(&bus, "y", 5).await, 1);
        assert_eq!(other.recv().await.unwrap().data, Value::Int(5));
    }

    #[tokio::test]
    async fn a_listener_with_a_full_queue_does_not_block_the_others_for_long() {
        let bus = EventBus::default();
        let mut slow = bus.listen("slow", "x");
        for number in 0..256 {
            assert_eq!(emit(&bus, "x", number).await, 1);
        }
        let mut quick = bus.listen("quick", "x");
        let received = tokio::time::timeout(Duration::from_secs(20), emit(&bus, "x", 256)).await.unwrap();
        assert_eq!(received, 1);
        assert_eq!(quick.recv().await.unwrap().data, Value::Int(256));
        for number in 0..256 {
            assert_eq!(slow.recv().await.unwrap().data, Value::Int(number));
        }
        assert_eq!(emit(&bus, "x", 257).await, 2);
        assert_eq!(slow.recv().await.unwrap().data, Value::Int(257));
    }

    #[tokio::test]
    async fn stored_deliveries_that_were_not_acknowledged_reach_the_same_listener_of_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let bus = |store: &Store| EventBus::with_store(Clock::system(jiff::tz::TimeZone::UTC), store);
        let store = Store::open(folder.path()).unwrap();
        let first = bus(&store);
        let (_a, _b, _again) = (first.listen("a", "x"), first.listen("b", "x"), first.listen("a", "x"));
        let deliveries = first.route(vec![emitted("x", 1), emitted("x", 2)]);
        assert_eq!(deliveries.len(), 6);
        store.commit(&Batch { event_deliveries: deliveries.clone(), ..Batch::default() }).unwrap();
        // One is acknowledged by a commit, one without.
        store.commit(&Batch { acknowledged_events: vec![deliveries[0].number], ..Batch::default() }).unwrap();
        store.acknowledge_event(deliveries[1].number);
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
        assert!(next[0].number > deliveries[5].number);
        second.deliver(next).await;
        assert_eq!(a.recv().await.unwrap().data, Value::Int(3));
    }

    #[test]
    fn a_manual_clock_stands_still_until_an_event_was_handled() {
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
        runtime.block_on(emit(&bus, "x", 1));
        clock.advance(Duration::from_secs(60));
        assert_eq!(*seen.lock(), [start]);
    }
}
