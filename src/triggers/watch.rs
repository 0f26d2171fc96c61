//! Running watches of triggers.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Running watch of a trigger; dropping it requests the stop without waiting.
pub struct Watch {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Watch {
    /// Runs a task that is dropped when the watch is stopped.
    pub fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let stopped = stop.clone();
        // Boxed, because `run_until_cancelled` would otherwise reserve the future's size twice.
        let task = Box::pin(task);
        tasks.spawn(async move { stopped.run_until_cancelled(task).await });
        tasks.close();
        Self { stop, tasks }
    }

    /// Runs a task that receives the stop token and must end by itself soon after it is cancelled.
    pub fn spawn_with_token<T: Future<Output = ()> + Send + 'static>(
        task: impl FnOnce(CancellationToken) -> T,
    ) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(Box::pin(task(stop.clone())));
        tasks.close();
        Self { stop, tasks }
    }

    /// Creates a watch without a task, for triggers whose events the runtime sends.
    pub fn idle() -> Self {
        Self::spawn(async {})
    }

    /// Stops the watch and waits until its task has ended.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
