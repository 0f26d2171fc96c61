//! Static checks of a compiled file: unknown names, lost assignments and imports, found before any event arrives.

mod captures;
mod compiled_file;
mod functions;
mod imports;
pub(super) mod known;
mod variables;

pub(super) use self::captures::CapturedChanges;
pub(super) use self::compiled_file::{CompiledFile, Unit};
pub(super) use self::imports::{Import, Imported, imports};
use super::codes;
use crate::fault::Fault;

/// Returns all faults in a file.
pub(super) fn faults(file: &CompiledFile<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for unit in &file.units {
        let (mut of_variables, mut of_functions) = (Vec::new(), Vec::new());
        variables::check(file, unit, &mut of_variables);
        functions::check(file, unit, &mut of_functions);
        faults.extend(of_variables.into_iter().map(|fault| fault.with_code(codes::UNKNOWN_VARIABLE.code)));
        faults.extend(of_functions.into_iter().map(|fault| fault.with_code(codes::UNKNOWN_FUNCTION.code)));
    }
    // A name that a closure passes to an inner closure is found in both.
    let mut seen = std::collections::BTreeSet::new();
    faults.retain(|fault: &Fault| seen.insert((fault.location.line, fault.location.column, fault.text.clone())));
    faults
}

/// Returns the name of every function and method that scripts can call, including those of the language.
pub fn standard_functions() -> impl Iterator<Item = &'static str> {
    known::SCRIPT_FUNCTIONS.names()
}
