//! A trigger that `rhaid.yaml` binds to a job.

use std::collections::BTreeMap;

use super::report;
use crate::fault::{Fault, SourceLocation};
use crate::value::{Map, Value};

/// A trigger bound to a job in `rhaid.yaml`.
#[derive(Debug, Clone)]
pub struct Binding {
    /// Its location.
    pub location: SourceLocation,
    /// The job's file, relative to the scripts folder.
    pub job: String,
    /// The location of that name.
    pub job_location: SourceLocation,
    /// The kind of trigger, such as `cron`.
    pub kind: String,
    /// The positional arguments, such as the cron expression.
    pub arguments: Vec<Value>,
    /// The options, unchecked.
    pub options: Map,
    /// The location of the arguments.
    pub argument_location: SourceLocation,
    /// The location of each option.
    pub option_locations: BTreeMap<String, SourceLocation>,
    /// Its source lines, for faults; secrets are masked.
    pub lines: BTreeMap<usize, String>,
}

impl PartialEq for Binding {
    /// Compares job, kind, arguments and options; locations are ignored.
    fn eq(&self, other: &Self) -> bool {
        self.job == other.job
            && self.kind == other.kind
            && self.arguments == other.arguments
            && self.options == other.options
    }
}

impl Binding {
    /// Returns a fault at the job's file name, with the source line.
    pub fn job_fault(&self, text: impl Into<String>) -> Fault {
        self.fault_at_location(&self.job_location, text)
    }

    /// Returns a fault at an option, or at the arguments if `option` is `None`, with the source line.
    pub fn fault(&self, option: Option<&str>, text: impl Into<String>) -> Fault {
        let location = option.and_then(|name| self.option_locations.get(name)).unwrap_or(&self.argument_location);
        self.fault_at_location(location, text)
    }

    fn fault_at_location(&self, location: &SourceLocation, text: impl Into<String>) -> Fault {
        Fault { source_line: self.lines.get(&location.line).cloned(), ..report::fault(location, text) }
    }
}
