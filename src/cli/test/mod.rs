//! `rhaid test`: what scripts promise, tried in a world that is held in the hand.

mod coverage;
mod report;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::tz::TimeZone;

use self::report::{FileReport, Report, Verdict};
use crate::cli::environment::on_script_thread;
use crate::cli::exit::{FAILURE, UsageError};
use crate::cli::sandbox::Sandbox;
use crate::cli::settings::{self, Globals};
use crate::config::Config;
use crate::event::Id;
use crate::fault::{Fault, SourceLocation};
use crate::functions::testing::{SandboxApi, Test};
use crate::random;
use crate::runtime::{FolderSources, is_test};
use crate::script;
use crate::script::testing::TestFile;

/// Run tests: `*_test.rhai` beside the scripts
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid test
  rhaid test door                              # scripts/door_test.rhai
  rhaid test scripts/garden --filter alarm
  rhaid test --watch
  rhaid test --junit report.xml

Each test(\"…\", || { … }) of a file has a world of its own: a clock that stands until it is turned, a broker, servers that answer
what the test says, state and files of its own; nothing real is touched, but programs that scripts run with exec().

Ends with 0 if all tests pass, else with 1.")]
pub(super) struct Args {
    /// Files with tests, scripts that have tests, or folders; by default the scripts folder
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Only tests whose name, or file, holds this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// What chance comes from: the same number, the same test
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Run again whenever a script or a test changes, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Also write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print JSON
    #[arg(long, conflicts_with = "watch")]
    json: bool,
    /// Also tell which lines of the scripts did not run
    #[arg(long)]
    coverage: bool,
    /// Also write which lines ran, as lcov
    #[arg(long, value_name = "FILE")]
    lcov: Option<PathBuf>,
}

/// What tests run with.
struct Runner<'a> {
    args: &'a Args,
    config: Arc<Config>,
    zone: TimeZone,
    /// The scripts folder.
    root: PathBuf,
}

/// Runs the tests, and says how they went.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    if args.watch {
        return watch::run(args, globals);
    }
    let report = run_once(args, globals)?;
    if report.is_empty() {
        return Err(UsageError(match &args.filter {
            Some(filter) => format!("no test holds {filter:?} in its name"),
            None => {
                "there are no tests: write some into a file such as scripts/door_test.rhai, or see `rhaid new`".into()
            }
        })
        .into());
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) })
}

fn run_once(args: &Args, globals: &Globals) -> anyhow::Result<Report> {
    let config = Arc::new(settings::load(globals)?);
    let zone = settings::zone(config.timezone.as_deref())?;
    let root = std::path::absolute(&config.scripts)?;
    let is_counted = args.coverage || args.lcov.is_some();
    if is_counted {
        script::coverage::enable();
    }
    let runner = Runner { args, config, zone, root };
    let started = Instant::now();
    let mut report = Report::default();
    for (root, file) in runner.files()? {
        let tested = runner.file(&root, &file)?;
        if !args.json {
            tested.tell();
        }
        report.files.push(tested);
    }
    report.took = started.elapsed();
    report.tell(args.json)?;
    if is_counted {
        coverage::tell(&runner)?;
    }
    if let Some(junit) = &args.junit {
        std::fs::write(junit, report.junit()).with_context(|| format!("writing {}", junit.display()))?;
    }
    Ok(report)
}

impl Runner<'_> {
    /// Returns the files with tests, each with the folder of its scripts.
    fn files(&self) -> anyhow::Result<Vec<(PathBuf, String)>> {
        let mut files = Vec::new();
        if self.args.paths.is_empty() && !self.root.is_dir() {
            return Err(
                UsageError(format!("there is no folder {}: `rhaid init` makes one", self.root.display())).into()
            );
        }
        let named = if self.args.paths.is_empty() { vec![self.root.clone()] } else { self.args.paths.clone() };
        for path in named {
            let given = std::path::absolute(&path)?;
            let whole = if given.is_dir() { given } else { self.tests_of(&path).unwrap_or(given) };
            if whole.is_dir() {
                let root = if whole.starts_with(&self.root) { self.root.clone() } else { whole.clone() };
                let mut found = Vec::new();
                below(&whole, &mut found).with_context(|| path.display().to_string())?;
                found.sort();
                files.extend(found.into_iter().map(|file| (root.clone(), relative(&root, &file))));
            } else if whole.is_file() && is_test(&whole.to_string_lossy()) {
                let folder = whole.parent().unwrap_or(Path::new("/")).to_owned();
                let root = if whole.starts_with(&self.root) { self.root.clone() } else { folder };
                files.push((root.clone(), relative(&root, &whole)));
            } else if whole.is_file() {
                let why = "is no test and has none beside it, in a file whose name ends with _test.rhai";
                return Err(UsageError(format!("{} {why}", path.display())).into());
            } else {
                let hint = "name a file with tests, a script that has one, or a folder";
                return Err(UsageError(format!("there is no file or folder {}: {hint}", path.display())).into());
            }
        }
        Ok(files)
    }

    /// Returns the file with the tests of a script, which is given by its file, or by its name alone.
    fn tests_of(&self, script: &Path) -> Option<PathBuf> {
        let script = script.to_string_lossy();
        let name = script.strip_suffix(".rhai").unwrap_or(&script);
        let tests = format!("{name}_test.rhai");
        let places = [std::path::absolute(&tests).ok(), Some(self.root.join(tests))];
        places.into_iter().flatten().find(|file| file.is_file())
    }

    /// Runs the tests of one file.
    fn file(&self, root: &Path, file: &str) -> anyhow::Result<FileReport> {
        let config = match root == self.root {
            true => self.config.clone(),
            false => {
                let mut config = (*self.config).clone();
                root.clone_into(&mut config.scripts);
                Arc::new(config)
            }
        };
        let sources = Arc::new(FolderSources::new(root, config.limits.script_size));
        let shown = root.join(file);
        let here = std::env::current_dir().unwrap_or_default();
        let shown = shown.strip_prefix(&here).unwrap_or(&shown).display().to_string();
        on_script_thread(&config.limits, || {
            let tests = match TestFile::load(file, sources, &config) {
                Ok(tests) => tests,
                Err(faults) => return FileReport { file: shown, faults, verdicts: Vec::new() },
            };
            let filter = self.args.filter.as_deref().unwrap_or_default();
            let is_wanted = |name: &str| name.contains(filter) || file.contains(filter);
            let wanted = tests.tests.iter().enumerate().filter(|(_, test)| is_wanted(&test.name));
            let verdicts = wanted.map(|(number, _)| self.test(&tests, number, &config)).collect();
            FileReport { file: shown, faults: Vec::new(), verdicts }
        })
    }

    /// Runs one test.
    fn test(&self, tests: &TestFile, number: usize, config: &Arc<Config>) -> Verdict {
        let test = tests.tests[number].clone();
        let started = Instant::now();
        random::seed(self.args.seed);
        Id::reset_counter();
        let failed = |fault: Fault| Verdict { fault: Some(fault), ..Verdict::new(&test, Duration::ZERO) };
        let world = match Sandbox::new(config, &self.zone, false, true) {
            Ok(world) => Arc::new(world),
            Err(error) => return failed(Fault::new(test.place.clone(), format!("there is no world: {error:#}"))),
        };
        let given: Arc<dyn SandboxApi> = world.clone();
        let fault = tests.run(number, given).err().map(|fault| *fault).or_else(|| {
            let row = world.unexcused()?;
            let why = row.why.unwrap_or_default();
            let said = format!("a run of {} {} ({}): {why}", row.script, row.outcome, row.event);
            Some(Fault::new(test.place.clone(), said))
        });
        let timeline = if fault.is_some() { world.timeline() } else { Vec::new() };
        Verdict { fault, timeline, printed: world.take_printed(), ..Verdict::new(&test, started.elapsed()) }
    }
}

impl Verdict {
    fn new(test: &Test, took: Duration) -> Self {
        let place: SourceLocation = test.place.clone();
        Self { name: test.name.clone(), place, took, fault: None, timeline: Vec::new(), printed: Vec::new() }
    }
}

fn relative(root: &Path, file: &Path) -> String {
    let below = file.strip_prefix(root).unwrap_or(file);
    below.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/")
}

/// Finds the files with tests below a folder, but not in hidden ones.
fn below(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            below(&entry.path(), found)?;
        } else if is_test(&name) {
            found.push(entry.path());
        }
    }
    Ok(())
}
