//! Parses the command line, runs the command, prints the error, sets the exit code.

use std::process::ExitCode;

use rhaid::memory::CountingAllocator;

/// Counts what each run allocates, so that a script can be held to its memory budget.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    rhaid::cli::main()
}
