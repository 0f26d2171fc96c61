//! The embedded broker, tested with paho-mqtt.

use std::process::Command;

use super::broker::broker;
use super::http::python;

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_follows_both_mqtt_versions_with_paho() {
    let (_data, _broker, address) = broker().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/broker.py");
    let mut command = Command::new(python("python"));
    command.arg(script).arg(address.port().to_string());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
}
