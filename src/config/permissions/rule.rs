//! One rule of `permissions:`.

use super::patterns::{Glob, HostPattern, PathPattern};
use crate::fault::SourceLocation;
use crate::topic::Filter;

/// The permissions of matching scripts; an omitted group leaves the default.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) script: Glob,
    pub(super) location: SourceLocation,
    pub(super) http: Option<Vec<HostPattern>>,
    pub(super) publish: Option<Vec<Filter>>,
    pub(super) subscribe: Option<Vec<Filter>>,
    pub(super) read: Option<Vec<PathPattern>>,
    pub(super) write: Option<Vec<PathPattern>>,
    pub(super) exec: Option<Vec<Glob>>,
    pub(super) env: Option<Vec<Glob>>,
    pub(super) secrets: Option<Vec<Glob>>,
}

impl Rule {
    /// Returns whether the rule has a group.
    pub(super) fn has(&self, group: &str) -> bool {
        match group {
            "http" => self.http.is_some(),
            "publish" => self.publish.is_some(),
            "subscribe" => self.subscribe.is_some(),
            "read" => self.read.is_some(),
            "write" => self.write.is_some(),
            "exec" => self.exec.is_some(),
            "env" => self.env.is_some(),
            _ => self.secrets.is_some(),
        }
    }
}

impl PartialEq for Rule {
    /// Compares everything except the location.
    fn eq(&self, other: &Self) -> bool {
        self.script == other.script
            && self.http == other.http
            && self.publish == other.publish
            && self.subscribe == other.subscribe
            && self.read == other.read
            && self.write == other.write
            && self.exec == other.exec
            && self.env == other.env
            && self.secrets == other.secrets
    }
}
