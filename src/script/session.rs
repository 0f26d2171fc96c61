//! Lines that are evaluated one after another, each with the variables, functions and imports of those before: `rhaid repl`.

use std::sync::Arc;

use rhai::{AST, Dynamic, Engine, FnPtr, ImmutableString, LexError, Module, ParseErrorType, Scope, Shared, Stmt};

use super::files::Files;
use super::modules::{self, Modules};
use super::{RunError, Sources, engine, errors, source, within};
use crate::config::Config;
use crate::fault::Fault;
use crate::functions::{Context, convert};
use crate::value::Value;

/// What a line is called in faults.
const LINE: &str = "line";

/// Lines that are evaluated one after another, on one thread with a large stack.
pub struct ReplSession {
    engine: Arc<Engine>,
    scope: Scope<'static>,
    functions: Module,
    imports: Vec<Stmt>,
    modules: Vec<Shared<Module>>,
    sources: Arc<dyn Sources>,
    config: Arc<Config>,
}

/// What a line came to.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluatedLine {
    /// As data; nothing if it is none, such as a function.
    pub value: Value,
    /// As the interpreter shows it.
    pub text: String,
    /// What sort of value it is, such as `string`, as `type_of` says.
    pub type_name: String,
}

impl ReplSession {
    /// Begins, with modules from these sources.
    pub fn new(sources: Arc<dyn Sources>, config: &Arc<Config>) -> Self {
        let mut scope = Scope::new();
        scope.push_dynamic("state", engine::state());
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

    /// Evaluates a line, which may be several, within the limits of its context.
    ///
    /// # Errors
    /// If it did not reach its end; what it defined before that stays.
    pub fn evaluate(&mut self, text: &str, context: &Arc<Context>) -> Result<EvaluatedLine, Vec<RunError>> {
        let one = |fault: Fault| vec![RunError::Fault(fault.into())];
        let files = Files(vec![(LINE.to_owned(), text.to_owned())]);
        let ast =
            source::compile(&self.engine, LINE, text).map_err(|error| one(errors::syntax(&files, LINE, &error)))?;
        let found = self.import(&ast, &files);
        if !found.is_empty() {
            return Err(found.into_iter().map(|fault| RunError::Fault(fault.into())).collect());
        }
        for (.., function) in ast.shared_lib().iter_script_fn_info() {
            self.functions.set_script_fn(function.clone());
        }
        let statements = self.imports.iter().chain(ast.statements()).cloned();
        let whole = AST::new_with_source(statements, self.functions.clone(), LINE);
        let imports = ast.statements().iter().filter(|statement| matches!(statement, Stmt::Import(..))).cloned();
        let imports: Vec<_> = imports.collect();
        let (engine, scope, reachable) = (&self.engine, &mut self.scope, &self.modules);
        let ended = within(&files.0, context, || {
            let _reach = modules::reach(reachable);
            engine.eval_ast_with_scope::<Dynamic>(scope, &whole).map(|value| shown(engine, &value))
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

    /// Loads what a line imports; returns what is wrong with it.
    fn import(&mut self, ast: &AST, files: &Files) -> Vec<Fault> {
        let modules = Modules::new(LINE, self.sources.clone(), self.config.limits.script_size);
        modules.follow(&self.engine, ast, files, LINE);
        let (faults, _) = modules.take_findings();
        let new = modules.all();
        self.modules.retain(|old| !new.iter().any(|new| new.id() == old.id()));
        self.modules.extend(new);
        faults
    }
}

/// Returns whether a line goes on: a bracket or a text in backticks is still open at its end.
pub fn is_unfinished(text: &str, config: &Config) -> bool {
    let Err(error) = source::compile(&engine::shared(&config.limits), LINE, text) else { return false };
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

fn shown(engine: &Engine, value: &Dynamic) -> EvaluatedLine {
    // What is no plain value, such as an HTTP response, has words of its own, which only the engine knows.
    let words = FnPtr::new("to_string").and_then(|show| show.call(engine, &AST::empty(), (value.clone(),)));
    let text = words.map_or_else(|_| value.to_string(), |words: ImmutableString| words.into());
    let type_name = value.type_name().rsplit("::").next().unwrap_or_default().to_lowercase();
    EvaluatedLine { value: convert::to_value(value).unwrap_or_default(), text, type_name }
}
