//! Published messages whose acknowledgement is pending.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rhai::plugin::*;

use crate::functions::arguments::duration;
use crate::functions::context::Context;
use crate::functions::mqtt::errors::mqtt_error;
use crate::functions::phase::context;
use crate::functions::thrown::{Thrown, thrown};
use crate::functions::wait::SharedTimeout;
use crate::services::mqtt::{Delivery, DurablePublish, Error};
use crate::units::show_duration;

/// Default timeout of `mqtt_receive`, `mqtt_request` and of waiting for an acknowledgement.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn register(module: &mut Module) {
    module.set_custom_type::<Sent>("Sent");
    combine_with_exported_module!(module, "sent", functions);
}

/// Handle of messages that were published together with `wait: false`.
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

    /// Waits until the broker has acknowledged all messages.
    fn wait(&self, limit: Duration, context: &Context) -> Result<(), Thrown> {
        let timeout = context.shared_timeout(limit);
        // Taken out of the mutex, so that no lock is held while waiting.
        let mut messages = std::mem::take(&mut *self.0.lock());
        let waited = messages.iter_mut().try_for_each(|message| message.wait_for_broker(timeout, limit, context));
        self.0.lock().extend(messages);
        waited
    }
}

/// A published message whose acknowledgement is pending.
#[derive(Debug)]
pub(super) struct PendingPublish {
    topic: String,
    waits_for: WaitsFor,
    acknowledgement: Acknowledgement,
}

/// Event for which the publishing call waits.
#[derive(Debug)]
enum WaitsFor {
    /// The acknowledgement of the broker.
    Broker,
    /// The write to disk.
    Disk(Delivery),
    /// None: the end of the run waits for the disk.
    Nothing,
}

/// Acknowledgement of the broker.
#[derive(Debug)]
enum Acknowledgement {
    Pending(Delivery),
    Received(Result<(), Error>),
}

impl PendingPublish {
    /// Returns a message that is lost if the process ends.
    pub(super) fn in_memory(topic: String, delivery: Delivery) -> Self {
        Self { topic, waits_for: WaitsFor::Broker, acknowledgement: Acknowledgement::Pending(delivery) }
    }

    /// Returns a message that the end of the run waits for.
    pub(super) fn tracked(topic: String, delivery: Delivery) -> Self {
        Self { topic, waits_for: WaitsFor::Nothing, acknowledgement: Acknowledgement::Pending(delivery) }
    }

    /// Returns a message that is written to disk, and sent after a restart if necessary.
    pub(super) fn durable(topic: String, publish: DurablePublish) -> Self {
        let acknowledgement = Acknowledgement::Pending(publish.acknowledged);
        Self { topic, waits_for: WaitsFor::Disk(publish.stored), acknowledgement }
    }

    /// Waits for the broker, or for the write to disk of a durable message, unless the end of the run waits for it.
    pub(super) fn wait(&mut self, timeout: SharedTimeout, limit: Duration, context: &Context) -> Result<(), Thrown> {
        let mut disk = match std::mem::replace(&mut self.waits_for, WaitsFor::Nothing) {
            WaitsFor::Broker => return self.wait_for_broker(timeout, limit, context),
            WaitsFor::Disk(disk) => disk,
            WaitsFor::Nothing => return Ok(()),
        };
        if let Some(written) = disk.result() {
            return written.map_err(|error| mqtt_error(&error));
        }
        context.services.mqtt.flush_now();
        match context.wait_for(context.remaining(timeout), &mut disk)? {
            Some(written) => written.map_err(|error| mqtt_error(&error)),
            None => Err(self.timeout_error("disk", limit)),
        }
    }

    fn wait_for_broker(&mut self, timeout: SharedTimeout, limit: Duration, context: &Context) -> Result<(), Thrown> {
        let result = match &mut self.acknowledgement {
            Acknowledgement::Received(result) => result.clone(),
            Acknowledgement::Pending(delivery) => match context.wait_for(context.remaining(timeout), delivery)? {
                Some(result) => result,
                None => return Err(self.timeout_error("broker", limit)),
            },
        };
        self.acknowledgement = Acknowledgement::Received(result.clone());
        result.map_err(|error| mqtt_error(&error))
    }

    fn is_confirmed(&mut self) -> bool {
        if let Acknowledgement::Pending(delivery) = &mut self.acknowledgement
            && let Some(result) = delivery.result()
        {
            self.acknowledgement = Acknowledgement::Received(result);
        }
        matches!(self.acknowledgement, Acknowledgement::Received(Ok(())))
    }

    fn timeout_error(&self, party: &str, limit: Duration) -> Thrown {
        let (topic, waited) = (&self.topic, show_duration(limit));
        let why =
            format!("the {party} did not acknowledge the message to {topic} within {waited}; it stays in the outbox");
        thrown("timeout", why)
    }
}

#[export_module]
#[expect(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "`export_module` requires public functions, and unwraps receivers after checking them"
)]
mod functions {
    /// Returns whether the broker has acknowledged the messages that `mqtt_publish` sent with `wait: false`. At QoS 0: whether they are
    /// written to the connection.
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

    /// Waits until the broker has acknowledged the messages that `mqtt_publish` sent with `wait: false`, for at most 10 seconds. Throws
    /// `timeout` if it does not, and `refused` if it rejects a message.
    ///
    /// # Example
    /// ```rhai
    /// let sent = mqtt_publish("house/report", "long", #{ qos: 1, wait: false });
    /// // Do other work meanwhile.
    /// sent.wait();
    /// ```
    #[rhai_fn(name = "wait", pure, return_raw)]
    pub fn wait_default(sent: &mut Sent) -> Result<(), Thrown> {
        sent.wait(DEFAULT_TIMEOUT, &*context("wait")?)
    }

    /// With `limit`, waits for at most this duration.
    ///
    /// # Example
    /// ```rhai
    /// let all = mqtt_publish([["house/a", 1], ["house/b", 2]], #{ qos: 1, wait: false });
    /// all.wait("1m");
    /// ```
    #[rhai_fn(name = "wait", pure, return_raw)]
    pub fn wait(sent: &mut Sent, limit: Dynamic) -> Result<(), Thrown> {
        sent.wait(duration(&limit)?, &*context("wait")?)
    }

    /// Returns `<Sent: confirmed>` or `<Sent: pending>`.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(sent: &mut Sent) -> ImmutableString {
        if sent.is_confirmed() { "<Sent: confirmed>".into() } else { "<Sent: pending>".into() }
    }
}
