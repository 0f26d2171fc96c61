//! Every way to fail has the kind that stands for the class of exception in `requests`.

use super::case::{Case, case, compare};

#[test]
fn what_requests_throws_has_a_kind() {
    compare(&CASES);
}

const CASES: [Case; 18] = [
    case("nobody listens", r#"http_get("NOBODY/");"#, r#"requests.get("NOBODY/")"#),
    case(
        "no such host",
        r#"http_get("http://no-such-host.invalid/");"#,
        r#"requests.get("http://no-such-host.invalid/")"#,
    ),
    case("closed without an answer", r#"http_get("PLAIN/closed");"#, r#"requests.get("PLAIN/closed")"#),
    case("too many redirects", r#"http_get("BIN/redirect/31");"#, r#"requests.get("BIN/redirect/31")"#),
    case(
        "as many redirects as there may be",
        r#"seen = http_get("BIN/redirect/30").history.len();"#,
        r#"seen = len(requests.get("BIN/redirect/30").history)"#,
    ),
    case("a URL without a scheme", r#"http_get("example.com/x");"#, r#"requests.get("example.com/x")"#),
    case("a URL with a port but no scheme", r#"http_get("127.0.0.1:80/x");"#, r#"requests.get("127.0.0.1:80/x")"#),
    case(
        "a scheme that is not spoken",
        r#"http_get("ftp://example.com/x");"#,
        r#"requests.get("ftp://example.com/x")"#,
    ),
    case("a URL without a host", r#"http_get("http://");"#, r#"requests.get("http://")"#),
    case("a URL with a wrong port", r#"http_get("http://127.0.0.1:x/");"#, r#"requests.get("http://127.0.0.1:x/")"#),
    case("an empty URL", r#"http_get("");"#, r#"requests.get("")"#),
    case(
        "a redirect to a scheme that is not spoken",
        r#"http_get("BIN/redirect-to?url=ftp://x/");"#,
        r#"requests.get("BIN/redirect-to?url=ftp://x/")"#,
    ),
    case(
        "plain words where TLS is spoken",
        r#"let url = "BIN"; url.replace("http:", "https:"); http_get(url);"#,
        r#"requests.get("BIN".replace("http:", "https:"))"#,
    ),
    case(
        "headers too late",
        r#"http_get("BIN/delay/5", #{ timeout: #{ read: "300ms" } });"#,
        r#"requests.get("BIN/delay/5", timeout=(5, 0.3))"#,
    ),
    case(
        "a body that stops",
        r#"http_get("BIN/drip?numbytes=2&duration=6", #{ timeout: #{ read: "500ms" } });"#,
        r#"requests.get("BIN/drip?numbytes=2&duration=6", timeout=(5, 0.5))"#,
    )
    .unlike(&[("fault", "requests tells a read time-out in a body as a broken connection")]),
    case(
        "no host there",
        r#"http_get("http://FULL/", #{ timeout: #{ connect: "200ms" } });"#,
        r#"requests.get("http://FULL/", timeout=(0.2, 5))"#,
    ),
    case(
        "a proxy that is not there",
        r#"http_get("BIN/get", #{ proxy: "NOBODY" });"#,
        r#"requests.get("BIN/get", proxies={"http": "NOBODY"})"#,
    ),
    case(
        "a body that is not compressed as it says",
        r#"http_get("PLAIN/unzipped");"#,
        r#"requests.get("PLAIN/unzipped")"#,
    ),
];
