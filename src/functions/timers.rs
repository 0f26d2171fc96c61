//! Durable timers, and events between scripts.

use jiff::{SignedDuration, Timestamp};
use rhai::plugin::*;

use crate::functions::arguments::value;
use crate::functions::context::Context;
use crate::functions::package::Package;
use crate::functions::phase::context;
use crate::functions::thrown::{Thrown, invalid_argument, thrown};
use crate::functions::time::parse::{ZoneContext, parse_datetime};
use crate::options;
use crate::services::store::Emitted;
use crate::services::store::Timer;
use crate::value::Value;

/// Timers and events.
pub const TIMERS: Package = Package {
    name: "Timers and events",
    docs: "Start timers and emit events to other scripts. Both take effect when the run succeeds, and are discarded when it fails.",
    register: |module| {
        combine_with_exported_module!(module, "timers", functions);
    },
};

/// The largest number of timers that a run may start, and of events that it may emit.
const MAX_PER_RUN: usize = 10_000;

/// The longest name of a timer or event, in bytes.
const MAX_NAME: usize = 1_024;

fn check_name(name: &str) -> Result<(), Thrown> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(invalid_argument(format!("a name has 1 to {MAX_NAME} bytes, not {}", name.len())));
    }
    Ok(())
}

fn too_many(action: &str) -> Thrown {
    thrown("too_large", format!("a run may {action} at most {MAX_PER_RUN} times"))
}

/// Returns the due time of a timer: after a duration, or at a datetime.
fn due(context: &Context, when: &Dynamic) -> Result<Timestamp, Thrown> {
    let written = value(when)?;
    let clock = &context.services.clock;
    let after = match (&written, options::duration(&written)) {
        (Value::Time(time), _) => return Ok(time.timestamp()),
        (_, Ok(after)) => after,
        (Value::Text(text), Err(why)) => {
            let moment = parse_datetime(text, &ZoneContext::of(clock)).map_err(|_| {
                invalid_argument(format!("{why}; or a datetime such as \"2026-03-01 07:30\" or `now().add(\"1h\")`"))
            })?;
            return Ok(moment.timestamp());
        }
        (_, Err(why)) => return Err(invalid_argument(why)),
    };
    let after = SignedDuration::try_from(after).map_err(invalid_argument)?;
    clock.now().checked_add(after).map_err(|_| invalid_argument("the end is after the year 9999"))
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
            return Err(too_many("start a timer"));
        }
        batch.timers_set.push(timer);
    }
    context.record_deferred("timer_start", format!("{name} (due {due:.0})"));
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
    context.record_deferred("emit", name);
    Ok(())
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Starts a timer, or restarts it if it is running. When it expires, the handler of `on_timer(name, …)` runs.
    ///
    /// `when` is a duration (`"15m"`, or a number of seconds) or a point in time (a datetime, or text such as `"2026-03-01 07:30"`). The
    /// timer belongs to the script and survives reloads and restarts. The handler gets `data`.
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

    /// Cancels a timer; returns whether it was running.
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
            context.record_deferred("timer_cancel", name);
        }
        Ok(running)
    }

    /// Returns the remaining time of a timer in seconds, or `()` if it is not running.
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

    /// Emits an event to all scripts. Each handler of `on_event(name, …)` runs with the data, the event name and the name of this script.
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
