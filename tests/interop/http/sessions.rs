//! Sessions of HTTP calls.

use super::case::{Case, case, compare};

#[test]
fn sessions_behave_as_in_requests() {
    compare(&CASES);
}

const CASES: [Case; 20] = [
    case(
        "cookies",
        r#"let s = http_session(); s.get("BIN/cookies/set?a=1&b=2"); seen = show(s.get("BIN/cookies"));"#,
        r#"s = requests.Session(); s.get("BIN/cookies/set?a=1&b=2"); seen = show(s.get("BIN/cookies"))"#,
    ),
    case(
        "deleted cookies",
        r#"let s = http_session(); s.get("BIN/cookies/set?a=1&b=2"); s.get("BIN/cookies/delete?a"); seen = show(s.get("BIN/cookies"));"#,
        r#"s = requests.Session(); s.get("BIN/cookies/set?a=1&b=2"); s.get("BIN/cookies/delete?a"); seen = show(s.get("BIN/cookies"))"#,
    ),
    case(
        "cookies of one call with stored cookies",
        r#"let s = http_session(); s.get("BIN/cookies/set?a=1"); seen = show(s.get("BIN/cookies", #{ cookies: #{ b: "2" } }));"#,
        r#"s = requests.Session(); s.get("BIN/cookies/set?a=1"); seen = show(s.get("BIN/cookies", cookies={"b": "2"}))"#,
    ),
    case(
        "initial cookies of a session",
        r#"let s = http_session(#{ cookies: #{ a: "1" } }); seen = show(s.get("BIN/cookies"));"#,
        r#"s = requests.Session(); s.cookies.update({"a": "1"}); seen = show(s.get("BIN/cookies"))"#,
    ),
    case(
        "cookies of one host are not sent to another",
        r#"let s = http_session(); s.get("BIN/cookies/set?a=1"); let other = "BIN"; other.replace("127.0.0.1", "localhost"); seen = s.get(other + "/cookies").json();"#,
        r#"s = requests.Session(); s.get("BIN/cookies/set?a=1"); seen = s.get("BIN".replace("127.0.0.1", "localhost") + "/cookies").json()"#,
    ),
    case(
        "calls without a session store no cookies",
        r#"http_get("BIN/cookies/set?a=1"); seen = show(http_get("BIN/cookies"));"#,
        r#"requests.get("BIN/cookies/set?a=1"); seen = show(requests.get("BIN/cookies"))"#,
    ),
    case(
        "headers, and one that is left out",
        r#"let s = http_session(#{ headers: #{ "X-A": "1", "X-B": "2" } }); seen = show(s.get("BIN/headers", #{ headers: #{ "x-a": "3", "X-B": (), "X-C": "4" } }));"#,
        r#"s = requests.Session(); s.headers.update({"X-A": "1", "X-B": "2"}); seen = show(s.get("BIN/headers", headers={"x-a": "3", "X-B": None, "X-C": "4"}))"#,
    ),
    case(
        "params",
        r#"let s = http_session(#{ params: #{ key: "k", page: 1 } }); seen = show(s.get("BIN/get", #{ params: #{ page: 2 } }));"#,
        r#"s = requests.Session(); s.params = {"key": "k", "page": 1}; seen = show(s.get("BIN/get", params={"page": 2}))"#,
    ),
    case(
        "auth",
        r#"let s = http_session(#{ auth: ["ann", "pass"] }); seen = [s.get("BIN/basic-auth/ann/pass").status_code, s.get("BIN/basic-auth/ann/pass", #{ auth: ["ann", "x"] }).status_code];"#,
        r#"s = requests.Session(); s.auth = ("ann", "pass"); seen = [s.get("BIN/basic-auth/ann/pass").status_code, s.get("BIN/basic-auth/ann/pass", auth=("ann", "x")).status_code]"#,
    ),
    case(
        "all methods",
        r#"let s = http_session(#{ headers: #{ "X-A": "1" } }); seen = [s.get("BIN/anything"), s.post("BIN/anything", #{ json: 1 }), s.put("BIN/anything", #{ data: "x" }), s.patch("BIN/anything", #{ data: #{ a: 1 } }), s.delete("BIN/anything"), s.request("TRACE", "BIN/anything")].map(|r| show(r)); seen.push(s.head("BIN/anything").status_code);"#,
        r#"s = requests.Session(); s.headers["X-A"] = "1"; seen = [show(r) for r in [s.get("BIN/anything"), s.post("BIN/anything", json=1), s.put("BIN/anything", data="x"), s.patch("BIN/anything", data={"a": 1}), s.delete("BIN/anything"), s.request("TRACE", "BIN/anything")]]; seen.append(s.head("BIN/anything").status_code)"#,
    ),
    case(
        "redirects of a session that limits them",
        r#"http_session(#{ allow_redirects: 2 }).get("BIN/redirect/3");"#,
        r#"s = requests.Session(); s.max_redirects = 2; s.get("BIN/redirect/3")"#,
    ),
    case(
        "a base",
        r#"seen = show(http_session(#{ base_url: "BIN/anything" }).get("a/b"));"#,
        r#"seen = show(requests.Session().get("BIN/anything" + "/a/b"))"#,
    ),
    case(
        "cookies of one call are not stored",
        r#"let s = http_session(); s.get("BIN/cookies", #{ cookies: #{ once: "1" } }); seen = show(s.get("BIN/cookies"));"#,
        r#"s = requests.Session(); s.get("BIN/cookies", cookies={"once": "1"}); seen = show(s.get("BIN/cookies"))"#,
    ),
    case(
        "stored cookies by name",
        r#"let s = http_session(); s.get("BIN/cookies/set?a=1&b=2"); seen = s.cookies;"#,
        r#"s = requests.Session(); s.get("BIN/cookies/set?a=1&b=2"); seen = s.cookies.get_dict()"#,
    ),
    case(
        "cookies for a path",
        r#"let s = http_session(); s.get("BIN/response-headers?Set-Cookie=a%3D1%3B%20Path%3D%2Fcookies"); seen = [s.get("BIN/cookies").json().cookies, s.get("BIN/headers").json().headers.Cookie ?? "none"];"#,
        r#"s = requests.Session(); s.get("BIN/response-headers?Set-Cookie=a%3D1%3B%20Path%3D%2Fcookies"); seen = [s.get("BIN/cookies").json()["cookies"], s.get("BIN/headers").json()["headers"].get("Cookie", "none")]"#,
    ),
    case(
        "cookies with Secure",
        r#"let s = http_session(#{ verify: "ca.pem" }); s.get("SECURE/bin/response-headers?Set-Cookie=a%3D1%3B%20Secure%3B%20Path%3D%2F"); let plain = "BIN"; plain.replace("127.0.0.1", "localhost"); seen = #{ secure: s.get("SECURE/bin/cookies").json().cookies, plain: s.get(plain + "/cookies").json().cookies };"#,
        r#"s = requests.Session(); s.verify = "ca.pem"; s.get("SECURE/bin/response-headers?Set-Cookie=a%3D1%3B%20Secure%3B%20Path%3D%2F"); seen = {"secure": s.get("SECURE/bin/cookies").json()["cookies"], "plain": s.get("BIN".replace("127.0.0.1", "localhost") + "/cookies").json()["cookies"]}"#,
    )
    .unlike(&[("plain/a", "as in browsers, a loopback address counts as secure")]),
    case(
        "expired cookies",
        r#"let s = http_session(); s.get("BIN/response-headers?Set-Cookie=a%3D1%3B%20Max-Age%3D0%3B%20Path%3D%2F"); seen = s.cookies;"#,
        r#"s = requests.Session(); s.get("BIN/response-headers?Set-Cookie=a%3D1%3B%20Max-Age%3D0%3B%20Path%3D%2F"); seen = s.cookies.get_dict()"#,
    ),
    case(
        "a login with a form and the cookie that it sets",
        r#"let s = http_session(#{ base_url: "BIN" }); s.get("cookies/set", #{ params: #{ csrf: "t0ken" } }); let r = s.post("anything", #{ data: #{ user: "ann", csrf: s.cookies.csrf } }); seen = [r.json().form, r.json().headers.Cookie];"#,
        r#"s = requests.Session(); s.get("BIN/cookies/set", params={"csrf": "t0ken"}); r = s.post("BIN/anything", data={"user": "ann", "csrf": s.cookies["csrf"]}); seen = [r.json()["form"], r.json()["headers"]["Cookie"]]"#,
    ),
    case(
        "digest, twice on one session",
        r#"let s = http_session(#{ auth: #{ digest: ["ann", "pass"] } }); seen = [s.get("BIN/digest-auth/auth/ann/pass").status_code, s.get("BIN/digest-auth/auth/ann/pass").status_code];"#,
        r#"s = requests.Session(); s.auth = requests.auth.HTTPDigestAuth("ann", "pass"); seen = [s.get("BIN/digest-auth/auth/ann/pass").status_code, s.get("BIN/digest-auth/auth/ann/pass").status_code]"#,
    ),
    case(
        "CA, client certificate and timeout of a session apply to all calls",
        r#"let s = http_session(#{ verify: "ca.pem", cert: "both.pem", timeout: 20 }); seen = [s.get("SECURE/members").text, s.get("SECURE/certificate").text];"#,
        r#"s = requests.Session(); s.verify = "ca.pem"; s.cert = "both.pem"; seen = [s.get("SECURE/members").text, s.get("SECURE/certificate").text]"#,
    ),
];
