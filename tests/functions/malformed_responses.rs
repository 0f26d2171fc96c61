//! Malformed and endless responses end in a fault within the time limit, with bounded memory.

use std::time::{Duration, Instant};

use rhaid::value::Value;

use super::fixture::{Fixture, fault};
use super::misbehaving_server::MisbehavingServer;
use crate::bench::Bench;
use crate::process::Home;

/// Limit for every call, generous for slow machines.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The path of each malformed response, and the expected kind of fault.
const RESPONSES: [(&str, &str); 44] = [
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
fn every_malformed_response_fails_with_its_kind_within_the_limit() {
    let fixture = Fixture::new();
    let server = fixture.block_on(MisbehavingServer::start());
    let mut wrong = Vec::new();
    for (path, kind) in RESPONSES {
        let began = Instant::now();
        let call = format!("http_get(\"http://{}/{path}\", #{{ timeout: \"1s\" }});", server.address);
        let (found, message) = fault(&fixture, &call);
        if !found.starts_with(kind) || message.is_empty() || began.elapsed() > TIMEOUT {
            wrong.push(format!("{path}: {found} instead of {kind} after {:?}: {message}", began.elapsed()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tolerable_malformed_responses_are_accepted() {
    let fixture = Fixture::new();
    let server = fixture.block_on(MisbehavingServer::start());
    let script = r#"
        fn fetch(path) { http_get("http://SERVER/" + path, #{ timeout: "20s" }) }
        // Bytes after a response are not taken for the next one.
        for n in 0..5 {
            assert_eq(fetch("too-long").text, "12345");
            assert_eq(fetch("valid").text, "valid");
        }
        // The body is complete only with its second half.
        assert_eq(fetch("two-halves").text, "halfHALF");
        // An unsupported double encoding is not decompressed at all.
        let r = fetch("bomb-in-a-bomb");
        assert(r.ok && r.content.len() < 1000);
        assert_eq(fetch("redirect-without-target").status_code, 302);
        assert_eq(fetch("redirect-with-endless-body").text, "valid");
        assert_eq(fetch("to/%2Fvalid").text, "valid");
        assert_eq(fetch("no-text").text.len() > 0, true);
        let kind = "none";
        try { fetch("deep-json").json(); } catch (err) { kind = err.kind; }
        assert_eq(kind, "decode");
    "#;
    fixture.run(&script.replace("SERVER", &server.address.to_string())).unwrap();
}

#[test]
fn a_server_sets_cookies_only_for_itself() {
    let fixture = Fixture::new();
    let server = fixture.block_on(MisbehavingServer::start());
    let script = r#"let s = http_session(); s.get("http://SERVER/foreign-cookie"); s.get("http://SERVER/valid");"#;
    fixture.run(&script.replace("SERVER", &server.address.to_string())).unwrap();
    let heads = server.heads();
    assert!(heads[1].starts_with("GET /valid") && !heads[1].to_lowercase().contains("cookie"), "{heads:?}");
}

#[test]
fn a_plain_text_response_to_a_tls_handshake_is_a_tls_error() {
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
fn malformed_responses_use_bounded_memory() {
    let fixture = Fixture::new();
    let server = fixture.block_on(MisbehavingServer::start());
    let calls: String = RESPONSES
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
        http_get("http://{}/valid");
        let before = peak();
        for round in 0..3 {{ {calls} }}
        print(peak() - before);"#,
        server.address
    );
    let home = Home::new(&[]);
    let yaml = "permissions: { \"*\": { read: [\"/proc/**\"] } }";
    std::fs::write(home.path().join("rhaid.yaml"), yaml).unwrap();
    std::fs::write(home.path().join("malformed.rhai"), script).unwrap();
    let output = home.run(&["exec", "malformed.rhai", "--timeout", "10m"]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let grown: u64 =
        stdout.trim().parse().unwrap_or_else(|_| panic!("{stdout} {}", String::from_utf8_lossy(&output.stderr)));
    assert!(grown < 32 << 10, "{grown} KiB");
}

#[test]
fn other_scripts_keep_running_during_malformed_responses() {
    let tokio = tokio::runtime::Runtime::new().unwrap();
    let server = tokio.block_on(MisbehavingServer::start());
    let call = |path: &str| format!("http_get(\"http://{}/{path}\", #{{ timeout: \"5s\" }});", server.address);
    let paths = ["endless-trailers", "drip", "silence", "continue-flood", "dripping-headers", "body-that-stops"];
    let mut setup = Bench::new().script("quick", "on_event(\"go\", || 42);");
    for path in paths {
        setup = setup.script(path, &format!("on_event(\"go\", || {{ {} }});", call(path)));
    }
    let bench = setup.start();
    let waiting: Vec<_> = paths.iter().map(|path| bench.start_fire(path, "on_event", Value::Null)).collect();
    bench.until("all requests to arrive", || server.heads().len() >= paths.len());
    for _ in 0..20 {
        let fired = bench.fire("quick", "on_event", Value::Null);
        assert_eq!(fired.outcome, "succeeded");
    }
    for outcome in waiting {
        assert_eq!(bench.wait(outcome).unwrap().outcome, "failed");
    }
}
