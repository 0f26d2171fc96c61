//! Finds and loads what scripts import, inside the scripts folder only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhai::{Engine, EvalAltResult, Module, ModuleResolver, Position, Scope, Shared};

use super::Sources;
use super::{declare, source};
use crate::functions::{Thrown, thrown};

/// How deeply modules may import each other.
const DEPTH: usize = 16;

/// The modules of one script: loaded once, kept as long as the script.
pub(super) struct Modules {
    sources: Arc<dyn Sources>,
    loaded: Mutex<Loaded>,
}

#[derive(Default)]
struct Loaded {
    modules: BTreeMap<String, Shared<Module>>,
    /// The files in the order they were met, with their texts.
    files: Vec<(String, String)>,
    /// The files whose top levels are running, outermost first.
    stack: Vec<String>,
}

impl Modules {
    /// Makes the modules of a script, none of them loaded yet.
    pub(super) fn new(own: &str, sources: Arc<dyn Sources>) -> Self {
        let loaded = Loaded { stack: vec![own.to_owned()], ..Loaded::default() };
        Self { sources, loaded: Mutex::new(loaded) }
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns every file that was loaded, with its text.
    pub(super) fn files(&self) -> Vec<(String, String)> {
        self.loaded().files.clone()
    }

    /// Returns every module that was loaded.
    pub(super) fn all(&self) -> Vec<Shared<Module>> {
        self.loaded().modules.values().cloned().collect()
    }

    fn load(&self, engine: &Engine, file: &str) -> Result<Shared<Module>, Thrown> {
        {
            let mut loaded = self.loaded();
            if let Some(module) = loaded.modules.get(file) {
                return Ok(module.clone());
            }
            if let Some(first) = loaded.stack.iter().position(|other| other == file) {
                let mut circle: Vec<_> = loaded.stack[first..].iter().map(String::as_str).collect();
                circle.push(file);
                return Err(thrown("import", format!("circular import: {}", circle.join(" -> "))));
            }
            if loaded.stack.len() > DEPTH {
                return Err(thrown("import", format!("modules import each other more than {DEPTH} levels deep")));
            }
            loaded.stack.push(file.to_owned());
        }
        let module = self.evaluate(engine, file);
        let mut loaded = self.loaded();
        loaded.stack.pop();
        let module = module?;
        loaded.modules.insert(file.to_owned(), module.clone());
        Ok(module)
    }

    fn evaluate(&self, engine: &Engine, file: &str) -> Result<Shared<Module>, Thrown> {
        let text = self.sources.read(file).map_err(|why| thrown("import", why))?;
        self.loaded().files.push((file.to_owned(), text.to_string()));
        let within =
            |error: Thrown| -> Thrown { EvalAltResult::ErrorInModule(file.into(), error, Position::NONE).into() };
        let ast = source::compile(engine, file, &text)
            .map_err(|error| within(EvalAltResult::ErrorParsing(*error.0, error.1).into()))?;
        let module = declare::inside_module(|| Module::eval_ast_as_new(Scope::new(), &ast, engine)).map_err(within)?;
        Ok(module.into())
    }
}

impl ModuleResolver for Modules {
    fn resolve(
        &self,
        engine: &Engine,
        source: Option<&str>,
        path: &str,
        position: Position,
    ) -> Result<Shared<Module>, Thrown> {
        let at = |mut error: Thrown| {
            error.set_position(position);
            error
        };
        let file = file_of(source.unwrap_or_default(), path).map_err(|why| at(thrown("import", why)))?;
        self.load(engine, &file).map_err(|error| if error.position().is_none() { at(error) } else { error })
    }
}

/// Returns the file that an import means: from the scripts folder, or from the importing file's with `./` or `../`.
fn file_of(importer: &str, path: &str) -> Result<String, String> {
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

/// The resolver that an engine keeps, and the script with it.
pub(super) struct Resolver(pub Arc<Modules>);

impl ModuleResolver for Resolver {
    fn resolve(
        &self,
        engine: &Engine,
        source: Option<&str>,
        path: &str,
        position: Position,
    ) -> Result<Shared<Module>, Thrown> {
        self.0.resolve(engine, source, path, position)
    }
}
