//! `rhaid definitions`: writes the definitions of all functions for the Rhai language server.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::terminal;
use crate::functions::reference::{Form, ReferenceEntry, Signature, only_in_tests, reference};
use crate::triggers::{KINDS, Kind};

const FILE: &str = "rhaid.d.rhai";

/// Write the definitions of all functions for the Rhai language server
#[derive(clap::Args)]
#[command(after_help = "Example:
  rhaid definitions              # writes definitions/rhaid.d.rhai

The language server (https://github.com/rhaiscript/lsp) reads every *.d.rhai file of the workspace. Keep it out of the scripts folder. \
For that server `public` is a keyword: write it in quotes, #{ \"public\": true }, which has the same meaning.")]
pub(super) struct Args {
    /// Folder to write to; it is created if it does not exist
    #[arg(value_name = "FOLDER", default_value = "definitions")]
    folder: PathBuf,
}

/// Writes the file.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let file = args.folder.join(FILE);
    std::fs::create_dir_all(&args.folder).with_context(|| format!("creating {}", args.folder.display()))?;
    std::fs::write(&file, definitions()).with_context(|| format!("writing {}", file.display()))?;
    terminal::print(&format!("wrote {}\n", file.display()));
    Ok(ExitCode::SUCCESS)
}

/// Predefined variables: name, type, documentation.
const VARIABLES: &[(&str, &str, &str)] = &[
    (
        "state",
        "State",
        "Persistent state of this script; it survives runs, reloads and restarts: `state.name`, `state[\"name\"]`.",
    ),
    ("event", "?", "In a job: the event that started it."),
    ("args", "Array", "In a job: the arguments of `rhaid exec FILE ARGS…`."),
];

/// Returns the definitions.
///
/// Source: the format of `Engine::definitions` in rhai 1.27, which the language server parses
/// (<https://github.com/rhaiscript/lsp>, `crates/rhai-rowan/src/parser/parsers/def.rs`).
pub(super) fn definitions() -> String {
    let mut text = "module static;\n".to_owned();
    for (name, of, docs) in VARIABLES {
        text.push_str(&format!("\n{}let {name}: {of};\n", comment(docs)));
    }
    for kind in KINDS {
        for options in [false, true] {
            text.push_str(&format!("\n{}{}\n", comment(kind.docs), trigger(kind, options)));
        }
    }
    let mut seen = BTreeSet::new();
    for entry in reference().iter().chain(only_in_tests()) {
        for signature in &entry.signatures {
            let line = definition(entry, signature);
            if let Some(line) = line.filter(|line| seen.insert(line.clone())) {
                text.push_str(&format!("\n{}{line}\n", comment(&documented(entry))));
            }
        }
    }
    text
}

fn trigger(kind: &Kind, options: bool) -> String {
    let mut parameters: Vec<_> = kind.arguments.iter().map(|argument| format!("{argument}: ?")).collect();
    if options {
        parameters.push("options: Map".into());
    }
    parameters.push("handler: FnPtr".into());
    format!("fn {}({}) -> ();", kind.name, parameters.join(", "))
}

fn definition(entry: &ReferenceEntry, signature: &Signature) -> Option<String> {
    let receiver = signature.receiver.iter().map(|of| format!("this: {}", type_name(of)));
    let named = signature.parameters.iter().map(|(name, of)| format!("{name}: {}", type_name(of)));
    let parameters = receiver.chain(named).collect::<Vec<_>>().join(", ");
    let returns = type_name(&signature.returns);
    let name = &entry.function;
    Some(match signature.form {
        Form::Function | Form::Method => format!("fn {name}({parameters}) -> {returns};"),
        Form::Property => format!("fn get {name}({parameters}) -> {returns};"),
        Form::Assignment => format!("fn set {name}({parameters}) -> {returns};"),
        // The format has no definitions of these.
        Form::Index | Form::IndexAssignment | Form::Operator => return None,
    })
}

fn type_name(of: &str) -> &str {
    match of {
        "any" => "?",
        "string" => "String",
        "array" => "Array",
        "map" => "Map",
        "blob" => "Blob",
        "function" => "FnPtr",
        other => other,
    }
}

fn documented(entry: &ReferenceEntry) -> String {
    // The language server does not distinguish tests from scripts.
    let place = if entry.is_only_in_tests() { "Only in `*_test.rhai` files. " } else { "" };
    match &entry.example {
        Some(example) => format!("{place}{}\n\n# Example\n```rhai\n{example}\n```", entry.docs),
        None => format!("{place}{}", entry.docs),
    }
}

fn comment(docs: &str) -> String {
    docs.trim().lines().map(|line| format!("/// {line}").trim_end().to_owned() + "\n").collect()
}
