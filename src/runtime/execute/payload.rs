//! Event payloads in the run history: secrets masked, large payloads truncated.

use std::borrow::Cow;

use crate::event::{MessagePayload, Payload, ReceivedMessage};
use crate::runtime::run_log::shorten;
use crate::secrets::Mask;
use crate::services::store::{Encoder, PayloadFidelity};
use crate::value::{Map, Value, map_of};

/// Maximum characters of one text in a truncated payload.
const MAX_TEXT: usize = 2_000;
/// Maximum entries of one list or map in a truncated payload.
const MAX_ENTRIES: usize = 100;
/// Maximum depth of a truncated payload.
const MAX_CUT_DEPTH: usize = 8;
/// Maximum depth of a complete payload, so that it can be parsed again.
const MAX_WHOLE_DEPTH: usize = 100;
/// Key that replaces a blob equal to a text of the same map, as in messages and requests; its value is the text's name.
const SAME_AS: &str = "$same";

/// Returns the stored form of a payload and its fidelity; payloads of more than `max_bytes` bytes are truncated.
pub(super) fn to_stored(payload: &Payload, mask: &Mask, max_bytes: u64) -> (Encoder, PayloadFidelity) {
    let room = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let mut copy = Copy { mask, room, has_masked: false, stored: Encoder::with_capacity(256) };
    let copied = match payload {
        Payload::Message(message) => copy.message(message),
        fields => copy.map(fields, 0),
    };
    match copied {
        Some(()) if copy.has_masked => (copy.stored, PayloadFidelity::Masked),
        Some(()) => (copy.stored, PayloadFidelity::Whole),
        None => {
            let mut stored = Encoder::default();
            stored.value(&Value::Map(cut_map(payload, mask, 0)));
            (stored, PayloadFidelity::Cut)
        }
    }
}

/// Returns the original payload of a stored complete one.
pub(crate) fn restore_payload(kept: Value) -> Map {
    let Value::Map(kept) = kept else { return Map::new() };
    map_of(kept.iter().map(|(name, value)| (name.clone(), restore(value, &kept))))
}

fn restore(value: &Value, siblings: &Map) -> Value {
    match value {
        Value::Map(map) => match map.get(SAME_AS).and_then(Value::as_text).and_then(|name| siblings.get(name)) {
            Some(Value::Text(text)) if map.len() == 1 => Value::Bytes(text.clone().into_bytes()),
            _ => Value::Map(map_of(map.iter().map(|(name, value)| (name.clone(), restore(value, map))))),
        },
        Value::List(items) => Value::List(items.iter().map(|item| restore(item, siblings)).collect()),
        scalar => scalar.clone(),
    }
}

/// Writes the stored form of a complete payload within a size limit.
struct Copy<'a> {
    mask: &'a Mask,
    room: usize,
    has_masked: bool,
    stored: Encoder,
}

impl Copy<'_> {
    /// Writes the fields of a message, which need not be built for it.
    fn message(&mut self, payload: &MessagePayload) -> Option<()> {
        let ReceivedMessage { topic, payload: bytes, retain, dup, broker, properties, received, .. } =
            &*payload.message;
        let content = String::from_utf8_lossy(bytes);
        self.stored.map(10);
        self.named("broker", |copy| copy.text(broker))?;
        self.named("bytes", |copy| match content {
            Cow::Borrowed(_) => copy.same_as("payload"),
            Cow::Owned(_) => copy.bytes(bytes),
        })?;
        self.named("dup", |copy| copy.value(&Value::Bool(*dup), 0))?;
        self.named("params", |copy| {
            let params = payload.params();
            copy.take(8)?;
            copy.stored.map(params.len());
            params.into_iter().try_for_each(|(name, level)| copy.named(name, |copy| copy.text(level)))
        })?;
        self.named("payload", |copy| copy.text(&content))?;
        self.named("properties", |copy| {
            copy.take(8)?;
            copy.map(properties, 1)
        })?;
        self.named("qos", |copy| copy.value(&Value::Int(payload.qos.into()), 0))?;
        self.named("retain", |copy| copy.value(&Value::Bool(*retain), 0))?;
        self.named("time", |copy| copy.value(&Value::Time(received.to_zoned(payload.zone.clone())), 0))?;
        self.named("topic", |copy| copy.text(topic))
    }

    /// Writes the name of an entry of a map, then its value.
    fn named(&mut self, name: &str, write: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        let masked = self.masked(name)?;
        self.stored.name(&masked);
        write(self)
    }

    fn map(&mut self, payload: &Map, depth: usize) -> Option<()> {
        self.stored.map(payload.len());
        for (name, value) in payload {
            let twin = match value {
                Value::Bytes(bytes) => twin(payload, bytes),
                _ => None,
            };
            self.named(name, |copy| match twin {
                Some(twin) => copy.same_as(twin),
                None => copy.value(value, depth),
            })?;
        }
        Some(())
    }

    /// Writes the entry for a blob that is equal to a text of the same map.
    fn same_as(&mut self, twin: &str) -> Option<()> {
        self.stored.map(1);
        self.stored.name(SAME_AS);
        self.stored.text(twin);
        Some(())
    }

    fn value(&mut self, value: &Value, depth: usize) -> Option<()> {
        if depth > MAX_WHOLE_DEPTH {
            return None;
        }
        match value {
            Value::Text(text) => return self.text(text),
            Value::Bytes(bytes) => return self.bytes(bytes),
            _ => self.take(8)?,
        }
        match value {
            Value::List(items) => {
                self.stored.list(items.len());
                items.iter().try_for_each(|item| self.value(item, depth + 1))?;
            }
            Value::Map(map) => self.map(map, depth + 1)?,
            scalar => self.stored.value(scalar),
        }
        Some(())
    }

    fn text(&mut self, text: &str) -> Option<()> {
        self.take(8)?;
        let masked = self.masked(text)?;
        self.stored.text(&masked);
        Some(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        self.take(8 + bytes.len())?;
        let text = String::from_utf8_lossy(bytes);
        match self.mask.apply(&text) {
            Cow::Borrowed(_) => self.stored.bytes(bytes),
            Cow::Owned(masked) => {
                self.has_masked = true;
                self.stored.bytes(masked.as_bytes());
            }
        }
        Some(())
    }

    /// Subtracts from the room for the payload.
    fn take(&mut self, bytes: usize) -> Option<()> {
        self.room = self.room.checked_sub(bytes)?;
        Some(())
    }

    fn masked<'t>(&mut self, text: &'t str) -> Option<Cow<'t, str>> {
        self.take(text.len())?;
        let masked = self.mask.apply(text);
        self.has_masked |= matches!(masked, Cow::Owned(_));
        Some(masked)
    }
}

/// Returns the name of the text with the same content as a blob of the same map.
fn twin<'a>(payload: &'a Map, bytes: &[u8]) -> Option<&'a str> {
    let is_twin = |other: &Value| other.as_text().is_some_and(|text| text.as_bytes() == bytes);
    payload.iter().find(|(_, other)| is_twin(other)).map(|(name, _)| name.as_str())
}

fn cut(whole: &Value, mask: &Mask, depth: usize) -> Value {
    match whole {
        _ if depth > MAX_CUT_DEPTH => Value::from("…"),
        Value::Text(text) => Value::Text(shorten(mask.apply(text).into_owned(), MAX_TEXT)),
        // The mask does not cover secrets in truncated bytes; the text with the same content is masked.
        Value::Bytes(bytes) => Value::Text(format!("{} bytes", bytes.len())),
        Value::List(items) => {
            Value::List(items.iter().take(MAX_ENTRIES).map(|item| cut(item, mask, depth + 1)).collect())
        }
        Value::Map(entries) => Value::Map(cut_map(entries, mask, depth)),
        scalar => scalar.clone(),
    }
}

fn cut_map(entries: &Map, mask: &Mask, depth: usize) -> Map {
    let kept = entries.iter().take(MAX_ENTRIES);
    map_of(kept.map(|(key, entry)| (mask.apply(key).into_owned(), cut(entry, mask, depth + 1))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Secret;
    use crate::topic::Filter;

    /// Returns the stored value.
    fn stored(payload: &Map, mask: &Mask, max_bytes: u64) -> (Value, PayloadFidelity) {
        let (stored, how) = to_stored(&payload.clone().into(), mask, max_bytes);
        (stored.decode().unwrap(), how)
    }

    fn message(payload: &[u8]) -> Map {
        map_of([
            ("topic".into(), Value::from("a/b")),
            ("payload".into(), Value::from(String::from_utf8_lossy(payload).into_owned())),
            ("bytes".into(), Value::Bytes(payload.to_vec())),
            ("params".into(), Value::Map(map_of([("id".into(), Value::Int(7))]))),
        ])
    }

    #[test]
    fn a_complete_payload_is_restored_and_stored_once() {
        for payload in [&b"warm"[..], &[0xff, 0]] {
            let (kept_payload, how) = stored(&message(payload), &Mask::default(), 1_000);
            assert_eq!(how, PayloadFidelity::Whole);
            let stored = kept_payload.to_stored();
            assert_eq!(stored.to_string().matches("warm").count(), usize::from(payload == b"warm"));
            assert_eq!(restore_payload(Value::from_stored(stored)), message(payload));
        }
    }

    #[test]
    fn a_message_is_stored_like_its_fields() {
        for content in [&b"s3cret"[..], b"warm", &[0xff, 0], &[b'x'; 500]] {
            let message = ReceivedMessage {
                topic: "house/s3cret/7".into(),
                payload: content.to_vec().into(),
                qos: 2,
                retain: true,
                dup: false,
                broker: "main".into(),
                properties: map_of([("user".into(), Value::List(vec![Value::from("s3cret")]))]),
                received: "2026-03-01T07:30:00Z".parse().unwrap(),
            };
            let filters = [Filter::parse("house/{room}/{id}").unwrap()];
            let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
            let payload = Payload::Message(MessagePayload::new(message.into(), 1, filters.into(), zone).into());
            let fields = payload.clone().into_fields();
            for mask in [Mask::default(), Mask::new([Secret::new("s3cret")])] {
                for max_bytes in (0..800).step_by(10) {
                    let (direct, how) = to_stored(&payload, &mask, max_bytes);
                    assert_eq!((direct.decode().unwrap(), how), stored(&fields, &mask, max_bytes), "{max_bytes}");
                }
            }
        }
    }

    #[test]
    fn secrets_are_hidden_in_text_and_bytes() {
        let mask = Mask::new([Secret::new("s3cret")]);
        let payload = map_of([
            ("token".into(), Value::from("Bearer s3cret")),
            ("bytes".into(), Value::Bytes(b"is s3cret".to_vec())),
        ]);
        let (Value::Map(whole), PayloadFidelity::Masked) = stored(&payload, &mask, 1_000) else { panic!("masked") };
        assert_eq!(whole["token"], Value::from("Bearer ***"));
        assert_eq!(whole["bytes"], Value::Bytes(b"is ***".to_vec()));
        let (Value::Map(cut), PayloadFidelity::Cut) = stored(&payload, &mask, 10) else { panic!("cut") };
        assert_eq!(cut["token"], Value::from("Bearer ***"));
        assert_eq!(cut["bytes"], Value::from("9 bytes"));
    }

    #[test]
    fn long_texts_are_cut() {
        let payload = map_of([("text".into(), Value::from("é".repeat(MAX_TEXT + 1)))]);
        let (Value::Map(cut), PayloadFidelity::Cut) = stored(&payload, &Mask::default(), 2_000) else { panic!("cut") };
        assert_eq!(cut["text"].as_text().map(|text| text.chars().count()), Some(MAX_TEXT + 1));
    }
}
