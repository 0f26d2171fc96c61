//! Assertions of tests.

use rhai::FnPtr;
use rhai::plugin::*;

use crate::functions::arguments::{shown, value};
use crate::functions::convert::map;
use crate::functions::testing::compare::{display, field, is_equal, list, matches, text};
use crate::functions::testing::current::sandbox;
use crate::functions::testing::records::messages_on;
use crate::functions::testing::test_run::{assertion_failed, sandbox_error};
use crate::functions::testing::url_pattern::url_matcher;
use crate::functions::thrown::{Thrown, invalid_argument};
use crate::value::{Map, Value};

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "assertions", functions);
}

fn message_lines(messages: &[Map]) -> Vec<String> {
    messages
        .iter()
        .map(|message| format!("{} {}", text(message, "topic"), display(field(message, "payload"))))
        .collect()
}

fn published(context: &NativeCallContext<'_>, filter: &str, expected: Option<&Dynamic>) -> Result<(), Thrown> {
    let messages = messages_on(filter)?;
    for message in &messages {
        let Some(expected) = expected else { return Ok(()) };
        if matches(context, expected, field(message, "payload"), &Value::Map(message.clone()))? {
            return Ok(());
        }
    }
    let expected = match expected {
        Some(expected) if !expected.is_fnptr() => format!("{filter} {}", display(&value(expected)?)),
        Some(_) => format!("a message on {filter} for which the predicate is true"),
        None => format!("a message on {filter}"),
    };
    let found = match messages.is_empty() {
        false => list("messages on these topics", message_lines(&messages), ""),
        true => list("published messages", message_lines(&sandbox()?.published()), "no message was published"),
    };
    Err(assertion_failed(format!("expected {expected}; {found}")))
}

fn requests_to(method: &str, url: &str) -> Result<Vec<Map>, Thrown> {
    let pattern = url_matcher(url).map_err(invalid_argument)?;
    let is_match =
        |request: &Map| text(request, "method").eq_ignore_ascii_case(method) && pattern.is_match(text(request, "url"));
    Ok(sandbox()?.requests().into_iter().filter(is_match).collect())
}

fn request_lines(requests: &[Map]) -> Vec<String> {
    requests.iter().map(|request| format!("{} {}", text(request, "method"), text(request, "url"))).collect()
}

fn requested(
    context: &NativeCallContext<'_>,
    method: &str,
    url: &str,
    predicate: Option<&FnPtr>,
) -> Result<(), Thrown> {
    let requests = requests_to(method, url)?;
    for request in &requests {
        let Some(predicate) = predicate else { return Ok(()) };
        if predicate.call_within_context::<bool>(context, (map(request),))? {
            return Ok(());
        }
    }
    let all = list("requests", request_lines(&sandbox()?.requests()), "no request was sent");
    let condition = if requests.is_empty() { "" } else { " for which the predicate is true" };
    Err(assertion_failed(format!("expected {method} {url}{condition}; {all}")))
}

fn logged(level: Option<&str>, expected: &str) -> Result<(), Thrown> {
    let lines = sandbox()?.logs();
    let is_match =
        |line: &Map| level.is_none_or(|level| text(line, "level") == level) && text(line, "text").contains(expected);
    if lines.iter().any(is_match) {
        return Ok(());
    }
    let shown =
        lines.iter().map(|line| format!("{} {}: {}", text(line, "level"), text(line, "script"), text(line, "text")));
    let level = level.map(|level| format!(" of level {level}")).unwrap_or_default();
    let all = list("log lines", shown.collect(), "nothing was logged");
    Err(assertion_failed(format!("expected a log line{level} with {expected:?}; {all}")))
}

fn equal(actual: &Dynamic, expected: &Dynamic, message: &str) -> Result<(), Thrown> {
    let (actual, expected) = (value(actual)?, value(expected)?);
    if is_equal(&actual, &expected) {
        return Ok(());
    }
    let message = if message.is_empty() { String::new() } else { format!("{message}: ") };
    Err(assertion_failed(format!("{message}expected {}, but got {}", display(&expected), display(&actual))))
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Asserts that a condition is true.
    #[rhai_fn(name = "assert", return_raw, volatile)]
    pub fn assert(condition: bool) -> Result<(), Thrown> {
        if condition { Ok(()) } else { Err(assertion_failed("the condition is false")) }
    }

    /// With a message for the failure.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// let response = request("GET", "/hooks/fridge");
    /// assert(response.text.contains("times"));
    /// assert(response.status == 200, "the page is missing");
    /// ```
    #[rhai_fn(name = "assert", return_raw, volatile)]
    pub fn assert_with(condition: bool, message: &str) -> Result<(), Thrown> {
        if condition { Ok(()) } else { Err(assertion_failed(message)) }
    }

    /// Asserts that two values are equal. Integers and floats are compared as numbers. Text that is a JSON array or object is parsed first.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// assert_eq(request("GET", "/hooks/fridge").text, #{ times: 0 });
    /// assert_eq(2, 2.0, "numbers");
    /// ```
    #[rhai_fn(name = "assert_eq", return_raw, volatile)]
    pub fn assert_eq(actual: Dynamic, expected: Dynamic) -> Result<(), Thrown> {
        equal(&actual, &expected, "")
    }

    /// With a message for the failure.
    #[rhai_fn(name = "assert_eq", return_raw, volatile)]
    pub fn assert_eq_with(actual: Dynamic, expected: Dynamic, message: &str) -> Result<(), Thrown> {
        equal(&actual, &expected, message)
    }

    /// Asserts that two values are not equal.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// assert_ne(request("GET", "/hooks/garage").status, 200);
    /// ```
    #[rhai_fn(name = "assert_ne", return_raw, volatile)]
    pub fn assert_ne(actual: Dynamic, other: Dynamic) -> Result<(), Thrown> {
        match is_equal(&value(&actual)?, &value(&other)?) {
            true => Err(assertion_failed(format!("both are {}", display(&value(&actual)?)))),
            false => Ok(()),
        }
    }

    /// Asserts that scripts published a message on a topic, or on a topic that a filter such as `kitchen/#` matches.
    #[rhai_fn(name = "assert_published", return_raw, volatile)]
    pub fn assert_published(context: NativeCallContext<'_>, filter: &str) -> Result<(), Thrown> {
        published(&context, filter, None)
    }

    /// With the expected payload, or a predicate for a message (`topic`, `payload`, `qos`, `retain`).
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// publish("kitchen/fridge", "open");
    /// advance("2m");
    /// assert_published("kitchen/#");
    /// assert_published("kitchen/alarm", "close the fridge");
    /// assert_published("kitchen/alarm", |message| message.qos == 1);
    /// ```
    #[rhai_fn(name = "assert_published", return_raw, volatile)]
    pub fn assert_published_as(context: NativeCallContext<'_>, filter: &str, expected: Dynamic) -> Result<(), Thrown> {
        published(&context, filter, Some(&expected))
    }

    /// Asserts that scripts published no message on a topic, or on the topics that a filter matches.
    #[rhai_fn(name = "assert_not_published", return_raw, volatile)]
    pub fn assert_not_published(filter: &str) -> Result<(), Thrown> {
        let messages = messages_on(filter)?;
        match messages.is_empty() {
            true => Ok(()),
            false => Err(assertion_failed(format!(
                "expected no message on {filter}; {}",
                list("published messages", message_lines(&messages), "")
            ))),
        }
    }

    /// With an unexpected payload, or a predicate for a message.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// emit("away");
    /// assert_not_published("kitchen/alarm");
    /// assert_not_published("kitchen/light", "on");
    /// ```
    #[rhai_fn(name = "assert_not_published", return_raw, volatile)]
    pub fn assert_not_published_as(
        context: NativeCallContext<'_>,
        filter: &str,
        unexpected: Dynamic,
    ) -> Result<(), Thrown> {
        for message in messages_on(filter)? {
            if matches(&context, &unexpected, field(&message, "payload"), &Value::Map(message.clone()))? {
                let lines = message_lines(std::slice::from_ref(&message));
                return Err(assertion_failed(format!(
                    "expected no such message on {filter}; {}",
                    list("published messages", lines, "")
                )));
            }
        }
        Ok(())
    }

    /// Asserts that scripts sent a request with a method to a URL that matches a pattern. `*` matches any text.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// on_http("GET", "https://api.example.com/*", #{ summary: "rain" });
    /// at("07:00");
    /// assert_requested("GET", "https://api.example.com/weather*");
    /// assert_requested("GET", "*", |request| request.url.contains("city=Oslo"));
    /// ```
    #[rhai_fn(name = "assert_requested", return_raw, volatile)]
    pub fn assert_requested(context: NativeCallContext<'_>, method: &str, url: &str) -> Result<(), Thrown> {
        requested(&context, method, url, None)
    }

    /// With a predicate for a request (`method`, `url`, `headers`, `text`, `status`).
    #[rhai_fn(name = "assert_requested", return_raw, volatile)]
    pub fn assert_requested_as(
        context: NativeCallContext<'_>,
        method: &str,
        url: &str,
        predicate: FnPtr,
    ) -> Result<(), Thrown> {
        requested(&context, method, url, Some(&predicate))
    }

    /// Asserts that scripts sent no request with a method to a URL that matches a pattern.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// advance("1h");
    /// assert_not_requested("GET", "https://api.example.com/*");
    /// ```
    #[rhai_fn(name = "assert_not_requested", return_raw, volatile)]
    pub fn assert_not_requested(method: &str, url: &str) -> Result<(), Thrown> {
        let requests = requests_to(method, url)?;
        match requests.is_empty() {
            true => Ok(()),
            false => Err(assertion_failed(format!(
                "expected no {method} {url}; {}",
                list("requests", request_lines(&requests), "")
            ))),
        }
    }

    /// Asserts the state value of a script under a key: an expected value, or a predicate.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// publish("kitchen/fridge", "open");
    /// assert_state("kitchen", "times", 1);
    /// assert_state("kitchen", "times", |times| times > 0);
    /// ```
    #[rhai_fn(name = "assert_state", return_raw, volatile)]
    pub fn assert_state(
        context: NativeCallContext<'_>,
        script: &str,
        key: &str,
        expected: Dynamic,
    ) -> Result<(), Thrown> {
        let state = sandbox()?.state(script).map_err(sandbox_error)?;
        let actual = field(&state, key);
        if matches(&context, &expected, actual, actual)? {
            return Ok(());
        }
        let expected = match expected.is_fnptr() {
            true => "a value for which the predicate is true".to_owned(),
            false => display(&value(&expected)?),
        };
        Err(assertion_failed(format!("expected {expected} as state.{key} of {script}, but got {}", display(actual))))
    }

    /// Asserts that the log contains a line with this text.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// publish("kitchen/fridge", "open");
    /// assert_log("is open");
    /// assert_log("warn", "the fridge is open");
    /// ```
    #[rhai_fn(name = "assert_log", return_raw, volatile)]
    pub fn assert_log(text: &str) -> Result<(), Thrown> {
        logged(None, text)
    }

    /// With the level: `"debug"`, `"info"`, `"warn"` or `"error"`.
    #[rhai_fn(name = "assert_log", return_raw, volatile)]
    pub fn assert_log_level(level: &str, text: &str) -> Result<(), Thrown> {
        logged(Some(level), text)
    }

    /// Asserts that the last failed run of a script failed with an error of this kind, or with this text in its message. The failed run then
    /// does not fail the test. With a function instead of a script name, asserts that the function throws such an error.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// publish("kitchen/oven", "hot");
    /// assert_fails("kitchen", "the oven is hot");
    /// assert_fails(|| load("garage"), "there is no script");
    /// ```
    #[rhai_fn(name = "assert_fails", return_raw, volatile)]
    pub fn assert_fails(script: &str, kind: &str) -> Result<(), Thrown> {
        sandbox()?.expect_failure(script, kind).map_err(assertion_failed)
    }

    #[rhai_fn(name = "assert_fails", return_raw, volatile)]
    pub fn assert_throws(context: NativeCallContext<'_>, function: FnPtr, kind: &str) -> Result<(), Thrown> {
        match function.call_within_context::<Dynamic>(&context, ()) {
            Ok(value) => Err(assertion_failed(format!(
                "expected an error of kind {kind}, but the function returned {}",
                shown(&value)
            ))),
            Err(error) if error.to_string().contains(kind) => Ok(()),
            Err(error) => Err(assertion_failed(format!("expected an error of kind {kind}, but got: {error}"))),
        }
    }
}
