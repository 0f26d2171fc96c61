//! The local socket in the data folder, over which other commands talk to a running rhaid.

mod client;
mod http_tap;
mod server;
mod socket;

pub use self::client::{Connection, NotRunning, RequestFailed};
pub use self::server::Server;
