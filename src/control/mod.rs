//! The local socket in the data folder: how other commands talk to a running rhaid.

mod client;
mod messages;
mod overheard;
mod server;
mod socket;

pub use self::client::{Connection, NotRunning, Refused};
pub use self::messages::{LogLevel, LogLine, Request, RunInfo, RunRow, StateSpace};
pub use self::overheard::{Overheard, RecordedAnswer};
pub use self::server::Server;
