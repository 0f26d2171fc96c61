//! Loads scripts, several side by side, beside those that are live; slow ones hold nobody up.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::settings::Settings;
use super::sources::{Seen, Snapshot, Watched};
use crate::config::{Binding, Config};
use crate::fault::{Fault, SourceLocation};
use crate::options::nearest;
use crate::script::{Declaration, Purpose, Script, Sources as _};
use crate::triggers::{KINDS, TriggerContext, TriggerSpec};

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

/// How long a script may take to load before the others go live without it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Loads scripts on a few threads, and has something done with each on its thread. Blocks until all are done.
///
/// Hands them over in batches: first all that load in good time, in the order of the requests, then the slow ones as they come.
pub(crate) fn load_all<T: Send>(
    requests: &[Request],
    load: impl Fn(&Request) -> T + Sync,
    mut hand_over: impl FnMut(Vec<T>),
) {
    let round = Round { requests, state: Mutex::default(), news: Condvar::new() };
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
struct Round<'r, T> {
    requests: &'r [Request],
    state: Mutex<RoundState<T>>,
    news: Condvar,
}

/// How far they are, by their place among the requests.
struct RoundState<T> {
    next: usize,
    going: BTreeMap<usize, Going>,
    done: BTreeMap<usize, std::thread::Result<T>>,
}

impl<T> Default for RoundState<T> {
    fn default() -> Self {
        Self { next: 0, going: BTreeMap::new(), done: BTreeMap::new() }
    }
}

/// A script that is being loaded.
struct Going {
    since: Instant,
    /// Whether nobody waits for it any more, and another thread has taken over from the one that loads it.
    is_slow: bool,
}

impl<T> Round<'_, T> {
    /// Loads one script after another, until there are no more or another thread has taken over.
    fn work(&self, load: impl Fn(&Request) -> T) {
        loop {
            let mut state = self.lock();
            let at = state.next;
            let Some(request) = self.requests.get(at) else { return };
            state.next += 1;
            state.going.insert(at, Going { since: Instant::now(), is_slow: false });
            drop(state);
            // A panic is passed on to who waits, who else would wait for ever.
            let loaded = catch_unwind(AssertUnwindSafe(|| load(request)));
            let mut state = self.lock();
            let was_slow = state.going.remove(&at).is_some_and(|going| going.is_slow);
            state.done.insert(at, loaded);
            self.news.notify_one();
            if was_slow {
                return;
            }
        }
    }

    /// Waits for the next batch; none if all are done. Has a thread added in the place of each that a slow script holds.
    fn batch(&self, add_thread: impl Fn()) -> Option<Vec<T>> {
        let mut state = self.lock();
        loop {
            let RoundState { next, going, done } = &mut *state;
            for slow in going.values_mut().filter(|going| !going.is_slow && going.since.elapsed() >= PATIENCE) {
                slow.is_slow = true;
                add_thread();
            }
            let waits = *next < self.requests.len() || going.values().any(|going| !going.is_slow);
            if !waits && !done.is_empty() {
                let done = std::mem::take(done).into_values();
                return Some(done.map(|loaded| loaded.unwrap_or_else(|panic| resume_unwind(panic))).collect());
            }
            if !waits && going.is_empty() {
                return None;
            }
            let in_time = going.values().filter(|going| !going.is_slow).map(|going| going.since).min();
            let patience =
                in_time.map_or(PATIENCE, |since| (since + PATIENCE).saturating_duration_since(Instant::now()));
            self.news.wait_for(&mut state, patience);
        }
    }

    fn lock(&self) -> MutexGuard<'_, RoundState<T>> {
        self.state.lock()
    }
}

/// Loads one script on threads of its own; blocks.
pub(crate) fn load(request: &Request, snapshot: &Arc<Snapshot>, settings: &Arc<Settings>) -> Loaded {
    let started = Instant::now();
    let watched = Arc::new(Watched::new(snapshot.clone()));
    let result = match watched.read(&request.file) {
        Err(why) if request.is_job => Err(unreadable_job(&settings.config.triggers, &request.file, &why)),
        // A file that can not be read is told in the words of who reads files.
        Err(why) => {
            let place = SourceLocation { file: request.file.clone(), ..SourceLocation::default() };
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
    let _running = settings.services.store.mark_running(&request.name.as_str().into());
    let mut script = Script::load(&request.file, &purpose, watched.clone(), config, &settings.trigger_context)?;
    if request.is_job {
        let bindings = config.triggers.iter().filter(|binding| binding.job == request.file);
        script.declarations = bind(bindings, config, &settings.trigger_context)?;
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
    trigger_context: &TriggerContext,
) -> Result<Vec<Declaration>, Vec<Fault>> {
    let (mut declared, mut faults) = (Vec::new(), Vec::new());
    let mut names = HashSet::new();
    for binding in bindings {
        match read(binding, config, trigger_context) {
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
    let script = super::sources::script_name(&binding.job);
    for need in trigger.needs() {
        let allowed = config.permissions.check(script, need);
        allowed.map_err(|denied| binding.fault(None, denied.message).with_hint(denied.hint))?;
    }
    Ok(Declaration { trigger, kind: kind.name, identity, policy, location: binding.place.clone(), handler: 0 })
}
