//! Functions that return recorded messages, requests, runs and log lines.

use rhai::plugin::*;

use crate::functions::convert::map;
use crate::functions::testing::compare::text;
use crate::functions::testing::current::sandbox;
use crate::functions::testing::test_run::sandbox_error;
use crate::functions::thrown::{Thrown, invalid_argument};
use crate::topic::Filter;
use crate::value::Map;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "records", functions);
}

/// Returns the messages that scripts published on the topics of a filter.
pub(super) fn messages_on(filter: &str) -> Result<Vec<Map>, Thrown> {
    let filter = Filter::parse(filter).map_err(invalid_argument)?;
    let all = sandbox()?.published();
    Ok(all.into_iter().filter(|message| filter.is_match(text(message, "topic"))).collect())
}

fn array(maps: Vec<Map>) -> Dynamic {
    Dynamic::from_array(maps.iter().map(map).collect())
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Returns the messages that scripts published: maps with `topic`, `payload`, `qos`, `retain`, `broker`, `time`.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// emit("away");
    /// assert_eq(published().map(|message| message.topic), ["kitchen/light"]);
    /// assert_eq(published("kitchen/light")[0].payload, "off");
    /// ```
    #[rhai_fn(name = "published", return_raw, volatile)]
    pub fn all_published() -> Result<Dynamic, Thrown> {
        Ok(array(sandbox()?.published()))
    }

    /// With a topic or filter, returns only the messages on matching topics.
    #[rhai_fn(name = "published", return_raw, volatile)]
    pub fn published_on(filter: &str) -> Result<Dynamic, Thrown> {
        messages_on(filter).map(array)
    }

    /// Returns the HTTP requests that scripts sent: maps with `method`, `url`, `headers`, `text`, `status`, `time`.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// on_http("GET", "*", #{ summary: "rain" });
    /// at("07:00");
    /// assert_eq(requests().map(|request| request.status), [200]);
    /// ```
    #[rhai_fn(name = "requests", return_raw, volatile)]
    pub fn requests() -> Result<Dynamic, Thrown> {
        Ok(array(sandbox()?.requests()))
    }

    /// Returns the runs of handlers, and skipped events: maps with `script`, `trigger`, `event`, `outcome`, `time`, `why`.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// emit("away");
    /// assert_eq(runs().map(|run| run.outcome), ["succeeded"]);
    /// assert_eq(runs("garden/pump"), []);
    /// ```
    #[rhai_fn(name = "runs", return_raw, volatile)]
    pub fn runs() -> Result<Dynamic, Thrown> {
        sandbox()?.runs().map(array).map_err(sandbox_error)
    }

    /// With a script name, returns only the runs of that script.
    #[rhai_fn(name = "runs", return_raw, volatile)]
    pub fn runs_of(script: &str) -> Result<Dynamic, Thrown> {
        let runs = sandbox()?.runs().map_err(sandbox_error)?;
        Ok(array(runs.into_iter().filter(|run| text(run, "script") == script).collect()))
    }

    /// Returns the log lines of scripts: maps with `script`, `level`, `text`, `time`.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// publish("kitchen/fridge", "open");
    /// assert_eq(logs().map(|line| line.level), ["warn"]);
    /// assert_eq(logs("kitchen")[0].text, "the fridge is open");
    /// ```
    #[rhai_fn(name = "logs", return_raw, volatile)]
    pub fn logs() -> Result<Dynamic, Thrown> {
        Ok(array(sandbox()?.logs()))
    }

    /// With a script name, returns only the log lines of that script.
    #[rhai_fn(name = "logs", return_raw, volatile)]
    pub fn logs_of(script: &str) -> Result<Dynamic, Thrown> {
        let lines = sandbox()?.logs();
        Ok(array(lines.into_iter().filter(|line| text(line, "script") == script).collect()))
    }
}
