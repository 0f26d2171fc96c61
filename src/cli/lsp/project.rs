//! The scripts folder that a file belongs to, and its files as they are edited.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::settings::{self, FILE, Globals};
use crate::config::Config;
use crate::runtime::FolderSources;
use crate::script::Sources;

/// The texts that are edited, by file.
pub(super) type OpenTexts = BTreeMap<PathBuf, Arc<str>>;

/// Where a file belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileLocation {
    /// The folder that imports are found in.
    pub(super) root: PathBuf,
    /// The file below it.
    pub(super) file: String,
    /// The flags that lead to its configuration.
    pub(super) flags: ConfigFlags,
    /// Whether the folder is a scripts folder, and not only where the file happens to lie.
    pub(super) is_in_scripts: bool,
}

/// The flags that lead to a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConfigFlags {
    pub(super) config: Option<PathBuf>,
    scripts: Option<PathBuf>,
}

impl ConfigFlags {
    /// Returns the flags of a command that would look at the same scripts.
    pub(super) fn globals(&self, globals: &Globals) -> Globals {
        Globals { config: self.config.clone(), scripts: self.scripts.clone(), ..globals.clone() }
    }
}

/// Returns whether a file holds tests of scripts, and is no script.
pub(super) fn is_test(file: &str) -> bool {
    file.ends_with("_test.rhai")
}

impl FileLocation {
    /// Finds where a file belongs: to the folder that the command line names, or that the next `rhaid.yaml` above it names,
    /// or to the next folder above it that is called `scripts`; else it is on its own.
    pub(super) fn of(path: &Path, globals: &Globals) -> Self {
        let above = || path.ancestors().skip(1);
        let flags = if globals.config.is_some() || globals.scripts.is_some() {
            let config = settings::find(globals).ok().flatten();
            ConfigFlags {
                config: config.map(|file| std::path::absolute(&file).unwrap_or(file)),
                scripts: globals.scripts.clone(),
            }
        } else if let Some(config) = above().map(|folder| folder.join(FILE)).find(|file| file.is_file()) {
            ConfigFlags { config: Some(config), scripts: None }
        } else {
            let scripts = above().find(|folder| folder.file_name().is_some_and(|name| name == "scripts"));
            ConfigFlags { config: None, scripts: scripts.map(Path::to_owned) }
        };
        let named = flags.config.is_some() || flags.scripts.is_some();
        let config = settings::read(&flags.globals(globals), flags.config.as_deref()).ok();
        let scripts = config.map(|loaded| loaded.config.scripts).or_else(|| flags.scripts.clone());
        let root = scripts.filter(|_| named).and_then(|scripts| scripts.canonicalize().ok());
        if let Some(root) = root
            && let Ok(below) = path.strip_prefix(&root)
        {
            return Self { file: below.to_string_lossy().into_owned(), root, flags, is_in_scripts: true };
        }
        let root = path.parent().unwrap_or(path).to_owned();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { root, file, flags, is_in_scripts: false }
    }

    /// Returns the text of another file of the folder, as it is edited.
    pub(super) fn read(&self, file: &str, texts: &OpenTexts) -> Option<Arc<str>> {
        let largest = Config::default_in(Path::new(".")).limits.script_size;
        EditedSources::new(&self.root, largest, texts.clone()).read(file).ok()
    }
}

/// The scripts folder with what is edited in place of what is on disk.
pub(super) struct EditedSources {
    root: PathBuf,
    folder: FolderSources,
    texts: OpenTexts,
}

impl EditedSources {
    pub(super) fn new(root: &Path, largest: u64, texts: OpenTexts) -> Self {
        Self { root: root.to_owned(), folder: FolderSources::new(root, largest), texts }
    }
}

impl Sources for EditedSources {
    fn read(&self, file: &str) -> Result<Arc<str>, String> {
        match self.texts.get(&self.root.join(file)) {
            Some(text) => Ok(text.clone()),
            None => self.folder.read(file),
        }
    }
}
