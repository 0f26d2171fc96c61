//! One `.rhai` file: compiled, with what it declared.

mod analyse;
mod call;
pub mod codes;
pub mod coverage;
mod declare;
mod engine;
mod errors;
mod files;
mod guard;
mod guarded_std;
mod handler;
pub mod lint;
mod load;
mod migration_hints;
mod modules;
pub mod outline;
pub mod session;
mod shape;
mod source;
pub mod testing;
#[cfg(test)]
mod tests;

use std::panic::resume_unwind;
use std::sync::Arc;

use rhai::{AST, Engine, Expr, Module, Position, Shared, StmtBlock};

use self::call::within;
use self::handler::Handler;
use self::load::Loader;
use crate::config::{Config, Limits};
use crate::event::Event;
use crate::fault::{Fault, SourceLocation};
use crate::functions::{Context, Stop};
use crate::run::Policy;
use crate::triggers::{Trigger, TriggerContext};
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
pub struct Declaration {
    /// What wakes it.
    pub trigger: Box<dyn Trigger>,
    /// The kind's name.
    pub kind: &'static str,
    /// Equal for two declarations that watch the same thing in the same way: kind, arguments and own options, not the policy.
    pub identity: String,
    /// How its events become runs. Its `name` is always set, and unique within the script.
    pub policy: Policy,
    /// Where it was declared.
    pub location: SourceLocation,
    /// Which function it wakes.
    pub handler: usize,
}

/// One `.rhai` file, compiled, with what it declared; immutable, shared by all its runs.
pub struct Script {
    /// Its name: the file below the scripts folder without `.rhai`, with `/` between.
    pub name: Arc<str>,
    /// What it declared, in order; empty for a job.
    pub declarations: Vec<Declaration>,
    /// Every file it is made of, with its text: its own first, then modules.
    pub files: Vec<(String, String)>,
    /// The first `//!` lines.
    pub docs: String,
    engine: Arc<Engine>,
    body: Body,
    modules: Vec<Shared<Module>>,
}

/// What a script does when it is called.
enum Body {
    /// Its handlers are called.
    Handlers { module: Shared<Module>, constants: Option<engine::Constants>, handlers: Vec<Handler> },
    /// It runs whole: its statements and its functions.
    Job(Expr, Shared<Module>),
}

impl Body {
    fn job(ast: &AST) -> Self {
        let statements = StmtBlock::new(ast.statements().iter().cloned(), Position::NONE, Position::NONE);
        Self::Job(Expr::Stmt(statements.into()), ast.shared_lib().clone())
    }
}

/// How a call ended that did not return.
#[derive(Debug, Clone)]
pub enum RunError {
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
        file: &str,
        purpose: &Purpose,
        sources: Arc<dyn Sources>,
        config: &Arc<Config>,
        trigger_context: &TriggerContext,
    ) -> Result<Self, Vec<Fault>> {
        let loader = Loader { file, purpose, sources, config, trigger_context };
        let loaded = std::thread::scope(|scope| {
            let thread =
                std::thread::Builder::new().name(format!("load {file}")).stack_size(stack_size(&config.limits));
            thread
                .spawn_scoped(scope, || loader.load())
                .map(|load| load.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        loaded.unwrap_or_else(|why| {
            let location = SourceLocation { file: file.to_owned(), ..SourceLocation::default() };
            Err(vec![Fault::new(location, format!("there is no thread to load it on: {why}"))])
        })
    }

    /// Calls a handler on the current thread (a worker's, with a large stack), within the context's limits.
    ///
    /// What the handler returns is turned into plain data; what is none, such as a function, counts as nothing.
    ///
    /// # Errors
    /// If it did not return.
    pub fn call(&self, handler: usize, event: &Event, context: &Arc<Context>) -> Result<Value, RunError> {
        self.call_handler(handler, event, context)
    }

    /// Returns whether it is a job, which runs whole.
    fn is_job(&self) -> bool {
        matches!(self.body, Body::Job(..))
    }

    /// Runs a job whole, with `event` (or `()`) and `args`.
    ///
    /// # Errors
    /// If it did not reach its end. `exit(code)` counts as reaching it.
    pub fn run(&self, event: Option<&Event>, args: &[String], context: &Arc<Context>) -> Result<JobResult, RunError> {
        self.run_job(event, args, context)
    }
}

/// How a job ended well.
#[derive(Debug, Clone, PartialEq)]
pub struct JobResult {
    /// The value of its last expression.
    pub value: Value,
    /// What `exit(code)` said; 0 without.
    pub code: u8,
}

/// The least stack of a thread that runs scripts: deep enough for what the default limits let through.
pub const MIN_STACK_SIZE: usize = 256 << 20;

/// Returns the stack that a thread needs to run scripts within these limits.
///
/// A chain of closures or lists inside each other is dropped, copied and compared level by level, and the memory budget
/// lets hundreds of thousands of levels through; a level takes less than four times as much stack as memory, also in a debug
/// build. Only what is used of a stack takes memory.
pub fn stack_size(limits: &Limits) -> usize {
    usize::try_from(limits.memory).unwrap_or(usize::MAX).saturating_mul(4).max(MIN_STACK_SIZE)
}

/// Returns the name of every function and method that scripts can call, those of the language too.
pub fn standard_functions() -> impl Iterator<Item = &'static str> {
    analyse::known::IN_SCRIPTS.names()
}
