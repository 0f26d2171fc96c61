//! Sliding-window rate limit.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

/// Times within the window, oldest first.
#[derive(Debug, Default)]
pub(super) struct RateWindow {
    times: VecDeque<Timestamp>,
}

impl RateWindow {
    /// Counts one more at `now`, unless `count` were counted within the last `per`; returns whether it was counted.
    pub(super) fn admit(&mut self, now: Timestamp, count: usize, per: Duration) -> bool {
        // After the clock was set back, times in the future are dropped; otherwise they would block the window.
        while self.times.back().is_some_and(|last| *last > now) {
            self.times.pop_back();
        }
        let over = |first: &Timestamp| first.checked_add(per).is_ok_and(|end| end <= now);
        while self.times.front().is_some_and(over) {
            self.times.pop_front();
        }
        let admitted = self.times.len() < count;
        if admitted {
            self.times.push_back(now);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_applies_until_the_oldest_time_leaves_the_window() {
        let mut window = RateWindow::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut admit = |second| window.admit(at(second), 2, Duration::from_secs(10));
        assert_eq!([0, 1, 2, 9, 10, 10, 11].map(&mut admit), [true, true, false, false, true, false, true]);
    }

    #[test]
    fn a_clock_set_back_does_not_block_the_window() {
        let mut window = RateWindow::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(window.admit(at(1_000), 1, Duration::from_secs(10)));
        assert!(window.admit(at(10), 1, Duration::from_secs(10)));
    }
}
