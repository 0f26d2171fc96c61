#![doc = include_str!("README.md")]

// Layer 1: vocabulary. Plain data; no I/O, no async.
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

// Layer 2: everything outside the process. No knowledge of scripts.
pub mod services;

// Layer 3: event sources, and the functions that scripts call.
pub mod functions;
pub mod triggers;

// Layer 4: one .rhai file.
pub mod script;

// Layer 5: everything wired together.
pub mod runtime;

// Layer 6: plain request and response types for other processes; scripts outside the running rhaid.
pub mod api;
pub mod sim;

// Layer 7: interfaces to other processes.
pub mod control;
pub mod web;

// Layer 8: commands.
pub mod cli;
