//! Loads a script: compiles it, checks it, and runs its top level to collect declarations.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Instant;

use rhai::{AST, Engine, FnAccess, Module, Scope, ScriptFuncDef, Shared};

use super::analyse::{CapturedChanges, CompiledFile, faults};
use super::call_positions::{CallPositions, inline_handlers};
use super::collector::Collector;
use super::files::{Files, file_fault};
use super::globals::{check_constants, take_constants, with_constants};
use super::handler::Handler;
use super::kinds::is_kind;
use super::model::{Body, Declaration, Purpose, Script};
use super::modules::Modules;
use super::sources::Sources;
use super::stack::stack_size;
use super::{codes, compile, declare, engine, errors, guard};
use crate::config::Config;
use crate::fault::Fault;
use crate::functions::{self, Loading, Phase};
use crate::triggers::TriggerContext;

impl Script {
    /// Compiles a script, checks names, and runs its top level with a deadline. Loading has no external effects.
    ///
    /// Runs on a new thread with a large stack, and blocks the caller.
    ///
    /// # Errors
    /// All faults that were found.
    pub fn load(
        file: &str,
        purpose: &Purpose,
        sources: Arc<dyn Sources>,
        config: &Arc<Config>,
        trigger_context: &TriggerContext,
    ) -> Result<Self, Vec<Fault>> {
        let loader = Loader { file, purpose, sources, config, trigger_context };
        let loaded = std::thread::scope(|scope| {
            let stack = stack_size(&config.limits);
            let thread = std::thread::Builder::new().name(format!("load {file}")).stack_size(stack);
            thread
                .spawn_scoped(scope, || loader.load())
                .map(|load| load.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        loaded.unwrap_or_else(|why| Err(vec![file_fault(file, format!("cannot start a thread to load it: {why}"))]))
    }
}

/// The parameters of loading a script.
struct Loader<'l> {
    file: &'l str,
    purpose: &'l Purpose,
    sources: Arc<dyn Sources>,
    config: &'l Arc<Config>,
    trigger_context: &'l TriggerContext,
}

/// A compiled script before its top level ran.
struct Compiled {
    files: Files,
    engine: Arc<Engine>,
    ast: AST,
    modules: Arc<Modules>,
}

impl Loader<'_> {
    /// Loads the script on the current thread, which must have a large stack.
    fn load(self) -> Result<Script, Vec<Fault>> {
        let limits = &self.config.limits;
        let modules = Arc::new(Modules::new(self.file, self.sources.clone(), limits.script_size));
        let text = modules.read(self.file).map_err(|why| vec![file_fault(self.file, why)])?;
        let files = Files(vec![(self.file.to_owned(), text.to_string())]);
        let engine = engine::shared(limits);
        let ast = compile::compile(&engine, self.file, &text)
            .map_err(|error| vec![errors::syntax(&files, self.file, &error)])?;
        let name: Arc<str> = self.file.strip_suffix(".rhai").unwrap_or(self.file).into();
        let compiled = Compiled { files, engine, ast, modules };
        let (body, declarations) = self.check_and_run(&name, &compiled)?;
        let Compiled { mut files, engine, modules, .. } = compiled;
        files.0.extend(modules.files());
        Ok(Script {
            name,
            declarations,
            docs: compile::docs(&text),
            files: files.0,
            engine,
            body,
            modules: modules.all(),
        })
    }

    /// Checks the script and runs its top level, within the limits of loading. Returns all faults that were found.
    fn check_and_run(&self, name: &Arc<str>, compiled: &Compiled) -> Result<(Body, Vec<Declaration>), Vec<Fault>> {
        let limits = &self.config.limits;
        let phase = Phase::Loading(Arc::new(Loading {
            script: name.clone(),
            config: self.config.clone(),
            usage: functions::RunUsage::default(),
        }));
        let collector = self.collector(name, compiled);
        let ((checked, stop), mut collector) = declare::collect(collector, || {
            functions::enter(phase, || {
                guard::run_top_level(limits, Instant::now() + limits.load_timeout, || {
                    catch_unwind(AssertUnwindSafe(|| self.within_limits(compiled)))
                })
            })
        });
        let mut faults = std::mem::take(&mut collector.faults);
        let mut files = compiled.files.clone();
        files.0.extend(compiled.modules.files());
        let mut body = None;
        match checked {
            Ok((found, evaluated, changes)) => {
                faults.extend(found);
                body = evaluated.and_then(|module| self.body(compiled, module, &collector, &changes, &mut faults));
            }
            Err(panic) => faults.push(errors::panicked(&files, &*panic)),
        }
        if let Some(stop) = stop {
            errors::stop_loading(&mut faults, &files, stop, limits);
        }
        match body {
            Some(body) if faults.is_empty() => Ok((body, collector.declarations)),
            _ => Err(files.sorted(faults)),
        }
    }

    fn collector(&self, name: &Arc<str>, compiled: &Compiled) -> Collector {
        Collector {
            files: compiled.files.clone(),
            script: name.clone(),
            config: self.config.clone(),
            trigger_context: self.trigger_context.clone(),
            calls: CallPositions::of(&compiled.ast, is_kind),
            module_depth: 0,
            declarations: Vec::new(),
            handlers: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Loads the modules, checks the script, and runs the top level of a script with handlers.
    fn within_limits(&self, compiled: &Compiled) -> (Vec<Fault>, Option<Option<Shared<Module>>>, CapturedChanges) {
        let Compiled { files, engine, ast, modules } = compiled;
        let job = *self.purpose == Purpose::Job;
        let imported = modules.load_imports(engine, ast, files, self.file);
        let file = CompiledFile::new(ast, self.file, files, job, &imported);
        let (mut found, mut changes) = modules.take_findings();
        found.extend(faults(&file));
        changes.extend(CapturedChanges::of(&file));
        if job {
            return (found, Some(None), changes);
        }
        if !found.is_empty() && imported.iter().any(|imported| imported.module.is_none()) {
            return (found, None, changes);
        }
        match Module::eval_ast_as_new(Scope::new(), &with_constants(ast, callable_functions(ast)), engine) {
            Ok(module) => (found, Some(Some(module.into())), changes),
            Err(error) => {
                let mut all = files.clone();
                all.0.extend(modules.files());
                found.push(errors::at_top_level(&all, &error));
                (found, None, changes)
            }
        }
    }

    /// Finds the code of the handlers.
    fn body(
        &self,
        compiled: &Compiled,
        module: Option<Shared<Module>>,
        collector: &Collector,
        changes: &CapturedChanges,
        faults: &mut Vec<Fault>,
    ) -> Option<Body> {
        let Some(module) = module else { return Some(Body::job(&compiled.ast)) };
        let modules = compiled.modules.all();
        let mut handlers = Vec::new();
        for (pointer, declared) in collector.handlers.iter().zip(&collector.declarations) {
            faults.extend(changes.by(pointer));
            match Handler::new(pointer, &compiled.ast, &modules) {
                Ok(handler) => handlers.push(handler),
                Err(why) => {
                    faults.push(Fault::new(declared.location.clone(), why).with_code(codes::DECLARATION.code));
                }
            }
        }
        let constants = take_constants();
        if let Err(why) = check_constants(constants.as_ref(), &module) {
            faults.push(file_fault(self.file, why));
        }
        Some(Body::Handlers { module, constants, handlers })
    }
}

/// Returns the functions that the handlers of a script can call, without inline handlers, which only triggers call.
/// All of them become public, because scripts are not imported.
fn callable_functions(ast: &AST) -> Shared<Module> {
    let handlers = inline_handlers(ast, is_kind);
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
