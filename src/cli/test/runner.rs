//! Finds and runs tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;

use crate::cli::environment::call_webhook;
use crate::cli::exit::UsageError;
use crate::cli::settings::{self, Globals};
use crate::cli::test::args::Args;
use crate::cli::test::coverage;
use crate::cli::test::report::{FileReport, Report};
use crate::runtime::is_test;
use crate::script;
use crate::sim::TestRunner;

/// Finds the test files that the arguments select.
struct Selection<'a> {
    paths: &'a [PathBuf],
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
    let filter = args.filter.clone().unwrap_or_default();
    let runner = TestRunner { config: config.clone(), zone, filter, seed: args.seed, call_webhook };
    let selection = Selection { paths: &args.paths, root };
    let started = Instant::now();
    let mut report = Report::default();
    for (root, file) in selection.files()? {
        let tested = FileReport { file: display_path(&root, &file), result: runner.run_file(&root, &file)? };
        if !args.json {
            tested.print();
        }
        report.files.push(tested);
    }
    report.took = started.elapsed();
    report.print(args.json)?;
    if with_coverage {
        coverage::print(&selection.root, &config.limits, args)?;
    }
    if let Some(junit) = &args.junit {
        std::fs::write(junit, report.junit()).with_context(|| format!("writing {}", junit.display()))?;
    }
    Ok(report)
}

impl Selection<'_> {
    /// Returns the test files, each with its scripts folder.
    fn files(&self) -> anyhow::Result<Vec<(PathBuf, String)>> {
        let mut files = Vec::new();
        if self.paths.is_empty() && !self.root.is_dir() {
            return Err(
                UsageError(format!("there is no folder {}: create it with `rhaid init`", self.root.display())).into()
            );
        }
        let named = if self.paths.is_empty() { vec![self.root.clone()] } else { self.paths.to_vec() };
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
}

/// Returns the path of a file below a folder, relative to the current folder if it is inside.
fn display_path(root: &Path, file: &str) -> String {
    let path = root.join(file);
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(&path).display().to_string()
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
