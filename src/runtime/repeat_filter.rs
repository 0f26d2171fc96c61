//! Suppression of repeated failures in the log, so that no script fills the disk with one line.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use super::sources::fingerprint;

/// Number of times that a failure is logged in full.
const MAX_REPORTS: u32 = 10;
/// Interval between the reports after that.
const WINDOW: SignedDuration = SignedDuration::from_mins(1);
/// Maximum number of distinct failures; the counts are reset beyond it.
const MAX_KNOWN: usize = 10_000;

/// Recent failures, by script and text.
#[derive(Default)]
pub(super) struct RepeatFilter(Mutex<HashMap<(Arc<str>, u64), Repeat>>);

struct Repeat {
    since: Timestamp,
    reported: u32,
    suppressed: u64,
}

impl RepeatFilter {
    /// Returns the report to log for a failure; `None` if it is suppressed.
    pub(super) fn filter(&self, script: &Arc<str>, report: String, now: Timestamp) -> Option<String> {
        let mut known = self.0.lock();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        let new = Repeat { since: now, reported: 0, suppressed: 0 };
        let repeat = known.entry((script.clone(), fingerprint(&report))).or_insert(new);
        let age = now.duration_since(repeat.since);
        // A clock that was set back must not suppress failures for that long.
        if age >= WINDOW || age.is_negative() {
            let suppressed = std::mem::take(&mut repeat.suppressed);
            repeat.since = now;
            repeat.reported = if suppressed > 0 { MAX_REPORTS } else { 1 };
            return Some(if suppressed > 0 {
                format!("{report}\n({suppressed} times more before this)")
            } else {
                report
            });
        }
        if repeat.reported >= MAX_REPORTS {
            repeat.suppressed += 1;
            return None;
        }
        repeat.reported += 1;
        Some(match repeat.reported {
            MAX_REPORTS => format!(
                "{report}\n(this failure repeats: it is logged once a minute from now on; `rhaid runs {script} --failed` lists each)"
            ),
            _ => report,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_failure_is_logged_once_a_minute_with_its_count() {
        let filter_state = RepeatFilter::default();
        let script: Arc<str> = "pump".into();
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let filter = |second: i64| filter_state.filter(&script, "no water".into(), at(second));
        for second in 0..9 {
            assert_eq!(filter(second).as_deref(), Some("no water"));
        }
        assert_eq!(
            filter(9).as_deref(),
            Some(
                "no water\n(this failure repeats: it is logged once a minute from now on; `rhaid runs pump --failed` lists each)"
            )
        );
        assert_eq!((10..60).filter_map(filter).count(), 0);
        assert_eq!(
            filter_state.filter(&script, "no power".into(), at(30)).as_deref(),
            Some("no power"),
            "another fault"
        );
        assert_eq!(filter(60).as_deref(), Some("no water\n(50 times more before this)"));
        assert_eq!((61..120).filter_map(filter).count(), 0);
        assert_eq!(filter(120).as_deref(), Some("no water\n(59 times more before this)"));
        assert_eq!(filter(200).as_deref(), Some("no water"), "it had stopped, and is logged in full again");
        assert_eq!(filter(201).as_deref(), Some("no water"));
        assert_eq!(filter(-3_600).as_deref(), Some("no water"), "the clock was set back");
    }
}
