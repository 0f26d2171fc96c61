//! `on_mqtt`: when the connection to a broker is established or lost.

use crate::event::Event;
use crate::options::{OptionFault, Options};
use crate::services::Services;
use crate::services::mqtt::ConnectionState;
use crate::triggers::event_sender::EventSender;
use crate::triggers::kind::{Kind, one_argument};
use crate::triggers::mqtt;
use crate::triggers::trigger::{Trigger, TriggerContext};
use crate::triggers::watch::Watch;
use crate::value::{Map, Value, map_of};

/// `on_mqtt(state, …)`.
pub const KIND: Kind = Kind {
    name: "on_mqtt",
    arguments: &["state"],
    event: "`link`: `broker`, `state`, `why`",
    docs: include_str!("on_mqtt.md"),
    read,
    try_option: None,
};

const CONNECTED: &str = "connected";
const DISCONNECTED: &str = "disconnected";

fn read(
    arguments: Vec<Value>,
    options: &mut Options,
    trigger_context: &TriggerContext,
) -> Result<Box<dyn Trigger>, OptionFault> {
    let state = one_argument(arguments, "\"connected\" or \"disconnected\"")?;
    let is_connected = match state.as_text() {
        Some(CONNECTED) => true,
        Some(DISCONNECTED) => false,
        _ => return Err(OptionFault::new("state: write \"connected\" or \"disconnected\"")),
    };
    let broker = options.read("broker", |value| mqtt::one_broker(value, trigger_context))?;
    Ok(Box::new(ConnectionTrigger { is_connected, broker }))
}

struct ConnectionTrigger {
    is_connected: bool,
    broker: Option<String>,
}

impl ConnectionTrigger {
    fn payload(&self, broker: &str, why: &str) -> Map {
        let state = if self.is_connected { CONNECTED } else { DISCONNECTED };
        map_of([("broker".into(), broker.into()), ("state".into(), state.into()), ("why".into(), why.into())])
    }
}

/// Returns whether the connection is established, and the reason if it is not; `None` while connecting.
fn connection_status(state: &ConnectionState) -> Option<(bool, String)> {
    match state {
        ConnectionState::Connected => Some((true, String::new())),
        ConnectionState::Disconnected(why) => Some((false, why.clone())),
        ConnectionState::Idle | ConnectionState::Connecting | ConnectionState::Closed => None,
    }
}

impl Trigger for ConnectionTrigger {
    fn summary(&self) -> String {
        let state = if self.is_connected { CONNECTED } else { DISCONNECTED };
        let broker = self.broker.as_deref().map(|broker| format!(" to {broker}")).unwrap_or_default();
        format!("on_mqtt {state}{broker}")
    }

    fn watch(&self, sender: EventSender, services: &Services) -> Watch {
        // Unknown brokers were rejected when the script was loaded.
        let Ok((broker, mut states)) = services.mqtt.watch_connection(self.broker.as_deref()) else {
            return Watch::idle();
        };
        let (clock, summary, wanted) = (services.clock.clone(), self.summary(), self.is_connected);
        let payload = Self { is_connected: wanted, broker: None };
        Watch::spawn(async move {
            let mut was_connected = connection_status(&states.borrow_and_update()).map(|(is_up, _)| is_up);
            while states.changed().await.is_ok() {
                let Some((is_up, why)) = connection_status(&states.borrow_and_update()) else { continue };
                if was_connected.replace(is_up) != Some(is_up) && is_up == wanted {
                    sender.tell(Event::new(clock.now(), summary.clone(), payload.payload(&broker, &why)));
                }
            }
        })
    }

    fn matches(&self, given: &Map) -> bool {
        let state = given.get("state").and_then(Value::as_text);
        state.is_none_or(|state| (state == CONNECTED) == self.is_connected)
    }

    fn example(&self, _: &Map, services: &Services) -> Map {
        let broker = self.broker.clone().or_else(|| services.mqtt.states().into_iter().next().map(|(name, ..)| name));
        self.payload(&broker.unwrap_or_default(), "")
    }
}
