//! Finds and runs tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::tz::TimeZone;

use crate::cli::environment::on_script_thread;
use crate::cli::exit::UsageError;
use crate::cli::sandbox::{LoadMode, Sandbox, UnmatchedHint};
use crate::cli::settings::{self, Globals};
use crate::cli::test::args::Args;
use crate::cli::test::coverage;
use crate::cli::test::report::{FileReport, Report, Verdict};
use crate::config::Config;
use crate::event::Id;
use crate::fault::{Fault, SourceLocation};
use crate::functions::testing::{SandboxApi, Test};
use crate::random;
use crate::runtime::{FolderSources, is_test};
use crate::script;
use crate::script::testing::TestFile;

/// Runs tests with a configuration.
struct Runner<'a> {
    args: &'a Args,
    config: Arc<Config>,
    zone: TimeZone,
    /// The scripts folder.
    root: PathBuf,
}

/// Runs all selected tests once and prints the results.
pub(super) fn run_once(args: &Args, globals: &Globals) -> anyhow::Result<Report> {
    let config = Arc::new(settings::load(globals)?);
    let zone = settings::zone(config.timezone.as_deref())?;
    let root = std::path::absolute(&config.scripts)?;
    let with_coverage = args.coverage || args.lcov.is_some();
    if with_coverage {
        script::coverage::enable();
    }
    let runner = Runner { args, config, zone, root };
    let started = Instant::now();
    let mut report = Report::default();
    for (root, file) in runner.files()? {
        let tested = runner.file(&root, &file)?;
        if !args.json {
            tested.print();
        }
        report.files.push(tested);
    }
    report.took = started.elapsed();
    report.print(args.json)?;
    if with_coverage {
        coverage::print(&runner.root, &runner.config.limits, args)?;
    }
    if let Some(junit) = &args.junit {
        std::fs::write(junit, report.junit()).with_context(|| format!("writing {}", junit.display()))?;
    }
    Ok(report)
}

impl Runner<'_> {
    /// Returns the test files, each with its scripts folder.
    fn files(&self) -> anyhow::Result<Vec<(PathBuf, String)>> {
        let mut files = Vec::new();
        if self.args.paths.is_empty() && !self.root.is_dir() {
            return Err(
                UsageError(format!("there is no folder {}: create it with `rhaid init`", self.root.display())).into()
            );
        }
        let named = if self.args.paths.is_empty() { vec![self.root.clone()] } else { self.args.paths.clone() };
        for path in named {
            let given = std::path::absolute(&path)?;
            let whole = if given.is_dir() { given } else { self.tests_of(&path).unwrap_or(given) };
            if whole.is_dir() {
                let root = if whole.starts_with(&self.root) { self.root.clone() } else { whole.clone() };
                let mut found = Vec::new();
                find_tests(&whole, &mut found).with_context(|| path.display().to_string())?;
                found.sort();
                files.extend(found.into_iter().map(|file| (root.clone(), relative(&root, &file))));
            } else if whole.is_file() && is_test(&whole.to_string_lossy()) {
                let folder = whole.parent().unwrap_or(Path::new("/")).to_owned();
                let root = if whole.starts_with(&self.root) { self.root.clone() } else { folder };
                files.push((root.clone(), relative(&root, &whole)));
            } else if whole.is_file() {
                let why = "is not a test and has no test file beside it: the name of a test file ends with _test.rhai";
                return Err(UsageError(format!("{} {why}", path.display())).into());
            } else {
                let hint = "name a test file, a script with a test file, or a folder";
                return Err(UsageError(format!("there is no file or folder {}: {hint}", path.display())).into());
            }
        }
        Ok(files)
    }

    /// Returns the test file of a script, which is given as a path or as a name.
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
        let sandbox = match Sandbox::new(config, &self.zone, LoadMode::ByName, UnmatchedHint::OnHttp) {
            Ok(sandbox) => Arc::new(sandbox),
            Err(error) => {
                return failed(Fault::new(test.place.clone(), format!("the sandbox cannot be created: {error:#}")));
            }
        };
        let api: Arc<dyn SandboxApi> = sandbox.clone();
        let fault = tests.run(number, api).err().map(|fault| *fault).or_else(|| {
            let row = sandbox.unexpected_failure()?;
            let why = row.why.unwrap_or_default();
            let text = format!("a run of {} {} ({}): {why}", row.script, row.outcome, row.event);
            Some(Fault::new(test.place.clone(), text))
        });
        let timeline = if fault.is_some() { sandbox.timeline() } else { Vec::new() };
        Verdict { fault, timeline, printed: sandbox.take_printed(), ..Verdict::new(&test, started.elapsed()) }
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

/// Finds the test files below a folder, except in hidden folders.
fn find_tests(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            find_tests(&entry.path(), found)?;
        } else if is_test(&name) {
            found.push(entry.path());
        }
    }
    Ok(())
}
