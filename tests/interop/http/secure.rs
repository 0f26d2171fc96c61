//! TLS, certificates, HTTP/2 and proxies.

use super::case::{Case, case, compare};

#[test]
fn certificates_are_verified_as_by_requests() {
    compare(&CASES);
}

const NEWER: &str = "requests supports only HTTP/1.1";

const CASES: [Case; 25] = [
    case("an untrusted certificate", r#"http_get("SECURE/hello.txt");"#, r#"requests.get("SECURE/hello.txt")"#),
    case(
        "a configured CA",
        r#"seen = show(http_get("SECURE/bin/get", #{ verify: "ca.pem" }));"#,
        r#"seen = show(requests.get("SECURE/bin/get", verify="ca.pem"))"#,
    ),
    case(
        "verification turned off",
        r#"seen = [http_get("SECURE/hello.txt", #{ verify: false }).text, http_get("STRANGER/hello.txt", #{ verify: false }).text];"#,
        r#"seen = [requests.get("SECURE/hello.txt", verify=False).text, requests.get("STRANGER/hello.txt", verify=False).text]"#,
    ),
    case(
        "verification after a call without it",
        r#"http_get("SECURE/hello.txt", #{ verify: false }); http_get("SECURE/hello.txt");"#,
        r#"requests.get("SECURE/hello.txt", verify=False); requests.get("SECURE/hello.txt")"#,
    ),
    case("a certificate that has expired", r#"http_get("EXPIRED/", #{ verify: "ca.pem" });"#, r#"requests.get("EXPIRED/", verify="ca.pem")"#),
    case("a certificate for another name", r#"http_get("OTHER/", #{ verify: "ca.pem" });"#, r#"requests.get("OTHER/", verify="ca.pem")"#),
    case("a self-signed certificate", r#"http_get("STRANGER/", #{ verify: "ca.pem" });"#, r#"requests.get("STRANGER/", verify="ca.pem")"#),
    case("a missing CA file", r#"let found = false; try { http_get("SECURE/", #{ verify: "missing.pem" }); } catch (err) { found = err.message.contains("missing.pem"); } seen = found;"#, r#"
try:
    requests.get("SECURE/", verify="missing.pem")
except OSError as error:
    seen = "missing.pem" in str(error)
"#),
    case("HTTP/2 by ALPN", r#"let r = http_get("SECURE/protocol", #{ verify: "ca.pem" }); seen = #{ spoken: r.text.split(" ")[0], version: r.http_version, rest: r.text.split(" ")[1] };"#, r#"r = requests.get("SECURE/protocol", verify="ca.pem"); seen = {"spoken": r.text.split(" ")[0], "version": "HTTP/1.1", "rest": r.text.split(" ")[1]}"#)
        .unlike(&[("spoken", NEWER), ("version", NEWER)]),
    case("HTTP/1.1 without TLS", r#"let r = http_get("PLAIN/protocol"); seen = [r.text, r.http_version];"#, r#"r = requests.get("PLAIN/protocol"); seen = [r.text, "HTTP/1.1"]"#),
    case("a post over HTTP/2", r#"seen = show(http_post("SECURE/bin/post", #{ verify: "ca.pem", json: #{ a: 1 } }));"#, r#"seen = show(requests.post("SECURE/bin/post", verify="ca.pem", json={"a": 1}))"#),
    case("a file over HTTP/2", r#"seen = show(http_post("SECURE/bin/post", #{ verify: "ca.pem", files: #{ f: "upload.txt" } }));"#, r#"seen = show(requests.post("SECURE/bin/post", verify="ca.pem", files={"f": open("upload.txt", "rb")}))"#),
    case("a large body over HTTP/2", r#"seen = http_get("SECURE/big.bin", #{ verify: "ca.pem" }).content.len();"#, r#"seen = len(requests.get("SECURE/big.bin", verify="ca.pem").content)"#),
    case("lines over HTTP/2", r#"let ids = []; for line in http_get("SECURE/bin/stream/3", #{ verify: "ca.pem", stream: true }).lines() { ids.push(parse_json(line).id); } seen = ids;"#, r#"seen = [json.loads(line)["id"] for line in requests.get("SECURE/bin/stream/3", verify="ca.pem", stream=True).iter_lines()]"#),
    case("a slow answer over HTTP/2", r#"http_get("SECURE/bin/delay/5", #{ verify: "ca.pem", timeout: #{ read: "300ms" } });"#, r#"requests.get("SECURE/bin/delay/5", verify="ca.pem", timeout=(5, 0.3))"#),
    case("a redirect to HTTPS", r#"seen = show(http_get("PLAIN/secured", #{ verify: "ca.pem" })); seen.encoding = ();"#, r#"seen = show(requests.get("PLAIN/secured", verify="ca.pem")); seen["encoding"] = None"#),
    case("a protected path without a certificate", r#"seen = http_get("SECURE/members", #{ verify: "ca.pem" }).status_code;"#, r#"seen = requests.get("SECURE/members", verify="ca.pem").status_code"#),
    case("a protected path with a certificate in two files", r#"seen = http_get("SECURE/members", #{ verify: "ca.pem", cert: ["client.pem", "client.key"] }).text;"#, r#"seen = requests.get("SECURE/members", verify="ca.pem", cert=("client.pem", "client.key")).text"#),
    case("a protected path with a certificate in one file", r#"seen = http_get("SECURE/certificate", #{ verify: "ca.pem", cert: "both.pem" }).text;"#, r#"seen = requests.get("SECURE/certificate", verify="ca.pem", cert="both.pem").text"#),
    case("a client certificate of one call is not used for the next", r#"http_get("SECURE/members", #{ verify: "ca.pem", cert: "both.pem" }); seen = http_get("SECURE/members", #{ verify: "ca.pem" }).status_code;"#, r#"requests.get("SECURE/members", verify="ca.pem", cert="both.pem"); seen = requests.get("SECURE/members", verify="ca.pem").status_code"#),
    case("through a proxy", r#"seen = show(http_get("BIN/get", #{ proxy: "http://ann:sesame@PROXY" }));"#, r#"seen = show(requests.get("BIN/get", proxies={"http": "http://ann:sesame@PROXY"}))"#),
    case("HTTPS through a proxy", r#"seen = show(http_get("SECURE/bin/get", #{ verify: "ca.pem", proxy: #{ https: "http://ann:sesame@PROXY" } }));"#, r#"seen = show(requests.get("SECURE/bin/get", verify="ca.pem", proxies={"https": "http://ann:sesame@PROXY"}))"#),
    case("a proxy that refuses the login", r#"seen = http_get("BIN/get", #{ proxy: "http://ann:wrong@PROXY" }).status_code;"#, r#"seen = requests.get("BIN/get", proxies={"http": "http://ann:wrong@PROXY"}).status_code"#),
    case("HTTPS through a proxy that refuses the login", r#"http_get("SECURE/", #{ verify: "ca.pem", proxy: "http://PROXY" });"#, r#"requests.get("SECURE/", verify="ca.pem", proxies={"https": "http://PROXY"})"#),
    case("HTTPS through an unreachable proxy", r#"http_get("SECURE/", #{ verify: "ca.pem", proxy: "REFUSED" });"#, r#"requests.get("SECURE/", verify="ca.pem", proxies={"https": "REFUSED"})"#),
];
