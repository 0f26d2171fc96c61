//! Finds undefined variables.

use std::collections::BTreeSet;

use rhai::{ASTNode, Expr, Position, Stmt};

use super::compiled_file::{CompiledFile, Unit, submodule, unresolved};
use crate::fault::Fault;
use crate::options::nearest;
use crate::script::{codes, migration_hints};

/// Checks every variable of a unit.
pub(super) fn check(file: &CompiledFile<'_>, unit: &Unit, faults: &mut Vec<Fault>) {
    let locals = local_names(unit);
    unit.visit(|path| {
        if let Some(ASTNode::Stmt(Stmt::Assignment(assignment))) = path.last()
            && let Some((name, position)) = unresolved(&assignment.1.lhs)
            && name == "state"
        {
            let fault = file.fault(position, "`state` itself cannot be replaced");
            let hint = "assign to a key of it: `state.name = …` or `state[key] = …`";
            faults.push(fault.with_hint(hint).with_code(codes::LOST_ASSIGNMENT.code));
        }
        let Some(ASTNode::Expr(expression)) = path.last() else { return };
        if let Expr::Variable(variable, _, _) = expression
            && !variable.2.is_empty()
        {
            faults.extend(qualified(file, &variable.2, &variable.1));
        }
        let Some((name, position)) = unresolved(expression) else { return };
        if unit.is_closure() && unit.parameters().contains(name) {
            return;
        }
        faults.extend(unknown(file, unit, name, position, &locals));
    });
}

fn unknown(
    file: &CompiledFile<'_>,
    unit: &Unit,
    name: &str,
    position: Position,
    locals: &BTreeSet<String>,
) -> Option<Fault> {
    let builtin = name == "state" || (file.is_job && (name == "event" || name == "args"));
    if builtin || file.functions().any(|function| function.name == name) {
        return None;
    }
    let global = file.globals.iter().find(|global| global.name == name);
    match global {
        Some(global) if global.is_constant && unit.function.is_some() => return None,
        Some(global) if unit.function.is_none() => {
            let line = global.position.line().unwrap_or(0);
            let fault = file.fault(position, format!("`{name}` is used before its definition in line {line}"));
            return Some(fault.with_hint("move the definition up"));
        }
        Some(_) => {
            let fault = file.fault(position, format!("functions cannot use the variable `{name}` of the top level"));
            let hint = format!("make it a constant (`const {name} = …`), or pass it to the function");
            return Some(fault.with_hint(hint));
        }
        None => {}
    }
    let mut fault = file.fault(position, format!("unknown variable `{name}`"));
    if name == "args" || name == "event" {
        let how = "bind it in rhaid.yaml under `triggers:`, or keep it outside the scripts folder for `rhaid exec`";
        fault.hint = Some(format!("only a job has `{name}`: {how}"));
    } else if file.imported.iter().any(|imported| imported.alias == name) {
        fault.hint = Some(format!("`{name}` is a module: write `{name}::…`"));
    } else if let Some(help) = migration_hints::for_variable(name) {
        fault.hint = Some(help.into());
    } else {
        let visible = locals.iter().map(String::as_str).chain(file.globals.iter().map(|global| global.name.as_str()));
        let near = nearest(name, visible.chain(["state"]).filter(|other| *other != name));
        let is_assigned =
            || file.files.around(&fault.location).is_some_and(|(_, after)| migration_hints::is_assignment(after));
        fault.hint = match near {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None => is_assigned().then(|| format!("write `let {name} = …;` for a new variable")),
        };
    }
    Some(fault)
}

/// Checks a constant of a module.
fn qualified(file: &CompiledFile<'_>, namespace: &rhai::Namespace, name: &str) -> Option<Fault> {
    let (root, rest) = namespace.path.split_first()?;
    if root.name == "global" && rest.is_empty() {
        let known = file.globals.iter().any(|global| global.is_constant && global.name == name);
        let text = format!("there is no constant `{name}` at the top level");
        return (!known).then(|| file.fault(root.pos, text));
    }
    let Some(imported) = file.imported.iter().find(|imported| imported.alias == root.name.as_str()) else {
        return Some(file.unknown_module(root));
    };
    let module = submodule(imported.module.as_ref()?, rest)?;
    (!module.contains_var(name)).then(|| {
        let near = nearest(name, module.iter_var().map(|(name, _)| name));
        let mut fault = file.fault(root.pos, format!("`{}` exports no constant `{name}`", imported.file));
        fault.hint = Some(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write `export const {name} = …` there"),
        });
        fault
    })
}

impl CompiledFile<'_> {
    /// Returns the fault of a module name that no import defines.
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

/// Returns every name that a unit defines.
pub(super) fn local_names(unit: &Unit) -> BTreeSet<String> {
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
