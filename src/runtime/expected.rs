//! What should have run against what did, for triggers that know their times.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use crate::event::Scheduled;

/// How many of a trigger's last runs say whether it keeps its times.
const LAST: usize = 10;
/// With fewer runs than this nothing is said.
const ENOUGH: usize = 5;
/// A run that starts later than this after its time is late.
const LATE: Duration = Duration::from_secs(2);

/// How triggers keep their times since they were last declared, by script and trigger.
#[derive(Default)]
pub(crate) struct Expected(Mutex<HashMap<String, HashMap<Arc<str>, Record>>>);

/// How a trigger keeps its times.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Times {
    /// How many runs there should have been since it went live.
    pub expected: u64,
    /// How many there were.
    pub ran: u64,
    /// What is wrong with the last ones, if something is.
    pub warning: Option<String>,
}

#[derive(Default)]
struct Record {
    expected: u64,
    ran: u64,
    last: VecDeque<Run>,
    verdict: Verdict,
}

struct Run {
    missed: u64,
    late: Duration,
}

/// What is to be said of a trigger's last runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Verdict {
    #[default]
    Fine,
    TooFew,
    Late,
}

impl Expected {
    /// Counts a run that started; says in the log when a trigger begins to miss its times, and when it keeps them again.
    pub(crate) fn count(&self, script: &str, trigger: &Arc<str>, due: Scheduled, started: Timestamp) {
        let mut all = self.lock();
        if !all.contains_key(script) {
            all.insert(script.to_owned(), HashMap::new());
        }
        let Some(record) = all.get_mut(script).map(|triggers| triggers.entry(trigger.clone()).or_default()) else {
            return;
        };
        let before = record.verdict;
        let late = started.duration_since(due.at);
        record.count(Run { missed: due.missed, late: Duration::try_from(late).unwrap_or_default() });
        if record.verdict == before {
            return;
        }
        let (ran, should_have_run) = (record.last.len(), record.should());
        let late = record.lateness();
        match record.verdict {
            Verdict::Fine => tracing::info!(script, %trigger, "keeps its times again"),
            Verdict::TooFew => {
                tracing::warn!(script, %trigger, ran, should_have_run, "ran less often than it should have");
            }
            Verdict::Late => {
                let late = crate::units::show_duration(late);
                tracing::warn!(script, %trigger, late, "always runs late: its script is busy when its time comes");
            }
        }
    }

    /// Returns how a trigger keeps its times, if it has any and ran.
    pub(crate) fn times(&self, script: &str, trigger: &str) -> Option<Times> {
        let all = self.lock();
        let record = all.get(script)?.get(trigger)?;
        let warning = match record.verdict {
            Verdict::Fine => None,
            Verdict::TooFew => Some(format!("ran {} of the last {} times", record.last.len(), record.should())),
            Verdict::Late => Some(format!("always late, by {}", crate::units::show_duration(record.lateness()))),
        };
        Some(Times { expected: record.expected, ran: record.ran, warning })
    }

    /// Forgets the triggers of a script that are not among these.
    pub(crate) fn keep_only(&self, script: &str, triggers: &[String]) {
        let mut all = self.lock();
        if let Some(known) = all.get_mut(script) {
            known.retain(|trigger, _| triggers.iter().any(|kept| **kept == **trigger));
            if known.is_empty() {
                all.remove(script);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashMap<Arc<str>, Record>>> {
        self.0.lock()
    }
}

impl Record {
    fn count(&mut self, run: Run) {
        self.expected += 1 + run.missed;
        self.ran += 1;
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(run);
        if self.last.len() >= ENOUGH {
            self.verdict = self.judge();
        }
    }

    /// Judges the last runs; between good and bad it stays as it was.
    fn judge(&self) -> Verdict {
        let newest = || self.last.iter().rev().take(ENOUGH);
        let short = self.last.iter().filter(|run| run.missed > 0).count();
        let missed: u64 = self.last.iter().map(|run| run.missed).sum();
        // One long pause, as of a machine that slept, is no habit.
        if short >= 3 && missed * 5 >= self.should() {
            Verdict::TooFew
        } else if newest().all(|run| run.late > LATE) {
            Verdict::Late
        } else if newest().all(|run| run.missed == 0 && run.late <= LATE) {
            Verdict::Fine
        } else {
            self.verdict
        }
    }

    /// Returns how many of the last runs there should have been.
    fn should(&self) -> u64 {
        self.last.iter().map(|run| 1 + run.missed).sum()
    }

    /// Returns how late the middle one of the last runs was, in whole milliseconds.
    fn lateness(&self) -> Duration {
        let mut late: Vec<_> = self.last.iter().map(|run| run.late).collect();
        late.sort();
        let middle = late.get(late.len() / 2).copied().unwrap_or_default();
        Duration::from_millis(u64::try_from(middle.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(runs: impl IntoIterator<Item = (u64, u64)>) -> Vec<Verdict> {
        let mut record = Record::default();
        let mut verdicts = Vec::new();
        for (missed, late) in runs {
            record.count(Run { missed, late: Duration::from_secs(late) });
            if verdicts.last() != Some(&record.verdict) {
                verdicts.push(record.verdict);
            }
        }
        verdicts
    }

    #[test]
    fn a_habit_of_too_few_runs_is_told_once_and_so_is_its_end() {
        let activity = std::iter::repeat_n((4, 0), 20);
        assert_eq!(verdicts(activity.clone()), [Verdict::Fine, Verdict::TooFew]);
        let quiet = std::iter::repeat_n((0, 0), 20);
        assert_eq!(verdicts(activity.chain(quiet)), [Verdict::Fine, Verdict::TooFew, Verdict::Fine]);
    }

    #[test]
    fn one_long_pause_is_no_habit_and_always_late_is() {
        let pause = |at: usize| (0..20).map(move |n| if n == at { (500, 0) } else { (0, 0) });
        assert_eq!(verdicts(pause(7)), [Verdict::Fine]);
        assert_eq!(verdicts((0..20).map(|n| (0, if n % 3 == 0 { 1 } else { 9 }))), [Verdict::Fine]);
        assert_eq!(verdicts(std::iter::repeat_n((0, 9), 20)), [Verdict::Fine, Verdict::Late]);
    }

    #[test]
    fn a_trigger_that_is_gone_is_forgotten() {
        let expected = Expected::default();
        let at = Timestamp::UNIX_EPOCH;
        for trigger in ["a", "b"] {
            expected.count("s", &trigger.into(), Scheduled { at, missed: 2 }, at);
        }
        expected.keep_only("s", &["b".to_owned()]);
        assert_eq!(expected.times("s", "a"), None);
        assert_eq!(expected.times("s", "b"), Some(Times { expected: 3, ran: 1, warning: None }));
    }
}
