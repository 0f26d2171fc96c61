//! What a test does to its world.

use std::sync::Arc;

use rhai::FnPtr;
use rhai::plugin::*;

use super::{Answering, trial, wrong};
use crate::functions::Thrown;
use crate::functions::arguments::{self, duration, options, refused, value};
use crate::functions::convert::{map, returned, to_dynamic, to_value};
use crate::options::Options;
use crate::services::mqtt::Publish;
use crate::value::{Map, Value};

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "turn", functions);
}

fn message(topic: &str, payload: &Dynamic, mut options: Options) -> Result<Publish, Thrown> {
    let payload = arguments::bytes(value(payload)?);
    let qos = options.int("qos", 0..=2).map_err(refused)?.unwrap_or(0) as u8;
    let retain = options.bool("retain").map_err(refused)?.unwrap_or(false);
    let broker = options.text("broker").map_err(refused)?;
    options.finish().map_err(refused)?;
    Ok(Publish { topic: topic.to_owned(), payload: payload.into(), qos, retain, broker, ..Publish::default() })
}

fn request(method: &str, path: &str, with: &rhai::Map) -> Result<Dynamic, Thrown> {
    let with = match returned(&Dynamic::from_map(with.clone())) {
        Value::Map(with) => with,
        _ => Map::new(),
    };
    trial()?.world.request(method, path, with).map(|answer| map(&answer)).map_err(wrong)
}

/// Returns how requests are answered by a function of the test, on whatever thread they come.
fn by(function: FnPtr) -> Result<Answering, Thrown> {
    let trial = Arc::downgrade(&trial()?);
    Ok(Answering::By(Box::new(move |request| {
        let trial = trial.upgrade().ok_or("the test is over")?;
        let phase = crate::functions::Phase::Trial(trial.clone());
        let answer = crate::functions::enter(phase, || (trial.call)(&function, vec![map(&request)]));
        answer.map_err(|error| error.to_string()).and_then(|answer| to_value(&answer))
    })))
}

#[export_module]
#[expect(unreachable_pub, clippy::unwrap_used, reason = "the macro wants public functions, and unwraps receivers")]
mod functions {
    /// Brings a script of the folder to life, by its name, such as `"garden/pump"`.
    #[rhai_fn(name = "load", return_raw, volatile)]
    pub fn load(script: &str) -> Result<(), Thrown> {
        trial()?.world.load(script).map_err(wrong)
    }

    /// Lets a message come from outside.
    #[rhai_fn(name = "publish", return_raw, volatile)]
    pub fn publish(topic: &str, payload: Dynamic) -> Result<(), Thrown> {
        trial()?.world.publish(message(topic, &payload, Options::default())?).map_err(wrong)
    }

    /// Lets a message come from outside, with `qos`, `retain`, `broker`.
    #[rhai_fn(name = "publish", return_raw, volatile)]
    pub fn publish_with(topic: &str, payload: Dynamic, with: rhai::Map) -> Result<(), Thrown> {
        trial()?.world.publish(message(topic, &payload, options(&with)?)?).map_err(wrong)
    }

    /// Turns the clock; everything that is due happens, in order.
    #[rhai_fn(name = "advance", return_raw, volatile)]
    pub fn advance(time: Dynamic) -> Result<(), Thrown> {
        trial()?.world.advance(duration(&time)?).map_err(wrong)
    }

    /// Turns the clock on to a moment; before anything lives, sets it.
    #[rhai_fn(name = "at", return_raw, volatile)]
    pub fn at(moment: &str) -> Result<(), Thrown> {
        trial()?.world.at(moment).map_err(wrong)
    }

    /// Says what is answered to requests of a method to URLs of a pattern, from now on: text, data as JSON, or a map with `status`,
    /// `headers` and `json` or `body`.
    #[rhai_fn(name = "on_http", return_raw, volatile)]
    pub fn on_http(method: &str, url: &str, answer: Dynamic) -> Result<(), Thrown> {
        let answer = match answer.clone().try_cast::<FnPtr>() {
            Some(function) => by(function)?,
            None => Answering::With(value(&answer)?),
        };
        trial()?.world.answer(method, url, answer).map_err(wrong)
    }

    /// Lets requests fail, with the kind that the script catches.
    #[rhai_fn(name = "fail_http", return_raw, volatile)]
    pub fn fail_http(method: &str, url: &str, kind: &str) -> Result<(), Thrown> {
        trial()?.world.answer(method, url, Answering::Fails(kind.to_owned())).map_err(wrong)
    }

    /// Lets a web request come; returns the answer: `status`, `headers`, `text`, `json()`.
    #[rhai_fn(name = "request", return_raw, volatile)]
    pub fn request(method: &str, path: &str) -> Result<Dynamic, Thrown> {
        super::request(method, path, &rhai::Map::new())
    }

    /// Lets a web request come, with `json` or `body`, `headers`, `query`; returns the answer.
    #[rhai_fn(name = "request", return_raw, volatile)]
    pub fn request_with(method: &str, path: &str, with: rhai::Map) -> Result<Dynamic, Thrown> {
        super::request(method, path, &with)
    }

    /// Emits an event, as another script would.
    #[rhai_fn(name = "emit", return_raw, volatile)]
    pub fn emit(name: &str) -> Result<(), Thrown> {
        trial()?.world.emit(name, Value::Null).map_err(wrong)
    }

    /// Emits an event with data, as another script would.
    #[rhai_fn(name = "emit", return_raw, volatile)]
    pub fn emit_with(name: &str, data: Dynamic) -> Result<(), Thrown> {
        trial()?.world.emit(name, value(&data)?).map_err(wrong)
    }

    /// Wakes a handler by hand; returns what it returned.
    #[rhai_fn(name = "fire", return_raw, volatile)]
    pub fn fire(script: &str, trigger: &str) -> Result<Dynamic, Thrown> {
        trial()?.world.fire(script, trigger, Value::Null).map(to_dynamic).map_err(wrong)
    }

    /// Wakes a handler by hand, with fields of its argument; returns what it returned.
    #[rhai_fn(name = "fire", return_raw, volatile)]
    pub fn fire_with(script: &str, trigger: &str, data: Dynamic) -> Result<Dynamic, Thrown> {
        trial()?.world.fire(script, trigger, value(&data)?).map(to_dynamic).map_err(wrong)
    }

    /// Writes a watched file.
    #[rhai_fn(name = "change_file", return_raw, volatile)]
    pub fn change_file(path: &str, text: &str) -> Result<(), Thrown> {
        trial()?.world.change_file(path, Some(text)).map_err(wrong)
    }

    /// Removes a watched file.
    #[rhai_fn(name = "remove_file", return_raw, volatile)]
    pub fn remove_file(path: &str) -> Result<(), Thrown> {
        trial()?.world.change_file(path, None).map_err(wrong)
    }

    /// Sets what a script keeps under a key.
    #[rhai_fn(name = "set_state", return_raw, volatile)]
    pub fn set_state(script: &str, key: &str, kept: Dynamic) -> Result<(), Thrown> {
        trial()?.world.set_state(script, key, value(&kept)?).map_err(wrong)
    }

    /// Returns all that a script keeps, as a map.
    #[rhai_fn(name = "state_of", return_raw, volatile)]
    pub fn state_of(script: &str) -> Result<Dynamic, Thrown> {
        trial()?.world.state(script).map(|kept| map(&kept)).map_err(wrong)
    }

    /// Sets what `secret(name)` gives.
    #[rhai_fn(name = "set_secret", return_raw, volatile)]
    pub fn set_secret(name: &str, value: &str) -> Result<(), Thrown> {
        trial()?.world.set_secret(name, value).map_err(wrong)
    }

    /// Lets the default broker be away.
    #[rhai_fn(name = "broker_down", return_raw, volatile)]
    pub fn broker_down() -> Result<(), Thrown> {
        trial()?.world.set_away(None, true).map_err(wrong)
    }

    /// Lets a broker be away.
    #[rhai_fn(name = "broker_down", return_raw, volatile)]
    pub fn broker_down_named(name: &str) -> Result<(), Thrown> {
        trial()?.world.set_away(Some(name), true).map_err(wrong)
    }

    /// Lets the default broker come back.
    #[rhai_fn(name = "broker_up", return_raw, volatile)]
    pub fn broker_up() -> Result<(), Thrown> {
        trial()?.world.set_away(None, false).map_err(wrong)
    }

    /// Lets a broker come back.
    #[rhai_fn(name = "broker_up", return_raw, volatile)]
    pub fn broker_up_named(name: &str) -> Result<(), Thrown> {
        trial()?.world.set_away(Some(name), false).map_err(wrong)
    }

    /// Lets rhaid stop, and start again with what it kept.
    #[rhai_fn(name = "restart", return_raw, volatile)]
    pub fn restart() -> Result<(), Thrown> {
        trial()?.world.restart().map_err(wrong)
    }

    /// Lets what was published, asked, logged and run so far count no more.
    #[rhai_fn(name = "forget", return_raw, volatile)]
    pub fn forget() -> Result<(), Thrown> {
        trial()?.world.forget();
        Ok(())
    }
}
