//! Proxies that the environment names; the proxy is nginx, which answers for any host itself.

use super::case::{Case, case, compare};

#[test]
fn the_proxies_of_the_environment_are_used_alike() {
    compare(&CASES);
}

/// Nobody knows this name: who gets an answer got it from the proxy.
const ASKED: &str = r#"let r = http_get("http://house.invalid/hello.txt"); seen = [r.status_code, r.text, r.url];"#;
const ASKED_TOO: &str = r#"r = requests.get("http://house.invalid/hello.txt"); seen = [r.status_code, r.text, r.url]"#;
const SECURELY: &str = r#"http_get("https://house.invalid/hello.txt");"#;
const SECURELY_TOO: &str = r#"requests.get("https://house.invalid/hello.txt")"#;
const ITSELF: &str = "this machine itself is never reached through a proxy of the environment";

const CASES: [Case; 20] = [
    case("none", ASKED, ASKED_TOO),
    case("HTTP_PROXY", ASKED, ASKED_TOO).within(&[("HTTP_PROXY", "http://PLAIN_AT")]),
    case("http_proxy", ASKED, ASKED_TOO).within(&[("http_proxy", "http://PLAIN_AT")]),
    case("http_proxy before HTTP_PROXY", ASKED, ASKED_TOO)
        .within(&[("http_proxy", "http://PLAIN_AT"), ("HTTP_PROXY", "NOBODY")]),
    case("HTTP_PROXY without a scheme", ASKED, ASKED_TOO).within(&[("HTTP_PROXY", "PLAIN_AT")]),
    case("ALL_PROXY", ASKED, ASKED_TOO).within(&[("ALL_PROXY", "http://PLAIN_AT")]),
    case("all_proxy", ASKED, ASKED_TOO).within(&[("all_proxy", "http://PLAIN_AT")]),
    case("HTTP_PROXY before ALL_PROXY", ASKED, ASKED_TOO)
        .within(&[("HTTP_PROXY", "http://PLAIN_AT"), ("ALL_PROXY", "NOBODY")]),
    case("HTTPS_PROXY is not for http", ASKED, ASKED_TOO).within(&[("HTTPS_PROXY", "http://PLAIN_AT")]),
    case("HTTP_PROXY is not for https", SECURELY, SECURELY_TOO).within(&[("HTTP_PROXY", "http://PLAIN_AT")]),
    case("HTTPS_PROXY that lets nobody through", SECURELY, SECURELY_TOO).within(&[("HTTPS_PROXY", "http://PLAIN_AT")]),
    case("https_proxy that lets nobody through", SECURELY, SECURELY_TOO).within(&[("https_proxy", "http://PLAIN_AT")]),
    case("ALL_PROXY that lets nobody through", SECURELY, SECURELY_TOO).within(&[("ALL_PROXY", "http://PLAIN_AT")]),
    case("NO_PROXY with the name", ASKED, ASKED_TOO)
        .within(&[("HTTP_PROXY", "http://PLAIN_AT"), ("NO_PROXY", "other.invalid,house.invalid")]),
    case("no_proxy with the end of the name", ASKED, ASKED_TOO)
        .within(&[("HTTP_PROXY", "http://PLAIN_AT"), ("no_proxy", ".invalid")]),
    case("NO_PROXY with other names", ASKED, ASKED_TOO)
        .within(&[("HTTP_PROXY", "http://PLAIN_AT"), ("NO_PROXY", "use.invalid, 10.0.0.0/8")]),
    case("NO_PROXY for all", ASKED, ASKED_TOO).within(&[("HTTP_PROXY", "http://PLAIN_AT"), ("NO_PROXY", "*")]),
    case(
        "not wanted",
        r#"http_get("http://house.invalid/hello.txt", #{ proxy: false });"#,
        r#"session = requests.Session(); session.trust_env = False; session.get("http://house.invalid/hello.txt")"#,
    )
    .within(&[("HTTP_PROXY", "http://PLAIN_AT")]),
    case(
        "named in the call, whatever the environment says",
        r#"seen = http_get("http://house.invalid/hello.txt", #{ proxy: "http://PLAIN_AT" }).text;"#,
        r#"seen = requests.get("http://house.invalid/hello.txt", proxies={"http": "http://PLAIN_AT"}).text"#,
    )
    .within(&[("HTTP_PROXY", "NOBODY")]),
    case(
        "for this machine",
        r#"let through = true; try { http_get("PLAIN/hello.txt"); through = false; } catch {} seen = #{ through: through };"#,
        r#"
try:
    requests.get("PLAIN/hello.txt"); seen = {"through": False}
except requests.exceptions.ProxyError:
    seen = {"through": True}
"#,
    )
    .within(&[("HTTP_PROXY", "NOBODY")])
    .unlike(&[("through", ITSELF)]),
];
