//! What happened: facts and time, no opinion.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{Timestamp, Zoned};

use crate::random;
use crate::value::{Map, Value};

/// How many names there were, from a random start.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A name for an event or a run, unique over restarts, that sorts by time: 9 characters of milliseconds, 6 of a counter with a random start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(String);

impl Id {
    /// Makes a new one for something that happened at `at`.
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

    /// Begins to count anew, so that a world that is played again gives the same names.
    pub fn recount() {
        COUNTER.store(0, Ordering::Relaxed);
    }

    /// Takes one that was written down before.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns it as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Tells one setting of a timer from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerKey {
    /// The script that set it.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// When it ran out.
    pub due: Timestamp,
}

/// When an event should have come, of a trigger that knows its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When.
    pub at: Timestamp,
    /// How many before it came to nothing, since the last that did not.
    pub missed: u64,
}

/// What happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its name.
    pub id: Id,
    /// When it happened.
    pub at: Zoned,
    /// What a person sees of it in a list, such as `mqtt_subscribe door/front` or `cron 0 7 * * *`.
    pub summary: String,
    /// What the handler sees of it: the fields of its argument.
    pub payload: Map,
    /// The timer that ran out, if it was one: the run that it wakes puts an end to it when it commits.
    pub settles: Option<TimerKey>,
    /// When it should have come, if it comes by the clock and is not made up for later.
    pub due: Option<Due>,
    /// The number of the emitted event that it is, which the store keeps until the run that it wakes commits.
    pub told: Option<u64>,
    /// Whether its sender keeps it until it has had its effect, as a broker does a message of QoS 1: no shared limit pushes it out.
    pub is_owed: bool,
    /// How many `emit`s led here, for the breaker; 0 for what comes from outside.
    pub hops: u32,
}

impl Event {
    /// Puts an event together.
    pub fn new(at: Zoned, summary: impl Into<String>, payload: Map) -> Self {
        let id = Id::new(at.timestamp());
        let summary = summary.into();
        Self { id, at, summary, payload, settles: None, due: None, told: None, is_owed: false, hops: 0 }
    }

    /// Returns the fact at a dotted path such as `params.id`, as text, for `key` options.
    pub fn fact(&self, path: &str) -> Option<&Value> {
        let mut steps = path.split('.');
        let mut found = self.payload.get(steps.next()?)?;
        for step in steps {
            let Value::Map(map) = found else { return None };
            found = map.get(step)?;
        }
        Some(found)
    }
}
