//! The keys of a map. Each key is declared once: that reads its value, applies the default, and adds it to the JSON Schema.

use serde_json::{Map as JsonMap, Value as Json, json};

use super::node::{Content, Entry, Node, Scalar, Style};
use super::report::Report;
use super::value_type::ValueType;
use crate::fault::SourceLocation;
use crate::options::nearest;

/// The keys of a map.
pub(super) struct Section<'a> {
    path: String,
    node: Option<&'a Node>,
    report: &'a mut Report,
    described: JsonMap<String, Json>,
    renamed: Vec<(&'static str, &'static str)>,
}

impl<'a> Section<'a> {
    /// Creates a reader for a map, or for none. The path precedes key names in faults.
    pub(super) fn new(path: impl Into<String>, node: Option<&'a Node>, report: &'a mut Report) -> Self {
        let path = path.into();
        let node = node.filter(|node| !node.is_null());
        if let Some(node) = node
            && !matches!(node.content, Content::Map(_))
        {
            let what = if path.is_empty() { "the config".to_owned() } else { format!("`{path}`") };
            report.fault(
                &node.location,
                format!("{what} must be a map: write `key: value` lines, not {}", kind_of(node)),
            );
        }
        Self { path, node, report, described: JsonMap::new(), renamed: Vec::new() }
    }

    /// Reports unknown keys and returns the JSON Schema.
    pub(super) fn finish(self) -> Json {
        for entry in self.node.map(Node::entries).unwrap_or_default() {
            if self.described.contains_key(&entry.key) {
                continue;
            }
            let renamed = self.renamed.iter().find(|(old, _)| *old == entry.key);
            let near = nearest(&entry.key, self.described.keys().map(String::as_str));
            let hint = match (renamed, near) {
                (Some((_, new)), _) => format!("its name is now `{}`", join(&self.path, new)),
                (None, Some(near)) => format!("did you mean `{}`?", join(&self.path, near)),
                (None, None) => {
                    let known: Vec<_> = self.described.keys().map(String::as_str).collect();
                    format!("known here are {}", known.join(", "))
                }
            };
            self.report.fault(&entry.location, format!("unknown key `{}`: {hint}", join(&self.path, &entry.key)));
        }
        json!({ "type": ["object", "null"], "properties": self.described, "additionalProperties": false })
    }

    /// Registers the former name of a key, so that the fault about it gives the new name.
    pub(super) fn rename(&mut self, old: &'static str, new: &'static str) {
        self.renamed.push((old, new));
    }

    /// Returns the location of a key's value, if it is present.
    pub(super) fn location(&self, name: &str) -> Option<SourceLocation> {
        self.entry(name).map(|entry| entry.node.location.clone())
    }

    /// Returns whether a key is present.
    pub(super) fn is_written(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// Returns a key's value as unparsed text.
    pub(super) fn raw_text(&self, name: &str) -> Option<&'a str> {
        match &self.entry(name)?.node.content {
            Content::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// Adds a fault at a key's value.
    pub(super) fn reject(&mut self, name: &str, why: &str) {
        if let Some(location) = self.location(name) {
            self.report.fault(&location, format!("`{}`: {why}", join(&self.path, name)));
        }
    }

    /// Returns the report.
    pub(super) fn report(&mut self) -> &mut Report {
        self.report
    }

    /// Reads a value, or its default.
    pub(super) fn value<T>(
        &mut self,
        name: &'static str,
        default: &str,
        description: &str,
        value_type: &ValueType<T>,
    ) -> T {
        let default = Scalar { text: default.to_owned(), style: Style::Plain };
        self.describe(name, description, value_type.schema.clone(), Some(default.value().to_json()));
        let entry = self.entry(name).and_then(|entry| self.scalar(name, &entry.node, value_type));
        entry.unwrap_or_else(|| (value_type.read)(&default).expect("a test reads every default"))
    }

    /// Reads an optional value.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        description: &str,
        value_type: &ValueType<T>,
    ) -> Option<T> {
        self.describe(name, description, value_type.schema.clone(), None);
        self.entry(name).and_then(|entry| self.scalar(name, &entry.node, value_type))
    }

    /// Reads a list of values, or a single one.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        description: &str,
        value_type: &ValueType<T>,
    ) -> Option<Vec<T>> {
        let schema = json!({ "anyOf": [{ "type": "array", "items": value_type.schema }, value_type.schema] });
        self.describe(name, description, schema, None);
        let node = &self.entry(name)?.node;
        let items = match &node.content {
            Content::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        Some(items.iter().filter_map(|item| self.scalar(name, item, value_type)).collect())
    }

    /// Reads a nested section.
    pub(super) fn section<T>(
        &mut self,
        name: &'static str,
        description: &str,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        let node = self.entry(name).map(|entry| &entry.node);
        let mut keys = Section::new(join(&self.path, name), node, self.report);
        let value = read(&mut keys);
        let schema = keys.finish();
        self.describe(name, description, schema, None);
        value
    }

    /// Reads a map with arbitrary names, whose values are sections of the same type.
    pub(super) fn sections<T>(
        &mut self,
        name: &'static str,
        description: &str,
        mut read: impl FnMut(&Entry, &mut Section<'_>) -> T,
    ) -> Vec<T> {
        let example = Entry {
            key: "*".into(),
            location: SourceLocation::default(),
            node: Node { location: SourceLocation::default(), content: Content::Invalid },
        };
        let mut ignored = Report::default();
        let mut keys = Section::new("", None, &mut ignored);
        read(&example, &mut keys);
        let schema = json!({ "type": ["object", "null"], "additionalProperties": keys.finish() });
        self.describe(name, description, schema, None);
        let mut values = Vec::new();
        for entry in self.entries(name) {
            let path = format!("{}.{:?}", join(&self.path, name), entry.key);
            let mut keys = Section::new(path, Some(&entry.node), self.report);
            values.push(read(entry, &mut keys));
            keys.finish();
        }
        values
    }

    /// Reads a map with arbitrary names, whose values have the same type.
    pub(super) fn map<T>(
        &mut self,
        name: &'static str,
        description: &str,
        value_type: &ValueType<T>,
    ) -> Vec<(&'a Entry, T)> {
        let schema = json!({ "type": ["object", "null"], "additionalProperties": value_type.schema });
        self.describe(name, description, schema, None);
        let mut values = Vec::new();
        for entry in self.entries(name) {
            if let Some(value) = self.scalar(&format!("{name}.{}", entry.key), &entry.node, value_type) {
                values.push((entry, value));
            }
        }
        values
    }

    /// Returns the node of a key that the caller reads.
    pub(super) fn node(&mut self, name: &'static str, description: &str, schema: Json) -> Option<&'a Node> {
        self.describe(name, description, schema, None);
        self.entry(name).map(|entry| &entry.node)
    }

    fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.node?.entry(name).filter(|entry| !entry.node.is_null())
    }

    fn entries(&mut self, name: &str) -> &'a [Entry] {
        let Some(entry) = self.entry(name) else { return &[] };
        if !matches!(entry.node.content, Content::Map(_)) {
            self.reject(name, &format!("write `name: value` lines, not {}", kind_of(&entry.node)));
        }
        entry.node.entries()
    }

    fn scalar<T>(&mut self, name: &str, node: &Node, value_type: &ValueType<T>) -> Option<T> {
        let path = join(&self.path, name);
        if value_type.is_secret {
            self.report.hide_line(&node.location);
        }
        match &node.content {
            Content::Scalar(scalar) => {
                if value_type.is_secret {
                    self.report.hide(crate::secrets::Secret::new(scalar.text.as_str()));
                }
                (value_type.read)(scalar)
                    .map_err(|why| self.report.fault(&node.location, format!("`{path}`: {why}")))
                    .ok()
            }
            Content::Invalid => None,
            Content::List(_) | Content::Map(_) => {
                self.report.fault(&node.location, format!("`{path}`: write a single value, not {}", kind_of(node)));
                None
            }
        }
    }

    fn describe(&mut self, name: &str, description: &str, mut schema: Json, default: Option<Json>) {
        schema["description"] = description.into();
        if let Some(default) = default {
            schema["default"] = default;
        }
        self.described.insert(name.to_owned(), schema);
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Returns the type of a node, for messages.
fn kind_of(node: &Node) -> &'static str {
    match &node.content {
        Content::Scalar(_) => "a single value",
        Content::List(_) => "a list",
        Content::Map(_) => "a map",
        Content::Invalid => "this",
    }
}
