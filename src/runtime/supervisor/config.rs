//! Applies another config while everything runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::pending_script::load_accepted;
use super::{StopReason, Supervisor, Why};
use crate::config::{Binding, Config, Difference, Level};
use crate::fault::Fault;
use crate::run::Skip;
use crate::runtime::load::{Request, bind};
use crate::runtime::registry::Entry;
use crate::runtime::settings::Settings;
use crate::runtime::sources::script_name;

impl Supervisor {
    /// Applies what can be applied of another config, and tells what holds only after a restart.
    ///
    /// # Errors
    /// The faults of its triggers; then nothing has changed.
    pub(super) async fn apply(&mut self, config: Arc<Config>) -> Result<Difference, Vec<Fault>> {
        let old = self.settings.borrow().config.clone();
        let told = old.difference(&config);
        let mut merged = Config::clone(&config);
        merged.scripts.clone_from(&old.scripts);
        merged.data.clone_from(&old.data);
        merged.mqtt = old.mqtt.clone();
        merged.web = old.web.clone();
        let settings = Settings::new(Arc::new(merged), &self.services);
        bind(&config.triggers, &settings.config, &settings.trigger_context)?;
        let again = self.affected(&old, &config);
        self.settings.send_replace(settings.clone());
        self.services.store.set_retention(settings.keep());
        self.desk.share((&settings.config.limits).into());
        if !again.is_empty() {
            self.sync(Why::Config(again)).await;
        }
        Ok(told)
    }

    /// Returns which scripts are to be loaded again.
    fn affected(&self, old: &Config, new: &Config) -> BTreeSet<String> {
        let reaches_all = old.permissions != new.permissions
            || old.secrets != new.secrets
            || old.location != new.location
            || old.timezone != new.timezone
            || old.limits.script_size != new.limits.script_size
            || old.limits.call_depth != new.limits.call_depth;
        // The other limits hold for each run anew; what they kept from loading may be loaded now.
        let is_meant = |entry: &Entry| reaches_all || (old.limits != new.limits && entry.rejected.is_some());
        let meant = self.registry.iter().filter(|(_, entry)| is_meant(entry));
        let mut again: BTreeSet<String> = meant.map(|(name, _)| name.clone()).collect();
        let jobs = old.triggers.iter().chain(&new.triggers).map(|binding| &binding.job);
        let of = |config: &Config, job: &String| -> Vec<Binding> {
            config.triggers.iter().filter(|binding| binding.job == *job).cloned().collect()
        };
        let changed = jobs.filter(|job| of(old, job) != of(new, job));
        again.extend(changed.map(|job| script_name(job).to_owned()));
        again
    }

    /// Returns why what lives of a script may not declare any more what it declares, if that is so.
    pub(super) async fn denied(&self, name: &str) -> Option<Vec<Fault>> {
        let settings = self.settings.borrow().clone();
        let entry = self.registry.get(name)?;
        let files = entry.life.as_ref()?.version.script.files.clone();
        let request = Request { name: name.to_owned(), file: entry.file.clone(), is_job: entry.is_job };
        let loaded = tokio::task::spawn_blocking(move || load_accepted(&request, files, &settings)).await;
        let faults = loaded.ok()?.err()?;
        faults.iter().any(|fault| fault.kind == "denied").then_some(faults)
    }

    /// Ends the life of a script that may not declare any more what it declares.
    pub(super) async fn let_denied_go(&mut self, name: &str, denied: &[Fault]) {
        let Some(life) = self.registry.get_mut(name).and_then(|entry| entry.life.take()) else { return };
        let reports: Vec<_> = denied.iter().map(Fault::report).collect();
        let number = life.version.number;
        let text = format!("stopped v{number}, rhaid.yaml does not allow it any more: {}", reports.join("\n"));
        self.lines.say(Level::Error, name, text);
        self.retire(name, life, Skip::TriggerGone, StopReason::Denied).await;
    }
}
