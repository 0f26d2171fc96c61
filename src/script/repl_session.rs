//! A `rhaid repl` session: lines that share variables, functions and imports.

use std::sync::Arc;

use rhai::{AST, Dynamic, Engine, FnPtr, ImmutableString, LexError, Module, ParseErrorType, Scope, Shared, Stmt};

use super::call::run_guarded;
use super::files::Files;
use super::modules::Modules;
use super::resolver::import_scope;
use super::result::RunError;
use super::sources::Sources;
use super::{compile, engine, errors, globals};
use crate::config::Config;
use crate::fault::Fault;
use crate::functions::{Context, convert};
use crate::value::Value;

/// The file name of a line in faults.
const LINE_NAME: &str = "line";

/// A session of `rhaid repl`. All lines are evaluated on one thread with a large stack.
pub struct ReplSession {
    engine: Arc<Engine>,
    scope: Scope<'static>,
    functions: Module,
    imports: Vec<Stmt>,
    modules: Vec<Shared<Module>>,
    sources: Arc<dyn Sources>,
    config: Arc<Config>,
}

/// The result of a line.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluatedLine {
    /// The value as plain data, or `()` if it cannot be converted.
    pub value: Value,
    /// The value as text.
    pub text: String,
    /// The type name that `type_of` returns, such as `string`.
    pub type_name: String,
}

impl ReplSession {
    /// Starts a session that imports modules from these sources.
    pub fn new(sources: Arc<dyn Sources>, config: &Arc<Config>) -> Self {
        let mut scope = Scope::new();
        scope.push_dynamic("state", globals::state());
        Self {
            engine: engine::shared(&config.limits),
            scope,
            functions: Module::new(),
            imports: Vec::new(),
            modules: Vec::new(),
            sources,
            config: config.clone(),
        }
    }

    /// Evaluates a line or several lines, within the limits of the context.
    ///
    /// # Errors
    /// If the line did not reach its end. Definitions made before the error remain.
    pub fn evaluate(&mut self, text: &str, context: &Arc<Context>) -> Result<EvaluatedLine, Vec<RunError>> {
        let one = |fault: Fault| vec![RunError::Fault(fault.into())];
        let files = Files(vec![(LINE_NAME.to_owned(), text.to_owned())]);
        let ast = compile::compile(&self.engine, LINE_NAME, text)
            .map_err(|error| one(errors::syntax(&files, LINE_NAME, &error)))?;
        let found = self.import(&ast, &files);
        if !found.is_empty() {
            return Err(found.into_iter().map(|fault| RunError::Fault(fault.into())).collect());
        }
        for (.., function) in ast.shared_lib().iter_script_fn_info() {
            self.functions.set_script_fn(function.clone());
        }
        let statements = self.imports.iter().chain(ast.statements()).cloned();
        let whole = AST::new_with_source(statements, self.functions.clone(), LINE_NAME);
        let imports = ast.statements().iter().filter(|statement| matches!(statement, Stmt::Import(..))).cloned();
        let imports: Vec<_> = imports.collect();
        let (engine, scope, importable) = (&self.engine, &mut self.scope, &self.modules);
        let ended = run_guarded(&files.0, context, || {
            let _scope = import_scope(importable);
            engine.eval_ast_with_scope::<Dynamic>(scope, &whole).map(|value| evaluated(engine, &value))
        });
        self.imports.extend(imports);
        ended.map_err(|ended| vec![ended])
    }

    /// Returns the names of the variables and functions that lines have defined.
    pub fn names(&self) -> Vec<String> {
        let functions = self.functions.iter_script_fn_info().map(|(_, _, name, ..)| name.to_owned());
        let functions = functions.filter(|name| !name.starts_with("anon$"));
        self.scope.iter().map(|(name, ..)| name.to_owned()).chain(functions).collect()
    }

    /// Loads the modules that a line imports and returns their faults.
    fn import(&mut self, ast: &AST, files: &Files) -> Vec<Fault> {
        let modules = Modules::new(LINE_NAME, self.sources.clone(), self.config.limits.script_size);
        modules.load_imports(&self.engine, ast, files, LINE_NAME);
        let (faults, _) = modules.take_findings();
        let new = modules.all();
        self.modules.retain(|old| !new.iter().any(|new| new.id() == old.id()));
        self.modules.extend(new);
        faults
    }
}

/// Returns whether a line is incomplete: a bracket or a text in back-ticks is still open at its end.
pub fn is_unfinished(text: &str, config: &Config) -> bool {
    let Err(error) = compile::compile(&engine::shared(&config.limits), LINE_NAME, text) else { return false };
    let last = text.trim_end().lines().count();
    let is_at_end = error.position().line().is_none_or(|line| line >= last)
        && error.position().position().is_none_or(|column| {
            text.lines().nth(last.saturating_sub(1)).is_none_or(|line| column > line.trim_end().chars().count())
        });
    match error.err_type() {
        ParseErrorType::UnexpectedEOF => true,
        ParseErrorType::MissingToken(..) => is_at_end,
        ParseErrorType::BadInput(LexError::UnterminatedString) => text.matches('`').count() % 2 == 1,
        _ => false,
    }
}

fn evaluated(engine: &Engine, value: &Dynamic) -> EvaluatedLine {
    // Types such as an HTTP response have their own `to_string`, which only the engine can call.
    let text = FnPtr::new("to_string").and_then(|show| show.call(engine, &AST::empty(), (value.clone(),)));
    let text = text.map_or_else(|_| value.to_string(), |text: ImmutableString| text.into());
    let type_name = value.type_name().rsplit("::").next().unwrap_or_default().to_lowercase();
    EvaluatedLine { value: convert::to_value(value).unwrap_or_default(), text, type_name }
}
