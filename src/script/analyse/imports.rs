//! Finds the import statements of a file.

use rhai::{AST, ASTNode, Expr, Module, Position, Shared, Stmt};

/// An import statement.
pub(in crate::script) struct Import {
    /// The path, if it is a plain text.
    pub path: Option<String>,
    pub alias: String,
    pub position: Position,
}

/// An import whose module was loaded, or failed to load.
pub(in crate::script) struct Imported {
    pub alias: String,
    pub file: String,
    /// The module, unless it has faults.
    pub module: Option<Shared<Module>>,
}

/// Returns every import of a file, including those inside functions.
pub(in crate::script) fn imports(ast: &AST) -> Vec<Import> {
    let mut imports = Vec::new();
    ast.walk(&mut |path| {
        if let Some(ASTNode::Stmt(Stmt::Import(import, position))) = path.last() {
            let path = match &import.0 {
                Expr::StringConstant(path, _) => Some(path.to_string()),
                _ => None,
            };
            let position = if import.0.start_position().is_none() { *position } else { import.0.start_position() };
            imports.push(Import { path, alias: import.1.name.to_string(), position });
        }
        true
    });
    imports
}
