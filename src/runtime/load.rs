//! Loads scripts in parallel while others are active; slow scripts do not delay the others.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::settings::Settings;
use super::sources::{FileFingerprints, Snapshot, TrackedSources};
use crate::config::{Binding, Config};
use crate::fault::{Fault, SourceLocation};
use crate::options::nearest;
use crate::script::{Declaration, Purpose, Script, Sources as _};
use crate::triggers::{KINDS, TriggerContext, TriggerSpec};

/// Request to load a script.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Name of the script.
    pub(crate) name: String,
    /// File, relative to the scripts folder.
    pub(crate) file: String,
    /// Whether the file is a job, which runs as a whole.
    pub(crate) is_job: bool,
}

/// Result of a load.
pub(crate) struct Loaded {
    /// The request.
    pub(crate) request: Request,
    /// The script, or all faults that were found.
    pub(crate) result: Result<Script, Vec<Fault>>,
    /// Fingerprints of all files that were read.
    pub(crate) fingerprints: FileFingerprints,
    /// Duration.
    pub(crate) took: Duration,
}

/// Loading time after which the other scripts are activated first.
const SLOW_AFTER: Duration = Duration::from_secs(1);

/// Loads scripts on several threads. Blocks until all are loaded.
///
/// Passes them on in batches: first all that are not slow, in the order of the requests, then the slow ones as they finish.
pub(crate) fn load_all<T: Send>(
    requests: &[Request],
    load: impl Fn(&Request) -> T + Sync,
    mut hand_over: impl FnMut(Vec<T>),
) {
    let round = LoadRound { requests, state: Mutex::default(), changed: Condvar::new() };
    let threads = std::thread::available_parallelism().map_or(2, NonZero::get).saturating_mul(2).min(requests.len());
    std::thread::scope(|scope| {
        let add_thread = || drop(scope.spawn(|| round.work(&load)));
        (0..threads).for_each(|_| add_thread());
        while let Some(batch) = round.batch(add_thread) {
            hand_over(batch);
        }
    });
}

/// Scripts that are loaded together.
struct LoadRound<'r, T> {
    requests: &'r [Request],
    state: Mutex<RoundState<T>>,
    changed: Condvar,
}

/// Progress, by the index of the request.
struct RoundState<T> {
    next: usize,
    loading: BTreeMap<usize, Loading>,
    done: BTreeMap<usize, std::thread::Result<T>>,
}

impl<T> Default for RoundState<T> {
    fn default() -> Self {
        Self { next: 0, loading: BTreeMap::new(), done: BTreeMap::new() }
    }
}

/// Script that is being loaded.
struct Loading {
    since: Instant,
    /// Whether the other scripts no longer wait for it. Another thread has taken over from the one that loads it.
    is_slow: bool,
}

impl<T> LoadRound<'_, T> {
    /// Loads one script after another, until none is left or another thread has taken over.
    fn work(&self, load: impl Fn(&Request) -> T) {
        loop {
            let mut state = self.lock();
            let at = state.next;
            let Some(request) = self.requests.get(at) else { return };
            state.next += 1;
            state.loading.insert(at, Loading { since: Instant::now(), is_slow: false });
            drop(state);
            // A panic is passed on to the waiting thread, which would otherwise wait forever.
            let loaded = catch_unwind(AssertUnwindSafe(|| load(request)));
            let mut state = self.lock();
            let was_slow = state.loading.remove(&at).is_some_and(|loading| loading.is_slow);
            state.done.insert(at, loaded);
            self.changed.notify_one();
            if was_slow {
                return;
            }
        }
    }

    /// Waits for the next batch; `None` if all are loaded. Adds a thread in place of each that a slow script occupies.
    fn batch(&self, add_thread: impl Fn()) -> Option<Vec<T>> {
        let mut state = self.lock();
        loop {
            let RoundState { next, loading, done } = &mut *state;
            for slow in loading.values_mut().filter(|loading| !loading.is_slow && loading.since.elapsed() >= SLOW_AFTER)
            {
                slow.is_slow = true;
                add_thread();
            }
            let waits = *next < self.requests.len() || loading.values().any(|loading| !loading.is_slow);
            if !waits && !done.is_empty() {
                let done = std::mem::take(done).into_values();
                return Some(done.map(|loaded| loaded.unwrap_or_else(|panic| resume_unwind(panic))).collect());
            }
            if !waits && loading.is_empty() {
                return None;
            }
            let in_time = loading.values().filter(|loading| !loading.is_slow).map(|loading| loading.since).min();
            let patience =
                in_time.map_or(SLOW_AFTER, |since| (since + SLOW_AFTER).saturating_duration_since(Instant::now()));
            self.changed.wait_for(&mut state, patience);
        }
    }

    fn lock(&self) -> MutexGuard<'_, RoundState<T>> {
        self.state.lock()
    }
}

/// Loads one script; blocks.
pub(crate) fn load(request: &Request, snapshot: &Arc<Snapshot>, settings: &Arc<Settings>) -> Loaded {
    let started = Instant::now();
    let tracked = Arc::new(TrackedSources::new(snapshot.clone()));
    let result = match tracked.read(&request.file) {
        Err(why) if request.is_job => Err(unreadable_job(&settings.config.triggers, &request.file, &why)),
        // The file access error is specific enough to be the message.
        Err(why) => {
            let place = SourceLocation { file: request.file.clone(), ..SourceLocation::default() };
            Err(vec![Fault::new(place, why)])
        }
        Ok(_) => load_text(request, &tracked, settings),
    };
    Loaded { request: request.clone(), result, fingerprints: tracked.take_fingerprints(), took: started.elapsed() }
}

/// Returns the faults of a job whose file cannot be read, one per binding.
pub fn unreadable_job(bindings: &[Binding], file: &str, why: &str) -> Vec<Fault> {
    bindings.iter().filter(|binding| binding.job == file).map(|binding| binding.job_fault(why)).collect()
}

fn load_text(request: &Request, tracked: &Arc<TrackedSources>, settings: &Settings) -> Result<Script, Vec<Fault>> {
    let purpose = if request.is_job { Purpose::Job } else { Purpose::Handlers };
    let config = &settings.config;
    let _running = settings.services.store.mark_running(&request.name.as_str().into());
    let mut script = Script::load(&request.file, &purpose, tracked.clone(), config, &settings.trigger_context)?;
    if request.is_job {
        let bindings = config.triggers.iter().filter(|binding| binding.job == request.file);
        script.declarations = bind(bindings, config, &settings.trigger_context)?;
    }
    Ok(script)
}

/// Reads the triggers that `triggers:` binds to one job, and names them; has no side effects.
///
/// # Errors
/// All faults, with the locations of their bindings.
pub fn bind<'a>(
    bindings: impl IntoIterator<Item = &'a Binding>,
    config: &Config,
    trigger_context: &TriggerContext,
) -> Result<Vec<Declaration>, Vec<Fault>> {
    let (mut declarations, mut faults) = (Vec::new(), Vec::new());
    let mut names = HashSet::new();
    for binding in bindings {
        match read(binding, config, trigger_context) {
            Ok(mut declared) => {
                let name = declared.policy.name.clone().unwrap_or_else(|| declared.trigger.summary());
                let numbered = (2..).map(|number| format!("{name} ({number})"));
                declared.policy.name =
                    std::iter::once(name.clone()).chain(numbered).find(|name| names.insert(name.clone()));
                declarations.push(declared);
            }
            Err(fault) => faults.push(*fault),
        }
    }
    if faults.is_empty() { Ok(declarations) } else { Err(faults) }
}

fn read(binding: &Binding, config: &Config, trigger_context: &TriggerContext) -> Result<Declaration, Box<Fault>> {
    let Some(kind) = KINDS.iter().find(|kind| kind.name == binding.kind) else {
        let known = || KINDS.iter().map(|kind| kind.name);
        let unknown = binding.fault(None, format!("there is no trigger `{}`", binding.kind));
        let hint = match nearest(&binding.kind, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are: {}", known().collect::<Vec<_>>().join(", ")),
        };
        return Err(unknown.with_hint(hint).into());
    };
    let TriggerSpec { trigger, kind, identity, policy } =
        crate::triggers::read(kind, binding.arguments.clone(), binding.options.clone(), trigger_context)
            .map_err(|wrong| binding.fault(wrong.option.as_deref(), wrong.message))?;
    let script = super::listing::script_name(&binding.job);
    for need in trigger.needs() {
        let allowed = config.permissions.check(script, need);
        allowed.map_err(|denied| binding.fault(None, denied.message).with_hint(denied.hint))?;
    }
    Ok(Declaration { trigger, kind: kind.name, identity, policy, location: binding.location.clone(), handler: 0 })
}
