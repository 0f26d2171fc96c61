//! Functions that send one request, such as `http_get`.

use rhai::FnPtr;
use rhai::plugin::*;

use crate::functions::http::call::Call;
use crate::functions::http::response::Response;
use crate::functions::http::send::send;
use crate::functions::http::stream::stream;
use crate::functions::thrown::Thrown;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "http", functions);
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Sends a GET request and returns the response, whatever its status code. Throws an error if there is no response.
    ///
    /// | option | meaning |
    /// |---|---|
    /// | `params` | query parameters: a map, or pairs such as `[["z", 1], ["a", 2]]` if the order matters; an array repeats the name, `()` omits it; text is appended unchanged |
    /// | `headers` | a map or pairs |
    /// | `json` | any value, sent as JSON |
    /// | `data` | a map or pairs (sent as a form), text or a blob (sent unchanged) |
    /// | `files` | a multipart form with files, and `data` as its other fields: `#{ photo: "path" }`, a blob, or a map with `path` or `content`, and optionally `filename`, `content_type`, `headers` |
    /// | `auth` | `["user", "password"]`, `#{ digest: ["user", "password"] }` or `#{ bearer: "token" }` |
    /// | `cookies` | a map or pairs, for the host of the URL |
    /// | `timeout` | `"5s"` for the whole call including redirects and retries (default `"30s"`), or `#{ connect, read, total }`; limited by the time left for the run |
    /// | `allow_redirects` | `false`, or the maximum number of redirects (default 30) |
    /// | `proxy` | a URL, `#{ http, https }`, or `false` for none; default: the environment variables `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` |
    /// | `verify` | `false` accepts any certificate, a path trusts only the certificate authorities in that PEM file |
    /// | `cert` | client certificate: the path of a PEM file with the certificate and its key, or `["cert.pem", "key.pem"]` |
    /// | `retry` | the maximum number of retries, or `#{ max, backoff, on, methods }`; see below |
    /// | `save_to` | a path: the body is saved to this file if the status is 2xx; the file is replaced atomically |
    /// | `stream` | `true`: the body is received when you call `lines()`, `events()`, `iter()` or read `text` |
    /// | `max_body` | the largest body (default `"10MiB"`, with `save_to` `"1GiB"`) |
    /// | `decompress` | `false` keeps the body compressed |
    ///
    /// `retry` repeats the request after `backoff` (`"500ms"`, doubled each time) or after the delay in `Retry-After`, if the status or the
    /// error is in `on` (default `[429, 502, 503, 504, "connect", "timeout"]`) and the method is in `methods` (default: the idempotent
    /// methods, so not `POST` and `PATCH`; a request that never reached the server is repeated with any method). You get the last response.
    ///
    /// Errors have `kind` (`timeout`, `timeout.connect`, `timeout.read`, `connect`, `tls`, `proxy`, `too_many_redirects`,
    /// `invalid_url`, `decode`, `body_too_large`, `denied`; with `raise_for_status()` also `status`), `message`, `url`, and `status` and
    /// `response` if there was a response. For the differences from Python's `requests`, see `examples/http/README.md`.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_get("http://example.test/get", #{ params: #{ city: "Oslo", day: [1, 2] }, timeout: "5s" });
    /// r.raise_for_status();
    /// assert_eq(r.status_code, 200);
    /// assert_eq(r.json().query, "city=Oslo&day=1&day=2");
    ///
    /// // Retry while the server is busy, with a separate limit for each part of the call.
    /// let r = http_get("http://example.test/flaky/doc/1", #{ retry: 3, timeout: #{ connect: "2s", read: "5s", total: "20s" } });
    /// assert(r.ok);
    ///
    /// // Save a large file to disk without loading it into memory.
    /// http_get("http://example.test/bytes/5000", #{ save_to: "notes/report.bin", max_body: "1MiB" });
    /// assert_eq(read_file("notes/report.bin", #{ binary: true }).len(), 5000);
    ///
    /// // Send cookies, follow at most three redirects, use no proxy, accept any certificate, do not decompress.
    /// let r = http_get("http://example.test/redirect/2", #{
    ///     cookies: #{ lang: "no" }, allow_redirects: 3, proxy: false, verify: false, decompress: false,
    /// });
    /// assert("lang=no" in r.json().headers.cookie);
    ///
    /// // Catch errors.
    /// let kind = "";
    /// try { http_get("http://example.test/slow", #{ timeout: "50ms" }); } catch (err) { kind = err.kind; }
    /// assert_eq(kind, "timeout");
    /// ```
    #[rhai_fn(name = "http_get", return_raw)]
    pub fn http_get(url: &str) -> Result<Response, Thrown> {
        send("http_get", Call::new("GET", url))
    }

    #[rhai_fn(name = "http_get", return_raw)]
    pub fn http_get_with(url: &str, options: rhai::Map) -> Result<Response, Thrown> {
        send("http_get", Call::read("GET", url, &options)?)
    }

    /// Sends a POST request. Options: see `http_get`.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_post("http://example.test/post", #{ json: #{ title: "Freezer warm" } });
    /// assert_eq(parse_json(r.json().body).title, "Freezer warm");
    /// let form = http_post("http://example.test/post", #{ data: #{ room: "bath" } });
    /// assert_eq(form.json().body, "room=bath");
    ///
    /// // A multipart form with two files: one from disk, one from memory.
    /// write_file("notes/door.txt", "open");
    /// let r = http_post("http://example.test/post", #{
    ///     data: #{ room: "hall" },
    ///     files: #{ log: "notes/door.txt", photo: #{ content: blob(3, 65), filename: "a.png", content_type: "image/png" } },
    /// });
    /// assert("filename=\"door.txt\"" in r.json().body && "Content-Type: image/png" in r.json().body);
    /// ```
    #[rhai_fn(name = "http_post", return_raw)]
    pub fn http_post(url: &str) -> Result<Response, Thrown> {
        send("http_post", Call::new("POST", url))
    }

    #[rhai_fn(name = "http_post", return_raw)]
    pub fn http_post_with(url: &str, options: rhai::Map) -> Result<Response, Thrown> {
        send("http_post", Call::read("POST", url, &options)?)
    }

    /// Sends a PUT request. Options: see `http_get`.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_put("http://example.test/put", #{ data: "on", headers: #{ "Content-Type": "text/plain" } });
    /// assert_eq(r.json().body, "on");
    /// ```
    #[rhai_fn(name = "http_put", return_raw)]
    pub fn http_put(url: &str) -> Result<Response, Thrown> {
        send("http_put", Call::new("PUT", url))
    }

    #[rhai_fn(name = "http_put", return_raw)]
    pub fn http_put_with(url: &str, options: rhai::Map) -> Result<Response, Thrown> {
        send("http_put", Call::read("PUT", url, &options)?)
    }

    /// Sends a PATCH request. Options: see `http_get`.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_patch("http://example.test/patch", #{ json: #{ on: true } });
    /// assert_eq(r.json().method, "PATCH");
    /// ```
    #[rhai_fn(name = "http_patch", return_raw)]
    pub fn http_patch(url: &str) -> Result<Response, Thrown> {
        send("http_patch", Call::new("PATCH", url))
    }

    #[rhai_fn(name = "http_patch", return_raw)]
    pub fn http_patch_with(url: &str, options: rhai::Map) -> Result<Response, Thrown> {
        send("http_patch", Call::read("PATCH", url, &options)?)
    }

    /// Sends a DELETE request. Options: see `http_get`.
    ///
    /// # Example
    /// ```rhai
    /// assert(http_delete("http://example.test/delete", #{ auth: #{ bearer: "token" } }).ok);
    /// ```
    #[rhai_fn(name = "http_delete", return_raw)]
    pub fn http_delete(url: &str) -> Result<Response, Thrown> {
        send("http_delete", Call::new("DELETE", url))
    }

    #[rhai_fn(name = "http_delete", return_raw)]
    pub fn http_delete_with(url: &str, options: rhai::Map) -> Result<Response, Thrown> {
        send("http_delete", Call::read("DELETE", url, &options)?)
    }

    /// Sends a HEAD request, which returns only the headers. Options: see `http_get`, but redirects are followed only if you set
    /// `allow_redirects`.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_head("http://example.test/get");
    /// assert_eq(r.text, "");
    /// assert_eq(r.headers["Content-Type"], "application/json");
    /// ```
    #[rhai_fn(name = "http_head", return_raw)]
    pub fn http_head(url: &str) -> Result<Response, Thrown> {
        send("http_head", Call::new("HEAD", url))
    }

    #[rhai_fn(name = "http_head", return_raw)]
    pub fn http_head_with(url: &str, options: rhai::Map) -> Result<Response, Thrown> {
        send("http_head", Call::read("HEAD", url, &options)?)
    }

    /// Sends an OPTIONS request. Options: see `http_get`.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_options("http://example.test/anything");
    /// assert_eq(r.json().method, "OPTIONS");
    /// ```
    #[rhai_fn(name = "http_options", return_raw)]
    pub fn http_options(url: &str) -> Result<Response, Thrown> {
        send("http_options", Call::new("OPTIONS", url))
    }

    #[rhai_fn(name = "http_options", return_raw)]
    pub fn http_options_with(url: &str, options: rhai::Map) -> Result<Response, Thrown> {
        send("http_options", Call::read("OPTIONS", url, &options)?)
    }

    /// Sends a request with any method. Options: see `http_get`.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_request("REPORT", "http://example.test/anything", #{ auth: ["ann", "secret"] });
    /// assert_eq(r.json().method, "REPORT");
    /// assert_eq(r.json().headers.authorization, "Basic " + base64_encode("ann:secret"));
    ///
    /// // Digest authentication: the password is not sent.
    /// let r = http_request("GET", "http://example.test/digest", #{ auth: #{ digest: ["ann", "secret"] } });
    /// assert(r.json().headers.authorization.starts_with("Digest username=\"ann\""));
    /// ```
    #[rhai_fn(name = "http_request", return_raw)]
    pub fn http_request(method: &str, url: &str) -> Result<Response, Thrown> {
        send("http_request", Call::new(method, url))
    }

    #[rhai_fn(name = "http_request", return_raw)]
    pub fn http_request_with(method: &str, url: &str, options: rhai::Map) -> Result<Response, Thrown> {
        send("http_request", Call::read(method, url, &options)?)
    }

    /// Sends a GET request and calls a function with each line of the response as it arrives; returns the response after the last line.
    /// The next line is read when the function returns: the server waits meanwhile. If the status code is 400 or higher, the function is
    /// not called: see `raise_for_status()`.
    ///
    /// Options: those of `http_get`, and `format`: `"lines"` (default), `"json"` (the value of each line), `"events"` (server-sent
    /// events: maps with `event`, `data`, `id`) or `"bytes"` (blobs). The call may last as long as the run (the trigger's `timeout`), unless
    /// you set `timeout`; use `timeout: #{ read: "1m" }` to detect servers that stop sending. `max_body` limits the length of a line.
    /// To stop before the end, loop over `http_get(url, #{ stream: true }).lines()` and use `break`.
    ///
    /// # Example
    /// ```rhai
    /// let names = [];
    /// http_stream("http://example.test/lines/2", #{ format: "json" }, |row| names.push(row.n));
    /// assert_eq(names, [1, 2]);
    /// let r = http_stream("http://example.test/status/503", |line| print(line));
    /// assert_eq(r.status_code, 503);
    /// ```
    #[rhai_fn(name = "http_stream", return_raw)]
    pub fn http_stream(context: NativeCallContext<'_>, url: &str, handler: FnPtr) -> Result<Response, Thrown> {
        http_stream_with(context, url, rhai::Map::new(), handler)
    }

    #[rhai_fn(name = "http_stream", return_raw)]
    pub fn http_stream_with(
        context: NativeCallContext<'_>,
        url: &str,
        options: rhai::Map,
        handler: FnPtr,
    ) -> Result<Response, Thrown> {
        stream(&context, &options, &handler, |options| send("http_stream", Call::from_options("GET", url, options)?))
    }
}
