//! MQTT out.

mod receiving;
mod sending;
mod sent;

use std::time::Duration;

use rhai::plugin::*;

use self::receiving::{receive, request};
use self::sending::{Sending, publish_all};
use crate::config::Need;
use crate::functions::arguments::{invalid_argument, parse_options};
use crate::functions::convert::to_dynamic;
use crate::functions::{Context, Package, Thrown, context, denied, thrown};
use crate::options::Options;
use crate::services::mqtt::{Error, Message};
use crate::topic::{Filter, check_topic};
use crate::value::{Map, Value, map_of};

/// MQTT out.
pub const MQTT: Package = Package {
    name: "MQTT out",
    docs: "Publishing, waiting for a message, and the last value seen.",
    register: |module| {
        combine_with_exported_module!(module, "mqtt", functions);
        sent::register(module);
    },
};

/// How long `mqtt_receive`, `mqtt_request` and a confirmed publish wait unless they are told.
const PATIENCE: Duration = Duration::from_secs(10);

fn failed(error: &Error) -> Thrown {
    let kind = match error {
        Error::NotConnected { .. } => "not_connected",
        Error::TooLarge { .. } => "too_large",
        Error::NotStored(_) => "store",
        Error::InvalidTopic(_) | Error::UnknownBroker(_) => "invalid_argument",
        _ => "refused",
    };
    thrown(kind, error.to_string())
}

/// What a script sees of a message: the same fields as a handler of `mqtt_subscribe`.
fn seen(message: &Message, context: &Context) -> Map {
    map_of([
        ("topic".into(), message.topic.as_str().into()),
        ("payload".into(), String::from_utf8_lossy(&message.payload).into_owned().into()),
        ("bytes".into(), message.payload.to_vec().into()),
        ("qos".into(), i64::from(message.qos).into()),
        ("retain".into(), message.retain.into()),
        ("dup".into(), message.dup.into()),
        ("broker".into(), message.broker.as_str().into()),
        ("properties".into(), message.properties.clone().into()),
        ("time".into(), message.received.to_zoned(context.services.clock.zone()).into()),
    ])
}

/// Returns the words for a broker that was named.
fn for_broker(broker: Option<&str>) -> String {
    broker.map(|broker| format!(" at {broker}")).unwrap_or_default()
}

fn last(topic: &str, mut options: Options) -> Result<Dynamic, Thrown> {
    let context = context("mqtt_last")?;
    check_topic(topic).map_err(invalid_argument)?;
    let broker = options.text("broker").map_err(invalid_argument)?;
    options.finish().map_err(invalid_argument)?;
    context.config.permissions.check(&context.script, Need::Subscribe(topic)).map_err(|no| denied(&no))?;
    context.did("mqtt_last", format!("{topic}{}", for_broker(broker.as_deref())));
    let last = context.services.mqtt.last(topic, broker.as_deref()).map_err(|error| failed(&error))?;
    let Some(message) = last else { return Ok(Dynamic::UNIT) };
    let mut map = seen(&message, &context);
    map.insert(
        "age".into(),
        context.services.clock.now().duration_since(message.received).as_secs_f64().max(0.0).into(),
    );
    Ok(to_dynamic(map.into()))
}

fn clear(topic: &str, mut options: Options) -> Result<(), Thrown> {
    let context = context("mqtt_clear")?;
    let mut map = map_of([("retain".into(), Value::Bool(true)), ("qos".into(), Value::Int(1))]);
    for name in ["broker", "wait", "timeout"] {
        map.extend(options.take(name).map(|value| (name.to_owned(), value)));
    }
    options.finish().map_err(invalid_argument)?;
    Sending::read(topic, &Dynamic::UNIT, &mut Options::new(map))?.publish("mqtt_clear", &context).map(|_| ())
}

#[export_module]
#[expect(unreachable_pub, reason = "the macro wants public functions")]
mod functions {
    /// Publishes a message, or several. Text and blobs go out as they are, numbers as text, `()` empty, maps and arrays as JSON.
    ///
    /// Options: `qos` (0, 1, 2; default 0), `retain` (`true`: the broker keeps it), `broker` (one of those in `rhaid.yaml`),
    /// `wait` (whether to wait for the broker's confirmation; by default for QoS 1 and 2 while the broker is connected),
    /// `timeout` (of that wait; default `"10s"`). While the broker is away the message waits in a bounded outbox; what has QoS 1 or 2
    /// and is not waited for is on disk before the run counts as done and what woke it is confirmed, and goes out also after a crash.
    ///
    /// With MQTT 5 also `content_type`, `response_topic`, `correlation_data`, `user_properties` (a map) and `message_expiry` (how long
    /// the broker keeps it for who is away); a broker that speaks only 3.1.1 gets the message without them.
    ///
    /// Several messages are an array of maps with `topic`, `payload` and options of their own, or of arrays of topic, payload, QoS and
    /// `retain`; they go out in order, and all confirmations are waited for together.
    ///
    /// With `wait: false` it returns what tells later whether the broker has confirmed it: `is_confirmed()`, `wait("5s")`.
    ///
    /// # Example
    /// ```rhai
    /// mqtt_publish("house/alarm", "freezer is warm", #{ qos: 1, retain: true });
    /// mqtt_publish("house/light", #{ on: true, level: 3 });
    /// mqtt_publish("house/report", "20.5", #{ content_type: "text/plain", user_properties: #{ unit: "celsius" }, message_expiry: "1h" });
    /// mqtt_publish([#{ topic: "house/a", payload: 1, retain: true }, ["house/b", 2, 1]], #{ qos: 1 });
    /// ```
    #[rhai_fn(name = "mqtt_publish", return_raw)]
    pub fn mqtt_publish(topic: &str, payload: Dynamic) -> Result<(), Thrown> {
        mqtt_publish_with(topic, payload, rhai::Map::new()).map(|_| ())
    }

    #[rhai_fn(name = "mqtt_publish", return_raw)]
    pub fn mqtt_publish_with(topic: &str, payload: Dynamic, options: rhai::Map) -> Result<Dynamic, Thrown> {
        let context = context("mqtt_publish")?;
        let mut options = parse_options(&options)?;
        let sending = Sending::read(topic, &payload, &mut options)?;
        options.finish().map_err(invalid_argument)?;
        sending.publish("mqtt_publish", &context)
    }

    #[rhai_fn(name = "mqtt_publish", return_raw)]
    pub fn mqtt_publish_all(messages: rhai::Array) -> Result<(), Thrown> {
        mqtt_publish_all_with(messages, rhai::Map::new()).map(|_| ())
    }

    #[rhai_fn(name = "mqtt_publish", return_raw)]
    pub fn mqtt_publish_all_with(messages: rhai::Array, options: rhai::Map) -> Result<Dynamic, Thrown> {
        publish_all(&*context("mqtt_publish")?, &messages, parse_options(&options)?)
    }

    /// Waits for one message on a topic, or on one of several (wildcards allowed), and returns it, with the fields of a handler's `msg`.
    /// A fault (`timeout`) if none comes.
    ///
    /// Options: `timeout` (default `"10s"`), `retained` (`true`: a message that the broker has kept counts too), `qos`, `broker`,
    /// `count` (wait for so many and return an array).
    ///
    /// # Example
    /// ```rhai
    /// mqtt_publish("front/door", "open", #{ qos: 1, retain: true });
    /// let msg = mqtt_receive(["front/+", "back/+"], #{ retained: true, timeout: "5s" });
    /// assert_eq(msg.topic, "front/door");
    /// assert_eq(msg.payload, "open");
    /// mqtt_clear("front/door");
    /// ```
    #[rhai_fn(name = "mqtt_receive", return_raw)]
    pub fn mqtt_receive(topics: Dynamic) -> Result<Dynamic, Thrown> {
        receive(&topics, Options::default())
    }

    #[rhai_fn(name = "mqtt_receive", return_raw)]
    pub fn mqtt_receive_with(topics: Dynamic, options: rhai::Map) -> Result<Dynamic, Thrown> {
        receive(&topics, parse_options(&options)?)
    }

    /// Publishes a message and waits for the answer, which it returns like `mqtt_receive`. A fault (`timeout`) if none comes.
    ///
    /// The answer comes on `TOPIC/response`, or on the topic of the option `response_topic` (wildcards allowed). With MQTT 5 the message
    /// says so itself, and an answer that repeats the `correlation_data` of another request is left alone. Other options are those of
    /// `mqtt_publish`; `timeout` (default `"10s"`) is for the answer as well.
    ///
    /// Who answers does it so: `mqtt_publish(msg.properties.response_topic, 42, #{ correlation_data: msg.properties.correlation_data })`.
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
        request(topic, &payload, parse_options(&options)?)
    }

    /// Returns the last message seen on a topic, without waiting, or `()`: the fields of a handler's `msg`, and `age` (in seconds).
    ///
    /// Seen is what some script subscribes to. The option `broker` names another broker than the default one.
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
        last(topic, Options::default())
    }

    #[rhai_fn(name = "mqtt_last", return_raw)]
    pub fn mqtt_last_with(topic: &str, options: rhai::Map) -> Result<Dynamic, Thrown> {
        last(topic, parse_options(&options)?)
    }

    /// Removes the message that the broker keeps for a topic. Options: `broker`, `wait` and `timeout`, as for `mqtt_publish`.
    ///
    /// # Example
    /// ```rhai
    /// mqtt_publish("house/alarm", "smoke", #{ retain: true });
    /// mqtt_clear("house/alarm");
    /// ```
    #[rhai_fn(name = "mqtt_clear", return_raw)]
    pub fn mqtt_clear(topic: &str) -> Result<(), Thrown> {
        clear(topic, Options::default())
    }

    #[rhai_fn(name = "mqtt_clear", return_raw)]
    pub fn mqtt_clear_with(topic: &str, options: rhai::Map) -> Result<(), Thrown> {
        clear(topic, parse_options(&options)?)
    }

    /// Returns whether the broker, the default one unless another is named, is connected now.
    ///
    /// # Example
    /// ```rhai
    /// if !mqtt_connected() { warn("messages wait until the broker is back"); }
    /// ```
    #[rhai_fn(name = "mqtt_connected", return_raw)]
    pub fn mqtt_connected() -> Result<bool, Thrown> {
        Ok(context("mqtt_connected")?.services.mqtt.is_connected(None))
    }

    #[rhai_fn(name = "mqtt_connected", return_raw)]
    pub fn mqtt_connected_to(broker: &str) -> Result<bool, Thrown> {
        let mqtt = &context("mqtt_connected")?.services.mqtt;
        match mqtt.states().iter().any(|(name, ..)| name == broker) {
            true => Ok(mqtt.is_connected(Some(broker))),
            false => Err(failed(&Error::UnknownBroker(broker.to_owned()))),
        }
    }

    /// Returns whether a topic filter matches a topic, with the wildcards of `mqtt_subscribe`.
    ///
    /// # Example
    /// ```rhai
    /// assert(mqtt_matches("house/+/celsius", "house/attic/celsius"));
    /// assert(!mqtt_matches("house/#", "garden"));
    /// ```
    #[rhai_fn(name = "mqtt_matches", return_raw)]
    pub fn mqtt_matches(filter: &str, topic: &str) -> Result<bool, Thrown> {
        Ok(Filter::parse(filter).map_err(invalid_argument)?.matches(topic).is_some())
    }
}
