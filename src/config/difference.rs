//! The effect of a changed `rhaid.yaml` on a running process.

use super::document::Config;

/// The top-level keys that differ between two configurations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Keys that take effect immediately.
    pub applied: Vec<&'static str>,
    /// Keys that take effect at the next start.
    pub restart: Vec<&'static str>,
}

impl Difference {
    /// Returns whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.restart.is_empty()
    }
}

impl Config {
    /// Compares with a newer configuration; locations in the file are ignored.
    pub fn difference(&self, new: &Self) -> Difference {
        let names =
            |keys: &[(&'static str, bool)]| keys.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect();
        Difference {
            applied: names(&[
                ("timezone", self.timezone == new.timezone),
                ("location", self.location == new.location),
                ("limits", self.limits == new.limits),
                ("history", self.history == new.history),
                ("permissions", self.permissions == new.permissions),
                ("log", self.log == new.log),
                ("secrets", self.secrets == new.secrets),
                ("triggers", self.triggers == new.triggers),
            ]),
            restart: names(&[
                ("scripts", self.scripts == new.scripts),
                ("data", self.data == new.data),
                ("mqtt", self.mqtt == new.mqtt),
                ("web", self.web == new.web),
            ]),
        }
    }
}
