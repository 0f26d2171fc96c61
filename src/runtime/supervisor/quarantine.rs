//! Quarantine: a script that ran during each of the last crashes of the process is not activated.

use jiff::{SignedDuration, Timestamp};

use super::model::Supervisor;
use crate::config::Level;
use crate::runtime::registry::ScriptEntry;
use crate::runtime::sources::{FolderSources, fingerprint};
use crate::script::Sources as _;
use crate::services::store::PreviousExit;
use crate::value::{Value, map_of};

/// Number of consecutive crashes during which a script must have run.
const MAX_CRASHES: usize = 3;
/// Maximum age of the crashes that count.
const RECENT_CRASHES: SignedDuration = SignedDuration::from_hours(1);
/// Metadata key of the last crashes.
const CRASHES_KEY: &str = "crashes";

/// Crash of the process, with the scripts that ran, the last started one last.
struct Crash {
    at: Timestamp,
    scripts: Vec<String>,
}

impl Supervisor {
    /// Evaluates the exit of the previous process, before any script is loaded.
    pub(crate) async fn check_crashes(&mut self) {
        let store = self.services.store.clone();
        let last = tokio::task::spawn_blocking(move || store.previous_exit()).await.unwrap_or(PreviousExit::Orderly);
        let PreviousExit::Crash(scripts) = last else { return self.services.store.set_metadata(CRASHES_KEY, None) };
        if !scripts.is_empty() {
            let text = format!("the previous process crashed while these scripts ran: {}", scripts.join(", "));
            self.log.write(Level::Warn, "", text);
        }
        let now = self.services.clock.now();
        let mut crashes = self.services.store.metadata(CRASHES_KEY).map(crashes).unwrap_or_default();
        crashes.retain(|crash| now.duration_since(crash.at).abs() <= RECENT_CRASHES);
        crashes.push(Crash { at: now, scripts });
        crashes.drain(..crashes.len().saturating_sub(MAX_CRASHES));
        if let Some(script) = suspect(&crashes) {
            self.quarantine(&script);
        }
        let store = self.services.store.clone();
        store.set_metadata(CRASHES_KEY, Some(Value::List(crashes.into_iter().map(value).collect())));
        // Flushed, because the next crash may come at once. The writer thread logs errors.
        let _ = tokio::task::spawn_blocking(move || store.flush()).await;
    }

    fn quarantine(&self, script: &str) {
        let Some(fingerprint) = self.fingerprint(&format!("{script}.rhai")) else { return };
        self.services.store.set_metadata(&key(script), Some(fingerprint));
        let text = format!(
            "quarantined: it ran each of the last {MAX_CRASHES} times that rhaid crashed; saving the file or `rhaid enable {script}` ends the quarantine"
        );
        self.log.write(Level::Error, script, text);
    }

    /// Returns whether a script is in quarantine; an edit of its file ends it.
    pub(super) fn is_quarantined(&self, script: &str, file: &str) -> bool {
        match self.services.store.metadata(&key(script)) {
            None => false,
            stored if stored == self.fingerprint(file) => true,
            Some(_) => {
                self.services.store.set_metadata(&key(script), None);
                false
            }
        }
    }

    /// Ends the quarantine of edited scripts.
    pub(super) fn end_quarantine_of_edited(&mut self) {
        let is_included = |(_, entry): &(&String, &ScriptEntry)| entry.is_quarantined;
        let held: Vec<_> =
            self.registry.iter().filter(is_included).map(|(name, entry)| (name.clone(), entry.file.clone())).collect();
        for (name, file) in held {
            if !self.is_quarantined(&name, &file) {
                self.registry.get_mut(&name).into_iter().for_each(|entry| entry.is_quarantined = false);
            }
        }
    }

    /// Ends the quarantine of a script.
    pub(super) fn end_quarantine(&mut self, script: &str) {
        self.services.store.set_metadata(&key(script), None);
        self.registry.get_mut(script).into_iter().for_each(|entry| entry.is_quarantined = false);
    }

    /// Returns the fingerprint of the current file.
    fn fingerprint(&self, file: &str) -> Option<Value> {
        let settings = self.settings.borrow();
        let sources = FolderSources::new(&settings.folder, settings.config.limits.script_size);
        sources.read(file).ok().map(|text| fingerprint(&text).to_string().into())
    }
}

/// Returns the script that ran during each crash; of several the last started one, since the others may have been waiting.
fn suspect(crashes: &[Crash]) -> Option<String> {
    let (newest, older) = crashes.split_last().filter(|(_, older)| older.len() + 1 >= MAX_CRASHES)?;
    newest.scripts.iter().rfind(|script| older.iter().all(|crash| crash.scripts.contains(script))).cloned()
}

fn crashes(stored: Value) -> Vec<Crash> {
    let Value::List(stored) = stored else { return Vec::new() };
    let crash = |stored| {
        let Value::Map(mut stored) = stored else { return None };
        let at = stored.get("at")?.as_text()?.parse().ok()?;
        let Some(Value::List(scripts)) = stored.remove("scripts") else { return None };
        Some(Crash { at, scripts: scripts.iter().filter_map(|script| Some(script.as_text()?.to_owned())).collect() })
    };
    stored.into_iter().filter_map(crash).collect()
}

fn value(crash: Crash) -> Value {
    let scripts = crash.scripts.into_iter().map(Value::from).collect();
    map_of([("at".to_owned(), crash.at.to_string().into()), ("scripts".to_owned(), Value::List(scripts))]).into()
}

/// Returns the metadata key of the fingerprint of a quarantined script.
fn key(script: &str) -> String {
    format!("quarantined:{script}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suspected(crashes: &[&[&str]]) -> Option<String> {
        let crash = |scripts: &&[&str]| Crash {
            at: Timestamp::UNIX_EPOCH,
            scripts: scripts.iter().map(|&script| script.to_owned()).collect(),
        };
        suspect(&crashes.iter().map(crash).collect::<Vec<_>>())
    }

    #[test]
    fn only_a_script_that_ran_each_time_is_suspected_and_of_several_the_last_started() {
        assert_eq!(suspected(&[&["a"], &["a"]]), None);
        assert_eq!(suspected(&[&["a"], &[], &["a"]]), None);
        assert_eq!(suspected(&[&["a", "b"], &["b"], &["c", "b"]]).as_deref(), Some("b"));
        assert_eq!(suspected(&[&["b", "a"], &["a", "b"], &["a", "b", "c"]]).as_deref(), Some("b"));
    }

    #[test]
    fn crashes_are_restored_unchanged() {
        let crash = Crash { at: Timestamp::UNIX_EPOCH, scripts: vec!["a".into(), "b/c".into()] };
        let again = crashes(Value::List(vec![value(crash)]));
        assert_eq!((again.len(), again[0].at, again[0].scripts.join(" ")), (1, Timestamp::UNIX_EPOCH, "a b/c".into()));
    }
}
