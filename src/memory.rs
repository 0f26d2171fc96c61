//! Counts what each thread has allocated, so that a run can be held to a memory budget.

/// A counting allocator over the system's.
#[derive(Debug, Default)]
pub struct Counting;
