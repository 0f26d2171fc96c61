//! The kind of every error matches the exception class of `requests`.

use super::case::{Case, case, compare};

#[test]
fn every_exception_of_requests_has_a_kind() {
    compare(&CASES);
}

const CASES: [Case; 18] = [
    case("connection refused", r#"http_get("REFUSED/");"#, r#"requests.get("REFUSED/")"#),
    case(
        "no such host",
        r#"http_get("http://no-such-host.invalid/");"#,
        r#"requests.get("http://no-such-host.invalid/")"#,
    ),
    case("closed without an answer", r#"http_get("PLAIN/closed");"#, r#"requests.get("PLAIN/closed")"#),
    case("too many redirects", r#"http_get("BIN/redirect/31");"#, r#"requests.get("BIN/redirect/31")"#),
    case(
        "the maximum number of redirects",
        r#"seen = http_get("BIN/redirect/30").history.len();"#,
        r#"seen = len(requests.get("BIN/redirect/30").history)"#,
    ),
    case("a URL without a scheme", r#"http_get("example.com/x");"#, r#"requests.get("example.com/x")"#),
    case("a URL with a port but no scheme", r#"http_get("127.0.0.1:80/x");"#, r#"requests.get("127.0.0.1:80/x")"#),
    case("an unsupported scheme", r#"http_get("ftp://example.com/x");"#, r#"requests.get("ftp://example.com/x")"#),
    case("a URL without a host", r#"http_get("http://");"#, r#"requests.get("http://")"#),
    case("a URL with a wrong port", r#"http_get("http://127.0.0.1:x/");"#, r#"requests.get("http://127.0.0.1:x/")"#),
    case("an empty URL", r#"http_get("");"#, r#"requests.get("")"#),
    case(
        "a redirect to an unsupported scheme",
        r#"http_get("BIN/redirect-to?url=ftp://x/");"#,
        r#"requests.get("BIN/redirect-to?url=ftp://x/")"#,
    ),
    case(
        "TLS to a server without TLS",
        r#"let url = "BIN"; url.replace("http:", "https:"); http_get(url);"#,
        r#"requests.get("BIN".replace("http:", "https:"))"#,
    ),
    case(
        "a read timeout before the headers",
        r#"http_get("BIN/delay/5", #{ timeout: #{ read: "300ms" } });"#,
        r#"requests.get("BIN/delay/5", timeout=(5, 0.3))"#,
    ),
    case(
        "a read timeout in the body",
        r#"http_get("BIN/drip?numbytes=2&duration=6", #{ timeout: #{ read: "500ms" } });"#,
        r#"requests.get("BIN/drip?numbytes=2&duration=6", timeout=(5, 0.5))"#,
    )
    .unlike(&[("fault", "requests reports a read timeout in a body as a broken connection")]),
    case(
        "a connect timeout",
        r#"http_get("http://FULL/", #{ timeout: #{ connect: "200ms" } });"#,
        r#"requests.get("http://FULL/", timeout=(0.2, 5))"#,
    ),
    case(
        "an unreachable proxy",
        r#"http_get("BIN/get", #{ proxy: "REFUSED" });"#,
        r#"requests.get("BIN/get", proxies={"http": "REFUSED"})"#,
    ),
    case("a body with a wrong content encoding", r#"http_get("PLAIN/unzipped");"#, r#"requests.get("PLAIN/unzipped")"#),
];
