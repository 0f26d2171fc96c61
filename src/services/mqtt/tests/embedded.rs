//! Against the broker that comes along.

use super::*;

#[tokio::test]
async fn messages_of_every_qos_come_through_once_and_in_order() {
    let data = tempfile::tempdir().unwrap();
    let broker = embedded(&data).await;
    let mqtt = client(broker.address(), "one");
    let mut all = subscribe(&mqtt, "温度/{room}", 2, Retained::Live).await;
    for (qos, payload) in [(0, "a"), (1, "b"), (2, "c"), (1, "d")] {
        publish(&mqtt, "温度/1", payload, qos, false).await;
        let message = next(&mut all).await;
        assert_eq!((&message.payload[..], message.qos, message.retain), (payload.as_bytes(), qos, false));
    }
    assert_eq!(&mqtt.last("温度/1").unwrap().payload[..], b"d");
    mqtt.close().await;
    broker.stop().await;
}
