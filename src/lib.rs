#![doc = include_str!("README.md")]

// Floor 1: vocabulary. Plain data; no I/O, no async.
pub mod config;
pub mod effect;
pub mod event;
pub mod fault;
pub mod memory;
pub mod options;
pub mod random;
pub mod run;
pub mod secrets;
pub mod topic;
pub mod units;
pub mod value;

// Floor 2: the outside world. Knows no script.
pub mod services;

// Floor 3: what can wake a script, and what a script can call.
pub mod functions;
pub mod triggers;

// Floor 4: one .rhai file.
pub mod script;

// Floor 5: the moving parts, wired.
pub mod runtime;

// Floor 6: seen from another process.
pub mod control;
pub mod web;

// Floor 7: seen from a terminal.
pub mod cli;
