//! Listing of the scripts folder.

use std::fs;
use std::path::{Path, PathBuf};

/// Maximum nesting depth of folders.
const MAX_DEPTH: usize = 32;

/// Content of the scripts folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FolderListing {
    /// Files of the scripts, relative to the folder with `/` as separator, sorted.
    pub files: Vec<String>,
    /// Files and folders that could not be listed, with the reasons.
    pub problems: Vec<String>,
}

/// Lists the scripts of a folder: every `*.rhai` file except tests, without path components that start with `_` or `.`.
///
/// # Errors
/// If the folder itself cannot be read.
pub fn list_scripts(root: &Path) -> std::io::Result<FolderListing> {
    let mut ancestors = vec![fs::canonicalize(root)?];
    let mut listing = FolderListing::default();
    list_below(root, "", &mut ancestors, &mut listing)?;
    listing.files.sort();
    Ok(listing)
}

/// Lists a folder; `ancestors` contains the real paths of the folders that lead to it, and its own.
fn list_below(
    folder: &Path,
    prefix: &str,
    ancestors: &mut Vec<PathBuf>,
    listing: &mut FolderListing,
) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            listing.problems.push(format!("`{prefix}{}` is ignored: its name is not UTF-8", name.to_string_lossy()));
            continue;
        };
        if name.starts_with(['_', '.']) {
            continue;
        }
        let relative = format!("{prefix}{name}");
        // A broken link is reported when it is read.
        let is_folder = match entry.file_type()? {
            kind if kind.is_symlink() => fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir()),
            kind => kind.is_dir(),
        };
        let is_script = name.len() > ".rhai".len() && name.ends_with(".rhai") && !is_test(name);
        match (is_folder, is_script) {
            (true, true) => listing.problems.push(format!("`{relative}` is a folder, not a script")),
            (true, false) => list_folder(&entry.path(), &relative, ancestors, listing),
            (false, true) => listing.files.push(relative),
            (false, false) => {}
        }
    }
    Ok(())
}

fn list_folder(folder: &Path, relative: &str, ancestors: &mut Vec<PathBuf>, listing: &mut FolderListing) {
    let is_circle = |real: &Path| ancestors.iter().any(|ancestors| ancestors.starts_with(real));
    let listed = match fs::canonicalize(folder) {
        Err(why) => Err(why.to_string()),
        Ok(real) if !real.starts_with(&ancestors[0]) => {
            Err("it is a link that leads outside of the scripts folder".to_owned())
        }
        Ok(real) if is_circle(&real) => Err("it is a link to a folder that contains it".to_owned()),
        Ok(_) if ancestors.len() > MAX_DEPTH => Err(format!("folders are nested more than {MAX_DEPTH} levels deep")),
        Ok(real) => {
            ancestors.push(real);
            let listed = list_below(folder, &format!("{relative}/"), ancestors, listing).map_err(|why| why.to_string());
            ancestors.pop();
            listed
        }
    };
    if let Err(why) = listed {
        listing.problems.push(format!("`{relative}` is ignored: {why}"));
    }
}

/// Returns whether a file contains tests: `*_test.rhai`.
pub fn is_test(file: &str) -> bool {
    file.ends_with("_test.rhai")
}

/// Returns the name of the script in a file.
pub fn script_name(file: &str) -> &str {
    file.strip_suffix(".rhai").unwrap_or(file)
}
