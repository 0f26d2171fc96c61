//! The options of HTTP calls.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use super::fixture::{Fixture, fault};
use super::server::start_raw;

#[test]
fn files_are_sent_as_a_multipart_form_with_names_and_types() {
    let fixture = Fixture::new();
    std::fs::write(fixture.folder().join("notes/cat.png"), "meow").unwrap();
    fixture
        .run(
            r#"
            let r = http_post("http://example.test/post", #{
                data: #{ title: "a cat", tag: ["x", "y"] },
                files: #{
                    photo: "notes/cat.png",
                    raw: blob(2, 66),
                    list: [#{ content: "1;2", filename: "l.csv", content_type: "text/x-csv", headers: #{ "X-Row": 1 } }],
                },
                headers: #{ "Content-Type": "nonsense" },
            }).json();
            assert(r.headers["content-type"].starts_with("multipart/form-data; boundary="));
            assert_eq(parse_json(r.headers["content-length"]), r.body.bytes);
            for part in [
                "name=\"title\"\r\n\r\na cat\r\n",
                "name=\"tag\"\r\n\r\ny\r\n",
                "name=\"photo\"; filename=\"cat.png\"\r\nContent-Type: image/png\r\n\r\nmeow\r\n",
                "name=\"raw\"; filename=\"raw\"\r\n\r\nBB\r\n",
                "name=\"list\"; filename=\"l.csv\"\r\nContent-Type: text/x-csv\r\nx-row: 1\r\n\r\n1;2\r\n",
            ] {
                assert(part in r.body);
            }
            "#,
        )
        .unwrap();
    let closed = Fixture::with("");
    for (call, kind) in [
        ("http_post(\"http://example.test/\", #{ files: #{ a: \"notes/x\" } })", "denied"),
        ("http_get(\"http://example.test/\", #{ save_to: \"notes/x\" })", "denied"),
        ("http_get(\"http://example.test/\", #{ verify: \"/etc/ssl/x.pem\" })", "denied"),
        ("http_get(\"http://example.test/\", #{ cert: \"/etc/ssl/x.pem\" })", "denied"),
    ] {
        assert_eq!(fault(&closed, &format!("{call};")).0, kind, "{call}");
    }
    assert_eq!(
        fault(&fixture, "http_post(\"http://example.test/\", #{ files: #{ a: \"notes/none\" } });").0,
        "not_found"
    );
}

#[test]
fn a_missing_file_is_reported_with_its_option() {
    let fixture = Fixture::new();
    for (option, words) in [
        ("verify: \"notes/none.pem\"", "verify: /"),
        ("cert: \"notes/none.pem\"", "cert: /"),
        ("files: #{ a: \"notes/none.pem\" }", "files: a: /"),
    ] {
        let (kind, message) = fault(&fixture, &format!("http_post(\"http://example.test/\", #{{ {option} }});"));
        assert_eq!(kind, "not_found", "{option}: {message}");
        assert!(message.starts_with(words) && message.contains("/notes/none.pem: "), "{option}: {message}");
    }
    let closed = Fixture::with("");
    let why = closed.run("http_get(\"http://example.test/\", #{ verify: \"/etc/ssl/x.pem\" });").unwrap_err();
    assert!(why.contains("verify: ") && why.contains("read:"), "{why}");
}

#[test]
fn digest_authentication_does_not_send_the_password() {
    let fixture = Fixture::new();
    fixture
        .run(
            r#"
            let r = http_post("http://example.test/digest?x=1", #{ auth: #{ digest: ["ann", "pass word"] }, data: "body" });
            assert_eq([r.status_code, r.history.len(), r.history[0].status_code], [200, 1, 401]);
            let proof = r.json().headers.authorization;
            assert(proof.starts_with("Digest username=\"ann\", realm=\"house\", nonce=\"abc\", uri=\"/digest?x=1\", response=\""));
            assert(!proof.contains("pass"));
            assert_eq(r.json().body, "body");
            assert_eq(http_get("http://ann:pass@example.test/to?url=http://example.test/x").json().headers.authorization,
                "Basic " + base64_encode("ann:pass"));
            "#,
        )
        .unwrap();
}

#[test]
fn only_idempotent_calls_are_retried_and_the_last_response_counts() {
    let fixture = Fixture::new();
    fixture
        .run(
            r#"
            let url = "http://example.test/flaky/";
            assert_eq(http_get(url + "get/2", #{ retry: 3 }).text, "3");
            assert_eq(http_get(url + "never/2").status_code, 503);
            assert_eq(http_get(url + "few/2", #{ retry: 1 }).text, "2");
            assert_eq(http_post(url + "post/2", #{ retry: 3 }).text, "1");
            assert_eq(http_post(url + "methods/2", #{ retry: #{ max: 3, methods: ["POST"], backoff: 0 } }).text, "3");
            assert_eq(http_get(url + "other/2", #{ retry: #{ on: [500] } }).text, "1");
            let times = 0;
            try {
                http_get("http://example.test/late/3000", #{ timeout: #{ read: "50ms" }, retry: #{ max: 2, backoff: "1ms" } });
            } catch (err) {
                assert_eq(err.kind, "timeout.read");
            }
            "#,
        )
        .unwrap();
}

#[test]
fn a_download_is_saved_completely_or_not_at_all() {
    let fixture = Fixture::new();
    fixture
        .run(
            r#"
            let r = http_get("http://example.test/bytes/3000000", #{ save_to: "notes/big" });
            assert(r.saved_to.ends_with("/notes/big"));
            assert_eq([r.content.len(), read_file("notes/big").len()], [0, 3000000]);
            let sorry = http_get("http://example.test/status/404", #{ save_to: "notes/big" });
            assert_eq([sorry.text, sorry.saved_to, read_file("notes/big").len()], ["sorry", (), 3000000]);
            try {
                http_get("http://example.test/bytes/3000", #{ save_to: "notes/big", max_body: "1KiB" });
            } catch (err) {
                assert_eq([err.kind, err.status, err.response.saved_to], ["body_too_large", 200, ()]);
            }
            assert_eq(read_file("notes/big").len(), 3000000);
            assert_eq(list_files("notes").len(), 1);
            "#,
        )
        .unwrap();
    let nowhere = "http_get(\"http://example.test/get\", #{ save_to: \"notes/new/x\" });";
    let (kind, message) = fault(&fixture, nowhere);
    assert!(kind == "io" && message.contains("notes/new/x: its folder does not exist"), "{kind}: {message}");
    let cut = fixture.block_on(start_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx", false));
    let call = format!("http_get(\"http://{cut}/\", #{{ save_to: \"notes/cut\", timeout: \"300ms\" }});");
    assert_eq!(fault(&fixture, &call).0, "timeout");
    let left: Vec<_> = std::fs::read_dir(fixture.folder().join("notes")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn each_phase_of_a_call_has_its_own_timeout() {
    let fixture = Fixture::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listener = TcpListener::bind(silent).unwrap();
    let drip = fixture.block_on(start_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx", false));
    for (call, kind, words) in [
        // The TLS handshake is part of connecting, and this server never responds to it.
        (
            format!("http_get(\"https://{silent}/\", #{{ timeout: #{{ connect: \"200ms\" }} }})"),
            "timeout.connect",
            "200ms",
        ),
        (format!("http_get(\"https://{silent}/\", #{{ timeout: \"200ms\" }})"), "timeout.connect", "200ms"),
        (format!("http_get(\"http://{silent}/\", #{{ timeout: #{{ read: \"200ms\" }} }})"), "timeout.read", "200ms"),
        (format!("http_get(\"http://{silent}/\", #{{ timeout: [5, 0.2] }})"), "timeout.read", "200ms"),
        (format!("http_get(\"http://{drip}/\", #{{ timeout: #{{ read: \"200ms\" }} }})"), "timeout.read", "200ms"),
        (format!("http_get(\"http://{drip}/\", #{{ timeout: \"200ms\" }})"), "timeout", "200ms"),
        (
            "http_get(\"http://example.test/\", #{ timeout: #{ conect: 1 } })".into(),
            "invalid_argument",
            "did you mean `connect`?",
        ),
    ] {
        let (found, message) = fault(&fixture, &format!("{call};"));
        assert_eq!(found, kind, "{call}: {message}");
        assert!(message.contains(words), "{call}: {message}");
    }
    drop(listener);
    fixture
        .run(&format!(
            "try {{ http_get(\"http://{drip}/\", #{{ timeout: #{{ read: \"100ms\" }} }}); }} catch (err) {{
                assert_eq([err.response.status_code, err.response.headers[\"content-length\"]], [200, \"1000\"]);
                assert(err.url.starts_with(\"http://{drip}/\"));
            }}"
        ))
        .unwrap();
}

#[test]
fn credentials_are_not_sent_to_another_host() {
    let fixture = Fixture::new();
    let other = format!("http://localhost:{}/x", fixture.server.port());
    fixture
        .run(&format!(
            r#"
            let headers = #{{ "X-Api-Key": "k", "Private-Token": "t", "Accept-Language": "no", "Host": "house.example" }};
            let r = http_get("http://example.test/to?url={other}", #{{ headers: headers, cookies: #{{ a: "b" }} }});
            let echoed = r.json().headers;
            assert_eq([echoed["x-api-key"], echoed["private-token"], echoed.cookie], [(), (), ()]);
            assert_eq(echoed["accept-language"], "no");
            assert(echoed.host.starts_with("localhost:"));
            let first = r.history[0].request.headers;
            assert_eq([first["x-api-key"], first.cookie, first["accept-language"]], ["***", "***", "no"]);
            let same = http_get("http://example.test/to?url=/x", #{{ headers: headers }}).json().headers;
            assert_eq([same["x-api-key"], same.host], ["k", "house.example"]);
            assert_eq([first.host, r.request.headers.host], ["house.example", echoed.host]);
            assert_eq([echoed.accept, r.request.headers.accept], ["*/*", "*/*"]);
            let own = http_get("http://example.test/get", #{{ headers: #{{ Accept: "text/plain" }} }});
            assert_eq([own.json().headers.accept, own.request.headers.accept], ["text/plain", "text/plain"]);
            "#
        ))
        .unwrap();
    let effects = fixture.run_log.effects.lock();
    assert!(!format!("{effects:?}").contains("X-Api"), "{effects:?}");
}

#[test]
fn sessions_keep_server_cookies_and_not_options_of_one_call() {
    let fixture = Fixture::new();
    fixture
        .run(
            r#"
            let s = http_session(#{
                base_url: "http://example.test/", headers: #{ "X-A": "1", "X-B": "2" }, params: #{ key: "k", K: 1 },
                json: #{ a: 1 }, auth: ["ann", "pass"],
            });
            s.get("cookies/set?kept=1", #{ params: () });
            let once = s.get("get", #{ cookies: #{ once: "2" }, headers: #{ "x-a": (), "X-B": "3" } }).json();
            assert_eq(once.headers.cookie.split("; ").len(), 2);
            assert_eq([once.headers["x-a"], once.headers["x-b"]], [(), "3"]);
            assert_eq(once.query, "K=1&key=k");
            let then = s.post("/post", #{ data: "text", auth: #{ bearer: "t" } }).json();
            assert_eq([then.headers.cookie, then.body, then.headers.authorization], ["kept=1", "text", "Bearer t"]);
            assert_eq(s.cookies, #{ kept: "1" });
            s.cookies.own = "5";
            assert_eq(s.get("/get").json().headers.cookie.split("; ").len(), 2);
            s.cookies = #{ own: "5" };
            assert_eq(s.get("/get").json().headers.cookie, "own=5");
            let kind = "";
            let whose = http_session();
            try { whose.cookies.own = 1; } catch (err) { kind = err.kind; }
            assert_eq(kind, "invalid_argument");
            assert_eq(s.post("/post").json().body, `{"a":1}`);
            "#,
        )
        .unwrap();
}

#[test]
fn a_base_url_is_joined_as_written() {
    let fixture = Fixture::new();
    fixture
        .run(
            r#"
            let path = |base, url| {
                let echo = http_session(#{ base_url: "http://example.test" + base }).get(url).json();
                echo.path + "?" + echo.query
            };
            assert_eq(path.call("/api", ""), "/api?");
            assert_eq(path.call("/api/", ""), "/api/?");
            assert_eq(path.call("/api", "?page=2"), "/api?page=2");
            assert_eq(path.call("/api/", "items?page=2"), "/api/items?page=2");
            assert_eq(path.call("/api", "/"), "/api/?");
            "#,
        )
        .unwrap();
}

#[test]
fn cookies_of_a_session_can_be_read_and_cleared_for_all_hosts() {
    let fixture = Fixture::new();
    let other = format!("http://localhost:{}", fixture.server.port());
    fixture
        .run(&format!(
            r#"
            let s = http_session();
            assert_eq(s.cookies.keys(), []);
            s.get("http://example.test/cookies/set?a=1&b=2");
            s.get("{other}/cookies/set?a=7");
            assert_eq([s.cookies.len(), s.cookies.keys()], [2, ["a", "b"]]);
            assert("a=1" in s.get("http://example.test/get").json().headers.cookie);
            assert_eq(s.get("{other}/get").json().headers.cookie, "a=7");
            s.cookies.remove("a");
            assert_eq(s.get("http://example.test/get").json().headers.cookie, "b=2");
            s.cookies.clear();
            assert_eq([s.cookies, s.get("http://example.test/get").json().headers.cookie], [#{{}}, ()]);
            "#
        ))
        .unwrap();
}

#[test]
fn a_proxy_is_used_and_needs_permission() {
    let fixture = Fixture::new();
    fixture
        .run(
            r#"
            let r = http_get("http://no-such-host.invalid/x", #{ proxy: "http://ann:pass@example.test" }).json();
            assert_eq(r.headers.host, "no-such-host.invalid");
            assert_eq(r.headers["proxy-authorization"], "Basic " + base64_encode("ann:pass"));
            "#,
        )
        .unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (call, kind, words) in [
        (format!("http_get(\"http://example.test/\", #{{ proxy: \"{free}\" }})"), "proxy", "refused"),
        ("http_get(\"https://example.test/\", #{ proxy: \"http://example.test\" })".into(), "proxy", ""),
        (
            "http_get(\"http://a/\", #{ proxy: \"socks5://b:1\" })".into(),
            "invalid_argument",
            "the scheme socks5 is not supported",
        ),
        ("http_get(\"http://a/\", #{ proxy: \"http://169.254.169.254\" })".into(), "denied", "169.254.169.254"),
    ] {
        let (found, message) = fault(&fixture, &format!("{call};"));
        assert_eq!(found, kind, "{call}: {message}");
        assert!(message.contains(words), "{call}: {message}");
    }
    let public = Fixture::with("permissions: { \"*\": { http: [\"public\", \"127.0.0.1\"] } }");
    let (kind, message) = fault(&public, "http_get(\"http://inside.invalid/\", #{ proxy: \"http://example.test\" });");
    assert_eq!(kind, "denied", "{message}");
    assert!(message.contains("only the proxy resolves its address"), "{message}");
}

#[test]
fn no_spelling_of_a_private_address_passes_as_public() {
    let fixture = Fixture::with("permissions: { \"*\": { http: [\"public\"] } }");
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "０x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "0.0.0.0",
        "[::]",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00::1]",
        "localhost",
        "localhost.",
        "a.localhost",
    ] {
        let (kind, message) = fault(&fixture, &format!("http_get(\"http://{host}:1/\", #{{ timeout: \"3s\" }});"));
        // Some resolvers cannot resolve these names.
        let may_be_unknown = host.contains("localhost.") || host.contains(".localhost");
        assert!(kind == "denied" || may_be_unknown && kind == "connect", "{host}: {kind}: {message}");
    }
    let fixture = Fixture::with("permissions: { \"*\": { http: [\"127.0.0.1\", \"localhost:1\"] } }");
    let other = fixture.server.port();
    assert_eq!(
        fault(&fixture, &format!("http_get(\"http://example.test/to?url=http://0x7f.2:{other}/\");")).0,
        "denied"
    );
    assert_eq!(fault(&fixture, &format!("http_get(\"http://localhost:{other}/\");")).0, "denied");
}

#[test]
fn unusual_responses_are_returned_unchanged() {
    let fixture = Fixture::new();
    let odd = fixture
        .block_on(start_raw(b"HTTP/1.1 299 Fine Thanks\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 2\r\n\r\nok", false));
    fixture
        .run(&format!(
            r#"
            let r = http_get("http://{odd}/");
            assert_eq([r.status_code, r.reason, r.http_version], [299, "Fine Thanks", "HTTP/1.1"]);
            state.headers = r.headers;
            assert_eq(state.headers["x-a"], "1, 2");
            assert_eq([r.headers["x-a"], r.headers.get_all("X-A")], ["1, 2", ["1", "2"]]);
            assert_eq([r.headers.len(), r.headers.keys(), r.headers.values()], [2, ["x-a", "content-length"], ["1, 2", "2"]]);
            assert_eq(http_get("http://example.test/zipped", #{{ decompress: false }}).content.len(), 2);
            assert(!("accept-encoding" in http_get("http://example.test/get", #{{ decompress: false }}).json().headers));
            assert_eq(http_get("http://example.test/status/308").is_permanent_redirect, false);
            "#
        ))
        .unwrap();
    assert_eq!(fault(&fixture, "http_get(\"http://example.test/zipped\");").0, "decode");
    for (option, words) in [
        ("verify: \"notes/a\"", "no certificate in the file"),
        ("cert: \"notes/a\"", "no certificate with a key"),
        ("timeout: 0", "above zero"),
        ("retry: -1", "up to 20"),
        ("retry: #{ on: [\"conect\"] }", "retry: on: write statuses"),
        ("files: #{ a: #{ path: \"x\", content: \"y\" } }", "files: a: write either"),
        ("files: #{ a: [\"n.csv\", \"1\", \"text/csv\"] }", "files: a: write each file of a list as"),
        ("files: #{ a: #{ pth: \"x\" } }", "write either `path` or `content`"),
        ("json: 1, files: #{}", "`json` and `files` exclude each other"),
        ("data: \"x\", files: #{}", "data: write a map"),
        ("auth: #{ digets: [\"a\", \"b\"] }", "digest"),
        ("cookies: #{ a: \"b; c\" }", "not allowed in cookies"),
        ("stream: true, save_to: \"notes/x\"", "exclude each other"),
    ] {
        std::fs::write(fixture.folder().join("notes/a"), "x").unwrap();
        let (kind, message) = fault(&fixture, &format!("http_get(\"http://example.test/\", #{{ {option} }});"));
        assert_eq!(kind, "invalid_argument", "{option}: {message}");
        assert!(message.contains(words), "{option}: {message}");
    }
}

#[test]
fn a_cancelled_call_closes_its_connection() {
    let fixture = Fixture::new();
    for stream in ["false", "true"] {
        let context = fixture.context(Duration::from_secs(60));
        let cancel = context.cancel.clone();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let script = format!(
            "for line in http_get(\"http://{}/\", #{{ stream: {stream} }}).lines() {{ print(line); }}",
            server.local_addr().unwrap()
        );
        let closed = std::thread::spawn(move || {
            let (mut connection, _) = server.accept().unwrap();
            connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let _ = connection.read(&mut [0; 4096]).unwrap();
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\none\n").unwrap();
            cancel.cancel();
            // The run has 60 s left: only the cancellation closes the connection within the read timeout of 20 s.
            assert_eq!(connection.read(&mut [0; 1]).unwrap(), 0, "the connection is closed");
        });
        let why = fixture.run_in(&script, &context).unwrap_err();
        assert!(why.starts_with("Cancelled"), "{why}");
        closed.join().unwrap();
    }
}
