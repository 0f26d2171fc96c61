//! The trigger declarations in the source of a script, with their handlers.

use std::time::Duration;

use rhai::{ASTNode, Expr, FnCallExpr, FnPtr, Stmt};

use super::context::{LintContext, variable};
use crate::script::analyse::Unit;
use crate::triggers::KINDS;
use crate::units::parse_duration;

/// A trigger declaration.
pub(super) struct Handler {
    pub kind: &'static str,
    /// The text arguments, such as topics.
    pub texts: Vec<String>,
    pub timeout: Option<Duration>,
    /// The name of the handler function, if it is known.
    pub function: Option<String>,
}

impl Handler {
    /// Returns the triggers that the top level declares.
    pub(super) fn all(context: &LintContext<'_>) -> Vec<Self> {
        let mut handlers = Vec::new();
        let Some(top) = context.compiled.units.first() else { return handlers };
        top.visit(|path| {
            if let Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) = path.last() {
                handlers.extend(Self::of(call));
            }
        });
        handlers
    }

    fn of(call: &FnCallExpr) -> Option<Self> {
        let kind = KINDS.iter().find(|kind| !call.is_qualified() && kind.name == call.name.as_str())?;
        let texts = match call.args.first() {
            Some(Expr::StringConstant(text, _)) => vec![text.to_string()],
            Some(Expr::Array(items, _)) => items.iter().filter_map(text).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let options = call.args.iter().find_map(|argument| match argument {
            Expr::Map(map, _) => Some(&map.0),
            _ => None,
        });
        let timeout = options.and_then(|options| {
            let (_, value) = options.iter().find(|(name, _)| name.name == "timeout")?;
            parse_duration(text(value)?).ok()
        });
        Some(Self { kind: kind.name, texts, timeout, function: call.args.last().and_then(function) })
    }

    /// Returns whether the trigger calls this function.
    pub(super) fn calls(&self, unit: &Unit) -> bool {
        let name = unit.function.as_ref().map(|function| function.name.as_str());
        name.is_some() && self.function.as_deref() == name
    }
}

/// Returns the value of a text literal.
pub(super) fn text(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::StringConstant(text, _) => Some(text),
        _ => None,
    }
}

/// Returns the name of the function in an expression: a closure, with or without captures, or a named function.
fn function(expression: &Expr) -> Option<String> {
    match expression {
        Expr::DynamicConstant(value, _) => Some(value.read_lock::<FnPtr>()?.fn_name().to_owned()),
        Expr::FnCall(call, _) if call.name == "curry" => function(call.args.first()?),
        Expr::FnCall(call, _) if call.name == "Fn" => text(call.args.first()?).map(str::to_owned),
        Expr::Stmt(block) => match block.statements().last()? {
            Stmt::Expr(last) => function(last),
            Stmt::FnCall(call, _) if call.name == "curry" => function(call.args.first()?),
            _ => None,
        },
        other => variable(other).map(str::to_owned),
    }
}
