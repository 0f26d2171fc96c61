//! The functions that a file can call, by name.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use rhai::{Engine, FuncInfo, ScriptFuncDef, Shared};

use crate::config::Config;
use crate::script::declare::usage;
use crate::script::{engine, testing};
use crate::triggers::KINDS;

/// One way to call a function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Signature {
    /// How many arguments; for a method, with what stands before the dot.
    pub count: usize,
    /// How many of them have to be of a certain type: what takes anything comes first.
    specific: usize,
    /// How it is written.
    pub text: String,
}

impl Signature {
    /// Returns how a script's own function is called.
    pub(super) fn of(function: &Shared<ScriptFuncDef>) -> Self {
        let parameters: Vec<_> = function.params.iter().map(rhai::ImmutableString::as_str).collect();
        Self { count: parameters.len(), specific: 0, text: format!("{}({})", function.name, parameters.join(", ")) }
    }
}

/// The functions that an interpreter has.
pub(in crate::script) struct Known(BTreeMap<String, Vec<Signature>>);

/// What scripts can call.
pub(in crate::script) static IN_SCRIPTS: LazyLock<Known> =
    LazyLock::new(|| Known::of(&engine::new(&Config::default_in(Path::new(".")).limits)));

/// What files with tests can call.
pub(in crate::script) static IN_TESTS: LazyLock<Known> =
    LazyLock::new(|| Known::of(&testing::engine(&Config::default_in(Path::new(".")).limits)));

impl Known {
    fn of(engine: &Engine) -> Self {
        let mut known: BTreeMap<String, Vec<Signature>> = BTreeMap::new();
        for (name, signature) in engine.collect_fn_metadata(None, read, true) {
            let signatures = known.entry(name).or_default();
            if !signatures.contains(&signature) {
                signatures.push(signature);
            }
        }
        // The interpreter lists them in an order of its own, another one each time.
        known.values_mut().for_each(|signatures| signatures.sort());
        Self(known)
    }

    /// Returns the ways to call a function.
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

/// Returns whether this is a part of the language that only looks like a function.
pub(super) fn is_syntax(name: &str) -> bool {
    const SYNTAX: &[&str] =
        &["print", "debug", "type_of", "Fn", "call", "curry", "is_shared", "is_def_var", "is_def_fn", "this"];
    SYNTAX.contains(&name)
}

/// Returns every name with every number of arguments.
#[cfg(test)]
pub(in crate::script) fn calls() -> std::collections::BTreeSet<(&'static str, usize)> {
    let each = |(name, signatures): (&'static String, &'static Vec<Signature>)| {
        signatures.iter().map(move |signature| (name.as_str(), signature.count))
    };
    IN_SCRIPTS.0.iter().flat_map(each).collect()
}
