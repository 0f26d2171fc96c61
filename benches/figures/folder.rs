//! Temporary folders with scripts.

/// Creates a temporary folder and writes scripts to its scripts folder.
pub(crate) fn folder(scripts: impl IntoIterator<Item = (String, String)>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    std::fs::create_dir(folder.path().join("scripts")).expect("the folder is new");
    for (name, text) in scripts {
        std::fs::write(folder.path().join("scripts").join(name), text).expect("the folder is ours");
    }
    folder
}
