//! `rhaid test`: the mock broker behaves as MQTT specifies.

use crate::program::{Program, text};

const SENDER: &str = r##"
on_event("send", |event| { mqtt_publish(event.data.topic, event.data.payload, event.data.options); });
"##;

/// Records the messages of each subscription in its state, as `PAYLOAD` or `PAYLOAD retained`.
const RECEIVER: &str = r##"
fn record(name, msg) {
    let payload = if msg.retain { `${msg.payload} retained` } else { msg.payload };
    let seen = if name in state { state[name] } else { [] };
    seen.push(payload);
    state[name] = seen;
}
"##;

/// Runs a test with the sender, and with a script for each subscription: its name and arguments.
#[track_caller]
fn passes(config: &str, subscriptions: &[(&str, &str)], body: &str) {
    let program = Program::empty();
    program.write("rhaid.yaml", config);
    program.write("scripts/sender.rhai", SENDER);
    for (name, arguments) in subscriptions {
        let subscribe = format!("mqtt_subscribe({arguments}, |msg| record(\"seen\", msg));");
        program.write(&format!("scripts/{name}.rhai"), &format!("{subscribe}{RECEIVER}"));
    }
    program.write(
        "scripts/broker_test.rhai",
        &format!(
            r##"
            fn send(topic, payload, options) {{
                emit("send", #{{ topic: topic, payload: payload, options: options }});
            }}
            fn seen(script) {{
                let seen = state_of(script);
                if "seen" in seen {{ seen.seen }} else {{ [] }}
            }}
            test("it", || {{ load("sender");
{body}
            }});
            "##
        ),
    );
    let output = program.rhaid(&["test"]);
    let printed = [text(&output.stdout), text(&output.stderr)].concat();
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
}

#[test]
fn a_retained_message_expires_by_the_virtual_clock() {
    passes(
        "",
        &[
            ("early", "\"door\", #{ retained: \"initial\" }"),
            ("late", "\"door\", #{ retained: \"initial\" }"),
            ("remaining", "\"door\", #{ retained: \"initial\" }"),
        ],
        r##"
        send("door", "open", #{ retain: true, message_expiry: "1h" });
        advance("59m59s");
        load("early");
        assert_eq(seen("early"), ["open retained"]);
        advance("1s");
        load("late");
        assert_eq(seen("late"), []);
        "##,
    );
}

#[test]
fn a_message_that_matches_overlapping_filters_follows_the_options_of_each() {
    passes(
        "",
        &[
            ("foreign", "\"room/#\", #{ no_local: true, qos: 2 }"),
            ("narrow", "\"room/attic\", #{ qos: 1 }"),
            ("both", "[\"room/+\", \"+/attic\"]"),
        ],
        r##"
        load("foreign"); load("narrow"); load("both");
        send("room/attic", "own", #{ qos: 2 });
        publish("room/attic", "other", #{ qos: 2 });
        assert_eq(seen("foreign"), ["other"]);
        assert_eq(seen("narrow"), ["own", "other"]);
        assert_eq(seen("both"), ["own", "other"]);
        "##,
    );
}

#[test]
fn a_shared_subscription_gets_each_message_once_and_no_retained_ones() {
    passes(
        "",
        &[
            ("one", "\"$share/one/job/+\", #{ qos: 1 }"),
            ("two", "\"$share/two/job/+\", #{ qos: 1 }"),
            ("all", "\"job/#\", #{ qos: 1, retained: \"initial\" }"),
        ],
        r##"
        publish("job/1", "old", #{ retain: true });
        load("one"); load("two"); load("all");
        publish("job/2", "new", #{ qos: 1 });
        send("job/2", "own", #{ qos: 1 });
        assert_eq(seen("one"), ["new", "own"]);
        assert_eq(seen("two"), ["new", "own"]);
        assert_eq(seen("all"), ["old retained", "new", "own"]);
        "##,
    );
}

#[test]
fn retained_messages_are_replaced_cleared_and_sent_to_new_subscriptions_that_ask_for_them() {
    passes(
        "",
        &[
            ("first", "\"#\", #{ retained: \"initial\" }"),
            ("live", "\"#\""),
            ("only", "\"#\", #{ retained: \"only\" }"),
        ],
        r##"
        publish("a", "1", #{ retain: true });
        publish("b", "2", #{ retain: true });
        publish("b", "3", #{ retain: true });
        publish("c", "4", #{ retain: true });
        publish("c", "", #{ retain: true });
        publish("d", "5");
        load("first"); load("live"); load("only");
        publish("e", "6", #{ retain: true });
        assert_eq(seen("first"), ["1 retained", "3 retained", "6"]);
        assert_eq(seen("live"), ["6"]);
        assert_eq(seen("only"), ["1 retained", "3 retained"]);
        "##,
    );
}

#[test]
fn a_broker_that_was_down_keeps_its_retained_messages_and_gets_the_queued_ones() {
    passes(
        "",
        &[("first", "\"+\", #{ qos: 1 }"), ("late", "\"+\", #{ retained: \"initial\" }")],
        r##"
        load("first");
        publish("a", "1", #{ retain: true });
        broker_down();
        send("b", "2", #{ qos: 1, wait: false });
        restart();
        broker_down();
        assert_not_published("b");
        broker_up();
        broker_up();
        assert_published("b", "2");
        load("late");
        assert_eq(seen("first"), ["1", "2"]);
        assert_eq(seen("late"), ["1 retained"]);
        "##,
    );
}

#[test]
fn only_the_broker_publishes_to_sys_topics() {
    passes(
        "",
        &[("uptime", "\"$SYS/#\""), ("all", "\"#\"")],
        r##"
        load("uptime"); load("all");
        publish("$SYS/broker/uptime", "7");
        assert_eq(seen("uptime"), ["7"]);
        assert_eq(seen("all"), []);
        send("$SYS/broker/uptime", "8", #{ qos: 1 });
        assert_fails("sender", "refused");
        assert_eq(seen("uptime"), ["7"]);
        "##,
    );
}

#[test]
fn a_broker_of_version_3_1_1_has_no_properties() {
    for (version, expected) in [("3.1.1", "()"), ("5", "\"text/plain\"")] {
        let body = format!(
            r##"
            load("first");
            send("a", "1", #{{ content_type: "text/plain", qos: 1 }});
            assert_eq(seen("first"), ["1"]);
            assert_eq(state_of("first").type, {expected});
            "##
        );
        passes(
            &format!("mqtt: {{ protocol: \"{version}\" }}\n"),
            &[("first", "\"a\", |msg| { state.type = msg.properties.content_type; }); mqtt_subscribe(\"a\"")],
            &body,
        );
    }
}
