//! Operations of tests on their sandbox.

use std::time::Duration;

use crate::services::clock::Clock;
use crate::services::mqtt::Publish;
use crate::value::{Map, Value};

/// A sandbox with a virtual clock, a mock broker and mock HTTP servers. Errors are sentences.
pub trait SandboxApi: Send + Sync {
    /// Returns the virtual clock.
    fn clock(&self) -> Clock;
    /// Loads a script; the error contains the reports of its faults.
    fn load(&self, script: &str) -> Result<(), String>;
    /// Delivers a message from the mock broker.
    fn publish(&self, publish: Publish) -> Result<(), String>;
    /// Advances the clock; everything that becomes due runs, in order.
    fn advance(&self, duration: Duration) -> Result<(), String>;
    /// Advances the clock to a datetime or a time of day; sets it if no script is loaded.
    fn advance_to(&self, moment: &str) -> Result<(), String>;
    /// Sets the response to HTTP requests of scripts from now on.
    fn mock_http(&self, method: &str, url: &str, response: MockResponse) -> Result<(), String>;
    /// Sends a request to a webhook, with `json` or `body`, `headers` and `query`; returns `status`, `headers` and `text`.
    fn request(&self, method: &str, path: &str, with: Map) -> Result<Map, String>;
    /// Emits an event like a script.
    fn emit(&self, name: &str, data: Value) -> Result<(), String>;
    /// Runs the handler of a trigger; returns its return value.
    fn fire(&self, script: &str, trigger: &str, data: Value) -> Result<Value, String>;
    /// Writes a watched file, or removes it if `text` is `None`.
    fn change_file(&self, path: &str, text: Option<&str>) -> Result<(), String>;
    /// Sets a state value of a script.
    fn set_state(&self, script: &str, key: &str, value: Value) -> Result<(), String>;
    /// Returns all state values of a script.
    fn state(&self, script: &str) -> Result<Map, String>;
    /// Sets the value of `secret(name)`.
    fn set_secret(&self, name: &str, value: &str) -> Result<(), String>;
    /// Disconnects or reconnects a broker; `None`: the default one.
    fn set_broker_down(&self, broker: Option<&str>, is_down: bool) -> Result<(), String>;
    /// Stops rhaid and starts it again with its stored data.
    fn restart(&self) -> Result<(), String>;
    /// Returns the messages that scripts published.
    fn published(&self) -> Vec<Map>;
    /// Returns the HTTP requests that scripts sent.
    fn requests(&self) -> Vec<Map>;
    /// Returns the runs and their outcomes.
    fn runs(&self) -> Result<Vec<Map>, String>;
    /// Returns the log lines of scripts.
    fn logs(&self) -> Vec<Map>;
    /// Clears the recorded messages, requests, log lines and runs.
    fn clear_records(&self);
    /// Prints output of the test.
    fn print(&self, text: &str);
    /// Marks the last failed run of a script as expected, if its error matches; otherwise returns that error.
    fn expect_failure(&self, script: &str, kind: &str) -> Result<(), String>;
}

/// Response of a mock HTTP server.
pub enum MockResponse {
    /// A fixed response.
    Value(Value),
    /// A function of the request.
    Function(Box<dyn Fn(Map) -> Result<Value, String> + Send + Sync>),
    /// An error of this kind.
    Error(String),
}
