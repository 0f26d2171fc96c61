//! Execution counts of statements, recorded by the interpreter's debugger hook.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use parking_lot::{Mutex, MutexGuard};
use rhai::debugger::DebuggerCommand;
use rhai::{ASTNode, Engine, Stmt};

/// The execution count of each line and column, by file.
pub(super) type StepCounts = BTreeMap<String, BTreeMap<(usize, usize), u64>>;

/// The counts of this process, once counting is enabled.
static STEPS: OnceLock<Mutex<StepCounts>> = OnceLock::new();

/// Enables counting in this process. Call this before the first script is loaded.
pub fn enable() {
    STEPS.get_or_init(Mutex::default);
}

/// Installs the counter in an interpreter if counting is enabled.
pub(in crate::script) fn install(engine: &mut Engine) {
    if STEPS.get().is_none() {
        return;
    }
    #[expect(deprecated, reason = "the interpreter marks this as subject to change, not as going away")]
    engine.register_debugger(
        |_, debugger| debugger,
        |_, _, node, source, _| {
            if let (Some(position), Some(file)) = (position(&node), source)
                && let Some(mut steps) = steps()
            {
                *steps.entry(file.to_owned()).or_default().entry(position).or_default() += 1;
            }
            Ok(DebuggerCommand::StepInto)
        },
    );
}

/// Returns the counts, if counting is enabled.
pub(super) fn steps() -> Option<MutexGuard<'static, StepCounts>> {
    STEPS.get().map(|steps| steps.lock())
}

/// Returns the line and column of a node, unless it is a block or an empty statement.
pub(super) fn position(node: &ASTNode<'_>) -> Option<(usize, usize)> {
    if matches!(node, ASTNode::Stmt(Stmt::Noop(_) | Stmt::Block(_))) {
        return None;
    }
    let position = node.position();
    Some((position.line()?, position.position().unwrap_or_default()))
}
