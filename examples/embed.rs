//! A Rust program that runs scripts: brings a folder of scripts to life, wakes a handler, and lets everything go.
//!
//! Run it with `cargo run --example embed`.

#![expect(clippy::print_stdout, reason = "the example prints its result")]

use std::net::SocketAddr;
use std::sync::Arc;

use rhaid::config::Config;
use rhaid::runtime::Runtime;
use rhaid::services::Services;
use rhaid::services::clock::Clock;
use rhaid::services::mqtt;
use rhaid::services::store::Store;
use rhaid::value::{Map, Value};

const SCRIPT: &str = r#"
on_event("greet", |event| {
    let times = state.add(event.data.name, 1);
    `hello ${event.data.name}, for the ${times}. time`
});
"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let config = Config::default_in(folder.path());
    std::fs::create_dir(&config.scripts)?;
    std::fs::write(config.scripts.join("greeter.rhai"), SCRIPT)?;

    // In-memory store and no broker: enough for scripts without MQTT.
    let clock = Clock::system(jiff::tz::TimeZone::system());
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1883));
    let broker = mqtt::ConnectionSettings::new(&config.mqtt, nowhere, "embed".to_owned())?;
    let services = Services::builder(clock, Store::in_memory()?).brokers(vec![broker]).build();

    let runtime = Runtime::start(Arc::new(config), services).await?;
    for script in runtime.list().await {
        println!("{} v{}: {}", script.name, script.version, script.triggers[0].summary);
    }
    let data = Value::Map(Map::from([("name".to_owned(), "Ann".into())]));
    for _ in 0..2 {
        let facts = Value::Map(Map::from([("data".to_owned(), data.clone())]));
        let fired = runtime.fire("greeter", None, facts).await?;
        println!("{}: {}", fired.outcome, fired.value);
    }
    runtime.stop().await;
    Ok(())
}
