//! Records of the run history.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::payload;
use crate::config::KeptSuccesses;
use crate::effect::Effect;
use crate::event::{Event, Id};
use crate::fault::Fault;
use crate::run::Outcome;
use crate::runtime::registry::ScriptVersion;
use crate::runtime::report::is_manual;
use crate::runtime::scheduler::RunRequest;
use crate::runtime::settings::Settings;
use crate::services::store::{EncodedRun, NewRun};

/// Longest duration of a successful run that may be counted instead of recorded.
const QUICK: SignedDuration = SignedDuration::from_millis(100);

/// Returns whether a run may be counted instead of recorded if many like it succeed: a quick success at the first attempt.
///
/// Sandboxes record every run, and a run that was fired manually is looked up by its identifier.
pub(super) fn is_routine(
    start: &RunRequest<Arc<ScriptVersion>>,
    outcome: &Outcome,
    took: SignedDuration,
    settings: &Settings,
) -> bool {
    matches!(outcome, Outcome::Succeeded(_))
        && settings.config.history.success == KeptSuccesses::Sample
        && start.attempt == 0
        && took <= QUICK
        && !start.event.given_summary().is_some_and(is_manual)
        && !settings.services.clock.is_simulated()
}

/// Script, version and trigger of a record.
pub(super) struct Origin<'a> {
    pub(super) script: &'a Arc<str>,
    pub(super) version: u64,
    pub(super) trigger: &'a Arc<str>,
}

/// Attempt of a run.
pub(super) struct Attempt<'a> {
    pub(super) id: &'a Id,
    pub(super) number: u32,
    pub(super) started: Timestamp,
    pub(super) effects: &'a [Effect],
}

/// Returns the record of an event that was skipped or has run; `attempt` is `None` if it was skipped.
pub(super) fn record(
    origin: &Origin<'_>,
    event: &Event,
    attempt: Option<&Attempt<'_>>,
    outcome: &Outcome,
    ended: Timestamp,
    settings: &Settings,
) -> EncodedRun {
    let (payload, fidelity) = payload::to_stored(&event.payload, &settings.mask, settings.config.history.payload);
    let report = match outcome {
        Outcome::Failed(fault) | Outcome::TimedOut(fault) => Some(fault.report()),
        _ => None,
    };
    let reason = match outcome {
        Outcome::Skipped(skip) => Some(skip.reason()),
        _ => report.as_deref(),
    };
    let summary = event.summary();
    let run = NewRun {
        id: attempt.map_or(&event.id, |attempt| attempt.id).as_str(),
        script: origin.script.clone(),
        version: origin.version,
        trigger: origin.trigger.clone(),
        event: &settings.mask.apply(&summary),
        payload: &payload,
        fidelity,
        attempt: attempt.map_or(0, |attempt| attempt.number),
        queued: event.at,
        started: attempt.map(|attempt| attempt.started),
        ended,
        outcome: outcome.word(),
        why: reason,
        effects: attempt.map_or(&[], |attempt| attempt.effects),
    };
    run.encode()
}

/// Masks the secrets in the fault of an outcome.
pub(super) fn mask(outcome: Outcome, settings: &Settings) -> Outcome {
    match outcome {
        Outcome::Failed(fault) => Outcome::Failed(mask_fault(fault, settings)),
        Outcome::TimedOut(fault) => Outcome::TimedOut(mask_fault(fault, settings)),
        other => other,
    }
}

fn mask_fault(mut fault: Box<Fault>, settings: &Settings) -> Box<Fault> {
    fault.text = settings.mask.apply(&fault.text).into_owned();
    let hide = |text: &str| settings.mask.apply(text).into_owned();
    fault.source_line = fault.source_line.as_deref().map(hide);
    fault.hint = fault.hint.as_deref().map(hide);
    fault
}
