//! Performs and records the effects of functions, for the run history and for dry runs.

use rhai::{Dynamic, EvalAltResult};

use crate::effect::{Details, RawEffect};
use crate::functions::context::Context;
use crate::functions::thrown::{Thrown, thrown};

/// Behaviour of an effect in a dry run.
pub(super) enum DryRun<T> {
    /// Performed, because it changes nothing.
    Perform,
    /// Not performed; the function returns this value.
    Return(T),
    /// Not performed; the function throws `dry`, because its result cannot be substituted.
    Fail,
}

impl Context {
    /// Records an effect that is complete or takes no time.
    pub(super) fn record(&self, function: &'static str, details: impl Into<Details>) {
        self.run_log.record_effect(RawEffect::new(function, details));
    }

    /// Records an effect that is committed at the end of a successful run, and discarded otherwise.
    pub(super) fn record_deferred(&self, function: &'static str, details: impl Into<Details>) {
        self.run_log.record_effect(RawEffect { deferred: true, ..RawEffect::new(function, details) });
    }

    /// Performs an effect and records it with its duration and its result.
    ///
    /// `action` may write a short description of the result into the string that it is given.
    ///
    /// # Errors
    /// Those of `action`; in a dry run see [`DryRun`].
    pub(super) fn perform<T>(
        &self,
        function: &'static str,
        details: impl Into<Details>,
        dry_run: DryRun<T>,
        action: impl FnOnce(&mut String) -> Result<T, Thrown>,
    ) -> Result<T, Thrown> {
        let mut effect = RawEffect::new(function, details);
        let result = match dry_run {
            DryRun::Return(value) if self.is_dry_run => {
                "not done: a dry run".clone_into(&mut effect.result);
                Ok(value)
            }
            DryRun::Fail if self.is_dry_run => Err(thrown(
                "dry",
                format!("`{function}` does nothing in a dry run, and its result cannot be substituted"),
            )),
            _ => action(&mut effect.result),
        };
        effect.took = effect.started.elapsed();
        if let Err(error) = &result {
            effect.fault = summary(error);
        }
        self.run_log.record_effect(effect);
        result
    }
}

/// Returns an error as one line.
fn summary(thrown: &EvalAltResult) -> String {
    let field = |map: &rhai::Map, name: &str| map.get(name).map(Dynamic::to_string).unwrap_or_default();
    match thrown {
        EvalAltResult::ErrorRuntime(value, _) => match value.read_lock::<rhai::Map>() {
            Some(map) => format!("{}: {}", field(&map, "kind"), field(&map, "message")),
            None => value.to_string(),
        },
        EvalAltResult::ErrorTerminated(..) => "the run had to end".to_owned(),
        other => other.to_string(),
    }
}
