//! A runtime in this process, and the statistics of measurements.

use std::path::Path;
use std::sync::Arc;

use rhaid::config::Config;
use rhaid::runtime::Runtime;
use rhaid::services::Services;
use rhaid::services::clock::Clock;
use rhaid::services::mqtt;
use rhaid::services::store::Store;
use rhaid::value::Value;

/// Runs the scripts of a folder in this process, with a store in memory. Must be called inside the tokio runtime.
pub(crate) async fn start(folder: &Path) -> Runtime {
    let config = Config::default_in(folder);
    let unused = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let broker =
        mqtt::ConnectionSettings::new(&config.mqtt, unused, "bench".to_owned()).expect("the defaults are right");
    let store = Store::in_memory().expect("there is room for a store");
    let services = Services::builder(Clock::system(jiff::tz::TimeZone::UTC), store).brokers(vec![broker]).build();
    Runtime::start(Arc::new(config), services).await.expect("the scripts are right")
}

/// Returns the percentile of the values.
pub(crate) fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * percent / 100]
}

/// Fires a script's `on_event`, and waits for the end of the run.
pub(crate) async fn fire(runtime: &Runtime, script: &str) {
    let fired = runtime.fire(script, Some("on_event"), Value::Null).await.expect("there is such a trigger");
    assert_eq!(fired.outcome, "succeeded", "{:?}", fired.why);
}
