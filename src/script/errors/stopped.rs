//! Faults of code that the guard stopped.

use rhai::{EvalAltResult, Position};

use super::text::STOPPED;
use super::thrown::thrown;
use crate::config::Limits;
use crate::fault::Fault;
use crate::functions::Stop;
use crate::script::codes;
use crate::script::files::Files;

/// Returns the fault of a stopped run, at the position of the code at that time.
pub(in crate::script) fn stopped(files: &Files, stop: Stop, error: Option<&EvalAltResult>, limits: &Limits) -> Fault {
    let mut fault = match error {
        Some(error) => thrown(files, error),
        None => files.fault("", Position::NONE, ""),
    };
    let (text, hint) = match stop {
        Stop::Deadline => (
            "the run exceeded its timeout".to_owned(),
            "do less at once, or raise `limits.timeout` or the trigger's own `timeout`",
        ),
        Stop::Cancelled => ("the run was cancelled".to_owned(), ""),
        Stop::Operations | Stop::Memory => limit_text("the run", stop, limits),
    };
    set_stop(&mut fault, stop, text, hint);
    fault
}

/// Records why loading was stopped, in the fault at the position of the code or in a fault of the whole file.
pub(in crate::script) fn stop_loading(faults: &mut Vec<Fault>, files: &Files, stop: Stop, limits: &Limits) {
    if !faults.iter().any(|fault| fault.kind == STOPPED) {
        let mut fault = files.fault("", Position::NONE, "");
        fault.kind = STOPPED.into();
        faults.push(fault.with_code(codes::TOP_LEVEL.code));
    }
    let (text, hint) = match stop {
        Stop::Deadline | Stop::Cancelled => (
            format!("the top level runs longer than {:?}", limits.load_timeout),
            "do the work in a handler, such as `on_start(|| …)`: the top level only declares triggers",
        ),
        Stop::Operations | Stop::Memory => limit_text("the top level", stop, limits),
    };
    for fault in faults.iter_mut().filter(|fault| fault.kind == STOPPED) {
        set_stop(fault, stop, text.clone(), hint);
    }
}

/// Returns the message and hint of an exceeded limit.
fn limit_text(code: &str, stop: Stop, limits: &Limits) -> (String, &'static str) {
    match stop {
        Stop::Memory => (
            format!("{code} uses more than {} bytes of memory", limits.memory),
            "look for a value that grows without limit, or raise `limits.memory`",
        ),
        _ => (
            format!("{code} uses more than {} operations", limits.operations),
            "look for an endless loop, or raise `limits.operations`",
        ),
    }
}

/// Sets the kind, message and hint of a stop.
fn set_stop(fault: &mut Fault, stop: Stop, text: String, hint: &str) {
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
