//! Results of handler calls and jobs.

use crate::fault::Fault;
use crate::functions::Stop;
use crate::value::Value;

/// The reason why a call did not return.
#[derive(Debug, Clone)]
pub enum RunError {
    /// The script failed.
    Fault(Box<Fault>),
    /// The run was stopped, with the position of the code at that time.
    Stopped(Stop, Box<Fault>),
}

/// The result of a job that succeeded.
#[derive(Debug, Clone, PartialEq)]
pub struct JobResult {
    /// The value of the last expression.
    pub value: Value,
    /// The argument of `exit(code)`, or 0.
    pub code: u8,
}
