//! Texts of MQTT fields.

use crate::config::value_type::{self, ValueType};

/// Text that fits into an MQTT string field.
///
/// Source: MQTT 5.0, 1.5.4 "UTF-8 Encoded String".
pub(super) fn mqtt_text() -> ValueType<String> {
    value_type::non_empty_text().and_then(|text| {
        if text.len() > 65_535 || text.contains('\0') {
            return Err("write at most 65535 bytes, none of them NUL".to_owned());
        }
        Ok(text)
    })
}

/// Checks a topic without wildcards.
pub(super) fn one_topic(text: String) -> Result<String, String> {
    crate::topic::check_topic(&text).map(|()| text)
}
