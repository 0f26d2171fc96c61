//! JSON, YAML and `join`.

use rhai::plugin::*;

use crate::functions::arguments::value;
use crate::functions::convert::json_text;
use crate::functions::data::parse;
use crate::functions::thrown::{Thrown, invalid_argument};

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "formats", functions);
}

fn written(any: &Dynamic, pretty: bool) -> Result<String, Thrown> {
    match pretty {
        true => serde_json::to_string_pretty(&value(any)?.to_json()).map_err(invalid_argument),
        false => json_text(any).map_err(invalid_argument),
    }
}

#[export_module]
#[expect(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "`export_module` requires public functions, and unwraps receivers after checking them"
)]
mod functions {
    /// Parses JSON: objects become maps, `null` becomes `()`. If it is invalid, throws `decode` with the position of the error.
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

    /// Formats a value as JSON, on one line or, with `pretty`, on several lines. Blobs become base64, datetimes RFC 3339 text.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(to_json(#{ on: true, level: 3 }), `{"level":3,"on":true}`);
    /// assert_eq(to_json([1], true), "[\n  1\n]");
    /// ```
    #[rhai_fn(name = "to_json", return_raw)]
    pub fn to_json(any: Dynamic) -> Result<String, Thrown> {
        written(&any, false)
    }

    // Overrides the `to_json` of Rhai for maps.
    #[rhai_fn(name = "to_json", return_raw, pure)]
    pub fn to_json_map(map: &mut rhai::Map) -> Result<String, Thrown> {
        to_json(Dynamic::from_map(map.clone()))
    }

    #[rhai_fn(name = "to_json", return_raw)]
    pub fn to_json_pretty(any: Dynamic, pretty: bool) -> Result<String, Thrown> {
        written(&any, pretty)
    }

    /// Joins the items of an array to one text, with a separator. Items are converted as in string interpolation.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(["attic", 21.5, true].join(", "), "attic, 21.5, true");
    /// assert_eq([].join(", "), "");
    /// ```
    #[rhai_fn(name = "join", return_raw, pure)]
    pub fn join(context: NativeCallContext<'_>, list: &mut rhai::Array, separator: &str) -> Result<String, Thrown> {
        let mut joined = String::new();
        for (index, item) in list.iter().enumerate() {
            if index > 0 {
                joined.push_str(separator);
            }
            let text: ImmutableString = context.call_native_fn("to_string", (item.clone(),))?;
            joined.push_str(&text);
        }
        Ok(joined)
    }

    /// Parses a YAML document.
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

    /// Formats a value as YAML.
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
