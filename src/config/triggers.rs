//! `triggers:`: any kind of trigger, bound to a job.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::node::{Content, Entry, Node};
use super::report::Report;
use super::section::Section;
use super::{Binding, KindInfo};
use crate::options::nearest;
use crate::secrets::Secret;
use crate::value::{Value, map_of};

/// Options, or parts of them, that hold a secret, whatever the kind.
const SECRET_OPTIONS: [&str; 4] = ["token", "hmac", "secret", "password"];

/// Reads the bindings. Options are kept as they are: who knows the kind checks them.
pub(super) fn read(keys: &mut Section<'_>, kinds: &[KindInfo]) -> Vec<Binding> {
    let about = "Triggers bound to jobs: scripts that run whole, each time.";
    let Some(node) = keys.node("triggers", about, description(kinds)) else { return Vec::new() };
    let Content::List(items) = &node.content else {
        keys.refuse("triggers", "write a list of items such as `- cron: \"0 7 * * *\"` with `job: nightly.rhai` below");
        return Vec::new();
    };
    items.iter().filter_map(|item| binding(item, kinds, keys.report())).collect()
}

fn binding(item: &Node, kinds: &[KindInfo], report: &mut Report) -> Option<Binding> {
    let Content::Map(entries) = &item.content else {
        report.fault(&item.place, "write a trigger and its job: `cron: \"0 7 * * *\"` and `job: nightly.rhai`");
        return None;
    };
    let job = job(item, report);
    let job_place = item.entry("job").map(|entry| entry.node.place.clone()).unwrap_or_default();
    let (kind, entry) = kind(item, kinds, report)?;
    let arguments = arguments(kind, entry, report)?;
    hide_secrets(item, report);
    let options: Vec<_> = entries.iter().filter(|other| other.key != "job" && other.key != kind.name).collect();
    Some(Binding {
        place: item.place.clone(),
        job: job?,
        job_place,
        kind: kind.name.to_owned(),
        arguments,
        options: map_of(options.iter().map(|entry| (entry.key.clone(), entry.node.value()))),
        option_places: map_of(options.iter().map(|entry| (entry.key.clone(), entry.place.clone()))),
        argument_place: if entry.node.is_null() { entry.place.clone() } else { entry.node.place.clone() },
        lines: BTreeMap::new(),
    })
}

/// Keeps the values of options that hold a secret out of all that is shown.
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
        report.fault(&item.place, "this trigger has no job: add `job: FILE.rhai`, a file in the scripts folder");
        return None;
    };
    let place = &entry.node.place;
    let Value::Text(file) = entry.node.value() else {
        if entry.node.content != Content::Refused {
            report.fault(place, "`job`: write the file's name, such as `nightly.rhai`");
        }
        return None;
    };
    if !file.ends_with(".rhai") {
        report.fault(place, format!("`job`: {file:?} is no script: write a file that ends in `.rhai`"));
        return None;
    }
    if file.starts_with('/') || file.contains('\\') || file.split('/').any(|part| matches!(part, "" | "." | "..")) {
        report.fault(
            place,
            format!("`job`: {file:?} leaves the scripts folder: write a path below it, with `/` between"),
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
                report.fault(&entry.place, format!("unknown trigger `{}`: did you mean `{near}`?", entry.key));
            }
            None => {
                let names: Vec<_> = names().collect();
                report.fault(&item.place, format!("no trigger is named here: write one of {}", names.join(", ")));
            }
        }
        return None;
    };
    if let Some((second, entry)) = found.next() {
        let text =
            format!("`{}` is a second trigger beside `{}`: give it an item of its own", second.name, first.0.name);
        report.fault(&entry.place, text);
        return None;
    }
    Some(first)
}

/// Returns what comes before the options: nothing, one value (which may be a list), or a list with one value for each.
fn arguments(kind: &KindInfo, entry: &Entry, report: &mut Report) -> Option<Vec<Value>> {
    if entry.node.content == Content::Refused {
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
        let place = if entry.node.is_null() { &entry.place } else { &entry.node.place };
        report.fault(place, format!("`{}`: {wanted}", kind.name));
    }
    arguments
}

/// Describes an item of the list for editors.
fn description(kinds: &[KindInfo]) -> Json {
    let mut properties = json!({
        "job": { "type": "string", "description": "The script that runs whole each time: a file in the scripts folder.", "pattern": "\\.rhai$" },
        "name": { "type": "string", "description": "The trigger's name for `fire`, lists and logs." },
        "mode": { "enum": ["queued", "single", "restart", "parallel"], "default": "queued", "description": "What happens while the job is busy." },
        "max": { "type": "integer", "minimum": 1, "description": "The queue's length, or the number of parallel runs." },
        "overflow": { "enum": ["drop_oldest", "drop_newest", "latest_per_key"], "description": "What gives way when the queue is full." },
        "key": { "type": "string", "description": "The part of the event that tells keys apart, such as `params.id`." },
        "timeout": { "type": ["string", "number"], "description": "How long one run may take." },
        "retry": { "type": ["integer", "object"], "description": "How often and how fast failed runs are tried again: max, delay, backoff." },
        "rate": { "type": "string", "description": "At most so many events in so long, such as `10/1s`." },
        "enabled": { "type": "boolean", "default": true, "description": "Whether it listens at all." },
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
