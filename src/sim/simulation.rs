//! Simulation of a period: scripts in a sandbox, with events from a file.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::config::Config;
use crate::event::Id;
use crate::functions::testing::SandboxApi as _;
use crate::random;
use crate::script::on_script_thread;
use crate::sim::event_file::{EventLine, InputEvent};
use crate::sim::mock_http::UnmatchedHint;
use crate::sim::sandbox::{LoadMode, Sandbox};
use crate::sim::timeline::TimelineEntry;
use crate::sim::webhook::CallWebhook;

/// The settings of a simulation.
pub struct Simulation {
    /// The configuration.
    pub config: Arc<Config>,
    /// The time zone of the scripts.
    pub zone: TimeZone,
    /// Names of the scripts; all scripts of the folder if it is empty.
    pub scripts: Vec<String>,
    /// The events, in order of time.
    pub events: Vec<EventLine>,
    /// The start.
    pub from: Zoned,
    /// The end.
    pub to: Zoned,
    /// Whether the simulation continues after its end until all runs have ended, for at most `limits.timeout`.
    pub waits_for_runs: bool,
    /// Seed of the random numbers.
    pub seed: u64,
    /// Calls webhooks.
    pub call_webhook: CallWebhook,
}

impl Simulation {
    /// Runs the simulation; returns its timeline.
    ///
    /// # Errors
    /// If the sandbox cannot be created, a script cannot be loaded, or an event is invalid.
    pub fn run(&self) -> anyhow::Result<Vec<TimelineEntry>> {
        random::seed(self.seed);
        Id::reset_counter();
        let selection = if self.scripts.is_empty() { LoadMode::All } else { LoadMode::ByName };
        let sandbox = Sandbox::new(&self.config, &self.zone, selection, UnmatchedHint::Record, self.call_webhook)?;
        let played = on_script_thread(&self.config.limits, || {
            self.play(&sandbox)?;
            if self.waits_for_runs { sandbox.finish(self.config.limits.timeout) } else { Ok(()) }
        })?;
        played.map_err(|why| anyhow::anyhow!(why))?;
        Ok(sandbox.timeline())
    }

    fn play(&self, sandbox: &Sandbox) -> Result<(), String> {
        sandbox.advance_to(&self.from.to_string())?;
        let mask = self.config.mask();
        let mut known = BTreeSet::new();
        // A request that is earlier than in the recording receives the first recorded response.
        for (method, url, reply) in self.events.iter().filter_map(|line| line.event.response()) {
            if known.insert((method, url)) {
                sandbox.mock_recorded(method, url, reply.clone(), &mask)?;
            }
        }
        match self.scripts.is_empty() {
            true => sandbox.start()?,
            false => self.scripts.iter().try_for_each(|script| sandbox.load(script))?,
        }
        for line in self.events.iter().filter(|line| line.time >= self.from && line.time <= self.to) {
            sandbox.advance_until(&line.time)?;
            let done = match &line.event {
                InputEvent::Message(publish) => sandbox.publish(publish.clone()),
                InputEvent::Request { method, path, with } => sandbox.request(method, path, with.clone()).map(|_| ()),
                InputEvent::File { path, text } => sandbox.change_file(path, text.as_deref()),
                InputEvent::Event { name, data } => sandbox.emit(name, data.clone()),
                InputEvent::Response { method, url, reply } => sandbox.mock_recorded(method, url, reply.clone(), &mask),
            };
            done.map_err(|why| format!("{}: {why}", line.place))?;
        }
        sandbox.advance_until(&self.to)
    }
}
