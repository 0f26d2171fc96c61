//! SQLite, the embedded implementation of the storage traits: one file in the data folder, in WAL mode.

mod backup;
mod commit;
mod connections;
mod copy;
mod decode;
mod deferred;
mod error;
mod events;
mod group;
mod history;
#[cfg(test)]
mod migration_tests;
mod open;
mod outbox;
mod schema;
mod state;
mod storage;
mod timers;
mod versions;

pub use self::backup::back_up;
pub(super) use self::storage::SqliteStorage;
