//! The sorts of faults that keep a script from going live: the code and the explanation of each.

/// A sort of fault.
pub struct FaultCode {
    /// How it is called.
    pub code: &'static str,
    /// What it means and what to do, for script authors: a first sentence, why, a wrong script and a right one. Markdown.
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

/// The sorts of faults, in the order of `rhaid explain`.
pub const CODES: &[&FaultCode] =
    &[&SYNTAX, &UNKNOWN_FUNCTION, &UNKNOWN_VARIABLE, &LOST_ASSIGNMENT, &IMPORT, &DECLARATION, &DENIED, &TOP_LEVEL];
