//! `rhaid check`: faults and warnings of scripts and rhaid.yaml, and a list of all triggers, without running anything.

mod report;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Zoned;
use jiff::tz::TimeZone;

use self::report::{CheckReport, CheckedScript, CheckedTrigger, Problem};
use self::target::{CheckTarget, targets};
use crate::cli::exit::{FAILURE, UsageError};
use crate::cli::settings::{self, Globals};
use crate::cli::terminal;
use crate::config::Config;
use crate::runtime::{FolderSources, bind, is_test, unreadable_job};
use crate::script::testing::TestFile;
use crate::script::{self, Script, Sources as _, lint};
use crate::services::clock::Clock;
use crate::sim::{InputEvent, read_events};
use crate::triggers::TriggerContext;

/// Check scripts and rhaid.yaml without running anything, and list all triggers
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid check
  rhaid check scripts/door.rhai
  rhaid check --format compact      # file:line:column: message, for editors
  rhaid check --job nightly.rhai    # a job: a script that runs from top to bottom
  rhaid check --events day.jsonl    # also warn of topics without messages in a recording

A script with a fault is not loaded; a warning is a likely mistake. `rhaid explain CODE` describes a fault or warning. To suppress a \
warning, add the comment `// rhaid: allow(CODE)` at the end of the line or on the line above, or `// rhaid: allow-file(CODE)` for the \
whole file.

Exits with 0 if there are no faults (with --strict: and no warnings), else with 1.")]
pub(super) struct Args {
    /// Scripts or folders of scripts [default: the scripts folder]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Check the given scripts as jobs, which run from top to bottom and declare no triggers
    #[arg(long, requires = "paths")]
    job: bool,
    /// Warn of subscriptions that match no message of this recording: one JSON object per line, as written by `rhaid record`
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Exit with 1 if there are warnings
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Text with the source lines
    Text,
    /// JSON
    Json,
    /// One line per fault: file:line:column: message
    Compact,
}

/// Checks scripts and configuration, and prints the report.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let mut report = CheckReport::default();
    let file = settings::find(globals)?;
    let folder = file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let folder = folder.strip_prefix(".").unwrap_or(folder);
    match settings::read(globals, file.as_deref()) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|warning| terminal::print_error(&format!("{warning}\n")));
            let config = Arc::new(loaded.config);
            let targets = targets(&args.paths, args.job, &config)?;
            check(args, &config, folder, targets, &mut report)?;
        }
        // A fault without a line is about a variable, an option or the file as a whole.
        Err(faults) => report.faults.extend(
            faults
                .iter()
                .map(|fault| Problem::new(fault, if fault.location.line > 0 { folder } else { Path::new("") })),
        ),
    }
    match args.format {
        Format::Text => terminal::print(&report.text()),
        Format::Json => terminal::print_json(&report)?,
        Format::Compact => terminal::print(&report.compact()),
    }
    let is_good = report.faults.is_empty() && (report.warnings.is_empty() || !args.strict);
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) })
}

/// Checks scripts and the bindings of jobs in the configuration, whose file is in `folder`.
fn check(
    args: &Args,
    config: &Arc<Config>,
    folder: &Path,
    targets: Vec<CheckTarget>,
    report: &mut CheckReport,
) -> anyhow::Result<()> {
    let zone = settings::zone(config.timezone.as_deref())?;
    let now = Clock::system(zone.clone()).now_zoned();
    let context_of = |root: &Path| TriggerContext {
        zone: zone.clone(),
        location: config.location,
        brokers: config.mqtt.names(),
        base: root.parent().unwrap_or(root).to_owned(),
    };
    if let Err(faults) = bind(&config.triggers, config, &context_of(&config.scripts)) {
        report.add_faults(&faults, folder);
    }
    let mut loaded: BTreeMap<PathBuf, Vec<Script>> = BTreeMap::new();
    for target in targets {
        if let Some(script) = check_target(&target, config, folder, &context_of(&target.root), &now, report)? {
            loaded.entry(target.root).or_default().push(script);
        }
    }
    let topics = args.events.as_deref().map(|file| topics(file, &zone)).transpose()?;
    for (root, scripts) in &loaded {
        let findings = lint::check(scripts, config, topics.as_ref());
        report.warnings.extend(findings.iter().map(|finding| Problem::warning(finding, root)));
    }
    Ok(())
}

/// Loads one script and reports its faults and triggers; returns the script if it has no faults.
fn check_target(
    target: &CheckTarget,
    config: &Arc<Config>,
    folder: &Path,
    context: &TriggerContext,
    now: &Zoned,
    report: &mut CheckReport,
) -> anyhow::Result<Option<Script>> {
    let CheckTarget { root, file, purpose, bindings } = target;
    let sources = Arc::new(FolderSources::new(root, config.limits.script_size));
    if let (false, Err(why)) = (bindings.is_empty(), sources.read(file)) {
        report.add_faults(&unreadable_job(bindings, file, &why), folder);
        return Ok(None);
    }
    if is_test(file) {
        let limits = &config.limits;
        let faults = script::on_script_thread(limits, || TestFile::faults(file, sources, limits))?;
        report.add_faults(&faults, root);
        return Ok(None);
    }
    match Script::load(file, purpose, sources, config, context) {
        Ok(script) => {
            // The faults of bindings are reported once for all scripts.
            let bound = bind(bindings, config, context).unwrap_or_default();
            let own = script.declarations.iter().map(|declared| CheckedTrigger::new(declared, root, now));
            let triggers = own.chain(bound.iter().map(|bound| CheckedTrigger::new(bound, folder, now))).collect();
            let (name, docs) = (script.name.to_string(), script.docs.clone());
            report.scripts.push(CheckedScript { name, docs, triggers });
            Ok(Some(script))
        }
        Err(faults) => {
            report.add_faults(&faults, root);
            Ok(None)
        }
    }
}

/// Returns the topics of the messages in an event file.
fn topics(file: &Path, zone: &TimeZone) -> anyhow::Result<BTreeSet<String>> {
    let topics: BTreeSet<_> = read_events(file, zone)
        .map_err(UsageError)?
        .into_iter()
        .filter_map(|line| match line.event {
            InputEvent::Message(message) => Some(message.topic),
            _ => None,
        })
        .collect();
    if topics.is_empty() {
        let hint = "record some with `rhaid record --topic '#' -o FILE`";
        return Err(UsageError(format!("there are no messages in {}: {hint}", file.display())).into());
    }
    Ok(topics)
}
