//! `rhaid repl`: lines that are evaluated as they are typed.

mod reader;
mod watch;

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Map, Value as Json};
use tokio_util::sync::CancellationToken;

use self::reader::LineReader;
use self::watch::TopicPrinter;
use crate::cli::environment;
use crate::cli::exec::ConsoleLog;
use crate::cli::reference;
use crate::cli::settings::{self, Globals};
use crate::cli::terminal::{self, Style, paint, sanitize};
use crate::config::{Config, Level};
use crate::effect::Effect;
use crate::functions::{Context, RunLog, RunUsage, Stop};
use crate::options::nearest;
use crate::runtime::FolderSources;
use crate::script::RunError;
use crate::script::repl_session::{EvaluatedLine, ReplSession};
use crate::services::clock::Clock;
use crate::services::store::Store;
use crate::units::parse_duration;

/// What its `state` and permissions go by.
const NAME: &str = "repl";

/// The commands, with what each takes and does.
const COMMANDS: &[(&str, &str, &str)] = &[
    (":help", "[NAME]", "show this, or what the reference says of a function or trigger"),
    (":load", "FILE", "evaluate a file"),
    (":type", "EXPRESSION", "evaluate it and show what sort of value it is"),
    (":subscribe", "TOPIC", "show messages as they come"),
    (":unsubscribe", "[TOPIC]", "show them no longer"),
    (":quit", "", "leave, as Ctrl-D does"),
];

/// Evaluate lines as they are typed, with all functions of scripts
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid repl
  rhaid repl --dry                       # shows what would go out, and sends nothing
  echo 'http_get(\"https://api.github.com\").status_code' | rhaid repl

Variables, functions, imports and `state` stay from line to line, and are forgotten at the end. `:help` lists the commands; Tab
completes names; Ctrl-C ends the line that runs. From a pipe it reads lines and prints values, and ends with 1 after a fault.")]
pub(super) struct Args {
    /// Show what would go out, and do nothing
    #[arg(long)]
    dry: bool,
    /// How long a line may take; by default limits.timeout of rhaid.yaml, 30s
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

/// Reads and evaluates until the end.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = Arc::new(settings::load(globals)?);
    let zone = settings::zone(config.timezone.as_deref())?;
    let tokio = environment::tokio_runtime()?;
    let shell = ConsoleLog::new(config.log.level_of(NAME), &config);
    let run_log = Arc::new(ReplLog { shell, is_dry: args.dry });
    let context = environment::context(&config, Clock::system(zone), Store::in_memory()?, run_log, tokio.handle())?;
    let (reader, printer) = LineReader::open(&config)?;
    let (limits, mqtt) = (config.limits.clone(), context.services.mqtt.clone());
    let is_typed = reader.is_terminal();
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
    let has_failed = environment::on_script_thread(&limits, move || repl.work(reader))??;
    let _ = tokio.block_on(mqtt.close());
    Ok(if has_failed && !is_typed { ExitCode::from(crate::cli::exit::FAILURE) } else { ExitCode::SUCCESS })
}

/// Where lines are evaluated.
struct Repl {
    session: ReplSession,
    topics: TopicPrinter,
    context: Context,
    config: Arc<Config>,
    timeout: Duration,
    is_dry: bool,
    /// Ends the line that runs.
    running: Arc<Mutex<CancellationToken>>,
    has_failed: bool,
}

impl Repl {
    /// Works until the end; returns whether a line failed.
    fn work(mut self, mut reader: LineReader) -> anyhow::Result<bool> {
        while let Some(line) = reader.read(&self.session.names())? {
            let line = line.trim();
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            match (word, rest.trim()) {
                ("", _) => {}
                (":quit" | ":q" | ":exit" | "quit" | "exit" | "quit()" | "exit()", "") => break,
                (":help" | ":h", "") => help(),
                (":help" | ":h", name) => match reference::pages(name) {
                    Ok(pages) => terminal::print(&pages),
                    Err(why) => self.wrong(&why.to_string()),
                },
                (":load", file) => match fs::read_to_string(file) {
                    Ok(text) => drop(self.evaluate(&text)),
                    Err(why) => self.wrong(&format!("{file}: {why}")),
                },
                (":type", expression) => {
                    if let Some(evaluated) = self.evaluate(expression) {
                        terminal::print(&format!("{}\n", evaluated.type_name));
                    }
                }
                (":subscribe", topic) => self.topics.begin(topic).unwrap_or_else(|why| self.wrong(&why)),
                (":unsubscribe", topic) => self.topics.end(topic),
                (command, _) if command.starts_with(':') => {
                    let near = nearest(command, COMMANDS.iter().map(|(name, ..)| *name));
                    let hint =
                        near.map_or_else(|| "`:help` lists them".to_owned(), |near| format!("did you mean `{near}`?"));
                    self.wrong(&format!("there is no command `{command}`: {hint}"));
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
                // The store is in memory, also of a dry world.
                if let Err(why) = context.services.store.commit(&batch) {
                    self.wrong(&why.to_string());
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
                    self.wrong(&report);
                }
                None
            }
        }
    }

    /// Returns what one line can reach.
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
            pending_writes: None,
            hops: 0,
            run_log: run_log.clone(),
            is_dry_run: self.is_dry,
            usage: RunUsage::default(),
        }
    }

    fn wrong(&mut self, why: &str) {
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
        "Everything else is evaluated: all functions of `rhaid reference`, and what earlier lines defined.\n",
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

/// Where lines log to; in a dry run also what they would have done.
struct ReplLog {
    shell: ConsoleLog,
    is_dry: bool,
}

impl RunLog for ReplLog {
    fn log_line(&self, level: Level, text: &str, fields: &Map<String, Json>) {
        self.shell.log_line(level, text, fields);
    }

    fn record_effect(&self, effect: Effect) {
        if self.is_dry {
            let what = format!("{} {}", effect.action, effect.details);
            terminal::print_error(&format!("{} {}\n", paint(Style::Dim, "would do"), sanitize(&what)));
        }
    }
}
