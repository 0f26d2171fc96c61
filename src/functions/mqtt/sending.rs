//! Messages on their way out of a script.

use std::time::Duration;

use bytes::Bytes;
use rhai::Dynamic;

use super::sent::{PendingPublish, Sent};
use super::{PATIENCE, failed, for_broker};
use crate::config::Need;
use crate::functions::act::DryRun;
use crate::functions::arguments::{bytes, invalid_argument, value};
use crate::functions::{Context, Thrown, denied};
use crate::options::{OptionFault, Options};
use crate::services::mqtt::{Properties, Publish};
use crate::topic::check_topic;
use crate::value::{Map, Value};

/// How many characters of a payload the ledger keeps.
const SHOWN: usize = 200;
/// How many topics of one call the ledger names.
const NAMED: usize = 5;
/// How many messages one call publishes at most.
const MAX_MESSAGES: usize = 10_000;

/// A message as a script asked for it.
pub(super) struct Sending {
    pub(super) publish: Publish,
    wait: Option<bool>,
    pub(super) timeout: Duration,
}

impl Sending {
    pub(super) fn read(topic: &str, payload: &Dynamic, options: &mut Options) -> Result<Self, Thrown> {
        check_topic(topic).map_err(invalid_argument)?;
        let payload = bytes(value(payload)?).into();
        Self::with(topic.to_owned(), payload, options).map_err(invalid_argument)
    }

    fn with(topic: String, payload: Bytes, options: &mut Options) -> Result<Self, OptionFault> {
        let publish = Publish {
            topic,
            payload,
            qos: options.int("qos", 0..=2)?.unwrap_or(0) as u8,
            retain: options.bool("retain")?.unwrap_or(false),
            broker: options.text("broker")?,
            properties: properties(options)?,
        };
        let timeout = options.duration("timeout")?.unwrap_or(PATIENCE);
        Ok(Self { publish, wait: options.bool("wait")?, timeout })
    }

    /// Reads one of several messages: a map with `topic`, `payload` and options, or a list of topic, payload, QoS and `retain`.
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
        let sending = Self::with(topic, payload, &mut options).map_err(invalid_argument)?;
        options.finish().map_err(invalid_argument)?;
        Ok(sending)
    }

    /// Refuses what the script may not publish.
    pub(super) fn check(&self, context: &Context) -> Result<(), Thrown> {
        let need = Need::Publish(&self.publish.topic);
        context.config.permissions.check(&context.script, need).map_err(|no| denied(&no))
    }

    /// Returns what the ledger keeps of it.
    pub(super) fn shown(&self) -> String {
        let Publish { topic, payload, qos, retain, .. } = &self.publish;
        let qos = if *qos > 0 { format!(", qos {qos}") } else { String::new() };
        let retain = if *retain { ", retained" } else { "" };
        let text = Value::from(String::from_utf8_lossy(payload).into_owned()).preview(SHOWN);
        format!("{topic} {text} ({} bytes{qos}{retain}){}", payload.len(), for_broker(self.publish.broker.as_deref()))
    }

    /// Publishes it for the script; what is not to be waited for can be asked about later.
    pub(super) fn publish(self, function: &'static str, context: &Context) -> Result<Dynamic, Thrown> {
        self.check(context)?;
        let is_asked_about = self.is_asked_about();
        let sent = context.act(function, self.shown(), DryRun::Gives(Sent::default()), |_| self.send(context))?;
        Ok(if is_asked_about { Dynamic::from(sent) } else { Dynamic::UNIT })
    }

    fn is_asked_about(&self) -> bool {
        self.wait == Some(false)
    }

    /// Hands it over, and waits for what is to be waited for.
    pub(super) fn send(self, context: &Context) -> Result<Sent, Thrown> {
        let limit = self.timeout;
        let mut message = self.hand_over(context)?;
        message.settled(context.shared_timeout(limit), limit, context)?;
        Ok(Sent::new(vec![message]))
    }

    /// Puts it into the outbox.
    fn hand_over(self, context: &Context) -> Result<PendingPublish, Thrown> {
        let Self { publish, wait, .. } = self;
        let topic = publish.topic.clone();
        let mqtt = &context.services.mqtt;
        let wait = wait.unwrap_or_else(|| publish.qos > 0 && mqtt.is_connected(publish.broker.as_deref()));
        let handed_over = match wait {
            true => context.wait(mqtt.send(publish))?.map(|delivery| PendingPublish::sent(topic, delivery)),
            false => context
                .wait(mqtt.publish_durable(publish))?
                .map(|entrusted| PendingPublish::entrusted(topic, entrusted)),
        };
        handed_over.map_err(|error| failed(&error))
    }
}

/// Publishes several messages, in order, and then waits for all of them together.
pub(super) fn publish_all(context: &Context, messages: &[Dynamic], common: Options) -> Result<Dynamic, Thrown> {
    if messages.len() > MAX_MESSAGES {
        return Err(invalid_argument(format!("write at most {MAX_MESSAGES} messages at a time")));
    }
    let common = common.remaining();
    let read = |(index, message): (usize, &Dynamic)| {
        Sending::of_several(message, &common).and_then(|sending| sending.check(context).map(|()| sending)).map_err(
            |mut thrown| {
                say_which(&mut thrown, index);
                thrown
            },
        )
    };
    let all = messages.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    let named: Vec<_> = all.iter().take(NAMED).map(|sending| sending.publish.topic.as_str()).collect();
    let more = if all.len() > NAMED { ", …" } else { "" };
    let shown = format!("{} messages: {}{more}", all.len(), named.join(", "));
    let is_asked_about = all.iter().any(Sending::is_asked_about);
    let sent = context.act("mqtt_publish", shown, DryRun::Gives(Sent::default()), |_| {
        let limit = all.iter().map(|sending| sending.timeout).max().unwrap_or(PATIENCE);
        let until = context.shared_timeout(limit);
        let mut messages = all.into_iter().map(|sending| sending.hand_over(context)).collect::<Result<Vec<_>, _>>()?;
        messages.iter_mut().try_for_each(|message| message.settled(until, limit, context))?;
        Ok(Sent::new(messages))
    })?;
    Ok(if is_asked_about { Dynamic::from(sent) } else { Dynamic::UNIT })
}

/// Puts a message's number before what is wrong with it.
fn say_which(thrown: &mut Thrown, index: usize) {
    if let rhai::EvalAltResult::ErrorRuntime(error, _) = &mut **thrown
        && let Some(mut map) = error.write_lock::<rhai::Map>()
        && let Some(message) = map.get_mut("message")
    {
        *message = format!("message {}: {message}", index + 1).into();
    }
}

/// Reads the properties that MQTT 5 knows.
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

/// A map of texts; a list of texts stands for a name that comes several times.
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
