//! One life of rhaid in a held world, from a start to a stop: a runtime of its own, on one thread, so that all is done in a fixed order.

use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::Sandbox;
use crate::cli::environment;
use crate::runtime::{LogStore, Runtime};
use crate::script;
use crate::services::Services;
use crate::services::clock::Clock;
use crate::services::files::Files;
use crate::services::http::Http;
use crate::services::mqtt::Mqtt;

/// How long something may take that needs no time in the world before time passes there.
const STILL: Duration = Duration::from_millis(5);

/// How long rhaid may take to stop before time passes: it waits for its disk, too.
const STOP: Duration = Duration::from_secs(2);

/// How many times the tasks are given the floor before they count as done.
const ROUNDS: usize = 16;

/// One life of rhaid.
pub(super) struct Instance {
    pub(super) runtime: Runtime,
    pub(super) services: Services,
    clock: Clock,
    handle: Handle,
    end: Option<oneshot::Sender<()>>,
    driver: Option<JoinHandle<()>>,
}

impl Instance {
    /// Starts rhaid with what the world kept.
    pub(super) fn start(sandbox: &Sandbox) -> Result<Self, String> {
        let config = sandbox.config();
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let tokio = tokio.map_err(|error| error.to_string())?;
        let handle = tokio.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let driver =
            std::thread::Builder::new().name("world".to_owned()).stack_size(script::stack_size(&config.limits));
        let driver = driver.spawn(move || {
            let _ = tokio.block_on(ended);
            tokio.shutdown_background();
        });
        let driver = driver.map_err(|error| error.to_string())?;
        let files = Files::sandboxed(sandbox.files.path());
        let folder = files.resolve(sandbox.base());
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let services = {
            let _inside = handle.enter();
            let brokers = environment::ephemeral_brokers(&config).map_err(|error| error.to_string())?;
            Services::builder(sandbox.clock.clone(), sandbox.store.clone())
                .files(files)
                .http(Http::mocked(sandbox.mocks.clone()))
                .mqtt(Mqtt::with_mock_brokers(brokers, &sandbox.clock, &sandbox.store, &sandbox.brokers))
                .build()
        };
        let lines = LogStore::unbounded(sandbox.clock.clone());
        let (given, chosen) = (services.clone(), sandbox.chosen.clone());
        let starting = async move { Runtime::start_only(config, given, lines, chosen).await };
        let clock = sandbox.clock.clone();
        let started = outcome(&handle, async move {
            let started = waited(&clock, starting, None).await;
            settled(&clock).await;
            started
        });
        let runtime = started?.map_err(|error| error.to_string())?;
        Ok(Self { runtime, services, clock: sandbox.clock.clone(), handle, end: Some(end), driver: Some(driver) })
    }

    /// Waits until nothing is going on that needs no time.
    pub(super) fn settle(&self) -> Result<(), String> {
        self.pass(Duration::ZERO)
    }

    /// Lets time pass; everything that is due happens.
    pub(super) fn pass(&self, duration: Duration) -> Result<(), String> {
        let clock = self.clock.clone();
        outcome(&self.handle, async move {
            settled(&clock).await;
            if !duration.is_zero() {
                clock.advance_async(duration).await;
                settled(&clock).await;
            }
        })
    }

    /// Waits for something while time passes as it needs to.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        outside: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        self.wait_for(outside, Some(STILL))
    }

    /// Waits for something that needs no time.
    pub(super) fn wait_still<T: Send + 'static>(
        &self,
        outside: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        self.wait_for(outside, None)
    }

    /// Lets rhaid stop; time passes if handlers take some.
    pub(super) fn stop(&self) -> Result<(), String> {
        let runtime = self.runtime.clone();
        self.wait_for(async move { runtime.stop().await }, Some(STOP))
    }

    fn wait_for<T: Send + 'static>(
        &self,
        outside: impl Future<Output = T> + Send + 'static,
        still: Option<Duration>,
    ) -> Result<T, String> {
        let clock = self.clock.clone();
        outcome(&self.handle, async move {
            let value = waited(&clock, outside, still).await;
            settled(&clock).await;
            value
        })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let runtime = self.runtime.clone();
        // A life that is broken has nothing to be cut off from.
        let _ = outcome(&self.handle, async move { runtime.cancel_all().await });
        drop(self.end.take());
        if let Some(driver) = self.driver.take() {
            // A panic there has been told by what was waited for.
            let _ = driver.join();
        }
    }
}

/// Does something on the thread of a life.
fn outcome<T: Send + 'static>(handle: &Handle, work: impl Future<Output = T> + Send + 'static) -> Result<T, String> {
    let (done, is_done) = sync_channel(1);
    handle.spawn(async move {
        let _ = done.send(work.await);
    });
    is_done.recv().map_err(|_| "rhaid broke off: this is a mistake in it".to_owned())
}

/// Waits until nothing is going on that needs no time.
async fn settled(clock: &Clock) {
    for _ in 0..2 {
        for _ in 0..ROUNDS {
            tokio::task::yield_now().await;
        }
        clock.advance_async(Duration::ZERO).await;
    }
}

/// Waits for something; time passes when it has not come for so long, `None`: never.
async fn waited<T>(clock: &Clock, outside: impl Future<Output = T>, still: Option<Duration>) -> T {
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
            settled(clock).await;
            if let Some(due) = clock.next_deadline() {
                clock.advance_async(clock.now().duration_until(due).try_into().unwrap_or_default()).await;
            }
        }
    };
    tokio::select! {
        biased;
        value = outside => value,
        () = time => unreachable!("time has no end"),
    }
}
