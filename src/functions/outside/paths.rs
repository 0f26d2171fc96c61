//! Paths that scripts write.

use std::path::{Component, Path, PathBuf};

use crate::config::Config;
use crate::functions::thrown::{Thrown, invalid_argument};

/// Returns the folder for relative paths: that of `rhaid.yaml`, or without one the parent of the scripts folder.
pub(super) fn base(config: &Config) -> PathBuf {
    let sibling = config.file.as_deref().unwrap_or(&config.scripts);
    let sibling = std::path::absolute(sibling).unwrap_or_else(|_| sibling.to_owned());
    sibling.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

/// Returns a path for permission checks: absolute, with all symlinks of the existing part resolved.
pub(super) fn resolved(path: &str, config: &Config) -> Result<PathBuf, Thrown> {
    if path.is_empty() || path.len() > 4_096 || path.contains('\0') {
        return Err(invalid_argument("a path has 1 to 4096 bytes and no NUL"));
    }
    let absolute = base(config).join(path);
    let mut missing = Vec::new();
    let mut existing = absolute.as_path();
    loop {
        match existing.canonicalize() {
            Ok(real) => return Ok(missing.into_iter().rev().fold(real, |path, part| path.join(part))),
            Err(_) => {
                let (Some(parent), Some(Component::Normal(name))) =
                    (existing.parent(), existing.components().next_back())
                else {
                    return Err(invalid_argument(format!(
                        "the path {path:?} is invalid: `..` follows a folder that does not exist"
                    )));
                };
                missing.push(name);
                existing = parent;
            }
        }
    }
}
