//! `rhaid reference`: the reference of triggers and functions.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::exit::UsageError;
use crate::cli::table::{Cell, aligned};
use crate::cli::terminal::{self, Style, paint};
use crate::functions::reference::{ReferenceEntry, only_in_tests, reference};
use crate::functions::testing::TESTS;
use crate::functions::{PACKAGES, Package};
use crate::options::nearest;
use crate::triggers::{KINDS, Kind};

/// Show the reference of triggers and functions
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid reference                  # everything, one line each
  rhaid reference mqtt_publish
  rhaid reference http             # a group, or a type such as Response
  rhaid reference Tests            # the functions of *_test.rhai files
  rhaid reference --markdown > reference.md
  rhaid reference --markdown Triggers")]
pub(super) struct Args {
    /// Trigger, function, type or group of functions
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Print Markdown, with a chapter for each group
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Name and description of the group of all triggers.
const TRIGGERS: &str = "Triggers";
const TRIGGERS_DOCS: &str = "Sources of events; each calls a handler.";

/// The selected triggers and functions.
struct Selection {
    kinds: Vec<&'static Kind>,
    entries: Vec<&'static ReferenceEntry>,
}

/// Returns the functions of scripts, then those of tests.
fn everything() -> impl Iterator<Item = &'static ReferenceEntry> {
    reference().iter().chain(only_in_tests())
}

fn packages() -> impl Iterator<Item = &'static Package> {
    PACKAGES.iter().copied().chain([&TESTS])
}

/// Prints the reference, or a part of it.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let selection = match &args.name {
        None => Selection { kinds: KINDS.to_vec(), entries: everything().collect() },
        Some(name) => Selection::of(name)?,
    };
    if args.json {
        let kind = |kind: &&Kind| json!({ "name": kind.name, "arguments": kind.arguments, "event": kind.event, "docs": kind.docs });
        let triggers: Vec<_> = selection.kinds.iter().map(kind).collect();
        terminal::print_json(&json!({ "triggers": triggers, "functions": selection.entries }))?;
    } else if args.markdown {
        terminal::print(&selection.markdown());
    } else if args.name.is_some() {
        terminal::print(&selection.pages());
    } else {
        terminal::print(&selection.overview());
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the reference pages for a name.
pub(super) fn pages(name: &str) -> anyhow::Result<String> {
    Ok(Selection::of(name)?.pages())
}

impl Selection {
    /// Selects everything with a name, ignoring case.
    fn of(name: &str) -> anyhow::Result<Self> {
        let is_meant = |known: &str| known.eq_ignore_ascii_case(name);
        let kinds: Vec<_> = KINDS.iter().copied().filter(|kind| is_meant(kind.name) || is_meant(TRIGGERS)).collect();
        // The first word of a group is enough, such as `mqtt` for `MQTT out`; a type selects its methods and properties.
        let is_group = |package: &str| is_meant(package) || package.split(' ').next().is_some_and(is_meant);
        let is_type = |name: &str| name.split_once('.').is_some_and(|(of, _)| is_meant(of));
        let is_named =
            |entry: &ReferenceEntry| is_meant(&entry.name) || is_meant(&entry.function) || is_type(&entry.name);
        let meant = |entry: &&ReferenceEntry| is_named(entry) || is_group(entry.package);
        let entries: Vec<_> = everything().filter(meant).collect();
        if kinds.is_empty() && entries.is_empty() {
            let known = everything().map(|entry| entry.function.as_str()).chain(KINDS.iter().map(|kind| kind.name));
            let hint = nearest(name, known).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            return Err(UsageError(format!("there is no trigger, function or group `{name}`{hint}")).into());
        }
        Ok(Self { kinds, entries })
    }

    fn overview(&self) -> String {
        let triggers: Vec<_> = self.kinds.iter().map(|kind| row(kind.name, kind.docs)).collect();
        let mut text = section(TRIGGERS, TRIGGERS_DOCS, &triggers);
        for package in packages() {
            // Operators, such as comparisons, have no documentation.
            let of_package =
                self.entries.iter().filter(|entry| entry.package == package.name && !entry.docs.is_empty());
            let rows: Vec<_> = of_package.map(|entry| row(&entry.name, &entry.docs)).collect();
            text.push('\n');
            text.push_str(&section(package.name, package.docs, &rows));
        }
        text.push_str("\nFor details: rhaid reference NAME\n");
        text
    }

    fn pages(&self) -> String {
        let mut pages = Vec::new();
        for kind in &self.kinds {
            let mut page = format!("{}\n", paint(Style::Heading, &call(kind)));
            page.push_str(&format!("\n{}\n\nThe handler gets {}\n", kind.docs.trim(), kind.event));
            pages.push(page);
        }
        for entry in &self.entries {
            let mut page = String::new();
            for signature in &entry.signatures {
                page.push_str(&format!("{}\n", paint(Style::Heading, &signature.text)));
            }
            page.push_str(&self.availability(entry));
            page.push_str(&format!("\n{}\n", entry.docs));
            if let Some(example) = &entry.example {
                page.push_str(&format!("\n{}\n", indented(example)));
            }
            pages.push(page);
        }
        pages.join("\n")
    }

    /// Returns a note on where a function is available, if it is not available everywhere or another function has the same name.
    fn availability(&self, entry: &ReferenceEntry) -> String {
        let has_twin = |name: &str| self.entries.iter().any(|other| other.is_only_in_tests() && other.name == name);
        let place = match entry.is_only_in_tests() {
            true => "in tests only: files named *_test.rhai",
            false if has_twin(&entry.name) => "in scripts",
            false => return String::new(),
        };
        format!("{}\n", paint(Style::Dim, place))
    }

    fn markdown(&self) -> String {
        let mut chapters = Vec::new();
        if !self.kinds.is_empty() {
            chapters.push(self.triggers());
        }
        for package in packages() {
            let entries: Vec<_> = self.entries.iter().filter(|entry| entry.package == package.name).collect();
            if !entries.is_empty() {
                let entries: String = entries.iter().map(|entry| chapter_of(entry)).collect();
                chapters.push(format!("# {}\n\n{}\n{entries}", package.name, package.docs));
            }
        }
        chapters.join("\n")
    }

    fn triggers(&self) -> String {
        let mut text = format!("# {TRIGGERS}\n\n{TRIGGERS_DOCS}\n");
        for kind in &self.kinds {
            text.push_str(&format!("\n## `{}`\n\n{}", call(kind), kind_docs(kind)));
        }
        text
    }
}

fn chapter_of(entry: &ReferenceEntry) -> String {
    format!("\n## `{}`\n\n{}", entry.name, entry_docs(entry, "text"))
}

/// Returns the documentation of a kind of trigger, in Markdown.
pub(super) fn kind_docs(kind: &Kind) -> String {
    let docs = kind.docs.trim().replace("\n# ", "\n### ");
    format!("{docs}\n\nThe handler gets {}\n", kind.event)
}

/// Returns the documentation of a function in Markdown, with its signatures in a code block of a language.
pub(super) fn entry_docs(entry: &ReferenceEntry, language: &str) -> String {
    let signatures: Vec<_> = entry.signatures.iter().map(|signature| signature.text.as_str()).collect();
    let mut text = format!("```{language}\n{}\n```\n", signatures.join("\n"));
    if !entry.docs.is_empty() {
        text.push_str(&format!("\n{}\n", entry.docs));
    }
    if let Some(example) = &entry.example {
        text.push_str(&format!("\n```rhai\n{example}\n```\n"));
    }
    text
}

fn section(name: &str, docs: &str, rows: &[Vec<Cell>]) -> String {
    format!("{}  {}\n{}", paint(Style::Heading, name), paint(Style::Dim, docs), aligned(rows))
}

fn row(name: &str, docs: &str) -> Vec<Cell> {
    vec![Cell::styled(Style::Name, format!("  {name}")), Cell::plain(first_sentence(docs))]
}

fn first_sentence(docs: &str) -> &str {
    let line = docs.trim().lines().next().unwrap_or_default();
    line.split_inclusive(". ").next().unwrap_or_default().trim_end()
}

/// Returns the signature of a trigger.
pub(super) fn call(kind: &Kind) -> String {
    let arguments: String = kind.arguments.iter().map(|argument| format!("{argument}, ")).collect();
    format!("{}({arguments}[options,] handler)", kind.name)
}

fn indented(code: &str) -> String {
    code.lines().map(|line| format!("    {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
