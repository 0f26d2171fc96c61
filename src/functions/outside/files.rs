//! Files.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use globset::{Glob, GlobMatcher};
use rhai::plugin::*;

use crate::config::Need;
use crate::functions::act::DryRun;
use crate::functions::arguments::{MAX_BYTES, bytes, invalid_argument, parse_options, too_large, value};
use crate::functions::outside::{check, resolved};
use crate::functions::{Thrown, WorkDeadline, context, thrown};
use crate::services::files::successor;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "files", functions);
}

/// How many files one `list_files` returns.
const MAX_FILES: usize = 100_000;

/// Returns a path that the script may read or write.
pub(in crate::functions) fn allowed(function: &str, path: &str, write: bool) -> Result<PathBuf, Thrown> {
    let context = context(function)?;
    let path = resolved(path, &context.config)?;
    check(function, if write { Need::Write(&path) } else { Need::Read(&path) })?;
    Ok(context.services.files.place(path))
}

fn unusable(path: &Path, error: &std::io::Error) -> Thrown {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => "not_found",
        std::io::ErrorKind::PermissionDenied => "denied",
        _ => "io",
    };
    thrown(kind, format!("{}: {error}", path.display()))
}

/// Does work on files beside the run's thread, so that a file system that hangs does not hold the run.
fn beside<T: Send + 'static>(
    function: &str,
    work: impl FnOnce() -> Result<T, Thrown> + Send + 'static,
) -> Result<T, Thrown> {
    let context = context(function)?;
    let done = context.wait(context.runtime.spawn_blocking(work))?;
    done.unwrap_or_else(|_| Err(thrown("io", format!("`{function}` broke off"))))
}

/// Refuses what is no ordinary file: reading a pipe or a device might never end.
fn check_ordinary(path: &Path, found: &std::fs::Metadata) -> Result<(), Thrown> {
    if found.is_file() { Ok(()) } else { Err(thrown("io", format!("{} is no ordinary file", path.display()))) }
}

/// Returns the path of an ordinary file that the script may read.
pub(in crate::functions) fn readable(function: &str, path: &str) -> Result<PathBuf, Thrown> {
    let path = allowed(function, path, false)?;
    beside(function, move || {
        let found = std::fs::metadata(&path).map_err(|error| unusable(&path, &error))?;
        check_ordinary(&path, &found).map(|()| path)
    })
}

/// Returns what is in a file that the script may read.
pub(in crate::functions) fn read_allowed(function: &'static str, path: &Path) -> Result<Vec<u8>, Thrown> {
    let shown = path.to_string_lossy();
    let path = allowed(function, &shown, false)?;
    context(function)?.act(function, shown, DryRun::Done, |told| {
        let content = beside(function, move || read(&path))?;
        *told = format!("{} bytes", content.len());
        Ok(content)
    })
}

/// Returns what is in a file that the script may read, as a part of something else that is told.
pub(in crate::functions) fn content(function: &str, path: &str) -> Result<Vec<u8>, Thrown> {
    let path = allowed(function, path, false)?;
    beside(function, move || read(&path))
}

fn read(path: &Path) -> Result<Vec<u8>, Thrown> {
    let wrong = |error| unusable(path, &error);
    check_ordinary(path, &std::fs::metadata(path).map_err(wrong)?)?;
    let mut content = Vec::new();
    let file = std::fs::File::open(path).map_err(wrong)?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut content).map_err(wrong)?;
    if content.len() > MAX_BYTES {
        return Err(too_large(&path.display().to_string(), MAX_BYTES, "bytes"));
    }
    Ok(content)
}

/// Puts content into a file beside the old one and then in its place, so that a reader sees the old or the new whole.
fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = successor(path)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

fn append(path: &Path, content: &[u8]) -> Result<(), Thrown> {
    let wrong = |error| unusable(path, &error);
    if let Ok(found) = std::fs::metadata(path) {
        check_ordinary(path, &found)?;
    }
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).map_err(wrong)?;
    file.write_all(content).map_err(wrong)
}

/// Which files `list_files` returns.
struct Listing {
    pattern: Option<GlobMatcher>,
    recursive: bool,
}

impl Listing {
    fn read(written: &rhai::Map) -> Result<Self, Thrown> {
        let mut options = parse_options(written)?;
        let pattern = options
            .read("pattern", |value| {
                let text = crate::options::text(value)?;
                Glob::new(&text).map(|glob| glob.compile_matcher()).map_err(|error| error.to_string())
            })
            .map_err(invalid_argument)?;
        let recursive = options.bool("recursive").map_err(invalid_argument)?.unwrap_or(false);
        options.finish().map_err(invalid_argument)?;
        Ok(Self { pattern, recursive })
    }

    /// Returns the ordinary files of a folder, sorted; links to folders are not followed.
    fn files(&self, folder: &Path, patience: &WorkDeadline) -> Result<Vec<String>, Thrown> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let wrong = |error| unusable(&folder, &error);
            for entry in std::fs::read_dir(&folder).map_err(wrong)? {
                patience.check()?;
                let entry = entry.map_err(wrong)?;
                let (path, kind) = (entry.path(), entry.file_type().map_err(wrong)?);
                if kind.is_dir() && self.recursive {
                    folders.push(path);
                } else if (kind.is_file() || kind.is_symlink() && path.is_file())
                    && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(entry.file_name()))
                {
                    found.push(path.to_string_lossy().into_owned());
                }
                if found.len() + folders.len() > MAX_FILES {
                    return Err(too_large("the folder", MAX_FILES, "files"));
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

fn list(folder: &str, listing: Listing) -> Result<rhai::Array, Thrown> {
    let folder = allowed("list_files", folder, false)?;
    let patience = WorkDeadline::new();
    let files = beside("list_files", move || listing.files(&folder, &patience))?;
    Ok(files.into_iter().map(Dynamic::from).collect())
}

#[export_module]
#[expect(unreachable_pub, reason = "the macro wants public functions")]
mod functions {
    /// Returns what is in a file as text, or with `binary: true` as a blob. At most 16 MiB.
    ///
    /// A relative path starts where the scripts folder lies.
    ///
    /// # Example
    /// ```rhai
    /// write_file("notes/today.txt", "milk");
    /// assert_eq(read_file("notes/today.txt"), "milk");
    /// assert_eq(read_file("notes/today.txt", #{ binary: true }).len(), 4);
    /// ```
    #[rhai_fn(name = "read_file", return_raw)]
    pub fn read_file(path: &str) -> Result<Dynamic, Thrown> {
        let content = read_allowed("read_file", Path::new(path))?;
        let text = String::from_utf8(content).map_err(|_| {
            thrown(
                "decode",
                format!("{path} is no UTF-8 text: read it as a blob with `read_file(path, #{{ binary: true }})`"),
            )
        })?;
        Ok(text.into())
    }

    #[rhai_fn(name = "read_file", return_raw)]
    pub fn read_file_with(path: &str, options: rhai::Map) -> Result<Dynamic, Thrown> {
        let mut options = parse_options(&options)?;
        let binary = options.bool("binary").map_err(invalid_argument)?.unwrap_or(false);
        options.finish().map_err(invalid_argument)?;
        if binary { read_allowed("read_file", Path::new(path)).map(Dynamic::from_blob) } else { read_file(path) }
    }

    /// Writes a file: text and blobs as they are, maps and arrays as JSON. Whoever reads it sees the old content or the new one, never a part.
    ///
    /// # Example
    /// ```rhai
    /// write_file("notes/limits.json", #{ celsius: 21.5 });
    /// assert_eq(parse_json(read_file("notes/limits.json")).celsius, 21.5);
    /// ```
    #[rhai_fn(name = "write_file", return_raw)]
    pub fn write_file(path: &str, content: Dynamic) -> Result<(), Thrown> {
        let (shown, content) = (path, bytes(value(&content)?));
        let path = allowed("write_file", path, true)?;
        let with = format!("{shown} ({} bytes)", content.len());
        context("write_file")?.act("write_file", with, DryRun::Gives(()), |_| {
            beside("write_file", move || replace(&path, &content).map_err(|error| unusable(&path, &error)))
        })
    }

    /// Writes at the end of a file, which is made if it is not there.
    ///
    /// # Example
    /// ```rhai
    /// append_file("notes/log.txt", "one\n");
    /// append_file("notes/log.txt", "two\n");
    /// assert_eq(read_file("notes/log.txt"), "one\ntwo\n");
    /// ```
    #[rhai_fn(name = "append_file", return_raw)]
    pub fn append_file(path: &str, content: Dynamic) -> Result<(), Thrown> {
        let (shown, content) = (path, bytes(value(&content)?));
        let path = allowed("append_file", path, true)?;
        let with = format!("{shown} ({} bytes)", content.len());
        context("append_file")?
            .act("append_file", with, DryRun::Gives(()), |_| beside("append_file", move || append(&path, &content)))
    }

    /// Returns the paths of the files in a folder, sorted.
    ///
    /// Options: `pattern` (a glob over the names, such as `"*.csv"`), `recursive` (also what lies in folders below).
    ///
    /// # Example
    /// ```rhai
    /// write_file("notes/a.csv", "1");
    /// write_file("notes/b.txt", "2");
    /// let found = list_files("notes", #{ pattern: "*.csv" });
    /// assert_eq(found.len(), 1);
    /// assert(found[0].ends_with("notes/a.csv"));
    /// ```
    #[rhai_fn(name = "list_files", return_raw)]
    pub fn list_files(folder: &str) -> Result<rhai::Array, Thrown> {
        list(folder, Listing { pattern: None, recursive: false })
    }

    #[rhai_fn(name = "list_files", return_raw)]
    pub fn list_files_with(folder: &str, options: rhai::Map) -> Result<rhai::Array, Thrown> {
        list(folder, Listing::read(&options)?)
    }
}
