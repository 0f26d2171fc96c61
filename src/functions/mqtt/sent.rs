//! Messages that a script has handed over, and what the broker says to them.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rhai::plugin::*;

use super::{PATIENCE, failed};
use crate::functions::arguments::{invalid_argument, value};
use crate::functions::{Context, SharedTimeout, Thrown, context, thrown};
use crate::options::duration;
use crate::services::mqtt::{Delivery, DurablePublish, Error};
use crate::units::show_duration;

pub(super) fn register(module: &mut Module) {
    module.set_custom_type::<Sent>("Sent");
    combine_with_exported_module!(module, "sent", functions);
}

/// Messages that were published together; the script may ask what became of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent(Arc<Mutex<Vec<PendingPublish>>>);

impl Sent {
    pub(super) fn new(messages: Vec<PendingPublish>) -> Self {
        Self(Arc::new(Mutex::new(messages)))
    }

    fn is_confirmed(&self) -> bool {
        let mut messages = self.0.lock();
        messages.iter_mut().all(PendingPublish::is_confirmed)
    }

    /// Waits until the broker has confirmed all of them.
    fn wait(&self, limit: Duration, context: &Context) -> Result<(), Thrown> {
        let until = context.shared_timeout(limit);
        // No lock is held while it waits.
        let mut messages = std::mem::take(&mut *self.0.lock());
        let waited = messages.iter_mut().try_for_each(|message| message.confirmed(until, limit, context));
        self.0.lock().extend(messages);
        waited
    }
}

/// A message that was handed over.
#[derive(Debug)]
pub(super) struct PendingPublish {
    topic: String,
    disk: Option<Delivery>,
    broker: Answer,
}

/// What the broker says to a message.
#[derive(Debug)]
enum Answer {
    Open(Delivery),
    Given(Result<(), Error>),
}

impl PendingPublish {
    /// A message that goes out as long as this process lives.
    pub(super) fn sent(topic: String, delivery: Delivery) -> Self {
        Self { topic, disk: None, broker: Answer::Open(delivery) }
    }

    /// A message that goes out whatever happens.
    pub(super) fn entrusted(topic: String, entrusted: DurablePublish) -> Self {
        Self { topic, disk: Some(entrusted.stored), broker: Answer::Open(entrusted.acknowledged) }
    }

    /// Waits for what has to be waited for: the broker, or else the disk that keeps it until the broker has it, if that is not left to
    /// the end of the run.
    pub(super) fn settled(&mut self, until: SharedTimeout, limit: Duration, context: &Context) -> Result<(), Thrown> {
        let Some(mut disk) = self.disk.take() else { return self.confirmed(until, limit, context) };
        if let Some(kept) = disk.result() {
            return kept.map_err(|error| failed(&error));
        }
        if let Some(pending_writes) = &context.pending_writes {
            pending_writes.lock().push(disk);
            return Ok(());
        }
        context.services.mqtt.flush_now();
        match context.wait_for(context.left(until), &mut disk)? {
            Some(kept) => kept.map_err(|error| failed(&error)),
            None => Err(self.late("disk", limit)),
        }
    }

    fn confirmed(&mut self, until: SharedTimeout, limit: Duration, context: &Context) -> Result<(), Thrown> {
        let answer = match &mut self.broker {
            Answer::Given(answer) => answer.clone(),
            Answer::Open(delivery) => match context.wait_for(context.left(until), delivery)? {
                Some(answer) => answer,
                None => return Err(self.late("broker", limit)),
            },
        };
        self.broker = Answer::Given(answer.clone());
        answer.map_err(|error| failed(&error))
    }

    fn is_confirmed(&mut self) -> bool {
        if let Answer::Open(delivery) = &mut self.broker
            && let Some(answer) = delivery.result()
        {
            self.broker = Answer::Given(answer);
        }
        matches!(self.broker, Answer::Given(Ok(())))
    }

    fn late(&self, who: &str, limit: Duration) -> Thrown {
        let (topic, waited) = (&self.topic, show_duration(limit));
        let why = format!("the {who} has not confirmed the message to {topic} within {waited}; it stays on its way");
        thrown("timeout", why)
    }
}

#[export_module]
#[expect(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "the macro wants public functions, and unwraps receivers that it has checked"
)]
mod functions {
    /// Returns whether the broker has confirmed what `mqtt_publish` sent with `wait: false`; at QoS 0, whether it is written.
    ///
    /// # Example
    /// ```rhai
    /// let sent = mqtt_publish("house/report", "long", #{ qos: 1, wait: false });
    /// sent.wait("10s");
    /// assert(sent.is_confirmed());
    /// ```
    #[rhai_fn(name = "is_confirmed", pure)]
    pub fn is_confirmed(sent: &mut Sent) -> bool {
        sent.is_confirmed()
    }

    /// Waits until the broker has confirmed what `mqtt_publish` sent with `wait: false`, for at most 10 seconds. A fault (`timeout`) if it
    /// does not, and (`refused`) if it does not take it.
    ///
    /// # Example
    /// ```rhai
    /// let sent = mqtt_publish("house/report", "long", #{ qos: 1, wait: false });
    /// // Something else meanwhile.
    /// sent.wait();
    /// ```
    #[rhai_fn(name = "wait", pure, return_raw)]
    pub fn wait_a_while(sent: &mut Sent) -> Result<(), Thrown> {
        sent.wait(PATIENCE, &*context("wait")?)
    }

    /// Waits for at most a duration of your own.
    ///
    /// # Example
    /// ```rhai
    /// let all = mqtt_publish([["house/a", 1], ["house/b", 2]], #{ qos: 1, wait: false });
    /// all.wait("1m");
    /// ```
    #[rhai_fn(name = "wait", pure, return_raw)]
    pub fn wait(sent: &mut Sent, limit: Dynamic) -> Result<(), Thrown> {
        let limit = duration(&value(&limit)?).map_err(invalid_argument)?;
        sent.wait(limit, &*context("wait")?)
    }

    /// Shows it as `<Sent: confirmed>` or `<Sent: on its way>`.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(sent: &mut Sent) -> ImmutableString {
        if sent.is_confirmed() { "<Sent: confirmed>".into() } else { "<Sent: on its way>".into() }
    }
}
