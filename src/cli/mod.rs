//! Command line interface: one file or folder per command.

mod backup;
mod check;
mod completions;
mod definitions;
mod enable;
mod environment;
mod exec;
mod exit;
mod explain;
mod fire;
mod init;
mod list;
mod local_run;
mod log;
mod logs;
mod lsp;
mod new;
mod next;
mod record;
mod reference;
mod repl;
mod replay;
mod run;
mod run_info;
mod run_table;
mod runs;
mod schema;
mod settings;
mod signals;
mod simulate;
mod state;
mod table;
mod terminal;
mod test;
mod timeline;
mod times;
mod try_event;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use self::settings::Globals;

/// Drop a script into a folder and it runs when something happens.
#[derive(Parser)]
#[command(
    name = "rhaid",
    version,
    about = "Drop a script into a folder and it runs when something happens",
    long_about = "Drop a script into a folder and it runs when something happens: at a time, on an MQTT message, \
                  on an HTTP request, or when a file changes.\n\nWithout a command, rhaid runs the scripts.",
    after_help = "Try `rhaid init` in an empty folder, then `rhaid`. `rhaid COMMAND --help` shows examples.",
    after_long_help = EXIT_CODES,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes:
    0  success; for `run`: stopped on request
    1  a script has faults, a run failed, or the request could not be carried out
    2  the command line or rhaid.yaml is invalid; nothing was started
    3  the command needs a running rhaid, and none uses this data folder
  130  a second Ctrl-C ended the program at once
`exec` exits with the code that the script gives to exit(code).

Try `rhaid init` in an empty folder, then `rhaid`. `rhaid COMMAND --help` shows examples.";

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Exec(exec::Args),
    Eval(exec::EvalArgs),
    Repl(repl::Args),
    Check(check::Args),
    Explain(explain::Args),
    Fire(fire::Args),
    Try(try_event::Args),
    Test(test::Args),
    Simulate(simulate::Args),
    List(list::Args),
    Runs(runs::Args),
    RunInfo(run_info::Args),
    Replay(replay::Args),
    Logs(logs::Args),
    Enable(enable::Args),
    #[command(about = "Stop a script, also after a restart", long_about = enable::DISABLE)]
    Disable(enable::Args),
    State(state::Args),
    Backup(backup::Args),
    Next(next::Args),
    Init(init::Args),
    New(new::Args),
    Record(record::Args),
    Reference(reference::Args),
    Definitions(definitions::Args),
    Lsp(lsp::Args),
    Schema(schema::Args),
    Completions(completions::Args),
}

/// Parses the command line, runs the command, prints the error; returns the exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // This fails only if a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let globals = &cli.globals;
    let result = match cli.command.unwrap_or(Command::Run(run::Args {})) {
        Command::Run(args) => run::run(&args, globals),
        Command::Exec(args) => exec::run(&args, globals),
        Command::Eval(args) => exec::eval(&args, globals),
        Command::Repl(args) => repl::run(&args, globals),
        Command::Check(args) => check::run(&args, globals),
        Command::Explain(args) => explain::run(&args),
        Command::Fire(args) => fire::run(&args, globals),
        Command::Try(args) => try_event::run(&args, globals),
        Command::Test(args) => test::run(&args, globals),
        Command::Simulate(args) => simulate::run(&args, globals),
        Command::List(args) => list::run(&args, globals),
        Command::Runs(args) => runs::run(&args, globals),
        Command::RunInfo(args) => run_info::run(&args, globals),
        Command::Replay(args) => replay::run(&args, globals),
        Command::Logs(args) => logs::run(&args, globals),
        Command::Enable(args) => enable::run(&args, globals, true),
        Command::Disable(args) => enable::run(&args, globals, false),
        Command::State(args) => state::run(&args, globals),
        Command::Backup(args) => backup::run(&args, globals),
        Command::Next(args) => next::run(&args, globals),
        Command::Init(args) => init::run(&args),
        Command::New(args) => new::run(&args, globals),
        Command::Record(args) => record::run(&args, globals),
        Command::Reference(args) => reference::run(&args),
        Command::Definitions(args) => definitions::run(&args),
        Command::Lsp(args) => lsp::run(&args, globals),
        Command::Schema(_) => schema::run(),
        Command::Completions(args) => completions::run(&args, Cli::command()),
    };
    result.unwrap_or_else(|error| exit::report(&error))
}
