//! The functions that the interpreter provides, by name.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use rhai::{Engine, FuncInfo, ScriptFuncDef, Shared};

use crate::config::Config;
use crate::script::engine;
use crate::script::kinds::usage;
use crate::triggers::KINDS;

/// One way to call a function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Signature {
    /// The number of arguments, including the receiver of a method.
    pub count: usize,
    /// The number of arguments with a fixed type. General signatures sort first.
    specific: usize,
    /// The call as text.
    pub text: String,
}

impl Signature {
    /// Returns the signature of a script function.
    pub(super) fn of(function: &Shared<ScriptFuncDef>) -> Self {
        let parameters: Vec<_> = function.params.iter().map(rhai::ImmutableString::as_str).collect();
        Self { count: parameters.len(), specific: 0, text: format!("{}({})", function.name, parameters.join(", ")) }
    }
}

/// The signatures of all functions of an interpreter.
pub(in crate::script) struct KnownFunctions(BTreeMap<String, Vec<Signature>>);

/// The functions of scripts.
pub(in crate::script) static SCRIPT_FUNCTIONS: LazyLock<KnownFunctions> =
    LazyLock::new(|| KnownFunctions::of(&engine::new(&Config::default_in(Path::new(".")).limits)));

/// The functions of test files.
pub(in crate::script) static TEST_FUNCTIONS: LazyLock<KnownFunctions> =
    LazyLock::new(|| KnownFunctions::of(&engine::for_tests(&Config::default_in(Path::new(".")).limits)));

impl KnownFunctions {
    fn of(engine: &Engine) -> Self {
        let mut known: BTreeMap<String, Vec<Signature>> = BTreeMap::new();
        for (name, signature) in engine.collect_fn_metadata(None, read, true) {
            let signatures = known.entry(name).or_default();
            if !signatures.contains(&signature) {
                signatures.push(signature);
            }
        }
        // The interpreter lists them in random order.
        known.values_mut().for_each(|signatures| signatures.sort());
        Self(known)
    }

    /// Returns the signatures of a function.
    pub(super) fn named(&self, name: &str) -> &[Signature] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Returns the name of every function.
    pub(in crate::script) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

fn read(info: FuncInfo<'_>) -> Option<(String, Signature)> {
    let metadata = info.metadata;
    let is_word = metadata.name.starts_with(|c: char| c.is_alphabetic() || c == '_') && !metadata.name.contains('$');
    is_word.then(|| {
        let names: Vec<_> = (0..metadata.num_params).map(|index| parameter(metadata.params_info.get(index))).collect();
        let kind = KINDS.iter().find(|kind| kind.name == metadata.name);
        let text = kind.map_or_else(|| format!("{}({})", metadata.name, names.join(", ")), |kind| usage(kind));
        let specific = metadata.params_info.iter().filter(|info| !info.contains("Dynamic")).count();
        (metadata.name.to_string(), Signature { count: metadata.num_params, specific, text })
    })
}

/// Returns a parameter's name.
fn parameter(info: Option<&rhai::Identifier>) -> String {
    let name = info.map_or("", |info| info.split(':').next().unwrap_or_default().trim());
    if name.is_empty() || name == "_" { "…".to_owned() } else { name.to_owned() }
}

/// Returns whether the interpreter handles this function as syntax.
pub(super) fn is_syntax(name: &str) -> bool {
    const SYNTAX: &[&str] =
        &["print", "debug", "type_of", "Fn", "call", "curry", "is_shared", "is_def_var", "is_def_fn", "this"];
    SYNTAX.contains(&name)
}

/// Returns every function name with each number of arguments.
#[cfg(test)]
pub(in crate::script) fn calls() -> std::collections::BTreeSet<(&'static str, usize)> {
    let each = |(name, signatures): (&'static String, &'static Vec<Signature>)| {
        signatures.iter().map(move |signature| (name.as_str(), signature.count))
    };
    SCRIPT_FUNCTIONS.0.iter().flat_map(each).collect()
}
