//! Reads `permissions:`.

use std::path::Path;

use super::check::Permissions;
use super::patterns::{Glob, HostPattern, PathPattern, normalize};
use super::rule::Rule;
use crate::config::section::Section;
use crate::config::value_type::{self, ValueType};
use crate::fault::SourceLocation;
use crate::topic::Filter;

/// Reads the rules; relative paths start at the folder.
pub(in crate::config) fn read(section: &mut Section<'_>, folder: &Path) -> Permissions {
    let description = "Permissions of scripts: a glob over script names, and below it the allowed resources. Matching rules are combined.";
    let mut faults = Vec::new();
    let rules = section.sections("permissions", description, |entry, section| {
        let rule = rule(entry.location.clone(), &entry.key, folder, section);
        rule.map_err(|why| faults.push((entry.location.clone(), why))).ok()
    });
    for (location, why) in faults {
        section.report().fault(&location, format!("`permissions`: {why}"));
    }
    Permissions { rules: rules.into_iter().flatten().collect(), folder: folder.to_owned() }
}

fn rule(location: SourceLocation, script: &str, folder: &Path, section: &mut Section<'_>) -> Result<Rule, String> {
    let (trees, programs) = (tree(folder), program(folder));
    let topics = "Topic filters. Default: all.";
    let rule = |script| {
        Rule {
        script,
        location,
        http: section.list(
            "http",
            "Hosts for HTTP calls: globs with an optional port, or `public` for all but private addresses. Default: all. Metadata services of clouds must be named.",
            &value_type::non_empty_text().and_then(|text| HostPattern::parse(&text)),
        ),
        publish: section.list("publish", topics, &filter()),
        subscribe: section.list("subscribe", topics, &filter()),
        read: section.list("read", "Files, folders or globs that may be read, relative to this file.", &trees),
        write: section.list("write", "Files, folders or globs that may be written, relative to this file.", &trees),
        exec: section.list("exec", "Programs that may be executed: names or paths, or globs over them.", &programs),
        env: section.list("env", "Environment variables that may be read, or globs over them.", &name()),
        secrets: section.list("secrets", "Secrets that may be read, or globs over them.", &name()),
    }
    };
    let pattern = Glob::script(script);
    // The keys are read even if the name is invalid, so that all faults are found.
    let fallback = Glob::script("*");
    let rule = rule(pattern.clone().or(fallback)?);
    pattern.map(|script| Rule { script, ..rule })
}

fn filter() -> ValueType<Filter> {
    value_type::non_empty_text().and_then(|text| Filter::parse(&text))
}

fn tree(folder: &Path) -> ValueType<PathPattern> {
    let folder = folder.to_owned();
    value_type::non_empty_text().and_then(move |text| PathPattern::parse(&text, &folder))
}

fn program(folder: &Path) -> ValueType<Glob> {
    let folder = folder.to_owned();
    value_type::non_empty_text().and_then(move |text| {
        let is_relative_path = text.contains('/') && !text.starts_with('/');
        let path = if is_relative_path {
            let folder = Path::new(&globset::escape(&folder.to_string_lossy())).join(&text);
            normalize(&folder).to_string_lossy().into_owned()
        } else {
            text
        };
        Glob::new(&path)
    })
}

fn name() -> ValueType<Glob> {
    value_type::non_empty_text().and_then(|text| Glob::new(&text))
}
