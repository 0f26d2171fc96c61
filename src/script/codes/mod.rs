//! The sorts of faults that keep a script from going live: the code and the explanation of each.

/// A sort of fault.
pub struct Code {
    /// How it is called.
    pub code: &'static str,
    /// What it means and what to do, for script authors: a first sentence, why, a wrong script and a right one. Markdown.
    pub docs: &'static str,
}

pub(super) const SYNTAX: Code = Code { code: "syntax", docs: include_str!("docs/syntax.md") };
pub(super) const UNKNOWN_FUNCTION: Code =
    Code { code: "unknown-function", docs: include_str!("docs/unknown-function.md") };
pub(super) const UNKNOWN_VARIABLE: Code =
    Code { code: "unknown-variable", docs: include_str!("docs/unknown-variable.md") };
pub(super) const LOST_ASSIGNMENT: Code =
    Code { code: "lost-assignment", docs: include_str!("docs/lost-assignment.md") };
pub(super) const IMPORT: Code = Code { code: "import", docs: include_str!("docs/import.md") };
pub(super) const DECLARATION: Code = Code { code: "declaration", docs: include_str!("docs/declaration.md") };
pub(super) const DENIED: Code = Code { code: "denied", docs: include_str!("docs/denied.md") };
pub(super) const TOP_LEVEL: Code = Code { code: "top-level", docs: include_str!("docs/top-level.md") };

/// The sorts of faults, in the order of `rhaid explain`.
pub const CODES: &[&Code] =
    &[&SYNTAX, &UNKNOWN_FUNCTION, &UNKNOWN_VARIABLE, &LOST_ASSIGNMENT, &IMPORT, &DECLARATION, &DENIED, &TOP_LEVEL];
