//! Differences between two versions of a script, and their descriptions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::fault::Fault;
use crate::run::Policy;
use crate::units::show_duration;

/// Properties of a trigger that the diff compares.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TriggerInfo {
    /// Digest of the watched thing and the options.
    pub(crate) identity: String,
    /// Short description.
    pub(crate) summary: String,
    /// Run policy.
    pub(crate) policy: Policy,
}

/// Kept and removed triggers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TriggerDiff {
    /// For each new trigger: the index of the old one whose watch continues.
    pub(crate) kept: Vec<Option<usize>>,
    /// Indexes of the old triggers whose watches stop.
    pub(crate) gone: Vec<usize>,
}

/// Compares the triggers of two versions. Equal triggers are matched by name first, then by order.
pub(crate) fn diff(old: &[TriggerInfo], new: &[TriggerInfo]) -> TriggerDiff {
    let is_same = |a: &TriggerInfo, b: &TriggerInfo| a.identity == b.identity && a.policy.disabled == b.policy.disabled;
    let mut free: BTreeSet<usize> = (0..old.len()).collect();
    let mut kept = vec![None; new.len()];
    for with_name in [true, false] {
        for (trigger_info, kept) in new.iter().zip(&mut kept).filter(|(_, kept)| kept.is_none()) {
            let fits = |at: &&usize| {
                is_same(&old[**at], trigger_info) && (!with_name || old[**at].policy.name == trigger_info.policy.name)
            };
            *kept = free.iter().find(fits).copied();
            if let Some(at) = *kept {
                free.remove(&at);
            }
        }
    }
    TriggerDiff { kept, gone: free.into_iter().collect() }
}

/// Describes a diff, such as `+ cron 0 7 * * *, - mqtt_subscribe door/#`; empty if no trigger changes.
pub(crate) fn describe(old: &[TriggerInfo], new: &[TriggerInfo], diff: &TriggerDiff) -> String {
    let come =
        new.iter().zip(&diff.kept).filter(|(_, kept)| kept.is_none()).map(|(trigger_info, _)| show('+', trigger_info));
    let gone = diff.gone.iter().map(|at| show('-', &old[*at]));
    let changed = new
        .iter()
        .zip(&diff.kept)
        .filter(|(trigger_info, kept)| kept.is_some_and(|at| old[at].policy != trigger_info.policy));
    let changed = changed.map(|(trigger_info, _)| show('~', trigger_info));
    come.chain(gone).chain(changed).collect::<Vec<_>>().join(", ")
}

fn show(sign: char, trigger_info: &TriggerInfo) -> String {
    format!("{sign} {}{}", trigger_info.summary, if trigger_info.policy.disabled { " (disabled)" } else { "" })
}

/// Returns the log message for an activated version.
pub(crate) fn accepted_message(verb: &str, name: &str, number: u64, took: Duration, changes: &str) -> String {
    let rest = if changes.is_empty() { String::new() } else { format!(": {changes}") };
    let took =
        if took < Duration::from_secs(1) { format!("{} ms", took.as_millis().max(1)) } else { show_duration(took) };
    format!("{verb} {name} v{number} ({took}){rest}")
}

/// Returns the warning for a script without triggers.
pub(crate) fn no_trigger_warning(name: &str) -> String {
    format!(
        "{name} declares no trigger and never runs: bind it as a job in rhaid.yaml under `triggers:`, or run it with `rhaid exec`"
    )
}

/// Returns the log message for a rejected version, with the version that stays active.
pub(crate) fn rejected_message(kept: Option<u64>, number: u64, faults: &[Fault]) -> String {
    let head = match kept {
        Some(kept) => format!("kept v{kept}, v{number} rejected: "),
        None => "not started: ".to_owned(),
    };
    let reports: Vec<String> = faults.iter().map(Fault::report).collect();
    format!("{head}{}", reports.join("\n"))
}

/// Groups scripts that share a changed file: a group is replaced together or not at all.
pub(crate) fn groups(changed_files: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let mut groups: Vec<(BTreeSet<&String>, Vec<String>)> = Vec::new();
    for (script, files) in changed_files {
        let (same, others) = groups.into_iter().partition(|(known, _)| files.iter().any(|file| known.contains(file)));
        groups = others;
        let mut merged = (files.iter().collect::<BTreeSet<_>>(), vec![script.clone()]);
        for (known, scripts) in same {
            let _: &Vec<String> = &scripts;
            merged.0.extend(known);
            merged.1.extend(scripts);
        }
        merged.1.sort();
        groups.push(merged);
    }
    let mut groups: Vec<Vec<String>> = groups.into_iter().map(|(_, scripts)| scripts).collect();
    groups.sort();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::SourceLocation;

    fn trigger_info(identity: &str, name: &str) -> TriggerInfo {
        let policy = Policy { name: Some(name.into()), ..Policy::default() };
        TriggerInfo { identity: identity.into(), summary: identity.into(), policy }
    }

    #[test]
    fn an_unchanged_trigger_is_kept_at_any_position() {
        let (old, new) = (
            [trigger_info("a", "a"), trigger_info("b", "b")],
            [trigger_info("b", "b"), trigger_info("c", "c"), trigger_info("a", "a")],
        );
        let diff = diff(&old, &new);
        assert_eq!(diff, TriggerDiff { kept: vec![Some(1), None, Some(0)], gone: vec![] });
        assert_eq!(describe(&old, &new, &diff), "+ c");
    }

    #[test]
    fn of_two_equal_triggers_the_one_with_the_same_name_is_kept() {
        let diff = diff(&[trigger_info("a", "one"), trigger_info("a", "two")], &[trigger_info("a", "two")]);
        assert_eq!(diff, TriggerDiff { kept: vec![Some(1)], gone: vec![0] });
    }

    #[test]
    fn a_disabled_trigger_is_removed_and_one_with_other_options_is_listed() {
        let (old, mut new) =
            ([trigger_info("a", "a"), trigger_info("b", "b")], [trigger_info("a", "a"), trigger_info("b", "b")]);
        new[0].policy.disabled = true;
        new[1].policy.max = Some(1);
        let diff = diff(&old, &new);
        assert_eq!(describe(&old, &new, &diff), "+ a (disabled), - a, ~ b");
    }

    #[test]
    fn the_accepted_message_contains_the_duration() {
        let line = |micros| accepted_message("reloaded", "thermostat", 4, Duration::from_micros(micros), "+ a, - b");
        assert_eq!(line(3_200), "reloaded thermostat v4 (3 ms): + a, - b");
        assert_eq!(line(900), "reloaded thermostat v4 (1 ms): + a, - b");
        assert_eq!(line(1_500_000), "reloaded thermostat v4 (1.5s): + a, - b");
    }

    #[test]
    fn the_rejected_message_contains_the_kept_version_and_the_fault() {
        let fault =
            Fault::new(SourceLocation { file: "thermostat.rhai".into(), line: 8, column: 14 }, "unknown variable `x`");
        assert_eq!(
            rejected_message(Some(3), 4, &[fault]),
            "kept v3, v4 rejected: thermostat.rhai:8:14: unknown variable `x`"
        );
    }

    #[test]
    fn scripts_that_share_a_changed_file_belong_together() {
        let files = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let changed = BTreeMap::from([
            ("a".to_owned(), files(&["_lib/x"])),
            ("b".to_owned(), files(&["_lib/y"])),
            ("c".to_owned(), files(&["_lib/x", "_lib/y"])),
            ("d".to_owned(), files(&["d.rhai"])),
        ]);
        assert_eq!(groups(&changed), [vec!["a", "b", "c"], vec!["d"]]);
    }
}
