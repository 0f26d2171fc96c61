//! The book: every code block is checked, run or parsed, links resolve, and the reference matches the program.
//!
//! The info string of a fence selects the check: `rhai` is checked as a script, `rhai,job` is run, `rhai,fault` must be rejected, `rhai,test` is
//! run by `rhaid test`; `file=` writes the block for later blocks of the page. Lines of `sh` are parsed by the program, and run with `sh,run`;
//! `sh,start` starts rhaid once. `yaml` is a `rhaid.yaml`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::pages::{Block, blocks, shell};
use crate::program::{Program, text};

/// Languages of blocks that are only shown.
const SHOWN: &[&str] = &["text", "ini", "dockerfile", "lua", "elisp", "toml"];

/// Settings and permissions that the scripts of the pages need.
const CONFIG: &str = r#"
timezone: Europe/Oslo
location: { latitude: 59.91, longitude: 10.75 }
secrets: { ntfy: a, influx: b, backup: c, github: d, fridge: e, homeassistant: f }
permissions:
  "*": { secrets: ["*"], exec: ["/usr/bin/df"], read: ["./**"] }
"#;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/book/src")
}

/// Returns the path and the text of each page of the book.
fn pages() -> Vec<(PathBuf, String)> {
    let mut folders = vec![source()];
    let mut pages = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                pages.push((path, text));
            }
        }
    }
    pages.sort();
    pages
}

/// Returns the code of a block, with its `{{#include}}` resolved.
fn code(page: &Path, block: &Block) -> String {
    match block.text.trim().strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix("}}")) {
        Some(file) => fs::read_to_string(page.parent().unwrap().join(file))
            .unwrap_or_else(|error| panic!("{}: {file}: {error}", page.display())),
        None => block.text.clone(),
    }
}

/// Splits a command line into arguments as a shell does, without its comment; `None` if the command is not rhaid.
fn words(line: &str) -> Option<Vec<String>> {
    let line = line.split(" #").next().unwrap_or_default().trim();
    let rest = line.strip_prefix("rhaid")?;
    let mut words = Vec::new();
    for (index, part) in rest.split('\'').enumerate() {
        match index % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    Some(words)
}

/// Parses a command line with the program, without running the command.
fn parse(program: &Program, line: &str) {
    let Some(words) = words(line) else { return };
    let arguments: Vec<_> = words.iter().map(String::as_str).chain(["--help"]).collect();
    let output = program.rhaid(&arguments);
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
}

/// Returns standard output and standard error.
fn printed(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

fn check(program: &Program, file: &str) -> (bool, String) {
    let output = program.rhaid(&["check", "--strict", "--format", "compact", file]);
    (output.status.success(), printed(&output))
}

/// Writes a block's code to its `file=`, or to `other`, and returns the file.
fn put(program: &Program, block: &Block, code: &str, other: &str) -> String {
    let file = block.file().unwrap_or(other).to_owned();
    program.write(&file, code);
    file
}

fn try_block(program: &mut Program, page: &Path, block: &Block) {
    let code = code(page, block);
    let info: Vec<_> = block.info.iter().map(String::as_str).filter(|word| !word.starts_with("file=")).collect();
    let location = || format!("{}: {code}", page.display());
    match info.as_slice() {
        ["rhai"] => {
            let (passed, output) = check(program, &put(program, block, &code, "pages/script.rhai"));
            assert!(passed, "{}\n{output}", location());
        }
        ["rhai", "fault"] => {
            assert!(!check(program, &put(program, block, &code, "pages/script.rhai")).0, "{}", location())
        }
        ["rhai", "job"] => {
            let file = put(program, block, &code, "pages/job.rhai");
            let output = program.rhaid(&["exec", &file]);
            assert!(output.status.success(), "{}\n{}", location(), text(&output.stderr));
        }
        // The tests of the recipes run with their scripts below.
        ["rhai", "test"] if block.file().is_none() => assert!(block.text.contains("recipes/"), "{}", location()),
        ["rhai", "test"] => {
            let file = put(program, block, &code, "");
            let output = program.rhaid(&["test", &file]);
            assert!(output.status.success(), "{}\n{}", location(), printed(&output));
        }
        ["sh"] => code.lines().for_each(|line| parse(program, line)),
        ["sh", "run"] => code.lines().for_each(|line| {
            parse(program, line);
            shell(program, line);
        }),
        ["sh", "start"] => {
            program.start();
            assert_eq!(program.stop(), Some(0));
        }
        ["yaml"] => {
            let program = Program::empty();
            program.write("scripts/empty.rhai", "");
            program.write("rhaid.yaml", &code);
            let output = program.rhaid(&["check"]);
            assert!(output.status.success(), "{}\n{}", location(), text(&output.stderr));
        }
        [shown] if SHOWN.contains(shown) => {}
        other => panic!("{}: unknown fence {other:?}", page.display()),
    }
}

#[test]
fn every_block_passes_the_check_of_its_fence() {
    let mut tried = 0;
    // The tests of the functions run the examples of the reference.
    let is_tested_here = |page: &Path| !page.starts_with(source().join("reference")) || page.ends_with("options.md");
    for (page, text) in pages().iter().filter(|(page, _)| is_tested_here(page)) {
        let mut program = Program::empty();
        program.write("rhaid.yaml", CONFIG);
        for block in blocks(text) {
            try_block(&mut program, page, &block);
            tried += 1;
        }
    }
    assert!(tried > 90, "{tried}");
}

#[test]
fn every_recipe_is_in_the_book_and_has_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/recipes");
    let names: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".rhai").map(str::to_owned))
        .collect();
    let book: String = pages().into_iter().map(|(_, text)| text).collect();
    let (tests, scripts): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.ends_with("_test"));
    assert_eq!((scripts.len(), tests.len()), (20, 20));
    for name in names.iter() {
        assert!(book.contains(&format!("recipes/{name}.rhai}}}}")), "{name} is not in the book");
    }
}

#[test]
fn recipes_have_no_warnings_and_their_tests_pass() {
    let program = Program::copy_of("examples/recipes");
    let (passed, output) = check(&program, ".");
    assert!(passed, "{output}");
    let output = program.rhaid(&["test", "."]);
    assert!(output.status.success(), "{}", printed(&output));
}

/// Returns the link targets of a page that name pages or headings.
fn links(page: &str) -> Vec<&str> {
    let links = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    links.filter(|link| !link.contains(':') && link.contains(".md") || link.starts_with('#')).collect()
}

/// Returns the anchor that mdBook generates for a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars();
    kept.filter(|c| c.is_alphanumeric() || "-_ ".contains(*c)).collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn links_resolve_and_the_summary_lists_all_pages() {
    let pages = pages();
    let mut linked = BTreeSet::new();
    for (page, text) in &pages {
        for link in links(text) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let target = target.canonicalize().unwrap_or_else(|_| panic!("{}: {link}", page.display()));
            let text = fs::read_to_string(&target).unwrap();
            let exists = text.lines().any(|line| line.starts_with('#') && anchor(line) == heading);
            assert!(heading.is_empty() || exists, "{}: {link}", page.display());
            if page.ends_with("SUMMARY.md") {
                linked.insert(target);
            }
        }
    }
    let all: BTreeSet<_> =
        pages.into_iter().map(|(page, _)| page).filter(|page| !page.ends_with("SUMMARY.md")).collect();
    assert_eq!(linked, all.iter().map(|page| page.canonicalize().unwrap()).collect());
}

/// Returns the names of the functions called in the last column of a table row.
fn called(row: &str) -> Vec<String> {
    let row = row.replace("\\|", "");
    let cell = row.trim().trim_end_matches('|').rsplit('|').next().unwrap_or_default().to_owned();
    let code = cell.split('`').skip(1).step_by(2);
    let before = code.flat_map(|code| code.rsplit_once('(').map(|(head, _)| head.split('(').map(str::to_owned)));
    let name =
        |head: String| head.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned();
    let names = before.flatten().map(name);
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn the_migration_tables_name_existing_functions() {
    let functions = rhaid::functions::reference::reference().iter().map(|entry| entry.function.as_str());
    let kinds = rhaid::triggers::KINDS.iter().map(|kind| kind.name);
    let known: BTreeSet<_> = functions.chain(kinds).collect();
    let folder = source().join("coming-from");
    let mut names = 0;
    for (page, text) in pages().iter().filter(|(page, _)| page.starts_with(&folder)) {
        for name in text.lines().filter(|line| line.starts_with('|')).flat_map(called) {
            assert!(known.contains(name.as_str()), "{}: {name}", page.display());
            names += 1;
        }
    }
    assert!(names > 50, "{names}");
}

/// Regenerates the pages with `RHAID_WRITE_REFERENCE=1 cargo test --test tests the_reference_matches_the_program`.
#[test]
fn the_reference_matches_the_program() {
    let program = Program::empty();
    let groups = rhaid::functions::PACKAGES.iter().map(|package| package.name);
    for group in ["Triggers"].into_iter().chain(groups).chain([rhaid::functions::testing::TESTS.name]) {
        let written = program.run(&["reference", "--markdown", group]);
        let page = source().join(format!("reference/{}.md", group.to_lowercase().replace(' ', "-")));
        if std::env::var_os("RHAID_WRITE_REFERENCE").is_some() {
            fs::write(&page, written).unwrap();
        } else {
            let committed = fs::read_to_string(&page).unwrap_or_default();
            let hint =
                "regenerate it: RHAID_WRITE_REFERENCE=1 cargo test --test tests the_reference_matches_the_program";
            assert!(committed == written, "{} differs from `rhaid reference`; {hint}", page.display());
        }
    }
}
