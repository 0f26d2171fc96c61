//! Logging.

use std::sync::atomic::Ordering;

use rhai::plugin::*;
use serde_json::Map as Fields;

use crate::config::Level;
use crate::functions::arguments::{parse_options, shown};
use crate::functions::context::RunUsage;
use crate::functions::package::Package;
use crate::functions::phase::{Phase, phase};
use crate::functions::thrown::Thrown;
use crate::value::Value;

/// Log lines.
pub const LOG: Package = Package {
    name: "Log",
    docs: "Log lines, shown on the terminal and stored with the run.",
    register: |module| {
        combine_with_exported_module!(module, "log", functions);
    },
};

/// Logs the output of Rhai's `print`.
pub fn print(text: &str) {
    line(Level::Info, text, &Fields::new());
}

/// Logs the output of Rhai's `debug`.
pub fn debug(text: &str) {
    line(Level::Debug, text, &Fields::new());
}

/// The largest number of bytes that the top level of a script may log.
const LOADING_LOG: u64 = 64 << 10;

/// Logs a line. The first line that exceeds the limit of the run is replaced by a warning; later ones are dropped.
fn line(level: Level, text: &str, fields: &Fields<String, serde_json::Value>) {
    let fields_size: usize = fields.iter().map(|(key, value)| key.len() + value.to_string().len()).sum();
    let size = (text.len() + fields_size + 1) as u64;
    let within = |usage: &RunUsage, limit: u64| {
        let before = usage.logged.fetch_add(size, Ordering::Relaxed);
        (before.saturating_add(size) <= limit, before <= limit)
    };
    match phase() {
        Phase::Running(context) => {
            let limit = context.config.limits.log;
            match within(&context.usage, limit) {
                (true, _) => context.run_log.log_line(level, text, fields),
                (false, true) => {
                    let limit = crate::units::show_size(limit);
                    let warning = format!(
                        "further log lines of this run are dropped: it logged more than {limit} (`limits.log`)"
                    );
                    context.run_log.log_line(Level::Warn, &warning, &Fields::new());
                }
                (false, false) => {}
            }
        }
        Phase::Loading(loading) => {
            if within(&loading.usage, LOADING_LOG).0 {
                tracing::info!(script = %loading.script, "{text}");
            }
        }
        Phase::TestRun(testing) => testing.sandbox.print(text),
        Phase::None => {}
    }
}

fn with_fields(level: Level, message: &Dynamic, fields: &rhai::Map) -> Result<(), Thrown> {
    let fields =
        parse_options(fields)?.remaining().into_iter().map(|(key, value)| (key, Value::to_json(&value))).collect();
    line(level, &shown(message), &fields);
    Ok(())
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Logs a message at level info, followed by named values.
    ///
    /// `print(value)` logs a single value.
    ///
    /// # Example
    /// ```rhai
    /// print("the door is open");
    /// print("the door is open", #{ door: "front", minutes: 5 });
    /// ```
    #[rhai_fn(name = "print", return_raw)]
    pub fn print_fields(message: Dynamic, fields: rhai::Map) -> Result<ImmutableString, Thrown> {
        let mut text = shown(&message);
        for (key, value) in parse_options(&fields)?.remaining() {
            text.push_str(&format!(" {key}={}", value.to_json()));
        }
        Ok(text.into())
    }

    /// Logs a message at level debug, followed by named values. It is shown only if `log.level` is `debug`.
    ///
    /// # Example
    /// ```rhai
    /// debug("read the sensor", #{ raw: 812 });
    /// ```
    #[rhai_fn(name = "debug", return_raw)]
    pub fn debug_fields(message: Dynamic, fields: rhai::Map) -> Result<ImmutableString, Thrown> {
        print_fields(message, fields)
    }

    /// Logs a message at level info, for changes of state.
    ///
    /// # Example
    /// ```rhai
    /// info("heating on");
    /// info("heating on", #{ room: "bath", celsius: 19.5 });
    /// ```
    #[rhai_fn(name = "info")]
    pub fn info(message: Dynamic) {
        line(Level::Info, &shown(&message), &Fields::new());
    }

    #[rhai_fn(name = "info", return_raw)]
    pub fn info_fields(message: Dynamic, fields: rhai::Map) -> Result<(), Thrown> {
        with_fields(Level::Info, &message, &fields)
    }

    /// Logs a message at level warn, for problems that the script handles itself.
    ///
    /// # Example
    /// ```rhai
    /// warn("no reading for an hour", #{ sensor: "attic" });
    /// ```
    #[rhai_fn(name = "warn")]
    pub fn warn(message: Dynamic) {
        line(Level::Warn, &shown(&message), &Fields::new());
    }

    #[rhai_fn(name = "warn", return_raw)]
    pub fn warn_fields(message: Dynamic, fields: rhai::Map) -> Result<(), Thrown> {
        with_fields(Level::Warn, &message, &fields)
    }

    /// Logs a message at level error, for problems that need attention. The script continues; to end it, use `throw`.
    ///
    /// # Example
    /// ```rhai
    /// error("the pump does not answer", #{ pump: 2 });
    /// ```
    #[rhai_fn(name = "error")]
    pub fn error(message: Dynamic) {
        line(Level::Error, &shown(&message), &Fields::new());
    }

    #[rhai_fn(name = "error", return_raw)]
    pub fn error_fields(message: Dynamic, fields: rhai::Map) -> Result<(), Thrown> {
        with_fields(Level::Error, &message, &fields)
    }
}
