//! What a test calls: a world that is held in the hand, and what is expected of the scripts in it.

mod declared;
mod expect;
mod turn;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rhai::{Dynamic, FnPtr, Module, Shared};

use crate::functions::{Package, Phase, Thrown, phase, thrown};
use crate::services::clock::Clock;
use crate::services::mqtt::Publish;
use crate::value::{Map, Value};

/// A world that is held in the hand. What goes wrong is a sentence.
pub trait SandboxApi: Send + Sync {
    /// Returns its clock.
    fn clock(&self) -> Clock;
    /// Brings a script to life; or returns the reports of its faults.
    fn load(&self, script: &str) -> Result<(), String>;
    /// Lets a message come.
    fn publish(&self, publish: Publish) -> Result<(), String>;
    /// Turns the clock; everything that is due happens, in order.
    fn advance(&self, duration: Duration) -> Result<(), String>;
    /// Turns the clock to a moment; before anything lives, sets it.
    fn advance_to(&self, moment: &str) -> Result<(), String>;
    /// Says how requests are answered from now on.
    fn mock_http(&self, method: &str, url: &str, response: MockResponse) -> Result<(), String>;
    /// Lets a web request come, with `json` or `body`, `headers` and `query`; returns `status`, `headers` and `text`.
    fn request(&self, method: &str, path: &str, with: Map) -> Result<Map, String>;
    /// Emits an event, as a script would.
    fn emit(&self, name: &str, data: Value) -> Result<(), String>;
    /// Wakes a handler by hand; returns what it returned.
    fn fire(&self, script: &str, trigger: &str, data: Value) -> Result<Value, String>;
    /// Writes a watched file, or with `None` removes it.
    fn change_file(&self, path: &str, text: Option<&str>) -> Result<(), String>;
    /// Sets what a script keeps.
    fn set_state(&self, script: &str, key: &str, value: Value) -> Result<(), String>;
    /// Returns what a script keeps.
    fn state(&self, script: &str) -> Result<Map, String>;
    /// Sets what `secret(name)` gives.
    fn set_secret(&self, name: &str, value: &str) -> Result<(), String>;
    /// Lets a broker be away or come back; `None`: the default one.
    fn set_broker_down(&self, broker: Option<&str>, is_down: bool) -> Result<(), String>;
    /// Lets rhaid stop, and start again with what it kept.
    fn restart(&self) -> Result<(), String>;
    /// Returns what scripts published.
    fn published(&self) -> Vec<Map>;
    /// Returns what scripts asked for.
    fn requests(&self) -> Vec<Map>;
    /// Returns what became of events.
    fn runs(&self) -> Result<Vec<Map>, String>;
    /// Returns what scripts logged.
    fn logs(&self) -> Vec<Map>;
    /// Lets what has been published, asked, logged and run so far count no more.
    fn clear_records(&self);
    /// Shows what the test prints.
    fn print(&self, text: &str);
    /// Excuses the last run of a script that failed in this way; returns why its last failed run failed, if it was in another one.
    fn expect_failure(&self, script: &str, kind: &str) -> Result<(), String>;
}

/// How a request is answered.
pub enum MockResponse {
    /// With this.
    Value(Value),
    /// With what comes of the request.
    Function(Box<dyn Fn(Map) -> Result<Value, String> + Send + Sync>),
    /// Not at all: it throws an error of this kind.
    Error(String),
}

/// Calls a function of a test file.
type Caller = dyn Fn(&FnPtr, Vec<Dynamic>) -> Result<Dynamic, Thrown> + Send + Sync;

/// A test that runs.
pub struct TestRun {
    /// Its world.
    pub sandbox: Arc<dyn SandboxApi>,
    /// Calls a function of the test file.
    pub call: Box<Caller>,
}

pub use self::declared::{Test, TestSelection, declare};
pub use self::expect::url_matcher;

/// Tests; no package of [`crate::functions::PACKAGES`], since scripts can not call them.
pub const TESTS: Package = Package {
    name: "Tests",
    docs: "What files whose names end with `_test.rhai` can call, and scripts can not. `rhaid test` runs them.",
    register: |module| {
        declared::register(module);
        turn::register(module);
        expect::register(module);
    },
};

/// Returns the functions of tests in one module.
pub fn module() -> Shared<Module> {
    static MODULE: LazyLock<Shared<Module>> = LazyLock::new(|| {
        let mut module = Module::new();
        (TESTS.register)(&mut module);
        module.build_index();
        module.into()
    });
    MODULE.clone()
}

/// Returns the test that runs on this thread.
fn testing() -> Result<Arc<TestRun>, Thrown> {
    match phase() {
        Phase::TestRun(testing) => Ok(testing),
        _ => {
            Err(thrown("top_level", "this is for inside of `test(\"…\", || { … })`, where there is a world to act on"))
        }
    }
}

/// Returns what does not hold.
fn unmet(why: impl Into<String>) -> Thrown {
    thrown("assertion", why)
}

/// Returns what went wrong in the world.
fn wrong(why: String) -> Thrown {
    thrown("world", why)
}
