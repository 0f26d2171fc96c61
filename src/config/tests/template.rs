//! The template, the schema and the difference of two configurations agree with the reader.

use super::{ConfigInput, KINDS, config};
use crate::config::{Level, schema, template, variables};

fn uncommented() -> String {
    template().lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_template_has_only_defaults_until_a_line_is_uncommented() {
    assert_eq!(template().lines().next(), Some("# yaml-language-server: $schema=rhaid.schema.json"));
    let config = config(template());
    assert!(config.difference(&super::config("")).is_empty());
}

#[test]
fn every_example_of_the_template_is_valid() {
    let text = uncommented().replacen("yaml-language-server:", "# yaml-language-server:", 1);
    let config = config(&text);
    assert_eq!(config.limits, super::config("").limits, "the limits shown are the defaults");
    assert_eq!(config.history, super::config("").history, "so are the limits of the run history");
    assert_eq!(config.log.level_of("garden/water"), Level::Debug);
    assert_eq!(config.triggers.len(), 2);
    let mut document = text;
    for (key, _) in variables() {
        let name = format!("{}:", key.rsplit('.').next().unwrap());
        assert!(document.contains(&name), "`{key}` is not in the template");
        document = document.replacen(&name, "", 1);
    }
}

#[test]
fn the_schema_describes_every_key() {
    fn check(path: &str, schema: &serde_json::Value) {
        assert!(schema["description"].is_string(), "{path} has no description");
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            check(&format!("{path}.{name}"), inner);
        }
        if schema["additionalProperties"]["properties"].is_object() {
            for (name, inner) in schema["additionalProperties"]["properties"].as_object().into_iter().flatten() {
                check(&format!("{path}.*.{name}"), inner);
            }
        }
    }
    let schema = schema(KINDS);
    check("", &schema);
    assert_eq!(schema["properties"]["limits"]["properties"]["timeout"]["default"], "30s");
    assert_eq!(schema["properties"]["limits"]["properties"]["queue"]["default"], 10000);
    assert_eq!(schema["properties"]["mqtt"]["additionalProperties"], false);
    assert!(schema["properties"]["permissions"]["additionalProperties"]["properties"]["http"].is_object());
    assert!(schema["properties"]["triggers"]["items"]["properties"]["cron"].is_object());
}

#[test]
fn an_edit_is_applied_or_needs_a_restart() {
    let old = config("permissions: {a: {read: [x]}}\ntriggers:\n  - {cron: a, job: a.rhai}\n");
    let moved = config("# moved\npermissions: {a: {read: [x]}}\n\ntriggers:\n  - job: a.rhai\n    cron: a\n");
    assert!(old.difference(&moved).is_empty());
    let new = ConfigInput::text(
        "timezone: UTC\nlocation: {latitude: 1, longitude: 2}\nlimits: {queue: 1}\nlog: {level: warn}\nsecrets: {a: b}\nscripts: x\ndata: y\nmqtt: {url: \"mqtt://b\"}\nweb: {listen: \"[::1]:1\"}\n",
    );
    let difference = old.difference(&new.config());
    assert_eq!(difference.applied, ["timezone", "location", "limits", "permissions", "log", "secrets", "triggers"]);
    assert_eq!(difference.restart, ["scripts", "data", "mqtt", "web"]);
}
