//! Calls handlers and runs jobs, each in an environment made for that one run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rhai::{
    Caches, Dynamic, EvalAltResult, EvalContext, Expr, GlobalRuntimeState, Locked, NativeCallContext, Position, Scope,
    Shared,
};

use super::files::Files;
use super::handler::{Code, Handler, fresh};
use super::{Body, JobResult, RunError, Script, engine, errors, guard, modules};
use crate::event::Event;
use crate::functions::{self, Context, Phase, Thrown, convert, handler_result};
use crate::value::{Map, Value, map_of};

impl Script {
    pub(super) fn call_handler(
        &self,
        handler: usize,
        event: &Event,
        context: &Arc<Context>,
    ) -> Result<Value, RunError> {
        self.within(context, || self.invoke(handler, &event.payload))
    }

    /// Calls a handler with the facts of an event, within whatever limits there are.
    pub(super) fn invoke(&self, handler: usize, payload: &Map) -> Result<Value, Thrown> {
        let Body::Handlers { handlers, .. } = &self.body else { return Ok(Value::Null) };
        let Some(handler) = handlers.get(handler) else { return Ok(Value::Null) };
        let _reach = modules::reach(&self.modules);
        let event = convert::map(payload);
        let returned = match &handler.code {
            Code::Own(body) => self.own(body, handler, event),
            Code::Module(..) => self.modules_own(handler, event),
        };
        match returned {
            Err(error) => match *error {
                EvalAltResult::Return(value, _) | EvalAltResult::Exit(value, _) => Ok(handler_result(&value)),
                _ => Err(error),
            },
            Ok(value) => Ok(handler_result(&value)),
        }
    }

    pub(super) fn run_job(
        &self,
        event: Option<&Event>,
        args: &[String],
        context: &Arc<Context>,
    ) -> Result<JobResult, RunError> {
        self.within(context, || self.whole(event.map(|event| &event.payload), args))
    }

    /// Runs the script whole, within whatever limits there are.
    pub(super) fn whole(&self, event: Option<&Map>, args: &[String]) -> Result<JobResult, Thrown> {
        let Body::Job(body, lib) = &self.body else { return Ok(JobResult { value: Value::Null, code: 0 }) };
        let _reach = modules::reach(&self.modules);
        let event = event.map_or(Dynamic::UNIT, convert::map);
        let mut scope = Scope::new();
        scope.push_dynamic("state", engine::state());
        let args: Dynamic = args.iter().cloned().map(Dynamic::from).collect::<rhai::Array>().into();
        let mut global = self.engine.new_global_runtime_state();
        global.source = Some(self.files[0].0.as_str().into());
        global.lib.push(lib.clone());
        // Functions see constants, so they see what the job was given too.
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
                EvalAltResult::Exit(value, _) => Ok(exited(&value)),
                _ => Err(error),
            },
        }
    }

    fn within<T>(&self, context: &Arc<Context>, code: impl FnOnce() -> Result<T, Thrown>) -> Result<T, RunError> {
        within(&self.files, context, code)
    }

    /// Calls a handler whose code is in the script itself: what it captured are constants, its argument a variable.
    fn own(&self, body: &Expr, handler: &Handler, event: Dynamic) -> Result<Dynamic, Thrown> {
        let mut scope = Scope::new();
        scope.push_dynamic("state", engine::state());
        for (name, value) in &handler.captured {
            if engine::is_handle(value) {
                scope.push_dynamic(name.clone(), value.clone());
            } else if name != "state" {
                scope.push_constant_dynamic(name.clone(), fresh(value));
            }
        }
        if let Some(name) = &handler.argument {
            scope.push_dynamic(name.clone(), event);
        }
        self.evaluate(&mut self.global(), &mut scope, body, true)
    }

    /// Calls a handler whose code is in a module.
    fn modules_own(&self, handler: &Handler, event: Dynamic) -> Result<Dynamic, Thrown> {
        let Code::Module(pointer, module) = &handler.code else { return Ok(Dynamic::UNIT) };
        let mut global = self.global();
        global.lib.insert(0, module.clone());
        global.lib.push(module.clone());
        let mut arguments: Vec<_> = handler.captured.iter().map(|(_, value)| fresh(value)).collect();
        arguments.extend(handler.argument.as_ref().map(|_| event));
        let source = module.id();
        global.source = source.map(Into::into);
        let context =
            NativeCallContext::new_with_all_fields(&self.engine, pointer.fn_name(), source, &global, Position::NONE);
        pointer.call_raw(&context, None, arguments)
    }

    /// Returns the state of the interpreter as it stood at the end of the top level.
    fn global(&self) -> GlobalRuntimeState {
        let mut global = self.engine.new_global_runtime_state();
        global.source = Some(self.files[0].0.as_str().into());
        if let Body::Handlers { module, constants, .. } = &self.body {
            // Pointers to the script's own functions look at the first; names are looked for from the last.
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

/// Runs code of a script within a run's phase and limits, and says how it ended.
pub(super) fn within<T>(
    files: &[(String, String)],
    context: &Arc<Context>,
    code: impl FnOnce() -> Result<T, Thrown>,
) -> Result<T, RunError> {
    functions::enter(Phase::Running(context.clone()), || {
        let (ended, stop) = guard::running(context, || {
            catch_unwind(AssertUnwindSafe(code)).inspect(|ended| {
                if let Err(error) = ended
                    && let Some(told) = told_to_stop(error)
                {
                    guard::stop(told);
                }
            })
        });
        let files = || Files(files.to_vec());
        match (ended, stop) {
            (Ok(Ok(value)), None) => Ok(value),
            (Ok(ended), Some(stop)) => {
                let fault =
                    errors::stopped(&files(), stop, ended.as_ref().err().map(|error| &**error), &context.config.limits);
                Err(RunError::Stopped(stop, fault.into()))
            }
            (Ok(Err(error)), None) => Err(RunError::Fault(errors::thrown(&files(), &error).into())),
            (Err(panic), _) => Err(RunError::Fault(errors::panicked(&files(), &*panic).into())),
        }
    })
}

/// Returns why a function told the run to stop, if one did.
fn told_to_stop(error: &EvalAltResult) -> Option<functions::Stop> {
    match error {
        EvalAltResult::ErrorTerminated(token, _) => token.clone().try_cast(),
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => told_to_stop(inner),
        _ => None,
    }
}

fn exited(value: &Dynamic) -> JobResult {
    let code = value.as_int().map_or(0, |code| u8::try_from(code).unwrap_or(u8::MAX));
    JobResult { value: handler_result(value), code }
}
