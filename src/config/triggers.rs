//! `triggers:`: any kind of trigger, bound to a job.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::binding::Binding;
use super::node::{Content, Entry, Node};
use super::report::Report;
use super::section::Section;
use crate::options::nearest;
use crate::secrets::Secret;
use crate::value::{Value, map_of};

/// Options, or parts of them, whose values are secret in every trigger kind.
const SECRET_OPTIONS: [&str; 4] = ["token", "hmac", "secret", "password"];

/// The name and the arguments of a trigger kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindInfo {
    /// Its name.
    pub name: &'static str,
    /// The names of the positional arguments.
    pub arguments: &'static [&'static str],
}

/// Reads the bindings. Options are not checked here; the trigger kind checks them.
pub(super) fn read(section: &mut Section<'_>, kinds: &[KindInfo]) -> Vec<Binding> {
    let description = "Triggers that are bound to jobs: scripts that run from top to bottom for each event.";
    let Some(node) = section.node("triggers", description, schema(kinds)) else { return Vec::new() };
    let Content::List(items) = &node.content else {
        section
            .reject("triggers", "write a list of items such as `- cron: \"0 7 * * *\"` with `job: nightly.rhai` below");
        return Vec::new();
    };
    items.iter().filter_map(|item| binding(item, kinds, section.report())).collect()
}

fn binding(item: &Node, kinds: &[KindInfo], report: &mut Report) -> Option<Binding> {
    let Content::Map(entries) = &item.content else {
        report.fault(&item.location, "write a trigger and its job: `cron: \"0 7 * * *\"` and `job: nightly.rhai`");
        return None;
    };
    let job = job(item, report);
    let job_location = item.entry("job").map(|entry| entry.node.location.clone()).unwrap_or_default();
    let (kind, entry) = kind(item, kinds, report)?;
    let arguments = arguments(kind, entry, report)?;
    hide_secrets(item, report);
    let options: Vec<_> = entries.iter().filter(|other| other.key != "job" && other.key != kind.name).collect();
    Some(Binding {
        location: item.location.clone(),
        job: job?,
        job_location,
        kind: kind.name.to_owned(),
        arguments,
        options: map_of(options.iter().map(|entry| (entry.key.clone(), entry.node.value()))),
        option_locations: map_of(options.iter().map(|entry| (entry.key.clone(), entry.location.clone()))),
        argument_location: if entry.node.is_null() { entry.location.clone() } else { entry.node.location.clone() },
        lines: BTreeMap::new(),
    })
}

/// Registers the values of secret options.
fn hide_secrets(node: &Node, report: &mut Report) {
    for entry in node.entries() {
        match &entry.node.content {
            Content::Scalar(scalar) if SECRET_OPTIONS.contains(&entry.key.as_str()) => {
                report.hide(Secret::new(scalar.text.as_str()));
            }
            _ => hide_secrets(&entry.node, report),
        }
    }
}

fn job(item: &Node, report: &mut Report) -> Option<String> {
    let Some(entry) = item.entry("job") else {
        report.fault(&item.location, "this trigger has no job: add `job: FILE.rhai`, a file in the scripts folder");
        return None;
    };
    let location = &entry.node.location;
    let Value::Text(file) = entry.node.value() else {
        if entry.node.content != Content::Invalid {
            report.fault(location, "`job`: write the file's name, such as `nightly.rhai`");
        }
        return None;
    };
    if !file.ends_with(".rhai") {
        report.fault(location, format!("`job`: {file:?} is not a script: write a file that ends in `.rhai`"));
        return None;
    }
    if file.starts_with('/') || file.contains('\\') || file.split('/').any(|part| matches!(part, "" | "." | "..")) {
        report.fault(
            location,
            format!("`job`: {file:?} is outside the scripts folder: write a path below it, with `/` as the separator"),
        );
        return None;
    }
    Some(file)
}

fn kind<'a>(item: &'a Node, kinds: &'a [KindInfo], report: &mut Report) -> Option<(&'a KindInfo, &'a Entry)> {
    let mut found = kinds.iter().filter_map(|kind| item.entry(kind.name).map(|entry| (kind, entry)));
    let Some(first) = found.next() else {
        let names = || kinds.iter().map(|kind| kind.name);
        let unknown = item.entries().iter().find_map(|entry| nearest(&entry.key, names()).map(|near| (entry, near)));
        match unknown {
            Some((entry, near)) => {
                report.fault(&entry.location, format!("unknown trigger `{}`: did you mean `{near}`?", entry.key));
            }
            None => {
                let names: Vec<_> = names().collect();
                report.fault(&item.location, format!("there is no trigger here: write one of {}", names.join(", ")));
            }
        }
        return None;
    };
    if let Some((second, entry)) = found.next() {
        let text =
            format!("`{}` is a second trigger beside `{}`: write it as a separate item", second.name, first.0.name);
        report.fault(&entry.location, text);
        return None;
    }
    Some(first)
}

/// Returns the positional arguments: none, one value (which may be a list), or a list with one value for each.
fn arguments(kind: &KindInfo, entry: &Entry, report: &mut Report) -> Option<Vec<Value>> {
    if entry.node.content == Content::Invalid {
        return None;
    }
    let value = entry.node.value();
    let names = kind.arguments.join(", ");
    let (arguments, wanted) = match (kind.arguments.len(), value) {
        (0, Value::Null | Value::Bool(true)) => (Some(Vec::new()), String::new()),
        (0, _) => (None, format!("leave it empty, `{}:`", kind.name)),
        (1, Value::Null) => (None, format!("write its {names}")),
        (1, value) => (Some(vec![value]), String::new()),
        (count, Value::List(values)) if values.len() == count => (Some(values), String::new()),
        _ => (None, format!("write a list of its {} values: [{names}]", kind.arguments.len())),
    };
    if arguments.is_none() {
        let location = if entry.node.is_null() { &entry.location } else { &entry.node.location };
        report.fault(location, format!("`{}`: {wanted}", kind.name));
    }
    arguments
}

/// Returns the JSON Schema of the list.
fn schema(kinds: &[KindInfo]) -> Json {
    let mut properties = json!({
        "job": { "type": "string", "description": "The script that runs for each event: a file in the scripts folder.", "pattern": "\\.rhai$" },
        "name": { "type": "string", "description": "The trigger's name in `fire`, lists and logs." },
        "mode": { "enum": ["queued", "single", "restart", "parallel"], "default": "queued", "description": "The concurrency mode: what happens to an event while the job runs." },
        "max": { "type": "integer", "minimum": 1, "description": "The queue length, or the number of parallel runs." },
        "overflow": { "enum": ["drop_oldest", "drop_newest", "latest_per_key"], "description": "The overflow policy of the queue." },
        "key": { "type": "string", "description": "The path of the key in the event, such as `params.id`." },
        "timeout": { "type": ["string", "number"], "description": "The timeout of a run." },
        "retry": { "type": ["integer", "object"], "description": "How failed runs are retried: max, delay, backoff." },
        "rate": { "type": "string", "description": "The rate limit, such as `10/1s`." },
        "enabled": { "type": "boolean", "default": true, "description": "Whether the trigger is active." },
    });
    for kind in kinds {
        let values: Vec<_> = kind.arguments.iter().map(|name| format!("`{name}`")).collect();
        let what = match values.len() {
            0 => "leave it empty".to_owned(),
            1 => values.concat(),
            _ => format!("a list of {}", values.join(", ")),
        };
        properties[kind.name] = json!({ "description": format!("The trigger `{}`: {what}.", kind.name) });
    }
    let one: Vec<_> = kinds.iter().map(|kind| json!({ "required": [kind.name] })).collect();
    let mut item = json!({ "type": "object", "properties": properties, "required": ["job"] });
    if !one.is_empty() {
        item["oneOf"] = one.into();
    }
    json!({ "type": ["array", "null"], "items": item })
}
