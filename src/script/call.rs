//! Calls handlers and runs jobs, each in a new interpreter state.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rhai::{
    Caches, Dynamic, EvalAltResult, EvalContext, Expr, GlobalRuntimeState, Locked, NativeCallContext, Position, Scope,
    Shared,
};

use super::captured::{deep_copy, is_handle};
use super::files::Files;
use super::handler::{Code, Handler};
use super::model::{Body, Script};
use super::resolver::import_scope;
use super::result::{JobResult, RunError};
use super::{errors, globals, guard};
use crate::event::{Event, Payload};
use crate::functions::events::{self, ReadFields};
use crate::functions::{self, Context, Phase, Thrown, handler_result};
use crate::value::{Value, map_of};

impl Script {
    /// Calls a handler on the current thread (a worker thread with a large stack), within the limits of the context.
    ///
    /// The return value is converted to plain data. A value that cannot be converted, such as a function, becomes `()`.
    ///
    /// # Errors
    /// If the handler did not return.
    pub fn call(&self, handler: usize, event: &Event, context: &Arc<Context>) -> Result<Value, RunError> {
        run_guarded(&self.files, context, || self.invoke(handler, &event.payload))
    }

    /// Runs a job with `event` (or `()`) and `args`.
    ///
    /// # Errors
    /// If the job did not reach its end. `exit(code)` counts as the end.
    pub fn run(&self, event: Option<&Event>, args: &[String], context: &Arc<Context>) -> Result<JobResult, RunError> {
        run_guarded(&self.files, context, || self.run_whole(event.map(|event| &event.payload), args))
    }

    /// Calls a handler with the payload of an event, without setting limits.
    pub(super) fn invoke(&self, handler: usize, payload: &Payload) -> Result<Value, Thrown> {
        let Body::Handlers { handlers, .. } = &self.body else { return Ok(Value::Null) };
        let Some(handler) = handlers.get(handler) else { return Ok(Value::Null) };
        let _scope = import_scope(&self.modules);
        let event = events::to_dynamic(payload, &handler.read_fields);
        let returned = match &handler.code {
            Code::Own(body) => self.call_own(body, handler, event),
            Code::Module(..) => self.call_in_module(handler, event),
        };
        match returned {
            Err(error) => match *error {
                EvalAltResult::Return(value, _) | EvalAltResult::Exit(value, _) => Ok(handler_result(&value)),
                _ => Err(error),
            },
            Ok(value) => Ok(handler_result(&value)),
        }
    }

    /// Runs the job without setting limits.
    pub(super) fn run_whole(&self, event: Option<&Payload>, args: &[String]) -> Result<JobResult, Thrown> {
        let Body::Job(body, lib) = &self.body else { return Ok(JobResult { value: Value::Null, code: 0 }) };
        let _scope = import_scope(&self.modules);
        let event = event.map_or(Dynamic::UNIT, |event| events::to_dynamic(event, &ReadFields::All));
        let mut scope = Scope::new();
        scope.push_dynamic("state", globals::state());
        let args: Dynamic = args.iter().cloned().map(Dynamic::from).collect::<rhai::Array>().into();
        let mut global = self.engine.new_global_runtime_state();
        global.source = Some(self.files[0].0.as_str().into());
        global.lib.push(lib.clone());
        // Functions can read constants, so `event` and `args` are constants, too.
        let given = [("event", event), ("args", args)];
        let constants = map_of(given.iter().map(|(name, value)| ((*name).into(), value.clone())));
        global.constants = Some(Shared::new(Locked::new(constants)));
        for (name, value) in given {
            scope.push_dynamic(name, value);
        }
        match self.evaluate(&mut global, &mut scope, body, false) {
            Ok(value) => Ok(JobResult { value: handler_result(&value), code: 0 }),
            Err(error) => match *error {
                EvalAltResult::Return(value, _) => Ok(JobResult { value: handler_result(&value), code: 0 }),
                EvalAltResult::Exit(value, _) => Ok(exit_result(&value)),
                _ => Err(error),
            },
        }
    }

    /// Calls a handler of the script itself. Captured variables are constants, the argument is a variable.
    fn call_own(&self, body: &Expr, handler: &Handler, event: Dynamic) -> Result<Dynamic, Thrown> {
        let mut scope = Scope::new();
        scope.push_dynamic("state", globals::state());
        for (name, value) in &handler.captured {
            if is_handle(value) {
                scope.push_dynamic(name.clone(), value.clone());
            } else if name != "state" {
                scope.push_constant_dynamic(name.clone(), deep_copy(value));
            }
        }
        if let Some(name) = &handler.argument {
            scope.push_dynamic(name.clone(), event);
        }
        self.evaluate(&mut self.global(), &mut scope, body, true)
    }

    /// Calls a handler whose code is in a module.
    fn call_in_module(&self, handler: &Handler, event: Dynamic) -> Result<Dynamic, Thrown> {
        let Code::Module(pointer, module) = &handler.code else { return Ok(Dynamic::UNIT) };
        let mut global = self.global();
        global.lib.insert(0, module.clone());
        global.lib.push(module.clone());
        let mut arguments: Vec<_> = handler.captured.iter().map(|(_, value)| deep_copy(value)).collect();
        arguments.extend(handler.argument.as_ref().map(|_| event));
        let source = module.id();
        global.source = source.map(Into::into);
        let context =
            NativeCallContext::new_with_all_fields(&self.engine, pointer.fn_name(), source, &global, Position::NONE);
        pointer.call_raw(&context, None, arguments)
    }

    /// Returns the interpreter state at the end of the top level.
    fn global(&self) -> GlobalRuntimeState {
        let mut global = self.engine.new_global_runtime_state();
        global.source = Some(self.files[0].0.as_str().into());
        if let Body::Handlers { module, constants, .. } = &self.body {
            // Function pointers are resolved in the first module, names from the last module on.
            global.lib.push(module.clone());
            global.lib.extend(self.modules.iter().cloned());
            global.lib.push(module.clone());
            for (name, import) in module.iter_sub_modules() {
                let import: rhai::Shared<rhai::Module> = import.clone();
                global.push_import(name, import);
            }
            global.constants.clone_from(constants);
        }
        global
    }

    fn evaluate(
        &self,
        global: &mut GlobalRuntimeState,
        scope: &mut Scope<'_>,
        body: &Expr,
        as_block: bool,
    ) -> Result<Dynamic, Thrown> {
        let mut caches = Caches::new();
        let mut context = EvalContext::new(&self.engine, global, &mut caches, scope, None);
        #[expect(deprecated, reason = "the interpreter marks this as subject to change, not as going away")]
        context.eval_expression_tree_raw(&body.into(), as_block)
    }
}

/// Runs script code in the phase of a run, within the limits of its context.
///
/// # Errors
/// If the code failed, panicked or was stopped.
pub(super) fn run_guarded<T>(
    files: &[(String, String)],
    context: &Arc<Context>,
    code: impl FnOnce() -> Result<T, Thrown>,
) -> Result<T, RunError> {
    functions::enter(Phase::Running(context.clone()), || {
        let (result, stop) = guard::run_handler(context, || {
            catch_unwind(AssertUnwindSafe(code)).inspect(|result| {
                if let Err(error) = result
                    && let Some(stop) = stop_of(error)
                {
                    guard::stop(stop);
                }
            })
        });
        let files = || Files(files.to_vec());
        match (result, stop) {
            (Ok(Ok(value)), None) => Ok(value),
            (Ok(result), Some(stop)) => {
                let fault = errors::stopped(
                    &files(),
                    stop,
                    result.as_ref().err().map(|error| &**error),
                    &context.config.limits,
                );
                Err(RunError::Stopped(stop, fault.into()))
            }
            (Ok(Err(error)), None) => Err(RunError::Fault(errors::thrown(&files(), &error).into())),
            (Err(panic), _) => Err(RunError::Fault(errors::panicked(&files(), &*panic).into())),
        }
    })
}

/// Returns the stop reason that a function threw, if any.
fn stop_of(error: &EvalAltResult) -> Option<functions::Stop> {
    match error {
        EvalAltResult::ErrorTerminated(token, _) => token.clone().try_cast(),
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => stop_of(inner),
        _ => None,
    }
}

fn exit_result(value: &Dynamic) -> JobResult {
    let code = value.as_int().map_or(0, |code| u8::try_from(code).unwrap_or(u8::MAX));
    JobResult { value: handler_result(value), code }
}
