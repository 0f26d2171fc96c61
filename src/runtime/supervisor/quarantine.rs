//! Sets a script aside that was running each time the process crashed, so that the others can live.

use jiff::{SignedDuration, Timestamp};

use super::Supervisor;
use crate::config::Level;
use crate::runtime::registry::Entry;
use crate::runtime::sources::{FolderSources, fingerprint};
use crate::script::Sources as _;
use crate::services::store::PreviousExit;
use crate::value::{Value, map_of};

/// So many crashes in a row, each while a script ran, set it aside.
const CRASHES: usize = 3;
/// Crashes that lie further back are no loop any more.
const RECENT: SignedDuration = SignedDuration::from_hours(1);
/// The key under which the store keeps the last crashes.
const KEY: &str = "crashes";

/// A crash, and who ran, the last one started last.
struct Crash {
    at: Timestamp,
    scripts: Vec<String>,
}

impl Supervisor {
    /// Learns how the last process ended, before anything is loaded.
    pub(crate) async fn look_back(&mut self) {
        let store = self.services.store.clone();
        let last = tokio::task::spawn_blocking(move || store.previous_exit()).await.unwrap_or(PreviousExit::Orderly);
        let PreviousExit::Crash(scripts) = last else { return self.services.store.set_metadata(KEY, None) };
        if !scripts.is_empty() {
            let text =
                format!("the last rhaid ended in the middle of its work, while these ran: {}", scripts.join(", "));
            self.lines.say(Level::Warn, "", text);
        }
        let now = self.services.clock.now();
        let mut crashes = self.services.store.metadata(KEY).map(crashes).unwrap_or_default();
        crashes.retain(|crash| now.duration_since(crash.at).abs() <= RECENT);
        crashes.push(Crash { at: now, scripts });
        crashes.drain(..crashes.len().saturating_sub(CRASHES));
        if let Some(script) = suspect(&crashes) {
            self.quarantine(&script);
        }
        let store = self.services.store.clone();
        store.set_metadata(KEY, Some(Value::List(crashes.into_iter().map(value).collect())));
        // The next crash may come at once. The writer says what goes wrong.
        let _ = tokio::task::spawn_blocking(move || store.flush()).await;
    }

    fn quarantine(&self, script: &str) {
        let Some(print) = self.print(&format!("{script}.rhai")) else { return };
        self.services.store.set_metadata(&key(script), Some(print));
        let text = format!(
            "quarantined: it ran each of the last {CRASHES} times that rhaid crashed; saving the file or `rhaid enable {script}` lets it run again"
        );
        self.lines.say(Level::Error, script, text);
    }

    /// Returns whether a script is in quarantine; one that has been edited since is not any more.
    pub(super) fn is_quarantined(&self, script: &str, file: &str) -> bool {
        match self.services.store.metadata(&key(script)) {
            None => false,
            noted if noted == self.print(file) => true,
            Some(_) => {
                self.services.store.set_metadata(&key(script), None);
                false
            }
        }
    }

    /// Ends the quarantine of scripts that have been edited.
    pub(super) fn release_edited(&mut self) {
        let is_meant = |(_, entry): &(&String, &Entry)| entry.is_quarantined;
        let held: Vec<_> =
            self.registry.iter().filter(is_meant).map(|(name, entry)| (name.clone(), entry.file.clone())).collect();
        for (name, file) in held {
            if !self.is_quarantined(&name, &file) {
                self.registry.get_mut(&name).into_iter().for_each(|entry| entry.is_quarantined = false);
            }
        }
    }

    /// Ends the quarantine of a script.
    pub(super) fn release(&mut self, script: &str) {
        self.services.store.set_metadata(&key(script), None);
        self.registry.get_mut(script).into_iter().for_each(|entry| entry.is_quarantined = false);
    }

    /// Returns what tells the file as it is now from another.
    fn print(&self, file: &str) -> Option<Value> {
        let settings = self.settings.borrow();
        let sources = FolderSources::new(&settings.folder, settings.config.limits.script_size);
        sources.read(file).ok().map(|text| fingerprint(&text).to_string().into())
    }
}

/// Returns who ran each time; of several the one that was started last, for the others may just have been there.
fn suspect(crashes: &[Crash]) -> Option<String> {
    let (newest, older) = crashes.split_last().filter(|(_, older)| older.len() + 1 >= CRASHES)?;
    newest.scripts.iter().rfind(|script| older.iter().all(|crash| crash.scripts.contains(script))).cloned()
}

fn crashes(noted: Value) -> Vec<Crash> {
    let Value::List(noted) = noted else { return Vec::new() };
    let crash = |noted| {
        let Value::Map(mut noted) = noted else { return None };
        let at = noted.get("at")?.as_text()?.parse().ok()?;
        let Some(Value::List(scripts)) = noted.remove("scripts") else { return None };
        Some(Crash { at, scripts: scripts.iter().filter_map(|script| Some(script.as_text()?.to_owned())).collect() })
    };
    noted.into_iter().filter_map(crash).collect()
}

fn value(crash: Crash) -> Value {
    let scripts = crash.scripts.into_iter().map(Value::from).collect();
    map_of([("at".to_owned(), crash.at.to_string().into()), ("scripts".to_owned(), Value::List(scripts))]).into()
}

/// The key under which the store keeps what a script in quarantine looked like.
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
    fn only_who_ran_each_time_is_suspected_and_of_several_the_one_started_last() {
        assert_eq!(suspected(&[&["a"], &["a"]]), None);
        assert_eq!(suspected(&[&["a"], &[], &["a"]]), None);
        assert_eq!(suspected(&[&["a", "b"], &["b"], &["c", "b"]]).as_deref(), Some("b"));
        assert_eq!(suspected(&[&["b", "a"], &["a", "b"], &["a", "b", "c"]]).as_deref(), Some("b"));
    }

    #[test]
    fn crashes_are_kept_as_they_were() {
        let crash = Crash { at: Timestamp::UNIX_EPOCH, scripts: vec!["a".into(), "b/c".into()] };
        let again = crashes(Value::List(vec![value(crash)]));
        assert_eq!((again.len(), again[0].at, again[0].scripts.join(" ")), (1, Timestamp::UNIX_EPOCH, "a b/c".into()));
    }
}
