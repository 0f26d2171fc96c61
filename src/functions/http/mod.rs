//! HTTP out.

mod body;
mod call;
mod fault;
mod fields;
mod recorded_response;
mod response;
mod session;
mod stream;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use rhai::FnPtr;
use rhai::plugin::*;
use tokio_util::task::AbortOnDropHandle;

use self::call::Call;
use self::fault::{failed, shown_url};
pub use self::fields::Headers;
pub use self::recorded_response::RecordedResponse;
pub use self::response::Response;
pub use self::session::Session;
pub use self::stream::Pieces;
use self::stream::{Cutter, Format};
use crate::config::{Denied, Need};
use crate::functions::act::DryRun;
use crate::functions::arguments::{invalid_argument, parse_options};
use crate::functions::{Context, Package, Thrown, context};
use crate::options::Options;
use crate::services::http::{Failure, ReceivedResponse, Request, RequestGuard};

/// HTTP out.
pub const HTTP: Package = Package {
    name: "HTTP out",
    docs: "Requests to servers, with a limit on everything, and their answers.",
    register: |module| {
        combine_with_exported_module!(module, "http", functions);
        response::register(module);
        fields::register(module);
        session::register(module);
        stream::register(module);
    },
};

/// Asks the permissions of a script where its requests may go.
struct PermissionGuard(Arc<Context>);

impl RequestGuard for PermissionGuard {
    fn check_host(&self, host: &str, port: u16) -> Result<(), Denied> {
        self.0.config.permissions.check(&self.0.script, Need::Host(host, port))
    }

    fn check_address(&self, host: &str, port: u16, address: IpAddr) -> Result<(), Denied> {
        self.0.config.permissions.check_address(&self.0.script, host, port, address)
    }

    fn check_unknown(&self, host: &str, port: u16) -> Result<(), Denied> {
        self.0.config.permissions.check_unknown(&self.0.script, host, port)
    }
}

/// Sends a request and waits for the answer.
fn send(function: &'static str, call: Call) -> Result<Response, Thrown> {
    let context = context(function)?;
    let url = call.url()?;
    let with = call.told(&url);
    let request = call.request(function, url, &context)?;
    let max_body = request.max_body;
    context.act(function, with, DryRun::Refused, |told| {
        let began = Instant::now();
        let outcome = context.wait_for_http(begin(&context, request))?.map_err(broken_off)?;
        let (request, arrived) = (&outcome.0, outcome.1.map_err(|failure| failed(&failure))?);
        context.run_log.record_response(&|| RecordedResponse::new(request, &arrived, began));
        *told = arrived.response.status.to_string();
        Ok(match arrived.body {
            Some(incoming) => Response::coming(arrived.response, incoming, max_body),
            None => Response::whole(arrived.response),
        })
    })
}

/// A request, and what came of it.
type Sent = Box<(Request, Result<ReceivedResponse, Box<Failure>>)>;

/// Begins to send a request, as a task and in a function of its own: neither takes anything of the stack of a thread that waits, of
/// which there may be a thousand.
#[inline(never)]
fn begin(context: &Arc<Context>, request: Request) -> AbortOnDropHandle<Sent> {
    let (http, gate) = (context.services.http.clone(), PermissionGuard(context.clone()));
    let work = async move {
        let arrived = Box::pin(http.send(&request, &gate)).await;
        Box::new((request, arrived))
    };
    AbortOnDropHandle::new(context.services.http.spawn(&context.runtime, work))
}

/// Goes on with the panic of a task here, where it is this run's; else rhaid ends.
fn broken_off(error: tokio::task::JoinError) -> Thrown {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => crate::functions::thrown("cancelled", "rhaid stops"),
    }
}

/// Sends a request and hands each piece of the answer to a handler, unless its status says that something is wrong.
fn stream(
    context: &NativeCallContext<'_>,
    written: &rhai::Map,
    handler: &FnPtr,
    send: impl FnOnce(Options) -> Result<Response, Thrown>,
) -> Result<Response, Thrown> {
    let mut options = parse_options(written)?;
    let format = options.word("format", &FORMATS).map_err(invalid_argument)?.unwrap_or(Format::Lines);
    let mut written = options.remaining();
    written.insert("stream".into(), true.into());
    let response = send(Options::new(written))?;
    if response.answer.status < 400 {
        for piece in Cutter::new(response.pieces(format)) {
            let _: Dynamic = handler.call_within_context(context, (piece?,))?;
        }
    }
    Ok(response)
}

/// What `http_stream` can make of a body.
const FORMATS: [(&str, Format); 4] =
    [("lines", Format::Lines), ("json", Format::Json), ("events", Format::Events), ("bytes", Format::Bytes)];

#[export_module]
#[expect(unreachable_pub, reason = "the macro wants public functions")]
mod functions {
    /// Gets what is at a URL and returns the answer, whatever its status. A fault if there is none.
    ///
    /// | option | what it does |
    /// |---|---|
    /// | `params` | a map, or pairs such as `[["z", 1], ["a", 2]]` where order matters; put behind the URL; an array repeats the name, `()` leaves it out; text goes there as it is |
    /// | `headers` | a map or pairs |
    /// | `json` | any value, sent as JSON |
    /// | `data` | a map or pairs (sent as a form), text or a blob (sent as it is) |
    /// | `files` | a form with files, and `data` as its further fields: `#{ photo: "path" }`, a blob, or a map with `path` or `content`, and `filename`, `content_type`, `headers` |
    /// | `auth` | `["user", "password"]`, `#{ digest: ["user", "password"] }` or `#{ bearer: "token" }` |
    /// | `cookies` | a map or pairs, for the host of the URL |
    /// | `timeout` | `"5s"` for everything together, redirects and repeats too (default `"30s"`), or `#{ connect, read, total }`; never more than the run has left |
    /// | `allow_redirects` | `false`, or how many at most (default 30) |
    /// | `proxy` | a URL, `#{ http, https }`, or `false` for none; default: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` of the environment |
    /// | `verify` | `false` takes any certificate, a path trusts only the authorities in that PEM file |
    /// | `cert` | our own certificate: the path of a PEM file that holds it and its key, or `["cert.pem", "key.pem"]` |
    /// | `retry` | how often at most, or `#{ max, backoff, on, methods }`; see below |
    /// | `save_to` | a path: the body goes there, if the status is 2xx; whoever reads the file sees the old or the new one whole |
    /// | `stream` | `true`: the body is read as `lines()`, `events()`, `iter()` or `text` ask for it |
    /// | `max_body` | the largest body (default `"10MiB"`, for `save_to` `"1GiB"`) |
    /// | `decompress` | `false` leaves the body as it came |
    ///
    /// `retry` repeats after `backoff` (`"500ms"`, doubled each time) or after what `Retry-After` says, when the status or the fault
    /// is in `on` (default `[429, 502, 503, 504, "connect", "timeout"]`) and the method in `methods` (default: those that may be
    /// repeated without harm, so not `POST` and `PATCH`; what never reached the server is repeated with any). The last answer counts.
    ///
    /// Faults have `kind` (`timeout`, `timeout.connect`, `timeout.read`, `connect`, `tls`, `proxy`, `too_many_redirects`,
    /// `invalid_url`, `decode`, `body_too_large`, `denied`; with `raise_for_status()` also `status`), `message`, `url`, and `status` and
    /// `response` if there was an answer. What differs from Python's `requests`, and why, stands in `examples/http/README.md`.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_get("http://example.test/get", #{ params: #{ city: "Oslo", day: [1, 2] }, timeout: "5s" });
    /// r.raise_for_status();
    /// assert_eq(r.status_code, 200);
    /// assert_eq(r.json().query, "city=Oslo&day=1&day=2");
    ///
    /// // A server that is busy is asked again; each part of the time has its limit.
    /// let r = http_get("http://example.test/flaky/doc/1", #{ retry: 3, timeout: #{ connect: "2s", read: "5s", total: "20s" } });
    /// assert(r.ok);
    ///
    /// // A large file goes to disk; the script never holds it.
    /// http_get("http://example.test/bytes/5000", #{ save_to: "notes/report.bin", max_body: "1MiB" });
    /// assert_eq(read_file("notes/report.bin", #{ binary: true }).len(), 5000);
    ///
    /// // Cookies, at most three redirects, no proxy, any certificate, and the body as it came.
    /// let r = http_get("http://example.test/redirect/2", #{
    ///     cookies: #{ lang: "no" }, allow_redirects: 3, proxy: false, verify: false, decompress: false,
    /// });
    /// assert("lang=no" in r.json().headers.cookie);
    ///
    /// // What goes wrong can be caught.
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

    /// Posts to a URL; options as for `http_get`.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_post("http://example.test/post", #{ json: #{ title: "Freezer warm" } });
    /// assert_eq(parse_json(r.json().body).title, "Freezer warm");
    /// let form = http_post("http://example.test/post", #{ data: #{ room: "bath" } });
    /// assert_eq(form.json().body, "room=bath");
    ///
    /// // A form with files: one from disk, one from memory.
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

    /// Puts to a URL; options as for `http_get`.
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

    /// Patches what is at a URL; options as for `http_get`.
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

    /// Deletes what is at a URL; options as for `http_get`.
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

    /// Asks for the headers that `http_get` would bring; options as for `http_get`, but redirects are followed only if
    /// `allow_redirects` says so.
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

    /// Asks what can be done at a URL. With a map, options as for `http_get`.
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

    /// Sends a request with any method; options as for `http_get`.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_request("REPORT", "http://example.test/anything", #{ auth: ["ann", "secret"] });
    /// assert_eq(r.json().method, "REPORT");
    /// assert_eq(r.json().headers.authorization, "Basic " + base64_encode("ann:secret"));
    ///
    /// // A password that never goes over the wire.
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

    /// Calls a handler with each line of an answer, as it comes; returns the response when there are no more. The next lines are
    /// read when the handler is done: the server has to wait. An answer with a status of 400 or more is not handed on: see
    /// `raise_for_status()`.
    ///
    /// Options: those of `http_get`, and `format`: `"lines"` (default), `"json"` (the value of each line), `"events"` (server-sent
    /// events: maps with `event`, `data`, `id`) or `"bytes"` (blobs). It may take as long as the run (the trigger's `timeout`), unless
    /// `timeout` says otherwise; `timeout: #{ read: "1m" }` is for servers that fall silent. `max_body` is the longest line.
    /// To stop before the end, loop over `http_get(url, #{ stream: true }).lines()` and leave with `break`.
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
        stream(&context, &options, &handler, |options| send("http_stream", Call::take("GET", url, options)?))
    }
}
