//! `rhaid repl`: evaluates lines interactively.

mod commands;
mod reader;
mod watch;

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Map, Value as Json};
use tokio_util::sync::CancellationToken;

use self::commands::COMMANDS;
use self::reader::LineReader;
use self::watch::TopicPrinter;
use crate::cli::environment;
use crate::cli::exec::ConsoleLog;
use crate::cli::reference;
use crate::cli::settings::{self, Globals};
use crate::cli::terminal::{self, Style, paint, sanitize};
use crate::config::{Config, Level};
use crate::effect::RawEffect;
use crate::functions::{Context, RunLog, RunUsage, Stop};
use crate::options::nearest;
use crate::runtime::FolderSources;
use crate::script::repl_session::{EvaluatedLine, ReplSession};
use crate::script::{self, RunError};
use crate::services::clock::Clock;
use crate::services::store::Store;
use crate::sim;
use crate::units::parse_duration;

/// Script name that selects `state` and permissions.
const NAME: &str = "repl";

/// Evaluate lines interactively, with all functions of scripts
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid repl
  rhaid repl --dry                       # show effects without carrying them out
  echo 'http_get(\"https://api.github.com\").status_code' | rhaid repl

Variables, functions, imports and `state` are kept between lines and discarded at the end. `:help` lists the commands, Tab completes \
names, Ctrl-C cancels the running line. With input from a pipe, rhaid prints the values and exits with 1 after a fault.")]
pub(super) struct Args {
    /// Show effects without carrying them out
    #[arg(long)]
    dry: bool,
    /// Time limit per line [default: limits.timeout of rhaid.yaml, 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

/// Reads and evaluates lines until the end of the input.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = Arc::new(settings::load(globals)?);
    let zone = settings::zone(config.timezone.as_deref())?;
    let tokio = environment::tokio_runtime()?;
    let shell = ConsoleLog::new(config.log.level_of(NAME), &config);
    let run_log = Arc::new(ReplLog { shell, is_dry: args.dry });
    let context = sim::context(&config, Clock::system(zone), Store::in_memory()?, run_log, tokio.handle())?;
    let (reader, printer) = LineReader::open(&config)?;
    let (limits, mqtt) = (config.limits.clone(), context.services.mqtt.clone());
    let is_interactive = reader.is_terminal();
    let repl = Repl {
        session: ReplSession::new(Arc::new(FolderSources::new(&config.scripts, config.limits.script_size)), &config),
        topics: TopicPrinter::new(printer, mqtt.clone(), tokio.handle().clone()),
        context,
        timeout: args.timeout.unwrap_or(config.limits.timeout),
        is_dry: args.dry,
        running: Arc::default(),
        config,
        has_failed: false,
    };
    let running = repl.running.clone();
    tokio.spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            running.lock().cancel();
        }
    });
    let has_failed = script::on_script_thread(&limits, move || repl.run(reader))??;
    let _ = tokio.block_on(mqtt.close());
    Ok(if has_failed && !is_interactive { ExitCode::from(crate::cli::exit::FAILURE) } else { ExitCode::SUCCESS })
}

/// Session state: variables, subscriptions, context.
struct Repl {
    session: ReplSession,
    topics: TopicPrinter,
    context: Context,
    config: Arc<Config>,
    timeout: Duration,
    is_dry: bool,
    /// Cancels the running line.
    running: Arc<Mutex<CancellationToken>>,
    has_failed: bool,
}

impl Repl {
    /// Evaluates all lines; returns whether one failed.
    fn run(mut self, mut reader: LineReader) -> anyhow::Result<bool> {
        while let Some(line) = reader.read(&self.session.names())? {
            let line = line.trim();
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            match (word, rest.trim()) {
                ("", _) => {}
                (":quit" | ":q" | ":exit" | "quit" | "exit" | "quit()" | "exit()", "") => break,
                (":help" | ":h", "") => help(),
                (":help" | ":h", name) => match reference::pages(name) {
                    Ok(pages) => terminal::print(&pages),
                    Err(why) => self.report_error(&why.to_string()),
                },
                (":load", file) => match fs::read_to_string(file) {
                    Ok(text) => drop(self.evaluate(&text)),
                    Err(why) => self.report_error(&format!("{file}: {why}")),
                },
                (":type", expression) => {
                    if let Some(evaluated) = self.evaluate(expression) {
                        terminal::print(&format!("{}\n", evaluated.type_name));
                    }
                }
                (":subscribe", topic) => self.topics.subscribe(topic).unwrap_or_else(|why| self.report_error(&why)),
                (":unsubscribe", topic) => self.topics.unsubscribe(topic),
                (command, _) if command.starts_with(':') => {
                    let near = nearest(command, COMMANDS.iter().map(|(name, ..)| *name));
                    let hint = near.map_or_else(|| "see `:help`".to_owned(), |near| format!("did you mean `{near}`?"));
                    self.report_error(&format!("unknown command `{command}`: {hint}"));
                }
                _ => {
                    if let Some(evaluated) = self.evaluate(line) {
                        show(&evaluated);
                    }
                }
            }
        }
        Ok(self.has_failed)
    }

    fn evaluate(&mut self, text: &str) -> Option<EvaluatedLine> {
        let context = Arc::new(self.context());
        *self.running.lock() = context.cancel.clone();
        match self.session.evaluate(text, &context) {
            Ok(evaluated) => {
                let batch = std::mem::take(&mut *context.batch.lock());
                // Also in a dry run: the store is in memory.
                if let Err(why) = context.services.store.commit(&batch) {
                    self.report_error(&why.to_string());
                }
                Some(evaluated)
            }
            Err(all) => {
                for ended in all {
                    let report = match ended {
                        RunError::Stopped(Stop::Cancelled, _) => "cancelled".to_owned(),
                        RunError::Fault(fault) | RunError::Stopped(_, fault) => fault.report(),
                    };
                    let report = self.config.mask().apply(&report).into_owned();
                    self.report_error(&report);
                }
                None
            }
        }
    }

    /// Returns the context of one line.
    fn context(&self) -> Context {
        let Context { services, config, runtime, run_log, .. } = &self.context;
        Context {
            script: NAME.into(),
            services: services.clone(),
            config: config.clone(),
            runtime: runtime.clone(),
            cancel: CancellationToken::new(),
            deadline: Instant::now().checked_add(self.timeout).unwrap_or(self.context.deadline),
            virtual_deadline: None,
            batch: Mutex::default(),
            earlier_runs: None,
            pending_writes: None,
            hops: 0,
            run_log: run_log.clone(),
            is_dry_run: self.is_dry,
            usage: RunUsage::default(),
        }
    }

    fn report_error(&mut self, why: &str) {
        self.has_failed = true;
        terminal::print_error(&format!("{}: {}\n", paint(Style::Error, "error"), sanitize(why)));
    }
}

fn help() {
    let width = COMMANDS.iter().map(|(name, takes, _)| name.len() + takes.len() + 1).max().unwrap_or(0);
    for (name, takes, does) in COMMANDS {
        let usage = format!("{name} {takes}");
        terminal::print(&format!("{}  {does}\n", paint(Style::Name, &format!("{usage:width$}"))));
    }
    terminal::print(
        "All other input is evaluated. It can use the functions of `rhaid reference` and the definitions of earlier lines.\n",
    );
}

fn show(evaluated: &EvaluatedLine) {
    let text = match evaluated.value.to_json() {
        Json::Null if evaluated.type_name == "()" => return,
        Json::Null => evaluated.text.clone(),
        Json::String(text) => text,
        value => format!("{value:#}"),
    };
    terminal::print(&format!("{}\n", sanitize(&text)));
}

/// Run log of the lines; in a dry run it also shows the effects.
struct ReplLog {
    shell: ConsoleLog,
    is_dry: bool,
}

impl RunLog for ReplLog {
    fn log_line(&self, level: Level, text: &str, fields: &Map<String, Json>) {
        self.shell.log_line(level, text, fields);
    }

    fn record_effect(&self, effect: RawEffect) {
        if self.is_dry {
            let what = format!("{} {}", effect.action, effect.details.into_text());
            terminal::print_error(&format!("{} {}\n", paint(Style::Dim, "dry run:"), sanitize(&what)));
        }
    }
}
