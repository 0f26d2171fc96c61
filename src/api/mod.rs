//! Requests to a running rhaid and its responses, as plain data: shared by the local socket and the HTTP API.

mod http_tap;
mod log;
mod request;
mod run;
mod run_list;
mod state;

pub use self::http_tap::{HttpTapMessage, TappedResponse};
pub use self::log::{LogLevel, LogLine};
pub use self::request::{Reply, Request};
pub use self::run::{RunInfo, RunRow};
pub use self::run_list::{OmittedRow, RunEntry};
pub use self::state::StateSpace;
