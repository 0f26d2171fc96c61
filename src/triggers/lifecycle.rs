//! `on_start` and `on_stop`: lifecycle events of the script, sent by the runtime.

use crate::options::OptionFault;
use crate::services::Services;
use crate::triggers::event_sender::EventSender;
use crate::triggers::kind::Kind;
use crate::triggers::trigger::{Lifecycle, Trigger};
use crate::triggers::watch::Watch;
use crate::value::{Map, Value, map_of};

/// `on_start(…)`.
pub const START: Kind = Kind {
    name: "on_start",
    arguments: &[],
    event: "`start`: `reason`",
    docs: include_str!("on_start.md"),
    read: |arguments, _, _| read(Lifecycle::Start, &arguments),
    try_option: None,
};

/// `on_stop(…)`.
pub const STOP: Kind = Kind {
    name: "on_stop",
    arguments: &[],
    event: "`stop`: `reason`",
    docs: include_str!("on_stop.md"),
    read: |arguments, _, _| read(Lifecycle::Stop, &arguments),
    try_option: None,
};

fn read(lifecycle: Lifecycle, arguments: &[Value]) -> Result<Box<dyn Trigger>, OptionFault> {
    if let Some(argument) = arguments.first() {
        return Err(OptionFault::new(format!(
            "write nothing before the options and the handler, not {}",
            argument.type_name()
        )));
    }
    Ok(Box::new(lifecycle))
}

impl Trigger for Lifecycle {
    fn summary(&self) -> String {
        match self {
            Self::Start => START.name.into(),
            Self::Stop => STOP.name.into(),
        }
    }

    fn watch(&self, _: EventSender, _: &Services) -> Watch {
        Watch::idle()
    }

    fn example(&self, _: &Map, _: &Services) -> Map {
        let reason = match self {
            Self::Start => "boot",
            Self::Stop => "stopping",
        };
        map_of([("reason".into(), reason.into())])
    }

    fn lifecycle(&self) -> Option<Lifecycle> {
        Some(*self)
    }
}
