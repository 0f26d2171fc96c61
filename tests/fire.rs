//! Manually fired handlers get the same event fields as with a real event.

use rhaid::value::{Map, Value};

use crate::bench::Bench;

fn parse(json: &str) -> Value {
    Value::from(serde_json::from_str::<serde_json::Value>(json).unwrap())
}

/// Fires the only trigger of a script manually, and returns the event that the handler got.
fn fire(trigger: &str, data: &str) -> serde_json::Value {
    let folder = "permissions: { \"*\": { read: [\"./**\"] } }";
    let bench = Bench::new()
        .config(folder)
        .config("location: { latitude: 52.5, longitude: 13.4 }")
        .script("a", trigger)
        .start();
    let fired = bench.fire("a", "", parse(data));
    assert_eq!((fired.outcome.as_str(), fired.why), ("succeeded", None));
    fired.value
}

#[test]
fn every_trigger_kind_has_its_documented_event_fields() {
    let noon = "2026-01-15T12:00:00+01:00";
    let tick = serde_json::json!({ "scheduled": noon, "now": noon, "missed": 0 });
    for trigger in ["cron(\"0 7 * * *\", |e| e);", "every(\"1h\", |e| e);", "at(\"sunset\", |e| e);"] {
        assert_eq!(fire(trigger, "null"), tick, "{trigger}");
    }
    let message = fire(r#"mqtt_subscribe("door/{id}/+", #{ qos: 1 }, |e| e);"#, "null");
    let expected = serde_json::json!({
        "topic": "door/id/any", "payload": "", "bytes": "", "qos": 1, "retain": false, "dup": false,
        "params": { "id": "id" }, "broker": "default", "time": noon, "properties": {},
    });
    assert_eq!(message, expected);
    let request = fire(r#"webhook("door/{id}", #{ public: true, methods: ["PUT"] }, |e| e);"#, "null");
    let expected = serde_json::json!({
        "method": "PUT", "path": "door/id", "params": { "id": "id" }, "query": {}, "headers": {},
        "text": "", "bytes": "", "remote": "127.0.0.1",
    });
    assert_eq!(request, expected);
    let change = fire(r#"watch_file("inbox/a.csv", |e| e);"#, "null");
    assert!(change["path"].as_str().unwrap().starts_with('/'), "{change}");
    assert!(change["path"].as_str().unwrap().ends_with("/inbox/a.csv") && change["kind"] == "modified", "{change}");
    let timer = fire(r#"on_timer("off", |e| e);"#, "null");
    assert_eq!(timer, serde_json::json!({ "name": "off", "data": null, "due": noon, "late": 0.0 }));
    let event = fire(r#"on_event("bell", |e| e);"#, "null");
    assert_eq!(event, serde_json::json!({ "name": "bell", "data": null, "from": "rhaid fire" }));
    let silence = fire(r#"mqtt_silence("attic/{what}", "1h", |e| e);"#, "null");
    let expected = serde_json::json!({
        "topic": "attic/what", "last": "2026-01-15T11:00:00+01:00", "since": 3600, "params": { "what": "what" },
        "connected": false,
    });
    assert_eq!(silence, expected);
    assert_eq!(fire("on_start(|e| e);", "null"), serde_json::json!({ "reason": "boot" }));
    assert_eq!(fire("on_stop(|e| e);", "null"), serde_json::json!({ "reason": "stopping" }));
}

#[test]
fn given_fields_override_the_defaults() {
    let message = fire(
        r#"mqtt_subscribe("door/{id}", |msg| #{ id: msg.params.id, open: msg.json().open, text: msg.payload });"#,
        r#"{ "topic": "door/front", "payload": { "open": true } }"#,
    );
    assert_eq!(message, serde_json::json!({ "id": "front", "open": true, "text": "{\"open\":true}" }));
    let bytes = fire(r#"mqtt_subscribe("raw", |msg| [msg.bytes[1], msg.payload]);"#, r#"{ "bytes": [104, 105] }"#);
    assert_eq!(bytes, serde_json::json!([105, "hi"]));
    let request = fire(
        r#"webhook("door/{id}", #{ public: true }, |request| [request.path, request.form().on, request.query.x]);"#,
        r#"{ "params": { "id": "back" }, "text": "on=1", "query": { "x": "y" } }"#,
    );
    assert_eq!(request, serde_json::json!(["door/back", "1", "y"]));
    let tick = fire(
        r#"cron("0 7 * * *", |tick| [tick.scheduled.hour, tick.missed]);"#,
        r#"{ "scheduled": "2026-01-15T07:00:00+01:00", "missed": 2 }"#,
    );
    assert_eq!(tick, serde_json::json!([7, 2]));
    let event = fire(r#"on_event("bell", |event| `${event.name} ${event.data}`);"#, "7");
    assert_eq!(event, serde_json::json!("bell 7"));
}

#[test]
fn a_manually_fired_timer_does_not_affect_the_real_one() {
    let bench = Bench::new()
        .script("a", r#"on_event("go", || timer_start("off", "1h")); on_timer("off", |timer| print(timer.late));"#)
        .start();
    bench.fire("a", "on_event go", Value::Null);
    assert_eq!(bench.fire("a", "on_timer off", Value::Map(Map::new())).outcome, "succeeded");
    bench.advance(crate::bench::minutes(60));
    bench.expect_printed("a", ["0.0", "0.0"]);
}
