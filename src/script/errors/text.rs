//! Messages and hints of errors that scripts throw.

use rhai::{Dynamic, EvalAltResult};

use crate::functions::reference::{Form, in_tests, reference};
use crate::functions::{Phase, convert, phase};
use crate::script::migration_hints;
use crate::value::Value;

/// The temporary kind of a fault whose message depends on the stop reason of the guard.
pub(super) const STOPPED: &str = "stopped";

/// Returns the kind and the message of an error.
pub(super) fn kind_and_text(cause: &EvalAltResult) -> (String, String) {
    let script = || "script".to_owned();
    match cause {
        EvalAltResult::ErrorRuntime(value, _) => of_value(value),
        EvalAltResult::ErrorFunctionNotFound(signature, _) => (script(), not_found(signature)),
        EvalAltResult::ErrorAssignmentToConstant(name, _) => (script(), format!("`{name}` is a constant here")),
        EvalAltResult::ErrorNonPureMethodCallOnConstant(name, _) => {
            (script(), format!("`{name}` modifies the value before the dot, which is a constant here"))
        }
        EvalAltResult::ErrorVariableNotFound(name, _) => (script(), format!("unknown variable `{name}`")),
        EvalAltResult::ErrorStackOverflow(_) => (script(), "functions call each other too deeply".into()),
        EvalAltResult::ErrorTerminated(..) => (STOPPED.into(), "the run was stopped".into()),
        EvalAltResult::ErrorParsing(kind, _) => ("syntax".into(), normalize(&kind.to_string())),
        EvalAltResult::ErrorDotExpr(text, _) => (script(), no_property(text).unwrap_or_else(|| normalize(text))),
        EvalAltResult::ErrorIndexingType(types, _) => (script(), not_indexed(types)),
        EvalAltResult::ErrorMismatchDataType(expected, actual, _) if !expected.is_empty() => {
            (script(), format!("expected {}, found {}", type_name(expected), type_name(actual)))
        }
        other => {
            let mut text = other.to_string();
            // Rhai appends the position; the fault has a field for it.
            if let Some(end) = text.rfind(" (line ") {
                text.truncate(end);
            }
            (script(), normalize(&text))
        }
    }
}

/// Returns the hint of an error, if the error alone is enough to give one.
pub(super) fn hint(cause: &EvalAltResult) -> Option<String> {
    match cause {
        EvalAltResult::ErrorRuntime(value, _) => field(value, "hint"),
        EvalAltResult::ErrorAssignmentToConstant(..) | EvalAltResult::ErrorNonPureMethodCallOnConstant(..) => Some(
            "captured variables and those of the top level are constant in handlers: use `state`, or change a copy"
                .into(),
        ),
        EvalAltResult::ErrorFunctionNotFound(signature, _) => {
            let name = signature.split(' ').next()?;
            let missing =
                migration_hints::for_method_of_unit(name).filter(|_| signature[name.len()..].starts_with(" (()"));
            let other = || signatures(name).or_else(|| migration_hints::for_function(name).map(str::to_owned));
            missing.map(str::to_owned).or_else(other)
        }
        EvalAltResult::ErrorDotExpr(text, _) if text.contains("getter") && text.ends_with("'()'") => {
            let property = text.split('\'').nth(1)?;
            Some(format!("the value is missing: write `?.{property}` and `?? …` for a value that can be missing"))
        }
        EvalAltResult::ErrorMismatchDataType(_, actual, _) if type_name(actual) == "range" => {
            Some(migration_hints::SLICE.into())
        }
        EvalAltResult::ErrorDataRace(..) => Some(
            "a closure cannot use the list that it is called for: copy the needed values to a variable first".into(),
        ),
        EvalAltResult::ErrorStackOverflow(_) => {
            Some("look for a function that calls itself endlessly, or raise `limits.call_depth`".into())
        }
        _ => None,
    }
}

/// Returns the signatures of a function of rhaid, with types.
fn signatures(function: &str) -> Option<String> {
    let known = if matches!(phase(), Phase::TestRun(_)) { in_tests() } else { reference() };
    let entries = known.iter().filter(|entry| entry.function == function);
    let signatures = entries.flat_map(|entry| &entry.signatures);
    let callable = signatures.filter(|signature| matches!(signature.form, Form::Function | Form::Method));
    let texts: Vec<_> = callable.map(|signature| format!("`{}`", signature.text)).take(3).collect();
    (!texts.is_empty()).then(|| format!("write {}", texts.join(" or ")))
}

/// Returns the message for an unknown signature, such as `+ ((), i64)`.
fn not_found(signature: &str) -> String {
    let (name, types) = signature.split_once(" (").unwrap_or((signature, ""));
    let types = types.strip_suffix(')').unwrap_or(types);
    let types: Vec<_> = types.split(", ").filter(|of| !of.is_empty()).map(type_name).collect();
    if name.starts_with(char::is_alphabetic) || name.starts_with('_') {
        return format!("there is no `{name}` for ({})", types.join(", "));
    }
    format!("`{name}` does not work on {}", types.join(" and "))
}

/// Returns the message for an unknown property. The interpreter's message quotes the property, then the type.
fn no_property(text: &str) -> Option<String> {
    let mut quoted = text.split('\'').skip(1).step_by(2);
    let (property, of) = (quoted.next()?, type_name(quoted.next()?));
    let can = if text.contains("setter") { "that can be set" } else { "" };
    Some(format!("`{of}` has no property `{property}` {can}").trim_end().to_owned())
}

/// Returns the message for a value that cannot be indexed, from the types in a form such as `() [i64]`.
fn not_indexed(types: &str) -> String {
    let (of, index) = types.split_once(" [").unwrap_or((types, ""));
    let index = index.split(']').next().map(type_name).unwrap_or_default();
    format!("`{}` cannot be indexed with [{index}]", type_name(of))
}

/// Returns the name of a type in scripts.
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

/// Returns the kind and the message of a thrown value.
fn of_value(value: &Dynamic) -> (String, String) {
    // Other values in the map may not be plain data, such as a response.
    if let Some(message) = field(value, "message") {
        return (field(value, "kind").unwrap_or_else(|| "script".into()), message);
    }
    match convert::to_value(value) {
        Ok(Value::Map(map)) => {
            let kind = map.get("kind").and_then(Value::as_text).unwrap_or("script").to_owned();
            (kind, Value::Map(map).to_json_text())
        }
        Ok(Value::Text(text)) if !text.is_empty() => ("script".into(), text),
        Ok(Value::Null | Value::Text(_)) => ("script".into(), "the script threw an error without a message".into()),
        Ok(other) => ("script".into(), format!("the script threw {}", other.to_json())),
        Err(_) => ("script".into(), format!("the script threw a value of type {}", value.type_name())),
    }
}

/// Returns a text in a thrown map.
fn field(value: &Dynamic, name: &str) -> Option<String> {
    let text = value.read_lock::<rhai::Map>()?.get(name)?.clone();
    text.into_string().ok()
}

/// Normalizes a message of the interpreter: lower case at the start, no full stop.
pub(super) fn normalize(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut letters = text.chars();
    match letters.next() {
        // Words in upper case, such as `BLOB`, keep their case.
        Some(first) if !letters.as_str().starts_with(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}
