//! Line coverage of scripts, for `rhaid test --coverage`.

pub(super) mod counter;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rhai::{AST, ASTNode};

pub use self::counter::enable;
use self::counter::{position, steps};
use super::sources::Sources;
use super::{compile, engine};
use crate::config::Limits;
use crate::value::map_of;

/// The execution count of each line, by file.
pub type LineCounts = BTreeMap<String, BTreeMap<usize, u64>>;

/// Returns the execution counts of all executable lines in these files and in the modules that ran. Unreadable files are left out.
pub fn line_counts(mut files: Vec<String>, sources: &Arc<dyn Sources>, limits: &Limits) -> LineCounts {
    let engine = engine::new(limits);
    let steps = steps().map(|steps| steps.clone()).unwrap_or_default();
    files.extend(steps.keys().cloned());
    let counted = |file: &String| {
        let text = sources.read(file).ok()?;
        let ast = compile::compile(&engine, file, &text).ok()?;
        let counts = steps.get(file);
        let mut lines = BTreeMap::<usize, u64>::new();
        for position in statement_positions(&ast) {
            let count = counts.and_then(|counts| counts.get(&position).copied()).unwrap_or_default();
            let line = lines.entry(position.0).or_default();
            *line = (*line).max(count);
        }
        Some((file.clone(), lines))
    };
    map_of(files.iter().filter_map(counted))
}

/// Returns the positions at which statements begin.
fn statement_positions(ast: &AST) -> BTreeSet<(usize, usize)> {
    let mut positions = BTreeSet::new();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(statement @ ASTNode::Stmt(_)) = path.last() {
            positions.extend(position(statement));
        }
        true
    });
    positions
}
