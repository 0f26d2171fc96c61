//! Faults of compiler errors, thrown errors and panics.

use rhai::{EvalAltResult, ParseError, Position};

use super::text::{hint, kind_and_text, normalize};
use crate::fault::{Fault, StackFrame};
use crate::script::files::Files;
use crate::script::{codes, migration_hints};

/// Converts a compiler error.
pub(in crate::script) fn syntax(files: &Files, file: &str, error: &ParseError) -> Fault {
    let mut fault = files.fault(file, error.position(), normalize(&error.err_type().to_string()));
    fault.kind = "syntax".into();
    let around = files.around(&fault.location);
    fault.hint = around.and_then(|(before, after)| migration_hints::for_syntax(&fault.text, before, after));
    fault.with_code(codes::SYNTAX.code)
}

/// Converts an error of the top level.
pub(in crate::script) fn at_top_level(files: &Files, error: &EvalAltResult) -> Fault {
    thrown(files, error).with_code(codes::TOP_LEVEL.code)
}

/// Converts an error of a run.
pub(in crate::script) fn thrown(files: &Files, error: &EvalAltResult) -> Fault {
    let mut stack = CallStack { file: files.own().to_owned(), frames: Vec::new(), innermost: Position::NONE };
    let cause = stack.descend(files, error);
    let (kind, text) = kind_and_text(cause);
    let position = if cause.position().is_none() { stack.innermost } else { cause.position() };
    let mut fault = files.fault(&stack.file, position, text);
    fault.kind = kind;
    fault.hint = hint(cause).or_else(|| {
        let EvalAltResult::ErrorFunctionNotFound(signature, _) = cause else { return None };
        let (before, after) = files.around(&fault.location)?;
        migration_hints::for_operator(signature, before, after)
    });
    stack.frames.reverse();
    fault.calls = stack.frames;
    fault
}

/// Converts a panic inside a function.
pub(in crate::script) fn panicked(files: &Files, panic: &(dyn std::any::Any + Send)) -> Fault {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown panic".to_owned());
    let mut fault = files.fault("", Position::NONE, format!("a function panicked: {message}"));
    fault.kind = "panic".into();
    fault.hint = Some("this is a bug in rhaid, not in the script: please report it".into());
    fault
}

/// The call stack of an error, collected from the outermost call inwards.
struct CallStack {
    file: String,
    frames: Vec<StackFrame>,
    /// The position of the innermost call, for errors without a position.
    innermost: Position,
}

impl CallStack {
    /// Descends to the innermost error.
    fn descend<'e>(&mut self, files: &Files, error: &'e EvalAltResult) -> &'e EvalAltResult {
        match error {
            EvalAltResult::ErrorInFunctionCall(name, source, inner, position) => {
                if !position.is_none() {
                    let function = if name.starts_with("anon$") { "closure" } else { name.as_str() };
                    self.frames.push(StackFrame {
                        function: function.into(),
                        location: files.location(&self.file, *position),
                    });
                    self.innermost = *position;
                }
                if !source.is_empty() && *source != self.file {
                    self.file.clone_from(source);
                    self.innermost = Position::NONE;
                }
                self.descend(files, inner)
            }
            EvalAltResult::ErrorInModule(source, inner, _) => {
                self.file.clone_from(source);
                self.innermost = Position::NONE;
                self.descend(files, inner)
            }
            cause => cause,
        }
    }
}
