//! The ledger: what became of every event.

mod quota;
mod read;
mod row;
mod waiting;

pub(super) use self::quota::Tally;
pub(super) use self::read::{find, list};
pub use self::row::{OutcomeFilter, PayloadFidelity, RetentionPolicy, RunQuery, RunRecord};
pub(super) use self::waiting::{CROWD, Waiting};
