//! Identifiers of events and runs.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use crate::random;

/// Number of identifiers created, counted from a random start.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Number of characters of a new identifier.
const LENGTH: usize = 15;

/// Identifier of an event or a run, unique across restarts and sortable by time: 9 characters of milliseconds, 6 of a counter with a random
/// start, in base 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; LENGTH]);

impl Id {
    /// Creates an identifier with the timestamp `at`.
    pub fn new(at: Timestamp) -> Self {
        const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let base32 = |mut number: u64, text: &mut [u8]| {
            for digit in text.iter_mut().rev() {
                *digit = DIGITS[(number % 32) as usize];
                number /= 32;
            }
        };
        let mut start = [0; 4];
        if COUNTER.load(Ordering::Relaxed) == 0 && random::fill(&mut start).is_ok() {
            COUNTER.fetch_add(u64::from(u32::from_le_bytes(start)), Ordering::Relaxed);
        }
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut text = [b'0'; LENGTH];
        let (time, number) = text.split_at_mut(9);
        base32(at.as_millisecond().unsigned_abs(), time);
        base32(count, number);
        Self(text)
    }

    /// Resets the counter, so that a repeated simulation produces the same identifiers.
    pub fn reset_counter() {
        COUNTER.store(0, Ordering::Relaxed);
    }

    /// Returns the text form.
    pub fn as_str(&self) -> &str {
        // The digits are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
