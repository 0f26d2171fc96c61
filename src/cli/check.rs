//! `rhaid check`: what is wrong with scripts or likely to be, and what would wake them; touches nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Zoned;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::cli::environment;
use crate::cli::event_file::{self, InputEvent};
use crate::cli::exit::{FAILURE, UsageError};
use crate::cli::next::rfc3339;
use crate::cli::settings::{self, Globals};
use crate::cli::terminal::{self, Style, paint, sanitize};
use crate::config::{Binding, Config};
use crate::fault::Fault;
use crate::runtime::{FolderSources, bind, is_test, list_scripts, unreadable_job};
use crate::script::lint::{self, Finding};
use crate::script::testing::TestFile;
use crate::script::{Declaration, Purpose, Script, Sources as _};
use crate::services::clock::Clock;
use crate::triggers::TriggerContext;

/// How many of the next times of a trigger are shown.
const UPCOMING: usize = 3;

/// Check scripts and rhaid.yaml without running anything, and list every trigger
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid check
  rhaid check scripts/door.rhai
  rhaid check --format compact      # file:line:column: message, for editors
  rhaid check --job nightly.rhai    # a script that runs whole
  rhaid check --events day.jsonl    # also: topics on which nothing came that `rhaid record` saw

A fault keeps a script from going live; a warning is likely a mistake. `rhaid explain CODE` says more about one. A comment
`// rhaid: allow(CODE)` at the end of a line, or on the line above, allows it there; `// rhaid: allow-file(CODE)` in the whole file.

Ends with 0 if all is well, with 1 if there is a fault, or with --strict a warning.")]
pub(super) struct Args {
    /// Scripts, or folders of scripts; by default the scripts folder
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How to print what is found
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Take the scripts that are named for jobs: their top level is what they do, not what they declare
    #[arg(long, requires = "paths")]
    job: bool,
    /// Warn of topics that no message in this file was on: one JSON object a line, as `rhaid record` writes them
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// End with 1 if there are warnings, too
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// One line a fault: file:line:column: message
    Compact,
}

/// A script to look at.
struct CheckTarget {
    /// The folder it is read from.
    root: PathBuf,
    /// Its file below that.
    file: String,
    purpose: Purpose,
    /// What rhaid.yaml binds to it.
    bindings: Vec<Binding>,
}

#[derive(Default, Serialize)]
struct CheckReport {
    scripts: Vec<CheckedScript>,
    faults: Vec<Problem>,
    warnings: Vec<Problem>,
}

#[derive(Serialize)]
struct CheckedScript {
    name: String,
    docs: String,
    triggers: Vec<CheckedTrigger>,
}

#[derive(Serialize)]
struct CheckedTrigger {
    name: String,
    kind: &'static str,
    summary: String,
    file: String,
    line: usize,
    next: Vec<String>,
}

#[derive(Serialize)]
struct Problem {
    /// What `rhaid explain` explains.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    file: String,
    line: usize,
    column: usize,
    message: String,
    hint: Option<String>,
    #[serde(skip)]
    report: String,
}

/// Checks, prints what was found, and says by the exit code whether all is well.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let mut report = CheckReport::default();
    let file = settings::find(globals)?;
    let folder = file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let folder = folder.strip_prefix(".").unwrap_or(folder);
    match settings::read(globals, file.as_deref()) {
        Ok(loaded) => {
            // A warning stands in the way of nothing, so it is no fault.
            loaded.warnings.iter().for_each(|warning| terminal::print_error(&format!("{warning}\n")));
            look(args, &Arc::new(loaded.config), folder, &mut report)?;
        }
        // What has no line is a variable, a flag or the file as a whole.
        Err(faults) => report.faults.extend(
            faults
                .iter()
                .map(|fault| Problem::new(fault, if fault.location.line > 0 { folder } else { Path::new("") })),
        ),
    }
    match args.format {
        Format::Text => terminal::print(&text(&report)),
        Format::Json => terminal::print_json(&report)?,
        Format::Compact => {
            let faults = report.faults.iter().map(|fault| compact("", fault));
            let warnings = report.warnings.iter().map(|warning| compact("warning: ", warning));
            terminal::print(&faults.chain(warnings).collect::<String>());
        }
    }
    let is_well = report.faults.is_empty() && (report.warnings.is_empty() || !args.strict);
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) })
}

/// Looks at scripts, and at what the configuration in a folder binds to jobs.
fn look(args: &Args, config: &Arc<Config>, folder: &Path, report: &mut CheckReport) -> anyhow::Result<()> {
    let zone = settings::zone(config.timezone.as_deref())?;
    let now = Clock::system(zone.clone()).now_zoned();
    let around = |root: &Path| TriggerContext {
        zone: zone.clone(),
        location: config.location,
        brokers: config.mqtt.names(),
        base: root.parent().unwrap_or(root).to_owned(),
    };
    if let Err(faults) = bind(&config.triggers, config, &around(&config.scripts)) {
        report.faults.extend(faults.iter().map(|fault| Problem::new(fault, folder)));
    }
    let mut loaded: BTreeMap<PathBuf, Vec<Script>> = BTreeMap::new();
    for target in targets(args, config)? {
        let trigger_context = around(&target.root);
        let sources = Arc::new(FolderSources::new(&target.root, config.limits.script_size));
        if let (false, Err(why)) = (target.bindings.is_empty(), sources.read(&target.file)) {
            let faults = unreadable_job(&target.bindings, &target.file, &why);
            report.faults.extend(faults.iter().map(|fault| Problem::new(fault, folder)));
            continue;
        }
        if is_test(&target.file) {
            let (file, limits) = (&target.file, &config.limits);
            let faults = environment::on_script_thread(limits, || TestFile::faults(file, sources, limits))?;
            report.faults.extend(faults.iter().map(|fault| Problem::new(fault, &target.root)));
            continue;
        }
        match Script::load(&target.file, &target.purpose, sources, config, &trigger_context) {
            Ok(script) => {
                // Faults of bindings have been found already, all together.
                let bound = bind(&target.bindings, config, &trigger_context).unwrap_or_default();
                let own = script.declarations.iter().map(|declared| CheckedTrigger::new(declared, &target.root, &now));
                let triggers = own.chain(bound.iter().map(|bound| CheckedTrigger::new(bound, folder, &now))).collect();
                report.scripts.push(CheckedScript {
                    name: script.name.to_string(),
                    docs: script.docs.clone(),
                    triggers,
                });
                loaded.entry(target.root).or_default().push(script);
            }
            Err(faults) => report.faults.extend(faults.iter().map(|fault| Problem::new(fault, &target.root))),
        }
    }
    let topics = args.events.as_deref().map(|file| topics(file, &zone)).transpose()?;
    for (root, scripts) in &loaded {
        let found = lint::check(scripts, config, topics.as_ref());
        report.warnings.extend(found.iter().map(|finding| Problem::likely(finding, root)));
    }
    Ok(())
}

/// Returns the topics of the messages in a file of events.
fn topics(file: &Path, zone: &TimeZone) -> anyhow::Result<BTreeSet<String>> {
    let topics: BTreeSet<_> = event_file::read(file, zone)?
        .into_iter()
        .filter_map(|line| match line.event {
            InputEvent::Message(message) => Some(message.topic),
            _ => None,
        })
        .collect();
    if topics.is_empty() {
        let hint = "write some with `rhaid record --topic '#' -o FILE`";
        return Err(UsageError(format!("there are no messages in {}: {hint}", file.display())).into());
    }
    Ok(topics)
}

fn targets(args: &Args, config: &Config) -> anyhow::Result<Vec<CheckTarget>> {
    let scripts = std::fs::canonicalize(&config.scripts);
    let mut targets = Vec::new();
    if args.paths.is_empty() {
        let root = scripts.with_context(|| format!("reading {}", config.scripts.display()))?;
        add_folder(&root, Some(&root), config, &mut targets)?;
        return Ok(targets);
    }
    let scripts = scripts.ok();
    for path in &args.paths {
        let whole = path.canonicalize().with_context(|| path.display().to_string())?;
        if whole.is_dir() {
            add_folder(&whole, scripts.as_deref(), config, &mut targets)?;
        } else {
            targets.push(CheckTarget::of_file(&whole, scripts.as_deref(), args.job, config));
        }
    }
    Ok(targets)
}

/// Adds the scripts in a folder, and the jobs if it is the scripts folder, whatever they are called.
fn add_folder(
    root: &Path,
    scripts: Option<&Path>,
    config: &Config,
    targets: &mut Vec<CheckTarget>,
) -> anyhow::Result<()> {
    let listing = list_scripts(root).with_context(|| format!("reading {}", root.display()))?;
    listing.problems.iter().for_each(|problem| terminal::print_error(&format!("{problem}\n")));
    let mut files: BTreeSet<_> = listing.files.into_iter().collect();
    if scripts == Some(root) {
        files.extend(config.triggers.iter().map(|binding| binding.job.clone()));
    }
    targets.extend(files.into_iter().map(|file| CheckTarget::new(root, scripts, file, config)));
    Ok(())
}

impl CheckTarget {
    /// A single file: as a part of the scripts folder if it lies there, else on its own.
    fn of_file(file: &Path, scripts: Option<&Path>, job: bool, config: &Config) -> Self {
        let inside = scripts.and_then(|root| Some((root, file.strip_prefix(root).ok()?)));
        let own = || (file.parent().unwrap_or(file), Path::new(file.file_name().unwrap_or_default()));
        let (root, below) = inside.unwrap_or_else(own);
        let target = Self::new(root, scripts, below.to_string_lossy().into_owned(), config);
        if job { Self { purpose: Purpose::Job, ..target } } else { target }
    }

    /// A job is bound in rhaid.yaml, or begins with `#!`.
    fn new(root: &Path, scripts: Option<&Path>, file: String, config: &Config) -> Self {
        let is_bound = |binding: &&Binding| scripts == Some(root) && binding.job == file;
        let bindings: Vec<_> = config.triggers.iter().filter(is_bound).cloned().collect();
        let is_program = || std::fs::read(root.join(&file)).is_ok_and(|bytes| bytes.starts_with(b"#!"));
        let purpose = if bindings.is_empty() && !is_program() { Purpose::Handlers } else { Purpose::Job };
        Self { root: root.to_owned(), file, purpose, bindings }
    }
}

impl CheckedTrigger {
    fn new(declared: &Declaration, root: &Path, now: &Zoned) -> Self {
        let summary = declared.trigger.summary();
        Self {
            name: declared.policy.name.clone().unwrap_or_else(|| summary.clone()),
            kind: declared.kind,
            summary,
            file: shown(root, &declared.location.file),
            line: declared.location.line,
            next: declared.trigger.upcoming(now, UPCOMING).iter().map(rfc3339).collect(),
        }
    }
}

impl Problem {
    fn new(fault: &Fault, root: &Path) -> Self {
        Self {
            code: fault.code,
            file: shown(root, &fault.location.file),
            line: fault.location.line,
            column: fault.location.column,
            message: fault.text.clone(),
            hint: fault.hint.clone(),
            report: fault.report(),
        }
    }

    fn likely(finding: &Finding, root: &Path) -> Self {
        Self { code: Some(finding.code), ..Self::new(&finding.fault, root) }
    }
}

/// Returns a file as seen from here.
fn shown(root: &Path, file: &str) -> String {
    let file = root.join(file);
    let here = std::env::current_dir().and_then(std::fs::canonicalize);
    let below = here.ok().and_then(|here| Some(file.strip_prefix(here).ok()?.to_owned()));
    below.unwrap_or(file).display().to_string()
}

fn compact(sort: &str, fault: &Problem) -> String {
    // Editors want a line and a column, even for what concerns the whole file.
    let (line, column) = (fault.line.max(1), fault.column.max(1));
    let message = sanitize(&fault.message).replace('\n', " ");
    let code = fault.code.map(|code| format!(" [{code}]")).unwrap_or_default();
    format!("{}:{line}:{column}: {sort}{message}{code}\n", fault.file)
}

fn text(report: &CheckReport) -> String {
    let mut text = String::new();
    for script in &report.scripts {
        text.push_str(&format!("{} {}\n", paint(Style::Success, "ok"), paint(Style::Name, &sanitize(&script.name))));
        for trigger in &script.triggers {
            let name = if trigger.name == trigger.summary { String::new() } else { format!("  ({})", trigger.name) };
            text.push_str(&format!("   {}{}\n", sanitize(&trigger.summary), paint(Style::Dim, &sanitize(&name))));
            for next in &trigger.next {
                text.push_str(&paint(Style::Dim, &format!("      {next}\n")));
            }
        }
    }
    for fault in &report.faults {
        text.push_str(&shown_fault(paint(Style::Error, "fault"), fault));
    }
    for warning in &report.warnings {
        text.push_str(&shown_fault(paint(Style::Warning, "warning"), warning));
    }
    let triggers = report.scripts.iter().map(|script| script.triggers.len()).sum();
    let (scripts, faults) = (report.scripts.len(), report.faults.len());
    let mut end = vec![count(scripts, "script"), count(triggers, "trigger"), count(faults, "fault")];
    end.extend((!report.warnings.is_empty()).then(|| count(report.warnings.len(), "warning")));
    let end = end.join(", ");
    text.push_str(&format!("\n{end}\n"));
    text
}

fn shown_fault(sort: impl Display, fault: &Problem) -> String {
    let code = fault.code.map(|code| paint(Style::Dim, &format!("[{code}] "))).unwrap_or_default();
    format!("\n{sort} {code}{}\n", sanitize(&fault.report))
}

fn count(number: usize, what: &str) -> String {
    match number {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}
