//! `*_test.rhai` files. Each test runs the file from its top in a new sandbox.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use rhai::{AST, Dynamic, Engine, FnPtr, Scope};

use super::analyse::known::TEST_FUNCTIONS;
use super::analyse::{CompiledFile, faults};
use super::files::{Files, file_fault};
use super::modules::Modules;
use super::resolver::import_scope;
use super::sources::Sources;
use super::{compile, engine, errors, guard};
use crate::config::{Config, Limits};
use crate::fault::Fault;
use crate::functions::testing::{SandboxApi, Test, TestRun, TestSelection, declare};
use crate::functions::{self, Phase};

/// A compiled test file.
pub struct TestFile {
    /// The tests in source order.
    pub tests: Vec<Test>,
    engine: Arc<Engine>,
    ast: AST,
    files: Files,
    modules: Modules,
}

impl TestFile {
    /// Compiles and checks a file and lists its tests, on the current thread, which must have a large stack.
    ///
    /// # Errors
    /// All faults that were found.
    pub fn load(file: &str, sources: Arc<dyn Sources>, config: &Arc<Config>) -> Result<Self, Vec<Fault>> {
        let mut tests = Self::compile(file, sources, &config.limits)?;
        match tests.evaluate(TestSelection::List(Vec::new()))? {
            TestSelection::List(listed) => tests.tests = listed,
            TestSelection::Run(..) => {}
        }
        Ok(tests)
    }

    /// Returns the faults of a file that are found without running it, on the current thread, which must have a large stack.
    pub fn faults(file: &str, sources: Arc<dyn Sources>, limits: &Limits) -> Vec<Fault> {
        Self::compile(file, sources, limits).err().unwrap_or_default()
    }

    fn compile(file: &str, sources: Arc<dyn Sources>, limits: &Limits) -> Result<Self, Vec<Fault>> {
        let engine = engine::for_tests(limits);
        let modules = Modules::new(file, sources, limits.script_size);
        let text = modules.read(file).map_err(|why| vec![file_fault(file, why)])?;
        let mut files = Files(vec![(file.to_owned(), text.to_string())]);
        let ast = compile::compile(&engine, file, &text).map_err(|error| vec![errors::syntax(&files, file, &error)])?;
        let (mut found, stop) = guard::run_top_level(limits, Instant::now() + limits.load_timeout, || {
            let imported = modules.load_imports(&engine, &ast, &files, file);
            let compiled = CompiledFile::new(&ast, file, &files, false, &imported);
            faults(&CompiledFile { known: &TEST_FUNCTIONS, ..compiled })
        });
        found.extend(modules.take_findings().0);
        files.0.extend(modules.files());
        if let Some(stop) = stop {
            errors::stop_loading(&mut found, &files, stop, limits);
        }
        match found.is_empty() {
            true => Ok(Self { tests: Vec::new(), engine: engine.into(), ast, files, modules }),
            false => Err(files.sorted(found)),
        }
    }

    /// Runs the test with this index in a sandbox, on the current thread, which must have a large stack.
    ///
    /// # Errors
    /// The fault of a failed assertion or other error.
    pub fn run(&self, index: usize, sandbox: Arc<dyn SandboxApi>) -> Result<(), Box<Fault>> {
        let (engine, ast) = (self.engine.clone(), self.ast.clone());
        let modules = self.modules.all();
        let call = Box::new(move |function: &FnPtr, arguments: Vec<Dynamic>| {
            let _scope = import_scope(&modules);
            function.call::<Dynamic>(&engine, &ast, arguments)
        });
        let phase = Phase::TestRun(Arc::new(TestRun { sandbox, call }));
        let result = functions::enter(phase, || self.evaluate(TestSelection::Run(index, 0)));
        result.map(|_| ()).map_err(|mut faults| Box::new(faults.remove(0)))
    }

    fn evaluate(&self, selection: TestSelection) -> Result<TestSelection, Vec<Fault>> {
        let all = self.modules.all();
        let _scope = import_scope(&all);
        let (result, selection) = declare(selection, || {
            catch_unwind(AssertUnwindSafe(|| {
                self.engine.eval_ast_with_scope::<Dynamic>(&mut Scope::new(), &self.ast).map(|_| ())
            }))
        });
        match result {
            Ok(Ok(())) => Ok(selection),
            Ok(Err(error)) => Err(vec![errors::thrown(&self.files, &error)]),
            Err(panic) => Err(vec![errors::panicked(&self.files, &*panic)]),
        }
    }
}
