//! Runs the tests of a file, each in a sandbox of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

use crate::config::Config;
use crate::event::Id;
use crate::fault::{Fault, SourceLocation};
use crate::functions::testing::{SandboxApi, Test};
use crate::random;
use crate::runtime::FolderSources;
use crate::script::on_script_thread;
use crate::script::testing::TestFile;
use crate::sim::mock_http::UnmatchedHint;
use crate::sim::sandbox::{LoadMode, Sandbox};
use crate::sim::timeline::TimelineEntry;
use crate::sim::webhook::CallWebhook;

/// Runs tests with a configuration.
pub struct TestRunner {
    /// The configuration.
    pub config: Arc<Config>,
    /// The time zone of the scripts.
    pub zone: TimeZone,
    /// Text that the name or the file of a test must contain.
    pub filter: String,
    /// Seed of the random numbers.
    pub seed: u64,
    /// Calls webhooks.
    pub call_webhook: CallWebhook,
}

/// The results of a test file.
pub struct TestFileResult {
    /// The faults of a file that cannot be loaded.
    pub faults: Vec<Fault>,
    /// The results of its tests.
    pub tests: Vec<TestResult>,
}

/// The result of a test.
pub struct TestResult {
    /// The name of the test.
    pub name: String,
    /// Where it is declared.
    pub place: SourceLocation,
    /// How long it took, in real time.
    pub took: Duration,
    /// The failure; `None` if the test passed.
    pub fault: Option<Fault>,
    /// The timeline of the sandbox, if the test failed.
    pub timeline: Vec<TimelineEntry>,
    /// The output of `print`.
    pub printed: Vec<String>,
}

impl TestRunner {
    /// Runs the tests of a file below a scripts folder.
    ///
    /// # Errors
    /// If the path of the scripts folder is empty, the thread cannot be started, or the interpreter panics.
    pub fn run_file(&self, root: &Path, file: &str) -> std::io::Result<TestFileResult> {
        let config = match root == std::path::absolute(&self.config.scripts)? {
            true => self.config.clone(),
            false => {
                let mut config = (*self.config).clone();
                root.clone_into(&mut config.scripts);
                Arc::new(config)
            }
        };
        let sources = Arc::new(FolderSources::new(root, config.limits.script_size));
        on_script_thread(&config.limits, || {
            let tests = match TestFile::load(file, sources, &config) {
                Ok(tests) => tests,
                Err(faults) => return TestFileResult { faults, tests: Vec::new() },
            };
            let is_wanted = |name: &str| name.contains(&self.filter) || file.contains(&self.filter);
            let wanted = tests.tests.iter().enumerate().filter(|(_, test)| is_wanted(&test.name));
            let results = wanted.map(|(number, _)| self.run_test(&tests, number, &config)).collect();
            TestFileResult { faults: Vec::new(), tests: results }
        })
    }

    fn run_test(&self, tests: &TestFile, number: usize, config: &Arc<Config>) -> TestResult {
        let test = tests.tests[number].clone();
        let started = Instant::now();
        random::seed(self.seed);
        Id::reset_counter();
        let failed = |fault: Fault| TestResult { fault: Some(fault), ..TestResult::passed(&test, Duration::ZERO) };
        let sandbox = Sandbox::new(config, &self.zone, LoadMode::ByName, UnmatchedHint::OnHttp, self.call_webhook);
        let sandbox = match sandbox {
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
        TestResult { fault, timeline, printed: sandbox.take_printed(), ..TestResult::passed(&test, started.elapsed()) }
    }
}

impl TestResult {
    fn passed(test: &Test, took: Duration) -> Self {
        let place = test.place.clone();
        Self { name: test.name.clone(), place, took, fault: None, timeline: Vec::new(), printed: Vec::new() }
    }
}
