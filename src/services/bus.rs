//! Named events between scripts: what `emit` says and `on_event` hears.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;

use crate::services::clock::{Busy, Clock};
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

/// Named events between scripts; cheap to clone.
#[derive(Clone, Default)]
pub struct Bus {
    clock: Option<Clock>,
    listeners: Arc<Mutex<HashMap<String, Vec<mpsc::Sender<Parcel>>>>>,
}

/// An event, and what keeps a hand-turned clock from moving on before it is heard.
type Parcel = (Emitted, Option<Busy>);

impl Bus {
    /// Makes a bus whose events count as going on, for a hand-turned clock, until their listener asks for the next.
    pub fn new(clock: Clock) -> Self {
        Self { clock: Some(clock), ..Self::default() }
    }

    /// Hears every event of a name from now on; ends when the listener is dropped.
    pub fn listen(&self, name: &str) -> Listener {
        let (listener, inbox) = mpsc::channel(MAX_WAITING);
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|_, known| {
            known.retain(|listener| !listener.is_closed());
            !known.is_empty()
        });
        listeners.entry(name.to_owned()).or_default().push(listener);
        Listener { inbox, busy: None }
    }

    /// Tells every listener; returns how many there were.
    ///
    /// Waits for a listener whose channel is full, but no longer than two seconds: then it misses this event, and a warning says so.
    pub async fn tell(&self, emitted: Emitted) -> usize {
        let told = join_all(self.listeners(&emitted.name).into_iter().map(|listener| {
            let parcel = (emitted.clone(), self.clock.as_ref().map(Clock::busy));
            async move { listener.send_timeout(parcel, PATIENCE).await }
        }))
        .await;
        let missed = told.iter().filter(|told| matches!(told, Err(SendTimeoutError::Timeout(_)))).count();
        if missed > 0 {
            let (event, from) = (emitted.name, emitted.from);
            tracing::warn!(event, from, missed, "an event was not heard by all: a listener has too many waiting");
        }
        told.iter().filter(|told| !matches!(told, Err(SendTimeoutError::Closed(_)))).count()
    }

    fn listeners(&self, name: &str) -> Vec<mpsc::Sender<Parcel>> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.get(name).cloned().unwrap_or_default()
    }
}

/// Hears the events of one name, in the order in which they were told.
pub struct Listener {
    inbox: mpsc::Receiver<Parcel>,
    busy: Option<Busy>,
}

impl Listener {
    /// Waits for the next event; `None` if the bus is gone. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Emitted> {
        self.busy = None;
        let (emitted, busy) = self.inbox.recv().await?;
        self.busy = busy;
        Some(emitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emitted(name: &str, number: i64) -> Emitted {
        Emitted { name: name.into(), data: Value::Int(number), from: "a".into(), hops: 1 }
    }

    #[tokio::test]
    async fn every_listener_of_the_name_hears_it_in_order() {
        let bus = Bus::default();
        let (mut one, mut two, mut other) = (bus.listen("x"), bus.listen("x"), bus.listen("y"));
        assert_eq!(bus.tell(emitted("x", 1)).await, 2);
        assert_eq!(bus.tell(emitted("x", 2)).await, 2);
        assert_eq!(bus.tell(emitted("nobody", 3)).await, 0);
        for listener in [&mut one, &mut two] {
            assert_eq!(listener.recv().await.unwrap().data, Value::Int(1));
            assert_eq!(listener.recv().await.unwrap().data, Value::Int(2));
        }
        drop(one);
        assert_eq!(bus.tell(emitted("x", 4)).await, 1);
        assert_eq!(bus.tell(emitted("y", 5)).await, 1);
        assert_eq!(other.recv().await.unwrap().data, Value::Int(5));
    }

    #[tokio::test]
    async fn a_listener_that_does_not_listen_holds_nobody_up_for_long() {
        let bus = Bus::default();
        let mut lazy = bus.listen("x");
        for number in 0..256 {
            bus.tell(emitted("x", number)).await;
        }
        let mut keen = bus.listen("x");
        let told = tokio::time::timeout(Duration::from_secs(20), bus.tell(emitted("x", 256))).await.unwrap();
        assert_eq!(told, 2);
        assert_eq!(keen.recv().await.unwrap().data, Value::Int(256));
        for number in 0..256 {
            assert_eq!(lazy.recv().await.unwrap().data, Value::Int(number));
        }
        bus.tell(emitted("x", 257)).await;
        assert_eq!(lazy.recv().await.unwrap().data, Value::Int(257));
    }

    #[test]
    fn a_hand_turned_clock_stands_until_an_event_was_seen_to() {
        let clock = Clock::by_hand("2026-01-01T00:00:00Z[UTC]".parse().unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let bus = Bus::new(clock.clone());
        let (mut listener, seen) = (bus.listen("x"), Arc::new(Mutex::new(Vec::new())));
        let (mut busy, record, watch) = (clock.busy(), Arc::clone(&seen), clock.clone());
        runtime.spawn(async move {
            while busy.idle(listener.recv()).await.is_some() {
                tokio::task::yield_now().await;
                record.lock().unwrap().push(watch.now());
            }
        });
        let start = clock.now();
        runtime.block_on(bus.tell(emitted("x", 1)));
        clock.advance(Duration::from_secs(60));
        assert_eq!(*seen.lock().unwrap(), [start]);
    }
}
