//! Limits, permissions and isolation of functions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rhaid::functions::{Loading, Phase, RunUsage, enter, module};
use rhaid::value::Value;

use super::fixture::Fixture;

#[test]
fn calls_at_the_top_level_fail_with_a_suggestion() {
    let fixture = Fixture::new();
    let mut engine = rhai::Engine::new();
    engine.register_global_module(module());
    #[expect(deprecated, reason = "rhai marks this API as unstable, not as obsolete")]
    engine.on_parse_token(|token, _, _| rhaid::functions::state::token(token));
    let loading = || Loading { script: "t".into(), config: fixture.config.clone(), usage: RunUsage::default() };
    for call in
        ["now()", "http_get(`http://x`)", "mqtt_publish(`a`, 1)", "sleep(1)", "timer_start(`a`, 1)", "emit(`a`)"]
    {
        let phase = Phase::Loading(Arc::new(loading()));
        let error = enter(phase, || engine.eval::<rhai::Dynamic>(call)).unwrap_err().to_string();
        let name = call.split_once('(').unwrap().0;
        assert!(error.contains(&format!("on_start(|| {name}(…))")), "{error}");
    }
    let phase = Phase::Loading(Arc::new(loading()));
    let error = enter(phase, || engine.eval::<rhai::Dynamic>("shared(`a`).x")).unwrap_err().to_string();
    assert!(error.contains("on_start"), "{error}");
    let phase = Phase::Loading(Arc::new(loading()));
    assert!(enter(phase, || engine.eval::<bool>("datetime(`2026-12-24T18:00:00Z`).hour == 18")).unwrap());
    let phase = Phase::Loading(Arc::new(loading()));
    assert_eq!(enter(phase, || engine.eval::<String>("secret(`ntfy_token`)")).unwrap(), "s3cret-value");
}

#[test]
fn state_changes_are_visible_to_the_run_at_once_and_to_others_after_the_commit() {
    let fixture = Fixture::new();
    let context = fixture.context(Duration::from_secs(60));
    fixture
        .run_in(
            r#"
            state.rooms = #{ bath: [1] };
            state.rooms.bath.push(2);
            state["rooms"].attic = "cold";
            state.count = 1;
            state.count += 1;
            state.add("rings", 2);
            state.add("rings", 0.5);
            state.gone = 1;
            state.remove("gone");
            assert_eq(state.rooms, #{ bath: [1, 2], attic: "cold" });
            assert_eq(state.keys(), ["count", "rings", "rooms"]);
            fn deep() { state.count }
            assert_eq(deep(), 2);
            "#,
            &context,
        )
        .unwrap();
    assert_eq!(fixture.run("state.len()"), Ok(Value::Int(0)));
    fixture.commit(&context);
    assert_eq!(
        fixture.run("[state.count, state.rings, state.rooms.bath.len()]"),
        Ok(Value::List(vec![2.into(), Value::Float(2.5), 2.into()]))
    );
    let context = fixture.context(Duration::from_secs(60));
    fixture.run_in("state.rooms.bath.len(); state.rooms.attic; let x = state.rooms; x.bath = 1;", &context).unwrap();
    assert_eq!(context.batch.lock().values.len(), 0, "reads change nothing");
}

#[test]
fn values_that_are_not_data_are_refused_with_the_key() {
    let fixture = Fixture::new();
    let why = fixture.run("state.handler = || 1;").unwrap_err();
    assert!(why.contains(r#"state["handler"]"#) && why.contains("is not data"), "{why}");
    let why = fixture.run("if http_session() {}").unwrap_err();
    assert!(why.contains("expected bool, found Session"), "{why}");
    let why = fixture.run("let deep = 1; for i in 0..200 { deep = [deep]; } state.deep = deep;").unwrap_err();
    assert!(why.contains(r#"state["deep"]"#) && why.contains("128 levels"), "{why}");
}

#[test]
fn timers_and_events_are_buffered_until_the_commit() {
    let fixture = Fixture::new();
    let context = fixture.context(Duration::from_secs(60));
    fixture
        .run_in(
            r#"
            timer_start("nag", "15m", #{ id: "freezer" });
            timer_start("nag", "20m");
            timer_start("bins", "2199-03-01 07:30");
            timer_start("gone", 1);
            assert(timer_cancel("gone"));
            assert(timer_left("nag") > 1199.0 && timer_left("gone") == ());
            emit("alarm", [1]);
            "#,
            &context,
        )
        .unwrap();
    let batch = context.batch.lock();
    let set: Vec<_> = batch.timers_set.iter().map(|timer| timer.name.as_str()).collect();
    assert_eq!(set, ["nag", "bins"]);
    assert_eq!(batch.timers_set[0].data, Value::Null);
    assert_eq!(batch.timers_set[1].due.to_string(), "2199-03-01T07:30:00Z");
    assert_eq!((batch.emitted[0].name.as_str(), batch.emitted[0].hops), ("alarm", 1));
    let why = fixture.run("timer_start(\"a\", \"soon\")").unwrap_err();
    assert!(why.contains("\"soon\" is not a duration") && why.contains("or a datetime"), "{why}");
}

#[test]
fn excessive_log_output_is_cut_with_a_note() {
    let fixture = Fixture::with("limits: { log: 1KiB }");
    fixture.run("for i in 0..1000 { print(\"0123456789\"); info(i); }").unwrap();
    let lines = fixture.run_log.lines.lock();
    assert!(lines.len() < 300, "{}", lines.len());
    assert!(lines.last().unwrap().contains("limits.log"), "{:?}", lines.last());
    assert_eq!(lines[0], "Info 0123456789");
}

#[test]
fn levels_and_fields_reach_the_run_log() {
    let fixture = Fixture::new();
    fixture
        .run("warn(\"hot\", #{ room: \"bath\", at: [1] }); debug(\"x\"); error(#{ a: 1 }); print(\"a\", #{ b: 2 });")
        .unwrap();
    let lines = fixture.run_log.lines.lock();
    assert_eq!(*lines, [r#"Warn hot{"at":[1],"room":"bath"}"#, "Debug \"x\"", r#"Error {"a":1}"#, "Info a b=2"]);
}

#[test]
fn arrays_and_maps_are_printed_with_their_values() {
    let fixture = Fixture::new();
    fixture
        .run("let list = [1, \"a\", #{ b: datetime(\"2026-03-01T07:30:00Z\") }]; print(list); debug(list);")
        .unwrap();
    fixture.run("print(#{ a: [] }); print(`${[datetime(\"2026-03-01T07:30:00Z\")]}`)").unwrap();
    let lines = fixture.run_log.lines.lock();
    let list = "[1, \"a\", #{\"b\": 2026-03-01T07:30:00+00:00}]";
    let expected = [format!("Info {list}"), format!("Debug {list}")];
    assert_eq!(lines[..2], expected);
    assert_eq!(lines[2..], ["Info #{\"a\": []}", "Info [2026-03-01T07:30:00+00:00]"]);
}

#[test]
fn files_programs_variables_and_secrets_need_permission() {
    let fixture = Fixture::with("secrets: { key: hidden-value }\npermissions: { \"*\": { read: [\"./notes/**\"] } }");
    for (call, line) in [
        ("secret(\"key\")", "secrets"),
        ("env(\"HOME\")", "env"),
        ("exec(\"true\", [])", "exec"),
        ("write_file(\"notes/a\", 1)", "write"),
        ("append_file(\"notes/a\", 1)", "write"),
        ("read_file(\"rhaid.yaml\")", "read"),
        ("read_file(\"notes/../rhaid.yaml\")", "read"),
        ("read_file(\"/etc/passwd\")", "read"),
        ("#{ kind: \"modified\", path: \"/etc/passwd\" }.text()", "read"),
        ("list_files(\"/\")", "read"),
    ] {
        let (kind, hint) = refusal(&fixture, call);
        assert_eq!(kind, "denied", "{call}");
        assert!(hint.contains(line), "{call}: {hint}");
    }
    let report = fixture.run("secret(\"key\")").unwrap_err();
    assert!(
        report.contains("help: ") && report.contains("secrets"),
        "an uncaught refusal names the line to add: {report}"
    );
    let notes = fixture.config.scripts.parent().unwrap().join("notes");
    std::os::unix::fs::symlink("/etc/passwd", notes.join("link")).unwrap();
    assert_eq!(refusal(&fixture, "read_file(\"notes/link\")").0, "denied");
    std::fs::write(notes.join("a.txt"), "milk").unwrap();
    assert_eq!(fixture.run("#{ kind: \"modified\", path: \"notes/a.txt\" }.text()"), Ok("milk".into()));
}

fn refusal(fixture: &Fixture, call: &str) -> (String, String) {
    let script = format!(
        "let found = [`none`, ``]; try {{ {call}; }} catch (err) {{ found = [err.kind, err.hint ?? err.message]; }} found"
    );
    let Ok(Value::List(both)) = fixture.run(&script) else { panic!("{:?}", fixture.run(&script)) };
    (both[0].as_text().unwrap().to_owned(), both[1].as_text().unwrap().to_owned())
}

#[test]
fn pipes_and_devices_are_not_read() {
    let fixture = Fixture::with("permissions: { \"*\": { read: [\"/dev/**\"] } }");
    assert_eq!(refusal(&fixture, "read_file(\"/dev/zero\")"), ("io".into(), "/dev/zero is not a regular file".into()));
}

#[test]
fn a_child_process_ends_at_its_timeout_and_with_its_run() {
    let fixture = Fixture::new();
    let started = Instant::now();
    let (kind, _) = refusal(&fixture, "exec(\"sh\", [\"-c\", \"sleep 600 & sleep 600\"], #{ timeout: \"200ms\" })");
    assert_eq!(kind, "timeout");
    let context = fixture.context(Duration::from_secs(1));
    let why = fixture.run_in("exec(\"sleep\", [\"600\"])", &context).unwrap_err();
    assert!(why.starts_with("Deadline"), "{why}");
    let found = fixture.run("let d = exec(\"sh\", [\"-c\", \"head -c 3000000 /dev/zero; sleep 600 & exit 3\"]); [d.code, d.stdout.len(), d.truncated]");
    assert_eq!(found, Ok(Value::List(vec![3.into(), (1 << 20).into(), true.into()])));
    assert_eq!(fixture.run("exec(\"cat\", [], #{ stdin: \"ä\" }).stdout"), Ok("ä".into()));
    assert_eq!(fixture.run("exec(\"env\", [], #{ env: #{ A: 1 } }).stdout.contains(\"A=1\")"), Ok(true.into()));
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_sleep_ends_with_the_run() {
    let fixture = Fixture::new();
    let started = Instant::now();
    let context = fixture.context(Duration::from_millis(300));
    let why = fixture.run_in("try { sleep(\"1h\"); } catch {} loop {}", &context).unwrap_err();
    assert!(why.starts_with("Deadline"), "{why}");
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(fixture.run("sleep(-1)").unwrap_err().contains("0 to 100 years"));
    assert!(fixture.run("sleep(1e300)").is_err());
}

#[test]
fn sunrise_needs_a_location() {
    let fixture = Fixture::with("location: { latitude: 59.91, longitude: 10.75 }");
    let rise = fixture.run("sunrise(\"2026-06-21\").in_timezone(\"Europe/Oslo\").format(\"%H:%M\")").unwrap();
    assert!(["03:53", "03:54", "03:55"].contains(&rise.as_text().unwrap()), "{rise:?}");
    let (kind, message) = refusal(&Fixture::with(""), "sunrise()");
    assert_eq!((kind.as_str(), message.contains("location:")), ("no_location", true));
}
