//! A compiled file, split into its top level, functions and closures.

use std::collections::BTreeSet;

use rhai::{AST, ASTFlags, ASTNode, Expr, ImmutableString, Module, Position, ScriptFuncDef, Shared, Stmt};

use super::imports::Imported;
use super::known::{KnownFunctions, SCRIPT_FUNCTIONS};
use crate::fault::Fault;
use crate::script::files::Files;
use crate::script::handler;

/// A compiled file, split into units.
pub(in crate::script) struct CompiledFile<'s> {
    pub file: &'s str,
    pub files: &'s Files,
    /// Whether the file is a job, which has the variables `event` and `args`.
    pub is_job: bool,
    pub imported: &'s [Imported],
    /// The functions that the interpreter provides.
    pub known: &'static KnownFunctions,
    /// The top level first, then each function and closure.
    pub units: Vec<Unit>,
    /// The variables and constants of the top level.
    pub globals: Vec<Global>,
    /// Every key of a map, since a value in a map can be called like a method.
    pub keys: BTreeSet<String>,
}

/// A variable or constant of the top level.
pub(in crate::script) struct Global {
    pub name: String,
    pub is_constant: bool,
    pub position: Position,
}

/// Code with its own variables: the top level, a function or a closure.
pub(in crate::script) struct Unit {
    /// The function; `None` for the top level.
    pub function: Option<Shared<ScriptFuncDef>>,
    pub statements: Vec<Stmt>,
}

impl Unit {
    /// Returns whether the unit is a closure.
    pub(in crate::script) fn is_closure(&self) -> bool {
        self.function.as_ref().is_some_and(|function| function.name.starts_with("anon$"))
    }

    /// Returns the names of the parameters. Those of a closure begin with the captured variables.
    pub(in crate::script) fn parameters(&self) -> &[ImmutableString] {
        self.function.as_ref().map_or(&[], |function| &function.params)
    }

    /// Visits every node with its enclosing nodes, the outermost first.
    pub(in crate::script) fn visit(&self, mut on_node: impl FnMut(&[ASTNode<'_>])) {
        let mut path = Vec::new();
        for statement in &self.statements {
            statement.walk(&mut path, &mut |path| {
                on_node(path);
                true
            });
        }
    }
}

impl<'s> CompiledFile<'s> {
    /// Splits a compiled file into units.
    pub(in crate::script) fn new(
        ast: &AST,
        file: &'s str,
        files: &'s Files,
        is_job: bool,
        imported: &'s [Imported],
    ) -> Self {
        let top_level = Unit { function: None, statements: ast.statements().to_vec() };
        let functions = ast
            .shared_lib()
            .iter_script_fn_info()
            .map(|(.., function)| Unit { statements: handler::statements(function), function: Some(function.clone()) });
        let units: Vec<_> = std::iter::once(top_level).chain(functions).collect();
        let keys = keys(&units);
        let globals = globals(ast.statements());
        Self { file, files, is_job, imported, known: &SCRIPT_FUNCTIONS, globals, units, keys }
    }

    /// Returns the functions and closures of the file.
    pub(in crate::script) fn functions(&self) -> impl Iterator<Item = &Shared<ScriptFuncDef>> {
        self.units.iter().filter_map(|unit| unit.function.as_ref())
    }

    /// Returns a fault at a position in the file.
    pub(in crate::script) fn fault(&self, position: Position, text: impl Into<String>) -> Fault {
        self.files.fault(self.file, position, text)
    }
}

/// Returns the variables and constants that the top level defines.
fn globals(statements: &[Stmt]) -> Vec<Global> {
    let defined = statements.iter().filter_map(|statement| match statement {
        Stmt::Var(variable, flags, _) => Some(Global {
            name: variable.0.name.to_string(),
            is_constant: flags.contains(ASTFlags::CONSTANT),
            position: variable.0.pos,
        }),
        _ => None,
    });
    defined.collect()
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

/// Returns the name and position of a variable that the compiler did not resolve.
pub(in crate::script) fn unresolved(expression: &Expr) -> Option<(&ImmutableString, Position)> {
    match expression {
        Expr::Variable(variable, None, position) if variable.0.is_none() && variable.2.is_empty() => {
            Some((&variable.1, *position))
        }
        _ => None,
    }
}

/// Returns the nested module at a path.
pub(in crate::script) fn submodule<'m>(module: &'m Module, path: &[rhai::Ident]) -> Option<&'m Module> {
    path.iter().try_fold(module, |module, step| module.get_sub_module(&step.name))
}
