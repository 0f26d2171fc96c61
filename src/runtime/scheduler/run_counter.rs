//! Counter of the runs in the last ten seconds, for the circuit breaker.

use jiff::Timestamp;

/// Number of slots; the window moves by one slot at a time.
const SLOTS: i64 = 20;
/// Length of a slot, in milliseconds.
const SLOT: i64 = 500;

/// Runs in the last ten seconds. Takes the same memory at any rate, unlike a list of times.
#[derive(Debug, Default)]
pub(super) struct RunCounter {
    counts: [u32; SLOTS as usize],
    /// Number of the newest slot since the epoch.
    newest: i64,
    total: usize,
}

impl RunCounter {
    /// Counts a run at `now`, unless there were `limit` in the last ten seconds; returns whether it was counted.
    pub(super) fn admit(&mut self, now: Timestamp, limit: usize) -> bool {
        self.advance(now.as_millisecond().div_euclid(SLOT));
        let is_admitted = self.total < limit;
        if is_admitted {
            self.total += 1;
            self.counts[self.newest.rem_euclid(SLOTS) as usize] += 1;
        }
        is_admitted
    }

    /// Clears the slots that have left the window; all of them if the clock was set back.
    fn advance(&mut self, slot: i64) {
        let passed = slot - self.newest;
        if passed == 0 {
            return;
        }
        if !(0..SLOTS).contains(&passed) {
            *self = Self { newest: slot, ..Self::default() };
            return;
        }
        for left in self.newest + 1..=slot {
            self.total -= std::mem::take(&mut self.counts[left.rem_euclid(SLOTS) as usize]) as usize;
        }
        self.newest = slot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn the_limit_applies_until_the_runs_leave_the_window() {
        let mut counter = RunCounter::default();
        let mut admit = |millis| counter.admit(at(millis), 2);
        assert_eq!([0, 900, 1_000, 9_400].map(&mut admit), [true, true, false, false]);
        assert_eq!([10_000, 10_100, 10_600, 10_700].map(&mut admit), [true, false, true, false]);
        assert_eq!([60_000, 60_001, 60_002].map(&mut admit), [true, true, false]);
    }

    #[test]
    fn a_clock_set_back_does_not_block_the_window() {
        let mut counter = RunCounter::default();
        assert!(counter.admit(at(1_000_000), 1));
        assert!(!counter.admit(at(1_000_000), 1));
        assert!(counter.admit(at(10_000), 1));
        assert!(!counter.admit(at(10_001), 1));
    }
}
