//! What the interpreter throws, as faults: where, in plain words, with the chain of calls.

use rhai::{Dynamic, EvalAltResult, ParseError, Position};

use super::files::Files;
use super::{codes, migration_hints};
use crate::config::Limits;
use crate::fault::{Fault, StackFrame};
use crate::functions::reference::{Form, in_tests, reference};
use crate::functions::{Phase, Stop, convert, phase};
use crate::value::Value;

/// Returns an error of the compiler as a fault.
pub(super) fn syntax(files: &Files, file: &str, error: &ParseError) -> Fault {
    let mut fault = files.fault(file, error.position(), plain(&error.err_type().to_string()));
    fault.kind = "syntax".into();
    let around = files.around(&fault.location);
    fault.hint = around.and_then(|(before, after)| migration_hints::of_syntax(&fault.text, before, after));
    fault.with_code(codes::SYNTAX.code)
}

/// Returns an error of the top level as a fault.
pub(super) fn at_top_level(files: &Files, error: &EvalAltResult) -> Fault {
    thrown(files, error).with_code(codes::TOP_LEVEL.code)
}

/// Returns an error of a run as a fault.
pub(super) fn thrown(files: &Files, error: &EvalAltResult) -> Fault {
    let mut chain = Chain { file: files.own().to_owned(), calls: Vec::new(), innermost: Position::NONE };
    let cause = chain.descend(files, error);
    let (kind, text) = words(cause);
    let position = if cause.position().is_none() { chain.innermost } else { cause.position() };
    let mut fault = files.fault(&chain.file, position, text);
    fault.kind = kind;
    fault.hint = hint(cause).or_else(|| {
        let EvalAltResult::ErrorFunctionNotFound(signature, _) = cause else { return None };
        let (before, after) = files.around(&fault.location)?;
        migration_hints::of_operator(signature, before, after)
    });
    chain.calls.reverse();
    fault.calls = chain.calls;
    fault
}

/// Returns why a run had to stop, as a fault where it stood.
pub(super) fn stopped(files: &Files, stop: Stop, error: Option<&EvalAltResult>, limits: &Limits) -> Fault {
    let mut fault = match error {
        Some(error) => thrown(files, error),
        None => files.fault("", Position::NONE, ""),
    };
    let (text, hint) = match stop {
        Stop::Deadline => (
            "the time for this run is up".to_owned(),
            "do less at once, or raise `limits.timeout` or the trigger's own `timeout`",
        ),
        Stop::Cancelled => ("the run was cancelled".to_owned(), ""),
        Stop::Operations | Stop::Memory => spent("the run", stop, limits),
    };
    say(&mut fault, stop, text, hint);
    fault
}

/// Says why loading had to stop, in the fault where it stood or in one for the whole file.
pub(super) fn stop_loading(faults: &mut Vec<Fault>, files: &Files, stop: Stop, limits: &Limits) {
    if !faults.iter().any(|fault| fault.kind == STOPPED) {
        let mut fault = files.fault("", Position::NONE, "");
        fault.kind = STOPPED.into();
        faults.push(fault.with_code(codes::TOP_LEVEL.code));
    }
    let (text, hint) = match stop {
        Stop::Deadline | Stop::Cancelled => (
            format!("the top level runs longer than {:?}", limits.load_timeout),
            "the top level only declares: do the work in a handler, such as `on_start(|| …)`",
        ),
        Stop::Operations | Stop::Memory => spent("the top level", stop, limits),
    };
    for fault in faults.iter_mut().filter(|fault| fault.kind == STOPPED) {
        say(fault, stop, text.clone(), hint);
    }
}

fn spent(who: &str, stop: Stop, limits: &Limits) -> (String, &'static str) {
    match stop {
        Stop::Memory => (
            format!("{who} holds more than {} bytes of memory", limits.memory),
            "is something growing without an end? if not, raise `limits.memory`",
        ),
        _ => (
            format!("{who} needs more than {} operations", limits.operations),
            "is there a loop without an end? if not, raise `limits.operations`",
        ),
    }
}

fn say(fault: &mut Fault, stop: Stop, text: String, hint: &str) {
    let kind = match stop {
        Stop::Deadline => "timeout",
        Stop::Cancelled => "cancelled",
        Stop::Operations => "operations",
        Stop::Memory => "memory",
    };
    fault.kind = kind.into();
    fault.text = text;
    fault.hint = Some(hint.to_owned()).filter(|hint| !hint.is_empty());
}

/// The kind of a fault whose words are not known yet, because only the guard knows why it stopped the code.
const STOPPED: &str = "stopped";

/// Returns a panic inside a function as that run's fault.
pub(super) fn panicked(files: &Files, panic: &(dyn std::any::Any + Send)) -> Fault {
    let words = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it did not say why".to_owned());
    let mut fault = files.fault("", Position::NONE, format!("a function broke down: {words}"));
    fault.kind = "panic".into();
    fault.hint = Some("this is a mistake in rhaid, not in the script: please report it".into());
    fault
}

struct Chain {
    file: String,
    calls: Vec<StackFrame>,
    /// The place of the innermost call that has one, for causes that have none.
    innermost: Position,
}

impl Chain {
    fn descend<'e>(&mut self, files: &Files, error: &'e EvalAltResult) -> &'e EvalAltResult {
        match error {
            EvalAltResult::ErrorInFunctionCall(name, source, inner, position) => {
                if !position.is_none() {
                    let function = if name.starts_with("anon$") { "closure" } else { name.as_str() };
                    self.calls.push(StackFrame {
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

/// Returns the kind and the words of what was thrown.
fn words(cause: &EvalAltResult) -> (String, String) {
    let script = || "script".to_owned();
    match cause {
        EvalAltResult::ErrorRuntime(value, _) => of_value(value),
        EvalAltResult::ErrorFunctionNotFound(signature, _) => (script(), not_found(signature)),
        EvalAltResult::ErrorAssignmentToConstant(name, _) => (script(), format!("`{name}` is a constant here")),
        EvalAltResult::ErrorNonPureMethodCallOnConstant(name, _) => {
            (script(), format!("`{name}` changes what it is called on, and that is a constant here"))
        }
        EvalAltResult::ErrorVariableNotFound(name, _) => (script(), format!("unknown variable `{name}`")),
        EvalAltResult::ErrorStackOverflow(_) => (script(), "functions call each other too deeply".into()),
        EvalAltResult::ErrorTerminated(..) => (STOPPED.into(), "the run was stopped".into()),
        EvalAltResult::ErrorParsing(kind, _) => ("syntax".into(), plain(&kind.to_string())),
        EvalAltResult::ErrorDotExpr(text, _) => (script(), no_property(text).unwrap_or_else(|| plain(text))),
        EvalAltResult::ErrorIndexingType(types, _) => (script(), not_indexed(types)),
        EvalAltResult::ErrorMismatchDataType(expected, actual, _) if !expected.is_empty() => {
            (script(), format!("{} is wanted here, not {}", type_name(expected), type_name(actual)))
        }
        other => {
            let mut text = other.to_string();
            // Rhai writes the place behind the text; the fault has a field for it.
            if let Some(end) = text.rfind(" (line ") {
                text.truncate(end);
            }
            (script(), plain(&text))
        }
    }
}

/// Returns what to do about it, as far as that shows from the error alone.
fn hint(cause: &EvalAltResult) -> Option<String> {
    match cause {
        EvalAltResult::ErrorRuntime(value, _) => field(value, "hint"),
        EvalAltResult::ErrorAssignmentToConstant(..) | EvalAltResult::ErrorNonPureMethodCallOnConstant(..) => Some(
            "what is captured or defined at the top level does not change: keep it in `state`, or change a copy".into(),
        ),
        EvalAltResult::ErrorFunctionNotFound(signature, _) => {
            let name = signature.split(' ').next()?;
            let missing = migration_hints::of_nothing(name).filter(|_| signature[name.len()..].starts_with(" (()"));
            let other = || ways(name).or_else(|| migration_hints::of_function(name).map(str::to_owned));
            missing.map(str::to_owned).or_else(other)
        }
        EvalAltResult::ErrorDotExpr(text, _) if text.contains("getter") && text.ends_with("'()'") => {
            let property = text.split('\'').nth(1)?;
            Some(format!("there is no value here: write `?.{property}` and `?? …` where one may be missing"))
        }
        EvalAltResult::ErrorMismatchDataType(_, actual, _) if type_name(actual) == "range" => {
            Some(migration_hints::SLICE.into())
        }
        EvalAltResult::ErrorDataRace(..) => Some(
            "a closure may not use the very list it is called for: take what it needs into a variable first".into(),
        ),
        EvalAltResult::ErrorStackOverflow(_) => {
            Some("is there a function that calls itself without an end? else raise `limits.call_depth`".into())
        }
        _ => None,
    }
}

/// Returns how a function of rhaid is called, with types.
fn ways(function: &str) -> Option<String> {
    let known = if matches!(phase(), Phase::TestRun(_)) { in_tests() } else { reference() };
    let entries = known.iter().filter(|entry| entry.function == function);
    let signatures = entries.flat_map(|entry| &entry.signatures);
    let called = signatures.filter(|signature| matches!(signature.form, Form::Function | Form::Method));
    let ways: Vec<_> = called.map(|signature| format!("`{}`", signature.text)).take(3).collect();
    (!ways.is_empty()).then(|| format!("write {}", ways.join(" or ")))
}

/// Returns what is wrong with a call, from its signature as the interpreter writes it.
fn not_found(signature: &str) -> String {
    let (name, types) = signature.split_once(" (").unwrap_or((signature, ""));
    let types = types.strip_suffix(')').unwrap_or(types);
    let types: Vec<_> = types.split(", ").filter(|of| !of.is_empty()).map(type_name).collect();
    if name.starts_with(char::is_alphabetic) || name.starts_with('_') {
        return format!("there is no `{name}` for ({})", types.join(", "));
    }
    format!("`{name}` does not work on {}", types.join(" and "))
}

/// Returns what is wrong with a dot, from the interpreter's sentence: it quotes the property, then the type.
fn no_property(text: &str) -> Option<String> {
    let mut quoted = text.split('\'').skip(1).step_by(2);
    let (property, of) = (quoted.next()?, type_name(quoted.next()?));
    let can = if text.contains("setter") { "that can be set" } else { "" };
    Some(format!("`{of}` has no property `{property}` {can}").trim_end().to_owned())
}

/// Returns what is wrong with square brackets, from the types as the interpreter writes them, such as `() [i64]`.
fn not_indexed(types: &str) -> String {
    let (of, index) = types.split_once(" [").unwrap_or((types, ""));
    let index = index.split(']').next().map(type_name).unwrap_or_default();
    format!("`{}` has nothing to find with [{index}]", type_name(of))
}

/// Returns the word that script authors know a type by.
fn type_name(of: &str) -> &str {
    match of {
        "&str | ImmutableString | String" | "string" => "text",
        "i64" => "int",
        "f64" => "float",
        "Fn" => "function",
        range if range.starts_with("core::ops::range::") => "range",
        own if own.starts_with("rhaid::") => own.rsplit("::").next().unwrap_or(own),
        other => other,
    }
}

/// Returns the kind and the words of a value that a script or function threw.
fn of_value(value: &Dynamic) -> (String, String) {
    // What else is in the map need not be data: a response, for one.
    if let Some(message) = field(value, "message") {
        return (field(value, "kind").unwrap_or_else(|| "script".into()), message);
    }
    match convert::to_value(value) {
        Ok(Value::Map(map)) => {
            let kind = map.get("kind").and_then(Value::as_text).unwrap_or("script").to_owned();
            (kind, Value::Map(map).to_json().to_string())
        }
        Ok(Value::Text(text)) if !text.is_empty() => ("script".into(), text),
        Ok(Value::Null | Value::Text(_)) => ("script".into(), "the script threw an error without words".into()),
        Ok(other) => ("script".into(), format!("the script threw {}", other.to_json())),
        Err(_) => ("script".into(), format!("the script threw a value of type {}", value.type_name())),
    }
}

/// Returns a text out of a thrown map.
fn field(value: &Dynamic, name: &str) -> Option<String> {
    let text = value.read_lock::<rhai::Map>()?.get(name)?.clone();
    text.into_string().ok()
}

/// Returns the interpreter's words in our style: lower case at the start, no full stop.
fn plain(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut letters = text.chars();
    match letters.next() {
        // `BLOB` and the like keep their case.
        Some(first) if !letters.as_str().starts_with(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}
