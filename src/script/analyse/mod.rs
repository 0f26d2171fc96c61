//! Looks through a compiled file for what would fail when the event comes: unknown names, lost assignments, hidden imports.

pub(super) mod captures;
mod functions;
pub(super) mod imports;
pub(super) mod known;
mod variables;

use std::collections::BTreeSet;

use rhai::{AST, ASTFlags, ASTNode, Expr, ImmutableString, Module, Position, ScriptFuncDef, Shared, Stmt};

use self::imports::Imported;
use self::known::Known;
use super::files::Files;
use super::{codes, handler};
use crate::fault::Fault;

/// A compiled file, taken apart.
pub(super) struct Source<'s> {
    pub file: &'s str,
    pub files: &'s Files,
    /// Whether it is a job, which sees `event` and `args`.
    pub job: bool,
    pub imported: &'s [Imported],
    /// The functions that are there without being defined in it.
    pub known: &'static Known,
    /// Its top level first, then each function and closure.
    pub units: Vec<Unit>,
    /// What its top level names, and whether that is a constant.
    pub top: Vec<(String, bool, Position)>,
    /// Every word by which a map's value may be called like a method.
    pub keys: BTreeSet<String>,
}

/// Code with variables of its own: the top level, a function or a closure.
pub(super) struct Unit {
    /// The function; `None` for the top level.
    pub function: Option<Shared<ScriptFuncDef>>,
    pub statements: Vec<Stmt>,
}

impl Unit {
    /// Returns whether it is a closure.
    pub(super) fn is_closure(&self) -> bool {
        self.function.as_ref().is_some_and(|function| function.name.starts_with("anon$"))
    }

    /// Returns the names of its parameters; a closure's begin with what it captures.
    pub(super) fn parameters(&self) -> &[ImmutableString] {
        self.function.as_ref().map_or(&[], |function| &function.params)
    }

    /// Visits every node, each with the nodes around it, the outermost first.
    pub(super) fn visit(&self, mut on_node: impl FnMut(&[ASTNode<'_>])) {
        let mut path = Vec::new();
        for statement in &self.statements {
            statement.walk(&mut path, &mut |path| {
                on_node(path);
                true
            });
        }
    }
}

impl<'s> Source<'s> {
    /// Takes a compiled file apart.
    pub(super) fn new(ast: &AST, file: &'s str, files: &'s Files, job: bool, imported: &'s [Imported]) -> Self {
        let top_level = Unit { function: None, statements: ast.statements().to_vec() };
        let functions = ast
            .shared_lib()
            .iter_script_fn_info()
            .map(|(.., function)| Unit { statements: handler::statements(function), function: Some(function.clone()) });
        let units: Vec<_> = std::iter::once(top_level).chain(functions).collect();
        let keys = keys(&units);
        Self { file, files, job, imported, known: &known::IN_SCRIPTS, top: top(ast.statements()), units, keys }
    }

    /// Returns everything that is wrong in it.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for unit in &self.units {
            let (mut of_variables, mut of_functions) = (Vec::new(), Vec::new());
            variables::check(self, unit, &mut of_variables);
            functions::check(self, unit, &mut of_functions);
            faults.extend(of_variables.into_iter().map(|fault| fault.with_code(codes::UNKNOWN_VARIABLE.code)));
            faults.extend(of_functions.into_iter().map(|fault| fault.with_code(codes::UNKNOWN_FUNCTION.code)));
        }
        // A closure that passes a name on to one inside it would be told twice.
        let mut seen = BTreeSet::new();
        faults.retain(|fault: &Fault| seen.insert((fault.location.line, fault.location.column, fault.text.clone())));
        faults
    }

    /// Returns the functions of the file itself.
    pub(super) fn functions(&self) -> impl Iterator<Item = &Shared<ScriptFuncDef>> {
        self.units.iter().filter_map(|unit| unit.function.as_ref())
    }

    fn fault(&self, position: Position, text: impl Into<String>) -> Fault {
        self.files.fault(self.file, position, text)
    }
}

/// Returns what the top level names: constants and variables.
fn top(statements: &[Stmt]) -> Vec<(String, bool, Position)> {
    let named = statements.iter().filter_map(|statement| match statement {
        Stmt::Var(variable, flags, _) => {
            Some((variable.0.name.to_string(), flags.contains(ASTFlags::CONSTANT), variable.0.pos))
        }
        _ => None,
    });
    named.collect()
}

/// Returns every key of a map and every property that is assigned.
fn keys(units: &[Unit]) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for unit in units {
        unit.visit(|path| match path.last() {
            Some(ASTNode::Expr(Expr::Map(map, _))) => keys.extend(map.0.iter().map(|(key, _)| key.name.to_string())),
            Some(ASTNode::Expr(Expr::Property(property, _))) => {
                keys.insert(property.2.to_string());
            }
            Some(ASTNode::Expr(Expr::Index(index, ..))) => {
                if let Expr::StringConstant(key, _) = &index.rhs {
                    keys.insert(key.to_string());
                }
            }
            _ => {}
        });
    }
    keys
}

/// Returns whether the compiler found no variable of this name in the code around it.
fn is_unresolved(expression: &Expr) -> Option<(&ImmutableString, Position)> {
    match expression {
        Expr::Variable(variable, None, position) if variable.0.is_none() && variable.2.is_empty() => {
            Some((&variable.1, *position))
        }
        _ => None,
    }
}

/// Returns the module among those loaded that a chain of names leads to.
fn follow<'m>(module: &'m Module, path: &[rhai::Ident]) -> Option<&'m Module> {
    path.iter().try_fold(module, |module, step| module.get_sub_module(&step.name))
}
