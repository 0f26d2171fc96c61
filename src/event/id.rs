//! Identifiers of events and runs.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use crate::random;

/// Number of identifiers created, counted from a random start.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Identifier of an event or a run, unique across restarts and sortable by time: 9 characters of milliseconds, 6 of a counter with a random
/// start, in base 32.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(String);

impl Id {
    /// Creates an identifier with the timestamp `at`.
    pub fn new(at: Timestamp) -> Self {
        const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let base32 = |mut number: u64, width: usize| {
            let mut text = vec![b'0'; width];
            for digit in text.iter_mut().rev() {
                *digit = DIGITS[(number % 32) as usize];
                number /= 32;
            }
            text
        };
        let mut start = [0; 4];
        if COUNTER.load(Ordering::Relaxed) == 0 && random::fill(&mut start).is_ok() {
            COUNTER.fetch_add(u64::from(u32::from_le_bytes(start)), Ordering::Relaxed);
        }
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut text = base32(at.as_millisecond().unsigned_abs(), 9);
        text.extend(base32(count, 6));
        Self(text.into_iter().map(char::from).collect())
    }

    /// Resets the counter, so that a repeated simulation produces the same identifiers.
    pub fn reset_counter() {
        COUNTER.store(0, Ordering::Relaxed);
    }

    /// Wraps a stored identifier.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
