//! The lessons about brokers: retained messages, lost connections, floods, and bytes that are no text.

use crate::bench::{Bench, minutes};
use crate::program::Program;

#[test]
fn a_retained_message_wakes_only_who_asked_for_it_and_only_once() {
    let live = r#"mqtt_subscribe("lamp", |msg| print(msg.payload));"#;
    let bench = Bench::new().with_broker().start();
    bench.publish_retained("lamp", "kept");
    bench.edit("live", live).subscribed();
    bench.edit("initial", r#"mqtt_subscribe("lamp", #{ retained: "initial" }, |msg| print(msg.payload));"#);
    bench.expect_printed("initial", ["kept"]);
    bench.edit("live", &format!("{live} // saved again")).subscribed();
    bench.publish("lamp", "first");
    bench.expect_printed("live", ["first"]).expect_printed("initial", ["kept", "first"]);
    // The run history has the retained message that ran no handler, with the reason.
    let ignored = bench.runs("live").into_iter().filter_map(|row| row.why).collect::<Vec<_>>();
    assert_eq!(ignored, ["retained from before (retained live)"]);
}

#[test]
fn a_broker_that_goes_and_comes_back_finds_the_scripts_listening() {
    let mut bench = Bench::new()
        .with_broker()
        .script("a", r#"mqtt_subscribe("in", |msg| print(msg.payload)); every("1m", || mqtt_publish("out", "tick"));"#)
        .script(
            "watcher",
            r#"
                on_mqtt("connected", |link| print(`${link.broker} is ${link.state}`));
                on_mqtt("disconnected", #{ broker: "default" }, |link| print(`${link.broker} is ${link.state} (${link.why.len() > 0})`));
            "#,
        )
        .start();
    bench.subscribed();
    bench.expect_printed("watcher", ["default is connected"]);
    bench.publish("in", "1");
    bench.expect_printed("a", ["1"]);
    bench.break_broker();
    bench.pass(minutes(1));
    bench.mend_broker();
    bench.until("the script to hear again", || {
        bench.publish("in", "2");
        bench.printed("a").contains(&"2".to_owned())
    });
    assert_eq!(bench.said("a").iter().filter(|line| line.contains("removed")).count(), 0);
    let changes = ["default is connected", "default is disconnected (true)", "default is connected"];
    bench.expect_printed("watcher", changes);
}

#[test]
fn a_second_client_with_the_same_id_is_told_and_does_not_fight_on() {
    let twin = || {
        let program = Program::empty();
        program.write("scripts/a.rhai", "mqtt_subscribe(\"in\", |msg| ());");
        program
    };
    let (mut one, mut other) = (twin(), twin());
    one.start_with(&[("RHAID_MQTT_CLIENT_ID", "twin")]);
    one.wait_for("connected to");
    let url = format!("mqtt://{}", one.broker());
    other.start_with(&[("RHAID_MQTT_CLIENT_ID", "twin"), ("RHAID_MQTT_URL", &url)]);
    one.wait_for("another client with the same id has taken over (`mqtt.client_id`)");
    other.wait_for("ends each connection soon after it begins; is there another client with the id `twin`?");
    // Each try waits longer than the one before, and from here on it is quiet.
    let tries = other.count("connected to");
    assert!(tries <= 5, "{tries} tries before it was told");
}

#[test]
fn a_script_that_answers_itself_is_paused_and_the_broker_stays_usable() {
    let bench = Bench::new()
        .with_broker()
        .config("limits: { breaker: 50 }")
        .script("echo", r#"mqtt_subscribe("loop", |msg| mqtt_publish("loop", "again"));"#)
        .script("other", r#"mqtt_subscribe("ping", |msg| print(msg.payload));"#)
        .start();
    bench.subscribed();
    bench.publish("loop", "go");
    bench.expect_said("echo", "paused for 1m: more than 50 runs in 10 seconds");
    bench.publish("ping", "still here");
    bench.expect_printed("other", ["still here"]);
}

#[test]
fn bytes_that_are_no_text_reach_the_script_and_annoy_nobody() {
    let bench =
        Bench::new().with_broker().script("raw", r#"mqtt_subscribe("raw/+", |msg| print(msg.bytes.len()));"#).start();
    bench.subscribed();
    bench.publish_bytes("raw/x", &[0xff, 0xfe, 0x00], false);
    bench.publish_bytes("elsewhere", &[0xff], false);
    bench.expect_printed("raw", ["3"]);
    let complaints = bench.logged().iter().filter(|line| ["error", "warn"].contains(&line.level)).count();
    assert_eq!(complaints, 0, "{:#?}", bench.logged());
}
