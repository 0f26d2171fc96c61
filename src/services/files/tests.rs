//! Ways in which editors and programs save files, with real files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::services::files::ChangeKind::{Created, Modified, Removed};
use crate::services::files::{ChangeKind, Files, FolderWatch};

/// A watched folder; hidden files and backups (`x~`) are ignored, as they are among scripts.
struct Bench {
    folder: TempDir,
    watch: FolderWatch,
    markers: usize,
}

fn is_ignored(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.') || name.to_string_lossy().ends_with('~'))
}

impl Bench {
    /// Creates files in a folder and watches it.
    async fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self::watch(folder, "")
    }

    fn watch(folder: TempDir, below: &str) -> Self {
        let watch = Files::default().watch(&folder.path().join(below), is_ignored);
        Self { folder, watch, markers: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Waits for the next batch.
    async fn next(&mut self) -> Vec<(String, ChangeKind)> {
        let batch =
            timeout(Duration::from_secs(30), self.watch.changes.recv()).await.expect("no change was reported").unwrap();
        let name = |path: &Path| path.strip_prefix(self.folder.path()).unwrap().to_str().unwrap().to_owned();
        let mut changes: Vec<_> = batch.iter().map(|change| (name(&change.path), change.kind)).collect();
        changes.sort();
        changes
    }

    /// Expects these changes, in any number of batches, each once, and no other after them.
    async fn expect(&mut self, expected: &[(&str, ChangeKind)]) {
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            seen.extend(self.next().await);
        }
        // The next reported change is the markerer: there was no other before it.
        self.markers += 1;
        let marker = format!("marker{}", self.markers);
        self.write(&marker, "marker");
        seen.extend(self.next().await);
        seen.sort();
        let mut expected: Vec<_> = expected.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        expected.push((marker, Created));
        expected.sort();
        assert_eq!(seen, expected);
    }

    /// Expects no change.
    async fn expect_nothing(&mut self) {
        sleep(Duration::from_millis(300)).await;
        self.expect(&[]).await;
    }
}

impl PartialOrd for ChangeKind {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ChangeKind {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (*self as u8).cmp(&(*other as u8))
    }
}

#[tokio::test]
async fn a_plain_write_is_one_change_after_it_has_settled() {
    let mut bench = Bench::new(&[("a", "1"), ("b", "1")]).await;
    let mut took = Vec::new();
    for round in 0..9 {
        sleep(Duration::from_millis(20)).await;
        let start = Instant::now();
        bench.write("a", &format!("content {round}"));
        assert_eq!(bench.next().await, [("a".to_owned(), Modified)]);
        took.push(start.elapsed());
    }
    took.sort();
    assert!(took[0] >= Duration::from_millis(35), "{took:?}");
}

#[tokio::test]
async fn created_modified_and_removed_files_are_reported_once() {
    let mut bench = Bench::new(&[("a", "1"), ("b", "1"), ("c", "1")]).await;
    bench.write("a", "2");
    fs::remove_file(bench.path("b")).unwrap();
    bench.write("d", "1");
    bench.expect(&[("a", Modified), ("b", Removed), ("d", Created)]).await;
}

#[tokio::test]
async fn the_same_content_is_no_change() {
    let mut bench = Bench::new(&[("a", "1")]).await;
    bench.write("a", "1");
    bench.write(".a.tmp", "1");
    bench.rename(".a.tmp", "a");
    bench.expect_nothing().await;
}

#[tokio::test]
async fn a_temporary_file_renamed_over_a_file_is_one_change() {
    let mut bench = Bench::new(&[("a", "1")]).await;
    bench.write(".a.tmp", "2");
    bench.rename(".a.tmp", "a");
    bench.expect(&[("a", Modified)]).await;
    bench.write("tmp", "3");
    bench.rename("tmp", "a");
    bench.expect(&[("a", Modified)]).await;
}

#[tokio::test]
async fn a_save_by_vim_with_a_backup_is_one_change() {
    let mut bench = Bench::new(&[("a", "1")]).await;
    bench.write(".a.swp", "swap");
    bench.write("4913", "");
    fs::remove_file(bench.path("4913")).unwrap();
    bench.rename("a", "a~");
    sleep(Duration::from_millis(20)).await;
    bench.write("a", "2");
    fs::remove_file(bench.path("a~")).unwrap();
    fs::remove_file(bench.path(".a.swp")).unwrap();
    bench.expect(&[("a", Modified)]).await;
}

#[tokio::test]
async fn truncate_then_write_is_one_change_of_the_final_content() {
    let mut bench = Bench::new(&[("a", "1")]).await;
    fs::write(bench.path("a"), "").unwrap();
    sleep(Duration::from_millis(100)).await;
    bench.write("a", "2");
    bench.expect(&[("a", Modified)]).await;
    bench.write("a", "");
    bench.expect(&[("a", Modified)]).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_change_is_not_reported_while_the_file_is_open_for_writing() {
    use std::io::Write as _;
    let mut bench = Bench::new(&[("a", "1")]).await;
    let mut file = fs::File::create(bench.path("a")).unwrap();
    for part in ["2", "3", "4", "5"] {
        sleep(Duration::from_millis(70)).await;
        file.write_all(part.as_bytes()).unwrap();
        file.flush().unwrap();
    }
    drop(file);
    bench.expect(&[("a", Modified)]).await;
    assert_eq!(fs::read_to_string(bench.path("a")).unwrap(), "2345");
}

#[tokio::test]
async fn new_folders_and_their_initial_files_are_found() {
    let mut bench = Bench::new(&[]).await;
    fs::create_dir_all(bench.path("x/y/z")).unwrap();
    bench.write("x/y/z/a", "1");
    bench.write("x/b", "1");
    bench.expect(&[("x/b", Created), ("x/y/z/a", Created)]).await;
    bench.write("x/y/z/a", "2");
    bench.expect(&[("x/y/z/a", Modified)]).await;
}

#[tokio::test]
async fn renaming_and_removing_folders_moves_and_removes_their_files() {
    let mut bench = Bench::new(&[("x/a", "1"), ("x/deep/b", "1")]).await;
    bench.rename("x", "y");
    let all = [("x/a", Removed), ("x/deep/b", Removed), ("y/a", Created), ("y/deep/b", Created)];
    bench.expect(&all).await;
    bench.write("y/deep/b", "2");
    bench.expect(&[("y/deep/b", Modified)]).await;
    fs::remove_dir_all(bench.path("y")).unwrap();
    bench.expect(&[("y/a", Removed), ("y/deep/b", Removed)]).await;
    fs::create_dir(bench.path("y")).unwrap();
    bench.write("y/a", "1");
    bench.expect(&[("y/a", Created)]).await;
    bench.write("y/a", "2");
    bench.expect(&[("y/a", Modified)]).await;
}

#[tokio::test]
async fn a_rename_is_one_batch() {
    let mut bench = Bench::new(&[("a", "1")]).await;
    bench.rename("a", "b");
    assert_eq!(bench.next().await, [("a".to_owned(), Removed), ("b".to_owned(), Created)]);
}

#[tokio::test]
async fn many_files_written_together_are_reported_completely_in_few_batches() {
    let mut bench = Bench::new(&[]).await;
    (0..500).for_each(|n| bench.write(&format!("f{n:03}"), "x"));
    let mut seen = Vec::new();
    let mut batches = 0;
    while seen.len() < 500 {
        seen.extend(bench.next().await);
        batches += 1;
    }
    assert!(batches <= 10, "{batches}");
    assert_eq!(seen.len(), 500);
}

#[tokio::test]
async fn a_missing_folder_is_watched_and_may_be_recreated() {
    let mut bench = Bench::watch(tempfile::tempdir().unwrap(), "not/yet");
    assert_eq!(bench.watch.files(), [] as [PathBuf; 0]);
    for _ in 0..3 {
        fs::create_dir_all(bench.path("not/yet")).unwrap();
        bench.write("not/yet/a", "1");
        assert_eq!(bench.next().await, [("not/yet/a".to_owned(), Created)]);
        bench.write("not/yet/a", "2");
        assert_eq!(bench.next().await, [("not/yet/a".to_owned(), Modified)]);
        fs::remove_dir_all(bench.path("not")).unwrap();
        assert_eq!(bench.next().await, [("not/yet/a".to_owned(), Removed)]);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_swapped_config_map_is_one_change() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let put = |version: &str, text: &str| {
        fs::create_dir(folder.path().join(version)).unwrap();
        fs::write(folder.path().join(version).join("a"), text).unwrap();
        fs::write(folder.path().join(version).join("same"), "same").unwrap();
        symlink(version, folder.path().join("..data_tmp")).unwrap();
        fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    };
    put("..2024_1", "1");
    symlink("..data/a", folder.path().join("a")).unwrap();
    symlink("..data/same", folder.path().join("same")).unwrap();
    let mut watch = Files::default().watch(folder.path(), is_ignored);
    put("..2024_2", "2");
    fs::remove_dir_all(folder.path().join("..2024_1")).unwrap();
    let mut bench = Bench { watch, folder, markers: 0 };
    bench.expect(&[("a", Modified)]).await;
    watch = bench.watch;
    assert_eq!(watch.files(), ["a", "marker1", "same"].map(|name| bench.folder.path().join(name)));
}

#[cfg(unix)]
#[tokio::test]
async fn symlinks_are_followed_without_cycles() {
    use std::os::unix::fs::symlink;
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("a"), "1").unwrap();
    fs::create_dir(elsewhere.path().join("other")).unwrap();
    fs::write(elsewhere.path().join("other/file"), "1").unwrap();
    let folder = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), folder.path().join("link")).unwrap();
    symlink(elsewhere.path().join("other/file"), folder.path().join("file")).unwrap();
    symlink(folder.path(), folder.path().join("circle")).unwrap();
    symlink("/", folder.path().join("everything")).unwrap();
    symlink(folder.path(), elsewhere.path().join("back")).unwrap();
    let mut bench = Bench::watch(folder, "");
    assert_eq!(bench.watch.files(), ["file", "link/a", "link/other/file"].map(|name| bench.path(name)));
    fs::write(elsewhere.path().join("a"), "2").unwrap();
    bench.expect(&[("link/a", Modified)]).await;
    fs::write(elsewhere.path().join("other/file"), "2").unwrap();
    bench.expect(&[("file", Modified), ("link/other/file", Modified)]).await;
    fs::remove_file(bench.path("link")).unwrap();
    bench.expect(&[("link/a", Removed), ("link/other/file", Removed)]).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_changed_target_of_a_watched_symlink_yields_the_differences() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    for (version, text) in [("v1", "1"), ("v2", "2")] {
        fs::create_dir(folder.path().join(version)).unwrap();
        fs::write(folder.path().join(version).join("a"), text).unwrap();
        fs::write(folder.path().join(version).join("same"), "same").unwrap();
    }
    symlink("v1", folder.path().join("now")).unwrap();
    let mut bench = Bench::watch(folder, "now");
    symlink("v2", bench.path("next")).unwrap();
    bench.rename("next", "now");
    assert_eq!(bench.next().await, [("now/a".to_owned(), Modified)]);
    bench.write("v2/a", "3");
    assert_eq!(bench.next().await, [("now/a".to_owned(), Modified)]);
}

#[cfg(unix)]
#[tokio::test]
async fn only_regular_files_are_opened() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let mut bench = Bench::new(&[("a", "1")]).await;
    assert!(std::process::Command::new("mkfifo").arg(bench.path("fifo")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(bench.path("socket")).unwrap();
    symlink("/dev/zero", bench.path("zero")).unwrap();
    symlink("nowhere", bench.path("dangling")).unwrap();
    bench.expect_nothing().await;
    bench.write("secret", "1");
    fs::set_permissions(bench.path("secret"), fs::Permissions::from_mode(0o000)).unwrap();
    bench.expect(&[("secret", Created)]).await;
    fs::remove_file(bench.path("a")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(bench.path("a")).status().unwrap().success());
    bench.expect(&[("a", Removed)]).await;
}

#[tokio::test]
async fn two_watches_over_one_folder_do_not_disturb_each_other() {
    let files = Files::default();
    let folder = tempfile::tempdir().unwrap();
    let one = files.watch(folder.path(), is_ignored);
    let watch = files.watch(folder.path(), is_ignored);
    drop(one);
    let mut bench = Bench { watch, folder, markers: 0 };
    bench.expect_nothing().await;
    bench.write("a", "1");
    bench.expect(&[("a", Created)]).await;
}

#[tokio::test]
async fn without_events_changes_are_found_by_scanning() {
    let mut bench = Bench::new(&[("a", "1"), ("b", "1")]).await;
    bench.expect_nothing().await;
    let Bench { folder, watch, .. } = bench;
    drop(watch);
    bench = Bench { watch: Files::without_events().watch(folder.path(), is_ignored), folder, markers: 0 };
    bench.write("a", "22");
    fs::remove_file(bench.path("b")).unwrap();
    bench.write("c", "1");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(bench.next().await);
    }
    seen.sort();
    let expected = [("a", Modified), ("b", Removed), ("c", Created)];
    assert_eq!(seen, expected.map(|(name, kind)| (name.to_owned(), kind)));
}
