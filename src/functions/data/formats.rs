//! JSON, YAML, and lists as text.

use rhai::plugin::*;

use crate::functions::Thrown;
use crate::functions::arguments::{invalid_argument, value};
use crate::functions::data::parse;
use crate::value::Value;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "formats", functions);
}

fn written(value: &Value, pretty: bool) -> Result<String, Thrown> {
    let json = value.to_json();
    if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) }.map_err(invalid_argument)
}

#[export_module]
#[expect(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "the macro wants public functions, and unwraps receivers that it has checked"
)]
mod functions {
    /// Reads JSON: objects become maps, `null` becomes `()`. A fault (`decode`) says where the text goes wrong.
    ///
    /// # Example
    /// ```rhai
    /// let reading = parse_json(`{"celsius": 21.5, "tags": ["attic"]}`);
    /// assert_eq(reading.tags[0], "attic");
    /// let kind = "";
    /// try { parse_json("{"); } catch (err) { kind = err.kind; }
    /// assert_eq(kind, "decode");
    /// ```
    #[rhai_fn(name = "parse_json", return_raw)]
    pub fn parse_json(text: &str) -> Result<Dynamic, Thrown> {
        parse::json(text.as_bytes())
    }

    #[rhai_fn(name = "parse_json", return_raw)]
    pub fn parse_json_blob(bytes: rhai::Blob) -> Result<Dynamic, Thrown> {
        parse::json(&bytes)
    }

    /// Writes a value as JSON, on one line or with `pretty` on several. Blobs become base64, datetimes RFC 3339 text.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(to_json(#{ on: true, level: 3 }), `{"level":3,"on":true}`);
    /// assert_eq(to_json([1], true), "[\n  1\n]");
    /// ```
    #[rhai_fn(name = "to_json", return_raw)]
    pub fn to_json(any: Dynamic) -> Result<String, Thrown> {
        written(&value(&any)?, false)
    }

    // Rhai has one of its own for maps, which would be preferred.
    #[rhai_fn(name = "to_json", return_raw, pure)]
    pub fn to_json_map(map: &mut rhai::Map) -> Result<String, Thrown> {
        to_json(Dynamic::from_map(map.clone()))
    }

    #[rhai_fn(name = "to_json", return_raw)]
    pub fn to_json_pretty(any: Dynamic, pretty: bool) -> Result<String, Thrown> {
        written(&value(&any)?, pretty)
    }

    /// Returns the items of a list as one text, with something between them; each as it stands in an interpolated string.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(["attic", 21.5, true].join(", "), "attic, 21.5, true");
    /// assert_eq([].join(", "), "");
    /// ```
    #[rhai_fn(name = "join", return_raw, pure)]
    pub fn join(context: NativeCallContext<'_>, list: &mut rhai::Array, between: &str) -> Result<String, Thrown> {
        let mut joined = String::new();
        for (place, item) in list.iter().enumerate() {
            if place > 0 {
                joined.push_str(between);
            }
            let text: ImmutableString = context.call_native_fn("to_string", (item.clone(),))?;
            joined.push_str(&text);
        }
        Ok(joined)
    }

    /// Reads YAML: one document.
    ///
    /// # Example
    /// ```rhai
    /// let config = parse_yaml("rooms: [bath, attic]\nlimit: 21.5");
    /// assert_eq(config.rooms.len(), 2);
    /// assert_eq(config.limit, 21.5);
    /// ```
    #[rhai_fn(name = "parse_yaml", return_raw)]
    pub fn parse_yaml(text: &str) -> Result<Dynamic, Thrown> {
        parse::yaml(text)
    }

    /// Writes a value as YAML.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(to_yaml(#{ on: true, rooms: ["bath"] }), "on: true\nrooms:\n- bath\n");
    /// ```
    #[rhai_fn(name = "to_yaml", return_raw)]
    pub fn to_yaml(any: Dynamic) -> Result<String, Thrown> {
        serde_yaml::to_string(&value(&any)?.to_json()).map_err(invalid_argument)
    }
}
