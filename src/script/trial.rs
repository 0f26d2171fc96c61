//! A `*_test.rhai` file: the tests it declares, each run from the top of the file in a world of its own.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rhai::{AST, Dynamic, Engine, FnPtr, NativeCallContext, Scope};

use super::files::Files;
use super::modules::{self, Modules, unreadable};
use super::{Sources, engine, errors, source};
use crate::config::Config;
use crate::fault::{Fault, Place};
use crate::functions::trial::{self, Trial, World};
use crate::functions::{self, Phase, Thrown, thrown};

/// A file with tests, compiled.
pub struct Tests {
    /// What it declares, in order.
    pub tests: Vec<Test>,
    engine: Arc<Engine>,
    ast: AST,
    files: Files,
    modules: Modules,
}

/// A test.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// What it promises.
    pub name: String,
    /// Where it is declared.
    pub place: Place,
}

/// What the calls of `test` are for.
enum Wish {
    /// They are to be listed.
    List(Vec<Test>),
    /// The one of this number is to be run; how many came before.
    Run(usize, usize),
}

thread_local! {
    static WISH: RefCell<Option<Wish>> = const { RefCell::new(None) };
}

impl Tests {
    /// Compiles a file and lists its tests, on the current thread, which must have a large stack.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(file: &str, sources: Arc<dyn Sources>, config: &Arc<Config>) -> Result<Self, Vec<Fault>> {
        let mut engine = engine::new(&config.limits);
        engine.register_global_module(trial::module());
        engine.register_fn("test", test);
        let modules = Modules::new(file, sources, config.limits.script_size);
        let text = modules.read(file).map_err(|why| vec![unreadable(file, why)])?;
        let mut files = Files(vec![(file.to_owned(), text.to_string())]);
        let ast = source::compile(&engine, file, &text).map_err(|error| vec![errors::syntax(&files, file, &error)])?;
        modules.follow(&engine, &ast, &files, file);
        files.0.extend(modules.files());
        let (faults, _) = modules.take_findings();
        if !faults.is_empty() {
            return Err(faults.into_iter().map(|fault| files.shown(fault)).collect());
        }
        let mut tests = Self { tests: Vec::new(), engine: engine.into(), ast, files, modules };
        match tests.evaluate(Wish::List(Vec::new()))? {
            Wish::List(listed) => tests.tests = listed,
            Wish::Run(..) => {}
        }
        Ok(tests)
    }

    /// Runs the test of this number in a world, on the current thread, which must have a large stack.
    ///
    /// # Errors
    /// What does not hold, or went wrong.
    pub fn run(&self, number: usize, world: Arc<dyn World>) -> Result<(), Fault> {
        let (engine, ast) = (self.engine.clone(), self.ast.clone());
        let modules = self.modules.all();
        let call = Box::new(move |function: &FnPtr, arguments: Vec<Dynamic>| {
            let _reach = modules::reach(&modules);
            function.call::<Dynamic>(&engine, &ast, arguments)
        });
        let phase = Phase::Trial(Arc::new(Trial { world, call }));
        let ended = functions::enter(phase, || self.evaluate(Wish::Run(number, 0)));
        ended.map(|_| ()).map_err(|mut faults| faults.remove(0))
    }

    fn evaluate(&self, wish: Wish) -> Result<Wish, Vec<Fault>> {
        let all = self.modules.all();
        let _reach = modules::reach(&all);
        WISH.set(Some(wish));
        let ended = catch_unwind(AssertUnwindSafe(|| {
            self.engine.eval_ast_with_scope::<Dynamic>(&mut Scope::new(), &self.ast).map(|_| ())
        }));
        let wish = WISH.take().unwrap_or(Wish::List(Vec::new()));
        match ended {
            Ok(Ok(())) => Ok(wish),
            Ok(Err(error)) => Err(vec![errors::thrown(&self.files, &error)]),
            Err(panic) => Err(vec![errors::panicked(&self.files, &*panic)]),
        }
    }
}

/// `test(name, || …)`.
#[expect(clippy::needless_pass_by_value, reason = "what is registered gets values")]
fn test(context: NativeCallContext<'_>, name: &str, body: FnPtr) -> Result<(), Thrown> {
    let is_wanted = WISH.with_borrow_mut(|wish| match wish {
        None => Err(thrown("nested", "a test can not stand in another one")),
        Some(Wish::List(tests)) => {
            let (position, file) = (context.call_position(), context.call_source().unwrap_or_default());
            let (line, column) = (position.line().unwrap_or_default(), position.position().unwrap_or_default());
            let place = Place { file: file.to_owned(), line, column };
            tests.push(Test { name: name.to_owned(), place });
            Ok(false)
        }
        Some(Wish::Run(wanted, before)) => {
            *before += 1;
            Ok(*before - 1 == *wanted)
        }
    })?;
    if is_wanted { body.call_within_context::<Dynamic>(&context, ()).map(|_| ()) } else { Ok(()) }
}
