//! The rules of `permissions:`.

use std::path::Path;

use super::patterns::normalize;
use super::{Host, Pattern, Permissions, Tree};
use crate::config::section::Section;
use crate::config::value_type::{self, ValueType};
use crate::fault::SourceLocation;
use crate::topic::Filter;

/// What some scripts may reach; a group that is left out says nothing.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) script: Pattern,
    pub(super) place: SourceLocation,
    pub(super) http: Option<Vec<Host>>,
    pub(super) publish: Option<Vec<Filter>>,
    pub(super) subscribe: Option<Vec<Filter>>,
    pub(super) read: Option<Vec<Tree>>,
    pub(super) write: Option<Vec<Tree>>,
    pub(super) exec: Option<Vec<Pattern>>,
    pub(super) env: Option<Vec<Pattern>>,
    pub(super) secrets: Option<Vec<Pattern>>,
}

impl Rule {
    /// Returns whether the rule says something about a group.
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
    /// Two are equal if they allow the same; where they stand does not count.
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

/// Reads the rules; relative paths count from the folder.
pub(in crate::config) fn read(keys: &mut Section<'_>, folder: &Path) -> Permissions {
    let about = "What scripts may reach: a glob over the script's name, and below it what it may use. Rules that match are added up.";
    let mut faults = Vec::new();
    let rules = keys.sections("permissions", about, |entry, keys| {
        let rule = rule(entry.place.clone(), &entry.key, folder, keys);
        rule.map_err(|why| faults.push((entry.place.clone(), why))).ok()
    });
    for (place, why) in faults {
        keys.report().fault(&place, format!("`permissions`: {why}"));
    }
    Permissions { rules: rules.into_iter().flatten().collect(), folder: folder.to_owned() }
}

fn rule(place: SourceLocation, script: &str, folder: &Path, keys: &mut Section<'_>) -> Result<Rule, String> {
    let (trees, programs) = (tree(folder), program(folder));
    let topics = "Topic filters; left out: all.";
    let rule = |script| {
        Rule {
        script,
        place,
        http: keys.list(
            "http",
            "Hosts for HTTP calls: globs, each with a port if need be, or `public` for all but private addresses; left out: all. Cloud metadata addresses only if named.",
            &value_type::word().and_then(|text| Host::parse(&text)),
        ),
        publish: keys.list("publish", topics, &filter()),
        subscribe: keys.list("subscribe", topics, &filter()),
        read: keys.list("read", "Files, folders or globs that may be read, relative to this file.", &trees),
        write: keys.list("write", "Files, folders or globs that may be written, relative to this file.", &trees),
        exec: keys.list("exec", "Programs that may be run: names or paths, or globs over them.", &programs),
        env: keys.list("env", "Environment variables that may be read, or globs over them.", &name()),
        secrets: keys.list("secrets", "Secrets that may be read, or globs over them.", &name()),
    }
    };
    let pattern = Pattern::script(script);
    // The keys are read in any case, so that all faults are found.
    let fallback = Pattern::script("*");
    let rule = rule(pattern.clone().or(fallback)?);
    pattern.map(|script| Rule { script, ..rule })
}

fn filter() -> ValueType<Filter> {
    value_type::word().and_then(|text| Filter::parse(&text))
}

fn tree(folder: &Path) -> ValueType<Tree> {
    let folder = folder.to_owned();
    value_type::word().and_then(move |text| Tree::parse(&text, &folder))
}

fn program(folder: &Path) -> ValueType<Pattern> {
    let folder = folder.to_owned();
    value_type::word().and_then(move |text| {
        let is_relative_path = text.contains('/') && !text.starts_with('/');
        let path = if is_relative_path {
            let folder = Path::new(&globset::escape(&folder.to_string_lossy())).join(&text);
            normalize(&folder).to_string_lossy().into_owned()
        } else {
            text
        };
        Pattern::new(&path)
    })
}

fn name() -> ValueType<Pattern> {
    value_type::word().and_then(|text| Pattern::new(&text))
}
