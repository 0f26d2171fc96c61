//! Architecture rules: imports between layers, owners of outside crates, and a `//!` line in every file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::rust_source::{code, files};

/// Outside crates that only their owners may name, by path prefix below `src/`.
const OWNERS: &[(&str, &[&str])] = &[
    ("rhai", &["functions/", "script/"]),
    ("http_body_util", &["web/"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/"]),
    ("annotate_snippets", &["cli/"]),
    ("anstream", &["cli/"]),
    ("rusqlite", &["services/store/sqlite/"]),
    ("rumqttc", &["services/mqtt/"]),
    ("tokio_websockets", &["services/mqtt/"]),
    ("reqwest", &["services/http"]),
    ("notify", &["services/files"]),
    ("croner", &["triggers/"]),
    ("aho_corasick", &["secrets/"]),
];

#[test]
fn every_module_uses_lower_layers_only() {
    let violations = violations(&sources(), &layers(&read(&src().join("lib.rs"))));
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn every_file_starts_with_a_doc_comment() {
    let is_undocumented = |text: &str| {
        let first = text.lines().next().unwrap_or_default();
        !first.starts_with("//! ") && !first.starts_with("#![doc = include_str!")
    };
    let undocumented: Vec<_> =
        sources().into_iter().filter(|(_, text)| is_undocumented(text)).map(|(file, _)| file).collect();
    assert!(undocumented.is_empty(), "no `//!` in the first line of {undocumented:?}");
}

#[test]
fn lib_rs_lists_modules_and_nothing_else() {
    let lib = read(&src().join("lib.rs"));
    let known = |line: &&str| {
        line.is_empty() || line.starts_with("//") || line.starts_with("#![") || line.starts_with("pub mod ")
    };
    let others: Vec<_> = lib.lines().filter(|line| !known(line)).collect();
    assert!(others.is_empty(), "{others:?}");
    let listed: BTreeSet<String> = layers(&lib).into_keys().collect();
    let on_disk: BTreeSet<String> = fs::read_dir(src())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().trim_end_matches(".rs").to_owned())
        .filter(|name| !["lib", "main", "README.md"].contains(&name.as_str()))
        .collect();
    assert_eq!(listed, on_disk, "every module is on a layer");
}

#[test]
fn src_readme_names_every_module() {
    let readme = read(&src().join("README.md"));
    let missing: Vec<_> = layers(&read(&src().join("lib.rs")))
        .into_keys()
        .filter(|module| !Regex::new(&format!(r"(?m)^.*\b{module}\b.*$")).unwrap().is_match(&readme))
        .collect();
    assert!(missing.is_empty(), "src/README.md does not mention {missing:?}");
}

#[test]
fn violations_are_found() {
    let layers = layers("// Layer 1: words.\npub mod value;\n// Layer 3:\npub mod functions;\npub mod triggers;\n");
    let found = |file: &str, text: &str| violations(&[(file.to_owned(), text.to_owned())], &layers);
    assert_eq!(
        found("value.rs", "use crate::{value::Map, functions::{self, Context}};"),
        ["value.rs: layer 1 uses functions of layer 3"]
    );
    assert_eq!(
        found("triggers/cron.rs", "fn f() { crate :: functions::x() }").len(),
        1,
        "modules on one layer do not use each other"
    );
    assert_eq!(
        found("triggers/mod.rs", "let x = rhai::Engine::new();"),
        ["triggers/mod.rs: `rhai` belongs to functions/, script/"]
    );
    assert_eq!(found("functions/mod.rs", "use crate::nonsense::X;"), ["functions/mod.rs: `nonsense` is on no layer"]);
    let innocent = "// crate::functions\n/* crate::functions /* nested */ */ let a = \"crate::functions \\\" rhai::\"; \
                    let b = r#\"use crate::functions;\"#; let c = '\"'; use crate::value::{Map, Value}; crate::value::rhai::x();";
    assert_eq!(found("triggers/mod.rs", innocent), Vec::<String>::new());
}

fn violations(sources: &[(String, String)], layers: &BTreeMap<String, u32>) -> Vec<String> {
    let mut violations = BTreeSet::new();
    let named = OWNERS.iter().map(|(name, owners)| {
        let path = Regex::new(&format!(r"(?:^|[^\w:.])(?:::)?{name}\s*::")).unwrap();
        (name, owners, path)
    });
    let named: Vec<_> = named.collect();
    for (file, text) in sources {
        let code = code(text);
        violations.extend(layer_violations(file, &code, layers));
        for (name, owners, path) in &named {
            if path.is_match(&code) && !owners.iter().any(|owner| file.starts_with(owner)) {
                violations.insert(format!("{file}: `{name}` belongs to {}", owners.join(", ")));
            }
        }
    }
    violations.into_iter().collect()
}

fn layer_violations(file: &str, code: &str, layers: &BTreeMap<String, u32>) -> Vec<String> {
    let own = file.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    let is_top = ["main", "lib"].contains(&own);
    let mut violations = Vec::new();
    for used in used_modules(code) {
        match (layers.get(own), layers.get(&used)) {
            (_, None) => violations.push(format!("{file}: `{used}` is on no layer")),
            (Some(own_layer), Some(layer)) if used != own => {
                let may_share = *own_layer == 1;
                if layer > own_layer || (layer == own_layer && !may_share) {
                    violations.push(format!("{file}: layer {own_layer} uses {used} of layer {layer}"));
                }
            }
            (None, _) if !is_top => violations.push(format!("{file}: is on no layer")),
            _ => {}
        }
    }
    violations
}

/// Returns the first segment of every `crate::` path, also within braces.
fn used_modules(code: &str) -> BTreeSet<String> {
    let start = Regex::new(r"\bcrate\s*::\s*").unwrap();
    let name = Regex::new(r"^\w+").unwrap();
    let mut used = BTreeSet::new();
    for found in start.find_iter(code) {
        let rest = &code[found.end()..];
        if !rest.starts_with('{') {
            used.extend(name.find(rest).map(|name| name.as_str().to_owned()));
            continue;
        }
        let mut depth = 0;
        let mut is_first = false;
        for (index, character) in rest.char_indices() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && (character == '{' || character == ',') {
                is_first = true;
            } else if is_first && !character.is_whitespace() {
                is_first = false;
                used.extend(name.find(&rest[index..]).map(|name| name.as_str().to_owned()));
            }
        }
    }
    used
}

/// Reads the layer of each module from `lib.rs`.
fn layers(lib: &str) -> BTreeMap<String, u32> {
    let mut layers = BTreeMap::new();
    let mut layer = None;
    for line in lib.lines() {
        if let Some(rest) = line.strip_prefix("// Layer ") {
            layer = rest.split(':').next().and_then(|number| number.parse().ok());
        } else if let Some(module) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            layers.insert(module.to_owned(), layer.expect("every module follows a `// Layer n:` comment"));
        }
    }
    layers
}

fn sources() -> Vec<(String, String)> {
    let sources = files("src");
    assert!(sources.len() > 20, "the sources were found");
    sources
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
