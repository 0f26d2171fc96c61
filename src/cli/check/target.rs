//! The scripts that `rhaid check` checks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::terminal;
use crate::config::{Binding, Config};
use crate::runtime::list_scripts;
use crate::script::Purpose;

/// A script to check.
pub(super) struct CheckTarget {
    /// The folder that import paths are relative to.
    pub(super) root: PathBuf,
    /// The path of the file below `root`.
    pub(super) file: String,
    pub(super) purpose: Purpose,
    /// The triggers that rhaid.yaml binds to it.
    pub(super) bindings: Vec<Binding>,
}

/// Returns the scripts in files and folders, or in the scripts folder if there are none; with `job`, files are jobs.
pub(super) fn targets(paths: &[PathBuf], job: bool, config: &Config) -> anyhow::Result<Vec<CheckTarget>> {
    let scripts = std::fs::canonicalize(&config.scripts);
    let mut targets = Vec::new();
    if paths.is_empty() {
        let root = scripts.with_context(|| format!("reading {}", config.scripts.display()))?;
        add_folder(&root, Some(&root), config, &mut targets)?;
        return Ok(targets);
    }
    let scripts = scripts.ok();
    for path in paths {
        let whole = path.canonicalize().with_context(|| path.display().to_string())?;
        if whole.is_dir() {
            add_folder(&whole, scripts.as_deref(), config, &mut targets)?;
        } else {
            targets.push(CheckTarget::of_file(&whole, scripts.as_deref(), job, config));
        }
    }
    Ok(targets)
}

/// Adds the scripts of a folder, and for the scripts folder also all jobs of rhaid.yaml.
fn add_folder(
    root: &Path,
    scripts: Option<&Path>,
    config: &Config,
    targets: &mut Vec<CheckTarget>,
) -> anyhow::Result<()> {
    let listing = list_scripts(root).with_context(|| format!("reading {}", root.display()))?;
    listing.problems.iter().for_each(|problem| terminal::print_error(&format!("{problem}\n")));
    let mut files: BTreeSet<_> = listing.files.into_iter().collect();
    if scripts == Some(root) {
        files.extend(config.triggers.iter().map(|binding| binding.job.clone()));
    }
    targets.extend(files.into_iter().map(|file| CheckTarget::new(root, scripts, file, config)));
    Ok(())
}

impl CheckTarget {
    /// Returns the target for a file, whose root is the scripts folder or else its own folder.
    fn of_file(file: &Path, scripts: Option<&Path>, job: bool, config: &Config) -> Self {
        let inside = scripts.and_then(|root| Some((root, file.strip_prefix(root).ok()?)));
        let own = || (file.parent().unwrap_or(file), Path::new(file.file_name().unwrap_or_default()));
        let (root, below) = inside.unwrap_or_else(own);
        let target = Self::new(root, scripts, below.to_string_lossy().into_owned(), config);
        if job { Self { purpose: Purpose::Job, ..target } } else { target }
    }

    /// Returns the target for a file, which is a job if it is bound in rhaid.yaml or begins with `#!`.
    fn new(root: &Path, scripts: Option<&Path>, file: String, config: &Config) -> Self {
        let is_bound = |binding: &&Binding| scripts == Some(root) && binding.job == file;
        let bindings: Vec<_> = config.triggers.iter().filter(is_bound).cloned().collect();
        let is_program = || std::fs::read(root.join(&file)).is_ok_and(|bytes| bytes.starts_with(b"#!"));
        let purpose = if bindings.is_empty() && !is_program() { Purpose::Handlers } else { Purpose::Job };
        Self { root: root.to_owned(), file, purpose, bindings }
    }
}
