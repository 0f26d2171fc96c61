//! The JSON Schema of `rhaid.yaml`, and the environment variables that follow from it.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::document;
use super::report::Report;
use super::triggers::KindInfo;

/// Returns the JSON Schema of `rhaid.yaml`, for editors.
pub fn schema(kinds: &[KindInfo]) -> Json {
    let (_, mut schema) = document::read(None, Path::new(""), kinds, &mut Report::default());
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    schema["title"] = "rhaid.yaml".into();
    schema["description"] = json!("The configuration of rhaid: every key has a default.");
    schema
}

/// Returns each key with a single value and its environment variable, such as `mqtt.url` and `RHAID_MQTT_URL`.
pub fn variables() -> Vec<(String, String)> {
    let mut keys = Vec::new();
    collect("", &schema(&[]), &mut keys);
    keys.into_iter().map(|key| (key.clone(), format!("RHAID_{}", key.to_uppercase().replace('.', "_")))).collect()
}

fn collect(path: &str, schema: &Json, keys: &mut Vec<String>) {
    let Some(properties) = schema.get("properties").and_then(Json::as_object) else {
        let types = schema.get("type");
        let is_single = !types
            .is_some_and(|types| types.to_string().contains("\"object\"") || types.to_string().contains("\"array\""));
        if is_single {
            keys.push(path.to_owned());
        }
        return;
    };
    for (name, schema) in properties {
        collect(&if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, schema, keys);
    }
}
