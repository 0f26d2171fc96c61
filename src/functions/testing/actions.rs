//! Actions of tests on their sandbox.

use rhai::plugin::*;

use crate::functions::arguments::{duration, parse_options, to_bytes, value, value as to_plain};
use crate::functions::convert::{map, to_dynamic};
use crate::functions::testing::current::sandbox;
use crate::functions::testing::test_run::sandbox_error;
use crate::functions::thrown::{Thrown, invalid_argument};
use crate::options::Options;
use crate::services::mqtt::Publish;
use crate::value::Value;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "actions", functions);
}

fn message(topic: &str, payload: &Dynamic, mut options: Options) -> Result<Publish, Thrown> {
    let payload = to_bytes(payload)?;
    let qos = options.int("qos", 0..=2).map_err(invalid_argument)?.unwrap_or(0) as u8;
    let retain = options.bool("retain").map_err(invalid_argument)?.unwrap_or(false);
    let broker = options.text("broker").map_err(invalid_argument)?;
    options.finish().map_err(invalid_argument)?;
    Ok(Publish { topic: topic.to_owned(), payload: payload.into(), qos, retain, broker, ..Publish::default() })
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Loads a script of the scripts folder by its name, and runs its `on_start` handlers.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// load("garden/pump");
    /// ```
    #[rhai_fn(name = "load", return_raw, volatile)]
    pub fn load(script: &str) -> Result<(), Thrown> {
        sandbox()?.load(script).map_err(sandbox_error)
    }

    /// Publishes a message to the scripts, as another MQTT client would. Data is sent as JSON.
    #[rhai_fn(name = "publish", return_raw, volatile)]
    pub fn publish(topic: &str, payload: Dynamic) -> Result<(), Thrown> {
        sandbox()?.publish(message(topic, &payload, Options::default())?).map_err(sandbox_error)
    }

    /// Options:
    ///
    /// - `qos`: 0, 1 or 2 (default 0)
    /// - `retain`: whether the broker retains the message
    /// - `broker`: the name of the broker (default: the default broker)
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// publish("kitchen/fridge", "open");
    /// publish("kitchen/oven", #{ celsius: 180 }, #{ qos: 1, retain: true });
    /// assert_state("kitchen", "celsius", 180);
    /// ```
    #[rhai_fn(name = "publish", return_raw, volatile)]
    pub fn publish_with(topic: &str, payload: Dynamic, options: rhai::Map) -> Result<(), Thrown> {
        sandbox()?.publish(message(topic, &payload, parse_options(&options)?)?).map_err(sandbox_error)
    }

    /// Advances the clock by a duration. Everything that becomes due runs, in order.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// publish("kitchen/fridge", "open");
    /// advance("1m59s");
    /// assert_not_published("kitchen/alarm");
    /// advance("1s");
    /// assert_published("kitchen/alarm");
    /// ```
    #[rhai_fn(name = "advance", return_raw, volatile)]
    pub fn advance(time: Dynamic) -> Result<(), Thrown> {
        sandbox()?.advance(duration(&time)?).map_err(sandbox_error)
    }

    /// Advances the clock to a datetime, or to the next occurrence of a time of day. Everything that becomes due runs, in order. Before the
    /// first `load`, it only sets the clock, which may also go back.
    ///
    /// # Example
    /// ```rhai
    /// at("2026-03-28T06:30");
    /// load("kitchen");
    /// on_http("GET", "https://api.example.com/*", #{ summary: "rain" });
    /// at("07:00");
    /// assert_published("kitchen/display", "rain");
    /// ```
    #[rhai_fn(name = "at", return_raw, volatile)]
    pub fn at(moment: &str) -> Result<(), Thrown> {
        sandbox()?.advance_to(moment).map_err(sandbox_error)
    }

    /// Emits an event, as another script would.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// emit("away");
    /// assert_published("kitchen/light", "off");
    /// emit("home", #{ who: "Ann" });
    /// assert_published("kitchen/display", "hello Ann");
    /// ```
    #[rhai_fn(name = "emit", return_raw, volatile)]
    pub fn emit(name: &str) -> Result<(), Thrown> {
        sandbox()?.emit(name, Value::Null).map_err(sandbox_error)
    }

    /// With data, which handlers get as `event.data`.
    #[rhai_fn(name = "emit", return_raw, volatile)]
    pub fn emit_with(name: &str, data: Dynamic) -> Result<(), Thrown> {
        sandbox()?.emit(name, value(&data)?).map_err(sandbox_error)
    }

    /// Runs the handler of a trigger of a script; returns its return value.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// fire("kitchen", "on_timer");
    /// assert_published("kitchen/alarm");
    /// fire("kitchen", "mqtt_subscribe kitchen/oven", #{ payload: #{ celsius: 90 } });
    /// assert_state("kitchen", "celsius", 90);
    /// ```
    #[rhai_fn(name = "fire", return_raw, volatile)]
    pub fn fire(script: &str, trigger: &str) -> Result<Dynamic, Thrown> {
        sandbox()?.fire(script, trigger, Value::Null).map(to_dynamic).map_err(sandbox_error)
    }

    /// With fields of the event; the other fields are filled in.
    #[rhai_fn(name = "fire", return_raw, volatile)]
    pub fn fire_with(script: &str, trigger: &str, data: Dynamic) -> Result<Dynamic, Thrown> {
        sandbox()?.fire(script, trigger, value(&data)?).map(to_dynamic).map_err(sandbox_error)
    }

    /// Writes a file, and triggers the scripts that watch it.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// change_file("inbox/list.txt", "milk");
    /// assert_log("created: milk");
    /// ```
    #[rhai_fn(name = "change_file", return_raw, volatile)]
    pub fn change_file(path: &str, text: &str) -> Result<(), Thrown> {
        sandbox()?.change_file(path, Some(text)).map_err(sandbox_error)
    }

    /// Removes a file, and triggers the scripts that watch it.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// change_file("inbox/list.txt", "milk");
    /// remove_file("inbox/list.txt");
    /// assert_log("removed");
    /// ```
    #[rhai_fn(name = "remove_file", return_raw, volatile)]
    pub fn remove_file(path: &str) -> Result<(), Thrown> {
        sandbox()?.change_file(path, None).map_err(sandbox_error)
    }

    /// Sets the state value of a script under a key.
    ///
    /// # Example
    /// ```rhai
    /// set_state("kitchen", "times", 7);
    /// load("kitchen");
    /// publish("kitchen/fridge", "open");
    /// assert_state("kitchen", "times", 8);
    /// ```
    #[rhai_fn(name = "set_state", return_raw, volatile)]
    pub fn set_state(script: &str, key: &str, value: Dynamic) -> Result<(), Thrown> {
        sandbox()?.set_state(script, key, to_plain(&value)?).map_err(sandbox_error)
    }

    /// Returns the state of a script as a map.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// publish("kitchen/fridge", "open");
    /// assert_eq(state_of("kitchen"), #{ times: 1 });
    /// ```
    #[rhai_fn(name = "state_of", return_raw, volatile)]
    pub fn state_of(script: &str) -> Result<Dynamic, Thrown> {
        sandbox()?.state(script).map(|state| map(&state)).map_err(sandbox_error)
    }

    /// Sets the value that `secret(name)` returns in scripts.
    ///
    /// # Example
    /// ```rhai
    /// set_secret("weather", "abc");
    /// load("kitchen");
    /// on_http("GET", "https://api.example.com/*", #{ summary: "rain" });
    /// at("07:00");
    /// assert_requested("GET", "https://api.example.com/*", |request| request.headers["x-key"] == "abc");
    /// ```
    #[rhai_fn(name = "set_secret", return_raw, volatile)]
    pub fn set_secret(name: &str, value: &str) -> Result<(), Thrown> {
        sandbox()?.set_secret(name, value).map_err(sandbox_error)
    }

    /// Disconnects the default broker: no message arrives, and messages that scripts publish are queued or fail as they would in production.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// publish("kitchen/fridge", "open");
    /// broker_down();
    /// advance("2m");
    /// assert_not_published("kitchen/alarm");
    /// ```
    #[rhai_fn(name = "broker_down", return_raw, volatile)]
    pub fn broker_down() -> Result<(), Thrown> {
        sandbox()?.set_broker_down(None, true).map_err(sandbox_error)
    }

    /// With the name of another broker.
    #[rhai_fn(name = "broker_down", return_raw, volatile)]
    pub fn broker_down_named(name: &str) -> Result<(), Thrown> {
        sandbox()?.set_broker_down(Some(name), true).map_err(sandbox_error)
    }

    /// Reconnects the default broker; queued messages are sent.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// publish("kitchen/fridge", "open");
    /// broker_down();
    /// advance("2m");
    /// broker_up();
    /// assert_published("kitchen/alarm");
    /// ```
    #[rhai_fn(name = "broker_up", return_raw, volatile)]
    pub fn broker_up() -> Result<(), Thrown> {
        sandbox()?.set_broker_down(None, false).map_err(sandbox_error)
    }

    /// With the name of another broker.
    #[rhai_fn(name = "broker_up", return_raw, volatile)]
    pub fn broker_up_named(name: &str) -> Result<(), Thrown> {
        sandbox()?.set_broker_down(Some(name), false).map_err(sandbox_error)
    }

    /// Stops rhaid and starts it again with its stored data.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// publish("kitchen/fridge", "open");
    /// restart();
    /// advance("2m");
    /// assert_published("kitchen/alarm");
    /// ```
    #[rhai_fn(name = "restart", return_raw, volatile)]
    pub fn restart() -> Result<(), Thrown> {
        sandbox()?.restart().map_err(sandbox_error)
    }

    /// Clears the recorded messages, requests, log lines and runs. The state of scripts is kept.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// emit("away");
    /// forget();
    /// assert_not_published("#");
    /// ```
    #[rhai_fn(name = "forget", return_raw, volatile)]
    pub fn forget() -> Result<(), Thrown> {
        sandbox()?.clear_records();
        Ok(())
    }
}
