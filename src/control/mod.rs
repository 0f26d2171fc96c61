//! The local socket in the data folder: how other commands talk to a running rhaid.

mod client;
mod http_tap;
mod messages;
mod server;
mod socket;

pub use self::client::{Connection, NotRunning, Refused};
pub use self::http_tap::{Overheard, RecordedAnswer};
pub use self::messages::{LogLevel, LogLine, Request, RunInfo, RunRow, StateSpace};
pub use self::server::Server;
