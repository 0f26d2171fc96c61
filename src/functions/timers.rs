//! Timers that survive a restart, and events between scripts.

use jiff::{SignedDuration, Timestamp};
use rhai::plugin::*;

use crate::functions::arguments::{invalid_argument, value};
use crate::functions::time::{ZoneContext, parse_moment};
use crate::functions::{Context, Package, Thrown, context, thrown};
use crate::options;
use crate::services::event_bus::Emitted;
use crate::services::timers::Timer;
use crate::value::Value;

/// Timers and events.
pub const TIMERS: Package = Package {
    name: "Timers and events",
    docs: "What happens later, and what other scripts hear. Both take effect when the run ends well, and not at all when it fails.",
    register: |module| {
        combine_with_exported_module!(module, "timers", functions);
    },
};

/// How many timers one run may set, and how many events it may emit.
const MAX_PER_RUN: usize = 10_000;

/// The longest name of a timer or event, in bytes.
const MAX_NAME: usize = 1_024;

fn check_name(name: &str) -> Result<(), Thrown> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(invalid_argument(format!("a name has 1 to {MAX_NAME} bytes, not {}", name.len())));
    }
    Ok(())
}

fn too_many(what: &str) -> Thrown {
    thrown("too_large", format!("one run may {what} at most {MAX_PER_RUN} times"))
}

/// Returns when a timer is due: after a duration, or at a moment.
fn due(context: &Context, when: &Dynamic) -> Result<Timestamp, Thrown> {
    let written = value(when)?;
    let clock = &context.services.clock;
    let after = match (&written, options::duration(&written)) {
        (Value::Time(time), _) => return Ok(time.timestamp()),
        (_, Ok(after)) => after,
        (Value::Text(text), Err(why)) => {
            let moment = parse_moment(text, &ZoneContext::of(clock)).map_err(|_| {
                invalid_argument(format!("{why}; or a moment, such as \"2026-03-01 07:30\" or `now().add(\"1h\")`"))
            })?;
            return Ok(moment.timestamp());
        }
        (_, Err(why)) => return Err(invalid_argument(why)),
    };
    let after = SignedDuration::try_from(after).map_err(invalid_argument)?;
    clock.now().checked_add(after).map_err(|_| invalid_argument("that is after the end of time"))
}

fn start(name: &str, when: &Dynamic, data: &Dynamic) -> Result<(), Thrown> {
    let context = context("timer_start")?;
    check_name(name)?;
    let due = due(&context, when)?;
    let timer = Timer { owner: context.script.to_string(), name: name.to_owned(), due, data: value(data)? };
    {
        let mut batch = context.batch.lock();
        batch.timers_cancelled.retain(|(_, cancelled)| cancelled != name);
        batch.timers_set.retain(|set| set.name != name);
        if batch.timers_set.len() >= MAX_PER_RUN {
            return Err(too_many("set a timer"));
        }
        batch.timers_set.push(timer);
    }
    context.holds("timer_start", format!("{name} (due {due:.0})"));
    Ok(())
}

fn emit(name: &str, data: &Dynamic) -> Result<(), Thrown> {
    let context = context("emit")?;
    check_name(name)?;
    let emitted = Emitted {
        name: name.to_owned(),
        data: value(data)?,
        from: context.script.to_string(),
        hops: context.hops.saturating_add(1),
    };
    {
        let mut batch = context.batch.lock();
        if batch.emitted.len() >= MAX_PER_RUN {
            return Err(too_many("emit"));
        }
        batch.emitted.push(emitted);
    }
    context.holds("emit", name);
    Ok(())
}

#[export_module]
#[expect(unreachable_pub, reason = "the macro wants public functions")]
mod functions {
    /// Starts a timer, or starts it anew if it is running: `on_timer(name, …)` wakes when it runs out.
    ///
    /// When it is due is a duration (`"15m"`, or a number of seconds) or a moment (a datetime, or text such as
    /// `"2026-03-01 07:30"`). The timer belongs to the script and survives reloads and restarts. `data` is handed to the handler.
    ///
    /// # Example
    /// ```rhai
    /// timer_start("nag", "15m", #{ id: "freezer" });
    /// timer_start("bins", now().add("1d"));
    /// assert(timer_left("nag") > 890.0);
    /// ```
    #[rhai_fn(name = "timer_start", return_raw)]
    pub fn timer_start(name: &str, when: Dynamic) -> Result<(), Thrown> {
        start(name, &when, &Dynamic::UNIT)
    }

    #[rhai_fn(name = "timer_start", return_raw)]
    pub fn timer_start_with(name: &str, when: Dynamic, data: Dynamic) -> Result<(), Thrown> {
        start(name, &when, &data)
    }

    /// Stops a timer; returns whether it was running.
    ///
    /// # Example
    /// ```rhai
    /// timer_start("nag", "15m");
    /// assert(timer_cancel("nag"));
    /// assert(!timer_cancel("nag"));
    /// ```
    #[rhai_fn(name = "timer_cancel", return_raw)]
    pub fn timer_cancel(name: &str) -> Result<bool, Thrown> {
        let running = timer_left(name)?.is_float();
        let context = context("timer_cancel")?;
        if running {
            let mut batch = context.batch.lock();
            batch.timers_set.retain(|set| set.name != name);
            batch.timers_cancelled.push((context.script.to_string(), name.to_owned()));
            drop(batch);
            context.holds("timer_cancel", name);
        }
        Ok(running)
    }

    /// Returns how many seconds a timer has left, or `()` if it is not running.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(timer_left("light"), ());
    /// timer_start("light", "2m");
    /// assert(timer_left("light") <= 120.0);
    /// ```
    #[rhai_fn(name = "timer_left", return_raw)]
    pub fn timer_left(name: &str) -> Result<Dynamic, Thrown> {
        let context = context("timer_left")?;
        let due = {
            let batch = context.batch.lock();
            if batch.timers_cancelled.iter().any(|(_, cancelled)| cancelled == name) {
                return Ok(Dynamic::UNIT);
            }
            batch.timers_set.iter().find(|set| set.name == name).map(|set| set.due)
        };
        let due = due.or_else(|| context.services.timers.find(&context.script, name).map(|timer| timer.due));
        let left = |due: Timestamp| due.duration_since(context.services.clock.now()).as_secs_f64().max(0.0);
        Ok(due.map_or(Dynamic::UNIT, |due| left(due).into()))
    }

    /// Tells all scripts of an event: each `on_event(name, …)` wakes with the data, the name and this script's name.
    ///
    /// # Example
    /// ```rhai
    /// emit("everyone left");
    /// emit("alarm", #{ room: "cellar", celsius: 41.5 });
    /// ```
    #[rhai_fn(name = "emit", return_raw)]
    pub fn emit_alone(name: &str) -> Result<(), Thrown> {
        emit(name, &Dynamic::UNIT)
    }

    #[rhai_fn(name = "emit", return_raw)]
    pub fn emit_with(name: &str, data: Dynamic) -> Result<(), Thrown> {
        emit(name, &data)
    }
}
