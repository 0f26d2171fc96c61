//! Scripts outside the running rhaid: tests and simulations in a sandbox, which is the runtime with a virtual clock, mock brokers, mock HTTP
//! servers and files of its own; and local runs of one handler.

mod effect_log;
mod environment;
mod event_file;
mod instance;
mod local_run;
mod mock_broker;
mod mock_http;
mod records;
mod sandbox;
mod sandbox_files;
mod simulation;
mod test_functions;
mod test_runner;
mod timeline;
mod webhook;

pub use self::environment::{context, ephemeral_brokers, flush_messages};
pub use self::event_file::{EventLine, InputEvent, read_events};
pub use self::local_run::{LocalRun, LocalScript};
pub use self::simulation::Simulation;
pub use self::test_runner::{TestFileResult, TestResult, TestRunner};
pub use self::timeline::TimelineEntry;
pub use self::webhook::{CallWebhook, WebhookResult};
