//! The codes of load-time faults, with an explanation of each.

/// A code of load-time faults.
pub struct FaultCode {
    /// The code.
    pub code: &'static str,
    /// The explanation for script authors in Markdown: a summary, the reason, a wrong script and a right one.
    pub docs: &'static str,
}

pub(super) const SYNTAX: FaultCode = FaultCode { code: "syntax", docs: include_str!("docs/syntax.md") };
pub(super) const UNKNOWN_FUNCTION: FaultCode =
    FaultCode { code: "unknown-function", docs: include_str!("docs/unknown-function.md") };
pub(super) const UNKNOWN_VARIABLE: FaultCode =
    FaultCode { code: "unknown-variable", docs: include_str!("docs/unknown-variable.md") };
pub(super) const LOST_ASSIGNMENT: FaultCode =
    FaultCode { code: "lost-assignment", docs: include_str!("docs/lost-assignment.md") };
pub(super) const IMPORT: FaultCode = FaultCode { code: "import", docs: include_str!("docs/import.md") };
pub(super) const DECLARATION: FaultCode = FaultCode { code: "declaration", docs: include_str!("docs/declaration.md") };
pub(super) const DENIED: FaultCode = FaultCode { code: "denied", docs: include_str!("docs/denied.md") };
pub(super) const TOP_LEVEL: FaultCode = FaultCode { code: "top-level", docs: include_str!("docs/top-level.md") };

/// All codes, in the order of `rhaid explain`.
pub const CODES: &[&FaultCode] =
    &[&SYNTAX, &UNKNOWN_FUNCTION, &UNKNOWN_VARIABLE, &LOST_ASSIGNMENT, &IMPORT, &DECLARATION, &DENIED, &TOP_LEVEL];
