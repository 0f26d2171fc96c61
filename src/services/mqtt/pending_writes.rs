//! Changes of stored messages that wait to be written to the store.

use crate::services::store::OutboxChange;

/// Number of new messages that are written at once, without waiting for more.
pub(super) const BATCH: usize = 16;

/// Changes that wait to be written to the store, in order. Without a store nothing is collected.
#[derive(Default)]
pub(super) struct PendingWrites {
    changes: Option<Vec<OutboxChange>>,
    new_messages: usize,
    is_urgent: bool,
}

/// A written change that the outbox acts upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Message(u64),
    PacketId(u64),
    Received(u64),
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

impl PendingWrites {
    /// Collects changes from now on: there is a store.
    pub(super) fn enable(&mut self) {
        self.changes.get_or_insert_default();
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.changes.is_some()
    }

    pub(super) fn push(&mut self, change: OutboxChange) {
        let Some(changes) = &mut self.changes else { return };
        match Written::of(&change) {
            Some(Written::Message(_)) => self.new_messages += 1,
            // A packet waits until these are on disk.
            Some(Written::PacketId(_) | Written::Received(_)) => self.is_urgent = true,
            None => {}
        }
        changes.push(change);
    }

    /// Marks new messages as urgent: a caller waits for them.
    pub(super) fn flush_now(&mut self) {
        self.is_urgent |= self.new_messages > 0;
    }

    /// Returns whether the changes are to be written without waiting for more: something waits for them, or they fill a batch.
    pub(super) fn is_urgent(&self) -> bool {
        self.is_urgent || self.new_messages >= BATCH
    }

    pub(super) fn has_new_messages(&self) -> bool {
        self.new_messages > 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.as_ref().is_none_or(Vec::is_empty)
    }

    /// Takes all changes, in order.
    pub(super) fn take(&mut self) -> Vec<OutboxChange> {
        (self.new_messages, self.is_urgent) = (0, false);
        self.changes.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
