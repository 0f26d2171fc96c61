//! YAML text to nodes with places: everything that could be read twice or in two ways is refused.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::node::{Content, Entry, Node, Scalar, Style};
use super::report::Report;
use crate::fault::SourceLocation;
use crate::units::show_size;

const MAX_BYTES: usize = 1 << 20;
const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 100_000;

/// Reads the document; `None` if there is none or it could not be read to its end.
pub(super) fn parse(text: &str, report: &mut Report) -> Option<Node> {
    if text.len() > MAX_BYTES {
        let (size, limit) = (show_size(text.len() as u64), show_size(MAX_BYTES as u64));
        report.fault(&report.place(0, 0), format!("the file has {size}, {limit} is the limit"));
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder { report, open: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None, documents: 0 };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => builder.take(event, span.start)?,
            Err(error) => {
                builder.syntax(error.marker(), error.info());
                return None;
            }
        }
    }
    builder.root
}

/// A list or map that has not ended yet.
struct Open {
    node: Node,
    anchor: usize,
    /// The key that waits for its value; `None` inside for a key that was refused.
    key: Option<Option<(String, SourceLocation)>>,
    /// The keys so far, and their lines.
    keys: HashMap<String, usize>,
}

struct Builder<'a> {
    report: &'a mut Report,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    documents: usize,
}

impl Builder<'_> {
    /// Takes the next event; `None` if it makes no sense to go on.
    fn take(&mut self, event: Event<'_>, start: Marker) -> Option<()> {
        let place = self.report.place(start.line(), start.col() + 1);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.report.fault(&place, "a second document starts here: write everything into one");
                    return None;
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let style = if style == ScalarStyle::Plain { Style::Plain } else { Style::Quoted };
                let style = self.check_tag(tag.as_deref(), &place, style);
                let scalar = Scalar { text: text.into_owned(), style };
                self.add(Node { place, content: Content::Scalar(scalar) }, anchor)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.start(place, Content::List(Vec::new()), anchor, tag.as_deref())?
            }
            Event::MappingStart(anchor, tag) => self.start(place, Content::Map(Vec::new()), anchor, tag.as_deref())?,
            Event::SequenceEnd | Event::MappingEnd => {
                let Open { node, anchor, .. } = self.open.pop()?;
                self.add(node, anchor)?;
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    self.report.fault(&place, "a value cannot be part of itself");
                    return None;
                };
                self.nodes += node.size();
                self.add(node, 0)?;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Some(())
    }

    fn start(&mut self, place: SourceLocation, content: Content, anchor: usize, tag: Option<&Tag>) -> Option<()> {
        self.check_tag(tag, &place, Style::Quoted);
        if self.open.len() >= MAX_DEPTH {
            self.report.fault(&place, format!("this nests deeper than {MAX_DEPTH} levels"));
            return None;
        }
        self.open.push(Open { node: Node { place, content }, anchor, key: None, keys: HashMap::new() });
        Some(())
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Option<()> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            self.report.fault(&node.place, format!("the file has more than {MAX_NODES} values, aliases counted out"));
            return None;
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        match &mut open.node.content {
            Content::List(items) => items.push(node),
            Content::Map(entries) => match open.key.take() {
                None => open.key = Some(read_key(node, &mut open.keys, self.report)),
                Some(Some((key, place))) => entries.push(Entry { key, place, node }),
                Some(None) => {}
            },
            Content::Scalar(_) | Content::Refused => {}
        }
        Some(())
    }

    /// Returns the style that a tag leaves, and refuses tags that mean something elsewhere only.
    fn check_tag(&mut self, tag: Option<&Tag>, place: &SourceLocation, style: Style) -> Style {
        match tag {
            None => style,
            Some(tag) if tag.is_yaml_core_schema() => {
                if tag.suffix == "str" {
                    Style::Quoted
                } else {
                    style
                }
            }
            Some(tag) => {
                self.report.fault(
                    place,
                    format!(
                        "the tag `{tag}` means nothing here: write `${{NAME}}` for a variable or `${{file:PATH}}` for a file's content"
                    ),
                );
                style
            }
        }
    }

    fn syntax(&mut self, marker: &Marker, info: &str) {
        let place = self.report.place(marker.line(), marker.col() + 1);
        let line = self.report.line(&place).unwrap_or_default().to_owned();
        if info.contains("recursion limit") {
            self.report.fault(&place, format!("this nests deeper than {MAX_DEPTH} levels"));
            return;
        }
        if line.contains("password") {
            self.report.hide_line(&place);
        }
        let hint = if line.trim_start_matches(' ').starts_with('\t') {
            "indent with spaces, not with tabs"
        } else if info.contains("mapping values are not allowed") {
            "check the indentation; a value that holds `: ` needs quotes"
        } else if info.contains("unknown anchor") || line.contains(['@', '%', '`']) {
            "a key or value that starts with `*`, `@`, `&`, `!`, `%` or a backtick needs quotes"
        } else {
            "check quotes, brackets and indentation above this place"
        };
        self.report.fault_with_hint(&place, format!("this is no YAML: {info}"), hint);
    }
}

fn read_key(node: Node, keys: &mut HashMap<String, usize>, report: &mut Report) -> Option<(String, SourceLocation)> {
    let Content::Scalar(scalar) = node.content else {
        report.fault(&node.place, "a key is a word: put quotes around it if it holds brackets or braces");
        return None;
    };
    if scalar.text == "<<" && scalar.style == Style::Plain {
        report.fault(&node.place, "merge keys (`<<`) are not understood: write the keys out");
        return None;
    }
    if let Some(line) = keys.get(&scalar.text) {
        let text = format!("the key `{}` is written twice, first on line {line}: keep one", scalar.text);
        report.fault(&node.place, text);
        return None;
    }
    keys.insert(scalar.text.clone(), node.place.line);
    Some((scalar.text, node.place))
}
