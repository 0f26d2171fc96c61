//! A server that lies costs a script its time limit and nothing else.

use std::time::{Duration, Instant};

use rhaid::value::Value;

use super::fixture::{Fixture, fault};
use super::misbehaving_server::MisbehavingServer;
use crate::bench::Bench;
use crate::process::Home;

/// The most that a call here may take beyond its limit, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is asked for, and the kind of fault that must come of it.
const LIES: [(&str, &str); 44] = [
    ("too-short", "decode"),
    ("two-lengths", "connect"),
    ("length-of-words", "connect"),
    ("length-below-zero", "connect"),
    ("length-beyond-all", "connect"),
    ("broken-chunk", "decode"),
    ("huge-chunk", "decode"),
    ("endless-chunk-name", "decode"),
    ("half-a-chunk", "decode"),
    ("no-last-chunk", "decode"),
    ("endless-trailers", "decode"),
    ("endless-headers", "connect"),
    ("endless-header", "connect"),
    ("long-header", "connect"),
    ("endless-status", "connect"),
    ("half-the-headers", "connect"),
    ("headers-without-names", "connect"),
    ("wild-header", "connect"),
    ("dripping-headers", "timeout"),
    ("gzip-bomb", "body_too_large"),
    ("brotli-bomb", "body_too_large"),
    ("zstd-bomb", "body_too_large"),
    ("no-gzip", "decode"),
    ("half-a-gzip", "decode"),
    ("no-zstd", "decode"),
    ("endless", "body_too_large"),
    ("endless-without-chunks", "body_too_large"),
    ("drip", "timeout"),
    ("body-that-stops", "timeout"),
    ("silence", "timeout"),
    ("nothing", "connect"),
    ("reset", "connect"),
    ("reset-in-the-body", "decode"),
    ("garbage", "connect"),
    ("http-0.9", "connect"),
    ("wild-status", "connect"),
    ("status-below", "connect"),
    ("other-version", "connect"),
    ("continue-flood", "timeout"),
    ("hints-flood", "timeout"),
    ("to/file:%2F%2F%2Fetc%2Fpasswd", "invalid_url"),
    ("to/javascript:alert(1)", "invalid_url"),
    ("to/http:%2F%2F2852039166%2Flatest", "denied"),
    ("to/%2F%2F169.254.169.254%2Flatest", "denied"),
];

#[test]
fn every_lie_ends_with_its_kind_within_its_limit() {
    let fixture = Fixture::new();
    let server = fixture.block_on(MisbehavingServer::start());
    let mut wrong = Vec::new();
    for (path, kind) in LIES {
        let began = Instant::now();
        let call = format!("http_get(\"http://{}/{path}\", #{{ timeout: \"1s\" }});", server.address);
        let (found, message) = fault(&fixture, &call);
        if !found.starts_with(kind) || message.is_empty() || began.elapsed() > PATIENCE {
            wrong.push(format!("{path}: {found} instead of {kind} after {:?}: {message}", began.elapsed()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lies_that_can_be_borne_are() {
    let fixture = Fixture::new();
    let server = fixture.block_on(MisbehavingServer::start());
    let script = r#"
        fn ask(path) { http_get("http://LIAR/" + path, #{ timeout: "20s" }) }
        // What comes behind an answer is not the next one.
        for n in 0..5 {
            assert_eq(ask("too-long").text, "12345");
            assert_eq(ask("honest").text, "honest");
        }
        // The first half is not the whole.
        assert_eq(ask("two-halves").text, "halfHALF");
        // Packed twice is more than we asked for: it is not unpacked at all, and so no bomb.
        let r = ask("bomb-in-a-bomb");
        assert(r.ok && r.content.len() < 1000);
        assert_eq(ask("redirect-without-target").status_code, 302);
        assert_eq(ask("redirect-with-endless-body").text, "honest");
        assert_eq(ask("to/%2Fhonest").text, "honest");
        assert_eq(ask("no-text").text.len() > 0, true);
        let kind = "none";
        try { ask("deep-json").json(); } catch (err) { kind = err.kind; }
        assert_eq(kind, "decode");
    "#;
    fixture.run(&script.replace("LIAR", &server.address.to_string())).unwrap();
}

#[test]
fn a_server_sets_cookies_for_itself_alone() {
    let fixture = Fixture::new();
    let server = fixture.block_on(MisbehavingServer::start());
    let script = r#"let s = http_session(); s.get("http://LIAR/foreign-cookie"); s.get("http://LIAR/honest");"#;
    fixture.run(&script.replace("LIAR", &server.address.to_string())).unwrap();
    let told = server.told();
    assert!(told[1].starts_with("GET /honest") && !told[1].to_lowercase().contains("cookie"), "{told:?}");
}

#[test]
fn who_answers_tls_with_plain_words_is_not_trusted() {
    let fixture = Fixture::new();
    let server = fixture.block_on(MisbehavingServer::start());
    let (kind, message) =
        fault(&fixture, &format!("http_get(\"https://{}/\", #{{ timeout: \"20s\" }});", server.address));
    assert_eq!(kind, "tls", "{message}");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let (kind, message) = fault(&fixture, &format!("http_get(\"https://{address}/\", #{{ timeout: \"1s\" }});"));
    assert!(kind.starts_with("timeout"), "{kind}: {message}");
}

#[test]
fn lies_cost_little_memory() {
    let fixture = Fixture::new();
    let server = fixture.block_on(MisbehavingServer::start());
    let calls: String = LIES
        .iter()
        .map(|(path, _)| format!("try {{ http_get(\"http://{}/{path}\", limits); }} catch {{}}\n", server.address))
        .collect();
    let script = format!(
        r#"
        fn peak() {{
            let kib = read_file("/proc/self/status").split("VmHWM:")[1].split(" kB")[0];
            kib.trim();
            parse_int(kib)
        }}
        let limits = #{{ timeout: "1s", max_body: "1MiB" }};
        http_get("http://{}/honest");
        let before = peak();
        for round in 0..3 {{ {calls} }}
        print(peak() - before);"#,
        server.address
    );
    let home = Home::new(&[]);
    let yaml = "permissions: { \"*\": { read: [\"/proc/**\"] } }";
    std::fs::write(home.path().join("rhaid.yaml"), yaml).unwrap();
    std::fs::write(home.path().join("lies.rhai"), script).unwrap();
    let output = home.run(&["exec", "lies.rhai", "--timeout", "10m"]);
    let said = String::from_utf8_lossy(&output.stdout);
    let grown: u64 =
        said.trim().parse().unwrap_or_else(|_| panic!("{said} {}", String::from_utf8_lossy(&output.stderr)));
    assert!(grown < 32 << 10, "{grown} KiB");
}

#[test]
fn other_scripts_go_on_while_one_listens_to_lies() {
    let tokio = tokio::runtime::Runtime::new().unwrap();
    let server = tokio.block_on(MisbehavingServer::start());
    let call = |path: &str| format!("http_get(\"http://{}/{path}\", #{{ timeout: \"5s\" }});", server.address);
    let paths = ["endless-trailers", "drip", "silence", "continue-flood", "dripping-headers", "body-that-stops"];
    let mut setup = Bench::new().script("honest", "on_event(\"go\", || 42);");
    for path in paths {
        setup = setup.script(path, &format!("on_event(\"go\", || {{ {} }});", call(path)));
    }
    let bench = setup.start();
    let waiting: Vec<_> = paths.iter().map(|path| bench.start_fire(path, "on_event", Value::Null)).collect();
    bench.until("all to have asked", || server.told().len() >= paths.len());
    for _ in 0..20 {
        let fired = bench.fire("honest", "on_event", Value::Null);
        assert_eq!(fired.outcome, "succeeded");
    }
    for outcome in waiting {
        assert_eq!(bench.wait(outcome).unwrap().outcome, "failed");
    }
}
