//! Loads the modules that scripts import, inside the scripts folder only.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rhai::{AST, Engine, Module, Scope, Shared};

use super::analyse::{CapturedChanges, CompiledFile, Imported, faults, imports};
use super::files::{Files, file_fault};
use super::globals::{check_constants, take_constants, with_constants};
use super::resolver::{add_importable, file_of};
use super::sources::Sources;
use super::{codes, compile, declare, errors, migration_hints};
use crate::fault::Fault;

/// The deepest allowed nesting of imports.
const MAX_IMPORT_DEPTH: usize = 16;

/// The modules of one script. Each is loaded once and kept as long as the script.
pub(super) struct Modules {
    sources: Arc<dyn Sources>,
    /// The largest allowed file size in bytes.
    max_size: u64,
    loaded: Mutex<LoadedModules>,
}

#[derive(Default)]
struct LoadedModules {
    /// The modules by file. `None` for a module with faults.
    modules: BTreeMap<String, Option<Shared<Module>>>,
    /// The name and text of each file, in import order.
    files: Vec<(String, String)>,
    /// The files that are being loaded, starting with the script.
    stack: Vec<String>,
    faults: Vec<Fault>,
    changes: CapturedChanges,
}

/// The reason why a module is not available.
enum ModuleError {
    /// A message for the import statement.
    Import(String),
    /// The module has faults, which are already recorded.
    Recorded,
}

impl Modules {
    /// Returns an empty set for a script.
    pub(super) fn new(own: &str, sources: Arc<dyn Sources>, max_size: u64) -> Self {
        let loaded = LoadedModules { stack: vec![own.to_owned()], ..LoadedModules::default() };
        Self { sources, max_size, loaded: Mutex::new(loaded) }
    }

    fn loaded(&self) -> MutexGuard<'_, LoadedModules> {
        self.loaded.lock()
    }

    /// Returns the name and text of every loaded file.
    pub(super) fn files(&self) -> Vec<(String, String)> {
        self.loaded().files.clone()
    }

    /// Returns every loaded module.
    pub(super) fn all(&self) -> Vec<Shared<Module>> {
        self.loaded().modules.values().flatten().cloned().collect()
    }

    /// Takes the faults of the modules, and the changes that their closures make to captured variables.
    pub(super) fn take_findings(&self) -> (Vec<Fault>, CapturedChanges) {
        let mut loaded = self.loaded();
        (std::mem::take(&mut loaded.faults), std::mem::take(&mut loaded.changes))
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// A message if the file cannot be read or is too large.
    pub(super) fn read(&self, file: &str) -> Result<Arc<str>, String> {
        let text = self.sources.read(file)?;
        if text.len() as u64 > self.max_size {
            return Err(format!("{file} has {} bytes, and `limits.script_size` allows {}", text.len(), self.max_size));
        }
        Ok(text)
    }

    /// Loads all modules that a file imports.
    pub(super) fn load_imports(&self, engine: &Engine, ast: &AST, files: &Files, file: &str) -> Vec<Imported> {
        let mut loaded = Vec::new();
        for import in imports(ast) {
            let fault = |why: String| {
                let fault = files.fault(file, import.position, why).with_code(codes::IMPORT.code);
                self.loaded().faults.push(fault);
            };
            let Some(path) = import.path else {
                let text = "an import path must be a plain text, because modules are loaded before the script runs";
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
                Err(error) => {
                    if let ModuleError::Import(why) = error {
                        fault(why);
                    }
                    None
                }
            };
            loaded.push(Imported { alias: import.alias, file: target, module });
        }
        loaded
    }

    fn load(&self, engine: &Engine, file: &str) -> Result<Shared<Module>, ModuleError> {
        {
            let mut loaded = self.loaded();
            if let Some(module) = loaded.modules.get(file) {
                return module.clone().ok_or(ModuleError::Recorded);
            }
            if let Some(first) = loaded.stack.iter().position(|other| other == file) {
                let mut circle: Vec<_> = loaded.stack[first..].iter().map(String::as_str).collect();
                circle.push(file);
                return Err(ModuleError::Import(format!("circular import: {}", circle.join(" -> "))));
            }
            if loaded.stack.len() > MAX_IMPORT_DEPTH {
                let why = format!("modules import each other more than {MAX_IMPORT_DEPTH} levels deep");
                return Err(ModuleError::Import(why));
            }
            loaded.stack.push(file.to_owned());
        }
        let module = self.evaluate(engine, file);
        let mut loaded = self.loaded();
        loaded.stack.pop();
        if let Ok(module) = &module {
            add_importable(module.clone());
        }
        if !matches!(module, Err(ModuleError::Import(_))) {
            loaded.modules.insert(file.to_owned(), module.as_ref().ok().cloned());
        }
        module
    }

    fn evaluate(&self, engine: &Engine, file: &str) -> Result<Shared<Module>, ModuleError> {
        let text = self.read(file).map_err(ModuleError::Import)?;
        self.loaded().files.push((file.to_owned(), text.to_string()));
        let files = Files(vec![(file.to_owned(), text.to_string())]);
        let record = |fault: Fault| {
            self.loaded().faults.push(fault);
            ModuleError::Recorded
        };
        let ast =
            compile::compile(engine, file, &text).map_err(|error| record(errors::syntax(&files, file, &error)))?;
        let imported = self.load_imports(engine, &ast, &files, file);
        let compiled = CompiledFile::new(&ast, file, &files, false, &imported);
        {
            let mut loaded = self.loaded();
            loaded.faults.extend(faults(&compiled));
            loaded.changes.extend(CapturedChanges::of(&compiled));
        }
        if imported.iter().any(|imported| imported.module.is_none()) {
            return Err(ModuleError::Recorded);
        }
        let ast = with_constants(&ast, ast.shared_lib().clone());
        let module = declare::inside_module(|| Module::eval_ast_as_new(Scope::new(), &ast, engine))
            .map_err(|error| record(errors::at_top_level(&files, &error)))?;
        check_constants(take_constants().as_ref(), &module).map_err(|why| record(file_fault(file, why)))?;
        Ok(module.into())
    }
}
