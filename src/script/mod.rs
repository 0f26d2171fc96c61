//! One `.rhai` file: compiled, with what it declared.

use std::sync::Arc;

use crate::config::Config;
use crate::event::Event;
use crate::fault::{Fault, Place};
use crate::functions::{Context, Stop};
use crate::run::Policy;
use crate::triggers::{Surroundings, Trigger};
use crate::value::Value;

/// The sources a script is loaded from: the folder as it is now, or what was accepted before.
pub trait Sources: Send + Sync {
    /// Returns the text of a file, named relative to the scripts folder with `/` between.
    ///
    /// # Errors
    /// A sentence, if there is no such file, it lies outside the folder, is too large or no UTF-8.
    fn read(&self, file: &str) -> Result<Arc<str>, String>;
}

/// What a script is loaded for.
#[derive(Debug, Clone, PartialEq)]
pub enum Purpose {
    /// Its top level declares triggers.
    Handlers,
    /// It runs whole.
    Job,
}

/// A handler that a script declared, with what wakes it.
pub struct Declared {
    /// What wakes it.
    pub trigger: Box<dyn Trigger>,
    /// The kind's name.
    pub kind: &'static str,
    /// Equal for two declarations that watch the same thing in the same way: kind, arguments and own options, not the policy.
    pub identity: String,
    /// How its events become runs. Its `name` is always set, and unique within the script.
    pub policy: Policy,
    /// Where it was declared.
    pub place: Place,
    /// Which function it wakes.
    pub handler: usize,
}

/// One `.rhai` file, compiled, with what it declared; immutable, shared by all its runs.
pub struct Script {
    /// Its name: the file below the scripts folder without `.rhai`, with `/` between.
    pub name: Arc<str>,
    /// What it declared, in order; empty for a job.
    pub declared: Vec<Declared>,
    /// Every file it is made of, with its text: its own first, then modules.
    pub files: Vec<(String, String)>,
    /// The first `//!` lines.
    pub docs: String,
}

/// How a call ended that did not return.
#[derive(Debug, Clone)]
pub enum Ended {
    /// The script failed.
    Fault(Box<Fault>),
    /// The run had to stop; where it stood.
    Stopped(Stop, Box<Fault>),
}

impl Script {
    /// Loads a script: compiles it, finds unknown names, runs its top level with a deadline. Touches nothing outside.
    ///
    /// Runs on a thread of its own with a large stack; blocks the caller.
    ///
    /// # Errors
    /// Every fault that was found.
    pub fn load(
        _file: &str,
        _purpose: &Purpose,
        _sources: Arc<dyn Sources>,
        _config: &Arc<Config>,
        _surroundings: &Surroundings,
    ) -> Result<Self, Vec<Fault>> {
        unimplemented!()
    }

    /// Calls a handler on the current thread (a worker's, with a large stack), within the context's limits.
    ///
    /// # Errors
    /// If it did not return.
    pub fn call(&self, _handler: usize, _event: &Event, _context: &Arc<Context>) -> Result<Value, Ended> {
        unimplemented!()
    }

    /// Runs a job whole, with `event` (or `()`) and `args`.
    ///
    /// # Errors
    /// If it did not reach its end. `exit(code)` counts as reaching it.
    pub fn run(&self, _event: Option<&Event>, _args: &[String], _context: &Arc<Context>) -> Result<Finished, Ended> {
        unimplemented!()
    }
}

/// How a job ended well.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The value of its last expression.
    pub value: Value,
    /// What `exit(code)` said; 0 without.
    pub code: u8,
}

/// The stack of every thread that runs scripts: deep enough for what the limits let through.
pub const STACK: usize = 64 << 20;
