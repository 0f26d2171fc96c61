//! `list_files`.

use std::path::Path;

use globset::{Glob, GlobMatcher};
use rhai::plugin::*;

use crate::functions::arguments::parse_options;
use crate::functions::outside::files::{allowed, io_error, run_blocking};
use crate::functions::thrown::{Thrown, invalid_argument, too_large};
use crate::functions::wait::WorkDeadline;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "list_files", functions);
}

/// The largest number of files that `list_files` returns.
const MAX_FILES: usize = 100_000;

/// Options of `list_files`.
#[derive(Default)]
struct FileFilter {
    pattern: Option<GlobMatcher>,
    recursive: bool,
}

impl FileFilter {
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

    /// Returns the regular files of a folder, sorted. Symlinks to folders are not followed.
    fn files(&self, folder: &Path, deadline: &WorkDeadline) -> Result<Vec<String>, Thrown> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let to_thrown = |error| io_error(&folder, &error);
            for entry in std::fs::read_dir(&folder).map_err(to_thrown)? {
                deadline.check()?;
                let entry = entry.map_err(to_thrown)?;
                let (path, kind) = (entry.path(), entry.file_type().map_err(to_thrown)?);
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

fn list(folder: &str, filter: FileFilter) -> Result<rhai::Array, Thrown> {
    let folder = allowed("list_files", folder, false)?;
    let deadline = WorkDeadline::new();
    let files = run_blocking("list_files", move || filter.files(&folder, &deadline))?;
    Ok(files.into_iter().map(Dynamic::from).collect())
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Returns the paths of the files in a folder, sorted.
    ///
    /// Options: `pattern` (a glob pattern for the file names, such as `"*.csv"`), `recursive` (`true`: include subfolders).
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
        list(folder, FileFilter::default())
    }

    #[rhai_fn(name = "list_files", return_raw)]
    pub fn list_files_with(folder: &str, options: rhai::Map) -> Result<rhai::Array, Thrown> {
        list(folder, FileFilter::read(&options)?)
    }
}
