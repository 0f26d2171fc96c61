//! Handlers whose published messages trigger them again.

use rhai::{ASTNode, Expr, Position, Stmt};

use super::context::{Check, Findings, Lint, LintContext};
use super::handlers::{Handler, text};
use crate::topic::Filter;

pub(super) const LINT: Lint =
    Lint { code: "mqtt-loop", docs: include_str!("docs/mqtt-loop.md"), check: Check::All(check) };

/// An MQTT handler, with the literal topics that it publishes to.
struct MqttHandler {
    context: usize,
    filters: Vec<Filter>,
    published: Vec<(String, Position)>,
}

impl MqttHandler {
    fn receives(&self, topic: &str) -> bool {
        self.filters.iter().any(|filter| filter.is_match(topic))
    }
}

fn check(contexts: &[LintContext<'_>], findings: &mut Findings<'_>) {
    let handlers: Vec<_> =
        contexts.iter().enumerate().flat_map(|(index, context)| mqtt_handlers(index, context)).collect();
    for (start, handler) in handlers.iter().enumerate() {
        for (topic, position) in &handler.published {
            // A loop is reported once, at its first handler.
            let path = loop_path(&handlers, start, topic).filter(|path| path.iter().all(|index| *index >= start));
            let Some(path) = path else { continue };
            let others: Vec<_> = path
                .iter()
                .filter(|index| **index != start)
                .map(|index| contexts[handlers[*index].context].file)
                .collect();
            let via = if others.is_empty() { String::new() } else { format!(" through {}", others.join(", ")) };
            let text = format!("a message on `{topic}` triggers this handler again{via}: a loop");
            let hint = "publish to another topic, or only after a change (`changed: true`)";
            findings.add(&contexts[handler.context], *position, text, hint);
        }
    }
}

fn mqtt_handlers(index: usize, context: &LintContext<'_>) -> Vec<MqttHandler> {
    let triggers = Handler::all(context);
    let subscriptions = triggers.iter().filter(|trigger| trigger.kind == "mqtt_subscribe");
    subscriptions
        .map(|trigger| {
            let mut published = Vec::new();
            for unit in context.compiled.units.iter().filter(|unit| trigger.calls(unit)) {
                unit.visit(|path| {
                    if let Some(
                        ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position)),
                    ) = path.last()
                        && call.name == "mqtt_publish"
                        && !is_conditional(path)
                    {
                        published.extend(call.args.first().and_then(text).map(|topic| (topic.to_owned(), *position)));
                    }
                });
            }
            let filters = trigger.texts.iter().filter_map(|filter| Filter::parse(filter).ok()).collect();
            MqttHandler { context: index, filters, published }
        })
        .collect()
}

/// Returns whether a node is not always executed, so that a loop may end.
fn is_conditional(path: &[ASTNode<'_>]) -> bool {
    path.iter().any(|node| {
        matches!(
            node,
            ASTNode::Stmt(Stmt::If(..) | Stmt::Switch(..) | Stmt::While(..) | Stmt::For(..) | Stmt::TryCatch(..))
                | ASTNode::Expr(Expr::And(..) | Expr::Or(..) | Expr::Coalesce(..))
        )
    })
}

/// Returns the handlers through which a message on a topic leads back to the handler that published it.
fn loop_path(handlers: &[MqttHandler], start: usize, topic: &str) -> Option<Vec<usize>> {
    let mut paths = vec![(topic, Vec::new())];
    let mut seen = Vec::new();
    while let Some((topic, path)) = paths.pop() {
        for (index, handler) in handlers.iter().enumerate().filter(|(_, handler)| handler.receives(topic)) {
            if index == start {
                return Some(path);
            }
            if seen.contains(&index) {
                continue;
            }
            seen.push(index);
            let longer: Vec<_> = path.iter().copied().chain([index]).collect();
            paths.extend(handler.published.iter().map(|(topic, _)| (topic.as_str(), longer.clone())));
        }
    }
    None
}
