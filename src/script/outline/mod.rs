//! Outlines of scripts for editors. Incomplete scripts that do not compile have an outline, too.

mod call;
mod completion;
mod model;
mod parse;
mod tokens;

pub use self::call::CallContext;
pub use self::completion::CompletionTarget;
pub use self::model::{Function, Import, KEYWORDS, Name, Outline, Trigger};
pub use self::tokens::{Token, TokenKind};
use super::files::Files;
use super::{compile, engine, errors};
use crate::config::Config;
use crate::fault::Fault;

/// Returns the syntax fault of a text, if it has one. Names are not checked.
pub fn syntax(file: &str, text: &str, config: &Config) -> Option<Fault> {
    let files = Files(vec![(file.to_owned(), text.to_owned())]);
    let error = compile::compile(&engine::shared(&config.limits), file, text).err()?;
    Some(errors::syntax(&files, file, &error))
}

/// Returns the file that an import path names, relative to the scripts folder.
///
/// # Errors
/// A message if the path is invalid or leads out of the folder.
pub fn imported_file(importer: &str, path: &str) -> Result<String, String> {
    super::resolver::file_of(importer, path)
}
