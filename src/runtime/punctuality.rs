//! Punctuality of scheduled triggers: expected runs against actual ones.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use crate::event::Scheduled;

/// Number of recent runs that are assessed.
const MAX_RECENT: usize = 10;
/// Minimum number of runs for an assessment.
const MIN_RECENT: usize = 5;
/// Delay after which a run counts as late.
const LATE_AFTER: Duration = Duration::from_secs(2);

/// Punctuality of all triggers since their last declaration, by script and trigger.
#[derive(Default)]
pub(crate) struct PunctualityTracker(Mutex<HashMap<String, HashMap<Arc<str>, TriggerStats>>>);

/// Punctuality of a trigger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Punctuality {
    /// Expected number of runs since its activation.
    pub expected: u64,
    /// Actual number of runs.
    pub ran: u64,
    /// Problem of the recent runs, if there is one.
    pub warning: Option<String>,
}

#[derive(Default)]
struct TriggerStats {
    expected: u64,
    ran: u64,
    recent: VecDeque<RecentRun>,
    assessment: Assessment,
}

struct RecentRun {
    missed: u64,
    late: Duration,
}

/// Assessment of a trigger's recent runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Assessment {
    #[default]
    Fine,
    TooFew,
    Late,
}

impl PunctualityTracker {
    /// Records the start of a run; logs changes of the assessment.
    pub(crate) fn record(&self, script: &str, trigger: &Arc<str>, scheduled: Scheduled, started: Timestamp) {
        let mut all = self.lock();
        if !all.contains_key(script) {
            all.insert(script.to_owned(), HashMap::new());
        }
        let Some(stats) = all.get_mut(script).map(|triggers| triggers.entry(trigger.clone()).or_default()) else {
            return;
        };
        let before = stats.assessment;
        let late = started.duration_since(scheduled.at);
        stats.record(RecentRun { missed: scheduled.missed, late: Duration::try_from(late).unwrap_or_default() });
        if stats.assessment == before {
            return;
        }
        let (ran, should_have_run) = (stats.recent.len(), stats.expected_runs());
        let late = stats.median_delay();
        match stats.assessment {
            Assessment::Fine => tracing::info!(script, %trigger, "is on time again"),
            Assessment::TooFew => {
                tracing::warn!(script, %trigger, ran, should_have_run, "ran less often than scheduled");
            }
            Assessment::Late => {
                let late = crate::units::show_duration(late);
                tracing::warn!(script, %trigger, late, "always runs late: its script is busy at the scheduled time");
            }
        }
    }

    /// Returns the punctuality of a trigger, if it follows a schedule and has run.
    pub(crate) fn of(&self, script: &str, trigger: &str) -> Option<Punctuality> {
        let all = self.lock();
        let stats = all.get(script)?.get(trigger)?;
        let warning = match stats.assessment {
            Assessment::Fine => None,
            Assessment::TooFew => {
                Some(format!("ran {} of the last {} times", stats.recent.len(), stats.expected_runs()))
            }
            Assessment::Late => Some(format!("always late, by {}", crate::units::show_duration(stats.median_delay()))),
        };
        Some(Punctuality { expected: stats.expected, ran: stats.ran, warning })
    }

    /// Removes the triggers of a script that are not listed.
    pub(crate) fn retain(&self, script: &str, triggers: &[String]) {
        let mut all = self.lock();
        if let Some(known) = all.get_mut(script) {
            known.retain(|trigger, _| triggers.iter().any(|kept| **kept == **trigger));
            if known.is_empty() {
                all.remove(script);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashMap<Arc<str>, TriggerStats>>> {
        self.0.lock()
    }
}

impl TriggerStats {
    fn record(&mut self, run: RecentRun) {
        self.expected += 1 + run.missed;
        self.ran += 1;
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(run);
        if self.recent.len() >= MIN_RECENT {
            self.assessment = self.assess();
        }
    }

    /// Assesses the recent runs; unclear results keep the previous assessment.
    fn assess(&self) -> Assessment {
        let newest = || self.recent.iter().rev().take(MIN_RECENT);
        let short = self.recent.iter().filter(|run| run.missed > 0).count();
        let missed: u64 = self.recent.iter().map(|run| run.missed).sum();
        // At least three runs, so that one long pause, as of a suspended machine, does not count.
        if short >= 3 && missed * 5 >= self.expected_runs() {
            Assessment::TooFew
        } else if newest().all(|run| run.late > LATE_AFTER) {
            Assessment::Late
        } else if newest().all(|run| run.missed == 0 && run.late <= LATE_AFTER) {
            Assessment::Fine
        } else {
            self.assessment
        }
    }

    /// Returns the expected number of runs in the time of the recent ones.
    fn expected_runs(&self) -> u64 {
        self.recent.iter().map(|run| 1 + run.missed).sum()
    }

    /// Returns the median delay of the recent runs, in whole milliseconds.
    fn median_delay(&self) -> Duration {
        let mut late: Vec<_> = self.recent.iter().map(|run| run.late).collect();
        late.sort();
        let middle = late.get(late.len() / 2).copied().unwrap_or_default();
        Duration::from_millis(u64::try_from(middle.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assessments(runs: impl IntoIterator<Item = (u64, u64)>) -> Vec<Assessment> {
        let mut stats = TriggerStats::default();
        let mut assessments = Vec::new();
        for (missed, late) in runs {
            stats.record(RecentRun { missed, late: Duration::from_secs(late) });
            if assessments.last() != Some(&stats.assessment) {
                assessments.push(stats.assessment);
            }
        }
        assessments
    }

    #[test]
    fn too_few_runs_are_reported_once_and_so_is_their_end() {
        let activity = std::iter::repeat_n((4, 0), 20);
        assert_eq!(assessments(activity.clone()), [Assessment::Fine, Assessment::TooFew]);
        let quiet = std::iter::repeat_n((0, 0), 20);
        assert_eq!(assessments(activity.chain(quiet)), [Assessment::Fine, Assessment::TooFew, Assessment::Fine]);
    }

    #[test]
    fn one_long_pause_is_not_reported_and_constant_delay_is() {
        let pause = |at: usize| (0..20).map(move |n| if n == at { (500, 0) } else { (0, 0) });
        assert_eq!(assessments(pause(7)), [Assessment::Fine]);
        assert_eq!(assessments((0..20).map(|n| (0, if n % 3 == 0 { 1 } else { 9 }))), [Assessment::Fine]);
        assert_eq!(assessments(std::iter::repeat_n((0, 9), 20)), [Assessment::Fine, Assessment::Late]);
    }

    #[test]
    fn a_removed_trigger_is_forgotten() {
        let tracker = PunctualityTracker::default();
        let at = Timestamp::UNIX_EPOCH;
        for trigger in ["a", "b"] {
            tracker.record("s", &trigger.into(), Scheduled { at, missed: 2 }, at);
        }
        tracker.retain("s", &["b".to_owned()]);
        assert_eq!(tracker.of("s", "a"), None);
        assert_eq!(tracker.of("s", "b"), Some(Punctuality { expected: 3, ran: 1, warning: None }));
    }
}
