//! Finds variables that nothing in sight defines.

use std::collections::BTreeSet;

use rhai::{ASTNode, Expr, Position, Stmt};

use super::{Source, Unit, follow, is_unresolved};
use crate::fault::Fault;
use crate::options::nearest;
use crate::script::{codes, migration_hints};

/// Checks every variable of a unit.
pub(super) fn check(source: &Source<'_>, unit: &Unit, faults: &mut Vec<Fault>) {
    let locals = locals(unit);
    unit.visit(|path| {
        if let Some(ASTNode::Stmt(Stmt::Assignment(assignment))) = path.last()
            && let Some((name, position)) = is_unresolved(&assignment.1.lhs)
            && name == "state"
        {
            let fault = source.fault(position, "`state` itself can not be replaced");
            let hint = "write to what is in it: `state.name = …` or `state[key] = …`";
            faults.push(fault.with_hint(hint).with_code(codes::LOST_ASSIGNMENT.code));
        }
        let Some(ASTNode::Expr(expression)) = path.last() else { return };
        if let Expr::Variable(variable, _, _) = expression
            && !variable.2.is_empty()
        {
            faults.extend(qualified(source, &variable.2, &variable.1));
        }
        let Some((name, position)) = is_unresolved(expression) else { return };
        if unit.is_closure() && unit.parameters().contains(name) {
            return;
        }
        faults.extend(unresolved(source, unit, name, position, &locals));
    });
}

fn unresolved(
    source: &Source<'_>,
    unit: &Unit,
    name: &str,
    position: Position,
    locals: &BTreeSet<String>,
) -> Option<Fault> {
    let builtin = name == "state" || (source.job && (name == "event" || name == "args"));
    if builtin || source.functions().any(|function| function.name == name) {
        return None;
    }
    let top = source.top.iter().find(|(other, ..)| other == name);
    match top {
        Some((_, true, _)) if unit.function.is_some() => return None,
        Some((_, _, defined)) if unit.function.is_none() => {
            let line = defined.line().unwrap_or(0);
            let fault = source.fault(position, format!("`{name}` is used before it is defined, in line {line}"));
            return Some(fault.with_hint("move the definition up"));
        }
        Some(_) => {
            let fault = source.fault(position, format!("functions do not see the variable `{name}` of the top level"));
            let hint = format!("make it a constant (`const {name} = …`), or pass it to the function");
            return Some(fault.with_hint(hint));
        }
        None => {}
    }
    let mut fault = source.fault(position, format!("unknown variable `{name}`"));
    if name == "args" || name == "event" {
        let how = "bind it in rhaid.yaml under `triggers:`, or keep it outside the scripts folder for `rhaid exec`";
        fault.hint = Some(format!("only a job has `{name}`: {how}"));
    } else if source.imported.iter().any(|imported| imported.alias == name) {
        fault.hint = Some(format!("`{name}` is a module: write `{name}::…`"));
    } else if let Some(help) = migration_hints::of_name(name) {
        fault.hint = Some(help.into());
    } else {
        let visible = locals.iter().map(String::as_str).chain(source.top.iter().map(|(name, ..)| name.as_str()));
        let near = nearest(name, visible.chain(["state"]).filter(|other| *other != name));
        let is_assigned =
            || source.files.around(&fault.location).is_some_and(|(_, after)| migration_hints::is_assigned(after));
        fault.hint = match near {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None => is_assigned().then(|| format!("write `let {name} = …;` for a new variable")),
        };
    }
    Some(fault)
}

/// Checks a variable of a module.
fn qualified(source: &Source<'_>, namespace: &rhai::Namespace, name: &str) -> Option<Fault> {
    let (root, rest) = namespace.path.split_first()?;
    if root.name == "global" && rest.is_empty() {
        let known = source.top.iter().any(|(other, constant, _)| *constant && other == name);
        let text = format!("there is no constant `{name}` at the top level");
        return (!known).then(|| source.fault(root.pos, text));
    }
    let Some(imported) = source.imported.iter().find(|imported| imported.alias == root.name.as_str()) else {
        return Some(source.unknown_module(root));
    };
    let module = follow(imported.module.as_ref()?, rest)?;
    (!module.contains_var(name)).then(|| {
        let near = nearest(name, module.iter_var().map(|(name, _)| name));
        let mut fault = source.fault(root.pos, format!("`{}` exports no constant `{name}`", imported.file));
        fault.hint = Some(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write `export const {name} = …` there"),
        });
        fault
    })
}

impl Source<'_> {
    /// Says that no import has this name.
    pub(super) fn unknown_module(&self, alias: &rhai::Ident) -> Fault {
        let near = nearest(&alias.name, self.imported.iter().map(|imported| imported.alias.as_str()));
        let fault = self.fault(alias.pos, format!("no module is imported as `{}`", alias.name));
        let fault = fault.with_code(codes::IMPORT.code);
        fault.with_hint(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write `import \"_lib/{0}\" as {0};` at the top", alias.name),
        })
    }
}

/// Returns every name that a unit defines, for hints.
pub(super) fn locals(unit: &Unit) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = unit.parameters().iter().map(ToString::to_string).collect();
    unit.visit(|path| match path.last() {
        Some(ASTNode::Stmt(Stmt::Var(variable, ..))) => {
            names.insert(variable.0.name.to_string());
        }
        Some(ASTNode::Stmt(Stmt::For(each, _))) => {
            names.insert(each.0.name.to_string());
        }
        _ => {}
    });
    names
}
