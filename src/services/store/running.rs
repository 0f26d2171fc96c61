//! Which scripts run at this moment, in a file that tells after a crash who did.
//!
//! Marks are written and not synced: they outlive the process, whatever ends it, and cost about a microsecond. They are not meant to
//! outlive the machine: a file that was written before it started anew tells nothing, so that a power cut blames no script.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::services::store::Store;
use crate::services::store::lock::private;

const FILE: &str = "rhaid.running";
/// The length of the head and of each mark.
const SLOT: usize = 512;
/// What stands before a name in a mark: whether it runs, which start it was, the name's length.
const NAME_AT: usize = 11;

/// How the last process on the data folder ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreviousExit {
    /// It was asked to, or there was none; or the whole machine went down.
    Orderly,
    /// In the middle of its work, while these scripts ran or were loaded, the last one started last.
    Crash(Vec<String>),
}

/// Which scripts run; knows nothing until it is told to watch.
#[derive(Default)]
pub(super) struct Running {
    folder: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    file: Option<File>,
    marks: HashMap<String, Mark>,
    starts: u64,
}

struct Mark {
    slot: usize,
    runs: usize,
}

/// A script that runs, until this is dropped.
pub struct RunMarker {
    store: Store,
    script: Arc<str>,
}

impl RunMarker {
    /// Returns whether it is this script that runs.
    pub fn is_of(&self, script: &str) -> bool {
        *self.script == *script
    }
}

impl Running {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()), ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn look_back(&self, machine: &str) -> PreviousExit {
        let Some(folder) = &self.folder else { return PreviousExit::Orderly };
        let path = folder.join(FILE);
        let last = fs::read(&path).map_or(PreviousExit::Orderly, |bytes| read(&bytes, machine));
        let file = private(OpenOptions::new().write(true).create(true).truncate(true)).open(&path).and_then(|file| {
            let head: Vec<u8> = b"r".iter().chain(machine.as_bytes()).copied().take(SLOT).collect();
            file.write_all_at(&head, 0)?;
            file.set_len(SLOT as u64).map(|()| file)
        });
        match file {
            Ok(file) => self.lock().file = Some(file),
            Err(error) => tracing::warn!(%error, "what runs is not noted: a crash will not tell which script it was"),
        }
        last
    }

    fn begin(&self, script: &str) {
        let mut state = self.lock();
        let State { file: Some(file), marks, starts } = &mut *state else { return };
        let slot = marks.len() + 1;
        let is_new = !marks.contains_key(script);
        if is_new {
            marks.insert(script.to_owned(), Mark { slot, runs: 0 });
        }
        let Some(mark) = marks.get_mut(script) else { return };
        mark.runs += 1;
        if mark.runs > 1 {
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
        // On a full disk a crash may blame nobody.
        let _ = file.write_all_at(&bytes, (mark.slot * SLOT) as u64);
    }

    fn end(&self, script: &str) {
        let mut state = self.lock();
        let State { file: Some(file), marks, .. } = &mut *state else { return };
        let Some(mark) = marks.get_mut(script) else { return };
        mark.runs = mark.runs.saturating_sub(1);
        if mark.runs == 0 {
            // As above.
            let _ = file.write_all_at(b"-", (mark.slot * SLOT) as u64);
        }
    }
}

impl Drop for RunMarker {
    fn drop(&mut self) {
        self.store.0.running.end(&self.script);
    }
}

impl Store {
    /// Returns how the last process on the data folder ended, and watches from now on what runs in this one. Blocks on the disk.
    pub fn previous_exit(&self) -> PreviousExit {
        self.0.running.look_back(&machine())
    }

    /// Marks a script as running, until the returned mark is dropped.
    pub fn mark_running(&self, script: &Arc<str>) -> RunMarker {
        self.0.running.begin(script);
        RunMarker { store: self.clone(), script: script.clone() }
    }

    /// Says that this process is asked to end: whatever runs while it does is not to blame.
    pub fn mark_orderly_exit(&self) {
        if let Some(file) = &self.0.running.lock().file {
            // On a full disk the end counts as a crash.
            let _ = file.write_all_at(b"s", 0);
        }
    }
}

/// Returns what tells one run of the machine from the next.
///
/// Source: random(4), `/proc/sys/kernel/random/boot_id`. Elsewhere every crash counts.
fn machine() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn read(bytes: &[u8], machine: &str) -> PreviousExit {
    let is_ours = bytes.strip_prefix(b"r").is_some_and(|rest| rest.starts_with(machine.as_bytes()));
    if !is_ours {
        return PreviousExit::Orderly;
    }
    let mut running: Vec<(u64, String)> = bytes.chunks(SLOT).skip(1).filter_map(mark).collect();
    running.sort();
    PreviousExit::Crash(running.into_iter().map(|(_, script)| script).collect())
}

/// Reads a mark: which start it was, and whose; none if it does not run.
fn mark(slot: &[u8]) -> Option<(u64, String)> {
    let rest = slot.strip_prefix(b"+")?;
    let (start, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let name = rest.get(..usize::from(u16::from_le_bytes(*length)))?;
    Some((u64::from_le_bytes(*start), String::from_utf8(name.to_vec()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(scripts: &[&str]) -> PreviousExit {
        PreviousExit::Crash(scripts.iter().map(|&script| script.to_owned()).collect())
    }

    #[test]
    fn a_crash_tells_who_ran_and_an_orderly_end_or_a_power_cut_blames_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let running = || Running::new(folder.path());
        let (first, second, third) = (running(), running(), running());
        assert_eq!(first.look_back("boot 1"), PreviousExit::Orderly);
        ["a", "b", "c", "a", "b"].iter().for_each(|script| first.begin(script));
        ["b", "b", "a"].iter().for_each(|script| first.end(script));
        first.begin("b");
        assert_eq!(second.look_back("boot 1"), crash(&["a", "c", "b"]));
        assert_eq!(third.look_back("boot 1"), crash(&[]));
        third.begin("a");
        assert_eq!(running().look_back("boot 2"), PreviousExit::Orderly);
        let store = Store::open(&folder.path().join("data")).unwrap();
        store.previous_exit();
        let mark = store.mark_running(&"a".into());
        store.mark_orderly_exit();
        drop(mark);
        assert_eq!(store.previous_exit(), PreviousExit::Orderly);
    }

    #[test]
    fn long_names_and_damaged_files_do_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let running = Running::new(folder.path());
        running.look_back("x");
        running.begin(&"n".repeat(2_000));
        running.begin("b");
        let crash = running.look_back("x");
        assert_eq!(crash, PreviousExit::Crash(vec!["n".repeat(SLOT - NAME_AT), "b".to_owned()]));
        for bytes in [&b""[..], b"r", b"rx", b"rx+++", &[b'+'; 5_000], &[[b'r'; 512], [b'+'; 512]].concat()] {
            read(bytes, "x");
        }
    }
}
