//! The keys of a map: each is asked for once, and is thereby read, given its default, described for editors and known.

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
    /// Starts on a map, or on none. The path is what stands before a key's name in faults.
    pub(super) fn new(path: impl Into<String>, node: Option<&'a Node>, report: &'a mut Report) -> Self {
        let path = path.into();
        let node = node.filter(|node| !node.is_null());
        if let Some(node) = node
            && !matches!(node.content, Content::Map(_))
        {
            let what = if path.is_empty() { "the config".to_owned() } else { format!("`{path}`") };
            report.fault(&node.place, format!("{what} is a map: write `key: value` lines, not {}", sort(node)));
        }
        Self { path, node, report, described: JsonMap::new(), renamed: Vec::new() }
    }

    /// Refuses the keys nobody asked for, and returns the description of those that were.
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
            self.report.fault(&entry.place, format!("unknown key `{}`: {hint}", join(&self.path, &entry.key)));
        }
        json!({ "type": ["object", "null"], "properties": self.described, "additionalProperties": false })
    }

    /// Registers the former name of a key, so that the fault about it gives the new name.
    pub(super) fn rename(&mut self, old: &'static str, new: &'static str) {
        self.renamed.push((old, new));
    }

    /// Returns where a key's value stands, if it is written.
    pub(super) fn place(&self, name: &str) -> Option<SourceLocation> {
        self.written(name).map(|entry| entry.node.place.clone())
    }

    /// Returns whether a key is written.
    pub(super) fn is_written(&self, name: &str) -> bool {
        self.written(name).is_some()
    }

    /// Returns a key's value as text, unread.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        match &self.written(name)?.node.content {
            Content::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// Notes a fault of a key's value.
    pub(super) fn refuse(&mut self, name: &str, why: &str) {
        if let Some(place) = self.place(name) {
            self.report.fault(&place, format!("`{}`: {why}", join(&self.path, name)));
        }
    }

    /// Returns where faults are noted.
    pub(super) fn report(&mut self) -> &mut Report {
        self.report
    }

    /// Reads a value, or its default.
    pub(super) fn or<T>(&mut self, name: &'static str, default: &str, about: &str, shape: &ValueType<T>) -> T {
        let default = Scalar { text: default.to_owned(), style: Style::Plain };
        self.describe(name, about, shape.schema.clone(), Some(default.value().to_json()));
        let written = self.written(name).and_then(|entry| self.scalar(name, &entry.node, shape));
        written.unwrap_or_else(|| (shape.read)(&default).expect("a test reads every default"))
    }

    /// Reads a value that may be left out.
    pub(super) fn maybe<T>(&mut self, name: &'static str, about: &str, shape: &ValueType<T>) -> Option<T> {
        self.describe(name, about, shape.schema.clone(), None);
        self.written(name).and_then(|entry| self.scalar(name, &entry.node, shape))
    }

    /// Reads a list of values, or a single one.
    pub(super) fn list<T>(&mut self, name: &'static str, about: &str, shape: &ValueType<T>) -> Option<Vec<T>> {
        let schema = json!({ "anyOf": [{ "type": "array", "items": shape.schema }, shape.schema] });
        self.describe(name, about, schema, None);
        let node = &self.written(name)?.node;
        let items = match &node.content {
            Content::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        Some(items.iter().filter_map(|item| self.scalar(name, item, shape)).collect())
    }

    /// Reads a map of a map's own keys.
    pub(super) fn section<T>(
        &mut self,
        name: &'static str,
        about: &str,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        let node = self.written(name).map(|entry| &entry.node);
        let mut keys = Section::new(join(&self.path, name), node, self.report);
        let value = read(&mut keys);
        let schema = keys.finish();
        self.describe(name, about, schema, None);
        value
    }

    /// Reads a map whose names are free and whose values are maps; each is read the same way.
    pub(super) fn sections<T>(
        &mut self,
        name: &'static str,
        about: &str,
        mut read: impl FnMut(&Entry, &mut Section<'_>) -> T,
    ) -> Vec<T> {
        let example = Entry {
            key: "*".into(),
            place: SourceLocation::default(),
            node: Node { place: SourceLocation::default(), content: Content::Refused },
        };
        let mut ignored = Report::default();
        let mut keys = Section::new("", None, &mut ignored);
        read(&example, &mut keys);
        let schema = json!({ "type": ["object", "null"], "additionalProperties": keys.finish() });
        self.describe(name, about, schema, None);
        let mut values = Vec::new();
        for entry in self.entries(name) {
            let path = format!("{}.{:?}", join(&self.path, name), entry.key);
            let mut keys = Section::new(path, Some(&entry.node), self.report);
            values.push(read(entry, &mut keys));
            keys.finish();
        }
        values
    }

    /// Reads a map whose names are free and whose values have one shape.
    pub(super) fn pairs<T>(&mut self, name: &'static str, about: &str, shape: &ValueType<T>) -> Vec<(&'a Entry, T)> {
        let schema = json!({ "type": ["object", "null"], "additionalProperties": shape.schema });
        self.describe(name, about, schema, None);
        let mut values = Vec::new();
        for entry in self.entries(name) {
            if let Some(value) = self.scalar(&format!("{name}.{}", entry.key), &entry.node, shape) {
                values.push((entry, value));
            }
        }
        values
    }

    /// Returns what stands under a key that someone else reads.
    pub(super) fn node(&mut self, name: &'static str, about: &str, schema: Json) -> Option<&'a Node> {
        self.describe(name, about, schema, None);
        self.written(name).map(|entry| &entry.node)
    }

    fn written(&self, name: &str) -> Option<&'a Entry> {
        self.node?.entry(name).filter(|entry| !entry.node.is_null())
    }

    fn entries(&mut self, name: &str) -> &'a [Entry] {
        let Some(entry) = self.written(name) else { return &[] };
        if !matches!(entry.node.content, Content::Map(_)) {
            self.refuse(name, &format!("write `name: value` lines, not {}", sort(&entry.node)));
        }
        entry.node.entries()
    }

    fn scalar<T>(&mut self, name: &str, node: &Node, shape: &ValueType<T>) -> Option<T> {
        let path = join(&self.path, name);
        if shape.is_secret {
            self.report.hide_line(&node.place);
        }
        match &node.content {
            Content::Scalar(scalar) => {
                if shape.is_secret {
                    self.report.hide(crate::secrets::Secret::new(scalar.text.as_str()));
                }
                (shape.read)(scalar).map_err(|why| self.report.fault(&node.place, format!("`{path}`: {why}"))).ok()
            }
            Content::Refused => None,
            Content::List(_) | Content::Map(_) => {
                self.report.fault(&node.place, format!("`{path}`: write a single value, not {}", sort(node)));
                None
            }
        }
    }

    fn describe(&mut self, name: &str, about: &str, mut schema: Json, default: Option<Json>) {
        schema["description"] = about.into();
        if let Some(default) = default {
            schema["default"] = default;
        }
        self.described.insert(name.to_owned(), schema);
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Returns the words for what stands at a node.
fn sort(node: &Node) -> &'static str {
    match &node.content {
        Content::Scalar(_) => "a single value",
        Content::List(_) => "a list",
        Content::Map(_) => "a map",
        Content::Refused => "this",
    }
}
