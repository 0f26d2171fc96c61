//! Functions, methods and properties as data, for the reference, the editor definitions and hints.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rhai::{Engine, FnAccess, FuncMetadata, Module};

use crate::functions::package::Package;
use crate::functions::packages::PACKAGES;
use crate::functions::testing::TESTS;

/// A function, method or property with all its signatures.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ReferenceEntry {
    /// Package name, such as `HTTP`.
    pub package: &'static str,
    /// Full name, such as `http_get`, `state.add` or `datetime.year`.
    pub name: String,
    /// Name without the receiver, such as `http_get` or `add`.
    pub function: String,
    /// Signatures such as `http_get(url: string, options: map) -> Response`, shortest first.
    pub signatures: Vec<Signature>,
    /// Documentation for script authors, in Markdown, without the example.
    pub docs: String,
    /// Example script, which is run as a test.
    pub example: Option<String>,
}

impl ReferenceEntry {
    /// Returns whether it is a function or an operator, not a method or property.
    pub fn is_function(&self) -> bool {
        self.signatures.iter().any(|signature| matches!(signature.form, Form::Function | Form::Operator))
    }

    /// Returns whether only test files can call it.
    pub fn is_only_in_tests(&self) -> bool {
        self.package == TESTS.name
    }
}

/// Signature of a function, method or property.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Signature {
    /// Kind of call.
    pub form: Form,
    /// Type of the receiver of a method, property or index.
    pub receiver: Option<String>,
    /// Names and types of the parameters.
    pub parameters: Vec<(String, String)>,
    /// Return type; `()` for none.
    pub returns: String,
    /// Signature as text, such as `datetime.add(duration: any) -> datetime`.
    pub text: String,
}

/// Kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// `name(…)`.
    Function,
    /// `value.name(…)`.
    Method,
    /// `value.name`, read.
    Property,
    /// `value.name = …`.
    Assignment,
    /// `value[key]`, read.
    Index,
    /// `value[key] = …`.
    IndexAssignment,
    /// `a == b` and the like.
    Operator,
}

/// Returns everything that scripts can call, by package in the order of [`PACKAGES`], then by name.
pub fn reference() -> &'static [ReferenceEntry] {
    static ENTRIES: LazyLock<Vec<ReferenceEntry>> =
        LazyLock::new(|| PACKAGES.iter().flat_map(|package| entries(package)).collect());
    &ENTRIES
}

/// Returns everything that only test files can call, by name.
pub fn only_in_tests() -> &'static [ReferenceEntry] {
    static ENTRIES: LazyLock<Vec<ReferenceEntry>> = LazyLock::new(|| entries(&TESTS));
    &ENTRIES
}

/// Returns everything that test files can call: the functions of tests, and those of scripts unless a function of tests has the same
/// name.
pub fn in_tests() -> &'static [ReferenceEntry] {
    static ENTRIES: LazyLock<Vec<ReferenceEntry>> = LazyLock::new(|| {
        let own = only_in_tests();
        let is_hidden = |entry: &&ReferenceEntry| entry.is_function() && own.iter().any(|own| own.name == entry.name);
        own.iter().chain(reference().iter().filter(|entry| !is_hidden(entry))).cloned().collect()
    });
    &ENTRIES
}

/// Returns the entries whose name is most similar to a misspelled one.
pub fn nearest(function: &str) -> Vec<&'static ReferenceEntry> {
    let known = reference().iter().map(|entry| entry.function.as_str());
    let Some(near) = crate::options::nearest(function, known) else { return Vec::new() };
    reference().iter().filter(|entry| entry.function == near).collect()
}

fn entries(package: &Package) -> Vec<ReferenceEntry> {
    let mut module = Module::new();
    (package.register)(&mut module);
    let mut engine = Engine::new_raw();
    engine.register_global_module(module.into());
    let public = |info: rhai::FuncInfo<'_>| (info.metadata.access == FnAccess::Public).then(|| info.metadata.clone());
    let functions = engine.collect_fn_metadata(None, public, false);
    let mut signatures: Vec<_> =
        functions.iter().map(|function| (signature(function), documentation(function))).collect();
    // The engine's order differs between builds.
    signatures.sort_by_key(|((signature, _), _)| (signature.parameters.len(), signature.text.clone()));
    let mut entries: BTreeMap<String, ReferenceEntry> = BTreeMap::new();
    for ((signature, bare), (docs, example)) in signatures {
        let name = match (&signature.receiver, signature.form) {
            (Some(receiver), Form::Index | Form::IndexAssignment) => format!("{receiver}[…]"),
            (Some(receiver), Form::Operator) => format!("{receiver} {bare}"),
            (Some(receiver), _) => format!("{receiver}.{bare}"),
            (None, _) => bare.clone(),
        };
        let entry = entries.entry(name.clone()).or_insert_with(|| ReferenceEntry {
            package: package.name,
            name,
            function: bare,
            signatures: Vec::new(),
            docs: String::new(),
            example: None,
        });
        entry.signatures.push(signature);
        for (part, more) in [(&mut entry.docs, docs), (entry.example.get_or_insert_default(), example)] {
            if !part.is_empty() && !more.is_empty() {
                part.push('\n');
            }
            part.push_str(&more);
        }
    }
    for entry in entries.values_mut() {
        entry.example = entry.example.take().filter(|example| !example.is_empty());
    }
    entries.into_values().collect()
}

fn signature(function: &FuncMetadata) -> (Signature, String) {
    let mut parameters: Vec<(String, String)> = function
        .params_info
        .iter()
        .map(|info| {
            let (name, of) = info.split_once(':').unwrap_or((info, "Dynamic"));
            (name.trim().trim_start_matches('_').to_owned(), of.trim().to_owned())
        })
        .collect();
    let special = function.name.split_once('$');
    let is_word = function.name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let (form, bare) = match special {
        Some(("get", name)) => (Form::Property, name),
        Some(("set", name)) => (Form::Assignment, name),
        Some(("index", "get$")) => (Form::Index, "[]"),
        Some(("index", _)) => (Form::IndexAssignment, "[]"),
        _ if !is_word => (Form::Operator, function.name.as_str()),
        _ if parameters.first().is_some_and(|(_, of)| of.starts_with("&mut")) => (Form::Method, function.name.as_str()),
        _ => (Form::Function, function.name.as_str()),
    };
    let receiver = (form != Form::Function && !parameters.is_empty()).then(|| shown_type(&parameters.remove(0).1));
    for (_, of) in &mut parameters {
        *of = shown_type(of);
    }
    let returns = shown_type(&function.return_type);
    let text = text(form, receiver.as_deref(), bare, &parameters, &returns);
    (Signature { form, receiver, parameters, returns, text }, bare.to_owned())
}

fn text(form: Form, receiver: Option<&str>, name: &str, parameters: &[(String, String)], returns: &str) -> String {
    let of = receiver.unwrap_or_default();
    let list: Vec<_> = parameters.iter().map(|(name, of)| format!("{name}: {of}")).collect();
    let list = list.join(", ");
    let last = parameters.last().map_or("any", |(_, of)| of);
    let arrow = if returns == "()" { String::new() } else { format!(" -> {returns}") };
    match form {
        Form::Function => format!("{name}({list}){arrow}"),
        Form::Method => format!("{of}.{name}({list}){arrow}"),
        Form::Property => format!("{of}.{name}{arrow}"),
        Form::Assignment => format!("{of}.{name} = {last}"),
        Form::Index => format!("{of}[{list}]{arrow}"),
        Form::IndexAssignment => {
            let key = parameters.first().map_or_else(String::new, |(name, of)| format!("{name}: {of}"));
            format!("{of}[{key}] = {last}")
        }
        Form::Operator => format!("{of} {name} {last}{arrow}"),
    }
}

/// Returns the name of a type for script authors.
fn shown_type(of: &str) -> String {
    let packed: String = of.chars().filter(|c| !c.is_whitespace()).collect();
    let bare = packed.trim_start_matches("&mut").trim_start_matches('&');
    let inner = bare
        .strip_prefix("Result<")
        .and_then(|rest| rest.strip_suffix('>'))
        .and_then(|rest| rest.rsplit_once(',').map(|(inner, _)| inner));
    if let Some(inner) = inner {
        return shown_type(inner);
    }
    match bare.rsplit("::").next().unwrap_or(bare) {
        "" | "()" => "()",
        "Dynamic" => "any",
        "str" | "String" | "ImmutableString" => "string",
        "i64" | "INT" => "int",
        "f64" | "FLOAT" => "float",
        "Array" => "array",
        "Map" => "map",
        "Blob" => "blob",
        "Zoned" => "datetime",
        "FnPtr" => "function",
        "State" => "state",
        other => other,
    }
    .to_owned()
}

/// Returns the documentation of a function and the code of its example.
fn documentation(function: &FuncMetadata) -> (String, String) {
    let lines: Vec<_> = function
        .comments
        .iter()
        .flat_map(|comment| comment.lines())
        .map(|line| line.trim_start_matches("///"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    let start = lines.iter().position(|line| *line == "# Example").unwrap_or(lines.len());
    let (docs, example) = lines.split_at(start);
    let code: Vec<_> = example
        .iter()
        .skip_while(|line| !line.starts_with("```"))
        .skip(1)
        .take_while(|line| !line.starts_with("```"))
        .copied()
        .collect();
    (docs.join("\n").trim().to_owned(), code.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_show_script_names_of_types() {
        let entry = |name: &str| reference().iter().find(|entry| entry.name == name).unwrap();
        let texts = |name: &str| entry(name).signatures.iter().map(|s| s.text.as_str()).collect::<Vec<_>>();
        assert_eq!(
            texts("timer_start"),
            ["timer_start(name: string, when: any)", "timer_start(name: string, when: any, data: any)"]
        );
        assert_eq!(texts("datetime.year"), ["datetime.year -> int"]);
        assert_eq!(texts("state[…]"), ["state[key: string] -> any", "state[key: string] = any"]);
        assert_eq!(texts("state.add"), ["state.add(key: string, number: any) -> any"]);
    }

    #[test]
    fn every_function_has_documentation_and_an_example() {
        let is_incomplete = |entry: &&ReferenceEntry| {
            let property = entry.signatures.iter().all(|s| matches!(s.form, Form::Property | Form::Operator));
            let shown = entry.example.is_some() || property || entry.function.starts_with("to_");
            !shown
                || entry.docs.is_empty()
                    && !entry.signatures.iter().any(|s| s.form == Form::Operator)
                    && !entry.function.starts_with("to_")
        };
        let missing: Vec<_> =
            reference().iter().chain(only_in_tests()).filter(is_incomplete).map(|entry| &entry.name).collect();
        assert!(missing.is_empty(), "no documentation or example: {missing:?}");
    }

    #[test]
    fn functions_of_tests_hide_functions_of_scripts_with_the_same_name() {
        let packages = |entries: &[ReferenceEntry], name: &str| {
            entries.iter().filter(|entry| entry.function == name).map(|entry| entry.package).collect::<Vec<_>>()
        };
        assert_eq!(
            (packages(reference(), "emit"), packages(in_tests(), "emit")),
            (vec!["Timers and events"], vec!["Tests"])
        );
        assert_eq!((packages(reference(), "load"), packages(in_tests(), "load")), (vec![], vec!["Tests"]));
        assert_eq!(packages(in_tests(), "now"), ["Time"]);
    }

    #[test]
    fn a_misspelled_function_has_a_nearest_match() {
        let near: Vec<_> = nearest("timer_strat").iter().map(|entry| &entry.name).collect();
        assert_eq!(near, ["timer_start"]);
    }
}
