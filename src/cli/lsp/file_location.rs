//! The scripts folder that a file belongs to, and its sources with unsaved edits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::settings::{self, FILE, Globals};
use crate::config::Config;
use crate::runtime::FolderSources;
use crate::script::Sources;

/// The texts of the open documents, by file.
pub(super) type OpenTexts = BTreeMap<PathBuf, Arc<str>>;

/// A file and the scripts folder that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileLocation {
    /// The folder that import paths are relative to.
    pub(super) root: PathBuf,
    /// The path of the file below `root`.
    pub(super) file: String,
    /// The options that select its configuration.
    pub(super) flags: ConfigFlags,
    /// Whether `root` is a scripts folder, and not only the parent folder of the file.
    pub(super) is_in_scripts: bool,
}

/// The options that select a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConfigFlags {
    pub(super) config: Option<PathBuf>,
    scripts: Option<PathBuf>,
}

impl ConfigFlags {
    /// Returns the global options of a command for the same scripts.
    pub(super) fn globals(&self, globals: &Globals) -> Globals {
        Globals { config: self.config.clone(), scripts: self.scripts.clone(), ..globals.clone() }
    }
}

/// Returns whether a file contains tests.
pub(super) fn is_test(file: &str) -> bool {
    file.ends_with("_test.rhai")
}

impl FileLocation {
    /// Finds the scripts folder of a file: the folder of the command line, or of the nearest `rhaid.yaml` above the file, or the nearest
    /// folder above it with the name `scripts`. Otherwise the file stands alone in its folder.
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

    /// Returns the text of another file of the folder, with unsaved edits.
    pub(super) fn read(&self, file: &str, texts: &OpenTexts) -> Option<Arc<str>> {
        let largest = Config::default_in(Path::new(".")).limits.script_size;
        EditedSources::new(&self.root, largest, texts.clone()).read(file).ok()
    }
}

/// The scripts folder, with the open documents in place of the files on disk.
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
