//! Functions that scripts call: one file or folder per package, and the context through which functions reach services.

use std::sync::LazyLock;

use rhai::Shared;

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
pub use self::phase::{Phase, context, enter, phase};
pub use self::run_log::RunLog;
pub use self::thrown::{Stop, Thrown, thrown, uncatchable};
pub use self::wait::SharedTimeout;

/// The packages, in the order of the reference.
pub const PACKAGES: &[&Package] = &[
    &http::HTTP,
    &mqtt::MQTT,
    &state::STATE,
    &timers::TIMERS,
    &time::TIME,
    &data::DATA,
    &log::LOG,
    &outside::OUTSIDE,
    &events::EVENTS,
];

/// Returns a module with the functions of all packages, built once per process. Every engine registers it globally.
pub fn module() -> Shared<rhai::Module> {
    static MODULE: LazyLock<Shared<rhai::Module>> = LazyLock::new(|| {
        let mut module = rhai::Module::new();
        for package in PACKAGES {
            (package.register)(&mut module);
        }
        module.build_index();
        module.into()
    });
    MODULE.clone()
}
