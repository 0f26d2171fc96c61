//! How a function tells what it does, so that the ledger can explain a run and a dry run does nothing.

use std::time::Instant;

use rhai::{Dynamic, EvalAltResult};

use crate::effect::Effect;
use crate::functions::{Context, Thrown, thrown};

/// What an act comes to in a dry run.
pub(super) enum DryRun<T> {
    /// It is done all the same, for it changes nothing.
    Done,
    /// It is not done, and the script gets this.
    Gives(T),
    /// It is not done, and is a fault of kind `dry`: nothing can stand in for its answer.
    Refused,
}

impl Context {
    /// Tells of something that is done already, or takes no time.
    pub(super) fn did(&self, what: &'static str, with: impl Into<String>) {
        self.run_log.record_effect(Effect::new(what, with));
    }

    /// Tells of something that takes effect when the run ends well, and not at all otherwise.
    pub(super) fn holds(&self, what: &'static str, with: impl Into<String>) {
        self.run_log.record_effect(Effect { deferred: true, ..Effect::new(what, with) });
    }

    /// Does something to the outside and tells of it: with what, for how long, and how it ended.
    ///
    /// `act` may write into the text it is given what came back, in a few words.
    ///
    /// # Errors
    /// As `act`; in a dry run as `dry` says.
    pub(super) fn act<T>(
        &self,
        what: &'static str,
        with: impl Into<String>,
        dry: DryRun<T>,
        act: impl FnOnce(&mut String) -> Result<T, Thrown>,
    ) -> Result<T, Thrown> {
        let mut effect = Effect::new(what, with);
        let started = Instant::now();
        let done = match dry {
            DryRun::Gives(instead) if self.is_dry_run => {
                "not done: a dry run".clone_into(&mut effect.result);
                Ok(instead)
            }
            DryRun::Refused if self.is_dry_run => Err(thrown(
                "dry",
                format!("`{what}` does nothing in a dry run, and nothing can stand in for its answer"),
            )),
            _ => act(&mut effect.result),
        };
        effect.took = started.elapsed();
        if let Err(error) = &done {
            effect.fault = words(error);
        }
        self.run_log.record_effect(effect);
        done
    }
}

/// Returns why something was thrown, in a line.
fn words(thrown: &EvalAltResult) -> String {
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
