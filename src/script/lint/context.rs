//! Lints and the context that they check.

use std::collections::BTreeSet;

use rhai::{ASTNode, Expr, Position};

use super::allow::Allowed;
use crate::config::Config;
use crate::fault::Fault;
use crate::script::analyse::{CompiledFile, Import, Unit};
use crate::script::files::Files;
use crate::script::model::Declaration;

/// A check for likely mistakes.
pub struct Lint {
    /// The identifier, which `// rhaid: allow(…)` comments also use.
    pub code: &'static str,
    /// The explanation for script authors in Markdown: a summary, the reason, a wrong script and a right one.
    pub docs: &'static str,
    pub(super) check: Check,
}

/// The scope of a lint.
pub(super) enum Check {
    /// One script at a time.
    Each(fn(&LintContext<'_>, &mut Findings<'_>)),
    /// All scripts together.
    All(fn(&[LintContext<'_>], &mut Findings<'_>)),
}

/// A likely mistake at a location.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The code of the lint.
    pub code: &'static str,
    /// The location, message and hint.
    pub fault: Fault,
}

/// A script that is checked.
pub(super) struct LintContext<'l> {
    pub file: &'l str,
    pub files: &'l Files,
    pub compiled: CompiledFile<'l>,
    pub imports: Vec<Import>,
    pub declarations: &'l [Declaration],
    pub config: &'l Config,
    /// The recorded topics, if any.
    pub topics: Option<&'l BTreeSet<String>>,
    /// The codes of all lints.
    pub codes: &'l [&'static str],
}

/// Collects the findings of one lint, except those that comments allow.
pub(super) struct Findings<'f> {
    pub code: &'static str,
    pub allowed: &'f [Allowed],
    pub findings: &'f mut Vec<Finding>,
}

impl Findings<'_> {
    /// Adds a finding at a position in a script.
    pub(super) fn add(
        &mut self,
        context: &LintContext<'_>,
        position: Position,
        text: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add_fault(context.files.fault(context.file, position, text).with_hint(hint));
    }

    pub(super) fn add_fault(&mut self, fault: Fault) {
        let is_allowed = |allowed: &Allowed| allowed.covers(self.code, &fault.location);
        if !self.allowed.iter().any(is_allowed) {
            self.findings.push(Finding { code: self.code, fault });
        }
    }
}

impl LintContext<'_> {
    /// Visits every node of every unit, with the unit and the enclosing nodes.
    pub(super) fn visit(&self, mut on_node: impl FnMut(&Unit, &[ASTNode<'_>])) {
        self.compiled.units.iter().for_each(|unit| unit.visit(|path| on_node(unit, path)));
    }
}

/// Returns the name of a variable without a module prefix.
pub(super) fn variable(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Variable(variable, ..) if variable.2.is_empty() => Some(&variable.1),
        _ => None,
    }
}
