//! Loads a script: compiles it, looks through it, runs its top level, and keeps what it declared.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use rhai::{AST, Engine, Expr, FnAccess, Module, Namespace, Position, Scope, ScriptFuncDef, Shared, Stmt};

use super::analyse::Source;
use super::analyse::captures::Changes;
use super::declare::{self, Collector};
use super::files::Files;
use super::handler::Handler;
use super::modules::{Modules, unreadable};
use super::shape::{self, Calls};
use super::{Body, Declaration, Purpose, Script, Sources, codes, engine, errors, guard, source};
use crate::config::Config;
use crate::fault::Fault;
use crate::functions::{self, Loading, Phase};
use crate::triggers::TriggerContext;

/// What a script is loaded from and for.
pub(super) struct Loader<'l> {
    pub file: &'l str,
    pub purpose: &'l Purpose,
    pub sources: Arc<dyn Sources>,
    pub config: &'l Arc<Config>,
    pub trigger_context: &'l TriggerContext,
}

/// A script that is being loaded.
struct Loaded {
    files: Files,
    engine: Arc<Engine>,
    ast: AST,
    modules: Arc<Modules>,
}

impl Loader<'_> {
    /// Loads the script on the current thread, which must have a large stack.
    pub(super) fn load(self) -> Result<Script, Vec<Fault>> {
        let limits = &self.config.limits;
        let modules = Arc::new(Modules::new(self.file, self.sources.clone(), limits.script_size));
        let text = modules.read(self.file).map_err(|why| vec![unreadable(self.file, why)])?;
        let files = Files(vec![(self.file.to_owned(), text.to_string())]);
        let engine = engine::shared(limits);
        let ast = source::compile(&engine, self.file, &text)
            .map_err(|error| vec![errors::syntax(&files, self.file, &error)])?;
        let name: Arc<str> = self.file.strip_suffix(".rhai").unwrap_or(self.file).into();
        let loaded = Loaded { files, engine, ast, modules };
        let (body, declarations) = self.examine(&name, &loaded)?;
        let Loaded { mut files, engine, modules, .. } = loaded;
        files.0.extend(modules.files());
        Ok(Script {
            name,
            declarations,
            docs: source::docs(&text),
            files: files.0,
            engine,
            body,
            modules: modules.all(),
        })
    }

    /// Looks through the script and runs its top level, within the limits of loading; returns every fault that is found.
    fn examine(&self, name: &Arc<str>, loaded: &Loaded) -> Result<(Body, Vec<Declaration>), Vec<Fault>> {
        let limits = &self.config.limits;
        let phase = Phase::Loading(Arc::new(Loading {
            script: name.clone(),
            config: self.config.clone(),
            usage: functions::RunUsage::default(),
        }));
        let collector = self.collector(name, loaded);
        let ((examined, stop), mut collector) = declare::collect(collector, || {
            functions::enter(phase, || {
                guard::loading(limits, Instant::now() + limits.load_timeout, || {
                    catch_unwind(AssertUnwindSafe(|| self.within_limits(loaded)))
                })
            })
        });
        let mut faults = std::mem::take(&mut collector.faults);
        let mut files = loaded.files.clone();
        files.0.extend(loaded.modules.files());
        let mut body = None;
        match examined {
            Ok((found, evaluated, changes)) => {
                faults.extend(found);
                body = evaluated.and_then(|module| self.body(loaded, module, &collector, &changes, &mut faults));
            }
            Err(panic) => faults.push(errors::panicked(&files, &*panic)),
        }
        if let Some(stop) = stop {
            errors::stop_loading(&mut faults, &files, stop, limits);
        }
        match body {
            Some(body) if faults.is_empty() => Ok((body, collector.declared)),
            _ => Err(in_order(faults, &files)),
        }
    }

    fn collector(&self, name: &Arc<str>, loaded: &Loaded) -> Collector {
        Collector {
            files: loaded.files.clone(),
            script: name.clone(),
            config: self.config.clone(),
            trigger_context: self.trigger_context.clone(),
            calls: Calls::of(&loaded.ast, |name| declare::kinds().any(|kind| kind.name == name)),
            modules: 0,
            declared: Vec::new(),
            handlers: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Loads the modules, looks for faults, and runs the top level of a script with handlers.
    fn within_limits(&self, loaded: &Loaded) -> (Vec<Fault>, Option<Option<Shared<Module>>>, Changes) {
        let Loaded { files, engine, ast, modules } = loaded;
        let job = *self.purpose == Purpose::Job;
        let imported = modules.follow(engine, ast, files, self.file);
        let source = Source::new(ast, self.file, files, job, &imported);
        let (mut faults, mut changes) = modules.take_findings();
        faults.extend(source.faults());
        changes.extend(Changes::of(&source));
        if job {
            return (faults, Some(None), changes);
        }
        if !faults.is_empty() && imported.iter().any(|imported| imported.module.is_none()) {
            return (faults, None, changes);
        }
        match Module::eval_ast_as_new(Scope::new(), &with_constants(ast, published(ast)), engine) {
            Ok(module) => (faults, Some(Some(module.into())), changes),
            Err(error) => {
                let mut all = files.clone();
                all.0.extend(modules.files());
                faults.push(errors::at_top_level(&all, &error));
                (faults, None, changes)
            }
        }
    }

    /// Finds the code of the handlers.
    fn body(
        &self,
        loaded: &Loaded,
        module: Option<Shared<Module>>,
        collector: &Collector,
        changes: &Changes,
        faults: &mut Vec<Fault>,
    ) -> Option<Body> {
        let Some(module) = module else { return Some(Body::job(&loaded.ast)) };
        let modules = loaded.modules.all();
        let mut handlers = Vec::new();
        for (pointer, declared) in collector.handlers.iter().zip(&collector.declared) {
            faults.extend(changes.by(pointer));
            match Handler::new(pointer, &loaded.ast, &modules) {
                Ok(handler) => handlers.push(handler),
                Err(why) => {
                    faults.push(Fault::new(declared.location.clone(), why).with_code(codes::DECLARATION.code));
                }
            }
        }
        let constants = engine::take_constants();
        if let Err(why) = engine::check_constants(constants.as_ref(), &module) {
            faults.push(unreadable(self.file, why));
        }
        Some(Body::Handlers { module, constants, handlers })
    }
}

/// Returns the faults in the order of their places, each place once, with their source lines.
pub(super) fn in_order(mut faults: Vec<Fault>, files: &Files) -> Vec<Fault> {
    let own = |fault: &Fault| fault.location.file != files.own();
    faults.sort_by(|a, b| {
        let key = |fault: &Fault| (own(fault), fault.location.file.clone(), fault.location.line, fault.location.column);
        key(a).cmp(&key(b))
    });
    faults.dedup_by(|later, first| later.location == first.location);
    faults.into_iter().map(|fault| files.shown(fault)).collect()
}

/// Returns a file with a first statement through which the engine shows where it keeps top-level constants.
pub(super) fn with_constants(ast: &AST, functions: Shared<Module>) -> AST {
    let name = (None, engine::CONSTANTS.into(), Namespace::default(), 0);
    let first = Stmt::Expr(Expr::Variable(name.into(), None, Position::NONE).into());
    let statements = std::iter::once(first).chain(ast.statements().iter().cloned());
    AST::new_with_source(statements, functions, ast.source().unwrap_or_default())
}

/// Returns the functions of a script that its handlers may call: none of them private, since nobody imports a script, and
/// without the handlers that nobody else can call.
fn published(ast: &AST) -> Shared<Module> {
    let handlers = shape::handlers_in_place(ast, |name| declare::kinds().any(|kind| kind.name == name));
    let mut public = Module::new();
    for (_, access, name, _, function) in ast.shared_lib().iter_script_fn_info() {
        if handlers.contains(name) {
            continue;
        }
        if access == FnAccess::Public {
            public.set_script_fn(function.clone());
        } else {
            public.set_script_fn(ScriptFuncDef { access: FnAccess::Public, ..(**function).clone() });
        }
    }
    public.into()
}
