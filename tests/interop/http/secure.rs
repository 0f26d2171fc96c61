//! TLS, HTTP/2 and proxies.

use super::case::{Case, case, compare};

#[test]
fn trust_is_given_and_refused_alike() {
    compare(&CASES);
}

const CASES: [Case; 1] =
    [case("nobody we trust", r#"http_get("SECURE/hello.txt");"#, r#"requests.get("SECURE/hello.txt")"#)];
