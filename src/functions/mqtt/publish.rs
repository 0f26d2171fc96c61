//! Messages that a script publishes.

use std::time::Duration;

use bytes::Bytes;
use rhai::Dynamic;

use crate::config::Need;
use crate::effect::MessageDetails;
use crate::functions::arguments::{bytes, to_bytes, value};
use crate::functions::context::Context;
use crate::functions::effects::DryRun;
use crate::functions::mqtt::errors::mqtt_error;
use crate::functions::mqtt::sent::{DEFAULT_TIMEOUT, PendingPublish, Sent};
use crate::functions::thrown::{Thrown, denied, invalid_argument, with_prefix};
use crate::options::{OptionFault, Options};
use crate::services::mqtt::{Properties, Publish, StoreTracker};
use crate::topic::check_topic;
use crate::value::{Map, Value};

/// The largest number of topics of one call in the run history.
const NAMED: usize = 5;
/// The largest number of messages of one call.
const MAX_MESSAGES: usize = 10_000;

/// A message with the options that a script wrote.
pub(super) struct Publication {
    pub(super) publish: Publish,
    wait: Option<bool>,
    pub(super) timeout: Duration,
}

impl Publication {
    pub(super) fn read(topic: &str, payload: &Dynamic, options: &mut Options) -> Result<Self, Thrown> {
        check_topic(topic).map_err(invalid_argument)?;
        let payload = to_bytes(payload)?.into();
        Self::from_options(topic.to_owned(), payload, options).map_err(invalid_argument)
    }

    fn from_options(topic: String, payload: Bytes, options: &mut Options) -> Result<Self, OptionFault> {
        let qos = options.int("qos", 0..=2)?.unwrap_or(0) as u8;
        let retain = options.bool("retain")?.unwrap_or(false);
        let wait = options.bool("wait")?;
        let broker = options.text("broker")?;
        let timeout = options.duration("timeout")?.unwrap_or(DEFAULT_TIMEOUT);
        // The rarest ones last: once all that are written are taken, the others cost nothing.
        let properties = properties(options)?;
        Ok(Self { publish: Publish { topic, payload, qos, retain, broker, properties }, wait, timeout })
    }

    /// Reads one message of an array: a map with `topic`, `payload` and options, or a list of topic, payload, QoS and `retain`.
    fn of_several(written: &Dynamic, common: &Map) -> Result<Self, Thrown> {
        let wrong = || {
            invalid_argument(
                "write a message as #{ topic: \"door\", payload: \"open\", qos: 1 } or as [\"door\", \"open\", 1, true]",
            )
        };
        let mut map = common.clone();
        match value(written)? {
            Value::Map(own) => map.extend(own),
            Value::List(own) if own.len() <= 4 => {
                map.extend(["topic", "payload", "qos", "retain"].map(str::to_owned).into_iter().zip(own));
            }
            _ => return Err(wrong()),
        }
        let mut options = Options::new(map);
        let topic = options.text("topic").map_err(invalid_argument)?.ok_or_else(wrong)?;
        check_topic(&topic).map_err(invalid_argument)?;
        let payload = bytes(options.take("payload").unwrap_or(Value::Null)).into();
        let publication = Self::from_options(topic, payload, &mut options).map_err(invalid_argument)?;
        options.finish().map_err(invalid_argument)?;
        Ok(publication)
    }

    /// Checks the permission to publish.
    pub(super) fn check(&self, context: &Context) -> Result<(), Thrown> {
        let need = Need::Publish(&self.publish.topic);
        context.config.permissions.check(&context.script, need).map_err(|error| denied(&error))
    }

    /// Returns a summary for the run history.
    pub(super) fn summary(&self) -> MessageDetails {
        let Publish { topic, payload, qos, retain, broker, .. } = &self.publish;
        MessageDetails::new(topic.clone(), payload, *qos, *retain, broker.clone())
    }

    /// Publishes the message; with `wait: false` returns a [`Sent`] handle.
    pub(super) fn publish(self, function: &'static str, context: &Context) -> Result<Dynamic, Thrown> {
        self.check(context)?;
        let returns_handle = self.returns_handle();
        let sent = context.perform(function, self.summary(), DryRun::Return(Vec::new()), |_| self.send(context))?;
        Ok(if returns_handle { Dynamic::from(Sent::new(sent)) } else { Dynamic::UNIT })
    }

    fn returns_handle(&self) -> bool {
        self.wait == Some(false)
    }

    /// Enqueues the message and waits for its acknowledgement or the disk, as the options require. Returns the message unless nothing is to
    /// be learnt about it any more.
    pub(super) fn send(self, context: &Context) -> Result<Vec<PendingPublish>, Thrown> {
        let limit = self.timeout;
        let mut messages: Vec<_> = self.enqueue(context)?.into_iter().collect();
        wait_for_all(&mut messages, limit, context)?;
        Ok(messages)
    }

    /// Enqueues the message in the outbox. Returns it if this call or the script waits for it.
    fn enqueue(self, context: &Context) -> Result<Option<PendingPublish>, Thrown> {
        let wants_delivery = self.returns_handle();
        let Self { publish, wait, .. } = self;
        let mqtt = &context.services.mqtt;
        let wait = wait.unwrap_or_else(|| publish.qos > 0 && mqtt.is_connected(publish.broker.as_deref()));
        let tracker = context.pending_writes.as_ref().filter(|_| !wait);
        let enqueued = if let Some(tracker) = tracker {
            let topic = if wants_delivery { publish.topic.clone() } else { String::new() };
            let tracker = tracker.get_or_init(StoreTracker::default);
            let enqueued = context.wait(mqtt.publish_tracked(publish, tracker, wants_delivery))?;
            enqueued.map(|delivery| delivery.map(|delivery| PendingPublish::tracked(topic, delivery)))
        } else if wait {
            let topic = publish.topic.clone();
            context.wait(mqtt.send(publish))?.map(|delivery| Some(PendingPublish::in_memory(topic, delivery)))
        } else {
            let topic = publish.topic.clone();
            context.wait(mqtt.publish_durable(publish))?.map(|publish| Some(PendingPublish::durable(topic, publish)))
        };
        enqueued.map_err(|error| mqtt_error(&error))
    }
}

/// Waits for the acknowledgements or the disk, as the messages require, for at most `limit` together.
fn wait_for_all(messages: &mut [PendingPublish], limit: Duration, context: &Context) -> Result<(), Thrown> {
    if messages.is_empty() {
        return Ok(());
    }
    let timeout = context.shared_timeout(limit);
    messages.iter_mut().try_for_each(|message| message.wait(timeout, limit, context))
}

/// Publishes several messages in order, then waits for all of them together.
pub(super) fn publish_all(context: &Context, messages: &[Dynamic], common: Options) -> Result<Dynamic, Thrown> {
    if messages.len() > MAX_MESSAGES {
        return Err(invalid_argument(format!("write at most {MAX_MESSAGES} messages per call")));
    }
    let common = common.remaining();
    let read = |(index, message): (usize, &Dynamic)| {
        Publication::of_several(message, &common)
            .and_then(|publication| publication.check(context).map(|()| publication))
            .map_err(|error| with_prefix(&format!("message {}", index + 1), error))
    };
    let all = messages.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    let named: Vec<_> = all.iter().take(NAMED).map(|publication| publication.publish.topic.as_str()).collect();
    let more = if all.len() > NAMED { ", …" } else { "" };
    let shown = format!("{} messages: {}{more}", all.len(), named.join(", "));
    let returns_handle = all.iter().any(Publication::returns_handle);
    let sent = context.perform("mqtt_publish", shown, DryRun::Return(Vec::new()), |_| {
        let limit = all.iter().map(|publication| publication.timeout).max().unwrap_or(DEFAULT_TIMEOUT);
        let enqueued = all.into_iter().map(|publication| publication.enqueue(context).transpose());
        let mut messages = enqueued.flatten().collect::<Result<Vec<_>, _>>()?;
        wait_for_all(&mut messages, limit, context)?;
        Ok(messages)
    })?;
    Ok(if returns_handle { Dynamic::from(Sent::new(sent)) } else { Dynamic::UNIT })
}

/// Reads the options for MQTT 5 properties.
fn properties(options: &mut Options) -> Result<Option<Box<Properties>>, OptionFault> {
    let properties = Properties {
        content_type: options.text("content_type")?,
        response_topic: options.read("response_topic", |value| {
            crate::options::text(value).and_then(|text| check_topic(&text).map(|()| text))
        })?,
        correlation_data: options.take("correlation_data").map(|value| bytes(value).into()),
        message_expiry: options.read("message_expiry", |value| {
            let expiry = crate::options::duration(&value)?;
            u32::try_from(expiry.as_secs()).map_err(|_| "write a shorter duration".to_owned())
        })?,
        user: options.read("user_properties", user_properties)?.unwrap_or_default(),
    };
    Ok((properties != Properties::default()).then(|| Box::new(properties)))
}

/// Reads a map of texts; a list of texts repeats the name.
fn user_properties(value: Value) -> Result<Vec<(String, String)>, String> {
    let wrong = || "write a map of texts, such as #{ unit: \"celsius\" }".to_owned();
    let Value::Map(map) = value else { return Err(wrong()) };
    let mut all = Vec::new();
    for (name, value) in map {
        let values = if let Value::List(several) = value { several } else { vec![value] };
        for value in values {
            let text = match value {
                Value::Map(_) | Value::List(_) | Value::Bytes(_) => return Err(wrong()),
                other => String::from_utf8_lossy(&bytes(other)).into_owned(),
            };
            all.push((name.clone(), text));
        }
    }
    Ok(all)
}
