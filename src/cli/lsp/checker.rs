//! Checks open documents and their scripts folders on a thread of its own. Only scripts that a change affects are loaded again.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use lsp_types::Diagnostic;

use super::diagnostics;
use super::file_location::{ConfigFlags, EditedSources, FileLocation, OpenTexts, is_test};
use super::text::Text;
use crate::cli::settings::{self, Globals};
use crate::config::Config;
use crate::fault::Fault;
use crate::runtime::{FileFingerprints, FolderSources, Snapshot, TrackedSources, bind, list_scripts, unreadable_job};
use crate::script::lint::{self, Finding};
use crate::script::outline::Outline;
use crate::script::testing::TestFile;
use crate::script::{Purpose, Script, Sources as _, on_script_thread};
use crate::triggers::TriggerContext;

/// Diagnostics by file.
pub(super) type DiagnosticsByFile = BTreeMap<PathBuf, Vec<Diagnostic>>;

/// The open documents, to be checked.
pub(super) struct CheckRequest {
    pub(super) locations: Vec<(PathBuf, FileLocation)>,
    pub(super) texts: OpenTexts,
}

/// Checker with the scripts that were loaded by earlier checks.
pub(super) struct Checker {
    globals: Globals,
    folders: BTreeMap<(PathBuf, ConfigFlags), CheckedFolder>,
}

/// A scripts folder that was checked.
#[derive(Default)]
struct CheckedFolder {
    /// The text of the rhaid.yaml with which the scripts were loaded.
    yaml: Option<String>,
    scripts: BTreeMap<String, LoadedScript>,
}

/// A loaded script, and the files that were read for it.
struct LoadedScript {
    purpose: Purpose,
    fingerprints: FileFingerprints,
    loaded: Result<Script, Vec<Fault>>,
}

impl Checker {
    pub(super) fn new(globals: Globals) -> Self {
        Self { globals, folders: BTreeMap::new() }
    }

    /// Returns all diagnostics, or `None` after a panic.
    pub(super) fn check(&mut self, request: &CheckRequest) -> Option<DiagnosticsByFile> {
        let found = catch_unwind(AssertUnwindSafe(|| self.found(request))).ok();
        if found.is_none() {
            self.folders.clear();
        }
        found
    }

    fn found(&mut self, request: &CheckRequest) -> DiagnosticsByFile {
        let mut found = DiagnosticsByFile::new();
        for (_, location) in request.locations.iter().filter(|(_, location)| location.is_in_scripts) {
            self.folders.entry((location.root.clone(), location.flags.clone())).or_default();
        }
        for ((root, flags), folder) in &mut self.folders {
            let open = |(path, location): &&(PathBuf, FileLocation)| {
                location.is_in_scripts && location.root == *root && request.texts.contains_key(path)
            };
            let open = request.locations.iter().filter(open).map(|(_, location)| location.file.clone()).collect();
            let flags_of = flags.globals(&self.globals);
            CheckPass::new(root, &flags_of, flags, request, &mut found).folder(folder, &open);
        }
        for (path, location) in &request.locations {
            let Some(text) = request.texts.get(path) else { continue };
            if is_test(&location.file) {
                found.insert(path.clone(), self.tests(location, text, &request.texts));
            } else if !location.is_in_scripts {
                let flags = location.flags.globals(&self.globals);
                CheckPass::new(&location.root, &flags, &location.flags, request, &mut found).alone(location, text);
            }
        }
        found
    }

    /// Returns the faults of a test file that can be found without running it.
    fn tests(&self, location: &FileLocation, text: &Arc<str>, texts: &OpenTexts) -> Vec<Diagnostic> {
        let globals = location.flags.globals(&self.globals);
        let limits = match settings::read(&globals, location.flags.config.as_deref()) {
            Ok(loaded) => loaded.config.limits,
            Err(_) => Config::default_in(&location.root).limits,
        };
        let sources = Arc::new(EditedSources::new(&location.root, limits.script_size, texts.clone()));
        let faults =
            on_script_thread(&limits, || TestFile::faults(&location.file, sources, &limits)).unwrap_or_default();
        let text = Text::new(text.clone());
        // Faults in modules are published for the files of the modules.
        let own = faults.iter().filter(|fault| fault.location.file == location.file);
        own.map(|fault| diagnostics::fault(fault, &text, &location.root)).collect()
    }
}

/// Returns whether a file is a module: its name or a folder name begins with `_` or `.`.
fn is_module(file: &str) -> bool {
    file.split('/').any(|part| part.starts_with(['_', '.']))
}

/// One check of a folder.
struct CheckPass<'r> {
    root: &'r Path,
    config: Arc<Config>,
    yaml: Option<String>,
    trigger_context: TriggerContext,
    snapshot: Arc<Snapshot>,
    found: &'r mut DiagnosticsByFile,
}

impl<'r> CheckPass<'r> {
    fn new(
        root: &'r Path,
        globals: &Globals,
        flags: &ConfigFlags,
        request: &CheckRequest,
        found: &'r mut DiagnosticsByFile,
    ) -> Self {
        let file = flags.config.as_deref();
        let yaml = file.and_then(|file| std::fs::read_to_string(file).ok());
        let folder = root.parent().unwrap_or(root);
        let mut faults = Vec::new();
        let config = match settings::read(globals, file) {
            Ok(loaded) => loaded.config,
            Err(all) => {
                faults = all;
                Config::default_in(folder)
            }
        };
        let trigger_context = TriggerContext {
            zone: settings::zone(config.timezone.as_deref()).unwrap_or(TimeZone::UTC),
            location: config.location,
            brokers: config.mqtt.names(),
            base: folder.to_owned(),
        };
        faults.extend(bind(&config.triggers, &config, &trigger_context).err().unwrap_or_default());
        for binding in &config.triggers {
            if let Err(why) = FolderSources::new(&config.scripts, config.limits.script_size).read(&binding.job) {
                faults.extend(unreadable_job(std::slice::from_ref(binding), &binding.job, &why));
            }
        }
        if let Some(file) = file {
            let text = Text::new(yaml.clone().unwrap_or_default());
            let shown = faults.iter().map(|fault| diagnostics::fault(fault, &text, folder)).collect();
            found.insert(file.to_owned(), shown);
        }
        let edited = EditedSources::new(root, config.limits.script_size, request.texts.clone());
        let snapshot = Arc::new(Snapshot::new(edited));
        Self { root, config: config.into(), yaml, trigger_context, snapshot, found }
    }

    /// Checks a scripts folder: its scripts, its jobs, and open modules that no script imports.
    fn folder(mut self, folder: &mut CheckedFolder, open: &BTreeSet<String>) {
        if folder.yaml != self.yaml {
            *folder = CheckedFolder { yaml: self.yaml.clone(), ..CheckedFolder::default() };
        }
        let wanted = self.wanted(open);
        folder.scripts.retain(|file, _| wanted.contains(file));
        for file in &wanted {
            let purpose = self.purpose(file);
            let is_current =
                |checked: &LoadedScript| checked.purpose == purpose && self.is_unchanged(&checked.fingerprints);
            if !folder.scripts.get(file).is_some_and(is_current) {
                folder.scripts.insert(file.clone(), self.load(file, purpose));
            }
        }
        let mut known = BTreeSet::new();
        let mut scripts = Vec::new();
        for (file, checked) in std::mem::take(&mut folder.scripts) {
            known.extend(checked.fingerprints.iter().map(|(file, _)| file.to_owned()));
            let LoadedScript { purpose, fingerprints, loaded } = checked;
            match loaded {
                Ok(script) => scripts.push((file, purpose, fingerprints, script)),
                Err(faults) => {
                    self.add_faults(&faults);
                    folder.scripts.insert(file, LoadedScript { purpose, fingerprints, loaded: Err(faults) });
                }
            }
        }
        let (rest, scripts): (Vec<_>, Vec<_>) = scripts
            .into_iter()
            .map(|(file, purpose, fingerprints, script)| ((file, purpose, fingerprints), script))
            .unzip();
        self.add_findings(&lint::check(&scripts, &self.config, None));
        let kept = rest.into_iter().zip(scripts);
        folder.scripts.extend(kept.map(|((file, purpose, fingerprints), script)| {
            (file, LoadedScript { purpose, fingerprints, loaded: Ok(script) })
        }));
        for file in open.iter().filter(|file| is_module(file) && !known.contains(*file) && !is_test(file)) {
            if let Err(faults) = self.load(file, Purpose::Handlers).loaded {
                self.add_faults(&faults);
            }
        }
    }

    /// Returns the scripts and jobs of the folder, including open documents that are not on disk yet.
    fn wanted(&self, open: &BTreeSet<String>) -> BTreeSet<String> {
        let listed = list_scripts(self.root).map(|listing| listing.files).unwrap_or_default();
        let jobs = self.config.triggers.iter().map(|binding| binding.job.clone());
        let new = open.iter().filter(|file| !is_module(file)).cloned();
        listed.into_iter().chain(jobs).chain(new).filter(|file| !is_test(file)).collect()
    }

    /// Checks a file outside a scripts folder; a file without triggers is checked as a job.
    fn alone(mut self, location: &FileLocation, text: &str) {
        let is_job = text.starts_with("#!") || Outline::of(text).triggers.is_empty();
        let purpose = if is_job { Purpose::Job } else { Purpose::Handlers };
        match self.load(&location.file, purpose).loaded {
            Ok(script) => self.add_findings(&lint::check(&[script], &self.config, None)),
            Err(faults) => self.add_faults(&faults),
        }
    }

    /// Returns `Job` for a file that is bound in rhaid.yaml or begins with `#!`.
    fn purpose(&self, file: &str) -> Purpose {
        let is_bound = self.config.triggers.iter().any(|binding| binding.job == file);
        let is_job = is_bound || self.snapshot.read(file).is_ok_and(|text| text.starts_with("#!"));
        if is_job { Purpose::Job } else { Purpose::Handlers }
    }

    fn is_unchanged(&self, fingerprints: &FileFingerprints) -> bool {
        fingerprints.iter().all(|(file, fingerprint)| self.snapshot.fingerprint(file) == fingerprint)
    }

    fn load(&self, file: &str, purpose: Purpose) -> LoadedScript {
        let watched = Arc::new(TrackedSources::new(self.snapshot.clone()));
        let loaded = Script::load(file, &purpose, watched.clone(), &self.config, &self.trigger_context);
        LoadedScript { purpose, fingerprints: watched.take_fingerprints(), loaded }
    }

    fn add_faults(&mut self, faults: &[Fault]) {
        for fault in faults {
            self.add(fault, diagnostics::fault);
        }
    }

    fn add_findings(&mut self, findings: &[Finding]) {
        for finding in findings {
            self.add(&finding.fault, |_, text, root| diagnostics::finding(finding, text, root));
        }
    }

    /// Adds a diagnostic, once even if several scripts import the module.
    fn add(&mut self, fault: &Fault, shown: impl FnOnce(&Fault, &Text, &Path) -> Diagnostic) {
        let text = Text::new(self.snapshot.read(&fault.location.file).unwrap_or_else(|_| "".into()));
        let diagnostic = shown(fault, &text, self.root);
        let all = self.found.entry(self.root.join(&fault.location.file)).or_default();
        if !all.contains(&diagnostic) {
            all.push(diagnostic);
        }
    }
}
