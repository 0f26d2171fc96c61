//! Who writes: one thread, where batches that come together share a commit, and rows and notes ride along. What is in memory only is
//! written by who brings it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::services::store::database::failed;
use crate::services::store::history::{CROWD, Tally};
use crate::services::store::notes::Unwritten;
use crate::services::store::{Error, RunRecord, Shared};

/// At most so many jobs wait; who brings one more waits until there is room.
const MAX_WAITING: usize = 1024;
/// At most so many batches share a commit.
const MAX_GROUP: usize = 256;
/// Rows and notes wait for a commit to ride along with for so long.
const RIDE_WAIT: Duration = Duration::from_millis(200);
/// After a failure, rows and notes are tried again after so long.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// What a batch does within a transaction; may be called again if the whole group had to be undone.
type Work = Box<dyn Fn(&Connection) -> Result<u64, Error> + Send>;
/// Hears what became of it.
type Done = Box<dyn FnOnce(Result<u64, Error>) + Send>;

pub(super) enum Job {
    Commit(Work, Done),
    /// Rows or notes wait.
    Wake,
    /// Write them now.
    Flush(Done),
}

/// Writes what waits, and ends when dropped.
pub(super) enum Writer {
    /// A thread of its own, for a disk takes its time.
    Thread { jobs: Option<SyncSender<Job>>, thread: Option<JoinHandle<()>> },
    /// Whoever brings something.
    Anyone(Mutex<Pen>),
}

impl Writer {
    /// Starts the thread, if one is needed.
    ///
    /// # Errors
    /// If the system has no thread to give.
    pub(super) fn start(shared: Arc<Shared>) -> Result<Self, Error> {
        let is_in_memory = shared.database.is_in_memory();
        let pen = Pen { shared, tally: Tally::default(), troubled: false };
        if is_in_memory {
            return Ok(Self::Anyone(Mutex::new(pen)));
        }
        let (jobs, inbox) = sync_channel(MAX_WAITING);
        let thread = thread::Builder::new()
            .name("store".into())
            .spawn(move || pen.run(&inbox))
            .map_err(|error| Error::Failed(format!("no thread for the store: {error}")))?;
        Ok(Self::Thread { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Does some work within a transaction; blocks until it is on disk.
    ///
    /// # Errors
    /// If the work says so or the disk does; then it is undone.
    pub(super) fn commit(
        &self,
        work: impl Fn(&Connection) -> Result<u64, Error> + Send + 'static,
    ) -> Result<u64, Error> {
        let (done, outcome) = sync_channel(1);
        self.begin(work, move |what| drop(done.send(what)));
        outcome.recv().unwrap_or_else(|_| Err(Error::Failed("the store has stopped".into())))
    }

    /// Does some work like [`Writer::commit`], and does not wait: `done` hears of it on the thread that writes.
    pub(super) fn begin(
        &self,
        work: impl Fn(&Connection) -> Result<u64, Error> + Send + 'static,
        done: impl FnOnce(Result<u64, Error>) + Send + 'static,
    ) {
        self.send(Job::Commit(Box::new(work), Box::new(done)));
    }

    /// Says that rows or notes wait.
    pub(super) fn wake(&self) {
        match self {
            // A writer whose queue is full is awake.
            Self::Thread { jobs: Some(jobs), .. } => drop(jobs.try_send(Job::Wake)),
            Self::Thread { jobs: None, .. } => {}
            Self::Anyone(pen) => {
                let mut pen = pen.lock();
                if pen.shared.ledger.len() >= CROWD {
                    pen.write(Vec::new(), false);
                }
            }
        }
    }

    /// Writes rows and notes; blocks until they are on disk.
    pub(super) fn flush(&self) {
        let (done, outcome) = sync_channel(1);
        self.send(Job::Flush(Box::new(move |what| drop(done.send(what)))));
        let _ = outcome.recv();
    }

    fn send(&self, job: Job) {
        match self {
            Self::Thread { jobs: Some(jobs), .. } => drop(jobs.send(job)),
            Self::Thread { jobs: None, .. } => {}
            Self::Anyone(pen) => pen.lock().write(vec![job], true),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Self::Thread { jobs, thread } = self else { return };
        drop(jobs.take());
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }
}

/// What it takes to write.
pub(super) struct Pen {
    shared: Arc<Shared>,
    tally: Tally,
    /// Whether rows or notes could not be written the last time.
    troubled: bool,
}

impl Pen {
    fn run(mut self, inbox: &Receiver<Job>) {
        let mut due: Option<Instant> = None;
        loop {
            let first = match due {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => inbox.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            let ended = matches!(first, Err(RecvTimeoutError::Disconnected));
            let jobs: Vec<Job> = first.into_iter().chain(inbox.try_iter().take(MAX_GROUP)).collect();
            let urgent = ended || jobs.iter().any(|job| !matches!(job, Job::Wake));
            if urgent || due.is_some_and(|due| due <= Instant::now()) {
                self.write(jobs, urgent);
                due =
                    (!self.rides_empty()).then(|| Instant::now() + if self.troubled { RETRY_WAIT } else { RIDE_WAIT });
            } else {
                due.get_or_insert_with(|| Instant::now() + RIDE_WAIT);
            }
            if ended {
                return;
            }
        }
    }

    fn rides_empty(&self) -> bool {
        self.shared.ledger.len() == 0 && self.shared.notes.is_empty()
    }

    /// Writes a group, and what rides along, in one transaction; answers everyone.
    fn write(&mut self, jobs: Vec<Job>, durable: bool) {
        let (mut works, mut dones, mut flushes) = (Vec::new(), Vec::new(), Vec::new());
        for job in jobs {
            match job {
                Job::Commit(work, done) => {
                    works.push(work);
                    dones.push(done);
                }
                Job::Flush(done) => flushes.push(done),
                Job::Wake => {}
            }
        }
        // Who waits for a commit does not wait for a flood of rows.
        let most = if works.is_empty() || !flushes.is_empty() { usize::MAX } else { CROWD };
        let riders = Riders { rows: self.shared.ledger.take(most), notes: self.shared.notes.take() };
        let outcomes = match self.attempt(&works, Some(&riders), durable) {
            Ok(written) => {
                self.settle(riders, written.notes, written.rows);
                written.outcomes
            }
            Err(Undone { error, begun }) => {
                self.settle(riders, Err(error.clone()), Err(error.clone()));
                // One that fills the disk must not take the others with it.
                works.iter().map(|work| if begun { self.write_alone(work) } else { Err(error.clone()) }).collect()
            }
        };
        for (done, outcome) in dones.into_iter().zip(outcomes) {
            done(outcome);
        }
        for done in flushes {
            done(Ok(0));
        }
    }

    /// Writes one batch in a transaction of its own.
    fn write_alone(&mut self, work: &Work) -> Result<u64, Error> {
        self.attempt(std::slice::from_ref(work), None, true).map_err(|undone| undone.error)?.outcomes.remove(0)
    }

    /// Tries one transaction; each batch in it stands or falls alone, unless the whole is undone.
    fn attempt(&mut self, works: &[Work], riders: Option<&Riders>, durable: bool) -> Result<Written, Undone> {
        let undone = |begun| move |error| Undone { error: failed("writing to", &error), begun };
        let shared = Arc::clone(&self.shared);
        let mut db = shared.database.writer();
        let synchronous = if durable { "full" } else { "normal" };
        db.pragma_update(None, "synchronous", synchronous).map_err(undone(false))?;
        let mut transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(undone(false))?;
        let mut written = Written { outcomes: Vec::with_capacity(works.len()), rows: Ok(()), notes: Ok(()) };
        if let Some(riders) = riders {
            let worded = |error| failed("writing to", &error);
            // Before the batches: a timer was settled before a later run set it again.
            written.notes = part(&mut transaction, |db| riders.notes.write(db).map_err(worded))?;
            let kept = shared.ledger.kept();
            written.rows = part(&mut transaction, |db| {
                self.tally.write(db, &riders.rows, kept, works.is_empty()).map_err(worded)
            })?;
        }
        for work in works {
            written.outcomes.push(part(&mut transaction, |db| work(db))?);
        }
        transaction.commit().map_err(undone(true))?;
        Ok(written)
    }

    /// Takes back what did not get to the disk, and says so once, until it works again.
    fn settle(&mut self, riders: Riders, notes: Result<(), Error>, rows: Result<(), Error>) {
        if notes.is_err() {
            self.shared.notes.put_back(riders.notes);
        }
        if rows.is_err() {
            self.tally.forget();
            self.shared.ledger.put_back(riders.rows);
        }
        match notes.and(rows) {
            Ok(()) => {
                let thinned = self.shared.ledger.take_thinned();
                if thinned > 0 {
                    tracing::warn!(
                        thinned,
                        "the run history could not keep up: rows were left out, those of failed runs last"
                    );
                }
                if std::mem::take(&mut self.troubled) {
                    tracing::info!("the run history is written again");
                }
            }
            Err(_) if self.rides_empty() => {}
            Err(error) if !std::mem::replace(&mut self.troubled, true) => {
                tracing::warn!(why = %error, "rows of the run history wait in memory until they can be written");
            }
            Err(_) => {}
        }
    }
}

/// Rows and notes that travel with a commit.
struct Riders {
    rows: VecDeque<RunRecord>,
    notes: Unwritten,
}

/// What a transaction did.
struct Written {
    outcomes: Vec<Result<u64, Error>>,
    rows: Result<(), Error>,
    notes: Result<(), Error>,
}

/// Why a whole transaction was undone.
struct Undone {
    error: Error,
    /// Whether it got as far as to begin.
    begun: bool,
}

/// Does a part of a transaction that is undone alone if it fails.
///
/// # Errors
/// If the whole transaction is lost: the database may undo everything by itself when the disk is full.
fn part<T>(
    transaction: &mut Transaction<'_>,
    work: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<Result<T, Error>, Undone> {
    let undone = |error| Undone { error: failed("writing to", &error), begun: true };
    let savepoint = transaction.savepoint().map_err(undone)?;
    let outcome = work(&savepoint);
    match &outcome {
        Ok(_) => savepoint.commit().map_err(undone)?,
        Err(error) if savepoint.is_autocommit() => return Err(Undone { error: error.clone(), begun: true }),
        Err(_) => savepoint.finish().map_err(undone)?,
    }
    Ok(outcome)
}
