//! What is likely wrong in scripts that load: one file per lint, and the list.

mod allow;
mod always_same;
mod handlers;
mod mqtt_loop;
mod payload_type;
mod same_webhook;
mod sleep_outlasts;
mod unreachable_code;
mod unseen_topic;
mod unused_function;
mod unused_import;
mod unused_variable;

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::sync::Arc;

use rhai::{ASTNode, Expr, Position};

use self::allow::Allowed;
use super::analyse::imports::{self, Import};
use super::analyse::{Source, Unit};
use super::files::Files;
use super::{Declaration, Script, engine, source, stack_size};
use crate::config::Config;
use crate::fault::Fault;

/// Something that is likely wrong.
pub struct Lint {
    /// How it is called, also where it is allowed.
    pub code: &'static str,
    /// What it means and what to do, for script authors: a first sentence, why, a wrong script and a right one. Markdown.
    pub docs: &'static str,
    find: Find,
}

/// Where a lint looks.
enum Find {
    /// At each script for itself.
    Each(fn(&Look<'_>, &mut Found<'_>)),
    /// At all scripts together.
    All(fn(&[Look<'_>], &mut Found<'_>)),
}

/// The lints, in the order of `rhaid explain`.
pub const LINTS: &[&Lint] = &[
    &unused_variable::LINT,
    &unused_function::LINT,
    &unused_import::LINT,
    &unreachable_code::LINT,
    &always_same::LINT,
    &payload_type::LINT,
    &sleep_outlasts::LINT,
    &same_webhook::LINT,
    &mqtt_loop::LINT,
    &unseen_topic::LINT,
    &allow::LINT,
];

/// Something that is likely wrong at a place.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The lint's code.
    pub code: &'static str,
    /// Where and what.
    pub fault: Fault,
}

/// A script that is looked at.
struct Look<'l> {
    file: &'l str,
    files: &'l Files,
    source: Source<'l>,
    imports: Vec<Import>,
    declared: &'l [Declaration],
    config: &'l Config,
    topics: Option<&'l BTreeSet<String>>,
}

/// Where findings are put, but for those that are allowed.
struct Found<'f> {
    code: &'static str,
    allowed: &'f [Allowed],
    findings: &'f mut Vec<Finding>,
}

impl Found<'_> {
    /// Puts a finding at a place in a script.
    fn put(&mut self, look: &Look<'_>, position: Position, text: impl Into<String>, hint: impl Into<String>) {
        self.put_fault(look.files.fault(look.file, position, text).with_hint(hint));
    }

    fn put_fault(&mut self, fault: Fault) {
        let is_allowed = |allowed: &Allowed| allowed.covers(self.code, &fault.location);
        if !self.allowed.iter().any(is_allowed) {
            self.findings.push(Finding { code: self.code, fault });
        }
    }
}

/// Looks at scripts that were loaded, each alone and all together, and returns what is likely wrong, in the order of places; `topics` are
/// those on which messages were seen, if somebody has looked.
///
/// Runs on a thread of its own with a large stack; blocks the caller.
pub fn check(scripts: &[Script], config: &Arc<Config>, topics: Option<&BTreeSet<String>>) -> Vec<Finding> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("lint".into()).stack_size(stack_size(&config.limits));
        let looking = thread.spawn_scoped(scope, || look_here(scripts, config, topics));
        looking.map_or_else(|_| Vec::new(), |looking| looking.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn look_here(scripts: &[Script], config: &Config, topics: Option<&BTreeSet<String>>) -> Vec<Finding> {
    let engine = engine::shared(&config.limits);
    let files: Vec<_> = scripts.iter().map(|script| Files(script.files[..1].to_vec())).collect();
    let looks: Vec<_> = scripts
        .iter()
        .zip(&files)
        .filter_map(|(script, files)| {
            let (file, text) = files.0.first()?;
            // It was compiled a moment ago.
            let ast = source::compile(&engine, file, text).ok()?;
            let source = Source::new(&ast, file, files, script.is_job(), &[]);
            let imports = imports::of(&ast);
            Some(Look { file, files, source, imports, declared: &script.declarations, config, topics })
        })
        .collect();
    let allowed: Vec<_> = files.iter().flat_map(Allowed::of).collect();
    let mut findings = Vec::new();
    for lint in LINTS {
        let mut found = Found { code: lint.code, allowed: &allowed, findings: &mut findings };
        match lint.find {
            Find::Each(find) => looks.iter().for_each(|look| find(look, &mut found)),
            Find::All(find) => find(&looks, &mut found),
        }
    }
    findings.sort_by(|a, b| {
        let key = |finding: &Finding| {
            let place = &finding.fault.location;
            (place.file.clone(), place.line, place.column)
        };
        key(a).cmp(&key(b))
    });
    findings
}

impl Look<'_> {
    /// Visits every node of every unit, with the unit and the nodes around it.
    fn visit(&self, mut on_node: impl FnMut(&Unit, &[ASTNode<'_>])) {
        self.source.units.iter().for_each(|unit| unit.visit(|path| on_node(unit, path)));
    }
}

/// Returns the name of a variable without a module before it.
fn variable(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Variable(variable, ..) if variable.2.is_empty() => Some(&variable.1),
        _ => None,
    }
}
