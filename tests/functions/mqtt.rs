//! MQTT functions of scripts, with the embedded broker.

use std::time::{Duration, Instant};

use rhaid::value::Value;

use super::fixture::{Fixture, fault};

#[test]
fn payloads_are_encoded_by_type() {
    let fixture = Fixture::new();
    fixture
        .run(
            r#"
            let number = 0;
            for pair in [["on", "on"], [21.5, "21.5"], [3, "3"], [true, "true"], [#{ a: [1] }, `{"a":[1]}`], ["温度", "温度"], [blob(2, 65), "AA"]] {
                number += 1;
                mqtt_publish(`温度/${number}`, pair[0], #{ qos: 1, retain: true });
                let msg = mqtt_receive(`+/${number}`, #{ retained: true, timeout: "20s" });
                assert_eq([msg.payload, msg.topic], [pair[1], `温度/${number}`]);
                assert(now().since(msg.time) < 60.0);
                mqtt_clear(`温度/${number}`);
            }
            mqtt_publish("cooled/a", 1, #{ qos: 2, retain: true });
            mqtt_publish("cooled/b", 2, #{ qos: 2, retain: true });
            let both = mqtt_receive("cooled/#", #{ retained: true, count: 2, timeout: "20s" });
            let numbers = both.map(|msg| msg.json());
            numbers.sort();
            assert_eq(numbers, [1, 2]);
            assert(mqtt_last("cooled/b") == () || mqtt_last("cooled/b").age < 60.0);
            assert(mqtt_connected());
            "#,
        )
        .unwrap();
    let effects = fixture.run_log.effects.lock();
    let published: Vec<_> =
        effects.iter().filter(|effect| effect.action == "mqtt_publish").map(|e| &e.details).collect();
    assert!(published.contains(&&"温度/1 \"on\" (2 bytes, qos 1, retained)".to_owned()), "{published:?}");
}

#[test]
fn every_error_has_its_kind() {
    let fixture = Fixture::with(
        "mqtt: { max_packet: 4KiB }\npermissions: { \"*\": { publish: [\"own/#\"], subscribe: [\"own/#\"] } }",
    );
    for (call, kind, words) in [
        ("mqtt_publish(\"\", 1)", "invalid_argument", "a topic cannot be empty: write one such as \"house/door\""),
        ("mqtt_publish(\"own/+\", 1)", "invalid_argument", "a publish topic cannot contain `+`: write one topic"),
        ("mqtt_publish(\"own/#\", 1)", "invalid_argument", "a publish topic cannot contain `#`: write one topic"),
        ("mqtt_publish(\"own/\\x00\", 1)", "invalid_argument", "a topic cannot contain a NUL character"),
        (
            "let long = \"own/\"; long.pad(65536, \"x\"); mqtt_publish(long, 1)",
            "invalid_argument",
            "a topic can have at most 65535 bytes, not 65536",
        ),
        ("mqtt_publish(\"own/a\", 1, #{ qos: 3 })", "invalid_argument", "from 0 to 2"),
        ("mqtt_publish(\"own/a\", 1, #{ retian: true })", "invalid_argument", "did you mean `retain`?"),
        ("mqtt_publish(\"own/a\", 1, #{ broker: \"elsewhere\" })", "invalid_argument", "elsewhere"),
        ("mqtt_publish(\"own/a\", blob(5000, 65))", "too_large", "mqtt.max_packet"),
        ("mqtt_publish(\"own/a\", 1, #{ user_properties: [1] })", "invalid_argument", "user_properties: write a map"),
        ("mqtt_publish(\"own/a\", 1, #{ response_topic: \"a/#\" })", "invalid_argument", "response_topic"),
        ("mqtt_publish(\"own/a\", 1, #{ message_expiry: \"-1s\" })", "invalid_argument", "message_expiry"),
        ("mqtt_publish([[\"own/a\", 1], [\"other/a\", 1]])", "denied", "other/a"),
        ("mqtt_publish([[\"own/a\", 1], #{ topik: \"own/a\" }])", "invalid_argument", "message 2: write a message as"),
        (
            "mqtt_publish([#{ topic: \"own/a\", qoz: 1 }])",
            "invalid_argument",
            "message 1: unknown option `qoz`: did you mean `qos`?",
        ),
        (
            "mqtt_publish(\"own/a\", blob(4050, 65), #{ content_type: \"text/plain; charset=utf-8\", user_properties: #{ a: \"bbbbbbbbbbbb\" } })",
            "too_large",
            "mqtt.max_packet",
        ),
        ("mqtt_last(\"own/a\", #{ broker: \"elsewhere\" })", "invalid_argument", "elsewhere"),
        ("mqtt_connected(\"elsewhere\")", "invalid_argument", "elsewhere"),
        ("mqtt_receive([])", "invalid_argument", "[\"door/front\", \"door/back\"]"),
        ("mqtt_publish(\"own/a\", || 1)", "invalid_argument", "a function is not data"),
        ("mqtt_publish(\"other/a\", 1)", "denied", "other/a"),
        ("mqtt_clear(\"other/a\")", "denied", "other/a"),
        ("mqtt_receive(\"#\")", "denied", "#"),
        ("mqtt_last(\"other/a\")", "denied", "other/a"),
        ("mqtt_request(\"own/a\", 1, #{ response_topic: \"other\" })", "denied", "other"),
        ("mqtt_receive(\"\")", "invalid_argument", "a topic filter cannot be empty"),
        ("mqtt_receive(\"own/a/#/b\")", "invalid_argument", "`#` matches all remaining levels: write it last"),
        (
            "mqtt_receive(\"own/a+\")",
            "invalid_argument",
            "a wildcard is a whole level: write `+` or `#` between slashes",
        ),
        ("mqtt_matches(\"own/{a\", \"own\")", "invalid_argument", "write `{id}` instead of `{a`"),
        ("mqtt_clear(\"own/+\")", "invalid_argument", "a publish topic cannot contain `+`: write one topic"),
        ("mqtt_receive(\"own/a\", #{ timeout: \"50ms\" })", "timeout", "no message arrived on own/a within 50ms"),
        ("mqtt_request(\"own/a\", 1, #{ timeout: \"200ms\" })", "timeout", "own/a/response"),
    ] {
        let (found, message) = fault(&fixture, &format!("{call};"));
        assert_eq!(found, kind, "{call}: {message}");
        assert!(message.contains(words), "{call}: {message}");
    }
}

#[test]
fn an_offline_broker_does_not_block_a_script() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let fixture = Fixture::with(&format!("mqtt: {{ url: \"mqtt://{closed}\", outbox: 10 }}"));
    let started = Instant::now();
    let found = fixture
        .run(
            r#"
            let kinds = [];
            for i in 0..200 {
                try { mqtt_publish("a", i, #{ qos: 1 }); kinds.push("queued"); } catch (err) { kinds.push(err.kind); }
            }
            [kinds[0], kinds[199], mqtt_connected()]
            "#,
        )
        .unwrap();
    assert_eq!(found, Value::List(vec!["queued".into(), "not_connected".into(), false.into()]));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn several_messages_are_sent_in_one_call_and_in_order() {
    let fixture = Fixture::new();
    let found = fixture
        .run(
            r#"
            mqtt_publish([#{ topic: "many/1", payload: #{ a: 1 }, retain: true }, ["many/2", 2.5, 1, true], ["many/3"]], #{ qos: 2 });
            let kept = mqtt_receive(["many/1", "many/2"], #{ retained: true, count: 2, timeout: "20s" });
            let found = kept.map(|msg| `${msg.topic} ${msg.payload}`);
            found.sort();
            mqtt_clear("many/1", #{ wait: false });
            mqtt_clear("many/2", #{ broker: "default" });
            found
            "#,
        )
        .unwrap();
    assert_eq!(found, Value::List(vec!["many/1 {\"a\":1}".into(), "many/2 2.5".into()]));
    let effects = fixture.run_log.effects.lock();
    assert_eq!(effects[0].details, "3 messages: many/1, many/2, many/3");
}

#[test]
fn a_script_can_wait_later_for_the_acknowledgement() {
    let fixture = Fixture::new();
    fixture
        .run(
            r#"
            for qos in [0, 1, 2] {
                let sent = mqtt_publish("later/a", qos, #{ qos: qos, retain: true, wait: false });
                sent.wait("20s");
                assert(sent.is_confirmed());
                sent.wait("1ms");
                assert_eq(`${sent}`, "<Sent: confirmed>");
                assert_eq(mqtt_receive("later/a", #{ retained: true, timeout: "20s" }).json(), qos);
            }
            assert_eq(mqtt_publish("later/a", "", #{ qos: 1, retain: true }), ());
            let all = mqtt_publish([["later/a", 1, 1], ["later/b", 2, 2], ["later/c", 3]], #{ wait: false });
            all.wait();
            assert(all.is_confirmed());
            "#,
        )
        .unwrap();
}

#[test]
fn messages_to_an_offline_broker_stay_unacknowledged() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let fixture = Fixture::with(&format!("mqtt: {{ url: \"mqtt://{closed}\" }}"));
    let found = fixture
        .run(
            r#"
            let sent = mqtt_publish("a", 1, #{ qos: 1, wait: false });
            let kind = "none";
            for round in 0..2 {
                try { sent.wait("50ms"); } catch (err) { kind = `${err.kind}: ${err.message}`; }
            }
            [sent.is_confirmed(), kind, `${sent}`]
            "#,
        )
        .unwrap();
    let why = "timeout: the broker did not acknowledge the message to a within 50ms; it stays in the outbox";
    assert_eq!(found, Value::List(vec![false.into(), why.into(), "<Sent: pending>".into()]));
    let (kind, message) = fault(&fixture, "mqtt_publish(\"a\", 1, #{ wait: false }).wait(\"soon\");");
    assert!(kind == "invalid_argument" && message.contains("is not a duration"), "{kind}: {message}");
}

#[test]
fn mqtt_5_properties_arrive() {
    let fixture = Fixture::new();
    let found = fixture
        .run(
            r#"
            mqtt_publish("kept/p", "x", #{
                retain: true, content_type: "text/plain", response_topic: "kept/answer", correlation_data: blob(2, 7),
                message_expiry: "1h", user_properties: #{ unit: "celsius", tags: ["a", "b"] },
            });
            let of = mqtt_receive("kept/p", #{ retained: true, timeout: "20s" }).properties;
            mqtt_clear("kept/p");
            assert(of.message_expiry > 3500 && of.message_expiry <= 3600);
            [of.content_type, of.response_topic, of.correlation_data == blob(2, 7), of.user_properties.unit, of.user_properties.tags]
            "#,
        )
        .unwrap();
    let tags = Value::List(vec!["a".into(), "b".into()]);
    assert_eq!(
        found,
        Value::List(vec!["text/plain".into(), "kept/answer".into(), true.into(), "celsius".into(), tags])
    );
}

#[test]
fn responses_to_other_requests_are_ignored() {
    let fixture = Fixture::new();
    let found = fixture
        .run(
            r#"
            // A retained response to another request; without the correlation data check it would be taken for ours.
            mqtt_publish("q/response", "not for us", #{ correlation_data: "other", retain: true });
            let own = mqtt_request("q/response", "?", #{ response_topic: "q/+", timeout: "20s" });
            mqtt_clear("q/response");
            [own.payload, own.properties.correlation_data.len(), mqtt_last("q/response", #{ broker: "default" }) != ()]
            "#,
        )
        .unwrap();
    assert_eq!(found, Value::List(vec!["?".into(), Value::Int(12), true.into()]));
}
