//! Arguments of `rhaid test`.

use std::path::PathBuf;

/// Run the tests: files named *_test.rhai beside the scripts
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid test
  rhaid test door                              # scripts/door_test.rhai
  rhaid test scripts/garden --filter alarm
  rhaid test --watch
  rhaid test --junit report.xml

Each test(\"…\", || { … }) runs in a sandbox of its own with a virtual clock, a mock broker, mock HTTP servers, and its own state and \
files. Nothing outside is changed, except by programs that scripts run with exec().

Exits with 0 if all tests pass, else with 1.")]
pub(in crate::cli) struct Args {
    /// Test files, scripts with tests, or folders [default: the scripts folder]
    #[arg(value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// Run only tests whose name or file contains this text
    #[arg(long, value_name = "TEXT")]
    pub(super) filter: Option<String>,
    /// Seed of the random numbers
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(super) seed: u64,
    /// Run the tests again after every change, until Ctrl-C
    #[arg(long)]
    pub(super) watch: bool,
    /// Write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Print JSON
    #[arg(long, conflicts_with = "watch")]
    pub(super) json: bool,
    /// Show which lines of the scripts did not run
    #[arg(long)]
    pub(super) coverage: bool,
    /// Write the line coverage in lcov format
    #[arg(long, value_name = "FILE")]
    pub(super) lcov: Option<PathBuf>,
}
