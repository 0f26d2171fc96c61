//! Responses: status, headers, text, redirects, links.

use super::case::{Case, case, compare};

#[test]
fn responses_look_as_in_requests() {
    compare(&CASES);
}

const PLAIN: &str = "the header is removed from decompressed responses";
const LATIN: &str = "requests assumes ISO 8859-1 for text without a charset";

const CASES: [Case; 47] = [
    case("zstd", r#"seen = show(http_get("PLAIN/zstd.txt"));"#, r#"seen = show(requests.get("PLAIN/zstd.txt"))"#)
        .unlike(&[("encoding", LATIN), ("text", LATIN), ("headers/content-encoding", PLAIN)]),
    case(
        "zstd as text",
        r#"let r = http_get("PLAIN/zstd.txt"); r.encoding = "utf-8"; seen = r.text;"#,
        r#"r = requests.get("PLAIN/zstd.txt"); r.encoding = "utf-8"; seen = r.text"#,
    ),
    case(
        "zstd that is cut off",
        r#"let failed = false; try { http_get("PLAIN/zstd/cut"); } catch { failed = true; } seen = #{ failed: failed };"#,
        r#"requests.get("PLAIN/zstd/cut"); seen = {"failed": False}"#,
    )
    .unlike(&[("failed", "requests accepts truncated zstd")]),
    case("invalid zstd", r#"http_get("PLAIN/zstd/wrong");"#, r#"requests.get("PLAIN/zstd/wrong")"#),
    case("created", r#"seen = show(http_get("BIN/status/201"));"#, r#"seen = show(requests.get("BIN/status/201"))"#),
    case("no content", r#"seen = show(http_get("BIN/status/204"));"#, r#"seen = show(requests.get("BIN/status/204"))"#),
    case(
        "not modified",
        r#"seen = show(http_get("BIN/etag/x", #{ headers: #{ "If-None-Match": "x" } }));"#,
        r#"seen = show(requests.get("BIN/etag/x", headers={"If-None-Match": "x"}))"#,
    ),
    case(
        "bad request",
        r#"seen = show(http_get("BIN/status/400"));"#,
        r#"seen = show(requests.get("BIN/status/400"))"#,
    ),
    case("not found", r#"seen = show(http_get("BIN/status/404"));"#, r#"seen = show(requests.get("BIN/status/404"))"#),
    case("a teapot", r#"seen = show(http_get("BIN/status/418"));"#, r#"seen = show(requests.get("BIN/status/418"))"#),
    case(
        "service unavailable",
        r#"seen = show(http_get("BIN/status/503"));"#,
        r#"seen = show(requests.get("BIN/status/503"))"#,
    ),
    case("a non-standard status", r#"seen = show(http_get("PLAIN/odd"));"#, r#"seen = show(requests.get("PLAIN/odd"))"#),
    case(
        "a reason phrase",
        r#"seen = show(http_get("PLAIN/moved", #{ allow_redirects: false }));"#,
        r#"seen = show(requests.get("PLAIN/moved", allow_redirects=False))"#,
    )
    .unlike(&[("encoding", LATIN)]),
    case(
        "raise for a bad status",
        r#"http_get("BIN/status/404").raise_for_status();"#,
        r#"requests.get("BIN/status/404").raise_for_status()"#,
    ),
    case(
        "raise for a bad status of the server",
        r#"try { http_get("BIN/status/500").raise_for_status(); } catch (err) { seen = [err.kind, err.response.status_code]; }"#,
        r#"
try:
    requests.get("BIN/status/500").raise_for_status()
except requests.HTTPError as err:
    seen = ["status", err.response.status_code]
"#,
    ),
    case(
        "raise for no bad status",
        r#"http_get("BIN/status/302", #{ allow_redirects: false }).raise_for_status(); seen = "continued";"#,
        r#"requests.get("BIN/status/302", allow_redirects=False).raise_for_status(); seen = "continued""#,
    ),
    case(
        "headers in any case, or none",
        r#"let headers = http_get("BIN/get").headers; seen = [headers["CONTENT-type"], headers["x-none"], headers.get("x-none", 7), "content-TYPE" in headers, headers.content_type ?? "-"];"#,
        r#"headers = requests.get("BIN/get").headers; seen = [headers["CONTENT-type"], headers.get("x-none"), headers.get("x-none", 7), "content-TYPE" in headers, "-"]"#,
    ),
    case(
        "headers that come twice",
        r#"seen = show(http_get("PLAIN/links"));"#,
        r#"seen = show(requests.get("PLAIN/links"))"#,
    ),
    case("json", r#"seen = show(http_get("BIN/json"));"#, r#"seen = show(requests.get("BIN/json"))"#),
    case(
        "json of UTF-8",
        r#"seen = show(http_get("BIN/encoding/utf8"));"#,
        r#"seen = show(requests.get("BIN/encoding/utf8"))"#,
    ),
    case("html", r#"seen = show(http_get("BIN/html"));"#, r#"seen = show(requests.get("BIN/html"))"#),
    case("xml", r#"seen = show(http_get("BIN/xml"));"#, r#"seen = show(requests.get("BIN/xml"))"#),
    case(
        "text without a charset",
        r#"seen = show(http_get("PLAIN/hello.txt"));"#,
        r#"seen = show(requests.get("PLAIN/hello.txt"))"#,
    )
    .unlike(&[("encoding", LATIN)]),
    case(
        "text without a charset, in ISO 8859-1",
        r#"seen = show(http_get("PLAIN/latin.html"));"#,
        r#"seen = show(requests.get("PLAIN/latin.html"))"#,
    )
    .unlike(&[("encoding", LATIN)]),
    case(
        "text with a charset in its markup",
        r#"seen = show(http_get("PLAIN/gbk.html"));"#,
        r#"seen = show(requests.get("PLAIN/gbk.html"))"#,
    )
    .unlike(&[("encoding", LATIN), ("text", LATIN)]),
    case(
        "text read in another encoding",
        r#"let r = http_get("PLAIN/gbk.html"); r.encoding = "gbk"; seen = show(r);"#,
        r#"r = requests.get("PLAIN/gbk.html"); r.encoding = "gbk"; seen = show(r)"#,
    ),
    case(
        "a charset in the header",
        r#"seen = show(http_get("PLAIN/latin"));"#,
        r#"seen = show(requests.get("PLAIN/latin"))"#,
    ),
    case(
        "text with a byte order mark",
        r#"seen = show(http_get("PLAIN/marked.txt"));"#,
        r#"seen = show(requests.get("PLAIN/marked.txt"))"#,
    )
    .unlike(&[("encoding", LATIN), ("text", LATIN)]),
    case(
        "json with a byte order mark",
        r#"seen = http_get("PLAIN/marked.json").json();"#,
        r#"seen = requests.get("PLAIN/marked.json").json()"#,
    )
    .unlike(&[("a", "rhaid accepts a byte order mark"), ("fault", "rhaid accepts a byte order mark")]),
    case(
        "json in UTF-16",
        r#"seen = http_get("PLAIN/wide.json").json();"#,
        r#"seen = requests.get("PLAIN/wide.json").json()"#,
    ),
    case("invalid json", r#"http_get("PLAIN/wrong.json").json();"#, r#"requests.get("PLAIN/wrong.json").json()"#),
    case("empty json", r#"http_get("PLAIN/empty.json").json();"#, r#"requests.get("PLAIN/empty.json").json()"#),
    case(
        "bytes",
        r#"let r = http_get("BIN/bytes/64?seed=1"); let total = 0; for i in 0..64 { total = total * 31 % 1000003 + r.content[i]; } seen = [r.content.len(), total];"#,
        r#"
r = requests.get("BIN/bytes/64?seed=1")
total = 0
for byte in r.content:
    total = total * 31 % 1000003 + byte
seen = [len(r.content), total]
"#,
    ),
    case(
        "a picture",
        r#"let r = http_get("BIN/image/png"); seen = [r.content.len(), r.headers["content-type"]];"#,
        r#"r = requests.get("BIN/image/png"); seen = [len(r.content), r.headers["content-type"]]"#,
    ),
    case("gzip", r#"seen = show(http_get("BIN/gzip"));"#, r#"seen = show(requests.get("BIN/gzip"))"#)
        .unlike(&[("headers/content-encoding", PLAIN)]),
    case("deflate", r#"seen = show(http_get("BIN/deflate"));"#, r#"seen = show(requests.get("BIN/deflate"))"#)
        .unlike(&[("headers/content-encoding", PLAIN)]),
    case("brotli", r#"seen = show(http_get("BIN/brotli"));"#, r#"seen = show(requests.get("BIN/brotli"))"#)
        .unlike(&[("headers/content-encoding", PLAIN)]),
    case(
        "a body in chunks",
        r#"let r = http_get("BIN/stream/3"); seen = [r.text.split("\n").len(), r.headers["transfer-encoding"]];"#,
        r#"r = requests.get("BIN/stream/3"); seen = [len(r.text.split("\n")), r.headers["transfer-encoding"]]"#,
    ),
    case(
        "a slow body",
        r#"seen = show(http_get("BIN/drip?numbytes=5&duration=0.2"));"#,
        r#"seen = show(requests.get("BIN/drip?numbytes=5&duration=0.2"))"#,
    ),
    case(
        "a part of a body",
        r#"seen = show(http_get("BIN/range/26", #{ headers: #{ "Range": "bytes=3-5" } }));"#,
        r#"seen = show(requests.get("BIN/range/26", headers={"Range": "bytes=3-5"}))"#,
    ),
    case("redirects", r#"seen = show(http_get("BIN/redirect/3"));"#, r#"seen = show(requests.get("BIN/redirect/3"))"#),
    case(
        "redirects to whole addresses",
        r#"seen = show(http_get("BIN/absolute-redirect/2?z=1#part"));"#,
        r#"seen = show(requests.get("BIN/absolute-redirect/2?z=1#part"))"#,
    ),
    case(
        "a redirect with status 301, 302, 303 and 308 of a post",
        r#"seen = []; for status in [301, 302, 303, 307, 308] { let r = http_post("BIN/redirect-to?url=/anything", #{ params: #{ status_code: status }, data: "x" }); seen.push([r.json().method, r.json().data, r.json().headers["Content-Type"]]); }"#,
        r#"
seen = []
for status in [301, 302, 303, 307, 308]:
    r = requests.post("BIN/redirect-to?url=/anything", params={"status_code": status}, data="x")
    seen.append([r.json()["method"], r.json()["data"], r.json()["headers"].get("Content-Type")])
"#,
    ),
    case(
        "cookies of each hop",
        r#"seen = show(http_get("BIN/cookies/set?a=1&b=2"));"#,
        r#"seen = show(requests.get("BIN/cookies/set?a=1&b=2"))"#,
    ),
    case(
        "links, with commas in them",
        r#"let links = http_get("PLAIN/pages").links; seen = [links.next.rel, links.last];"#,
        r#"links = requests.get("PLAIN/pages").links; seen = [links["next"]["rel"], links["last"]]"#,
    ),
    case(
        "the next link is an absolute URL",
        r#"seen = http_get("PLAIN/pages").links.next.url;"#,
        r#"from urllib.parse import urljoin; r = requests.get("PLAIN/pages"); seen = urljoin(r.url, r.links["next"]["url"])"#,
    ),
    case(
        "how long it took",
        r#"let r = http_get("BIN/delay/1"); seen = r.elapsed >= 1.0 && r.elapsed < 30.0;"#,
        r#"r = requests.get("BIN/delay/1"); seen = 1 <= r.elapsed.total_seconds() < 30"#,
    ),
];
