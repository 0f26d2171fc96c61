//! Loads the configuration from text, environment variables and flags, or returns everything that is wrong with them.

use std::path::PathBuf;

use super::document::{self, Config};
use super::interpolate::Interpolator;
use super::node::Node;
use super::overrides;
use super::report::Report;
use super::source::Source;
use super::yaml;
use crate::fault::Fault;

/// A configuration and its warnings.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Mistakes that do no harm, such as an unknown `RHAID_…` variable.
    pub warnings: Vec<Fault>,
}

/// Reads and checks a config whole.
///
/// # Errors
/// All faults, in the order of the file.
pub fn parse(source: &Source<'_>) -> Result<Loaded, Vec<Fault>> {
    let mut report = Report::new(source.name, source.text);
    let root = yaml::parse(source.text, &mut report);
    if root.is_none() && report.is_bad() {
        return Err(report.into_faults());
    }
    let mut root = root.filter(|root| !root.is_null()).unwrap_or_else(|| Node::empty_map(report.location(1, 1)));
    let interpolator =
        Interpolator { environment: source.environment, folder: source.folder, read_file: source.read_file };
    interpolator.interpolate(&mut root, &mut report);
    let warnings = overrides::apply(&mut root, source, &mut report);
    let (mut config, _) = document::read(Some(&root), source.folder, source.kinds, &mut report);
    if report.is_bad() {
        return Err(report.into_faults());
    }
    config.file = source.file.map(PathBuf::from);
    for binding in &mut config.triggers {
        let locations = binding.option_locations.values().chain([
            &binding.location,
            &binding.job_location,
            &binding.argument_location,
        ]);
        binding.lines = report.shown_lines(locations);
    }
    config.hidden = report.secrets();
    Ok(Loaded { config, warnings })
}

/// Returns the commented `rhaid.yaml` that `rhaid init` writes.
pub fn template() -> &'static str {
    include_str!("template.yaml")
}
