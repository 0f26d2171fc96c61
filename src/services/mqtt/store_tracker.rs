//! Tracks the messages of a run that are not yet safe: neither on disk nor acknowledged by the broker.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::services::mqtt::error::Error;

/// Receiver of the result, called once all messages are safe or one cannot be stored.
type Callback = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// The durable messages of one run; cheap to clone.
#[derive(Clone, Default)]
pub struct StoreTracker(Arc<Mutex<Tracked>>);

#[derive(Default)]
struct Tracked {
    pending: usize,
    error: Option<Error>,
    on_done: Option<Callback>,
}

/// Signal that one message is safe, or that it cannot be stored.
pub(super) enum StoredSignal {
    /// For one caller.
    Once(oneshot::Sender<Result<(), Error>>),
    /// For the run that published the message.
    Run(StoreTracker),
}

impl StoreTracker {
    /// Returns the signal for one more message.
    pub(super) fn track(&self) -> StoredSignal {
        self.0.lock().pending += 1;
        StoredSignal::Run(self.clone())
    }

    /// Returns whether all messages are safe.
    pub fn is_done(&self) -> bool {
        let tracked = self.0.lock();
        tracked.pending == 0 && tracked.error.is_none()
    }

    /// Calls `done` with the first error, if there is one, once all messages are safe: at once on this thread, or later on the thread of the
    /// connection or of the store, which it must not block.
    pub fn when_done(&self, done: impl FnOnce(Result<(), Error>) + Send + 'static) {
        let mut tracked = self.0.lock();
        if tracked.pending > 0 {
            tracked.on_done = Some(Box::new(done));
            return;
        }
        let result = tracked.error.take().map_or(Ok(()), Err);
        drop(tracked);
        done(result);
    }

    fn complete(&self, result: Result<(), Error>) {
        let mut tracked = self.0.lock();
        tracked.pending = tracked.pending.saturating_sub(1);
        if let Err(error) = result {
            tracked.error.get_or_insert(error);
        }
        if tracked.pending == 0
            && let Some(done) = tracked.on_done.take()
        {
            let result = tracked.error.take().map_or(Ok(()), Err);
            drop(tracked);
            done(result);
        }
    }
}

impl StoredSignal {
    pub(super) fn complete(self, result: Result<(), Error>) {
        match self {
            // The receiver may have been dropped.
            Self::Once(sender) => drop(sender.send(result)),
            Self::Run(tracker) => tracker.complete(result),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callback_gets_the_first_error_once_all_messages_are_done() {
        let (tracker, result) = (StoreTracker::default(), Arc::new(Mutex::new(None)));
        let signals = [tracker.track(), tracker.track(), tracker.track()];
        assert!(!tracker.is_done());
        let seen = Arc::clone(&result);
        tracker.when_done(move |outcome| *seen.lock() = Some(outcome));
        let outcomes = [Ok(()), Err(Error::NotStored("disk full".into())), Err(Error::Dropped)];
        for (signal, outcome) in signals.into_iter().zip(outcomes) {
            assert_eq!(*result.lock(), None);
            signal.complete(outcome);
        }
        assert_eq!(*result.lock(), Some(Err(Error::NotStored("disk full".into()))));
        let (tracker, result) = (StoreTracker::default(), Arc::clone(&result));
        tracker.when_done(move |outcome| *result.lock() = Some(outcome));
        assert!(tracker.is_done());
    }
}
