//! File functions.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use rhai::plugin::*;

use crate::config::Need;
use crate::functions::arguments::{MAX_BYTES, parse_options, to_bytes};
use crate::functions::effects::DryRun;
use crate::functions::outside::paths::resolved;
use crate::functions::outside::permissions::check;
use crate::functions::phase::context;
use crate::functions::thrown::{Thrown, invalid_argument, thrown, too_large};
use crate::services::files::replacement;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "files", functions);
}

/// Returns a path after checking the permission to read or write it.
pub(in crate::functions) fn allowed(function: &str, path: &str, write: bool) -> Result<PathBuf, Thrown> {
    let context = context(function)?;
    let path = resolved(path, &context.config)?;
    check(function, if write { Need::Write(&path) } else { Need::Read(&path) })?;
    Ok(context.services.files.resolve(path))
}

pub(super) fn io_error(path: &Path, error: &std::io::Error) -> Thrown {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => "not_found",
        std::io::ErrorKind::PermissionDenied => "denied",
        _ => "io",
    };
    thrown(kind, format!("{}: {error}", path.display()))
}

/// Runs file I/O on the blocking thread pool, so that a hanging file system does not outlast the run's deadline.
pub(super) fn run_blocking<T: Send + 'static>(
    function: &str,
    work: impl FnOnce() -> Result<T, Thrown> + Send + 'static,
) -> Result<T, Thrown> {
    let context = context(function)?;
    let result = context.wait(context.runtime.spawn_blocking(work))?;
    result.unwrap_or_else(|_| Err(thrown("io", format!("`{function}` was aborted"))))
}

/// Returns an error unless the path is a regular file: reading a pipe or a device might never end.
fn check_regular(path: &Path, metadata: &std::fs::Metadata) -> Result<(), Thrown> {
    if metadata.is_file() { Ok(()) } else { Err(thrown("io", format!("{} is not a regular file", path.display()))) }
}

/// Returns the path of a regular file after checking the permission to read it.
pub(in crate::functions) fn readable(function: &str, path: &str) -> Result<PathBuf, Thrown> {
    let path = allowed(function, path, false)?;
    run_blocking(function, move || {
        let found = std::fs::metadata(&path).map_err(|error| io_error(&path, &error))?;
        check_regular(&path, &found).map(|()| path)
    })
}

/// Returns the content of a file after checking the permission; records the effect.
pub(in crate::functions) fn read_allowed(function: &'static str, path: &Path) -> Result<Vec<u8>, Thrown> {
    let shown = path.to_string_lossy();
    let path = allowed(function, &shown, false)?;
    context(function)?.perform(function, shown, DryRun::Perform, |result| {
        let content = run_blocking(function, move || read(&path))?;
        *result = format!("{} bytes", content.len());
        Ok(content)
    })
}

/// Returns the content of a file after checking the permission; the effect is recorded by the caller.
pub(in crate::functions) fn content(function: &str, path: &str) -> Result<Vec<u8>, Thrown> {
    let path = allowed(function, path, false)?;
    run_blocking(function, move || read(&path))
}

fn read(path: &Path) -> Result<Vec<u8>, Thrown> {
    let to_thrown = |error| io_error(path, &error);
    check_regular(path, &std::fs::metadata(path).map_err(to_thrown)?)?;
    let mut content = Vec::new();
    let file = std::fs::File::open(path).map_err(to_thrown)?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut content).map_err(to_thrown)?;
    if content.len() > MAX_BYTES {
        return Err(too_large(&path.display().to_string(), MAX_BYTES, "bytes"));
    }
    Ok(content)
}

/// Writes a temporary file and renames it over the target, so that readers see either the old or the new content.
fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = replacement(path)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

fn append(path: &Path, content: &[u8]) -> Result<(), Thrown> {
    let to_thrown = |error| io_error(path, &error);
    if let Ok(found) = std::fs::metadata(path) {
        check_regular(path, &found)?;
    }
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).map_err(to_thrown)?;
    file.write_all(content).map_err(to_thrown)
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Returns the content of a file as text, or with `binary: true` as a blob. The file may have at most 16 MiB.
    ///
    /// Relative paths start at the folder of `rhaid.yaml`, or without one at the parent of the scripts folder.
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
                format!("{path} is not valid UTF-8: read it as a blob with `read_file(path, #{{ binary: true }})`"),
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

    /// Writes a file: text and blobs unchanged, maps and arrays as JSON. The file is replaced atomically: readers see either the old or the
    /// new content.
    ///
    /// # Example
    /// ```rhai
    /// write_file("notes/limits.json", #{ celsius: 21.5 });
    /// assert_eq(parse_json(read_file("notes/limits.json")).celsius, 21.5);
    /// ```
    #[rhai_fn(name = "write_file", return_raw)]
    pub fn write_file(path: &str, content: Dynamic) -> Result<(), Thrown> {
        let (shown, content) = (path, to_bytes(&content)?);
        let path = allowed("write_file", path, true)?;
        let details = format!("{shown} ({} bytes)", content.len());
        context("write_file")?.perform("write_file", details, DryRun::Return(()), |_| {
            run_blocking("write_file", move || replace(&path, &content).map_err(|error| io_error(&path, &error)))
        })
    }

    /// Appends to a file. Creates the file if it does not exist.
    ///
    /// # Example
    /// ```rhai
    /// append_file("notes/log.txt", "one\n");
    /// append_file("notes/log.txt", "two\n");
    /// assert_eq(read_file("notes/log.txt"), "one\ntwo\n");
    /// ```
    #[rhai_fn(name = "append_file", return_raw)]
    pub fn append_file(path: &str, content: Dynamic) -> Result<(), Thrown> {
        let (shown, content) = (path, to_bytes(&content)?);
        let path = allowed("append_file", path, true)?;
        let details = format!("{shown} ({} bytes)", content.len());
        context("append_file")?.perform("append_file", details, DryRun::Return(()), |_| {
            run_blocking("append_file", move || append(&path, &content))
        })
    }
}
