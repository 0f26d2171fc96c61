//! What a test does to its world.

use std::sync::Arc;

use rhai::FnPtr;
use rhai::plugin::*;

use super::{MockResponse, testing, wrong};
use crate::functions::Thrown;
use crate::functions::arguments::{self, duration, invalid_argument, value};
use crate::functions::convert::{map, returned, to_dynamic, to_value};
use crate::options::Options;
use crate::services::mqtt::Publish;
use crate::value::{Map, Value};

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "turn", functions);
}

fn message(topic: &str, payload: &Dynamic, mut options: Options) -> Result<Publish, Thrown> {
    let payload = arguments::bytes(value(payload)?);
    let qos = options.int("qos", 0..=2).map_err(invalid_argument)?.unwrap_or(0) as u8;
    let retain = options.bool("retain").map_err(invalid_argument)?.unwrap_or(false);
    let broker = options.text("broker").map_err(invalid_argument)?;
    options.finish().map_err(invalid_argument)?;
    Ok(Publish { topic: topic.to_owned(), payload: payload.into(), qos, retain, broker, ..Publish::default() })
}

fn request(method: &str, path: &str, with: &rhai::Map) -> Result<Dynamic, Thrown> {
    let with = match returned(&Dynamic::from_map(with.clone())) {
        Value::Map(with) => with,
        _ => Map::new(),
    };
    testing()?.sandbox.request(method, path, with).map(|answer| map(&answer)).map_err(wrong)
}

/// Returns how requests are answered by a function of the test, on whatever thread they come.
fn by(function: FnPtr) -> Result<MockResponse, Thrown> {
    let testing = Arc::downgrade(&testing()?);
    Ok(MockResponse::Function(Box::new(move |request| {
        let testing = testing.upgrade().ok_or("the test is over")?;
        let phase = crate::functions::Phase::TestRun(testing.clone());
        let answer = crate::functions::enter(phase, || (testing.call)(&function, vec![map(&request)]));
        answer.map_err(|error| error.to_string()).and_then(|answer| to_value(&answer))
    })))
}

#[export_module]
#[expect(unreachable_pub, reason = "the macro wants public functions")]
mod functions {
    /// Brings a script of the folder to life, by its name; what it does at its start has happened then.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// load("garden/pump");
    /// ```
    #[rhai_fn(name = "load", return_raw, volatile)]
    pub fn load(script: &str) -> Result<(), Thrown> {
        testing()?.sandbox.load(script).map_err(wrong)
    }

    /// Lets a message come from outside; data is sent as JSON.
    #[rhai_fn(name = "publish", return_raw, volatile)]
    pub fn publish(topic: &str, payload: Dynamic) -> Result<(), Thrown> {
        testing()?.sandbox.publish(message(topic, &payload, Options::default())?).map_err(wrong)
    }

    /// Options:
    ///
    /// - `qos`: 0, 1 or 2; 0 if not given
    /// - `retain`: whether the broker keeps it for who subscribes later
    /// - `broker`: the name of the broker; the default one if not given
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
        testing()?.sandbox.publish(message(topic, &payload, arguments::parse_options(&options)?)?).map_err(wrong)
    }

    /// Turns the clock by a duration; everything that is due happens, in order.
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
        testing()?.sandbox.advance(duration(&time)?).map_err(wrong)
    }

    /// Turns the clock on to a moment, or to the next time a clock shows it; everything that is due happens, in order. Before a script lives,
    /// the clock is only set, also back.
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
        testing()?.sandbox.advance_to(moment).map_err(wrong)
    }

    /// Says what is answered to requests of a method to URLs of a pattern, in which `*` stands for anything, from now on: text, data as JSON, a
    /// map with `status`, `headers` and `json` or `body`, or a function of the request (`method`, `url`, `query`, `headers`, `text`) that returns one
    /// of these. A request that nothing answers fails the run.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// on_http("GET", "https://api.example.com/*", |request| #{ json: #{ summary: `rain in ${request.query.city}` } });
    /// at("07:00");
    /// assert_published("kitchen/display", "rain in Oslo");
    /// forget();
    /// on_http("GET", "https://api.example.com/*", #{ status: 503, body: "away" });
    /// advance("1d");
    /// assert_fails("kitchen", "status");
    /// ```
    #[rhai_fn(name = "on_http", return_raw, volatile)]
    pub fn on_http(method: &str, url: &str, answer: Dynamic) -> Result<(), Thrown> {
        let answer = match answer.clone().try_cast::<FnPtr>() {
            Some(function) => by(function)?,
            None => MockResponse::Value(value(&answer)?),
        };
        testing()?.sandbox.mock_http(method, url, answer).map_err(wrong)
    }

    /// Lets requests of a method to URLs of a pattern fail from now on, with the kind that a script catches.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// fail_http("GET", "https://api.example.com/*", "timeout.connect");
    /// at("07:00");
    /// assert_fails("kitchen", "timeout.connect");
    /// ```
    #[rhai_fn(name = "fail_http", return_raw, volatile)]
    pub fn fail_http(method: &str, url: &str, kind: &str) -> Result<(), Thrown> {
        testing()?.sandbox.mock_http(method, url, MockResponse::Error(kind.to_owned())).map_err(wrong)
    }

    /// Lets a web request come to a webhook; returns the answer: `status`, `headers`, `text`, `json()`.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// assert_eq(request("GET", "/hooks/fridge").json(), #{ times: 0 });
    /// let answer = request("POST", "/hooks/fridge", #{ json: #{ times: 3 } });
    /// assert_eq(answer.status, 204);
    /// assert_eq(request("GET", "/hooks/fridge").json().times, 3);
    /// ```
    #[rhai_fn(name = "request", return_raw, volatile)]
    pub fn request(method: &str, path: &str) -> Result<Dynamic, Thrown> {
        super::request(method, path, &rhai::Map::new())
    }

    /// Options:
    ///
    /// - `json`: data that is sent as JSON
    /// - `body`: text that is sent as it is
    /// - `headers`: a map
    /// - `query`: a map, for behind the `?`
    #[rhai_fn(name = "request", return_raw, volatile)]
    pub fn request_with(method: &str, path: &str, options: rhai::Map) -> Result<Dynamic, Thrown> {
        super::request(method, path, &options)
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
        testing()?.sandbox.emit(name, Value::Null).map_err(wrong)
    }

    /// With data for `event.data`.
    #[rhai_fn(name = "emit", return_raw, volatile)]
    pub fn emit_with(name: &str, data: Dynamic) -> Result<(), Thrown> {
        testing()?.sandbox.emit(name, value(&data)?).map_err(wrong)
    }

    /// Wakes a handler of a script by hand, named by its trigger; returns what it returned.
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
        testing()?.sandbox.fire(script, trigger, Value::Null).map(to_dynamic).map_err(wrong)
    }

    /// With fields of what the handler gets; the others are made up.
    #[rhai_fn(name = "fire", return_raw, volatile)]
    pub fn fire_with(script: &str, trigger: &str, data: Dynamic) -> Result<Dynamic, Thrown> {
        testing()?.sandbox.fire(script, trigger, value(&data)?).map(to_dynamic).map_err(wrong)
    }

    /// Writes a file; scripts that watch it are woken.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// change_file("inbox/list.txt", "milk");
    /// assert_log("created: milk");
    /// ```
    #[rhai_fn(name = "change_file", return_raw, volatile)]
    pub fn change_file(path: &str, text: &str) -> Result<(), Thrown> {
        testing()?.sandbox.change_file(path, Some(text)).map_err(wrong)
    }

    /// Removes a file; scripts that watch it are woken.
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
        testing()?.sandbox.change_file(path, None).map_err(wrong)
    }

    /// Sets what a script keeps under a key.
    ///
    /// # Example
    /// ```rhai
    /// set_state("kitchen", "times", 7);
    /// load("kitchen");
    /// publish("kitchen/fridge", "open");
    /// assert_state("kitchen", "times", 8);
    /// ```
    #[rhai_fn(name = "set_state", return_raw, volatile)]
    pub fn set_state(script: &str, key: &str, kept: Dynamic) -> Result<(), Thrown> {
        testing()?.sandbox.set_state(script, key, value(&kept)?).map_err(wrong)
    }

    /// Returns all that a script keeps, as a map.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// publish("kitchen/fridge", "open");
    /// assert_eq(state_of("kitchen"), #{ times: 1 });
    /// ```
    #[rhai_fn(name = "state_of", return_raw, volatile)]
    pub fn state_of(script: &str) -> Result<Dynamic, Thrown> {
        testing()?.sandbox.state(script).map(|kept| map(&kept)).map_err(wrong)
    }

    /// Sets what `secret(name)` gives to scripts.
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
        testing()?.sandbox.set_secret(name, value).map_err(wrong)
    }

    /// Lets the default broker be away: no message comes, and what scripts publish waits or fails as it would.
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
        testing()?.sandbox.set_broker_down(None, true).map_err(wrong)
    }

    /// With the name of another broker.
    #[rhai_fn(name = "broker_down", return_raw, volatile)]
    pub fn broker_down_named(name: &str) -> Result<(), Thrown> {
        testing()?.sandbox.set_broker_down(Some(name), true).map_err(wrong)
    }

    /// Lets the default broker come back; what waited for it is sent.
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
        testing()?.sandbox.set_broker_down(None, false).map_err(wrong)
    }

    /// With the name of another broker.
    #[rhai_fn(name = "broker_up", return_raw, volatile)]
    pub fn broker_up_named(name: &str) -> Result<(), Thrown> {
        testing()?.sandbox.set_broker_down(Some(name), false).map_err(wrong)
    }

    /// Lets rhaid stop, and start again with what it kept.
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
        testing()?.sandbox.restart().map_err(wrong)
    }

    /// Lets what was published, asked, logged and run so far count no more; what scripts keep stays.
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
        testing()?.sandbox.clear_records();
        Ok(())
    }
}
