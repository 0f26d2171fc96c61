//! The packages of functions, and the module of all of them.

use std::sync::LazyLock;

use rhai::Shared;

use crate::functions::package::Package;
use crate::functions::{data, events, http, log, mqtt, outside, state, time, timers};

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
