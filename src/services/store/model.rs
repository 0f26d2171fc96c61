//! Plain data of the store: batches of runs, timers, emitted events, outbox records, accepted versions, state.

use jiff::Timestamp;

use crate::event::TimerKey;
use crate::value::Value;

/// Longest key of state, in bytes.
pub const MAX_KEY: usize = 1_024;

/// Change of one value of state.
#[derive(Debug, Clone, PartialEq)]
pub enum StateChange {
    /// Sets the value.
    Set(Value),
    /// Adds to the stored number (0 if there is none), including what other runs committed meanwhile.
    Add(Value),
    /// Removes the value.
    Remove,
}

/// Durable effects of one run; they are committed together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Namespace (`script:NAME` or `shared:NAMESPACE`), key and change, in order.
    pub values: Vec<(String, String, StateChange)>,
    /// Timers to set.
    pub timers_set: Vec<Timer>,
    /// Timers to cancel: owner and name.
    pub timers_cancelled: Vec<(String, String)>,
    /// The timer that triggered this run; deleted only if it still has this deadline.
    pub acknowledged_timers: Vec<TimerKey>,
    /// Emitted events that have not been routed to listeners yet; not stored.
    pub emitted: Vec<Emitted>,
    /// Emitted events, one delivery for each listener.
    pub event_deliveries: Vec<EventDelivery>,
    /// The delivery that triggered this run.
    pub acknowledged_events: Vec<u64>,
}

/// Timer of a script, identified by owner and name.
#[derive(Debug, Clone, PartialEq)]
pub struct Timer {
    /// The script that set it.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// Its deadline.
    pub due: Timestamp,
    /// Data that the handler receives.
    pub data: Value,
}

/// Event emitted by a script.
#[derive(Debug, Clone)]
pub struct Emitted {
    /// The event's name.
    pub name: String,
    /// The event's data.
    pub data: Value,
    /// The script that emitted it.
    pub from: String,
    /// Length of the chain of emitted events that led to it; 1 if the run was not triggered by an emitted event.
    pub hops: u32,
}

/// Emitted event for one listener.
#[derive(Debug, Clone, PartialEq)]
pub struct EventDelivery {
    /// Number of the delivery, unique in the store and ascending in the order of emission; 0 if it is not stored.
    pub number: u64,
    /// The script that listens.
    pub listener: String,
    /// Index among that script's listeners of this event.
    pub listener_index: u32,
    /// The event's name.
    pub name: String,
    /// The event's data.
    pub data: Value,
    /// The script that emitted it.
    pub from: String,
    /// Length of the chain of emitted events that led to it.
    pub hops: u32,
}

/// Last accepted version of a script: its source and the modules that it imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedVersion {
    /// The script's name.
    pub script: String,
    /// Version number; counts up from 1 with every accepted version, across restarts.
    pub version: u64,
    /// File (relative to the scripts folder) and text; the script's own file first.
    pub files: Vec<(String, String)>,
}

/// Message in an outbox queue: stored until the broker has acknowledged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRecord {
    /// Position in the queue; unique within the queue, across restarts.
    pub number: u64,
    /// MQTT topic.
    pub topic: String,
    /// MQTT payload.
    pub payload: Vec<u8>,
    /// QoS, 0 to 2.
    pub qos: u8,
    /// Retain flag.
    pub retain: bool,
    /// MQTT 5 properties, in the encoding of the MQTT client.
    pub properties: String,
    /// Packet identifier of a QoS 2 message, once it may have been sent.
    pub packet: Option<u16>,
    /// Whether the PUBREC of a QoS 2 message has arrived.
    pub received: bool,
}

/// Change of an outbox queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboxChange {
    /// Adds a message.
    Insert(OutboxRecord),
    /// Assigns the packet identifier under which a message is sent; clears `received`.
    AssignPacketId {
        /// Number of the record.
        number: u64,
        /// The packet identifier.
        packet: u16,
    },
    /// Sets `received`: the PUBREC has arrived.
    MarkReceived {
        /// Number of the record.
        number: u64,
    },
    /// Deletes a message.
    Delete {
        /// Number of the record.
        number: u64,
    },
}

/// Name and size of a namespace that holds at least one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceSize {
    /// `script:NAME` or `shared:NAMESPACE`.
    pub name: String,
    /// Number of values.
    pub values: u64,
    /// Size of the keys and of the values as JSON, in bytes.
    pub bytes: u64,
}

/// Manual edit of state; it is committed as a whole or not at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateEdit {
    /// Namespaces whose values are removed, except for those in `values`.
    pub cleared: Vec<String>,
    /// Namespace, key and value; [`Value::Null`] removes the value.
    pub values: Vec<(String, String, Value)>,
}
