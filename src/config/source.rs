//! Input of the configuration.

use std::collections::BTreeMap;
use std::path::Path;

use super::triggers::KindInfo;

/// Everything that a configuration is read from; gathered by the caller.
pub struct Source<'a> {
    /// The file, if there is one.
    pub file: Option<&'a Path>,
    /// The name of the file in faults, such as `rhaid.yaml`.
    pub name: &'a str,
    /// The text of the file; empty if there is none.
    pub text: &'a str,
    /// The base of relative paths: the file's folder, absolute, symlinks resolved.
    pub folder: &'a Path,
    /// All environment variables: for `${NAME}`, and those that begin with `RHAID_`.
    pub environment: &'a BTreeMap<String, String>,
    /// Variables that begin with `RHAID_` but are not keys, such as `RHAID_CONFIG`.
    pub reserved: &'a [&'a str],
    /// Reads a complete file for `${file:PATH}`; the error is a sentence.
    pub read_file: &'a dyn Fn(&Path) -> Result<String, String>,
    /// Flags, which take precedence over variables and the file.
    pub overrides: &'a [Override],
    /// The kinds of triggers.
    pub kinds: &'a [KindInfo],
}

/// A command-line flag that sets a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The key, such as `mqtt.url`.
    pub key: String,
    /// The value, as it would be written in the file.
    pub value: String,
    /// Its name in faults, such as `--mqtt-url`.
    pub origin: String,
}
