//! Changes of stored messages that wait to be written to the store.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::services::mqtt::message::Publish;
use crate::services::mqtt::stored_message::outgoing_record;
use crate::services::store::{OutboxChange, OutboxRecord};

/// Number of new messages that are written at once, without waiting for more.
pub(super) const BATCH: usize = 1_024;

/// Changes that wait to be written to the store, in order. Without a store nothing is collected.
#[derive(Default)]
pub(super) struct PendingWrites {
    changes: Option<Vec<OutboxChange>>,
    /// New messages, by their ascending numbers. No change of a message precedes it.
    new_messages: VecDeque<NewMessage>,
    is_urgent: bool,
}

/// A new message, whose record is made when it is written.
pub(super) enum NewMessage {
    /// A message of the outbox.
    Outgoing(u64, Arc<Publish>),
    /// A record.
    Record(OutboxRecord),
}

/// A written change that the outbox acts upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Message(u64),
    PacketId(u64),
    Received(u64),
}

/// How soon changes are to be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// There are none.
    #[default]
    None,
    /// Deletions, which wait long for others.
    Deletions,
    /// New messages, which wait briefly.
    NewMessages,
    /// Changes that something waits for.
    Urgent,
}

impl Written {
    pub(super) fn of(change: &OutboxChange) -> Option<Self> {
        match change {
            OutboxChange::Insert(record) => Some(Self::Message(record.number)),
            OutboxChange::AssignPacketId { number, .. } => Some(Self::PacketId(*number)),
            OutboxChange::MarkReceived { number } => Some(Self::Received(*number)),
            OutboxChange::Delete { .. } => None,
        }
    }

    /// Returns the number of the message.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Message(number) | Self::PacketId(number) | Self::Received(number) => number,
        }
    }
}

impl NewMessage {
    fn number(&self) -> u64 {
        match self {
            Self::Outgoing(number, _) => *number,
            Self::Record(record) => record.number,
        }
    }

    fn into_record(self) -> OutboxRecord {
        match self {
            Self::Outgoing(number, publish) => outgoing_record(number, &publish),
            Self::Record(record) => record,
        }
    }
}

impl PendingWrites {
    /// Collects changes from now on: there is a store.
    pub(super) fn enable(&mut self) {
        self.changes.get_or_insert_default();
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.changes.is_some()
    }

    /// Adds a message, whose number is higher than those before.
    pub(super) fn insert(&mut self, message: NewMessage) {
        if self.is_enabled() {
            self.new_messages.push_back(message);
        }
    }

    /// Adds a change of a message that was inserted before.
    pub(super) fn push(&mut self, change: OutboxChange) {
        let Some(changes) = &mut self.changes else { return };
        // A packet waits until these are on disk.
        self.is_urgent |= Written::of(&change).is_some();
        changes.push(change);
    }

    /// Deletes a message. One that is not written yet never will be.
    pub(super) fn delete(&mut self, number: u64) {
        match self.new_messages.binary_search_by_key(&number, NewMessage::number) {
            Ok(at) => drop(self.new_messages.remove(at)),
            Err(_) => self.push(OutboxChange::Delete { number }),
        }
    }

    /// Marks new messages as urgent: a caller waits for them.
    pub(super) fn flush_now(&mut self) {
        self.is_urgent |= !self.new_messages.is_empty();
    }

    /// Returns how soon the changes are to be written.
    pub(super) fn urgency(&self) -> Urgency {
        match () {
            () if self.is_empty() => Urgency::None,
            () if self.is_urgent || self.new_messages.len() >= BATCH => Urgency::Urgent,
            () if !self.new_messages.is_empty() => Urgency::NewMessages,
            () => Urgency::Deletions,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.new_messages.is_empty() && self.changes.as_ref().is_none_or(Vec::is_empty)
    }

    /// Takes all changes, in order.
    pub(super) fn take(&mut self) -> Vec<OutboxChange> {
        self.is_urgent = false;
        let new = std::mem::take(&mut self.new_messages).into_iter();
        let mut all: Vec<_> = new.map(|message| OutboxChange::Insert(message.into_record())).collect();
        all.append(self.changes.as_mut().unwrap_or(&mut Vec::new()));
        all
    }
}
