//! Detection of messages that arrive twice while one filter replaces another.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Longest time between the copies of one message.
const MAX_DISTANCE: Duration = Duration::from_millis(200);

/// The filter for which a copy was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A filter of its subscriber.
    Current,
    /// A filter that has just been removed.
    Removed,
}

/// Recent messages, with the number of copies from each source.
#[derive(Default)]
pub(super) struct Dedup(VecDeque<Recent>);

struct Recent {
    fingerprint: u64,
    at: Instant,
    current: u32,
    removed: u32,
}

impl Dedup {
    /// Counts a copy; returns whether it is a new message, not a copy of one from the other source.
    pub(super) fn is_new(&mut self, fingerprint: u64, source: Source, now: Instant) -> bool {
        while self.0.front().is_some_and(|recent| recent.at + MAX_DISTANCE < now) {
            self.0.pop_front();
        }
        let recent = match self.0.iter().position(|recent| recent.fingerprint == fingerprint) {
            Some(at) => &mut self.0[at],
            None => {
                self.0.push_back(Recent { fingerprint, at: now, current: 0, removed: 0 });
                let last = self.0.len() - 1;
                &mut self.0[last]
            }
        };
        let before = recent.current.max(recent.removed);
        match source {
            Source::Current => recent.current += 1,
            Source::Removed => recent.removed += 1,
        }
        recent.current.max(recent.removed) > before
    }
}
