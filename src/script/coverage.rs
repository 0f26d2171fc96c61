//! Which lines of scripts have run, and which could have: for `rhaid test --coverage`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use rhai::debugger::DebuggerCommand;
use rhai::{AST, ASTNode, Engine, Stmt};

use super::{Sources, engine, source};
use crate::config::Limits;
use crate::value::map_of;

/// How often each line of each file has run.
pub type LineCounts = BTreeMap<String, BTreeMap<usize, u64>>;

/// How often what stands at each line and column of each file has run.
type Steps = BTreeMap<String, BTreeMap<(usize, usize), u64>>;

/// What has run in this process, once it is counted.
static STEPS: OnceLock<Mutex<Steps>> = OnceLock::new();

/// Counts from now on, in this process; to be called before the first script is loaded.
pub fn enable() {
    STEPS.get_or_init(Mutex::default);
}

/// Returns how often each line that can run has run, of each of these files that can be read, and of the modules that ran.
pub fn line_counts(mut files: Vec<String>, sources: &Arc<dyn Sources>, limits: &Limits) -> LineCounts {
    let engine = engine::new(limits);
    let ran = steps().map(|steps| steps.clone()).unwrap_or_default();
    files.extend(ran.keys().cloned());
    let counted = |file: &String| {
        let text = sources.read(file).ok()?;
        let ast = source::compile(&engine, file, &text).ok()?;
        let ran = ran.get(file);
        let mut lines = BTreeMap::<usize, u64>::new();
        for place in beginnings(&ast) {
            let count = ran.and_then(|ran| ran.get(&place).copied()).unwrap_or_default();
            let line = lines.entry(place.0).or_default();
            *line = (*line).max(count);
        }
        Some((file.clone(), lines))
    };
    map_of(files.iter().filter_map(counted))
}

/// Has an interpreter count, if that has begun.
pub(super) fn watch(engine: &mut Engine) {
    if STEPS.get().is_none() {
        return;
    }
    #[expect(deprecated, reason = "the interpreter marks this as subject to change, not as going away")]
    engine.register_debugger(
        |_, debugger| debugger,
        |_, _, node, source, _| {
            if let (Some(place), Some(file)) = (place(&node), source)
                && let Some(mut steps) = steps()
            {
                *steps.entry(file.to_owned()).or_default().entry(place).or_default() += 1;
            }
            Ok(DebuggerCommand::StepInto)
        },
    );
}

fn steps() -> Option<MutexGuard<'static, Steps>> {
    STEPS.get().map(|steps| steps.lock())
}

/// Returns the line and column of something that does something.
fn place(node: &ASTNode<'_>) -> Option<(usize, usize)> {
    if matches!(node, ASTNode::Stmt(Stmt::Noop(_) | Stmt::Block(_))) {
        return None;
    }
    let position = node.position();
    Some((position.line()?, position.position().unwrap_or_default()))
}

/// Returns where statements begin.
fn beginnings(ast: &AST) -> BTreeSet<(usize, usize)> {
    let mut places = BTreeSet::new();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(statement @ ASTNode::Stmt(_)) = path.last() {
            places.extend(place(statement));
        }
        true
    });
    places
}
