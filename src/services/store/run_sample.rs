//! Sample of the quick successful runs: the first ones of each trigger and second are recorded, the others are counted.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::mem;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::services::store::omitted_runs::{OmittedRuns, merge};
use crate::services::store::run_record::RunQuery;

/// Runs of one trigger that are recorded in a second.
const MAX_PER_TRIGGER: u32 = 50;
/// Runs of all triggers that are recorded in a second; beyond it only the first one of each trigger is.
const MAX_PER_SECOND: u32 = 1_000;
/// Periods in memory; beyond it those of one trigger are added up. The writing failed for long then.
const MAX_PERIODS: usize = 4_096;

/// Decides which runs are recorded, and counts the others until the writer takes the counts.
#[derive(Default)]
pub(super) struct RunSample(Mutex<SampleState>);

#[derive(Default)]
struct SampleState {
    /// Newest second of a run, and the runs of all triggers that were recorded in it.
    second: i64,
    recorded: u32,
    triggers: HashMap<TriggerKey, TriggerSample, BuildHasherDefault<AddressHasher>>,
    /// Counts of ended seconds, oldest first.
    ended: Vec<OmittedRuns>,
}

/// Addresses of the names of a script and its trigger, which the value keeps alive. A reload changes them, which at most repeats the
/// sample of one second.
type TriggerKey = (usize, usize);

/// Hasher of addresses, which need no protection against chosen keys.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_usize(usize::from(*byte)));
    }

    fn write_usize(&mut self, address: usize) {
        // 2^64 divided by the golden ratio spreads the bits of both addresses over the upper half, which `finish` adds to the lower.
        self.0 = (self.0.rotate_left(32) ^ address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Runs of one trigger in one second.
struct TriggerSample {
    script: Arc<str>,
    trigger: Arc<str>,
    second: i64,
    recorded: u32,
    omitted: u64,
    /// Whether the count changed since the writer last came.
    has_changed: bool,
}

impl RunSample {
    /// Counts a run, unless it belongs to the sample; returns whether it was counted.
    pub(super) fn omit(&self, script: &Arc<str>, trigger: &Arc<str>, ended: Timestamp) -> bool {
        let second = ended.as_second();
        let mut state = self.0.lock();
        let SampleState { second: newest, recorded, triggers, ended } = &mut *state;
        if *newest != second {
            (*newest, *recorded) = (second, 0);
        }
        let key = (Arc::as_ptr(script).addr(), Arc::as_ptr(trigger).addr());
        let sample = triggers.entry(key).or_insert_with(|| TriggerSample::new(script, trigger, second));
        if sample.second != second {
            ended.extend(sample.take());
            (sample.second, sample.recorded) = (second, 0);
        }
        let limit = if *recorded < MAX_PER_SECOND { MAX_PER_TRIGGER } else { 1 };
        if sample.recorded < limit {
            sample.recorded += 1;
            *recorded += 1;
            return false;
        }
        sample.omitted += 1;
        sample.has_changed = true;
        true
    }

    /// Returns whether all counts are on disk.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.0.lock();
        state.ended.is_empty() && state.triggers.values().all(|sample| sample.omitted == 0)
    }

    /// Removes and returns the counts of ended seconds, and of triggers without new runs since the last call.
    pub(super) fn take_ended(&self) -> Vec<OmittedRuns> {
        self.take(|sample, newest| sample.second != newest || !mem::take(&mut sample.has_changed))
    }

    /// Removes and returns all counts.
    pub(super) fn take_all(&self) -> Vec<OmittedRuns> {
        self.take(|_, _| true)
    }

    fn take(&self, mut is_taken: impl FnMut(&mut TriggerSample, i64) -> bool) -> Vec<OmittedRuns> {
        let mut state = self.0.lock();
        let mut taken = mem::take(&mut state.ended);
        let newest = state.second;
        state.triggers.retain(|_, sample| {
            if sample.omitted > 0 && is_taken(sample, newest) {
                taken.extend(sample.take());
            }
            sample.second == newest || sample.omitted > 0
        });
        taken
    }

    /// Puts counts that could not be written back in front.
    pub(super) fn put_back(&self, mut counts: Vec<OmittedRuns>) {
        let mut state = self.0.lock();
        counts.append(&mut state.ended);
        if counts.len() > MAX_PERIODS {
            let mut sums = Vec::new();
            counts.into_iter().for_each(|count| merge(&mut sums, count));
            counts = sums;
        }
        state.ended = counts;
    }

    /// Lists the counts of ended seconds that match a query and end after a moment, newest first.
    pub(super) fn newest(&self, query: &RunQuery, after: Timestamp) -> Vec<OmittedRuns> {
        let state = self.0.lock();
        let is_listed = |omitted: &&OmittedRuns| omitted.until > after && omitted.matches(query);
        state.ended.iter().rev().filter(is_listed).cloned().collect()
    }
}

impl TriggerSample {
    fn new(script: &Arc<str>, trigger: &Arc<str>, second: i64) -> Self {
        let (script, trigger) = (script.clone(), trigger.clone());
        Self { script, trigger, second, recorded: 0, omitted: 0, has_changed: false }
    }

    /// Takes the count of the second, if it has one.
    fn take(&mut self) -> Option<OmittedRuns> {
        let count = mem::take(&mut self.omitted);
        let from = Timestamp::from_second(self.second).ok()?;
        let until = Timestamp::from_second(self.second + 1).ok()?;
        let (script, trigger) = (self.script.clone(), self.trigger.clone());
        (count > 0).then_some(OmittedRuns { script, trigger, from, until, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn names(name: &str) -> (Arc<str>, Arc<str>) {
        ("a".into(), name.into())
    }

    /// Counts runs of a trigger in a second; returns the number of those that are recorded.
    fn recorded(sample: &RunSample, (script, trigger): &(Arc<str>, Arc<str>), second: i64, runs: usize) -> usize {
        (0..runs).filter(|_| !sample.omit(script, trigger, at(second))).count()
    }

    #[test]
    fn the_first_runs_of_each_trigger_and_second_are_recorded_and_the_others_counted() {
        let sample = RunSample::default();
        let (busy, quiet) = (names("busy"), names("quiet"));
        assert_eq!(recorded(&sample, &busy, 0, 200), 50);
        assert_eq!(recorded(&sample, &quiet, 0, 50), 50);
        assert_eq!(recorded(&sample, &busy, 1, 60), 50);
        let counts: Vec<_> =
            sample.take_all().into_iter().map(|count| (count.from, count.until, count.count)).collect();
        assert_eq!(counts, [(at(0), at(1), 150), (at(1), at(2), 10)]);
        assert!(sample.is_empty());
    }

    #[test]
    fn beyond_the_limit_of_all_triggers_only_the_first_run_of_each_is_recorded() {
        let sample = RunSample::default();
        let triggers: Vec<_> = (0..30).map(|number| names(&format!("t{number}"))).collect();
        let kept: Vec<_> = triggers.iter().map(|names| recorded(&sample, names, 0, 50)).collect();
        assert_eq!(kept, [[50; 20].as_slice(), &[1; 10]].concat());
        assert_eq!(recorded(&sample, &triggers[29], 1, 50), 50);
        assert_eq!(sample.take_all().iter().map(|count| count.count).sum::<u64>(), 10 * 49);
    }

    #[test]
    fn the_count_of_a_second_is_taken_once_when_it_has_ended_or_no_run_follows() {
        let sample = RunSample::default();
        let busy = names("busy");
        recorded(&sample, &busy, 0, 60);
        assert!(sample.take_ended().is_empty(), "more runs may follow");
        assert_eq!(sample.take_ended().len(), 1, "none followed");
        assert!(sample.is_empty());
        assert_eq!(recorded(&sample, &busy, 0, 10), 0, "the second goes on");
        assert_eq!(recorded(&sample, &busy, 1, 60), 50);
        assert_eq!(sample.take_ended().iter().map(|count| count.count).collect::<Vec<_>>(), [10]);
        assert!(!sample.is_empty());
    }

    #[test]
    fn counts_that_cannot_be_written_for_long_are_added_up() {
        let sample = RunSample::default();
        let busy = names("busy");
        let seconds = MAX_PERIODS as i64 + 1;
        for second in 0..seconds {
            recorded(&sample, &busy, second, 51);
        }
        sample.put_back(sample.take_all());
        let counts = sample.take_all();
        assert_eq!(counts.len(), 1);
        assert_eq!((counts[0].from, counts[0].until, counts[0].count), (at(0), at(seconds), seconds as u64));
    }
}
