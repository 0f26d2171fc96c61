//! Mock HTTP servers, and requests to webhooks.

use std::sync::Arc;

use rhai::FnPtr;
use rhai::plugin::*;

use crate::functions::arguments::value;
use crate::functions::convert::{map, to_value};
use crate::functions::handler_result::handler_result;
use crate::functions::phase::{Phase, enter};
use crate::functions::testing::current::{sandbox, test_run};
use crate::functions::testing::sandbox::MockResponse;
use crate::functions::testing::test_run::sandbox_error;
use crate::functions::thrown::Thrown;
use crate::value::{Map, Value};

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "mock_http", functions);
}

fn send_request(method: &str, path: &str, options: &rhai::Map) -> Result<Dynamic, Thrown> {
    let options = match handler_result(&Dynamic::from_map(options.clone())) {
        Value::Map(options) => options,
        _ => Map::new(),
    };
    sandbox()?.request(method, path, options).map(|response| map(&response)).map_err(sandbox_error)
}

/// Returns a mock response that calls a function of the test. Requests come from worker threads.
fn function_response(function: FnPtr) -> Result<MockResponse, Thrown> {
    let test = Arc::downgrade(&test_run()?);
    Ok(MockResponse::Function(Box::new(move |request| {
        let test = test.upgrade().ok_or("the test has ended")?;
        let response = enter(Phase::TestRun(test.clone()), || (test.call)(&function, vec![map(&request)]));
        response.map_err(|error| error.to_string()).and_then(|response| to_value(&response))
    })))
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Sets the response to requests with a method to URLs that match a pattern (`*` matches any text), from now on. The response is text, data
    /// (sent as JSON), a map with `status`, `headers` and `json` or `body`, or a function of the request (`method`, `url`, `query`, `headers`,
    /// `text`) that returns one of these. A request without a matching response fails.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// on_http("GET", "https://api.example.com/*", |request| #{ json: #{ summary: `rain in ${request.query.city}` } });
    /// at("07:00");
    /// assert_published("kitchen/display", "rain in Oslo");
    /// forget();
    /// on_http("GET", "https://api.example.com/*", #{ status: 503, body: "down" });
    /// advance("1d");
    /// assert_fails("kitchen", "status");
    /// ```
    #[rhai_fn(name = "on_http", return_raw, volatile)]
    pub fn on_http(method: &str, url: &str, response: Dynamic) -> Result<(), Thrown> {
        let response = match response.clone().try_cast::<FnPtr>() {
            Some(function) => function_response(function)?,
            None => MockResponse::Value(value(&response)?),
        };
        sandbox()?.mock_http(method, url, response).map_err(sandbox_error)
    }

    /// Makes requests with a method to URLs that match a pattern fail from now on, with an error of this kind.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// fail_http("GET", "https://api.example.com/*", "timeout.connect");
    /// at("07:00");
    /// assert_fails("kitchen", "timeout.connect");
    /// ```
    #[rhai_fn(name = "fail_http", return_raw, volatile)]
    pub fn fail_http(method: &str, url: &str, kind: &str) -> Result<(), Thrown> {
        sandbox()?.mock_http(method, url, MockResponse::Error(kind.to_owned())).map_err(sandbox_error)
    }

    /// Sends a request to a webhook and returns the response: `status`, `headers`, `text`, `json()`.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// assert_eq(request("GET", "/hooks/fridge").json(), #{ times: 0 });
    /// let response = request("POST", "/hooks/fridge", #{ json: #{ times: 3 } });
    /// assert_eq(response.status, 204);
    /// assert_eq(request("GET", "/hooks/fridge").json().times, 3);
    /// ```
    #[rhai_fn(name = "request", return_raw, volatile)]
    pub fn request(method: &str, path: &str) -> Result<Dynamic, Thrown> {
        send_request(method, path, &rhai::Map::new())
    }

    /// Options:
    ///
    /// - `json`: data, sent as JSON
    /// - `body`: text or a blob, sent unchanged
    /// - `headers`: a map
    /// - `query`: a map of query parameters
    #[rhai_fn(name = "request", return_raw, volatile)]
    pub fn request_with(method: &str, path: &str, options: rhai::Map) -> Result<Dynamic, Thrown> {
        send_request(method, path, &options)
    }
}
