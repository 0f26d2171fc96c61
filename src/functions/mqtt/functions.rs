//! MQTT functions such as `mqtt_publish`.

use rhai::plugin::*;

use crate::config::Need;
use crate::functions::arguments::parse_options;
use crate::functions::mqtt::errors::mqtt_error;
use crate::functions::mqtt::message::{broker_suffix, message_fields};
use crate::functions::mqtt::publish::{Publication, publish_all};
use crate::functions::mqtt::receive::{receive, request};
use crate::functions::phase::context;
use crate::functions::thrown::{Thrown, denied, invalid_argument};
use crate::options::Options;
use crate::services::mqtt::Error;
use crate::topic::{Filter, check_topic};
use crate::value::{Value, map_of};

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "mqtt", functions);
}

fn last(topic: &str, mut options: Options) -> Result<Dynamic, Thrown> {
    let context = context("mqtt_last")?;
    check_topic(topic).map_err(invalid_argument)?;
    let broker = options.text("broker").map_err(invalid_argument)?;
    options.finish().map_err(invalid_argument)?;
    context.config.permissions.check(&context.script, Need::Subscribe(topic)).map_err(|error| denied(&error))?;
    context.record("mqtt_last", format!("{topic}{}", broker_suffix(broker.as_deref())));
    let last = context.services.mqtt.last(topic, broker.as_deref()).map_err(|error| mqtt_error(&error))?;
    let Some(message) = last else { return Ok(Dynamic::UNIT) };
    let mut map = message_fields(&message, message.qos, &context);
    map.insert(
        "age".into(),
        context.services.clock.now().duration_since(message.received).as_secs_f64().max(0.0).into(),
    );
    Ok(map.into())
}

fn clear(topic: &str, mut options: Options) -> Result<(), Thrown> {
    let context = context("mqtt_clear")?;
    let mut map = map_of([("retain".into(), Value::Bool(true)), ("qos".into(), Value::Int(1))]);
    for name in ["broker", "wait", "timeout"] {
        map.extend(options.take(name).map(|value| (name.to_owned(), value)));
    }
    options.finish().map_err(invalid_argument)?;
    Publication::read(topic, &Dynamic::UNIT, &mut Options::new(map))?.publish("mqtt_clear", &context).map(|_| ())
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Publishes one or several messages. Text and blobs are sent unchanged, numbers as text, `()` as an empty payload, maps and arrays as
    /// JSON.
    ///
    /// Options: `qos` (0, 1, 2; default 0), `retain` (`true`: the broker retains the message), `broker` (a broker from `rhaid.yaml`),
    /// `wait` (whether to wait for the broker's acknowledgement; by default for QoS 1 and 2 while the broker is connected),
    /// `timeout` (of this wait; default `"10s"`). While the broker is offline, messages are queued in a bounded outbox. A message with QoS 1
    /// or 2 that you do not wait for is written to disk before the run completes and its trigger is acknowledged, so it is also sent after a
    /// crash.
    ///
    /// With MQTT 5 also `content_type`, `response_topic`, `correlation_data`, `user_properties` (a map) and `message_expiry` (how long
    /// the broker keeps the message for offline subscribers). A broker that supports only MQTT 3.1.1 gets the message without them.
    ///
    /// For several messages, pass an array of maps with `topic`, `payload` and options, or of arrays `[topic, payload, qos, retain]`. They
    /// are sent in order, and the function waits for all acknowledgements together.
    ///
    /// With `wait: false` it returns a handle with `is_confirmed()` and `wait("5s")`, to check for the acknowledgement later.
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
        let publication = Publication::read(topic, &payload, &mut options)?;
        options.finish().map_err(invalid_argument)?;
        publication.publish("mqtt_publish", &context)
    }

    #[rhai_fn(name = "mqtt_publish", return_raw)]
    pub fn mqtt_publish_all(messages: rhai::Array) -> Result<(), Thrown> {
        mqtt_publish_all_with(messages, rhai::Map::new()).map(|_| ())
    }

    #[rhai_fn(name = "mqtt_publish", return_raw)]
    pub fn mqtt_publish_all_with(messages: rhai::Array, options: rhai::Map) -> Result<Dynamic, Thrown> {
        publish_all(&*context("mqtt_publish")?, &messages, parse_options(&options)?)
    }

    /// Waits for a message on a topic or on one of several topics (wildcards allowed), and returns it with the fields of a handler's `msg`.
    /// Throws `timeout` if no message arrives.
    ///
    /// Options: `timeout` (default `"10s"`), `retained` (`true`: also accepts a retained message), `qos`, `broker`,
    /// `count` (waits for this number of messages and returns an array).
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

    /// Publishes a request message, waits for the response and returns it like `mqtt_receive`. Throws `timeout` if no response arrives.
    ///
    /// The response is expected on `TOPIC/response`, or on the topic in the option `response_topic` (wildcards allowed). With MQTT 5 the
    /// request carries the response topic and correlation data, and responses with the `correlation_data` of another request are ignored.
    /// The other options are those of `mqtt_publish`; `timeout` (default `"10s"`) also limits the wait for the response.
    ///
    /// The responder publishes like this: `mqtt_publish(msg.properties.response_topic, 42, #{ correlation_data: msg.properties.correlation_data })`.
    ///
    /// # Example
    /// ```rhai
    /// // Here the response topic is the request topic, so the request itself is received as the response.
    /// let response = mqtt_request("pump/1/status", "?", #{ response_topic: "pump/1/status", timeout: "5s" });
    /// assert_eq(response.payload, "?");
    /// ```
    #[rhai_fn(name = "mqtt_request", return_raw)]
    pub fn mqtt_request(topic: &str, payload: Dynamic) -> Result<Dynamic, Thrown> {
        request(topic, &payload, Options::default())
    }

    #[rhai_fn(name = "mqtt_request", return_raw)]
    pub fn mqtt_request_with(topic: &str, payload: Dynamic, options: rhai::Map) -> Result<Dynamic, Thrown> {
        request(topic, &payload, parse_options(&options)?)
    }

    /// Returns the last message received on a topic, or `()`; does not wait. It has the fields of a handler's `msg`, and `age` in seconds.
    ///
    /// Only topics that a script subscribes to have a last message. The option `broker` selects a broker other than the default one.
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

    /// Deletes the retained message of a topic. Options: `broker`, `wait` and `timeout`, as for `mqtt_publish`.
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

    /// Returns whether a broker is connected: the default one, or the one that you name.
    ///
    /// # Example
    /// ```rhai
    /// if !mqtt_connected() { warn("messages are queued until the broker is back"); }
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
            false => Err(mqtt_error(&Error::UnknownBroker(broker.to_owned()))),
        }
    }

    /// Returns whether a topic filter matches a topic. Wildcards work as in `mqtt_subscribe`.
    ///
    /// # Example
    /// ```rhai
    /// assert(mqtt_matches("house/+/celsius", "house/attic/celsius"));
    /// assert(!mqtt_matches("house/#", "garden"));
    /// ```
    #[rhai_fn(name = "mqtt_matches", return_raw)]
    pub fn mqtt_matches(filter: &str, topic: &str) -> Result<bool, Thrown> {
        Ok(Filter::parse(filter).map_err(invalid_argument)?.is_match(topic))
    }
}
