//! From text, environment and flags to a config, or to all that is wrong with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::interpolate::Interpolator;
use super::node::{Content, Entry, Node, Scalar, Style};
use super::report::{Report, fault};
use super::{Config, read, yaml};
use crate::fault::{Fault, SourceLocation};
use crate::options::nearest;

/// Where a config comes from. Nothing here is looked up: the caller gathers it.
pub struct Source<'a> {
    /// The file, if there is one.
    pub file: Option<&'a Path>,
    /// What faults call the file, such as `rhaid.yaml`.
    pub name: &'a str,
    /// The file's text; empty if there is none.
    pub text: &'a str,
    /// Where relative paths start: the file's folder, absolute, symlinks resolved.
    pub folder: &'a Path,
    /// All variables: for `${NAME}`, and those that begin with `RHAID_`.
    pub environment: &'a BTreeMap<String, String>,
    /// Variables that begin with `RHAID_` and mean something to someone else, such as `RHAID_CONFIG`.
    pub reserved: &'a [&'a str],
    /// Reads a file whole for `${file:PATH}`; the error is a sentence.
    pub read_file: &'a dyn Fn(&Path) -> Result<String, String>,
    /// Flags that say what a key is; they come after all others.
    pub overrides: &'a [Override],
    /// The kinds of triggers.
    pub kinds: &'a [KindInfo],
}

/// A flag that says what a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The key, such as `mqtt.url`.
    pub key: String,
    /// Its value, as it would stand in the file.
    pub value: String,
    /// What faults call it, such as `--mqtt-url`.
    pub origin: String,
}

/// What the config must know of a kind of trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindInfo {
    /// Its name.
    pub name: &'static str,
    /// The names of what comes before the options.
    pub arguments: &'static [&'static str],
}

/// A config, and what is odd about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The config.
    pub config: Config,
    /// Mistakes that do no harm, such as an unknown `RHAID_…` variable.
    pub warnings: Vec<Fault>,
}

/// Reads and checks a config whole.
///
/// # Errors
/// All faults together, in the order of the file.
pub fn parse(source: &Source<'_>) -> Result<Loaded, Vec<Fault>> {
    let mut report = Report::new(source.name, source.text);
    let root = yaml::parse(source.text, &mut report);
    if root.is_none() && report.is_bad() {
        return Err(report.into_faults());
    }
    let mut root = root.filter(|root| !root.is_null()).unwrap_or_else(|| empty(report.place(1, 1)));
    let filler = Interpolator { environment: source.environment, folder: source.folder, read_file: source.read_file };
    filler.fill(&mut root, &mut report);
    let warnings = override_keys(&mut root, source, &mut report);
    let (mut config, _) = read::document(Some(&root), source.folder, source.kinds, &mut report);
    if report.is_bad() {
        return Err(report.into_faults());
    }
    config.file = source.file.map(PathBuf::from);
    for binding in &mut config.triggers {
        let places =
            binding.option_places.values().chain([&binding.place, &binding.job_place, &binding.argument_place]);
        binding.lines = report.shown_lines(places);
    }
    config.hidden = report.secrets();
    Ok(Loaded { config, warnings })
}

/// Returns the JSON Schema of `rhaid.yaml`, for editors.
pub fn schema(kinds: &[KindInfo]) -> Json {
    let (_, mut schema) = read::document(None, Path::new(""), kinds, &mut Report::default());
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    schema["title"] = "rhaid.yaml".into();
    schema["description"] = json!("The configuration of rhaid: every key has a default.");
    schema
}

/// Returns the key and the variable of every single value that can be set from outside the file, such as `mqtt.url` and `RHAID_MQTT_URL`.
pub fn variables() -> Vec<(String, String)> {
    let mut keys = Vec::new();
    collect("", &schema(&[]), &mut keys);
    keys.into_iter().map(|key| (key.clone(), format!("RHAID_{}", key.to_uppercase().replace('.', "_")))).collect()
}

fn collect(path: &str, schema: &Json, keys: &mut Vec<String>) {
    let Some(properties) = schema.get("properties").and_then(Json::as_object) else {
        let types = schema.get("type");
        let is_single = !types
            .is_some_and(|types| types.to_string().contains("\"object\"") || types.to_string().contains("\"array\""));
        if is_single {
            keys.push(path.to_owned());
        }
        return;
    };
    for (name, schema) in properties {
        collect(&if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, schema, keys);
    }
}

/// Puts variables and then flags over what the file says; returns warnings about variables that mean nothing.
fn override_keys(root: &mut Node, source: &Source<'_>, report: &mut Report) -> Vec<Fault> {
    let known = variables();
    let mut warnings = Vec::new();
    for (variable, value) in
        source.environment.iter().filter(|(name, value)| name.starts_with("RHAID_") && !value.is_empty())
    {
        let place = SourceLocation { file: variable.clone(), ..SourceLocation::default() };
        if let Some((key, _)) = known.iter().find(|(_, name)| name == variable) {
            put(root, key, value, &place);
        } else if !source.reserved.contains(&variable.as_str()) && !source.text.contains(&format!("${{{variable}")) {
            let variable = variable.replacen("RHAID_LEDGER_", "RHAID_HISTORY_", 1);
            let names = known.iter().map(|(_, name)| name.as_str()).chain(source.reserved.iter().copied());
            let hint = nearest(&variable, names).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            warnings.push(fault(&place, format!("this variable means nothing{hint}")));
        }
    }
    for Override { key, value, origin } in source.overrides {
        let place = SourceLocation { file: origin.clone(), ..SourceLocation::default() };
        if known.iter().any(|(known, _)| known == key) {
            put(root, key, value, &place);
        } else {
            report.fault(&place, format!("there is no key `{key}` with a single value"));
        }
    }
    warnings
}

fn put(root: &mut Node, key: &str, value: &str, place: &SourceLocation) {
    let mut node = root;
    for name in key.split('.') {
        if node.is_null() {
            *node = empty(place.clone());
        }
        // What is no map is a fault of the file, and is reported as such.
        let Content::Map(entries) = &mut node.content else { return };
        let index = entries.iter().position(|entry| entry.key == name).unwrap_or_else(|| {
            entries.push(Entry { key: name.to_owned(), place: place.clone(), node: empty(place.clone()) });
            entries.len() - 1
        });
        node = &mut entries[index].node;
    }
    *node = Node {
        place: place.clone(),
        content: Content::Scalar(Scalar { text: value.to_owned(), style: Style::Filled }),
    };
}

fn empty(place: SourceLocation) -> Node {
    Node { place, content: Content::Map(Vec::new()) }
}

/// Returns the commented `rhaid.yaml` that `rhaid init` writes.
pub fn template() -> &'static str {
    include_str!("template.yaml")
}
