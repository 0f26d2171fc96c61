//! Proxies from environment variables; the proxy is nginx, which responds for any host itself.

use super::case::{Case, case, compare};

#[test]
fn proxies_of_the_environment_are_used_as_by_requests() {
    compare(&CASES);
}

/// A host name that does not resolve: only the proxy can respond.
const HTTP_RHAI: &str = r#"let r = http_get("http://house.invalid/hello.txt"); seen = [r.status_code, r.text, r.url];"#;
const HTTP_PYTHON: &str =
    r#"r = requests.get("http://house.invalid/hello.txt"); seen = [r.status_code, r.text, r.url]"#;
const HTTPS_RHAI: &str = r#"http_get("https://house.invalid/hello.txt");"#;
const HTTPS_PYTHON: &str = r#"requests.get("https://house.invalid/hello.txt")"#;
const LOOPBACK: &str = "loopback addresses are never reached through a proxy of the environment";

const CASES: [Case; 20] = [
    case("none", HTTP_RHAI, HTTP_PYTHON),
    case("HTTP_PROXY", HTTP_RHAI, HTTP_PYTHON).within(&[("HTTP_PROXY", "http://PLAIN_AT")]),
    case("http_proxy", HTTP_RHAI, HTTP_PYTHON).within(&[("http_proxy", "http://PLAIN_AT")]),
    case("http_proxy before HTTP_PROXY", HTTP_RHAI, HTTP_PYTHON)
        .within(&[("http_proxy", "http://PLAIN_AT"), ("HTTP_PROXY", "REFUSED")]),
    case("HTTP_PROXY without a scheme", HTTP_RHAI, HTTP_PYTHON).within(&[("HTTP_PROXY", "PLAIN_AT")]),
    case("ALL_PROXY", HTTP_RHAI, HTTP_PYTHON).within(&[("ALL_PROXY", "http://PLAIN_AT")]),
    case("all_proxy", HTTP_RHAI, HTTP_PYTHON).within(&[("all_proxy", "http://PLAIN_AT")]),
    case("HTTP_PROXY before ALL_PROXY", HTTP_RHAI, HTTP_PYTHON)
        .within(&[("HTTP_PROXY", "http://PLAIN_AT"), ("ALL_PROXY", "REFUSED")]),
    case("HTTPS_PROXY is not for http", HTTP_RHAI, HTTP_PYTHON).within(&[("HTTPS_PROXY", "http://PLAIN_AT")]),
    case("HTTP_PROXY is not for https", HTTPS_RHAI, HTTPS_PYTHON).within(&[("HTTP_PROXY", "http://PLAIN_AT")]),
    case("HTTPS_PROXY that refuses CONNECT", HTTPS_RHAI, HTTPS_PYTHON).within(&[("HTTPS_PROXY", "http://PLAIN_AT")]),
    case("https_proxy that refuses CONNECT", HTTPS_RHAI, HTTPS_PYTHON).within(&[("https_proxy", "http://PLAIN_AT")]),
    case("ALL_PROXY that refuses CONNECT", HTTPS_RHAI, HTTPS_PYTHON).within(&[("ALL_PROXY", "http://PLAIN_AT")]),
    case("NO_PROXY with the name", HTTP_RHAI, HTTP_PYTHON)
        .within(&[("HTTP_PROXY", "http://PLAIN_AT"), ("NO_PROXY", "other.invalid,house.invalid")]),
    case("no_proxy with the end of the name", HTTP_RHAI, HTTP_PYTHON)
        .within(&[("HTTP_PROXY", "http://PLAIN_AT"), ("no_proxy", ".invalid")]),
    case("NO_PROXY with other names", HTTP_RHAI, HTTP_PYTHON)
        .within(&[("HTTP_PROXY", "http://PLAIN_AT"), ("NO_PROXY", "use.invalid, 10.0.0.0/8")]),
    case("NO_PROXY for all", HTTP_RHAI, HTTP_PYTHON).within(&[("HTTP_PROXY", "http://PLAIN_AT"), ("NO_PROXY", "*")]),
    case(
        "not wanted",
        r#"http_get("http://house.invalid/hello.txt", #{ proxy: false });"#,
        r#"session = requests.Session(); session.trust_env = False; session.get("http://house.invalid/hello.txt")"#,
    )
    .within(&[("HTTP_PROXY", "http://PLAIN_AT")]),
    case(
        "a proxy of the call overrides the environment",
        r#"seen = http_get("http://house.invalid/hello.txt", #{ proxy: "http://PLAIN_AT" }).text;"#,
        r#"seen = requests.get("http://house.invalid/hello.txt", proxies={"http": "http://PLAIN_AT"}).text"#,
    )
    .within(&[("HTTP_PROXY", "REFUSED")]),
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
    .within(&[("HTTP_PROXY", "REFUSED")])
    .unlike(&[("through", LOOPBACK)]),
];
