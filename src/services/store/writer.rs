//! Queue of the writer thread. Writes that wait together share a transaction (group commit).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use crate::services::store::error::Error;
use crate::services::store::group_commit::{Completion, GroupCommit, Job};
use crate::services::store::shared::Shared;
use crate::services::store::storage::{Write, WriteOutcome};

/// Capacity of the queue; a caller with one more job blocks until there is room.
const MAX_JOBS: usize = 1024;

/// Which thread writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriterMode {
    /// A thread of its own, for databases that block on a disk or a network.
    WriterThread,
    /// The calling thread, for databases in memory.
    Inline,
}

/// Handle on the writer. Dropping it writes all that waits and ends the thread.
pub(super) enum Writer {
    WriterThread { jobs: Option<SyncSender<Job>>, thread: Option<JoinHandle<()>>, shared: Arc<Shared> },
    Inline(Mutex<GroupCommit>),
}

impl Writer {
    /// Starts the thread, if the mode needs one.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub(super) fn start(shared: Arc<Shared>, mode: WriterMode) -> Result<Self, Error> {
        let group_commit = GroupCommit::new(shared.clone());
        if mode == WriterMode::Inline {
            return Ok(Self::Inline(Mutex::new(group_commit)));
        }
        let (jobs, inbox) = sync_channel(MAX_JOBS);
        let thread = thread::Builder::new()
            .name("store".into())
            .spawn(move || group_commit.run(&inbox))
            .map_err(|error| Error::Failed(format!("no thread for the store: {error}")))?;
        Ok(Self::WriterThread { jobs: Some(jobs), thread: Some(thread), shared })
    }

    /// Executes a write and blocks until it is on disk.
    ///
    /// # Errors
    /// If the write failed; then it has no effect.
    pub(super) fn execute(&self, write: Write) -> Result<WriteOutcome, Error> {
        let (sender, outcome) = sync_channel(1);
        self.enqueue(write, Box::new(move |result| drop(sender.send(result))));
        outcome.recv().unwrap_or_else(|_| Err(Error::Failed("the store has stopped".into())))
    }

    /// Enqueues a write; `completion` is called on the writing thread when it is on disk or has failed.
    pub(super) fn enqueue(&self, write: Write, completion: Completion) {
        self.send(Job::Write(write, completion));
    }

    /// Announces that run records, metadata or acknowledgements wait. Costs nothing if the thread is due to look for them.
    ///
    /// The caller has released the lock of the data that it added: the thread clears the mark before it looks for data a last time.
    pub(super) fn wake(&self) {
        if let Self::WriterThread { jobs: Some(jobs), shared, .. } = self
            && !shared.is_scheduled.load(Ordering::SeqCst)
            && !shared.is_scheduled.swap(true, Ordering::SeqCst)
        {
            // A thread whose queue is full is awake.
            drop(jobs.try_send(Job::Wake));
        }
    }

    /// Has run records, metadata and acknowledgements written now, without waiting for them.
    pub(super) fn write_soon(&self) {
        match self {
            Self::WriterThread { jobs: Some(jobs), .. } => drop(jobs.try_send(Job::WriteNow)),
            Self::WriterThread { jobs: None, .. } => {}
            Self::Inline(group_commit) => group_commit.lock().write(Vec::new(), false),
        }
    }

    /// Writes run records, metadata and acknowledgements, and blocks until they are on disk or have failed.
    pub(super) fn flush(&self) {
        let (sender, outcome) = sync_channel(1);
        self.send(Job::Flush(Box::new(move |result| drop(sender.send(result)))));
        // An error is logged by the writer.
        let _ = outcome.recv();
    }

    fn send(&self, job: Job) {
        match self {
            Self::WriterThread { jobs: Some(jobs), .. } => drop(jobs.send(job)),
            Self::WriterThread { jobs: None, .. } => {}
            Self::Inline(group_commit) => group_commit.lock().write(vec![job], true),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Self::WriterThread { jobs, thread, .. } = self else { return };
        drop(jobs.take());
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }
}
