//! Integration tests, compiled into one binary.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod architecture;
mod bad_input;
mod bench;
mod book;
mod cli;
mod commit_groups;
mod config;
mod crash;
mod dispatch;
mod examples;
mod fire;
mod full_disk;
mod functions;
mod history;
mod import_cycles;
mod lessons;
mod lessons_mqtt;
mod lints;
mod lsp;
mod mock_broker;
mod model;
mod mqtt;
mod new;
mod pages;
mod process;
mod program;
mod readme;
mod record;
mod reload;
mod repl;
mod rust_source;
mod script;
mod seed;
mod simulate;
mod state;
mod test_command;
mod time;
mod triggers;
mod try_command;
mod vocabulary;
mod webhook;

/// The allocator of the program, which counts the memory of each run.
#[global_allocator]
static ALLOCATOR: rhaid::memory::CountingAllocator = rhaid::memory::CountingAllocator;
