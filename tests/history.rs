//! Run history from the command line: `runs`, `run-info`, `replay`, and the reasons of skipped events.

use jiff::Timestamp;
use rhaid::services::store::{PayloadFidelity, RunListEntry, RunQuery, RunRecord, Store};
use rhaid::value::Value;
use serde_json::Value as Json;

use crate::bench::{Bench, hours, minutes, seconds};
use crate::program::Program;

const BUSY: &str = r#"
on_event("work", |event| {
    state.count = 3;
    mqtt_publish("house/lamp", "on");
    timer_start("nag", "1h");
    emit("done");
    info("worked", #{ token: secret("door") });
    if event.data.fail { throw "on purpose"; }
    "well"
});
"#;

fn history(program: &Program, arguments: &[&str]) -> Json {
    let arguments: Vec<_> = arguments.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&program.run(&arguments)).unwrap()
}

#[test]
fn run_info_shows_the_event_the_effects_and_the_outcome() {
    let mut program = Program::empty();
    program.write("rhaid.yaml", "secrets: { door: open-sesame }\npermissions: { \"*\": { secrets: [\"*\"] } }\n");
    program.write("scripts/busy.rhai", BUSY);
    program.start();
    assert_eq!(program.rhaid(&["fire", "busy", "--data", r#"{"data": {"fail": true}}"#]).status.code(), Some(1));
    program.run(&["fire", "busy", "--data", r#"{"data": {"fail": false, "words": "open-sesame"}}"#]);

    let failed = history(&program, &["runs", "busy", "--failed", "--trigger", "on_event work", "--since", "1h"]);
    assert_eq!(failed.as_array().map(Vec::len), Some(1));
    let id = failed[0]["id"].as_str().unwrap();
    let text = program.run(&["run-info", &id[id.len() - 4..]]);
    for words in ["busy v1", "fired manually", "state         count = 3", "rolled back", "on purpose", "\"fail\": true"]
    {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }

    program.stop();
    let all = history(&program, &["runs", "busy", "--trigger", "on_event work"]);
    let well = all.as_array().unwrap().iter().find(|run| run["outcome"] == "succeeded").unwrap();
    let info = history(&program, &["run-info", well["id"].as_str().unwrap()]);
    assert_eq!((&info["kept"], &info["payload"]["data"]["words"]), (&"masked".into(), &"***".into()));
    let did = |key: &str| info["effects"].as_array().unwrap().iter().map(|e| e[key].clone()).collect::<Vec<_>>();
    assert_eq!(did("what"), ["state", "mqtt_publish", "timer_start", "emit", "info"]);
    assert_eq!(did("with")[0], "count = 3");
    assert_eq!(did("with")[1], "house/lamp \"on\" (2 bytes)");
    assert_eq!(did("with")[4], "worked token=\"***\"");
    assert!(did("after_us").iter().map(|after| after.as_u64().unwrap()).is_sorted());
    assert!(history(&program, &["runs", "--skipped"]).as_array().unwrap().is_empty());
    assert_eq!(program.rhaid(&["run-info", "zzzz"]).status.code(), Some(1));
}

const DOOR: &str = r#"
on_event("door", |event| {
    state.add("times", 1);
    mqtt_publish("house/bell", event.data.who);
    if event.data.who == "thief" { throw "alarm"; }
    [state.times, event.name]
});
"#;

#[test]
fn an_event_is_replayed_live_or_dry_or_with_an_edited_script() {
    let mut program = Program::empty();
    program.write("scripts/door.rhai", DOOR);
    program.start();
    program.run(&["fire", "door", "--data", r#"{"data": {"who": "ann"}}"#]);
    let first =
        history(&program, &["runs", "door", "--trigger", "on_event door"])[0]["id"].as_str().unwrap().to_owned();

    let again = history(&program, &["replay", &first]);
    assert_eq!((&again["outcome"], &again["value"]), (&"succeeded".into(), &serde_json::json!([2, "door"])));
    let second = history(&program, &["run-info", again["run"].as_str().unwrap()]);
    assert_eq!(second["event"], "fired manually (replayed)");
    assert_eq!(second["payload"], history(&program, &["run-info", &first])["payload"]);

    let dry = history(&program, &["replay", &first, "--dry"]);
    assert_eq!((&dry["outcome"], &dry["value"]), (&"succeeded".into(), &serde_json::json!([3, "door"])));
    let did: Vec<_> = dry["effects"].as_array().unwrap().iter().map(|effect| effect["with"].clone()).collect();
    assert_eq!(did, ["times + 1", "house/bell \"ann\" (3 bytes)"]);

    program.write("edited.rhai", &DOOR.replace("\"thief\"", "\"ann\""));
    let edited = program.rhaid(&["replay", &first, "--script", "edited.rhai"]);
    let text = String::from_utf8(edited.stdout).unwrap();
    assert_eq!(edited.status.code(), Some(1), "{text}");
    assert!(text.contains("planned effects") && text.contains("failed: door.rhai:5:34: alarm"), "{text}");
    program.write("edited.rhai", "on_event(\"door\", ");
    assert_eq!(program.rhaid(&["replay", &first, "--script", "edited.rhai"]).status.code(), Some(1));
    program.write("edited.rhai", "on_event(\"window\", || 1);");
    assert_eq!(program.rhaid(&["replay", &first, "--script", "edited.rhai"]).status.code(), Some(2));

    program.stop();
    assert_eq!(history(&program, &["runs", "door", "--trigger", "on_event door"]).as_array().map(Vec::len), Some(2));
    assert_eq!(history(&program, &["replay", &first, "--dry"])["value"], serde_json::json!([3, "door"]));
    assert_eq!(program.rhaid(&["replay", &first]).status.code(), Some(3));
}

#[test]
fn a_skipped_event_is_in_the_run_history_with_the_reason() {
    let script = r#"
        cron("0 * * * *", #{ missed: "once", name: "hourly" }, || ());
        cron("30 * * * *", #{ name: "skips" }, |tick| print(`${tick.missed} missed`));
        every("7m", #{ name: "beat" }, || ());
        mqtt_subscribe("door", #{ changed: true, name: "door" }, || ());
    "#;
    let mut bench = Bench::new().with_broker().script("a", script).start();
    let reasons = |bench: &Bench, trigger: &str| {
        let rows = bench.runs("a").into_iter().filter(|row| row.trigger == trigger);
        rows.filter_map(|row| Some((row.event, row.why?))).collect::<Vec<_>>()
    };
    bench.subscribed().publish("door", "open").publish("door", "open").publish("door", "shut");
    bench.until("the third message", || bench.runs("a").iter().filter(|row| row.trigger == "door").count() == 3);
    assert_eq!(reasons(&bench, "door"), [("mqtt_subscribe door".to_owned(), "unchanged".to_owned())]);

    bench.advance(hours(1));
    bench.stop();
    bench.advance(hours(5));
    bench.restart();
    bench.advance(seconds(1));
    let missed = (
        "cron 0 * * * * (4 times)".to_owned(),
        "missed: rhaid was not running, the script was disabled, or the machine was suspended".to_owned(),
    );
    bench.until_equal(|| reasons(&bench, "hourly"), vec![missed.clone()]);
    // Missed ticks without a catch-up run are recorded too, and passed to the next tick; an interval starts anew.
    let skipped = ("cron 30 * * * * (5 times)".to_owned(), missed.1);
    assert_eq!(reasons(&bench, "skips"), [skipped]);
    assert_eq!(reasons(&bench, "beat"), []);
    bench.advance(hours(1));
    assert_eq!(bench.printed("a"), ["5 missed"]);
}

#[test]
fn a_trigger_that_cannot_keep_its_schedule_is_reported_once_and_marked_in_the_list() {
    let script = r#"every("1m", #{ name: "slow" }, || sleep("150s"));"#;
    let bench = Bench::new().script("a", script).start();
    let times = || bench.listed("a").triggers.into_iter().find(|trigger| trigger.name == "slow").unwrap().times;
    bench.advance(minutes(5));
    assert_eq!(times().unwrap().warning, None);
    bench.advance(hours(1));
    let bad = times().unwrap();
    assert!(bad.warning.as_ref().unwrap().starts_with("ran 10 of the last "), "{bad:?}");
    assert!(bad.expected >= 55 && bad.ran < bad.expected / 2, "{bad:?}");
    let overrun = bench.runs("a").into_iter().find(|row| row.outcome == "skipped").unwrap();
    assert_eq!(overrun.why.as_deref(), Some("missed: the last run was still in progress"));
}

const MANY: &str = r#"
mqtt_subscribe("quick", #{ name: "quick" }, |message| mqtt_publish("out", message.payload));
mqtt_subscribe("other", #{ name: "other" }, || print("a line at info"));
mqtt_subscribe("changes", #{ name: "changes" }, || state.add("n", 1));
mqtt_subscribe("warns", #{ name: "warns" }, || warn("careful"));
mqtt_subscribe("fails", #{ name: "fails" }, || throw "no");
mqtt_subscribe("skips", #{ name: "skips", rate: "1/1m" }, || ());
"#;

/// Number of messages to each trigger of `MANY`.
const MESSAGES: usize = 60;

/// Returns the number of recorded and of omitted runs of a trigger.
fn counts(bench: &Bench, trigger: &str) -> (usize, u64) {
    let query = RunQuery { trigger: Some(trigger.into()), limit: 10_000, ..RunQuery::default() };
    let entries = bench.services().store.history(&query).unwrap();
    entries.into_iter().fold((0, 0), |(recorded, omitted), entry| match entry {
        RunListEntry::Run(_) => (recorded + 1, omitted),
        RunListEntry::Omitted(counted) => (recorded, omitted + counted.count),
    })
}

fn publish(bench: &Bench, topic: &str) {
    for number in 0..MESSAGES {
        bench.publish(topic, &number.to_string());
    }
}

fn publish_many(bench: &Bench) {
    for topic in ["quick", "other", "changes", "warns", "fails", "skips"] {
        publish(bench, topic);
    }
}

#[test]
fn quick_successes_beyond_the_sample_of_a_second_are_counted_and_all_other_runs_are_recorded() {
    let bench = Bench::new().with_broker().script("a", MANY).start();
    bench.subscribed();
    publish_many(&bench);
    for trigger in ["changes", "warns", "fails", "skips"] {
        bench.until_equal(|| counts(&bench, trigger), (MESSAGES, 0));
    }
    for trigger in ["quick", "other"] {
        bench.until_equal(|| counts(&bench, trigger), (50, MESSAGES as u64 - 50));
    }
    // The clock stands still: what a user fires is recorded also in a second whose sample is full.
    bench.fire("a", "quick", Value::Null);
    bench.until_equal(|| counts(&bench, "quick"), (51, MESSAGES as u64 - 50));
    bench.advance(seconds(1));
    bench.publish("quick", "again");
    bench.until_equal(|| counts(&bench, "quick"), (52, MESSAGES as u64 - 50));
}

#[test]
fn every_run_is_recorded_if_the_settings_say_so() {
    let bench = Bench::new().config("history: { success: all }").with_broker().script("a", MANY).start();
    bench.subscribed();
    publish_many(&bench);
    for trigger in ["quick", "other", "changes"] {
        bench.until_equal(|| counts(&bench, trigger), (MESSAGES, 0));
    }
    bench.apply("history: { success: sample }").unwrap();
    publish(&bench, "quick");
    bench.until_equal(|| counts(&bench, "quick"), (MESSAGES + 50, MESSAGES as u64 - 50));
}

#[test]
fn the_list_of_runs_shows_the_number_of_omitted_ones_in_their_place() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let record = |id: &str, ended: Timestamp| RunRecord {
        id: id.into(),
        script: "busy".into(),
        version: 1,
        trigger: "work".into(),
        event: "mqtt_subscribe work".into(),
        payload: Value::Null,
        fidelity: PayloadFidelity::Whole,
        attempt: 0,
        queued: ended,
        started: Some(ended),
        ended,
        outcome: "succeeded".into(),
        why: None,
        effects: Vec::new(),
    };
    let program = Program::empty();
    let store = Store::open(&program.path(".rhaid")).unwrap();
    store.record(record("1hq3xyz000001", at("2026-01-15T10:00:01.2Z")));
    let (script, trigger) = ("busy".into(), "work".into());
    let kept = (0..1_550).filter(|_| !store.omit(&script, &trigger, at("2026-01-15T10:00:01.5Z"))).count();
    assert_eq!(kept, 50);
    store.record(record("1hq3xyz000002", at("2026-01-15T10:00:02.1Z")));
    drop(store);

    let runs = history(&program, &["runs"]);
    assert_eq!((&runs[0]["id"], &runs[2]["id"]), (&"1hq3xyz000002".into(), &"1hq3xyz000001".into()));
    let omitted = serde_json::json!({
        "omitted": 1_500, "script": "busy", "trigger": "work", "from": "2026-01-15T10:00:01Z", "until": "2026-01-15T10:00:02Z"
    });
    assert_eq!((&runs[1], runs.as_array().map(Vec::len)), (&omitted, Some(3)));
    let line =
        "… 1,500 more quick successes of busy: work between 01-15 10:00:01 and 10:00:02 (history.success: sample)";
    assert!(program.run(&["runs", "busy"]).lines().nth(2) == Some(line), "{}", program.run(&["runs", "busy"]));
    assert!(!program.run(&["runs", "-n", "1"]).contains("more quick"), "it is older than the last run listed");
    assert!(history(&program, &["runs", "--failed"]).as_array().unwrap().is_empty());
}
