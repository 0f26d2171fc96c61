//! Requests: methods and every option.

use super::case::{Case, case, compare};

#[test]
fn requests_are_sent_as_by_requests() {
    compare(&CASES);
}

const CASES: [Case; 71] = [
    case("get", r#"seen = show(http_get("BIN/get"));"#, r#"seen = show(requests.get("BIN/get"))"#),
    case("post", r#"seen = show(http_post("BIN/post"));"#, r#"seen = show(requests.post("BIN/post"))"#),
    case("put", r#"seen = show(http_put("BIN/put"));"#, r#"seen = show(requests.put("BIN/put"))"#),
    case("patch", r#"seen = show(http_patch("BIN/patch"));"#, r#"seen = show(requests.patch("BIN/patch"))"#),
    case("delete", r#"seen = show(http_delete("BIN/delete"));"#, r#"seen = show(requests.delete("BIN/delete"))"#),
    case("head", r#"seen = show(http_head("BIN/get"));"#, r#"seen = show(requests.head("BIN/get"))"#),
    case(
        "options",
        r#"seen = show(http_options("BIN/get")); let allow = seen.headers.allow.split(", "); allow.sort(); seen.headers.allow = allow;"#,
        r#"seen = show(requests.options("BIN/get")); seen["headers"]["allow"] = sorted(seen["headers"]["allow"].split(", "))"#,
    ),
    case(
        "any method",
        r#"seen = show(http_request("TRACE", "BIN/anything"));"#,
        r#"seen = show(requests.request("TRACE", "BIN/anything"))"#,
    ),
    case(
        "a method in lower case",
        r#"seen = show(http_request("post", "BIN/anything"));"#,
        r#"seen = show(requests.request("post", "BIN/anything"))"#,
    ),
    case(
        "params: a list repeats the name, a null value is left out",
        r#"seen = show(http_get("BIN/get", #{ params: #{ a: [1, 2], b: (), c: "中 文", d: 1.5 } }));"#,
        r#"seen = show(requests.get("BIN/get", params={"a": [1, 2], "b": None, "c": "中 文", "d": 1.5}))"#,
    ),
    case(
        "params are appended to the query of the URL",
        r#"seen = show(http_get("BIN/get?z=1#part", #{ params: #{ a: 1 } }));"#,
        r#"seen = show(requests.get("BIN/get?z=1#part", params={"a": 1}))"#,
    ),
    case(
        "params as pairs keep their order",
        r#"seen = show(http_get("BIN/get", #{ params: [["z", 1], ["a", "x"], ["z", 2]] }));"#,
        r#"seen = show(requests.get("BIN/get", params=[("z", 1), ("a", "x"), ("z", 2)]))"#,
    ),
    case(
        "params with reserved characters",
        r#"seen = show(http_get("BIN/get", #{ params: #{ "a b": "c&d=e/é?#+%20'" } }));"#,
        r#"seen = show(requests.get("BIN/get", params={"a b": "c&d=e/é?#+%20'"}))"#,
    ),
    case(
        "params: a flag is written as in JSON",
        r#"seen = show(http_get("BIN/get", #{ params: #{ on: true } }));"#,
        r#"seen = show(requests.get("BIN/get", params={"on": True}))"#,
    )
    .unlike(&[
        ("json/args", "Python writes True"),
        ("json/url", "Python writes True"),
        ("url", "Python writes True"),
    ]),
    case(
        "no params",
        r#"seen = show(http_get("BIN/get", #{ params: #{} }));"#,
        r#"seen = show(requests.get("BIN/get", params={}))"#,
    ),
    case(
        "a path with spaces and non-ASCII letters",
        r#"seen = show(http_get("BIN/anything/a b/温度/%20%2F"));"#,
        r#"seen = show(requests.get("BIN/anything/a b/温度/%20%2F"))"#,
    ),
    case(
        "a URL with space around it",
        r#"seen = show(http_get(" BIN/get"));"#,
        r#"seen = show(requests.get(" BIN/get"))"#,
    ),
    case(
        "data: a form",
        r#"seen = show(http_post("BIN/post", #{ data: #{ room: "bath & 厨房", n: 1, list: ["a", "b"], gone: () } }));"#,
        r#"seen = show(requests.post("BIN/post", data={"room": "bath & 厨房", "n": 1, "list": ["a", "b"], "gone": None}))"#,
    ),
    case(
        "data: a form in order",
        r#"seen = show(http_post("BIN/post", #{ data: [["b", "1"], ["a", "2"], ["b", "3"]] }));"#,
        r#"seen = show(requests.post("BIN/post", data=[("b", "1"), ("a", "2"), ("b", "3")]))"#,
    ),
    case(
        "data: text",
        r#"seen = show(http_post("BIN/post", #{ data: "plain text" }));"#,
        r#"seen = show(requests.post("BIN/post", data="plain text"))"#,
    ),
    case(
        "data: non-ASCII text",
        r#"seen = show(http_post("BIN/post", #{ data: "温度" }));"#,
        r#"seen = show(requests.post("BIN/post", data="温度".encode()))"#,
    ),
    case(
        "data: bytes",
        r#"let bytes = blob(); for n in 0..256 { bytes.push(n); } seen = show(http_post("BIN/post", #{ data: bytes }));"#,
        r#"seen = show(requests.post("BIN/post", data=bytes(range(256))))"#,
    ),
    case(
        "data: empty",
        r#"seen = show(http_post("BIN/post", #{ data: "" }));"#,
        r#"seen = show(requests.post("BIN/post", data=""))"#,
    ),
    case(
        "data with a content type of its own",
        r#"seen = show(http_post("BIN/post", #{ data: #{ a: 1 }, headers: #{ "content-type": "text/x" } }));"#,
        r#"seen = show(requests.post("BIN/post", data={"a": 1}, headers={"content-type": "text/x"}))"#,
    ),
    case(
        "data with get",
        r#"seen = show(http_request("GET", "BIN/anything", #{ data: "x" }));"#,
        r#"seen = show(requests.get("BIN/anything", data="x"))"#,
    ),
    case(
        "json: a map",
        r#"seen = show(http_post("BIN/post", #{ json: #{ a: [1, 2.5, true, (), "温度"], b: #{ c: "\"\\\n" } } }));"#,
        r#"seen = show(requests.post("BIN/post", json={"a": [1, 2.5, True, None, "温度"], "b": {"c": "\"\\\n"}}))"#,
    ),
    case(
        "json: a list",
        r#"seen = show(http_post("BIN/post", #{ json: [] }));"#,
        r#"seen = show(requests.post("BIN/post", json=[]))"#,
    ),
    case(
        "json: a text",
        r#"seen = show(http_post("BIN/post", #{ json: "on" }));"#,
        r#"seen = show(requests.post("BIN/post", json="on"))"#,
    ),
    case(
        "json of another type",
        r#"seen = show(http_post("BIN/post", #{ json: #{ a: 1 }, headers: #{ "Content-Type": "application/vnd.api+json" } }));"#,
        r#"seen = show(requests.post("BIN/post", json={"a": 1}, headers={"Content-Type": "application/vnd.api+json"}))"#,
    ),
    case(
        "headers",
        r#"seen = show(http_get("BIN/headers", #{ headers: #{ "X-One": "1", "x-two": "a, b", "X-Empty": "" } }));"#,
        r#"seen = show(requests.get("BIN/headers", headers={"X-One": "1", "x-two": "a, b", "X-Empty": ""}))"#,
    ),
    case(
        "headers: User-Agent",
        r#"seen = http_get("BIN/user-agent", #{ headers: #{ "User-Agent": "me/1" } }).json();"#,
        r#"seen = requests.get("BIN/user-agent", headers={"User-Agent": "me/1"}).json()"#,
    ),
    case(
        "headers: Accept",
        r#"seen = http_get("BIN/headers", #{ headers: #{ "Accept": "text/plain", "Accept-Encoding": "identity" } }).json().headers; seen = [seen.Accept, seen["Accept-Encoding"]];"#,
        r#"seen = requests.get("BIN/headers", headers={"Accept": "text/plain", "Accept-Encoding": "identity"}).json()["headers"]; seen = [seen["Accept"], seen["Accept-Encoding"]]"#,
    ),
    case(
        "headers: a null value is left out",
        r#"seen = show(http_get("BIN/headers", #{ headers: #{ "X-One": () } }));"#,
        r#"seen = show(requests.get("BIN/headers", headers={"X-One": None}))"#,
    ),
    case(
        "headers: another host",
        r#"seen = http_get("BIN/headers", #{ headers: #{ "Host": "example.com" } }).json().headers.Host;"#,
        r#"seen = requests.get("BIN/headers", headers={"Host": "example.com"}).json()["headers"]["Host"]"#,
    ),
    case(
        "cookies",
        r#"seen = show(http_get("BIN/cookies", #{ cookies: #{ a: "1", b: "x y" } }));"#,
        r#"seen = show(requests.get("BIN/cookies", cookies={"a": "1", "b": "x y"}))"#,
    ),
    case(
        "cookies are sent after a redirect",
        r#"seen = show(http_get("BIN/redirect-to?url=/cookies", #{ cookies: #{ a: "1" } }));"#,
        r#"seen = show(requests.get("BIN/redirect-to?url=/cookies", cookies={"a": "1"}))"#,
    ),
    case(
        "auth: user and password",
        r#"seen = show(http_get("BIN/basic-auth/ann/p%40ss:word", #{ auth: ["ann", "p@ss:word"] }));"#,
        r#"seen = show(requests.get("BIN/basic-auth/ann/p%40ss:word", auth=("ann", "p@ss:word")))"#,
    ),
    case(
        "auth: a wrong password",
        r#"seen = show(http_get("BIN/basic-auth/ann/pass", #{ auth: ["ann", "word"] }));"#,
        r#"seen = show(requests.get("BIN/basic-auth/ann/pass", auth=("ann", "word")))"#,
    ),
    case(
        "auth: a token",
        r#"seen = show(http_get("BIN/bearer", #{ auth: #{ bearer: "t0ken" } }));"#,
        r#"seen = show(requests.get("BIN/bearer", headers={"Authorization": "Bearer t0ken"}))"#,
    ),
    case(
        "auth: user and password in the URL",
        r#"let url = "BIN/basic-auth/ann/p@ss"; url.replace("//", "//ann:p%40ss@"); seen = show(http_get(url)); seen.url = ();"#,
        r#"seen = show(requests.get("BIN/basic-auth/ann/p@ss".replace("//", "//ann:p%40ss@"))); seen["url"] = None"#,
    ),
    case("an unknown option", r#"http_get("BIN/get", #{ tiemout: 5 });"#, r#"requests.get("BIN/get", tiemout=5)"#),
    case(
        "an invalid header value",
        r#"http_get("BIN/get", #{ headers: #{ "X-A": "a\r\nX-B: b" } });"#,
        r#"requests.get("BIN/get", headers={"X-A": "a\r\nX-B: b"})"#,
    ),
    case(
        "timeout in seconds",
        r#"seen = http_get("BIN/delay/0", #{ timeout: 20 }).status_code;"#,
        r#"seen = requests.get("BIN/delay/0", timeout=20).status_code"#,
    ),
    case(
        "redirects are not followed on request",
        r#"seen = show(http_get("BIN/redirect/2", #{ allow_redirects: false }));"#,
        r#"seen = show(requests.get("BIN/redirect/2", allow_redirects=False))"#,
    ),
    case(
        "redirects of head are not followed",
        r#"seen = show(http_head("BIN/redirect/1")); seen.encoding = ();"#,
        r#"seen = show(requests.head("BIN/redirect/1")); seen["encoding"] = None"#,
    ),
    case(
        "redirects of head are followed on request",
        r#"seen = show(http_head("BIN/redirect/2", #{ allow_redirects: true })); seen.encoding = ();"#,
        r#"seen = show(requests.head("BIN/redirect/2", allow_redirects=True)); seen["encoding"] = None"#,
    ),
    case(
        "a large body",
        r#"let text = ""; for n in 0..5000 { text += "line " + n + "\n"; } seen = show(http_post("BIN/post", #{ data: text }));"#,
        r#"seen = show(requests.post("BIN/post", data="".join(f"line {n}\n" for n in range(5000))))"#,
    ),
    case(
        "a body after redirect 307",
        r#"seen = show(http_post("BIN/redirect-to?url=/anything&status_code=307", #{ json: #{ a: 1 } }));"#,
        r#"seen = show(requests.post("BIN/redirect-to?url=/anything&status_code=307", json={"a": 1}))"#,
    ),
    case(
        "a put whose answer is 303",
        r#"seen = show(http_put("BIN/redirect-to", #{ data: #{ url: "/anything", status_code: 303 } }));"#,
        r#"seen = show(requests.put("BIN/redirect-to", data={"url": "/anything", "status_code": 303}))"#,
    ),
    case(
        "params as text",
        r#"seen = show(http_get("BIN/get", #{ params: "a=1&b=c%20d" }));"#,
        r#"seen = show(requests.get("BIN/get", params="a=1&b=c%20d"))"#,
    ),
    case(
        "params are encoded as Python does it",
        r#"seen = show(http_get("BIN/get", #{ params: #{ a: "-_.~!*'()" } }));"#,
        r#"seen = show(requests.get("BIN/get", params={"a": "-_.~!*'()"}))"#,
    ),
    case(
        "params as text are appended to the query of the URL",
        r#"seen = show(http_get("BIN/get?z=1", #{ params: "a=1" }));"#,
        r#"seen = show(requests.get("BIN/get?z=1", params="a=1"))"#,
    ),
    case(
        "files: a path",
        r#"seen = show(http_post("BIN/post", #{ files: #{ report: "upload.txt" } }));"#,
        r#"seen = show(requests.post("BIN/post", files={"report": open("upload.txt", "rb")}))"#,
    ),
    case(
        "files: bytes with a name and a type",
        r#"let bytes = blob(); for n in 0..256 { bytes.push(n); } seen = show(http_post("BIN/post", #{ files: #{ photo: #{ content: bytes, filename: "a b.png", content_type: "image/png" } } }));"#,
        r#"seen = show(requests.post("BIN/post", files={"photo": ("a b.png", bytes(range(256)), "image/png")}))"#,
    ),
    case(
        "files with form fields",
        r#"seen = show(http_post("BIN/post", #{ files: #{ f: #{ content: "a", filename: "a.txt" } }, data: #{ room: "bath & 厨房", n: 1 } }));"#,
        r#"seen = show(requests.post("BIN/post", files={"f": ("a.txt", "a")}, data={"room": "bath & 厨房", "n": 1}))"#,
    ),
    case(
        "files: several of one name",
        r#"seen = show(http_post("BIN/post", #{ files: [["f", #{ content: "a", filename: "a.txt" }], ["f", #{ content: "b", filename: "b.txt" }], ["g", #{ content: "c", filename: "c.txt" }]] }));"#,
        r#"seen = show(requests.post("BIN/post", files=[("f", ("a.txt", "a")), ("f", ("b.txt", "b")), ("g", ("c.txt", "c"))]))"#,
    ),
    case(
        "files: a missing file",
        r#"let kind = "sent"; try { http_post("BIN/post", #{ files: #{ f: "missing.txt" } }); } catch (err) { kind = err.kind; } seen = kind == "sent";"#,
        r#"
seen = False
try:
    requests.post("BIN/post", files={"f": open("missing.txt", "rb")}); seen = True
except OSError:
    pass
"#,
    ),
    case(
        "auth: digest",
        r#"seen = show(http_get("BIN/digest-auth/auth/ann/pass", #{ auth: #{ digest: ["ann", "pass"] } })).json;"#,
        r#"seen = show(requests.get("BIN/digest-auth/auth/ann/pass", auth=requests.auth.HTTPDigestAuth("ann", "pass")))["json"]"#,
    ),
    case(
        "auth: digest with SHA-256 and MD5",
        r#"seen = ["SHA-256", "MD5"].map(|sum| http_get("BIN/digest-auth/auth/ann/pass/" + sum, #{ auth: #{ digest: ["ann", "pass"] } }).status_code);"#,
        r#"seen = [requests.get("BIN/digest-auth/auth/ann/pass/" + sum, auth=requests.auth.HTTPDigestAuth("ann", "pass")).status_code for sum in ["SHA-256", "MD5"]]"#,
    ),
    case(
        "auth: digest with a wrong password",
        r#"seen = http_get("BIN/digest-auth/auth/ann/pass", #{ auth: #{ digest: ["ann", "word"] } }).status_code;"#,
        r#"seen = requests.get("BIN/digest-auth/auth/ann/pass", auth=requests.auth.HTTPDigestAuth("ann", "word")).status_code"#,
    ),
    case(
        "auth: digest of a post, with a body",
        r#"seen = http_post("PLAIN/bin/digest-auth/auth/ann/pass", #{ auth: #{ digest: ["ann", "pass"] }, data: "x" }).status_code;"#,
        r#"seen = requests.post("PLAIN/bin/digest-auth/auth/ann/pass", auth=requests.auth.HTTPDigestAuth("ann", "pass"), data="x").status_code"#,
    ),
    case(
        "timeouts for connecting and reading",
        r#"seen = http_get("BIN/get", #{ timeout: #{ connect: 5, read: "20s", total: "30s" } }).status_code;"#,
        r#"seen = requests.get("BIN/get", timeout=(5, 20)).status_code"#,
    ),
    case(
        "retries on status 503",
        r#"seen = http_get("BIN/status/503", #{ retry: #{ max: 2, backoff: "10ms", on: [503] } }).status_code;"#,
        r#"
from requests.adapters import HTTPAdapter
from urllib3.util import Retry
s = requests.Session()
s.mount("http://", HTTPAdapter(max_retries=Retry(total=2, backoff_factor=0.01, status_forcelist=[503], raise_on_status=False)))
seen = s.get("BIN/status/503").status_code
"#,
    ),
    case(
        "streamed lines of JSON",
        r#"let ids = []; for line in http_get("BIN/stream/5", #{ stream: true }).lines() { ids.push(parse_json(line).id); } seen = ids;"#,
        r#"seen = [json.loads(line)["id"] for line in requests.get("BIN/stream/5", stream=True).iter_lines()]"#,
    ),
    case(
        "lines to a handler",
        r#"let ids = []; let r = http_stream("BIN/stream/5", #{ format: "json" }, |row| ids.push(row.id)); seen = [r.status_code, ids];"#,
        r#"r = requests.get("BIN/stream/5", stream=True); seen = [r.status_code, [json.loads(line)["id"] for line in r.iter_lines()]]"#,
    ),
    case(
        "streamed bytes",
        r#"let length = 0; for piece in http_get("PLAIN/big.bin", #{ stream: true }).iter() { length += piece.len(); } seen = length;"#,
        r#"seen = sum(len(piece) for piece in requests.get("PLAIN/big.bin", stream=True).iter_content(8192))"#,
    ),
    case(
        "a stream that is left early",
        r#"for line in http_get("BIN/stream/100", #{ stream: true }).lines() { seen = parse_json(line).id; break; }"#,
        r#"
with requests.get("BIN/stream/100", stream=True) as r:
    for line in r.iter_lines():
        seen = json.loads(line)["id"]
        break
"#,
    ),
    case(
        "a download to a file",
        r#"let r = http_get("PLAIN/big.bin", #{ save_to: "big.bin" }); seen = [r.status_code, read_file("big.bin").len()];"#,
        r#"
r = requests.get("PLAIN/big.bin", stream=True)
with open("theirs.bin", "wb") as file:
    for piece in r.iter_content(8192):
        file.write(piece)
import os
seen = [r.status_code, os.path.getsize("theirs.bin")]
"#,
    ),
    case(
        "a compressed body",
        r#"let r = http_get("BIN/gzip", #{ decompress: false }); seen = [r.content[0], r.content[1], r.headers["content-encoding"]];"#,
        r#"r = requests.get("BIN/gzip", stream=True); raw = r.raw.read(decode_content=False); seen = [raw[0], raw[1], r.headers["content-encoding"]]"#,
    ),
    case(
        "the sent request",
        r#"let sent = http_post("BIN/post", #{ params: #{ a: 1 }, data: "x", headers: #{ "X-A": "b" } }).request; seen = [sent.method, sent.url, sent.headers["x-a"]];"#,
        r#"sent = requests.post("BIN/post", params={"a": 1}, data="x", headers={"X-A": "b"}).request; seen = [sent.method, sent.url, sent.headers["x-a"]]"#,
    ),
    case(
        "permanent redirects",
        r#"seen = [301, 302, 308].map(|status| http_get("BIN/redirect-to?url=/get", #{ params: #{ status_code: status }, allow_redirects: false }).is_permanent_redirect);"#,
        r#"seen = [requests.get("BIN/redirect-to?url=/get", params={"status_code": status}, allow_redirects=False).is_permanent_redirect for status in [301, 302, 308]]"#,
    ),
];
