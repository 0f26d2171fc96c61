//! File watching: settled changes below a folder, independent of the editor's way of saving and of the file system; and atomic replacement
//! of files.

mod change;
mod content;
mod debouncer;
mod handle;
mod mount;
mod registrations;
mod replace;
mod rules;
mod system_watcher;
#[cfg(test)]
mod tests;
mod tree;
mod virtual_files;
mod watch;

pub use self::change::{Change, ChangeKind};
pub use self::handle::{Files, FolderWatch};
pub use self::replace::replacement;
pub use self::virtual_files::VirtualFiles;
