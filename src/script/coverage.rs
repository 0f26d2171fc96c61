//! Which lines of scripts have run, and which could have: for `rhaid test --coverage`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rhai::debugger::DebuggerCommand;
use rhai::{AST, ASTNode, Engine, Position, Stmt};

use super::{Sources, engine, source};
use crate::config::Limits;

/// How often each line of each file has run.
pub type Hits = BTreeMap<String, BTreeMap<usize, u64>>;

/// What has run in this process, once it is counted.
static HITS: OnceLock<Mutex<Hits>> = OnceLock::new();

/// Counts from now on, in this process; to be called before the first script is loaded.
pub fn begin() {
    HITS.get_or_init(Mutex::default);
}

/// Returns how often each line that can run has run, of each of these files that can be read, and of the modules that ran.
pub fn of(mut files: Vec<String>, sources: &Arc<dyn Sources>, limits: &Limits) -> Hits {
    let engine = engine::new(limits);
    let ran = hits().map(|hits| hits.clone()).unwrap_or_default();
    files.extend(ran.keys().cloned());
    let counted = |file: &String| {
        let text = sources.read(file).ok()?;
        let ast = source::compile(&engine, file, &text).ok()?;
        let ran = ran.get(file);
        let count = |line: usize| ran.and_then(|ran| ran.get(&line).copied()).unwrap_or_default();
        Some((file.clone(), lines(&ast).into_iter().map(|line| (line, count(line))).collect()))
    };
    files.iter().filter_map(counted).collect()
}

/// Has an interpreter count, if that has begun.
pub(super) fn watch(engine: &mut Engine) {
    if HITS.get().is_none() {
        return;
    }
    #[expect(deprecated, reason = "the interpreter marks this as subject to change, not as going away")]
    engine.register_debugger(
        |_, debugger| debugger,
        |_, _, node, source, position| {
            if let (Some(line), Some(file)) = (line(&node, position), source)
                && let Some(mut hits) = hits()
            {
                *hits.entry(file.to_owned()).or_default().entry(line).or_default() += 1;
            }
            Ok(DebuggerCommand::StepInto)
        },
    );
}

fn hits() -> Option<MutexGuard<'static, Hits>> {
    HITS.get().map(|hits| hits.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Returns the line of a statement that does something.
fn line(node: &ASTNode<'_>, position: Position) -> Option<usize> {
    match node {
        ASTNode::Stmt(Stmt::Noop(_) | Stmt::Block(_)) => None,
        ASTNode::Stmt(_) => position.line(),
        _ => None,
    }
}

/// Returns the lines on which a statement begins.
fn lines(ast: &AST) -> BTreeSet<usize> {
    let mut lines = BTreeSet::new();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(node) = path.last() {
            lines.extend(line(node, node.position()));
        }
        true
    });
    lines
}
