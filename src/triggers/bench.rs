//! Test bench for triggers: a manual clock, and an inbox that collects the events.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::event::Event;
use crate::options::OptionFault;
use crate::run::Outcome;
use crate::services::Services;
use crate::services::clock::Clock;
use crate::services::store::Store;
use crate::triggers::{self, EventSender, Inbox, KINDS, TriggerContext, TriggerEvent, TriggerId, TriggerSpec, Watch};
use crate::value::{Map, Value};

/// Manual clock, and an inbox that collects the events.
pub(super) struct Bench {
    pub(super) runtime: Runtime,
    pub(super) services: Services,
    pub(super) trigger_context: TriggerContext,
    received: Arc<Mutex<Vec<Event>>>,
    inbox: mpsc::Sender<TriggerEvent>,
}

impl Inbox for mpsc::Sender<TriggerEvent> {
    fn put_all(&self, events: Vec<TriggerEvent>) {
        for trigger_event in events {
            // An error means that the test has ended.
            let _ = self.try_send(trigger_event);
        }
    }
}

/// Simulated run: returns its duration and outcome.
pub(super) type Run = fn(&Event) -> (Duration, Outcome);

impl Bench {
    /// Starts at a time, with runs that succeed at once.
    pub(super) fn new(start: &str) -> Self {
        Self::with(start, |_| (Duration::ZERO, Outcome::Succeeded(Value::Null)), Store::in_memory().unwrap())
    }

    /// Starts with simulated runs, one after another.
    pub(super) fn with(start: &str, run: Run, store: Store) -> Self {
        let start: Zoned = start.parse().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let _inside = runtime.enter();
        let clock = Clock::manual(start.clone());
        let services = Services::builder(clock.clone(), store).build();
        let sources = services.clone();
        let (inbox, mut trigger_events) = mpsc::channel::<TriggerEvent>(1_024);
        let received = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&received);
        runtime.spawn(async move {
            while let Some(trigger_event) = trigger_events.recv().await {
                if trigger_event.skip.is_some() {
                    continue;
                }
                let (length, outcome) = run(&trigger_event.event);
                let delivery = trigger_event.event.delivery.clone();
                log.lock().push(trigger_event.event);
                if !length.is_zero() {
                    clock.sleep_until(clock.now() + length).await;
                }
                if let (Some(ack), Some(settlement)) = (&delivery.ack, delivery.settlement(&outcome, false)) {
                    sources.settle(ack, settlement);
                }
                if let Some(reply) = trigger_event.reply {
                    let _ = reply.send(outcome);
                }
            }
        });
        let trigger_context = TriggerContext {
            zone: start.time_zone().clone(),
            location: None,
            brokers: std::sync::Arc::default(),
            base: "/nowhere".into(),
        };
        Self { runtime, services, trigger_context, received, inbox }
    }

    /// Reads a trigger.
    pub(super) fn read(
        &self,
        kind: &str,
        argument: Value,
        options: &[(&str, Value)],
    ) -> Result<TriggerSpec, OptionFault> {
        let kind = KINDS.iter().find(|known| known.name == kind).unwrap();
        let options: Map = options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        triggers::read(kind, vec![argument], options, &self.trigger_context)
    }

    /// Starts the watch of a trigger of the script `door`.
    pub(super) fn watch(&self, kind: &str, argument: impl Into<Value>, options: &[(&str, Value)]) -> Watch {
        let spec = self.read(kind, argument.into(), options).unwrap_or_else(|fault| panic!("{fault}"));
        let _inside = self.runtime.enter();
        let sender =
            EventSender::new(TriggerId(1), "door".into(), Arc::new(self.inbox.clone()), self.services.clock.clone());
        spec.trigger.watch(sender, &self.services)
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.services.clock.advance(Duration::from_secs(seconds));
    }

    pub(super) fn set(&self, moment: &str) {
        let moment: Zoned = moment.parse().unwrap();
        self.services.clock.set(moment.timestamp());
    }

    pub(super) fn now(&self) -> Timestamp {
        self.services.clock.now()
    }

    pub(super) fn received(&self) -> MutexGuard<'_, Vec<Event>> {
        self.received.lock()
    }

    /// Takes the received ticks, each as `scheduled` (day and time), delay in seconds, and `missed`.
    pub(super) fn ticks(&self) -> Vec<String> {
        self.received().drain(..).map(|event| shown(&event)).collect()
    }
}

fn shown(event: &Event) -> String {
    let (Some(Value::Time(scheduled)), Some(Value::Time(now))) = (event.fact("scheduled"), event.fact("now")) else {
        panic!("{event:?} is not a tick");
    };
    let late = now.timestamp().duration_since(scheduled.timestamp()).as_secs_f64();
    let mut text = scheduled.strftime("%d %H:%M:%S").to_string();
    if late > 0.0 {
        text.push_str(&format!(" late {late}"));
    }
    match event.fact("missed") {
        Some(Value::Int(0)) => {}
        missed => text.push_str(&format!(" missed {}", missed.unwrap().to_json())),
    }
    text
}

/// Returns services with the system clock, and both ends of an inbox.
pub(super) fn real() -> (Services, mpsc::Sender<TriggerEvent>, mpsc::Receiver<TriggerEvent>) {
    let (inbox, trigger_events) = mpsc::channel(4_096);
    (Services::builder(Clock::system(TimeZone::UTC), Store::in_memory().unwrap()).build(), inbox, trigger_events)
}
