//! The result of a sleep.

/// Why a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The moment has come.
    Due,
    /// The clock was set, forward or back, or the machine was suspended; the moment may or may not have come.
    Jumped,
}
