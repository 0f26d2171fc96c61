//! HTTP out.

mod call;
mod fields;
mod response;
mod session;

use std::net::IpAddr;
use std::sync::Arc;

use rhai::plugin::*;

use self::call::Call;
pub use self::fields::Headers;
pub use self::response::Response;
pub use self::session::Session;
use crate::config::{Denied, Need};
use crate::functions::act::Dry;
use crate::functions::{Context, Package, Thrown, context, denied};
use crate::services::http::{Error, Guard};

/// HTTP out.
pub const HTTP: Package = Package {
    name: "HTTP out",
    docs: "Requests to servers, with a limit on everything, and their answers.",
    register: |module| {
        combine_with_exported_module!(module, "http", functions);
        response::register(module);
        fields::register(module);
        session::register(module);
    },
};

/// Asks the permissions of a script where its requests may go.
struct Gate(Arc<Context>);

impl Guard for Gate {
    fn check_host(&self, host: &str, port: u16) -> Result<(), Denied> {
        self.0.config.permissions.check(&self.0.script, Need::Host(host, port))
    }

    fn check_address(&self, host: &str, port: u16, address: IpAddr) -> Result<(), Denied> {
        self.0.config.permissions.check_address(&self.0.script, host, port, address)
    }
}

/// Sends a request and waits for the answer.
fn send(function: &'static str, call: Call) -> Result<Response, Thrown> {
    let context = context(function)?;
    let request = call.request(&context)?;
    let url = request.url.clone();
    let with = format!("{} {}", request.method, shown_url(&url));
    context.act(function, with, Dry::Refused, |told| {
        let answer = context.wait(context.services.http.send(request, &Gate(context.clone())))?;
        let answer = answer.map_err(|error| failed(&error, &url))?;
        *told = answer.status.to_string();
        Ok(Response::new(answer))
    })
}

/// Returns a URL without what may be secret in it: credentials, query, fragment.
fn shown_url(url: &url::Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

fn failed(error: &Error, url: &url::Url) -> Thrown {
    let shown = shown_url(url);
    if let Error::Denied(no) = error {
        return call::with(denied(no), [("url", shown.into())]);
    }
    let thrown = crate::functions::thrown(error.kind(), format!("{shown}: {error}"));
    call::with(thrown, [("url", shown.into())])
}

#[export_module]
#[expect(unreachable_pub, reason = "the macro wants public functions")]
mod functions {
    /// Gets what is at a URL and returns the answer, whatever its status. A fault if there is none.
    ///
    /// Options: `params` (a map or pairs, put behind the URL; arrays repeat the name), `headers`, `auth` (`["user", "password"]`
    /// or `#{ bearer: token }`), `cookies`, `timeout` (of everything together; default `"30s"`), `allow_redirects` (`false`, or how
    /// many at most; default 30), `max_body` (default `"10MiB"`); and what is sent: `json` (any value) or `data` (a map as a form,
    /// text or a blob as it is).
    ///
    /// Faults have `kind` (`timeout`, `timeout.connect`, `connect`, `tls`, `too_many_redirects`, `invalid_url`, `decode`,
    /// `body_too_large`, `denied`), `message` and `url`.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_get("http://example.test/get", #{ params: #{ city: "Oslo", day: [1, 2] }, timeout: "5s" });
    /// r.raise_for_status();
    /// assert_eq(r.status_code, 200);
    /// assert_eq(r.json().query, "city=Oslo&day=1&day=2");
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
    /// ```
    #[rhai_fn(name = "http_request", return_raw)]
    pub fn http_request(method: &str, url: &str) -> Result<Response, Thrown> {
        send("http_request", Call::new(method, url))
    }

    #[rhai_fn(name = "http_request", return_raw)]
    pub fn http_request_with(method: &str, url: &str, options: rhai::Map) -> Result<Response, Thrown> {
        send("http_request", Call::read(method, url, &options)?)
    }
}
