//! Durable data of the process: state, timers, emitted events, outbox, accepted versions, metadata, run history.
//!
//! [`Store`] is the handle. It owns the writer thread (group commit) and the state cache, on top of a [`Storage`]; SQLite is the
//! implementation.

mod codec;
mod commit;
#[cfg(test)]
mod conformance;
mod deferred;
mod encoded_run;
mod error;
mod group_commit;
mod handle;
mod lock;
mod model;
mod omitted_runs;
mod pending_runs;
mod run_history;
mod run_markers;
mod run_record;
mod run_sample;
mod shared;
mod sqlite;
mod state;
mod state_cache;
mod storage;
#[cfg(test)]
mod tests;
mod uncommitted;
mod weight;
mod writer;

pub use self::codec::Encoder;
pub use self::commit::{EncodedBatch, EncodedChange, StateWrite, TimerWrite};
pub use self::encoded_run::{EncodedRun, NewRun};
pub use self::error::Error;
pub use self::handle::Store;
pub use self::model::{
    AcceptedVersion, Batch, Emitted, EventDelivery, MAX_KEY, NamespaceSize, OutboxChange, OutboxRecord, StateChange,
    StateEdit, Timer,
};
pub use self::omitted_runs::{OmittedRuns, RunListEntry};
pub use self::run_markers::{PreviousExit, RunMarker};
pub use self::run_record::{OutcomeFilter, PayloadFidelity, RetentionPolicy, RunQuery, RunRecord};
pub use self::sqlite::back_up;
pub use self::storage::{
    AppendRuns, DeferredWrites, Durability, GroupError, RunCursor, RunHistory, RunPage, Snapshot, Storage, Write,
    WriteOutcome,
};
pub use self::uncommitted::UncommittedState;
