//! Sources of scripts: the scripts folder, or the accepted versions in the store.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::script::Sources;
use crate::units::show_size;

/// The scripts folder; every read returns the current content.
#[derive(Debug, Clone)]
pub struct FolderSources {
    root: PathBuf,
    max_size: u64,
}

impl FolderSources {
    /// Creates sources for files below a folder, of at most `max_size` bytes.
    pub fn new(root: impl Into<PathBuf>, max_size: u64) -> Self {
        Self { root: root.into(), max_size }
    }

    fn locate(&self, file: &str) -> Result<PathBuf, String> {
        if !Path::new(file).components().all(|part| matches!(part, Component::Normal(_))) || file.contains('\\') {
            return Err(format!("`{file}` leads outside of the scripts folder"));
        }
        let why = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("there is no file `{file}`"),
            _ => format!("`{file}` cannot be read: {error}"),
        };
        let root = fs::canonicalize(&self.root).map_err(why)?;
        let path = root.join(file);
        let path = fs::canonicalize(&path).map_err(|error| match (fs::read_link(&path), error.kind()) {
            (Ok(target), std::io::ErrorKind::NotFound) => {
                format!("`{file}` is a link to {}, which does not exist", target.display())
            }
            (Ok(_), _) => format!("`{file}` is a link that cannot be followed: {error}"),
            (Err(_), _) => why(error),
        })?;
        if !path.starts_with(&root) {
            return Err(format!("`{file}` is a link that leads outside of the scripts folder"));
        }
        let metadata = fs::metadata(&path).map_err(why)?;
        if metadata.is_dir() {
            return Err(format!("`{file}` is a folder, not a script"));
        }
        if !metadata.is_file() {
            return Err(format!("`{file}` is not a regular file but a pipe, a socket or a device"));
        }
        Ok(path)
    }
}

impl Sources for FolderSources {
    fn read(&self, file: &str) -> Result<Arc<str>, String> {
        let path = self.locate(file)?;
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|open| open.take(self.max_size.saturating_add(1)).read_to_end(&mut bytes))
            .map_err(|error| format!("`{file}` cannot be read: {error}"))?;
        if bytes.len() as u64 > self.max_size {
            let limit = show_size(self.max_size);
            return Err(format!("`{file}` is larger than {limit} (`limits.script_size` in rhaid.yaml)"));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(text.strip_prefix('\u{feff}').map_or_else(|| text.as_str().into(), Into::into)),
            Err(error) => {
                let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
                Err(format!("`{file}` is not UTF-8 text: line {line} has an invalid byte; save it as UTF-8"))
            }
        }
    }
}

/// Files of an accepted version.
pub(crate) struct AcceptedSources(pub(crate) Vec<(String, String)>);

impl Sources for AcceptedSources {
    fn read(&self, file: &str) -> Result<Arc<str>, String> {
        let found = self.0.iter().find(|(name, _)| name == file);
        found.map(|(_, text)| text.as_str().into()).ok_or_else(|| format!("there is no file `{file}`"))
    }
}

/// Sources that read each file once, so that all scripts of one load see the same text of a module.
pub(crate) struct Snapshot {
    inner: Box<dyn Sources>,
    read: Mutex<BTreeMap<String, Result<Arc<str>, String>>>,
}

impl Snapshot {
    pub(crate) fn new(inner: impl Sources + 'static) -> Self {
        Self { inner: Box::new(inner), read: Mutex::default() }
    }

    /// Returns the fingerprint of a file; `None` if it cannot be read.
    pub(crate) fn fingerprint(&self, file: &str) -> Option<u64> {
        self.read(file).ok().map(|text| fingerprint(&text))
    }
}

impl Sources for Snapshot {
    fn read(&self, file: &str) -> Result<Arc<str>, String> {
        let lock = || self.read.lock();
        if let Some(known) = lock().get(file) {
            return known.clone();
        }
        let read = self.inner.read(file);
        lock().entry(file.to_owned()).or_insert(read).clone()
    }
}

/// Files that a load read, with their fingerprints; `None` for files that could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FileFingerprints(Vec<(Box<str>, Option<u64>)>);

impl FileFingerprints {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, file: &str) -> Option<Option<u64>> {
        self.iter().find(|(known, _)| *known == file).map(|(_, fingerprint)| fingerprint)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Option<u64>)> {
        self.0.iter().map(|(file, fingerprint)| (&**file, *fingerprint))
    }

    fn insert(&mut self, file: &str, fingerprint: Option<u64>) {
        self.0.retain(|(known, _)| **known != *file);
        self.0.push((file.into(), fingerprint));
    }
}

/// Snapshot that tracks the files that one script's load reads.
pub(crate) struct TrackedSources {
    snapshot: Arc<Snapshot>,
    fingerprints: Mutex<FileFingerprints>,
}

impl TrackedSources {
    pub(crate) fn new(snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot, fingerprints: Mutex::default() }
    }

    /// Takes the fingerprints of the files read so far.
    pub(crate) fn take_fingerprints(&self) -> FileFingerprints {
        std::mem::take(&mut self.fingerprints.lock())
    }
}

impl Sources for TrackedSources {
    fn read(&self, file: &str) -> Result<Arc<str>, String> {
        let text = self.snapshot.read(file);
        let fingerprint = text.as_ref().ok().map(|text| self::fingerprint(text));
        self.fingerprints.lock().insert(file, fingerprint);
        text
    }
}

/// Returns the fingerprint of a text.
pub(crate) fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::listing::list_scripts;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (file, bytes) in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        folder
    }

    #[test]
    fn names_with_an_underscore_or_a_dot_are_no_scripts() {
        let folder = folder(&[
            ("a.rhai", b""),
            ("garden/pump.rhai", b""),
            ("_lib/units.rhai", b""),
            ("garden/_x.rhai", b""),
            (".git/b.rhai", b""),
            ("notes.txt", b""),
            (".rhai", b""),
            ("x.rhai/y.rhai", b""),
        ]);
        let listing = list_scripts(folder.path()).unwrap();
        assert_eq!(listing.files, ["a.rhai", "garden/pump.rhai"]);
        assert_eq!(listing.problems, ["`x.rhai` is a folder, not a script"]);
    }

    #[test]
    fn invalid_files_are_rejected_with_a_reason() {
        let folder = folder(&[("bad.rhai", b"let a = 1;\n\xff"), ("big.rhai", b"123456789012345"), ("d.rhai/e", b"")]);
        let sources = FolderSources::new(folder.path(), 14);
        let why = |file: &str| sources.read(file).unwrap_err();
        assert_eq!(why("bad.rhai"), "`bad.rhai` is not UTF-8 text: line 2 has an invalid byte; save it as UTF-8");
        assert_eq!(why("big.rhai"), "`big.rhai` is larger than 14B (`limits.script_size` in rhaid.yaml)");
        assert_eq!(why("d.rhai"), "`d.rhai` is a folder, not a script");
        assert_eq!(why("gone.rhai"), "there is no file `gone.rhai`");
        assert_eq!(why("../x.rhai"), "`../x.rhai` leads outside of the scripts folder");
        assert_eq!(why("/etc/passwd"), "`/etc/passwd` leads outside of the scripts folder");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_folder_is_rejected_and_one_inside_is_followed() {
        let outside = folder(&[("secret.rhai", b"1")]);
        let inside = folder(&[("..data/a.rhai", b"2")]);
        std::os::unix::fs::symlink(outside.path().join("secret.rhai"), inside.path().join("out.rhai")).unwrap();
        std::os::unix::fs::symlink("..data/a.rhai", inside.path().join("a.rhai")).unwrap();
        let sources = FolderSources::new(inside.path(), 100);
        assert_eq!(
            sources.read("out.rhai").unwrap_err(),
            "`out.rhai` is a link that leads outside of the scripts folder"
        );
        assert_eq!(&*sources.read("a.rhai").unwrap(), "2");
        assert_eq!(list_scripts(inside.path()).unwrap().files, ["a.rhai", "out.rhai"]);
    }

    #[cfg(unix)]
    #[test]
    fn broken_and_circular_links_are_reported_and_do_not_loop() {
        let folder = folder(&[("a/x.rhai", b""), ("b/y.rhai", b"")]);
        let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, folder.path().join(name)).unwrap();
        for (target, name) in [(".", "self"), ("../b", "a/b"), ("../a", "b/a"), ("gone", "lost.rhai")] {
            link(target, name);
        }
        link("loop.rhai", "loop.rhai");
        let listing = list_scripts(folder.path()).unwrap();
        assert_eq!(listing.files, ["a/b/y.rhai", "a/x.rhai", "b/a/x.rhai", "b/y.rhai", "loop.rhai", "lost.rhai"]);
        let mut problems = listing.problems;
        problems.sort();
        let circle = |name: &str| format!("`{name}` is ignored: it is a link to a folder that contains it");
        assert_eq!(problems, [circle("a/b/a"), circle("b/a/b"), circle("self")]);
        let sources = FolderSources::new(folder.path(), 100);
        let why = |file: &str| sources.read(file).unwrap_err();
        assert_eq!(why("lost.rhai"), "`lost.rhai` is a link to gone, which does not exist");
        assert!(
            why("loop.rhai").starts_with("`loop.rhai` is a link that cannot be followed: "),
            "{}",
            why("loop.rhai")
        );
    }

    #[test]
    fn a_snapshot_does_not_change_while_it_is_used() {
        let folder = folder(&[("a.rhai", b"1")]);
        let snapshot = Arc::new(Snapshot::new(FolderSources::new(folder.path(), 100)));
        let tracked = TrackedSources::new(snapshot.clone());
        assert_eq!(&*tracked.read("a.rhai").unwrap(), "1");
        fs::write(folder.path().join("a.rhai"), "2").unwrap();
        assert_eq!(&*tracked.read("a.rhai").unwrap(), "1");
        assert_eq!(tracked.take_fingerprints(), FileFingerprints(vec![("a.rhai".into(), Some(fingerprint("1")))]));
    }
}
