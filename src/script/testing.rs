//! A `*_test.rhai` file: the tests it declares, each run from the top of the file in a world of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use rhai::{AST, Dynamic, Engine, FnPtr, Scope};

use super::analyse::{Source, known};
use super::files::Files;
use super::load::in_order;
use super::modules::{self, Modules, unreadable};
use super::{Sources, engine, errors, guard, source};
use crate::config::{Config, Limits};
use crate::fault::Fault;
use crate::functions::testing::{self, SandboxApi, Test, TestRun, TestSelection, declare};
use crate::functions::{self, Phase};

/// A file with tests, compiled.
pub struct TestFile {
    /// What it declares, in order.
    pub tests: Vec<Test>,
    engine: Arc<Engine>,
    ast: AST,
    files: Files,
    modules: Modules,
}

/// Returns an interpreter with what tests call.
pub(super) fn engine(limits: &Limits) -> Engine {
    let mut engine = engine::new(limits);
    engine.register_global_module(testing::module());
    engine
}

impl TestFile {
    /// Compiles a file, looks through it and lists its tests, on the current thread, which must have a large stack.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(file: &str, sources: Arc<dyn Sources>, config: &Arc<Config>) -> Result<Self, Vec<Fault>> {
        let mut tests = Self::compile(file, sources, &config.limits)?;
        match tests.evaluate(TestSelection::List(Vec::new()))? {
            TestSelection::List(listed) => tests.tests = listed,
            TestSelection::Run(..) => {}
        }
        Ok(tests)
    }

    /// Returns what shows to be wrong with a file before it runs, on the current thread, which must have a large stack.
    pub fn faults(file: &str, sources: Arc<dyn Sources>, limits: &Limits) -> Vec<Fault> {
        Self::compile(file, sources, limits).err().unwrap_or_default()
    }

    fn compile(file: &str, sources: Arc<dyn Sources>, limits: &Limits) -> Result<Self, Vec<Fault>> {
        let engine = engine(limits);
        let modules = Modules::new(file, sources, limits.script_size);
        let text = modules.read(file).map_err(|why| vec![unreadable(file, why)])?;
        let mut files = Files(vec![(file.to_owned(), text.to_string())]);
        let ast = source::compile(&engine, file, &text).map_err(|error| vec![errors::syntax(&files, file, &error)])?;
        let (mut faults, stop) = guard::loading(limits, Instant::now() + limits.load_timeout, || {
            let imported = modules.follow(&engine, &ast, &files, file);
            let source = Source { known: &known::IN_TESTS, ..Source::new(&ast, file, &files, false, &imported) };
            source.faults()
        });
        faults.extend(modules.take_findings().0);
        files.0.extend(modules.files());
        if let Some(stop) = stop {
            errors::stop_loading(&mut faults, &files, stop, limits);
        }
        match faults.is_empty() {
            true => Ok(Self { tests: Vec::new(), engine: engine.into(), ast, files, modules }),
            false => Err(in_order(faults, &files)),
        }
    }

    /// Runs the test of this number in a world, on the current thread, which must have a large stack.
    ///
    /// # Errors
    /// What does not hold, or went wrong.
    pub fn run(&self, number: usize, sandbox: Arc<dyn SandboxApi>) -> Result<(), Box<Fault>> {
        let (engine, ast) = (self.engine.clone(), self.ast.clone());
        let modules = self.modules.all();
        let call = Box::new(move |function: &FnPtr, arguments: Vec<Dynamic>| {
            let _reach = modules::reach(&modules);
            function.call::<Dynamic>(&engine, &ast, arguments)
        });
        let phase = Phase::TestRun(Arc::new(TestRun { sandbox, call }));
        let ended = functions::enter(phase, || self.evaluate(TestSelection::Run(number, 0)));
        ended.map(|_| ()).map_err(|mut faults| Box::new(faults.remove(0)))
    }

    fn evaluate(&self, wish: TestSelection) -> Result<TestSelection, Vec<Fault>> {
        let all = self.modules.all();
        let _reach = modules::reach(&all);
        let (ended, wish) = declare(wish, || {
            catch_unwind(AssertUnwindSafe(|| {
                self.engine.eval_ast_with_scope::<Dynamic>(&mut Scope::new(), &self.ast).map(|_| ())
            }))
        });
        match ended {
            Ok(Ok(())) => Ok(wish),
            Ok(Err(error)) => Err(vec![errors::thrown(&self.files, &error)]),
            Err(panic) => Err(vec![errors::panicked(&self.files, &*panic)]),
        }
    }
}
