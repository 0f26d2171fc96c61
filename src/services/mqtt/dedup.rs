//! Copies of one message that come in two ways while one filter takes another's place.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far apart the copies of one message may come.
const APART: Duration = Duration::from_millis(200);

/// How a copy came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// For a filter that its subscriber has.
    Own,
    /// For one that was just given up.
    Other,
}

/// What came lately, and how often in each way.
#[derive(Default)]
pub(super) struct Dedup(VecDeque<Recent>);

struct Recent {
    print: u64,
    at: Instant,
    own: u32,
    other: u32,
}

impl Dedup {
    /// Notes a copy; returns whether it is another message than those that came in the other way.
    pub(super) fn is_news(&mut self, print: u64, way: Way, now: Instant) -> bool {
        while self.0.front().is_some_and(|recent| recent.at + APART < now) {
            self.0.pop_front();
        }
        let recent = match self.0.iter().position(|recent| recent.print == print) {
            Some(at) => &mut self.0[at],
            None => {
                self.0.push_back(Recent { print, at: now, own: 0, other: 0 });
                let last = self.0.len() - 1;
                &mut self.0[last]
            }
        };
        let before = recent.own.max(recent.other);
        match way {
            Way::Own => recent.own += 1,
            Way::Other => recent.other += 1,
        }
        recent.own.max(recent.other) > before
    }
}
