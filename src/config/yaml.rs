//! Parses YAML into nodes with locations. Duplicate and ambiguous input is rejected.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::node::{Content, Entry, Node, Scalar, Style};
use super::report::Report;
use crate::fault::SourceLocation;
use crate::units::show_size;

const MAX_BYTES: usize = 1 << 20;
const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 100_000;

/// Parses a document; `None`: it is empty or invalid.
pub(super) fn parse(text: &str, report: &mut Report) -> Option<Node> {
    if text.len() > MAX_BYTES {
        let (size, limit) = (show_size(text.len() as u64), show_size(MAX_BYTES as u64));
        report.fault(&report.location(0, 0), format!("the file has {size}; the limit is {limit}"));
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

/// A list or map whose end has not been reached.
struct OpenCollection {
    node: Node,
    anchor: usize,
    /// The key of the next value; `Some(None)`: an invalid key.
    key: Option<Option<(String, SourceLocation)>>,
    /// The keys and their lines.
    keys: HashMap<String, usize>,
}

struct Builder<'a> {
    report: &'a mut Report,
    open: Vec<OpenCollection>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    documents: usize,
}

impl Builder<'_> {
    /// Processes the next event; `None`: parsing cannot continue.
    fn take(&mut self, event: Event<'_>, start: Marker) -> Option<()> {
        let location = self.report.location(start.line(), start.col() + 1);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.report.fault(&location, "a second document starts here: use a single document");
                    return None;
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let style = if style == ScalarStyle::Plain { Style::Plain } else { Style::Quoted };
                let style = self.check_tag(tag.as_deref(), &location, style);
                let scalar = Scalar { text: text.into_owned(), style };
                self.add(Node { location, content: Content::Scalar(scalar) }, anchor)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.start(location, Content::List(Vec::new()), anchor, tag.as_deref())?
            }
            Event::MappingStart(anchor, tag) => {
                self.start(location, Content::Map(Vec::new()), anchor, tag.as_deref())?
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let OpenCollection { node, anchor, .. } = self.open.pop()?;
                self.add(node, anchor)?;
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    self.report.fault(&location, "a value cannot be part of itself");
                    return None;
                };
                self.nodes += node.size();
                self.add(node, 0)?;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Some(())
    }

    fn start(&mut self, location: SourceLocation, content: Content, anchor: usize, tag: Option<&Tag>) -> Option<()> {
        self.check_tag(tag, &location, Style::Quoted);
        if self.open.len() >= MAX_DEPTH {
            self.report.fault(&location, format!("nested deeper than {MAX_DEPTH} levels"));
            return None;
        }
        self.open.push(OpenCollection { node: Node { location, content }, anchor, key: None, keys: HashMap::new() });
        Some(())
    }

    /// Adds a complete node to its parent.
    fn add(&mut self, node: Node, anchor: usize) -> Option<()> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            self.report
                .fault(&node.location, format!("the file has more than {MAX_NODES} values after expanding aliases"));
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
                Some(Some((key, location))) => entries.push(Entry { key, location, node }),
                Some(None) => {}
            },
            Content::Scalar(_) | Content::Invalid => {}
        }
        Some(())
    }

    /// Returns the style after applying a tag; unsupported tags are rejected.
    fn check_tag(&mut self, tag: Option<&Tag>, location: &SourceLocation, style: Style) -> Style {
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
                    location,
                    format!(
                        "the tag `{tag}` is not supported: write `${{NAME}}` for a variable or `${{file:PATH}}` for the content of a file"
                    ),
                );
                style
            }
        }
    }

    fn syntax(&mut self, marker: &Marker, info: &str) {
        let location = self.report.location(marker.line(), marker.col() + 1);
        let line = self.report.line(&location).unwrap_or_default().to_owned();
        if info.contains("recursion limit") {
            self.report.fault(&location, format!("nested deeper than {MAX_DEPTH} levels"));
            return;
        }
        if line.contains("password") {
            self.report.hide_line(&location);
        }
        let hint = if line.trim_start_matches(' ').starts_with('\t') {
            "indent with spaces, not with tabs"
        } else if info.contains("mapping values are not allowed") {
            "check the indentation; a value that contains `: ` needs quotes"
        } else if info.contains("unknown anchor") || line.contains(['@', '%', '`']) {
            "a key or value that starts with `*`, `@`, `&`, `!`, `%` or a backtick needs quotes"
        } else {
            "check quotes, brackets and indentation above this place"
        };
        self.report.fault_with_hint(&location, format!("invalid YAML: {info}"), hint);
    }
}

fn read_key(node: Node, keys: &mut HashMap<String, usize>, report: &mut Report) -> Option<(String, SourceLocation)> {
    let Content::Scalar(scalar) = node.content else {
        report.fault(&node.location, "a key must be a single value: quote it if it contains brackets or braces");
        return None;
    };
    if scalar.text == "<<" && scalar.style == Style::Plain {
        report.fault(&node.location, "merge keys (`<<`) are not supported: repeat the keys");
        return None;
    }
    if let Some(line) = keys.get(&scalar.text) {
        let text = format!("the key `{}` is written twice, first on line {line}: keep one", scalar.text);
        report.fault(&node.location, text);
        return None;
    }
    keys.insert(scalar.text.clone(), node.location.line);
    Some((scalar.text, node.location))
}
