//! Sandbox of `rhaid test` and `rhaid simulate`: the runtime with a virtual clock, mock brokers, mock HTTP servers and files of its own.

mod harness;
mod instance;
mod mock_http;
mod records;
mod test_functions;
mod timeline;

pub(super) use self::harness::{LoadMode, Sandbox};
pub(super) use self::mock_http::UnmatchedHint;
pub(super) use self::timeline::{TimelineEntry, format_entry, format_last};
