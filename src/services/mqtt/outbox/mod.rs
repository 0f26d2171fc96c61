//! The outbox of one broker: queued and inflight messages, and their pending writes to the store.

mod entry;
mod inflight;
mod queue;
mod storage;
#[cfg(test)]
mod tests;

pub(super) use self::entry::Completion;
pub(super) use self::queue::Outbox;
