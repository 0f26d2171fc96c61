//! Faults that keep coming: told at first, then counted, so that no script fills the disk with one line.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use super::sources::fingerprint;

/// So many times a fault is told in full.
const TOLD: u32 = 10;
/// From then on it is told so often.
const WINDOW: SignedDuration = SignedDuration::from_mins(1);
/// So many faults are told apart; with more, counting begins anew.
const MAX_KNOWN: usize = 10_000;

/// Which faults came lately, by script and text.
#[derive(Default)]
pub(super) struct Repeats(Mutex<HashMap<(Arc<str>, u64), Repeat>>);

struct Repeat {
    since: Timestamp,
    told: u32,
    held: u64,
}

impl Repeats {
    /// Returns what to tell of a fault, if anything.
    pub(super) fn tell(&self, script: &Arc<str>, report: String, now: Timestamp) -> Option<String> {
        let mut known = self.0.lock();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        let fresh = Repeat { since: now, told: 0, held: 0 };
        let repeat = known.entry((script.clone(), fingerprint(&report))).or_insert(fresh);
        let age = now.duration_since(repeat.since);
        // A clock that was set back must not hold faults back for as long.
        if age >= WINDOW || age.is_negative() {
            let held = std::mem::take(&mut repeat.held);
            repeat.since = now;
            repeat.told = if held > 0 { TOLD } else { 1 };
            return Some(if held > 0 { format!("{report}\n({held} times more before this)") } else { report });
        }
        if repeat.told >= TOLD {
            repeat.held += 1;
            return None;
        }
        repeat.told += 1;
        Some(match repeat.told {
            TOLD => format!(
                "{report}\n(this keeps coming: it is told once a minute from now on, and `rhaid runs {script} --failed` lists each)"
            ),
            _ => report,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_keeps_coming_is_told_once_a_minute_with_how_often() {
        let repeats = Repeats::default();
        let script: Arc<str> = "pump".into();
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let tell = |second: i64| repeats.tell(&script, "no water".into(), at(second));
        for second in 0..9 {
            assert_eq!(tell(second).as_deref(), Some("no water"));
        }
        assert_eq!(
            tell(9).as_deref(),
            Some(
                "no water\n(this keeps coming: it is told once a minute from now on, and `rhaid runs pump --failed` lists each)"
            )
        );
        assert_eq!((10..60).filter_map(tell).count(), 0);
        assert_eq!(repeats.tell(&script, "no power".into(), at(30)).as_deref(), Some("no power"), "another fault");
        assert_eq!(tell(60).as_deref(), Some("no water\n(50 times more before this)"));
        assert_eq!((61..120).filter_map(tell).count(), 0);
        assert_eq!(tell(120).as_deref(), Some("no water\n(59 times more before this)"));
        assert_eq!(tell(200).as_deref(), Some("no water"), "it had stopped, and is told in full again");
        assert_eq!(tell(201).as_deref(), Some("no water"));
        assert_eq!(tell(-3_600).as_deref(), Some("no water"), "the clock was set back");
    }
}
