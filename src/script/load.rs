//! Loads a script: compiles it, looks through it, runs its top level, and keeps what it declared.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use rhai::{AST, Engine, Expr, FnAccess, Module, Namespace, Position, Scope, ScriptFuncDef, Shared, Stmt};

use super::declare::{self, Collector};
use super::files::Files;
use super::handler::Handler;
use super::modules::{Modules, Resolver};
use super::shape::Calls;
use super::{Body, Purpose, Script, Sources, engine, errors, guard, source};
use crate::config::Config;
use crate::fault::{Fault, Place};
use crate::functions::{self, Loading, Phase};
use crate::triggers::Surroundings;

/// What a script is loaded from and for.
pub(super) struct Loader<'l> {
    pub file: &'l str,
    pub purpose: &'l Purpose,
    pub sources: Arc<dyn Sources>,
    pub config: &'l Arc<Config>,
    pub surroundings: &'l Surroundings,
}

impl Loader<'_> {
    /// Loads the script on the current thread, which must have a large stack.
    pub(super) fn load(self) -> Result<Script, Vec<Fault>> {
        let text = self
            .sources
            .read(self.file)
            .map_err(|why| vec![Fault::new(Place { file: self.file.to_owned(), ..Place::default() }, why)])?;
        let mut files = Files(vec![(self.file.to_owned(), text.to_string())]);
        let modules = Arc::new(Modules::new(self.file, self.sources.clone()));
        let mut engine = engine::new(&self.config.limits);
        engine.set_module_resolver(Resolver(modules.clone()));
        let ast = source::compile(&engine, self.file, &text)
            .map_err(|error| vec![errors::syntax(&files, self.file, &error)])?;
        let name: Arc<str> = self.file.strip_suffix(".rhai").unwrap_or(self.file).into();
        let (body, declared) = match self.purpose {
            Purpose::Job => (Body::job(&ast), Vec::new()),
            Purpose::Handlers => self.handlers(&name, &engine, &ast, &modules, &files)?,
        };
        files.0.extend(modules.files());
        Ok(Script { name, declared, docs: source::docs(&text), files: files.0, engine, body, modules: modules.all() })
    }

    fn handlers(
        &self,
        name: &Arc<str>,
        engine: &Engine,
        ast: &AST,
        modules: &Modules,
        files: &Files,
    ) -> Result<(Body, Vec<super::Declared>), Vec<Fault>> {
        let collector = Collector {
            files: files.clone(),
            script: name.clone(),
            config: self.config.clone(),
            surroundings: self.surroundings.clone(),
            calls: Calls::of(ast, |name| declare::kinds().any(|kind| kind.name == name)),
            modules: 0,
            declared: Vec::new(),
            handlers: Vec::new(),
            faults: Vec::new(),
        };
        let (evaluated, collector) = declare::collect(collector, || self.top_level(name, engine, ast));
        let mut faults = collector.faults;
        let mut all = files.clone();
        all.0.extend(modules.files());
        match evaluated {
            Err(fault) => faults.push(all.shown(*fault(&all, &self.config.limits))),
            Ok(module) => {
                let modules = modules.all();
                let mut handlers = Vec::new();
                for (pointer, declared) in collector.handlers.iter().zip(&collector.declared) {
                    match Handler::new(pointer, ast, &modules) {
                        Ok(handler) => handlers.push(handler),
                        Err(why) => faults.push(all.shown(Fault::new(declared.place.clone(), why))),
                    }
                }
                if faults.is_empty() {
                    let body = Body::Handlers { module, constants: engine::take_constants(), handlers };
                    return Ok((body, collector.declared));
                }
            }
        }
        faults.sort_by(|a, b| {
            (&a.place.file, a.place.line, a.place.column).cmp(&(&b.place.file, b.place.line, b.place.column))
        });
        Err(faults)
    }

    /// Runs the top level once, within its limits.
    fn top_level(&self, name: &Arc<str>, engine: &Engine, ast: &AST) -> Result<Shared<Module>, Failed> {
        let limits = &self.config.limits;
        let phase = Phase::Loading(Arc::new(Loading {
            script: name.clone(),
            config: self.config.clone(),
            spent: Default::default(),
        }));
        let whole = with_constants(ast);
        let (evaluated, stop) = functions::enter(phase, || {
            guard::loading(limits, Instant::now() + limits.load_timeout, || {
                catch_unwind(AssertUnwindSafe(|| Module::eval_ast_as_new(Scope::new(), &whole, engine)))
            })
        });
        match (evaluated, stop) {
            (Ok(Ok(module)), None) => Ok(module.into()),
            (Ok(Err(error)), None) => Err(Box::new(move |files, _| errors::thrown(files, &error).into())),
            (Err(panic), None) => Err(Box::new(move |files, _| errors::panicked(files, &*panic).into())),
            (Ok(Err(error)), Some(stop)) => {
                Err(Box::new(move |files, limits| errors::stopped(files, stop, Some(&error), limits).into()))
            }
            (_, Some(stop)) => Err(Box::new(move |files, limits| errors::stopped(files, stop, None, limits).into())),
        }
    }
}

/// Says what went wrong, once every file is known.
type Failed = Box<dyn FnOnce(&Files, &crate::config::Limits) -> Box<Fault>>;

/// Returns the script with a first statement through which the engine shows where it keeps top-level constants.
fn with_constants(ast: &AST) -> AST {
    let name = (None, engine::CONSTANTS.into(), Namespace::default(), 0);
    let first = Stmt::Expr(Expr::Variable(name.into(), None, Position::NONE).into());
    let statements = std::iter::once(first).chain(ast.statements().iter().cloned());
    AST::new_with_source(statements, published(ast.shared_lib()), ast.source().unwrap_or_default())
}

/// Returns a script's functions with none of them private, since nobody imports a script, and its handlers may call each.
fn published(functions: &Shared<Module>) -> Shared<Module> {
    if functions.iter_script_fn_info().all(|(_, access, ..)| access == FnAccess::Public) {
        return functions.clone();
    }
    let mut public = Module::new();
    for (.., function) in functions.iter_script_fn_info() {
        public.set_script_fn(ScriptFuncDef { access: FnAccess::Public, ..(**function).clone() });
    }
    public.into()
}
