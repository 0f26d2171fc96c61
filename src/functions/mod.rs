//! Functions that scripts call: one file or folder per package, and the context through which functions reach services.

mod arguments;
mod context;
pub mod convert;
pub mod data;
mod effects;
pub mod events;
mod handler_result;
pub mod http;
pub mod log;
pub mod mqtt;
pub mod outside;
mod package;
mod packages;
mod phase;
pub mod reference;
mod run_log;
pub mod state;
pub mod testing;
mod thrown;
pub mod time;
pub mod timers;
mod wait;

pub use self::context::{Context, EarlierRuns, Loading, RunUsage};
pub use self::handler_result::handler_result;
pub use self::package::Package;
pub use self::packages::{PACKAGES, module};
pub use self::phase::{Phase, context, enter, phase};
pub use self::run_log::RunLog;
pub use self::thrown::{Stop, Thrown, thrown, uncatchable};
pub use self::wait::SharedTimeout;
