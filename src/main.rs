//! Parses the command line, runs the command, prints the error, sets the exit code.

use std::process::ExitCode;

use rhaid::memory::CountingAllocator;

/// Counts allocations per run, to enforce the memory limits of scripts.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    rhaid::cli::main()
}
