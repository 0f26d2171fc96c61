//! HTTP calls from scripts.

use std::time::Duration;

use super::fixture::{Fixture, fault};

#[test]
fn responses_have_the_fields_of_python_requests() {
    let fixture = Fixture::new();
    fixture
        .run(
            r#"
            let r = http_get("http://ann:p%40ss@example.test/get?z=1", #{ params: [["z", 2], ["a", "中 文"]], headers: #{ "X-A": 1 } });
            assert_eq(r.json().query, "z=1&z=2&a=%E4%B8%AD+%E6%96%87");
            assert_eq(r.json().headers["x-a"], "1");
            assert_eq(r.json().headers.authorization, "Basic " + base64_encode("ann:p@ss"));
            assert_eq(r.url, "http://example.test/get?z=1&z=2&a=%E4%B8%AD+%E6%96%87");
            assert(r.json().headers["user-agent"].starts_with("rhaid/"));
            assert_eq(r.reason, "OK");
            assert(r.elapsed > 0.0 && r.ok && !r.is_redirect);
            assert_eq(`${r}`, "<Response [200]>");
            assert_eq(r.headers.content_type ?? "none", "none");
            let wrong = http_get("http://example.test/gbk");
            wrong.encoding = "gbk";
            assert_eq(wrong.text, "温度");
            assert_eq(wrong.content.len(), 4);
            let r = http_get("http://example.test/redirect/3");
            assert_eq(r.history.map(|hop| hop.cookies.keys()[0]), ["hop3", "hop2", "hop1"]);
            assert_eq(r.json().headers.cookie.split("; ").len(), 3);
            assert_eq(r.cookies, #{});
            assert_eq(http_get("http://example.test/get", #{ cookies: #{ a: "b" } }).json().headers.cookie, "a=b");
            assert_eq(http_get("http://example.test/redirect/3", #{ allow_redirects: false }).status_code, 302);
            assert_eq(http_post("http://example.test/redirect/1", #{ data: "x" }).json().method, "GET");
            assert_eq(http_post("http://example.test/to?url=/kept", #{ data: "x" }).json().body, "x");
            "#,
        )
        .unwrap();
    let effects = fixture.run_log.effects.lock();
    let first = &effects[0];
    assert_eq!(first.action, "http_get");
    assert_eq!(first.details, format!("GET http://{}/get", fixture.server));
    assert_eq!(first.result, "200");
    assert!(!first.took.is_zero());
}

#[test]
fn a_page_without_an_encoding_is_decoded_by_detection_or_by_the_set_encoding() {
    let fixture = Fixture::new();
    fixture
        .run(
            r#"
            let r = http_get("http://example.test/gbk/page");
            assert(!r.headers["content-type"].contains("charset"));
            assert_eq([r.encoding, r.text], ["gbk", "<html><p>温度太高了，请检查冰箱的门是否关好</p></html>"]);
            r.encoding = "utf-8";
            assert(r.text.contains("�") && !r.text.contains("温度"));
            r.encoding = "GBK";
            assert(r.text.contains("温度太高了"));
            let kind = "none";
            try { r.encoding = "klingon"; } catch (err) { kind = err.kind; }
            assert_eq([kind, r.text.contains("温度太高了")], ["invalid_argument", true]);
            "#,
        )
        .unwrap();
}

#[test]
fn credentials_are_not_sent_to_another_host_on_redirects() {
    let fixture = Fixture::new();
    let other = format!("http://localhost:{}/x", fixture.server.port());
    let call = format!(
        r#"let r = http_get("http://example.test/to?url={other}", #{{ auth: ["ann", "pass"], headers: #{{ "Cookie": "a=b" }} }});
        assert_eq(r.json().path, "/x");
        assert_eq(r.json().headers.authorization, ());
        assert_eq(r.json().headers.cookie, ());
        let same = http_get("http://example.test/to?url=/x", #{{ auth: ["ann", "pass"] }});
        assert(same.json().headers.authorization != ());"#
    );
    fixture.run(&call).unwrap();
}

#[test]
fn every_error_has_its_kind() {
    let fixture = Fixture::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = format!("http_get(\"http://{free}/\")");
    for (call, kind, words) in [
        (refused.as_str(), "connect", "refused"),
        ("http_get(\"http://no-such-host.invalid/\")", "connect", "no-such-host.invalid"),
        ("http_get(\"https://example.test/\")", "tls", "does not use TLS: did you mean http://?"),
        ("http_get(\"example.test/get\")", "invalid_url", "http://"),
        ("http_get(\"\")", "invalid_url", ""),
        ("http_get(\"file:///etc/passwd\")", "invalid_url", "file"),
        ("http_get(\"http://example.test/to?url=ftp://x/\")", "invalid_url", "ftp"),
        ("http_get(\"http://example.test/circle\")", "too_many_redirects", "30"),
        ("http_get(\"http://example.test/redirect/3\", #{ allow_redirects: 2 })", "too_many_redirects", "2"),
        ("http_get(\"http://example.test/slow\", #{ timeout: \"100ms\" })", "timeout", "100ms"),
        ("http_get(\"http://example.test/bytes/1025\", #{ max_body: \"1KiB\" })", "body_too_large", "1KiB"),
        ("http_get(\"http://example.test/bomb\")", "body_too_large", "10MiB"),
        ("http_get(\"http://example.test/wrong.json\").json()", "decode", "line 1 column 7"),
        ("http_head(\"http://example.test/get\").json()", "decode", "the body is empty"),
        ("http_get(\"http://example.test/get\", #{ save_to: \"notes/x\" }).json()", "decode", "read_file(r.saved_to)"),
        ("http_get(\"http://example.test/status/503\").raise_for_status()", "status", "503 Service Unavailable"),
        ("http_get(\"http://example.test/\", #{ tiemout: 5 })", "invalid_argument", "did you mean `timeout`?"),
        (
            "http_get(\"http://example.test/\", #{ hooks: #{ response: |r| r } })",
            "invalid_argument",
            "unknown option `hooks`",
        ),
        ("http_get(\"http://example.test/\", #{ auth: |r| r })", "invalid_argument", "auth: a function is not data"),
        ("http_get(\"http://example.test/\", #{ headers: #{ \"a b\": \"c\" } })", "invalid_argument", "a b"),
        ("http_get(\"http://example.test/\", #{ json: 1, data: \"x\" })", "invalid_argument", "exclude each other"),
        ("http_get(\"http://169.254.169.254/latest\")", "denied", "169.254.169.254"),
        ("http_get(\"http://example.test/to?url=http://169.254.169.254/\")", "denied", "169.254.169.254"),
        ("http_get(\"http://[::ffff:169.254.169.254]/\")", "denied", "169.254.169.254"),
        ("http_session(#{ base_ulr: \"x\" })", "invalid_argument", "base_ulr"),
    ] {
        let (found, message) = fault(&fixture, &format!("{call};"));
        assert_eq!(found, kind, "{call}: {message}");
        assert!(message.contains(words), "{call}: {message}");
    }
}

#[test]
fn an_uncaught_bad_status_is_reported_with_its_reason() {
    let fixture = Fixture::new();
    let why = fixture.run("http_get(\"http://example.test/status/404\").raise_for_status();").unwrap_err();
    assert!(why.contains("404 Not Found from http://"), "{why}");
}

#[test]
fn permissions_apply_to_names_addresses_and_redirects() {
    let fixture = Fixture::with("permissions: { \"*\": { http: [\"public\"] } }");
    for call in [
        "http_get(\"http://example.test/get\")",
        "http_get(\"http://2130706433/\")",
        "http_get(\"http://localhost:1/\")",
        "http_get(\"http://[::1]:1/\")",
    ] {
        let (kind, message) = fault(&fixture, &format!("{call};"));
        assert_eq!(kind, "denied", "{call}: {message}");
    }
    let fixture = Fixture::with("permissions: { \"*\": { http: [\"127.0.0.1\"] } }");
    let other = format!("http://localhost:{}/x", fixture.server.port());
    fixture.run("http_get(\"http://example.test/get\").raise_for_status();").unwrap();
    assert_eq!(fault(&fixture, &format!("http_get(\"http://example.test/to?url={other}\");")).0, "denied");
}

#[test]
fn cancelling_a_run_ends_its_wait_for_a_response() {
    let fixture = Fixture::new();
    // Without the cancellation the call would end at its own timeout, and the loop at the run's deadline.
    let context = fixture.context(Duration::from_secs(60));
    let cancel = context.cancel.clone();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let script = format!("try {{ http_get(\"http://{}/\"); }} catch {{}} loop {{}}", silent.local_addr().unwrap());
    let cancelled = std::thread::spawn(move || {
        let connection = silent.accept().unwrap();
        cancel.cancel();
        connection
    });
    let why = fixture.run_in(&script, &context).unwrap_err();
    assert!(why.starts_with("Cancelled"), "{why}");
    drop(cancelled.join().unwrap());
}
