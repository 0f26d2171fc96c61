//! The embedded broker, with paho-mqtt.

use std::process::Command;

use super::broker::broker;
use super::http::python;

#[tokio::test(flavor = "multi_thread")]
async fn paho_finds_everything_as_both_standards_say() {
    let (_data, _broker, address) = broker().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/broker.py");
    let mut command = Command::new(python("python"));
    command.arg(script).arg(address.port().to_string());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{wrong}");
}
