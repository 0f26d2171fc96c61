//! Markers of running scripts, in a file that shows after a crash which scripts ran.
//!
//! Markers are written and not synced: they survive the process, however it ends, and cost about a microsecond. They are not meant to
//! survive the machine: a file from before a reboot is ignored, so that a power failure blames no script.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::services::store::lock::private;

const FILE: &str = "rhaid.running";
/// Length of the header and of each marker, in bytes.
const SLOT: usize = 512;
/// Offset of the name in a marker; before it stand a flag, the number of the start and the name's length.
const NAME_AT: usize = 11;

/// How the last process on the data folder ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreviousExit {
    /// By request, or the machine went down with it; also if there was no process before.
    Orderly,
    /// By a crash, while these scripts ran or were loaded, in the order of their starts.
    Crash(Vec<String>),
}

/// Markers of running scripts; inactive until [`RunMarkers::start`].
#[derive(Default)]
pub(super) struct RunMarkers {
    folder: Option<PathBuf>,
    file: Mutex<MarkerFile>,
}

#[derive(Default)]
struct MarkerFile {
    file: Option<File>,
    slots: HashMap<String, Slot>,
    starts: u64,
}

struct Slot {
    index: usize,
    runs: usize,
}

/// Marker of a running script; removed when dropped.
pub struct RunMarker {
    markers: Arc<RunMarkers>,
    script: Arc<str>,
}

impl RunMarker {
    pub(super) fn new(markers: &Arc<RunMarkers>, script: &Arc<str>) -> Self {
        markers.begin(script);
        Self { markers: Arc::clone(markers), script: Arc::clone(script) }
    }

    /// Returns whether it marks this script.
    pub fn is_of(&self, script: &str) -> bool {
        *self.script == *script
    }
}

impl Drop for RunMarker {
    fn drop(&mut self) {
        self.markers.end(&self.script);
    }
}

impl RunMarkers {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()), ..Self::default() }
    }

    /// Reads the markers of the last process, and starts a new file.
    pub(super) fn start(&self) -> PreviousExit {
        self.start_on(&boot_id())
    }

    fn start_on(&self, boot_id: &str) -> PreviousExit {
        let Some(folder) = &self.folder else { return PreviousExit::Orderly };
        let path = folder.join(FILE);
        let last = fs::read(&path).map_or(PreviousExit::Orderly, |bytes| read(&bytes, boot_id));
        let file = private(OpenOptions::new().write(true).create(true).truncate(true)).open(&path).and_then(|file| {
            let header: Vec<u8> = b"r".iter().chain(boot_id.as_bytes()).copied().take(SLOT).collect();
            file.write_all_at(&header, 0)?;
            file.set_len(SLOT as u64).map(|()| file)
        });
        match file {
            Ok(file) => self.file.lock().file = Some(file),
            Err(error) => tracing::warn!(%error, "running scripts are not marked: a crash will not show its script"),
        }
        last
    }

    fn begin(&self, script: &str) {
        let mut state = self.file.lock();
        let MarkerFile { file: Some(file), slots, starts } = &mut *state else { return };
        let index = slots.len() + 1;
        let is_new = !slots.contains_key(script);
        if is_new {
            slots.insert(script.to_owned(), Slot { index, runs: 0 });
        }
        let Some(slot) = slots.get_mut(script) else { return };
        slot.runs += 1;
        if slot.runs > 1 {
            return;
        }
        *starts += 1;
        let mut bytes = vec![b'+'];
        bytes.extend(starts.to_le_bytes());
        if is_new {
            let name = &script.as_bytes()[..script.len().min(SLOT - NAME_AT)];
            bytes.extend((name.len() as u16).to_le_bytes());
            bytes.extend(name);
        }
        // On a full disk a crash may not show its script.
        let _ = file.write_all_at(&bytes, (slot.index * SLOT) as u64);
    }

    fn end(&self, script: &str) {
        let mut state = self.file.lock();
        let MarkerFile { file: Some(file), slots, .. } = &mut *state else { return };
        let Some(slot) = slots.get_mut(script) else { return };
        slot.runs = slot.runs.saturating_sub(1);
        if slot.runs == 0 {
            // As in `begin`.
            let _ = file.write_all_at(b"-", (slot.index * SLOT) as u64);
        }
    }

    /// Marks the exit as requested.
    pub(super) fn mark_orderly_exit(&self) {
        if let Some(file) = &self.file.lock().file {
            // On a full disk the exit counts as a crash.
            let _ = file.write_all_at(b"s", 0);
        }
    }
}

/// Returns an identifier of this boot of the machine.
///
/// Source: random(4), `/proc/sys/kernel/random/boot_id`. On systems without it every crash counts.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Parses a file of markers.
fn read(bytes: &[u8], boot_id: &str) -> PreviousExit {
    let is_of_this_boot = bytes.strip_prefix(b"r").is_some_and(|rest| rest.starts_with(boot_id.as_bytes()));
    if !is_of_this_boot {
        return PreviousExit::Orderly;
    }
    let mut running: Vec<(u64, String)> = bytes.chunks(SLOT).skip(1).filter_map(read_marker).collect();
    running.sort();
    PreviousExit::Crash(running.into_iter().map(|(_, script)| script).collect())
}

/// Parses a marker: number of the start and script; `None` if the script does not run.
fn read_marker(slot: &[u8]) -> Option<(u64, String)> {
    let rest = slot.strip_prefix(b"+")?;
    let (start, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let name = rest.get(..usize::from(u16::from_le_bytes(*length)))?;
    Some((u64::from_le_bytes(*start), String::from_utf8(name.to_vec()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::store::Store;

    fn crash(scripts: &[&str]) -> PreviousExit {
        PreviousExit::Crash(scripts.iter().map(|&script| script.to_owned()).collect())
    }

    #[test]
    fn a_crash_shows_the_running_scripts_and_an_orderly_exit_or_a_reboot_shows_none() {
        let folder = tempfile::tempdir().unwrap();
        let running = || RunMarkers::new(folder.path());
        let (first, second, third) = (running(), running(), running());
        assert_eq!(first.start_on("boot 1"), PreviousExit::Orderly);
        ["a", "b", "c", "a", "b"].iter().for_each(|script| first.begin(script));
        ["b", "b", "a"].iter().for_each(|script| first.end(script));
        first.begin("b");
        assert_eq!(second.start_on("boot 1"), crash(&["a", "c", "b"]));
        assert_eq!(third.start_on("boot 1"), crash(&[]));
        third.begin("a");
        assert_eq!(running().start_on("boot 2"), PreviousExit::Orderly);
        let store = Store::open(&folder.path().join("data")).unwrap();
        store.previous_exit();
        let marker = store.mark_running(&"a".into());
        store.mark_orderly_exit();
        drop(marker);
        assert_eq!(store.previous_exit(), PreviousExit::Orderly);
    }

    #[test]
    fn long_names_are_truncated_and_damaged_files_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let running = RunMarkers::new(folder.path());
        running.start_on("x");
        running.begin(&"n".repeat(2_000));
        running.begin("b");
        let crash = running.start_on("x");
        assert_eq!(crash, PreviousExit::Crash(vec!["n".repeat(SLOT - NAME_AT), "b".to_owned()]));
        for bytes in [&b""[..], b"r", b"rx", b"rx+++", &[b'+'; 5_000], &[[b'r'; 512], [b'+'; 512]].concat()] {
            read(bytes, "x");
        }
    }
}
