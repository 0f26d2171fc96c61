//! Recorded effects of runs, and dry runs.

use std::sync::Arc;
use std::time::Duration;

use super::fixture::Fixture;

/// Runs a script in a dry run; returns the recorded effects and the result.
fn run_dry(fixture: &Fixture, text: &str) -> (Vec<String>, Result<(), String>) {
    let mut context = fixture.context(Duration::from_secs(20));
    Arc::get_mut(&mut context).unwrap().is_dry_run = true;
    let result = fixture.run_in(text, &context).map(drop);
    let effects = std::mem::take(&mut *fixture.run_log.effects.lock());
    (effects.into_iter().map(|effect| format!("{} {}", effect.action, effect.details)).collect(), result)
}

#[test]
fn a_dry_run_records_effects_without_executing_them() {
    let fixture = Fixture::new();
    let (effects, result) = run_dry(
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
    assert_eq!(result, Ok(()));
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
    assert_eq!(effects, expected);
    let after = fixture.run(r#"[list_files("notes").len(), mqtt_last("dry/a")]"#).unwrap();
    assert_eq!(after.to_json().to_string(), "[0,null]");
}

#[test]
fn calls_without_a_dry_result_fail_in_a_dry_run() {
    let fixture = Fixture::new();
    for call in [r#"http_post("http://example.test/post")"#, r#"exec("true", [])"#, r#"mqtt_request("dry/b", 1)"#] {
        let (effects, result) =
            run_dry(&fixture, &format!("try {{ {call} }} catch (err) {{ throw `kind ${{err.kind}}`; }}"));
        assert!(result.clone().unwrap_err().contains("kind dry"), "{call}: {result:?}");
        assert_eq!(effects.len(), 1, "{call}: {effects:?}");
    }
}

#[test]
fn failed_effects_are_recorded_with_the_reason() {
    let fixture = Fixture::new();
    fixture.run(r#"try { read_file("notes/none.txt") } catch {}"#).unwrap();
    let effects = fixture.run_log.effects.lock();
    assert_eq!((&*effects[0].action, &*effects[0].details), ("read_file", "notes/none.txt"));
    assert!(effects[0].fault.starts_with("not_found: "), "{:?}", effects[0]);
}
