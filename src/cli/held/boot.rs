//! One life of rhaid in a held world, from a start to a stop: a runtime of its own, on one thread, so that all is done in a fixed order.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::HeldWorld;
use crate::cli::world;
use crate::runtime::{LogBook, Runtime};
use crate::script;
use crate::services::Services;
use crate::services::bus::Bus;
use crate::services::clock::Clock;
use crate::services::files::Files;
use crate::services::http::Http;
use crate::services::mqtt::Mqtt;
use crate::services::routes::Routes;
use crate::services::timers::Timers;

/// How long something may take that needs no time in the world before time passes there.
const STILL: Duration = Duration::from_millis(5);

/// How long rhaid may take to stop before time passes: it waits for its disk, too.
const STOP: Duration = Duration::from_secs(2);

/// How often the clock is looked at while something is waited for.
const GLANCE: Duration = Duration::from_micros(200);

/// How many times the tasks are given the floor before they count as done.
const ROUNDS: usize = 16;

/// One life of rhaid.
pub(super) struct Boot {
    pub(super) runtime: Runtime,
    pub(super) services: Services,
    clock: Clock,
    handle: Handle,
    end: Option<oneshot::Sender<()>>,
    driver: Option<JoinHandle<()>>,
}

impl Boot {
    /// Starts rhaid with what the world kept.
    pub(super) fn start(held: &HeldWorld) -> Result<Self, String> {
        let config = held.config();
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let tokio = tokio.map_err(|error| error.to_string())?;
        let handle = tokio.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let driver = std::thread::Builder::new().name("world".to_owned()).stack_size(script::stack(&config.limits));
        let driver = driver.spawn(move || {
            let _ = tokio.block_on(ended);
            tokio.shutdown_background();
        });
        let driver = driver.map_err(|error| error.to_string())?;
        let files = Files::held(held.files.path());
        let folder = files.place(held.base());
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let services = {
            let _inside = handle.enter();
            let brokers = world::brokers_for_a_visit(&config).map_err(|error| error.to_string())?;
            Services {
                clock: held.clock.clone(),
                bus: Bus::with_store(held.clock.clone(), &held.store),
                files,
                http: Http::held(held.answers.clone()),
                mqtt: Mqtt::held(brokers, &held.clock, &held.store, &held.brokers),
                routes: Routes::default(),
                timers: Timers::start(held.store.clone(), held.clock.clone()),
                store: held.store.clone(),
            }
        };
        let lines = LogBook::whole(held.clock.clone());
        let (given, chosen) = (services.clone(), held.chosen.clone());
        let starting = async move { Runtime::start_only(config, given, lines, chosen).await };
        let started = wait(&held.clock, &handle, starting, None);
        let runtime = started?.map_err(|error| error.to_string())?;
        let boot = Self { runtime, services, clock: held.clock.clone(), handle, end: Some(end), driver: Some(driver) };
        boot.settle();
        Ok(boot)
    }

    /// Waits until nothing is going on that needs no time.
    pub(super) fn settle(&self) {
        for _ in 0..2 {
            give_the_floor(&self.handle);
            self.clock.advance(Duration::ZERO);
        }
    }

    /// Waits for something while time passes as it needs to.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        outside: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        let value = wait(&self.clock, &self.handle, outside, Some(STILL))?;
        self.settle();
        Ok(value)
    }

    /// Lets rhaid stop; time passes if handlers take some.
    pub(super) fn stop(&self) -> Result<(), String> {
        let runtime = self.runtime.clone();
        wait(&self.clock, &self.handle, async move { runtime.stop().await }, Some(STOP))
    }

    /// Waits for something that needs no time.
    pub(super) fn wait_still<T: Send + 'static>(
        &self,
        outside: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        let value = wait(&self.clock, &self.handle, outside, None)?;
        self.settle();
        Ok(value)
    }
}

impl Drop for Boot {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(driver) = self.driver.take() {
            // A panic there has been told by what was waited for.
            let _ = driver.join();
        }
    }
}

/// Lets every task go on that can.
fn give_the_floor(handle: &Handle) {
    let (done, is_done) = sync_channel(1);
    handle.spawn(async move {
        for _ in 0..ROUNDS {
            tokio::task::yield_now().await;
        }
        let _ = done.send(());
    });
    // The thread that drives them lives as long as there is something to wait for.
    let _ = is_done.recv();
}

/// Waits for something; time passes when nothing has been going on for so long, `None`: never.
fn wait<T: Send + 'static>(
    clock: &Clock,
    handle: &Handle,
    outside: impl Future<Output = T> + Send + 'static,
    still: Option<Duration>,
) -> Result<T, String> {
    let (done, is_done) = sync_channel(1);
    handle.spawn(async move {
        let _ = done.send(outside.await);
    });
    let mut since = Instant::now();
    loop {
        clock.advance(Duration::ZERO);
        match is_done.recv_timeout(GLANCE) {
            Ok(value) => return Ok(value),
            Err(RecvTimeoutError::Disconnected) => return Err("rhaid broke off: this is a mistake in it".to_owned()),
            Err(RecvTimeoutError::Timeout) if still.is_some_and(|still| since.elapsed() >= still) => {
                give_the_floor(handle);
                clock.advance(Duration::ZERO);
                if let Ok(value) = is_done.try_recv() {
                    return Ok(value);
                }
                if let Some(due) = clock.next_due() {
                    clock.advance(clock.now().duration_until(due).try_into().unwrap_or_default());
                }
                since = Instant::now();
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}
