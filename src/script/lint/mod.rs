//! Lints: checks for likely mistakes in scripts that load. One file per lint, and the list.

mod allow;
mod always_same;
mod context;
mod handlers;
mod mqtt_loop;
mod payload_type;
mod same_webhook;
mod sleep_outlasts;
mod unknown_lint;
mod unreachable_code;
mod unseen_topic;
mod unused_function;
mod unused_import;
mod unused_variable;

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::sync::Arc;

use self::allow::Allowed;
use self::context::{Check, Findings, LintContext};
pub use self::context::{Finding, Lint};
use super::analyse::{CompiledFile, imports};
use super::files::Files;
use super::model::Script;
use super::stack::stack_size;
use super::{compile, engine};
use crate::config::Config;

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
    &unknown_lint::LINT,
];

/// Checks loaded scripts with all lints and returns the findings, sorted by location. `topics` are the MQTT topics of a
/// recording, if there is one.
///
/// Runs on a new thread with a large stack, and blocks the caller.
pub fn check(scripts: &[Script], config: &Arc<Config>, topics: Option<&BTreeSet<String>>) -> Vec<Finding> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("lint".into()).stack_size(stack_size(&config.limits));
        let check = thread.spawn_scoped(scope, || check_here(scripts, config, topics));
        check.map_or_else(|_| Vec::new(), |check| check.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn check_here(scripts: &[Script], config: &Config, topics: Option<&BTreeSet<String>>) -> Vec<Finding> {
    let engine = engine::shared(&config.limits);
    let files: Vec<_> = scripts.iter().map(|script| Files(script.files[..1].to_vec())).collect();
    let codes: Vec<_> = LINTS.iter().map(|lint| lint.code).collect();
    let contexts: Vec<_> = scripts
        .iter()
        .zip(&files)
        .filter_map(|(script, files)| {
            let (file, text) = files.0.first()?;
            // Loading compiled the same text, so this succeeds.
            let ast = compile::compile(&engine, file, text).ok()?;
            let compiled = CompiledFile::new(&ast, file, files, script.is_job(), &[]);
            let (imports, declarations) = (imports(&ast), script.declarations.as_slice());
            Some(LintContext { file, files, compiled, imports, declarations, config, topics, codes: &codes })
        })
        .collect();
    let allowed: Vec<_> = files.iter().flat_map(Allowed::of).collect();
    let mut findings = Vec::new();
    for lint in LINTS {
        let mut of_lint = Findings { code: lint.code, allowed: &allowed, findings: &mut findings };
        match lint.check {
            Check::Each(check) => contexts.iter().for_each(|context| check(context, &mut of_lint)),
            Check::All(check) => check(&contexts, &mut of_lint),
        }
    }
    findings.sort_by(|a, b| {
        let key = |finding: &Finding| {
            let location = &finding.fault.location;
            (location.file.clone(), location.line, location.column)
        };
        key(a).cmp(&key(b))
    });
    findings
}
