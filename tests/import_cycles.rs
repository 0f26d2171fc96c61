//! Imports between files form no cycle: a `mod.rs` imports its children, and children import siblings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use crate::rust_source::{code, files};

/// A module by its path below the crate, such as `["services", "mqtt"]`.
type Module = Vec<String>;

/// The start of a path into the crate.
static START: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b(crate|super|self)\s*::\s*").unwrap());

/// One segment of a path, and the separator behind it.
static SEGMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\s*(\w+)(\s*::)?\s*").unwrap());

/// The start of a test module within a file.
static TESTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"#\[cfg\(test\)\]\s*(?:pub(?:\([^)]*\))? )?mod \w+\s*\{").unwrap());

/// The imports of each file: the imported file, and the path that names it.
type Imports = BTreeMap<Module, BTreeMap<Module, String>>;

#[test]
fn imports_between_files_form_no_cycle() {
    let cycles = cycles(&files("src"));
    assert!(cycles.is_empty(), "\n{}\n", cycles.join("\n"));
}

#[test]
fn a_cycle_would_be_found() {
    let found = |sources: &[(&str, &str)]| {
        cycles(&sources.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect::<Vec<_>>())
    };
    let parent = ("a/mod.rs", "mod b;\nmod c;\npub use self::b::B;\n");
    assert_eq!(
        found(&[parent, ("a/b.rs", "use super::A;"), ("a/c.rs", "")]),
        ["a -> a::b (self::b::B), a::b -> a (super::A)"]
    );
    assert_eq!(
        found(&[parent, ("a/b.rs", "use crate::a::c::{self, C};"), ("a/c.rs", "fn f() { super::b::g() }")]).len(),
        1
    );
    let innocent = "use super::c::C;\n#[cfg(test)]\nmod tests { use super::*; use crate::a::A; }";
    assert_eq!(found(&[parent, ("a/b.rs", innocent), ("a/c.rs", "// crate::a::b::B")]), [""; 0]);
}

/// Returns a line for each cycle, shortest first, that shares no import with an earlier one: one way round it, with the imports.
fn cycles(sources: &[(String, String)]) -> Vec<String> {
    let imports = imports(sources);
    let mut ways: Vec<_> = imports.keys().filter_map(|start| way_back(&imports, start)).collect();
    ways.sort_by_key(Vec::len);
    let mut seen = BTreeSet::new();
    let mut lines = Vec::new();
    for way in ways {
        let steps: Vec<_> = way.windows(2).map(|step| (step[0].clone(), step[1].clone())).collect();
        if steps.iter().any(|step| seen.contains(step)) {
            continue;
        }
        let shown = |(from, to): &(Module, Module)| format!("{} -> {} ({})", name(from), name(to), imports[from][to]);
        lines.push(steps.iter().map(shown).collect::<Vec<_>>().join(", "));
        seen.extend(steps);
    }
    lines
}

/// Returns the shortest way from a module back to itself.
fn way_back(imports: &Imports, start: &Module) -> Option<Vec<Module>> {
    let mut came_from: BTreeMap<&Module, &Module> = BTreeMap::new();
    let mut next = vec![start];
    while !next.is_empty() {
        let mut after = Vec::new();
        for module in next {
            for imported in imports.get(module).into_iter().flat_map(BTreeMap::keys) {
                if imported == start {
                    let mut way = vec![start.clone(), module.clone()];
                    while way.last() != Some(start) {
                        way.push(came_from[way.last()?].clone());
                    }
                    way.reverse();
                    return Some(way);
                }
                if !came_from.contains_key(imported) {
                    came_from.insert(imported, module);
                    after.push(imported);
                }
            }
        }
        next = after;
    }
    None
}

fn imports(sources: &[(String, String)]) -> Imports {
    let texts: BTreeMap<Module, String> =
        sources.iter().filter_map(|(file, text)| Some((module(file)?, without_tests(&code(text))))).collect();
    let test_only = test_only(sources);
    let is_test = |module: &Module| (1..=module.len()).any(|length| test_only.contains(&module[..length]));
    let mut imports = Imports::new();
    for (module, text) in texts.iter().filter(|(module, _)| !is_test(module)) {
        for path in paths(text) {
            let absolute = absolute(module, &path);
            let file =
                (1..=absolute.len()).rev().map(|length| &absolute[..length]).find(|file| texts.contains_key(*file));
            if let Some(file) = file.filter(|file| file != module) {
                imports.entry(module.clone()).or_default().entry(file.to_vec()).or_insert_with(|| path.join("::"));
            }
        }
    }
    imports
}

/// Returns the module of a file; none for `lib.rs` and `main.rs`, which nothing imports.
fn module(file: &str) -> Option<Module> {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    (!["lib", "main"].contains(&path)).then(|| path.split('/').map(str::to_owned).collect())
}

/// Returns the modules that exist in tests only.
fn test_only(sources: &[(String, String)]) -> BTreeSet<Module> {
    let declared = Regex::new(r"#\[cfg\(test\)\]\s*(?:pub(?:\([^)]*\))? )?mod (\w+);").unwrap();
    let of_file = |(file, text): &(String, String)| -> Vec<Module> {
        let Some(module) = module(file) else { return Vec::new() };
        let child = |name: &str| module.iter().cloned().chain([name.to_owned()]).collect();
        declared.captures_iter(text).map(|found| child(&found[1])).collect()
    };
    sources.iter().flat_map(of_file).collect()
}

fn without_tests(code: &str) -> String {
    TESTS.find(code).map_or(code, |found| &code[..found.start()]).to_owned()
}

/// Returns every path that starts with `crate`, `super` or `self`, with the trees of `use` taken apart.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for found in START.captures_iter(code) {
        let whole = found.get(0).expect("it matched");
        let before = code[..whole.start()].trim_end();
        // `pub(in crate::x)` imports nothing, and `a::self::b` starts earlier.
        if !before.ends_with("::") && !before.ends_with("(in") {
            expand(&code[whole.end()..], vec![found[1].to_owned()], &mut paths);
        }
    }
    paths
}

fn expand(text: &str, mut path: Vec<String>, paths: &mut Vec<Vec<String>>) {
    let mut rest = text;
    while let Some(found) = SEGMENT.captures(rest) {
        path.push(found[1].to_owned());
        rest = &rest[found[0].len()..];
        if found.get(2).is_none() {
            return paths.push(path);
        }
    }
    if !rest.starts_with('{') {
        return paths.push(path);
    }
    let (mut depth, mut from) = (0, 1);
    for (at, letter) in rest.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (letter == ',' && depth == 1) || depth == 0 {
            if !rest[from..at].trim().is_empty() {
                expand(&rest[from..at], path.clone(), paths);
            }
            from = at + 1;
        }
        if depth == 0 {
            return;
        }
    }
}

/// Returns a path from the crate's root.
fn absolute(module: &Module, path: &[String]) -> Module {
    let ups = path.iter().take_while(|step| *step == "super").count();
    let mut absolute = match path[0].as_str() {
        "crate" => Vec::new(),
        _ => module[..module.len().saturating_sub(ups)].to_vec(),
    };
    absolute.extend(path[ups.max(1)..].iter().filter(|step| *step != "self").cloned());
    absolute
}

fn name(module: &Module) -> String {
    module.join("::")
}
