//! Running watches of triggers.

use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Running watch of a trigger; dropping it requests the stop without waiting.
pub struct Watch(Running);

enum Running {
    /// A task, which ends soon after the guard is dropped.
    Task(DropGuard, TaskTracker),
    /// A registration that calls the trigger until it is dropped.
    Registration(#[expect(dead_code, reason = "kept for its drop")] Box<dyn Send + Sync>),
}

impl Watch {
    /// Runs a task that is dropped when the watch is stopped.
    pub fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        // Boxed, because `run_until_cancelled` would otherwise reserve the future's size twice.
        let task = Box::pin(task);
        Self::spawn_with_token(|stopped| async move {
            stopped.run_until_cancelled(task).await;
        })
    }

    /// Runs a task that receives the stop token and must end by itself soon after it is cancelled.
    pub fn spawn_with_token<T: Future<Output = ()> + Send + 'static>(
        task: impl FnOnce(CancellationToken) -> T,
    ) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(Box::pin(task(stop.clone())));
        tasks.close();
        Self(Running::Task(stop.drop_guard(), tasks))
    }

    /// Keeps a registration that calls the trigger, until the watch is stopped.
    pub fn hold(registration: impl Send + Sync + 'static) -> Self {
        Self(Running::Registration(Box::new(registration)))
    }

    /// Creates a watch of nothing, for triggers whose events the runtime sends.
    pub fn idle() -> Self {
        Self::hold(())
    }

    /// Stops the watch and waits until its task has ended.
    pub async fn stop(self) {
        if let Running::Task(guard, tasks) = self.0 {
            drop(guard);
            tasks.wait().await;
        }
    }
}
