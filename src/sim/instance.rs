//! An instance of rhaid in a sandbox, from start to stop. All tasks run on one thread, in a fixed order.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::config::Config;
use crate::runtime::{LogStore, Runtime, ScriptSelection};
use crate::script;
use crate::services::Services;
use crate::services::clock::Clock;
use crate::services::files::{Files, VirtualFiles as _};
use crate::services::http::Http;
use crate::services::store::Store;
use crate::sim::environment::ephemeral_brokers;
use crate::sim::mock_broker::MockBrokers;
use crate::sim::mock_http::MockResponses;
use crate::sim::sandbox_files::SandboxFiles;

/// Real time that an action may take before virtual time advances.
const STILL: Duration = Duration::from_millis(5);

/// Real time that a stop may take before virtual time advances: it also waits for the disk.
const STOP: Duration = Duration::from_secs(2);

/// Number of times that all tasks are polled before they count as idle.
const ROUNDS: usize = 16;

/// The parts of a sandbox that an instance uses; they outlive a restart.
pub(super) struct InstanceSettings {
    pub(super) config: Arc<Config>,
    pub(super) clock: Clock,
    pub(super) store: Store,
    pub(super) brokers: MockBrokers,
    pub(super) mocks: Arc<MockResponses>,
    /// Root of the virtual file system.
    pub(super) files: PathBuf,
    /// The folder that relative paths are resolved against.
    pub(super) base: PathBuf,
    pub(super) chosen: Option<ScriptSelection>,
}

/// A running instance of rhaid.
pub(super) struct Instance {
    pub(super) runtime: Runtime,
    pub(super) services: Services,
    pub(super) files: Arc<SandboxFiles>,
    clock: Clock,
    handle: Handle,
    end: Option<oneshot::Sender<()>>,
    driver: Option<JoinHandle<()>>,
}

impl Instance {
    /// Starts an instance, and waits until its scripts are loaded.
    pub(super) fn start(settings: InstanceSettings) -> Result<Self, String> {
        let InstanceSettings { config, clock, store, brokers, mocks, files, base, chosen } = settings;
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let tokio = tokio.map_err(|error| error.to_string())?;
        let handle = tokio.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let driver =
            std::thread::Builder::new().name("sandbox".to_owned()).stack_size(script::stack_size(&config.limits));
        let driver = driver.spawn(move || {
            let _ = tokio.block_on(ended);
            tokio.shutdown_background();
        });
        let driver = driver.map_err(|error| error.to_string())?;
        let files = Arc::new(SandboxFiles::new(&files));
        let folder = files.resolve(&base);
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let services = {
            let _inside = handle.enter();
            let settings = ephemeral_brokers(&config).map_err(|error| error.to_string())?;
            Services::builder(clock.clone(), store.clone())
                .files(Files::simulated(files.clone()))
                .http(Http::mocked(mocks))
                .mqtt(brokers.clients(settings, &store).map_err(|error| error.to_string())?)
                .build()
        };
        let logs = LogStore::unbounded(clock.clone());
        let services_of_runtime = services.clone();
        let starting = async move { Runtime::start_only(config, services_of_runtime, logs, chosen).await };
        let started = {
            let clock = clock.clone();
            block_on(&handle, async move {
                let started = await_output(&clock, starting, None).await;
                wait_until_idle(&clock).await;
                started
            })
        };
        let runtime = started?.map_err(|error| error.to_string())?;
        Ok(Self { runtime, services, files, clock, handle, end: Some(end), driver: Some(driver) })
    }

    /// Waits until all tasks are idle, without advancing the clock.
    pub(super) fn settle(&self) -> Result<(), String> {
        self.pass(Duration::ZERO)
    }

    /// Advances the clock and waits for everything that becomes due.
    pub(super) fn pass(&self, duration: Duration) -> Result<(), String> {
        let clock = self.clock.clone();
        block_on(&self.handle, async move {
            wait_until_idle(&clock).await;
            if !duration.is_zero() {
                clock.advance_async(duration).await;
                wait_until_idle(&clock).await;
            }
        })
    }

    /// Waits for a future; the clock advances to the next timer whenever all tasks are idle.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        self.wait_for(future, Some(STILL))
    }

    /// Waits for a future without advancing the clock.
    pub(super) fn wait_at_once<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        self.wait_for(future, None)
    }

    /// Stops the instance; the clock advances if handlers wait.
    pub(super) fn stop(&self) -> Result<(), String> {
        let runtime = self.runtime.clone();
        self.wait_for(async move { runtime.stop().await }, Some(STOP))
    }

    fn wait_for<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
        still: Option<Duration>,
    ) -> Result<T, String> {
        let clock = self.clock.clone();
        block_on(&self.handle, async move {
            let value = await_output(&clock, future, still).await;
            wait_until_idle(&clock).await;
            value
        })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let runtime = self.runtime.clone();
        // An instance whose thread has panicked has no tasks to cancel.
        let _ = block_on(&self.handle, async move { runtime.cancel_all().await });
        drop(self.end.take());
        if let Some(driver) = self.driver.take() {
            // The caller that waited for the thread has reported its panic.
            let _ = driver.join();
        }
    }
}

/// Runs a future on the thread of the instance and waits for its output.
fn block_on<T: Send + 'static>(handle: &Handle, work: impl Future<Output = T> + Send + 'static) -> Result<T, String> {
    let (done, is_done) = sync_channel(1);
    handle.spawn(async move {
        let _ = done.send(work.await);
    });
    is_done.recv().map_err(|_| "the runtime panicked: this is a bug in rhaid".to_owned())
}

/// Waits until all tasks are idle and all due timers have fired.
async fn wait_until_idle(clock: &Clock) {
    for _ in 0..2 {
        for _ in 0..ROUNDS {
            tokio::task::yield_now().await;
        }
        clock.advance_async(Duration::ZERO).await;
    }
}

/// Waits for a future. With `still`, the clock advances to the next timer each time that the future has not completed after this real time;
/// with `None`, it does not advance.
async fn await_output<T>(clock: &Clock, future: impl Future<Output = T>, still: Option<Duration>) -> T {
    let time = async {
        loop {
            let without_time = async {
                loop {
                    clock.advance_async(Duration::ZERO).await;
                    clock.wait_until_due().await;
                }
            };
            match still {
                None => without_time.await,
                Some(still) => drop(tokio::time::timeout(still, without_time).await),
            }
            wait_until_idle(clock).await;
            if let Some(due) = clock.next_deadline() {
                clock.advance_async(clock.now().duration_until(due).try_into().unwrap_or_default()).await;
            }
        }
    };
    tokio::select! {
        biased;
        value = future => value,
        () = time => unreachable!("the loop has no end"),
    }
}
