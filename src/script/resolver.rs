//! Import paths, and the module resolver of the interpreter.

use std::cell::RefCell;

use rhai::{Engine, Module, ModuleResolver, Position, Shared};

use crate::functions::{Thrown, thrown};

thread_local! {
    /// The modules that the script on this thread can import: those that were loaded with it.
    static IMPORTABLE: RefCell<Vec<Shared<Module>>> = const { RefCell::new(Vec::new()) };
}

/// Lets the script on this thread import these modules until the returned guard is dropped.
pub(super) fn import_scope(modules: &[Shared<Module>]) -> ImportScope {
    IMPORTABLE.set(modules.to_vec());
    ImportScope
}

/// Adds a module to those that the script on this thread can import.
pub(super) fn add_importable(module: Shared<Module>) {
    IMPORTABLE.with_borrow_mut(|modules| modules.push(module));
}

/// A guard that clears the importable modules of this thread when dropped.
#[must_use]
pub(super) struct ImportScope;

impl Drop for ImportScope {
    fn drop(&mut self) {
        IMPORTABLE.take();
    }
}

/// Resolves imports to modules that are already loaded.
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
            let module = IMPORTABLE.with_borrow(|modules| modules.iter().find(is_it).cloned());
            module.ok_or_else(|| format!("{file} was not loaded with the script"))
        });
        module.map_err(|why| {
            let mut error = thrown("import", why);
            error.set_position(position);
            error
        })
    }
}

/// Returns the file that an import path names. Paths start at the scripts folder, or at the importing file's folder if they
/// begin with `./` or `../`.
///
/// # Errors
/// A message if the path is invalid or leads out of the scripts folder.
pub(super) fn file_of(importer: &str, path: &str) -> Result<String, String> {
    if path.is_empty() || path.starts_with('/') || path.contains(['\\', '\0', ':']) {
        return Err(format!(
            "{path:?} is not a module path: write a path inside the scripts folder, such as \"_lib/units\""
        ));
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
