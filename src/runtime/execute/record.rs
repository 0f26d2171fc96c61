//! Records of the run history.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::payload;
use crate::config::KeptSuccesses;
use crate::event::Event;
use crate::fault::Fault;
use crate::run::{Outcome, Skip};
use crate::runtime::registry::ScriptVersion;
use crate::runtime::report::is_manual;
use crate::runtime::scheduler::RunRequest;
use crate::runtime::settings::Settings;
use crate::services::store::RunRecord;

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

/// Returns the record of a skipped event; script and trigger are left empty.
pub(super) fn skipped(
    version: &ScriptVersion,
    event: &Event,
    skip: &Skip,
    settings: &Settings,
    now: Timestamp,
) -> RunRecord {
    RunRecord { version: version.number, ended: now, ..of_event(event, &Outcome::Skipped(skip.clone()), settings) }
}

/// Returns the record of a finished run; identifier, times and effects are left to the caller.
pub(super) fn finished(start: &RunRequest<Arc<ScriptVersion>>, outcome: &Outcome, settings: &Settings) -> RunRecord {
    RunRecord {
        script: start.script.to_string(),
        version: start.version.number,
        trigger: start.target.name.to_string(),
        attempt: start.attempt,
        ..of_event(&start.event, outcome, settings)
    }
}

fn of_event(event: &Event, outcome: &Outcome, settings: &Settings) -> RunRecord {
    let (payload, fidelity) = payload::to_stored(&event.payload, &settings.mask, settings.config.history.payload);
    let why = match outcome {
        Outcome::Failed(fault) | Outcome::TimedOut(fault) => Some(fault.report()),
        Outcome::Skipped(skip) => Some(skip.reason().to_owned()),
        Outcome::Succeeded(_) | Outcome::Cancelled => None,
    };
    RunRecord {
        id: event.id.to_string(),
        script: String::new(),
        version: 0,
        trigger: String::new(),
        event: settings.mask.apply(&event.summary()).into_owned(),
        payload,
        fidelity,
        attempt: 0,
        queued: event.at,
        started: None,
        ended: event.at,
        outcome: outcome.word().to_owned(),
        why,
        effects: Vec::new(),
    }
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
