//! Known bugs of other script runners around brokers: retained messages, lost connections, message floods and binary payloads.

use crate::bench::{Bench, minutes};
use crate::program::Program;

#[test]
fn a_retained_message_fires_only_handlers_that_request_it_and_only_once() {
    let live = r#"mqtt_subscribe("lamp", |msg| print(msg.payload));"#;
    let bench = Bench::new().with_broker().start();
    bench.publish_retained("lamp", "kept");
    bench.edit("live", live).subscribed();
    bench.edit("initial", r#"mqtt_subscribe("lamp", #{ retained: "initial" }, |msg| print(msg.payload));"#);
    bench.expect_printed("initial", ["kept"]);
    bench.edit("live", &format!("{live} // saved again")).subscribed();
    bench.publish("lamp", "first");
    bench.expect_printed("live", ["first"]).expect_printed("initial", ["kept", "first"]);
    // The run history records the ignored retained message with the reason.
    let ignored = bench.runs("live").into_iter().filter_map(|row| row.why).collect::<Vec<_>>();
    assert_eq!(ignored, ["retained from before (retained live)"]);
}

#[test]
fn scripts_are_subscribed_again_after_a_broker_restart() {
    let mut bench = Bench::new()
        .with_broker()
        .script("a", r#"mqtt_subscribe("in", |msg| print(msg.payload)); every("1m", || mqtt_publish("out", "tick"));"#)
        .script(
            "watcher",
            r#"
                on_mqtt("connected", |change| print(`${change.broker} is ${change.state}`));
                on_mqtt("disconnected", #{ broker: "default" }, |change| print(`${change.broker} is ${change.state} (${change.why.len() > 0})`));
            "#,
        )
        .start();
    bench.subscribed();
    bench.expect_printed("watcher", ["default is connected"]);
    bench.publish("in", "1");
    bench.expect_printed("a", ["1"]);
    bench.stop_broker();
    bench.advance(minutes(1));
    bench.start_broker();
    bench.until("the script to receive messages again", || {
        bench.publish("in", "2");
        bench.printed("a").contains(&"2".to_owned())
    });
    assert_eq!(bench.logged_about("a").iter().filter(|line| line.contains("removed")).count(), 0);
    let changes = ["default is connected", "default is disconnected (true)", "default is connected"];
    bench.expect_printed("watcher", changes);
}

#[test]
fn a_second_client_with_the_same_id_is_reported_and_reconnects_ever_more_slowly() {
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
    other.wait_for(
        "closes each connection shortly after it is established; is there another client with the id `twin`?",
    );
    // The delay grows with each attempt, so few connections precede the message.
    let attempts = other.count("connected to");
    assert!(attempts <= 5, "{attempts} attempts before the message");
}

#[test]
fn a_script_in_a_message_loop_is_paused_and_the_broker_stays_usable() {
    let bench = Bench::new()
        .with_broker()
        .config("limits: { breaker: 50 }")
        .script("echo", r#"mqtt_subscribe("loop", |msg| mqtt_publish("loop", "again"));"#)
        .script("other", r#"mqtt_subscribe("ping", |msg| print(msg.payload));"#)
        .start();
    bench.subscribed();
    bench.publish("loop", "go");
    bench.expect_logged("echo", "paused for 1m: more than 50 runs in 10 seconds");
    bench.publish("ping", "still here");
    bench.expect_printed("other", ["still here"]);
}

#[test]
fn binary_payloads_reach_the_script_without_warnings() {
    let bench =
        Bench::new().with_broker().script("raw", r#"mqtt_subscribe("raw/+", |msg| print(msg.bytes.len()));"#).start();
    bench.subscribed();
    bench.publish_bytes("raw/x", &[0xff, 0xfe, 0x00], false);
    bench.publish_bytes("elsewhere", &[0xff], false);
    bench.expect_printed("raw", ["3"]);
    let problems = bench.logged().iter().filter(|line| ["error", "warn"].contains(&line.level)).count();
    assert_eq!(problems, 0, "{:#?}", bench.logged());
}
