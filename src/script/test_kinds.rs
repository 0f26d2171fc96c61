//! A trigger kind for unit tests.

use crate::options::OptionFault;
use crate::services::Services;
use crate::triggers::{EventSender, Kind, Trigger, Watch};
use crate::value::{Map, Value};

/// A kind with one argument and one option.
pub(super) const KINDS: &[&Kind] = &[&Kind {
    name: "wake",
    arguments: &["what"],
    event: "`note`: what there is",
    docs: "Wakes.",
    read: |arguments, options, _| {
        let _ = options.int("level", 1..=3)?;
        match arguments.first().and_then(Value::as_text) {
            Some(what) => Ok(Box::new(Wake(what.to_owned()))),
            None => Err(OptionFault::new("write text")),
        }
    },
    try_option: None,
}];

struct Wake(String);

impl Trigger for Wake {
    fn summary(&self) -> String {
        format!("wake {}", self.0)
    }

    fn watch(&self, _: EventSender, _: &Services) -> Watch {
        Watch::idle()
    }

    fn example(&self, _: &Map, _: &Services) -> Map {
        Map::new()
    }
}
