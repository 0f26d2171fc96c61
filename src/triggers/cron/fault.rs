//! Faults of cron expressions.

/// Fault of a cron expression: position, cause and correction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("character {at}: {message}")]
pub struct ExpressionFault {
    /// Position of the character in the expression, from 1.
    pub at: usize,
    /// Message.
    pub message: String,
}
