//! What a run tells of what it does, and what a dry run leaves undone.

use std::sync::Arc;
use std::time::Duration;

use super::fixture::Fixture;

/// Runs a script dry; returns what it would have done, and how it ended.
fn dry(fixture: &Fixture, text: &str) -> (Vec<String>, Result<(), String>) {
    let mut context = fixture.context(Duration::from_secs(20));
    Arc::get_mut(&mut context).unwrap().is_dry_run = true;
    let ended = fixture.run_in(text, &context).map(drop);
    let done = std::mem::take(&mut *fixture.run_log.done.lock());
    (done.into_iter().map(|effect| format!("{} {}", effect.action, effect.details)).collect(), ended)
}

#[test]
fn a_dry_run_tells_what_it_would_do_and_does_nothing() {
    let fixture = Fixture::new();
    let (done, ended) = dry(
        &fixture,
        r#"
        write_file("notes/a.txt", "ham");
        append_file("notes/a.txt", "egg");
        mqtt_publish("dry/a", #{ on: true }, #{ qos: 1, retain: true });
        sleep("10m");
        state.count = 3;
        timer_start("nag", "2026-03-01 07:30");
        timer_cancel("nag");
        emit("alarm");
        "#,
    );
    assert_eq!(ended, Ok(()));
    let expected = [
        "write_file notes/a.txt (3 bytes)",
        "append_file notes/a.txt (3 bytes)",
        r#"mqtt_publish dry/a "{\"on\":true}" (11 bytes, qos 1, retained)"#,
        "sleep 10m",
        "state count = 3",
        "timer_start nag (due 2026-03-01T07:30:00Z)",
        "timer_cancel nag",
        "emit alarm",
    ];
    assert_eq!(done, expected);
    let after = fixture.run(r#"[list_files("notes").len(), mqtt_last("dry/a")]"#).unwrap();
    assert_eq!(after.to_json().to_string(), "[0,null]");
}

#[test]
fn what_nothing_can_stand_in_for_is_a_fault_in_a_dry_run() {
    let fixture = Fixture::new();
    for call in [r#"http_post("http://example.test/post")"#, r#"exec("true", [])"#, r#"mqtt_request("dry/b", 1)"#] {
        let (done, ended) = dry(&fixture, &format!("try {{ {call} }} catch (err) {{ throw `kind ${{err.kind}}`; }}"));
        assert!(ended.clone().unwrap_err().contains("kind dry"), "{call}: {ended:?}");
        assert_eq!(done.len(), 1, "{call}: {done:?}");
    }
}

#[test]
fn what_fails_is_told_with_the_reason() {
    let fixture = Fixture::new();
    fixture.run(r#"try { read_file("notes/none.txt") } catch {}"#).unwrap();
    let done = fixture.run_log.done.lock();
    assert_eq!((&*done[0].action, &*done[0].details), ("read_file", "notes/none.txt"));
    assert!(done[0].fault.starts_with("not_found: "), "{:?}", done[0]);
}
