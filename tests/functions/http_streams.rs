//! Streamed responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::fixture::{Fixture, fault};

#[test]
fn a_slow_script_applies_backpressure_to_the_server() {
    let fixture = Fixture::new();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let server = fixture.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let line = format!("{}\n", "x".repeat(1_023));
            while stream.write_all(line.as_bytes()).await.is_ok() {
                counter.fetch_add(line.len(), Ordering::Relaxed);
            }
        });
        address
    });
    let script = format!(
        "let count = 0;
        for line in http_get(\"http://{server}/\", #{{ stream: true }}) {{
            count += 1;
            if count == 3 {{ sleep(\"500ms\"); }}
            if count == 5 {{ break; }}
        }}
        count"
    );
    assert_eq!(fixture.run(&script), Ok(5.into()));
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent < 32 << 20, "{sent} bytes were buffered");
}

#[test]
fn every_format_is_streamed() {
    let fixture = Fixture::new();
    fixture
        .run(
            r#"
            let rows = [];
            let r = http_stream("http://example.test/lines/3", #{ params: #{ a: 1 } }, |line| rows.push(line));
            assert_eq(rows, [`{"n":1}`, `{"n":2}`, `{"n":3}`]);
            assert_eq(r.status_code, 200);
            let events = [];
            http_stream("http://example.test/events", #{ format: "events" }, |event| events.push(event));
            assert_eq(events, [#{ event: "door", data: "open", id: "1" }, #{ event: "message", data: "closed", id: "2" }]);
            let size = 0;
            http_stream("http://example.test/bytes/70000", #{ format: "bytes" }, |chunk| size += chunk.len());
            assert_eq(size, 70000);
            let sizes = [];
            for chunk in http_get("http://example.test/bytes/10").iter_content(4) { sizes.push(chunk.len()); }
            assert_eq(sizes, [4, 4, 2]);
            let late = http_get("http://example.test/lines/2", #{ stream: true });
            assert_eq([late.text.len(), late.text.len()], [18, 18]);
            let here = 0;
            let whole = http_get("http://example.test/lines/2");
            for line in whole { here += parse_json(line).n; }
            assert_eq([here, whole.text.len()], [3, 18]);
            let gone = http_get("http://example.test/lines/2", #{ stream: true });
            for line in gone.lines() { break; }
            let kind = "";
            try { gone.text } catch (err) { kind = err.kind; }
            assert_eq(kind, "stream_consumed");
            let sorry = http_stream("http://example.test/status/500", |line| throw line);
            assert_eq(sorry.text, "sorry");
            "#,
        )
        .unwrap();
}

#[test]
fn errors_in_a_stream_end_it_with_a_fault() {
    let fixture = Fixture::new();
    for (call, kind, words) in [
        ("http_stream(\"http://example.test/bytes/5000\", #{ max_body: \"1KiB\" }, |line| line)", "none", ""),
        (
            "http_stream(\"http://example.test/bytes/5000000\", #{ max_body: \"1KiB\" }, |line| line)",
            "body_too_large",
            "1KiB",
        ),
        (
            "http_stream(\"http://example.test/wrong.json\", #{ format: \"json\" }, |row| row)",
            "decode",
            "line 1 column 7",
        ),
        (
            "http_stream(\"http://example.test/lines/1\", #{ format: \"xml\" }, |row| row)",
            "invalid_argument",
            "\"events\"",
        ),
        ("http_stream(\"http://example.test/lines/1\", #{ tiemout: 1 }, |row| row)", "invalid_argument", "timeout"),
        ("http_stream(\"http://example.test/slow\", #{ timeout: \"100ms\" }, |row| row)", "timeout", "100ms"),
        ("http_stream(\"http://169.254.169.254/\", |row| row)", "denied", "169.254"),
    ] {
        let (found, message) = fault(&fixture, &format!("{call};"));
        assert_eq!(found, kind, "{call}: {message}");
        assert!(message.contains(words), "{call}: {message}");
    }
    let why = fixture.run("http_stream(\"http://example.test/lines/1\", |line| line.nonsense());").unwrap_err();
    assert!(why.contains("nonsense") && why.contains("t.rhai:1:"), "{why}");
}

#[test]
fn a_stream_ends_with_its_run() {
    let fixture = Fixture::new();
    let quiet = fixture.block_on(super::server::start_raw(b"HTTP/1.1 200 OK\r\n\r\none\n", false));
    let context = fixture.context(Duration::from_millis(500));
    let why = fixture.run_in(&format!("http_stream(\"http://{quiet}/\", |line| print(line));"), &context).unwrap_err();
    assert!(why.starts_with("Deadline"), "{why}");
    assert_eq!(*fixture.run_log.lines.lock(), ["Info one"]);
    let (kind, _) = fault(
        &fixture,
        &format!("http_stream(\"http://{quiet}/\", #{{ timeout: #{{ read: \"200ms\" }} }}, |line| line);"),
    );
    assert_eq!(kind, "timeout.read");
}
