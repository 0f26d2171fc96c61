//! Finds and loads what scripts import, inside the scripts folder only.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rhai::{AST, Engine, Module, ModuleResolver, Position, Scope, Shared};

use super::analyse::Source;
use super::analyse::captures::Changes;
use super::analyse::imports::{self, Imported};
use super::files::Files;
use super::load::with_constants;
use super::{Sources, codes, declare, engine, errors, migration_hints, source};
use crate::fault::{Fault, SourceLocation};
use crate::functions::{Thrown, thrown};

/// How deeply modules may import each other.
const DEPTH: usize = 16;

/// The modules of one script: loaded once, kept as long as the script.
pub(super) struct Modules {
    sources: Arc<dyn Sources>,
    largest: u64,
    loaded: Mutex<Loaded>,
}

#[derive(Default)]
struct Loaded {
    /// By file; `None` for those with something wrong.
    modules: BTreeMap<String, Option<Shared<Module>>>,
    /// The files in the order they were met, with their texts.
    files: Vec<(String, String)>,
    /// The files that are being loaded, the script's own first.
    stack: Vec<String>,
    faults: Vec<Fault>,
    changes: Changes,
}

/// Why there is no module.
enum Missing {
    /// A sentence for where it is imported.
    Why(String),
    /// What is wrong inside it is among the faults already.
    Told,
}

impl Modules {
    /// Makes the modules of a script, none of them loaded yet.
    pub(super) fn new(own: &str, sources: Arc<dyn Sources>, largest: u64) -> Self {
        let loaded = Loaded { stack: vec![own.to_owned()], ..Loaded::default() };
        Self { sources, largest, loaded: Mutex::new(loaded) }
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock()
    }

    /// Returns every file that was loaded, with its text.
    pub(super) fn files(&self) -> Vec<(String, String)> {
        self.loaded().files.clone()
    }

    /// Returns every module that was loaded.
    pub(super) fn all(&self) -> Vec<Shared<Module>> {
        self.loaded().modules.values().flatten().cloned().collect()
    }

    /// Takes what was found in the modules: what is wrong, and what closures change of what they capture.
    pub(super) fn take_findings(&self) -> (Vec<Fault>, Changes) {
        let mut loaded = self.loaded();
        (std::mem::take(&mut loaded.faults), std::mem::take(&mut loaded.changes))
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// A sentence, if there is none or it is too large.
    pub(super) fn read(&self, file: &str) -> Result<Arc<str>, String> {
        let text = self.sources.read(file)?;
        if text.len() as u64 > self.largest {
            return Err(format!("{file} has {} bytes, and `limits.script_size` allows {}", text.len(), self.largest));
        }
        Ok(text)
    }

    /// Loads everything that a file imports, wherever in it.
    pub(super) fn follow(&self, engine: &Engine, ast: &AST, files: &Files, file: &str) -> Vec<Imported> {
        let mut followed = Vec::new();
        for import in imports::of(ast) {
            let fault = |why: String| {
                let fault = files.fault(file, import.position, why).with_code(codes::IMPORT.code);
                self.loaded().faults.push(fault);
            };
            let Some(path) = import.path else {
                let text = "an import needs a plain text, so that it is known before the script runs";
                let fault = files.fault(file, import.position, text).with_code(codes::IMPORT.code);
                self.loaded().faults.push(fault.with_hint(migration_hints::IMPORT));
                continue;
            };
            let target = match file_of(file, &path) {
                Ok(target) => target,
                Err(why) => {
                    fault(why);
                    continue;
                }
            };
            let module = match self.load(engine, &target) {
                Ok(module) => Some(module),
                Err(missing) => {
                    if let Missing::Why(why) = missing {
                        fault(why);
                    }
                    None
                }
            };
            followed.push(Imported { alias: import.alias, file: target, module });
        }
        followed
    }

    fn load(&self, engine: &Engine, file: &str) -> Result<Shared<Module>, Missing> {
        {
            let mut loaded = self.loaded();
            if let Some(module) = loaded.modules.get(file) {
                return module.clone().ok_or(Missing::Told);
            }
            if let Some(first) = loaded.stack.iter().position(|other| other == file) {
                let mut circle: Vec<_> = loaded.stack[first..].iter().map(String::as_str).collect();
                circle.push(file);
                return Err(Missing::Why(format!("circular import: {}", circle.join(" -> "))));
            }
            if loaded.stack.len() > DEPTH {
                return Err(Missing::Why(format!("modules import each other more than {DEPTH} levels deep")));
            }
            loaded.stack.push(file.to_owned());
        }
        let module = self.evaluate(engine, file);
        let mut loaded = self.loaded();
        loaded.stack.pop();
        if let Ok(module) = &module {
            REACH.with_borrow_mut(|reach| reach.push(module.clone()));
        }
        if !matches!(module, Err(Missing::Why(_))) {
            loaded.modules.insert(file.to_owned(), module.as_ref().ok().cloned());
        }
        module
    }

    fn evaluate(&self, engine: &Engine, file: &str) -> Result<Shared<Module>, Missing> {
        let text = self.read(file).map_err(Missing::Why)?;
        self.loaded().files.push((file.to_owned(), text.to_string()));
        let files = Files(vec![(file.to_owned(), text.to_string())]);
        let wrong = |fault: Fault| {
            self.loaded().faults.push(fault);
            Missing::Told
        };
        let ast = source::compile(engine, file, &text).map_err(|error| wrong(errors::syntax(&files, file, &error)))?;
        let imported = self.follow(engine, &ast, &files, file);
        let source = Source::new(&ast, file, &files, false, &imported);
        {
            let mut loaded = self.loaded();
            loaded.faults.extend(source.faults());
            loaded.changes.extend(Changes::of(&source));
        }
        if imported.iter().any(|imported| imported.module.is_none()) {
            return Err(Missing::Told);
        }
        let ast = with_constants(&ast, ast.shared_lib().clone());
        let module = declare::inside_module(|| Module::eval_ast_as_new(Scope::new(), &ast, engine))
            .map_err(|error| wrong(errors::at_top_level(&files, &error)))?;
        engine::check_constants(engine::take_constants().as_ref(), &module)
            .map_err(|why| wrong(unreadable(file, why)))?;
        Ok(module.into())
    }
}

thread_local! {
    /// What the script may import that is loaded or runs on this thread: only what was loaded with it.
    static REACH: RefCell<Vec<Shared<Module>>> = const { RefCell::new(Vec::new()) };
}

/// Lets the code of a script on this thread import these modules, until what is returned is dropped.
pub(super) fn reach(modules: &[Shared<Module>]) -> Reach {
    REACH.set(modules.to_vec());
    Reach
}

/// Ends the reach of a script's imports when dropped.
#[must_use]
pub(super) struct Reach;

impl Drop for Reach {
    fn drop(&mut self) {
        REACH.take();
    }
}

/// What the engine asks when a script imports.
pub(super) struct Resolver;

impl ModuleResolver for Resolver {
    fn resolve(
        &self,
        _: &Engine,
        source: Option<&str>,
        path: &str,
        position: Position,
    ) -> Result<Shared<Module>, Thrown> {
        let file = file_of(source.unwrap_or_default(), path);
        let module = file.and_then(|file| {
            let is_it = |module: &&Shared<Module>| module.id() == Some(file.as_str());
            let module = REACH.with_borrow(|reach| reach.iter().find(is_it).cloned());
            module.ok_or_else(|| format!("{file} was not loaded with the script"))
        });
        module.map_err(|why| {
            let mut error = thrown("import", why);
            error.set_position(position);
            error
        })
    }
}

/// Returns the file that an import means: from the scripts folder, or from the importing file's with `./` or `../`.
pub(super) fn file_of(importer: &str, path: &str) -> Result<String, String> {
    if path.is_empty() || path.starts_with('/') || path.contains(['\\', '\0', ':']) {
        return Err(format!("{path:?} is no module: write a path inside the scripts folder, such as \"_lib/units\""));
    }
    let from_importer = path.starts_with("./") || path.starts_with("../");
    let folder = if from_importer { importer.rsplit_once('/').map_or("", |(folder, _)| folder) } else { "" };
    let mut steps: Vec<&str> = Vec::new();
    for step in folder.split('/').chain(path.split('/')) {
        match step {
            "" | "." => {}
            ".." if steps.pop().is_none() => {
                return Err(format!("{path:?} leads out of the scripts folder, where modules must be"));
            }
            ".." => {}
            name => steps.push(name),
        }
    }
    let file = steps.join("/");
    Ok(if file.ends_with(".rhai") { file } else { format!("{file}.rhai") })
}

/// Returns the fault of a file that can not be read.
pub(super) fn unreadable(file: &str, why: String) -> Fault {
    Fault::new(SourceLocation { file: file.to_owned(), ..SourceLocation::default() }, why)
}
