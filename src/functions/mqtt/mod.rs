//! MQTT: publishing, and waiting for messages.

mod errors;
mod functions;
mod message;
mod publish;
mod receive;
mod sent;

use crate::functions::package::Package;

/// MQTT.
pub const MQTT: Package = Package {
    name: "MQTT out",
    docs: "Publish messages, wait for a message, and read the last message of a topic.",
    register: |module| {
        functions::register(module);
        sent::register(module);
    },
};
