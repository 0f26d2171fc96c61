//! Loads scripts, several side by side, beside those that are live.

use std::collections::HashSet;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::settings::Settings;
use super::sources::{Seen, Snapshot, Watched};
use crate::config::{Binding, Config, Need};
use crate::fault::{Fault, Place};
use crate::options::nearest;
use crate::script::{Declared, Purpose, Script, Sources as _};
use crate::triggers::{KINDS, Surroundings, Want, Written};

/// A script to load.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Its name.
    pub(crate) name: String,
    /// Its file below the scripts folder.
    pub(crate) file: String,
    /// Whether it runs whole.
    pub(crate) is_job: bool,
}

/// What came of it.
pub(crate) struct Loaded {
    /// What was asked for.
    pub(crate) request: Request,
    /// The script, or every fault that was found.
    pub(crate) result: Result<Script, Vec<Fault>>,
    /// What was read.
    pub(crate) seen: Seen,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Loads scripts on a few threads, and has something done with each on its thread. Blocks until all are done; in the order of the requests.
pub(crate) fn load_all<T: Send>(
    requests: &[Request],
    snapshot: &Arc<Snapshot>,
    settings: &Arc<Settings>,
    then: impl Fn(Loaded) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(requests.len()));
    let threads = std::thread::available_parallelism().map_or(2, NonZero::get).saturating_mul(2).min(requests.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(request) = requests.get(at) else { return };
                    let result = then(load(request, snapshot, settings));
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

fn load(request: &Request, snapshot: &Arc<Snapshot>, settings: &Arc<Settings>) -> Loaded {
    let started = Instant::now();
    let watched = Arc::new(Watched::new(snapshot.clone()));
    let result = match watched.read(&request.file) {
        Err(why) if request.is_job => Err(unreadable_job(&settings.config.triggers, &request.file, &why)),
        // A file that can not be read is told in the words of who reads files.
        Err(why) => {
            let place = Place { file: request.file.clone(), ..Place::default() };
            Err(vec![Fault::new(place, why)])
        }
        Ok(_) => load_text(request, &watched, settings),
    };
    Loaded { request: request.clone(), result, seen: watched.take_seen(), took: started.elapsed() }
}

/// Returns the faults of a job whose file can not be read: wherever it is bound.
pub fn unreadable_job(bindings: &[Binding], file: &str, why: &str) -> Vec<Fault> {
    bindings.iter().filter(|binding| binding.job == file).map(|binding| binding.job_fault(why)).collect()
}

fn load_text(request: &Request, watched: &Arc<Watched>, settings: &Settings) -> Result<Script, Vec<Fault>> {
    let purpose = if request.is_job { Purpose::Job } else { Purpose::Handlers };
    let config = &settings.config;
    let mut script = Script::load(&request.file, &purpose, watched.clone(), config, &settings.surroundings)?;
    if request.is_job {
        let bindings = config.triggers.iter().filter(|binding| binding.job == request.file);
        script.declared = bind(bindings, config, &settings.surroundings)?;
    }
    Ok(script)
}

/// Reads the triggers that `triggers:` binds to one job, and names them; touches nothing outside.
///
/// # Errors
/// Every fault, at its binding's place.
pub fn bind<'a>(
    bindings: impl IntoIterator<Item = &'a Binding>,
    config: &Config,
    surroundings: &Surroundings,
) -> Result<Vec<Declared>, Vec<Fault>> {
    let (mut declared, mut faults) = (Vec::new(), Vec::new());
    let mut names = HashSet::new();
    for binding in bindings {
        match read(binding, config, surroundings) {
            Ok(mut bound) => {
                let name = bound.policy.name.clone().unwrap_or_else(|| bound.trigger.summary());
                let numbered = (2..).map(|number| format!("{name} ({number})"));
                bound.policy.name =
                    std::iter::once(name.clone()).chain(numbered).find(|name| names.insert(name.clone()));
                declared.push(bound);
            }
            Err(fault) => faults.push(*fault),
        }
    }
    if faults.is_empty() { Ok(declared) } else { Err(faults) }
}

fn read(binding: &Binding, config: &Config, surroundings: &Surroundings) -> Result<Declared, Box<Fault>> {
    let Some(kind) = KINDS.iter().find(|kind| kind.name == binding.kind) else {
        let known = || KINDS.iter().map(|kind| kind.name);
        let unknown = binding.fault(None, format!("there is no trigger `{}`", binding.kind));
        let hint = match nearest(&binding.kind, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are: {}", known().collect::<Vec<_>>().join(", ")),
        };
        return Err(unknown.with_hint(hint).into());
    };
    let Written { trigger, kind, identity, policy } =
        crate::triggers::read(kind, binding.arguments.clone(), binding.options.clone(), surroundings)
            .map_err(|wrong| binding.fault(wrong.option.as_deref(), wrong.message))?;
    let script = super::sources::script_name(&binding.job);
    for want in trigger.needs() {
        let need = match &want {
            Want::Subscribe(filter) => Need::Subscribe(filter),
            Want::Read(folder) => Need::Read(folder),
        };
        let allowed = config.permissions.check(script, need);
        allowed.map_err(|denied| binding.fault(None, denied.message).with_hint(denied.hint))?;
    }
    Ok(Declared { trigger, kind: kind.name, identity, policy, place: binding.place.clone(), handler: 0 })
}
