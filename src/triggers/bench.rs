//! A bench for triggers: a clock turned by hand, and an inbox that writes down what comes.

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

/// A clock turned by hand, and an inbox that writes down what comes.
pub(super) struct Bench {
    pub(super) runtime: Runtime,
    pub(super) services: Services,
    pub(super) trigger_context: TriggerContext,
    came: Arc<Mutex<Vec<Event>>>,
    inbox: mpsc::Sender<TriggerEvent>,
}

impl Inbox for mpsc::Sender<TriggerEvent> {
    fn put(&self, trigger_event: TriggerEvent) {
        // One that is closed belongs to a test that has ended.
        let _ = self.try_send(trigger_event);
    }
}

/// What a run does: how long it sleeps, and how it ends.
pub(super) type Run = fn(&Event) -> (Duration, Outcome);

impl Bench {
    /// Starts at a time, with runs that end at once and well.
    pub(super) fn new(start: &str) -> Self {
        Self::with(start, |_| (Duration::ZERO, Outcome::Succeeded(Value::Null)), Store::in_memory().unwrap())
    }

    /// Starts with runs that take their time, one after another.
    pub(super) fn with(start: &str, run: Run, store: Store) -> Self {
        let start: Zoned = start.parse().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let _inside = runtime.enter();
        let clock = Clock::manual(start.clone());
        let services = Services::builder(clock.clone(), store).build();
        let sources = services.clone();
        let (inbox, mut trigger_events) = mpsc::channel::<TriggerEvent>(1_024);
        let came = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&came);
        runtime.spawn(async move {
            while let Some(trigger_event) = trigger_events.recv().await {
                if trigger_event.skip.is_some() {
                    continue;
                }
                let (length, outcome) = run(&trigger_event.event);
                let ack = trigger_event.event.delivery.ack_after(&outcome, false).cloned();
                log.lock().push(trigger_event.event);
                if !length.is_zero() {
                    clock.sleep_until(clock.now() + length).await;
                }
                ack.iter().for_each(|ack| sources.acknowledge(ack));
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
        Self { runtime, services, trigger_context, came, inbox }
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

    /// Lets a trigger of the script `door` watch.
    pub(super) fn watch(&self, kind: &str, argument: impl Into<Value>, options: &[(&str, Value)]) -> Watch {
        let written = self.read(kind, argument.into(), options).unwrap_or_else(|fault| panic!("{fault}"));
        let _inside = self.runtime.enter();
        let fire =
            EventSender::new(TriggerId(1), "door".into(), Arc::new(self.inbox.clone()), self.services.clock.clone());
        written.trigger.watch(fire, &self.services)
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

    pub(super) fn came(&self) -> MutexGuard<'_, Vec<Event>> {
        self.came.lock()
    }

    /// Takes what came, each as `scheduled` (day and time), how late it came in seconds, and `missed`.
    pub(super) fn ticks(&self) -> Vec<String> {
        self.came().drain(..).map(|event| shown(&event)).collect()
    }
}

fn shown(event: &Event) -> String {
    let (Some(Value::Time(scheduled)), Some(Value::Time(now))) = (event.fact("scheduled"), event.fact("now")) else {
        panic!("{event:?} is no tick");
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

/// The services on the real clock, with a voice of which the inbox's other end is returned.
pub(super) fn real() -> (Services, mpsc::Sender<TriggerEvent>, mpsc::Receiver<TriggerEvent>) {
    let (inbox, trigger_events) = mpsc::channel(4_096);
    (Services::builder(Clock::system(TimeZone::UTC), Store::in_memory().unwrap()).build(), inbox, trigger_events)
}
