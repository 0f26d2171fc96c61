//! What can wake a script: one file per kind, and the list.

pub mod at;
#[cfg(test)]
mod bench;
pub mod cron;
pub mod event;
pub mod every;
pub mod file;
pub mod lifecycle;
mod local;
mod manual;
pub mod mqtt;
pub mod mqtt_connection;
pub mod silence;
mod tick;
pub mod timer;
pub mod webhook;

use std::sync::Arc;

use jiff::Zoned;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::manual::manual;
use crate::config::Need;
use crate::event::Event;
use crate::options::{OptionFault, Options};
use crate::run::{Outcome, Policy, Skip};
use crate::services::Services;
use crate::services::clock::{ActivityGuard, Clock};
use crate::value::{Map, Value};

/// A sort of trigger.
pub struct Kind {
    /// Its name in scripts and in `triggers:`.
    pub name: &'static str,
    /// The names of what comes before the options, such as `expression`.
    pub arguments: &'static [&'static str],
    /// What the handler's argument is called and holds, for the reference.
    pub event: &'static str,
    /// What it does, for script authors, with an `# Example` that is run as a test. Markdown.
    pub docs: &'static str,
    /// Reads what a script wrote. The options of every trigger are taken already; this one takes its own, and may leave some: the caller refuses those.
    pub read: Read,
}

/// Reads the arguments and options of a kind.
pub type Read = fn(Vec<Value>, &mut Options, &TriggerContext) -> Result<Box<dyn Trigger>, OptionFault>;

/// What a trigger may need to know to be read.
#[derive(Debug, Clone)]
pub struct TriggerContext {
    /// The zone of clock times.
    pub zone: jiff::tz::TimeZone,
    /// Latitude and longitude in degrees, if the config says.
    pub location: Option<(f64, f64)>,
    /// The names of the brokers; empty if they are not known.
    pub brokers: Arc<[String]>,
    /// Where relative globs of `watch_file` start, absolute: the folder that the scripts folder lies in.
    pub base: std::path::PathBuf,
}

/// What wakes a handler.
pub trait Trigger: Send + Sync {
    /// Returns what it watches, in a few words, such as `cron 0 7 * * *`.
    fn summary(&self) -> String;

    /// Learns how its events become runs; called once, before anything else. Returns whether it watches in another way because of that.
    fn follow(&mut self, _policy: &Policy) -> bool {
        false
    }

    /// Watches until the watch is stopped. Must not block.
    fn watch(&self, fire: EventSender, services: &Services) -> Watch;

    /// Returns whether it hears what scripts emit: then it watches before any other trigger of scripts that go live together.
    fn hears_scripts(&self) -> bool {
        false
    }

    /// Takes over an event that waits and came from a trigger of its kind in an earlier version, if it would have told it too.
    fn adopt(&self, _event: &Event) -> Option<Event> {
        None
    }

    /// Returns the next moments it fires after `from`, if it knows.
    fn upcoming(&self, _from: &Zoned, _count: usize) -> Vec<Zoned> {
        Vec::new()
    }

    /// Returns what it wants of the world, to be allowed when the script is loaded.
    fn needs(&self) -> Vec<Need<'_>> {
        Vec::new()
    }

    /// Returns the facts of an event of its own as if it happened now, for one that is fired by hand; what is `given` fills gaps in its own way.
    fn example(&self, given: &Map, services: &Services) -> Map;

    /// Returns whether an event with these facts could be one of its own, for one that is tried out; what is not given fits.
    fn fits(&self, _given: &Map) -> bool {
        true
    }

    /// Returns the moment in a script's life that it stands for, if it is one of those; the runtime fires it then.
    fn moment(&self) -> Option<Lifecycle> {
        None
    }
}

/// A moment in a script's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// It went live.
    Start,
    /// It is about to go.
    Stop,
}

/// The kinds, in the order of the reference.
pub const KINDS: &[&Kind] = &[
    &mqtt::KIND,
    &cron::KIND,
    &every::KIND,
    &at::KIND,
    &webhook::KIND,
    &file::KIND,
    &timer::KIND,
    &event::KIND,
    &silence::KIND,
    &mqtt_connection::KIND,
    &lifecycle::START,
    &lifecycle::STOP,
];

/// A trigger as it was written, read and checked.
pub struct TriggerSpec {
    /// What wakes the handler.
    pub trigger: Box<dyn Trigger>,
    /// Its kind.
    pub kind: &'static Kind,
    /// Equal for two that watch the same thing in the same way: kind, arguments and own options, not the policy but where it matters to the
    /// watch. Tells nothing.
    pub identity: String,
    /// How its events become runs.
    pub policy: Policy,
}

/// Reads a trigger that a script or `triggers:` wrote.
///
/// # Errors
/// If an argument or option is wrong or unknown.
pub fn read(
    kind: &'static Kind,
    arguments: Vec<Value>,
    options: Map,
    trigger_context: &TriggerContext,
) -> Result<TriggerSpec, OptionFault> {
    let mut options = Options::new(options);
    let policy = Policy::take(&mut options)?;
    let written = [Value::List(arguments.clone()).to_stored(), Value::Map(options.remaining()).to_stored()];
    let mut trigger = (kind.read)(arguments, &mut options, trigger_context)?;
    options.finish()?;
    let follows = trigger.follow(&policy);
    // A digest, for there may be secrets among the options.
    let digest = Sha256::digest(format!("{written:?} {follows}"));
    let identity = format!("{} {}", kind.name, hex::encode(digest));
    Ok(TriggerSpec { trigger, kind, identity, policy })
}

/// Returns the only argument.
///
/// # Errors
/// If there is none, or more than one.
fn one_argument(arguments: Vec<Value>, what: &str) -> Result<Value, OptionFault> {
    let [argument] = <[Value; 1]>::try_from(arguments).map_err(|wrong| {
        OptionFault::new(format!("write {what} and nothing else before the options, not {} values", wrong.len()))
    })?;
    Ok(argument)
}

/// Names a live trigger within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TriggerId(pub u64);

/// What comes through the inbox: an event for one trigger's handler.
#[derive(Debug)]
pub struct TriggerEvent {
    /// Whose.
    pub trigger: TriggerId,
    /// What happened.
    pub event: Event,
    /// Who waits for the outcome, if someone does.
    pub reply: Option<oneshot::Sender<Outcome>>,
    /// Why the trigger itself lets it come to nothing: it is only to be noted.
    pub ignored: Option<Skip>,
    /// Holds a hand-turned clock until the firing has ended.
    pub activity: ActivityGuard,
}

/// The one door for all events.
pub trait Inbox: Send + Sync {
    /// Takes a firing in; never waits, for what is behind the door is bounded and says what gives way.
    fn put(&self, firing: TriggerEvent);
}

/// A trigger's only means of speech; cheap to clone.
#[derive(Clone)]
pub struct EventSender {
    trigger: TriggerId,
    owner: Arc<str>,
    inbox: Arc<dyn Inbox>,
    clock: Clock,
}

impl EventSender {
    /// Makes the voice of one trigger.
    pub fn new(trigger: TriggerId, owner: Arc<str>, inbox: Arc<dyn Inbox>, clock: Clock) -> Self {
        Self { trigger, owner, inbox, clock }
    }

    /// Returns the name of the script that declared the trigger: what tells its timers from others'.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Says what happened; nobody waits for the outcome.
    pub fn tell(&self, event: Event) {
        self.put(event, None, None, self.clock.activity());
    }

    /// Says what happened and returns a way to wait for the outcome.
    pub fn ask(&self, event: Event) -> PendingOutcome {
        let (reply, outcome) = oneshot::channel();
        let activity = self.clock.activity();
        self.put(event, Some(reply), None, activity.share());
        PendingOutcome { outcome, activity }
    }

    /// Says what happened and comes to nothing, for the ledger.
    pub fn ignore(&self, event: Event, why: Skip) {
        self.put(event, None, Some(why), self.clock.activity());
    }

    fn put(
        &self,
        event: Event,
        reply: Option<oneshot::Sender<Outcome>>,
        ignored: Option<Skip>,
        activity: ActivityGuard,
    ) {
        self.inbox.put(TriggerEvent { trigger: self.trigger, event, reply, ignored, activity });
    }
}

/// The way to wait for an outcome; must be waited for or dropped, for it holds a hand-turned clock.
pub struct PendingOutcome {
    outcome: oneshot::Receiver<Outcome>,
    activity: ActivityGuard,
}

impl PendingOutcome {
    /// Waits for the outcome; a process that is stopping answers `Skipped`.
    pub async fn outcome(self) -> Outcome {
        self.answer().await.0
    }

    /// Waits for the outcome like [`PendingOutcome::outcome`]; a hand-turned clock stands until the other half is dropped.
    pub async fn answer(self) -> (Outcome, ActivityGuard) {
        (self.outcome.await.unwrap_or(Outcome::Skipped(Skip::Stopping)), self.activity)
    }
}

/// A trigger that is watching; told to stop when dropped.
pub struct Watch {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Watch {
    /// Runs a task until it ends or the watch is stopped.
    pub fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let stopped = stop.clone();
        // Boxed, since what runs it would keep room for it twice.
        let task = Box::pin(task);
        tasks.spawn(async move { stopped.run_until_cancelled(task).await });
        tasks.close();
        Self { stop, tasks }
    }

    /// Runs a task that is told when the watch is stopped, and ends by itself soon after.
    pub fn spawn_told<T: Future<Output = ()> + Send + 'static>(task: impl FnOnce(CancellationToken) -> T) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(Box::pin(task(stop.clone())));
        tasks.close();
        Self { stop, tasks }
    }

    /// A watch with nothing to do: for what others fire.
    pub fn idle() -> Self {
        Self::spawn(async {})
    }

    /// Stops watching, and waits until it has.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests;
