//! Scripts and arguments that try to exceed limits.

use super::*;
use crate::script::analyse::known;
use crate::script::engine;

/// Runs a job within small limits. Returns its result, the stop reason and the duration.
fn hostile(
    text: &'static str,
    memory: u64,
    milliseconds: u64,
) -> (Result<JobResult, String>, Option<crate::functions::Stop>, Duration) {
    let started = Instant::now();
    let script = match load_all(&[("t.rhai", text)], &Purpose::Job) {
        Ok(script) => script,
        Err(faults) => return (Err(reports(&faults)), None, started.elapsed()),
    };
    let limits = crate::config::Limits { memory, ..Config::default_in(Path::new("/nowhere")).limits };
    let (ended, stop) = std::thread::scope(|scope| {
        let run = || {
            guard::run_top_level(&limits, Instant::now() + Duration::from_millis(milliseconds), || {
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| script.run_whole(None, &[])));
                match ended {
                    Ok(ended) => {
                        ended.map_err(|error| errors::thrown(&Files(script.files.clone()), &error).to_string())
                    }
                    Err(panic) => Err(errors::panicked(&Files(Vec::new()), &*panic).to_string()),
                }
            })
        };
        std::thread::Builder::new().stack_size(MIN_STACK_SIZE).spawn_scoped(scope, run).unwrap().join().unwrap()
    });
    (ended, stop, started.elapsed())
}

#[test]
fn hostile_scripts_end_with_a_fault_and_the_process_survives() {
    let (big, deep) =
        ("let s = \"x\"; while s.len() < 30000 { s += s; } ", "let a = []; for i in 0..1200 { a = [a]; } ");
    let text = |parts: &[&str]| -> &'static str { parts.concat().leak() };
    let scripts = [
        text(&["let s = \"x\"; s.pad(64, \"\")"]),
        text(&["let s = \"x\"; s.pad(9223372036854775807, \"ab\")"]),
        text(&["let a = [1]; a.pad(9223372036854775807, [1, [2]])"]),
        text(&["let b = blob(9223372036854775807); b"]),
        text(&["let b = blob(1); b.pad(9223372036854775807, 1)"]),
        text(&[big, "for i in 0..8 { s.replace(\"x\", s) } s"]),
        text(&[big, "while true { s += s; }"]),
        text(&[big, "loop { s.split(\"\"); s.to_chars(); s += s; }"]),
        text(&["let c = (); loop { let p = c; c = || p; }"]),
        text(&["fn foo(x) { 1 } let f = Fn(\"foo\"); loop { f = f.curry(f); }"]),
        text(&[deep, "print(a); throw a"]),
        text(&[deep, "`${a}`"]),
        text(&[deep, "a.to_json()"]),
        text(&[deep, "let b = a; if a == b { throw \"equal\" }"]),
        text(&[deep, "for i in 0..20000 { a = [a]; }"]),
        text(&["let x = [1]; loop { x.push([x.pop()]); }"]),
        text(&["let l = []; l.pad(5000, 1); l.for_each(|x| { for i in 0..200000 { i } })"]),
        text(&["loop { try { [1].map(|x| { loop {} }) } catch {} }"]),
        text(&[
            "let s = \"x\"; s.pad(1000000, 'x'); let c = (); loop { let p = c; let q = s + \"\"; q += \"y\"; c = || [p, q]; }",
        ]),
        text(&["let s = \"x\"; s.pad(1000000, 'x'); let l = []; l.pad(10000, 1); l.map(|x| s + \"y\")"]),
        text(&["let l = []; l.pad(10000, 1); l.map(|x| { let m = []; m.pad(10000, 1); m })"]),
        text(&["let s = \"x\"; s.pad(10000000, 'x'); let l = []; l.pad(100000, s); `${l}`"]),
        text(&["let s = \"x\"; s.pad(10000000, 'x'); let l = []; l.pad(100000, s); print(l)"]),
        text(&["let l = []; l.pad(10000, 1); loop { let b = l; b.sort(); }"]),
        text(&[
            "let a = []; let n = 0; while n < 1000 { try { a.for_each(|| a.push(1)); a.push(1); } catch { n -= 1; } n += 1; } loop {}",
        ]),
        text(&["let m = #{}; loop { let s = \"\"; s.pad(1000000, 'x'); m.f = || [m, s]; }"]),
        text(&["fn f(x) { f(x + 1) } f(1)"]),
        text(&["fn f(x) { [x].map(|y| f(y)) } f(1)"]),
        text(&["let f = |g| g.call(g); f.call(f)"]),
        text(&["eval(\"loop {}\")"]),
        text(&["parse_json(\"[\" + \"[\".pad(100000, '[') )"]),
        text(&["let t = \"[\"; t.pad(200000, '['); parse_json(t)"]),
        text(&["sleep(100000)"]),
        text(&["sleep(1e300)"]),
    ];
    for script in scripts {
        let (ended, stop, took) = hostile(script, 64 << 20, 500);
        assert!(ended.is_err() || stop.is_some(), "{script}: {ended:?}");
        assert!(took < Duration::from_secs(30), "{script}: {took:?}");
    }
}

/// Returns extreme values of all types.
fn extremes() -> Vec<rhai::Dynamic> {
    use rhai::Dynamic;
    let mut deep = rhai::Array::new();
    for _ in 0..500 {
        deep = vec![Dynamic::from(deep)];
    }
    let list: rhai::Array = vec![1.into(), "a".into(), Dynamic::from(vec![Dynamic::from(2_i64)])];
    let map: rhai::Map = [("a".into(), Dynamic::ONE), ("".into(), Dynamic::UNIT)].into_iter().collect();
    let mut values: Vec<Dynamic> = [0, 1, -1, 64, i64::MAX, i64::MIN].map(Dynamic::from).to_vec();
    values.extend([0.0, -0.5, f64::NAN, f64::INFINITY, 1e300].map(Dynamic::from));
    values.extend(["", "x", "1s", "\u{1F600}\u{301}"].map(Dynamic::from));
    values.extend([Dynamic::from("x".repeat(100_000)), Dynamic::from('c'), Dynamic::TRUE, Dynamic::UNIT]);
    values.extend([Dynamic::from_blob(Vec::new()), Dynamic::from_blob(vec![255; 100_000])]);
    values.extend([rhai::Array::new(), list, vec![Dynamic::ONE; 5_000], deep].map(Dynamic::from));
    values.extend([Dynamic::from(rhai::Map::new()), Dynamic::from(map)]);
    values.extend([Dynamic::from(0..i64::MAX), Dynamic::from(i64::MIN..=i64::MAX), Dynamic::from(5_i64..=5)]);
    values.push(rhai::FnPtr::new("abs").unwrap().into());
    values
}

#[test]
fn every_function_survives_extreme_arguments() {
    let mut limits = Config::default_in(Path::new("/nowhere")).limits;
    limits.memory = 64 << 20;
    let fuzz = move || {
        let engine = engine::new(&limits);
        let global = engine.new_global_runtime_state();
        let values = extremes();
        let (mut calls, mut seed) = (0_u32, 1_usize);
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for (name, count) in known::calls() {
            let tries = if count <= 1 { values.len() } else { 120 };
            for attempt in 0..tries {
                let pick = |index: usize| if count <= 1 { attempt } else { index };
                let mut args: Vec<_> = (0..count).map(|_| values[pick(random(values.len()))].clone()).collect();
                let written = format!("{name}({args:.60?})");
                let started = Instant::now();
                let (ended, _) = guard::run_top_level(&limits, Instant::now() + Duration::from_millis(300), || {
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        let context = rhai::NativeCallContext::new_with_all_fields(
                            &engine,
                            name,
                            None,
                            &global,
                            rhai::Position::NONE,
                        );
                        let mut args: Vec<_> = args.iter_mut().collect();
                        let _ = context.call_native_fn_raw(name, true, &mut args);
                    }))
                });
                calls += 1;
                assert!(started.elapsed() < Duration::from_secs(10), "{written:.300} took {:?}", started.elapsed());
                if ended.is_err() {
                    println!("caught a panic in {written:.300}");
                }
            }
        }
        calls
    };
    let calls = std::thread::Builder::new().stack_size(MIN_STACK_SIZE).spawn(fuzz).unwrap().join().unwrap();
    assert!(calls > 10_000, "{calls}");
}
