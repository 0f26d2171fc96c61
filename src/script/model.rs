//! A compiled script and the triggers that it declares.

use std::sync::Arc;

use rhai::{AST, Engine, Expr, Module, Position, Shared, StmtBlock};

use super::globals::Constants;
use super::handler::Handler;
use crate::fault::SourceLocation;
use crate::run::Policy;
use crate::triggers::Trigger;

/// The role that a script is loaded for.
#[derive(Debug, Clone, PartialEq)]
pub enum Purpose {
    /// The top level declares triggers and their handlers.
    Handlers,
    /// The whole script runs as one job.
    Job,
}

/// A trigger that a script declares, with its handler.
pub struct Declaration {
    /// The trigger that starts the handler.
    pub trigger: Box<dyn Trigger>,
    /// The name of the trigger kind.
    pub kind: &'static str,
    /// A key that is equal for two declarations with the same kind, arguments and options of the kind. The policy is not part of it.
    pub identity: String,
    /// The rules by which events become runs. Its `name` is always set, and unique within the script.
    pub policy: Policy,
    /// The position of the declaration.
    pub location: SourceLocation,
    /// The index of the handler.
    pub handler: usize,
}

/// A compiled `.rhai` file with its declarations. Immutable and shared by all its runs.
pub struct Script {
    /// The path below the scripts folder without `.rhai`, with `/` as the separator.
    pub name: Arc<str>,
    /// The declared triggers, in source order. Empty for a job.
    pub declarations: Vec<Declaration>,
    /// The name and text of each file: the script first, then its modules.
    pub files: Vec<(String, String)>,
    /// The leading `//!` lines.
    pub docs: String,
    pub(super) engine: Arc<Engine>,
    pub(super) body: Body,
    pub(super) modules: Vec<Shared<Module>>,
}

/// The code of a script.
pub(super) enum Body {
    /// Handlers that triggers call.
    Handlers { module: Shared<Module>, constants: Option<Constants>, handlers: Vec<Handler> },
    /// The statements and functions of a job.
    Job(Expr, Shared<Module>),
}

impl Body {
    pub(super) fn job(ast: &AST) -> Self {
        let statements = StmtBlock::new(ast.statements().iter().cloned(), Position::NONE, Position::NONE);
        Self::Job(Expr::Stmt(statements.into()), ast.shared_lib().clone())
    }
}

impl Script {
    /// Returns whether the script is a job.
    pub(super) fn is_job(&self) -> bool {
        matches!(self.body, Body::Job(..))
    }
}
