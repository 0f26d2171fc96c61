//! MQTT out.

use std::time::Duration;

use rhai::plugin::*;

use crate::config::Need;
use crate::functions::act::Dry;
use crate::functions::arguments::{bytes, options, refused, value};
use crate::functions::convert::to_dynamic;
use crate::functions::{Context, Package, Thrown, context, denied, thrown};
use crate::options::Options;
use crate::services::mqtt::{Error, Message, Publish, Retained, Subscription};
use crate::topic::{Filter, check_topic};
use crate::value::{Map, Value};

/// MQTT out.
pub const MQTT: Package = Package {
    name: "MQTT out",
    docs: "Publishing, waiting for a message, and the last value seen.",
    register: |module| {
        combine_with_exported_module!(module, "mqtt", functions);
    },
};

/// How long `mqtt_receive`, `mqtt_request` and a confirmed publish wait unless they are told.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many characters of a payload the ledger keeps.
const SHOWN: usize = 200;

/// How many messages one `mqtt_receive` waits for at most.
const MAX_COUNT: i64 = 10_000;

fn failed(error: &Error) -> Thrown {
    let kind = match error {
        Error::NotConnected { .. } => "not_connected",
        Error::TooLarge { .. } => "too_large",
        Error::Topic(_) | Error::UnknownBroker(_) => "invalid_argument",
        _ => "refused",
    };
    thrown(kind, error.to_string())
}

fn subscribe(
    context: &Context,
    topic: &str,
    qos: u8,
    retained: Retained,
    broker: Option<&str>,
) -> Result<Subscription, Thrown> {
    let filter = Filter::parse(topic).map_err(refused)?;
    context.config.permissions.check(&context.script, Need::Subscribe(filter.written())).map_err(|no| denied(&no))?;
    context.services.mqtt.subscribe(&filter, qos, retained, broker).map_err(|error| failed(&error))
}

/// A publish as a script asked for it.
struct Sending {
    publish: Publish,
    wait: Option<bool>,
    timeout: Duration,
}

impl Sending {
    fn read(topic: &str, payload: &Dynamic, options: &mut Options) -> Result<Self, Thrown> {
        check_topic(topic).map_err(refused)?;
        let qos = options.int("qos", 0..=2).map_err(refused)?.unwrap_or(0) as u8;
        let publish = Publish {
            topic: topic.to_owned(),
            payload: bytes(value(payload)?).into(),
            qos,
            retain: options.bool("retain").map_err(refused)?.unwrap_or(false),
            broker: options.text("broker").map_err(refused)?,
        };
        Ok(Self {
            publish,
            wait: options.bool("wait").map_err(refused)?,
            timeout: options.duration("timeout").map_err(refused)?.unwrap_or(PATIENCE),
        })
    }

    /// Refuses what the script may not publish.
    fn check(&self, context: &Context) -> Result<(), Thrown> {
        let need = Need::Publish(&self.publish.topic);
        context.config.permissions.check(&context.script, need).map_err(|no| denied(&no))
    }

    /// Returns what the ledger keeps of it.
    fn shown(&self) -> String {
        let Publish { topic, payload, qos, retain, .. } = &self.publish;
        let qos = if *qos > 0 { format!(", qos {qos}") } else { String::new() };
        let retain = if *retain { ", retained" } else { "" };
        let text = Value::from(String::from_utf8_lossy(payload).into_owned()).shown(SHOWN);
        format!("{topic} {text} ({} bytes{qos}{retain})", payload.len())
    }

    /// Publishes it for the script.
    fn publish(self, function: &'static str, context: &Context) -> Result<(), Thrown> {
        self.check(context)?;
        context.act(function, self.shown(), Dry::Gives(()), |_| self.send(context))
    }

    fn send(self, context: &Context) -> Result<(), Thrown> {
        let Self { publish, wait, timeout } = self;
        let topic = publish.topic.clone();
        let mqtt = &context.services.mqtt;
        let wait = wait.unwrap_or_else(|| publish.qos > 0 && mqtt.is_connected(publish.broker.as_deref()));
        let delivery = context.wait(mqtt.send(publish))?.map_err(|error| failed(&error))?;
        if !wait {
            return Ok(());
        }
        match context.wait_for(timeout, delivery.confirmed())? {
            Some(confirmed) => confirmed.map_err(|error| failed(&error)),
            None => {
                let waited = crate::units::show_duration(timeout);
                let why =
                    format!("the broker has not confirmed the message to {topic} within {waited}; it stays on its way");
                Err(thrown("timeout", why))
            }
        }
    }
}

/// What a script sees of a message: the same fields as a handler of `mqtt_subscribe`.
fn seen(message: &Message) -> Map {
    Map::from([
        ("topic".into(), message.topic.as_str().into()),
        ("payload".into(), String::from_utf8_lossy(&message.payload).into_owned().into()),
        ("bytes".into(), message.payload.to_vec().into()),
        ("qos".into(), i64::from(message.qos).into()),
        ("retain".into(), message.retain.into()),
        ("dup".into(), message.dup.into()),
        ("broker".into(), message.broker.as_str().into()),
        ("properties".into(), message.properties.clone().into()),
    ])
}

/// Waits for so many messages, but no longer than this.
async fn collect(subscription: &mut Subscription, wanted: usize, timeout: Duration) -> Vec<Dynamic> {
    let mut received = Vec::new();
    let all = async {
        while received.len() < wanted
            && let Some(message) = subscription.messages.recv().await
        {
            received.push(to_dynamic(seen(&message).into()));
        }
    };
    let _ = tokio::time::timeout(timeout, all).await;
    received
}

fn receive(topic: &str, mut options: Options) -> Result<Dynamic, Thrown> {
    let context = context("mqtt_receive")?;
    let timeout = options.duration("timeout").map_err(refused)?.unwrap_or(PATIENCE);
    let retained = match options.bool("retained").map_err(refused)?.unwrap_or(false) {
        true => Retained::Initial,
        false => Retained::Live,
    };
    let qos = options.int("qos", 0..=2).map_err(refused)?.unwrap_or(0) as u8;
    let count = options.int("count", 1..=MAX_COUNT).map_err(refused)?;
    let broker = options.text("broker").map_err(refused)?;
    options.finish().map_err(refused)?;
    let mut subscription = subscribe(&context, topic, qos, retained, broker.as_deref())?;
    let wanted = count.unwrap_or(1) as usize;
    let received = context.act("mqtt_receive", topic, Dry::Done, |_| {
        let received = context.wait(collect(&mut subscription, wanted, timeout))?;
        if received.len() < wanted {
            let waited = crate::units::show_duration(timeout);
            let got =
                if wanted > 1 { format!("only {} of {wanted} messages", received.len()) } else { "no message".into() };
            return Err(thrown("timeout", format!("{got} came on {topic} within {waited}")));
        }
        Ok(received)
    })?;
    let single = count.is_none();
    let mut received = received.into_iter();
    Ok(if single { received.next().unwrap_or_default() } else { Dynamic::from_array(received.collect()) })
}

fn request(topic: &str, payload: &Dynamic, mut options: Options) -> Result<Dynamic, Thrown> {
    let context = context("mqtt_request")?;
    let answer = options.text("response_topic").map_err(refused)?.unwrap_or_else(|| format!("{topic}/response"));
    let sending = Sending::read(topic, payload, &mut options)?;
    options.finish().map_err(refused)?;
    let (timeout, qos) = (sending.timeout, sending.publish.qos);
    let broker = sending.publish.broker.clone();
    sending.check(&context)?;
    context.act("mqtt_request", sending.shown(), Dry::Refused, |told| {
        let mut subscription = subscribe(&context, &answer, qos, Retained::Live, broker.as_deref())?;
        // Not before the answer is sure to be heard; a broker that is away lets the time run out below.
        let ready = context.wait_for(timeout, subscription.ready())?;
        ready.unwrap_or(Ok(())).map_err(|error| failed(&error))?;
        sending.send(&context)?;
        match context.wait_for(timeout, subscription.messages.recv())? {
            Some(Some(message)) => {
                *told = format!("{} bytes on {}", message.payload.len(), message.topic);
                Ok(to_dynamic(seen(&message).into()))
            }
            _ => {
                let waited = crate::units::show_duration(timeout);
                Err(thrown("timeout", format!("no answer to {topic} came on {answer} within {waited}")))
            }
        }
    })
}

#[export_module]
#[expect(unreachable_pub, reason = "the macro wants public functions")]
mod functions {
    /// Publishes a message. Text and blobs go out as they are, numbers as text, `()` empty, maps and arrays as JSON.
    ///
    /// Options: `qos` (0, 1, 2; default 0), `retain` (`true`: the broker keeps it), `broker` (one of those in `rhaid.yaml`),
    /// `wait` (whether to wait for the broker's confirmation; by default for QoS 1 and 2 while the broker is connected),
    /// `timeout` (of that wait; default `"10s"`). While the broker is away the message waits in a bounded outbox.
    ///
    /// # Example
    /// ```rhai
    /// mqtt_publish("house/alarm", "freezer is warm", #{ qos: 1, retain: true });
    /// mqtt_publish("house/light", #{ on: true, level: 3 });
    /// ```
    #[rhai_fn(name = "mqtt_publish", return_raw)]
    pub fn mqtt_publish(topic: &str, payload: Dynamic) -> Result<(), Thrown> {
        mqtt_publish_with(topic, payload, rhai::Map::new())
    }

    #[rhai_fn(name = "mqtt_publish", return_raw)]
    pub fn mqtt_publish_with(topic: &str, payload: Dynamic, options: rhai::Map) -> Result<(), Thrown> {
        let context = context("mqtt_publish")?;
        let mut options = super::options(&options)?;
        let sending = Sending::read(topic, &payload, &mut options)?;
        options.finish().map_err(refused)?;
        sending.publish("mqtt_publish", &context)
    }

    /// Waits for one message on a topic (wildcards allowed) and returns it, with the fields of a handler's `msg`. A fault (`timeout`) if none comes.
    ///
    /// Options: `timeout` (default `"10s"`), `retained` (`true`: a message that the broker has kept counts too), `qos`, `broker`,
    /// `count` (wait for so many and return an array).
    ///
    /// # Example
    /// ```rhai
    /// mqtt_publish("front/door", "open", #{ qos: 1, retain: true });
    /// let msg = mqtt_receive("front/+", #{ retained: true, timeout: "5s" });
    /// assert_eq(msg.topic, "front/door");
    /// assert_eq(msg.payload, "open");
    /// mqtt_clear("front/door");
    /// ```
    #[rhai_fn(name = "mqtt_receive", return_raw)]
    pub fn mqtt_receive(topic: &str) -> Result<Dynamic, Thrown> {
        receive(topic, Options::default())
    }

    #[rhai_fn(name = "mqtt_receive", return_raw)]
    pub fn mqtt_receive_with(topic: &str, options: rhai::Map) -> Result<Dynamic, Thrown> {
        receive(topic, super::options(&options)?)
    }

    /// Publishes a message and waits for the answer, which it returns like `mqtt_receive`. A fault (`timeout`) if none comes.
    ///
    /// The answer is the next message on `TOPIC/response`, or on the topic of the option `response_topic` (wildcards allowed).
    /// Other options are those of `mqtt_publish`; `timeout` (default `"10s"`) is for the answer as well.
    ///
    /// # Example
    /// ```rhai
    /// // The broker answers with the same message if asked on the topic itself.
    /// let answer = mqtt_request("pump/1/status", "?", #{ response_topic: "pump/1/status", timeout: "5s" });
    /// assert_eq(answer.payload, "?");
    /// ```
    #[rhai_fn(name = "mqtt_request", return_raw)]
    pub fn mqtt_request(topic: &str, payload: Dynamic) -> Result<Dynamic, Thrown> {
        request(topic, &payload, Options::default())
    }

    #[rhai_fn(name = "mqtt_request", return_raw)]
    pub fn mqtt_request_with(topic: &str, payload: Dynamic, options: rhai::Map) -> Result<Dynamic, Thrown> {
        request(topic, &payload, super::options(&options)?)
    }

    /// Returns the last message seen on a topic, without waiting, or `()`: `payload`, `bytes`, `topic`, `qos`, `retain`, `time` (when it came) and `age` (in seconds).
    ///
    /// Seen is what some script subscribes to.
    ///
    /// # Example
    /// ```rhai
    /// let last = mqtt_last("attic/celsius");
    /// if last != () && last.age < 600.0 {
    ///     print(`the attic has ${last.payload} °C`);
    /// }
    /// ```
    #[rhai_fn(name = "mqtt_last", return_raw)]
    pub fn mqtt_last(topic: &str) -> Result<Dynamic, Thrown> {
        let context = context("mqtt_last")?;
        check_topic(topic).map_err(refused)?;
        context.config.permissions.check(&context.script, Need::Subscribe(topic)).map_err(|no| denied(&no))?;
        context.did("mqtt_last", topic);
        let Some(message) = context.services.mqtt.last(topic) else { return Ok(Dynamic::UNIT) };
        let clock = &context.services.clock;
        let mut map = seen(&message);
        map.insert("time".into(), message.received.to_zoned(clock.zone()).into());
        map.insert("age".into(), clock.now().duration_since(message.received).as_secs_f64().max(0.0).into());
        Ok(to_dynamic(map.into()))
    }

    /// Removes the message that the broker keeps for a topic.
    ///
    /// # Example
    /// ```rhai
    /// mqtt_publish("house/alarm", "smoke", #{ retain: true });
    /// mqtt_clear("house/alarm");
    /// ```
    #[rhai_fn(name = "mqtt_clear", return_raw)]
    pub fn mqtt_clear(topic: &str) -> Result<(), Thrown> {
        let context = context("mqtt_clear")?;
        let mut options =
            Options::new(Map::from([("retain".into(), Value::Bool(true)), ("qos".into(), Value::Int(1))]));
        Sending::read(topic, &Dynamic::UNIT, &mut options)?.publish("mqtt_clear", &context)
    }

    /// Returns whether the broker is connected now.
    ///
    /// # Example
    /// ```rhai
    /// if !mqtt_connected() { warn("messages wait until the broker is back"); }
    /// ```
    #[rhai_fn(name = "mqtt_connected", return_raw)]
    pub fn mqtt_connected() -> Result<bool, Thrown> {
        Ok(context("mqtt_connected")?.services.mqtt.is_connected(None))
    }
}
