//! Applies another configuration at runtime.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::model::{StopReason, Supervisor, SyncReason};
use super::pending_script::load_accepted;
use crate::config::{Binding, Config, Difference, Level};
use crate::fault::Fault;
use crate::run::Skip;
use crate::runtime::listing::script_name;
use crate::runtime::load::{Request, bind};
use crate::runtime::registry::ScriptEntry;
use crate::runtime::settings::Settings;

impl Supervisor {
    /// Applies the changeable parts of another configuration, and returns the parts that require a restart.
    ///
    /// # Errors
    /// The faults of its triggers; nothing has changed then.
    pub(super) async fn apply(&mut self, config: Arc<Config>) -> Result<Difference, Vec<Fault>> {
        let old = self.settings.borrow().config.clone();
        let difference = old.difference(&config);
        let mut merged = Config::clone(&config);
        merged.scripts.clone_from(&old.scripts);
        merged.data.clone_from(&old.data);
        merged.mqtt = old.mqtt.clone();
        merged.web = old.web.clone();
        let settings = Settings::new(Arc::new(merged), &self.services);
        bind(&config.triggers, &settings.config, &settings.trigger_context)?;
        let again = self.affected(&old, &config);
        self.settings.send_replace(settings.clone());
        self.services.store.set_retention(settings.retention());
        self.dispatcher.set_limits((&settings.config.limits).into());
        if !again.is_empty() {
            self.sync(SyncReason::Config(again)).await;
        }
        Ok(difference)
    }

    /// Returns the scripts that must be loaded again.
    fn affected(&self, old: &Config, new: &Config) -> BTreeSet<String> {
        let reaches_all = old.permissions != new.permissions
            || old.secrets != new.secrets
            || old.location != new.location
            || old.timezone != new.timezone
            || old.limits.script_size != new.limits.script_size
            || old.limits.call_depth != new.limits.call_depth;
        // The other limits are read for each run; a script that they rejected may be accepted now.
        let is_included = |entry: &ScriptEntry| reaches_all || (old.limits != new.limits && entry.rejected.is_some());
        let included = self.registry.iter().filter(|(_, entry)| is_included(entry));
        let mut again: BTreeSet<String> = included.map(|(name, _)| name.clone()).collect();
        let jobs = old.triggers.iter().chain(&new.triggers).map(|binding| &binding.job);
        let of = |config: &Config, job: &String| -> Vec<Binding> {
            config.triggers.iter().filter(|binding| binding.job == *job).cloned().collect()
        };
        let changed = jobs.filter(|job| of(old, job) != of(new, job));
        again.extend(changed.map(|job| script_name(job).to_owned()));
        again
    }

    /// Returns the faults of the active version of a script, if the permissions now deny it.
    pub(super) async fn denied(&self, name: &str) -> Option<Vec<Fault>> {
        let settings = self.settings.borrow().clone();
        let entry = self.registry.get(name)?;
        let files = entry.active.as_ref()?.version.script.files.clone();
        let request = Request { name: name.to_owned(), file: entry.file.clone(), is_job: entry.is_job };
        let loaded = tokio::task::spawn_blocking(move || load_accepted(&request, files, &settings)).await;
        let faults = loaded.ok()?.err()?;
        faults.iter().any(|fault| fault.kind == "denied").then_some(faults)
    }

    /// Stops a script whose active version the permissions now deny.
    pub(super) async fn stop_denied(&mut self, name: &str, denied: &[Fault]) {
        let Some(active) = self.registry.get_mut(name).and_then(|entry| entry.active.take()) else { return };
        let reports: Vec<_> = denied.iter().map(Fault::report).collect();
        let number = active.version.number;
        let text = format!(
            "stopped v{number}: rhaid.yaml no longer allows it: {}",
            reports.join(
                "\
        "
            )
        );
        self.log.write(Level::Error, name, text);
        self.retire(name, active, Skip::TriggerGone, StopReason::Denied).await;
    }
}
