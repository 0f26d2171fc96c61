//! `rhaid exec` and `rhaid eval`: run a script or an expression once.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Map, Value as Json};

use crate::cli::environment;
use crate::cli::exit::{FAILURE, INTERRUPTED, UsageError};
use crate::cli::settings::{self, Globals};
use crate::cli::terminal::{self, Style, paint, sanitize};
use crate::config::{Config, Level};
use crate::effect::RawEffect;
use crate::fault;
use crate::functions::{Context, RunLog, Stop};
use crate::runtime::{FolderSources, script_name};
use crate::script::{self, JobResult, Purpose, RunError, Script, Sources};
use crate::services::clock::Clock;
use crate::services::store::Store;
use crate::sim;
use crate::triggers::TriggerContext;
use crate::units::parse_duration;

/// Run a script from top to bottom, once
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid exec report.rhai
  rhaid exec nightly.rhai --timeout 10m attic cellar    # `args` is [\"attic\", \"cellar\"]

print() writes to standard output. The exit code is the argument of exit(code), or else 0; 1 after a fault. \
A file that begins with `#!/usr/bin/env -S rhaid exec` can be executed directly.
`state`, timers and events are discarded at the end: to keep them, use a script in the scripts folder.")]
pub(super) struct Args {
    /// Time limit [default: limits.timeout of rhaid.yaml, 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Script to run
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Arguments, available to the script as `args`
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Evaluate an expression and print its value
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid eval '40 + 2'
  rhaid eval 'http_get(\"https://api.github.com\").status_code'
  rhaid eval 'now(\"Europe/Oslo\").format(\"%H:%M\")'")]
pub(super) struct EvalArgs {
    /// Time limit [default: limits.timeout of rhaid.yaml, 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Print the value as JSON, also strings and ()
    #[arg(long)]
    json: bool,
    /// Expression, or statements that end with one
    #[arg(value_name = "EXPRESSION", allow_hyphen_values = true)]
    expression: String,
}

/// A script to run once, with its arguments.
struct ExecTask {
    file: String,
    sources: Arc<dyn Sources>,
    root: PathBuf,
    args: Vec<String>,
    timeout: Option<Duration>,
}

/// Runs a script file.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = Arc::new(settings::load(globals)?);
    let (root, file) = place(&args.file, &config)?;
    let sources = Arc::new(FolderSources::new(&root, config.limits.script_size));
    let (args, timeout) = (args.args.clone(), args.timeout);
    let task = ExecTask { file, sources, root, args, timeout };
    Ok(run_task(&task, &config)?.map_or_else(|code| code, |finished| ExitCode::from(finished.code)))
}

/// Returns the folder that the imports of a script are relative to, and the path of the script below it. The folder is the scripts folder if it
/// contains the script, or else the folder of the script. A script of the scripts folder can be given by its name.
pub(super) fn place(file: &Path, config: &Config) -> anyhow::Result<(PathBuf, String)> {
    let named = config.scripts.join(format!("{}.rhai", file.display()));
    let file = if !file.exists() && named.is_file() { &named } else { file };
    let file = file.canonicalize().with_context(|| file.display().to_string())?;
    let root = match config.scripts.canonicalize() {
        Ok(scripts) if file.starts_with(&scripts) => scripts,
        _ => file.parent().unwrap_or(Path::new("/")).to_owned(),
    };
    let below = file.strip_prefix(&root).unwrap_or(&file).to_string_lossy().into_owned();
    Ok((root, below))
}

/// Evaluates an expression.
pub(super) fn eval(args: &EvalArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = Arc::new(settings::load(globals)?);
    let root = config.scripts.clone();
    let folder = FolderSources::new(&root, config.limits.script_size);
    let sources = Arc::new(ExpressionSource { text: args.expression.as_str().into(), folder });
    let task = ExecTask { file: EXPRESSION_FILE.into(), sources, root, args: Vec::new(), timeout: args.timeout };
    let finished = match run_task(&task, &config)? {
        Ok(finished) => finished,
        Err(code) => return Ok(code),
    };
    match finished.value.to_json() {
        value if args.json => terminal::print_json(&value)?,
        Json::Null => {}
        Json::String(text) => terminal::print(&format!("{text}\n")),
        value => terminal::print(&format!("{value:#}\n")),
    }
    Ok(ExitCode::from(finished.code))
}

/// File name of the expression in faults.
const EXPRESSION_FILE: &str = "expression.rhai";

/// The expression as a file, and the modules of the scripts folder.
struct ExpressionSource {
    text: Arc<str>,
    folder: FolderSources,
}

impl Sources for ExpressionSource {
    fn read(&self, file: &str) -> Result<Arc<str>, String> {
        if file == EXPRESSION_FILE { Ok(self.text.clone()) } else { self.folder.read(file) }
    }
}

/// Runs a task. If it fails, prints the faults and returns the exit code.
fn run_task(task: &ExecTask, config: &Arc<Config>) -> anyhow::Result<Result<JobResult, ExitCode>> {
    let zone = settings::zone(config.timezone.as_deref())?;
    let base = task.root.parent().unwrap_or(&task.root).to_owned();
    let trigger_context =
        TriggerContext { zone: zone.clone(), location: config.location, brokers: config.mqtt.names(), base };
    let script = match Script::load(&task.file, &Purpose::Job, task.sources.clone(), config, &trigger_context) {
        Ok(script) => script,
        Err(faults) => {
            terminal::print_error(&format!("{}\n", sanitize(&fault::reports(&faults))));
            return Ok(Err(ExitCode::from(FAILURE)));
        }
    };
    let tokio = environment::tokio_runtime()?;
    let context = Arc::new(context(task, config, Clock::system(zone), &script.name, tokio.handle())?);
    environment::cancel_on_interrupt(&tokio, &context.cancel);
    let ended = script::on_script_thread(&config.limits, || script.run(None, &task.args, &context))?;
    if !environment::flush_messages(&tokio, &context) && ended.is_ok() {
        return Ok(Err(ExitCode::from(FAILURE)));
    }
    Ok(ended.inspect(|_| note_discarded(&context)).map_err(|ended| report_error(&ended, config)))
}

fn context(
    task: &ExecTask,
    config: &Arc<Config>,
    clock: Clock,
    name: &Arc<str>,
    tokio: &tokio::runtime::Handle,
) -> anyhow::Result<Context> {
    let timeout = task.timeout.unwrap_or(config.limits.timeout);
    let run_log = Arc::new(ConsoleLog::new(config.log.level_of(name), config));
    Ok(Context {
        script: script_name(name).into(),
        deadline: Instant::now()
            .checked_add(timeout)
            .ok_or_else(|| UsageError("--timeout: the duration is too long".into()))?,
        virtual_deadline: None,
        ..sim::context(config, clock, Store::in_memory()?, run_log, tokio)?
    })
}

fn note_discarded(context: &Context) {
    let batch = context.batch.lock();
    let what = match (batch.values.is_empty(), batch.timers_set.is_empty(), batch.emitted.is_empty()) {
        (false, ..) => "state",
        (_, false, _) => "timers",
        (.., false) => "events",
        _ => return,
    };
    let note = format!("{what} were discarded: only scripts in the scripts folder keep them");
    terminal::print_error(&format!("{} {note}\n", paint(Style::Warning, "note")));
}

fn report_error(ended: &RunError, config: &Config) -> ExitCode {
    let (fault, code) = match ended {
        RunError::Fault(fault) => (fault, FAILURE),
        RunError::Stopped(Stop::Cancelled, _) => return ExitCode::from(INTERRUPTED),
        RunError::Stopped(_, fault) => (fault, FAILURE),
    };
    terminal::print_error(&format!("{}\n", sanitize(&config.mask().apply(&fault.report()))));
    ExitCode::from(code)
}

/// Run log of a command: `print` goes to standard output, other log lines to standard error.
pub(super) struct ConsoleLog {
    level: Level,
    config: Arc<Config>,
}

impl ConsoleLog {
    /// Shows log lines of this level or above, and everything that is printed.
    pub(super) fn new(level: Level, config: &Arc<Config>) -> Self {
        Self { level, config: config.clone() }
    }
}

impl RunLog for ConsoleLog {
    fn log_line(&self, level: Level, text: &str, fields: &Map<String, Json>) {
        if level > self.level && level != Level::Info {
            return;
        }
        let mut line = text.to_owned();
        for (name, value) in fields {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            line.push_str(&format!(" {name}={value}"));
        }
        let line = self.config.mask().apply(&line).into_owned();
        match level {
            Level::Info => terminal::print(&format!("{line}\n")),
            Level::Error => terminal::print_error(&format!("{}: {}\n", paint(Style::Error, "error"), sanitize(&line))),
            Level::Warn => terminal::print_error(&format!("{}: {}\n", paint(Style::Warning, "warn"), sanitize(&line))),
            _ => terminal::print_error(&format!("{}: {}\n", paint(Style::Dim, level.word()), sanitize(&line))),
        }
    }

    fn record_effect(&self, _: RawEffect) {}
}
