//! Messages that wake each other in a circle.

use rhai::{ASTNode, Expr, Position, Stmt};

use super::handlers::{Handler, text};
use super::{Find, Found, Lint, Look};
use crate::topic::Filter;

pub(super) const LINT: Lint =
    Lint { code: "mqtt-loop", docs: include_str!("docs/mqtt-loop.md"), find: Find::All(find) };

/// A handler of messages, with what it publishes on topics that are written out.
struct Link {
    look: usize,
    filters: Vec<Filter>,
    published: Vec<(String, Position)>,
}

impl Link {
    fn hears(&self, topic: &str) -> bool {
        self.filters.iter().any(|filter| filter.matches(topic).is_some())
    }
}

fn find(looks: &[Look<'_>], found: &mut Found<'_>) {
    let links: Vec<_> = looks.iter().enumerate().flat_map(|(at, look)| links(at, look)).collect();
    for (start, link) in links.iter().enumerate() {
        for (topic, position) in &link.published {
            // Told once, where the first of the circle's handlers publishes.
            let Some(circle) = circle(&links, start, topic).filter(|circle| circle.iter().all(|at| *at >= start))
            else {
                continue;
            };
            let others: Vec<_> =
                circle.iter().filter(|at| **at != start).map(|at| looks[links[*at].look].file).collect();
            let over = if others.is_empty() { String::new() } else { format!(" over {}", others.join(", ")) };
            let text = format!("a message on `{topic}` wakes this handler again{over}: a loop");
            let hint = "publish on another topic, or only when something has changed (`changed: true`)";
            found.put(&looks[link.look], *position, text, hint);
        }
    }
}

fn links(at: usize, look: &Look<'_>) -> Vec<Link> {
    let handlers = Handler::all(look);
    let of_messages = handlers.iter().filter(|handler| handler.kind == "mqtt_subscribe");
    of_messages
        .map(|handler| {
            let mut published = Vec::new();
            for unit in look.source.units.iter().filter(|unit| handler.wakes(unit)) {
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
            let filters = handler.texts.iter().filter_map(|filter| Filter::parse(filter).ok()).collect();
            Link { look: at, filters, published }
        })
        .collect()
}

/// Returns whether something is only done at times: then a circle may well end.
fn is_conditional(path: &[ASTNode<'_>]) -> bool {
    path.iter().any(|node| {
        matches!(
            node,
            ASTNode::Stmt(Stmt::If(..) | Stmt::Switch(..) | Stmt::While(..) | Stmt::For(..) | Stmt::TryCatch(..))
                | ASTNode::Expr(Expr::And(..) | Expr::Or(..) | Expr::Coalesce(..))
        )
    })
}

/// Returns the handlers through which a message on a topic comes back to the one that published it.
fn circle(links: &[Link], start: usize, topic: &str) -> Option<Vec<usize>> {
    let mut ways = vec![(topic, Vec::new())];
    let mut seen = Vec::new();
    while let Some((topic, way)) = ways.pop() {
        for (at, link) in links.iter().enumerate().filter(|(_, link)| link.hears(topic)) {
            if at == start {
                return Some(way);
            }
            if seen.contains(&at) {
                continue;
            }
            seen.push(at);
            let further: Vec<_> = way.iter().copied().chain([at]).collect();
            ways.extend(link.published.iter().map(|(topic, _)| (topic.as_str(), further.clone())));
        }
    }
    None
}
