//! What a test expects of the scripts in its world.

use globset::{GlobBuilder, GlobMatcher};
use rhai::FnPtr;
use rhai::plugin::*;

use super::{testing, unmet, wrong};
use crate::functions::Thrown;
use crate::functions::arguments::{invalid_argument, shown, value};
use crate::functions::convert::{map, to_dynamic};
use crate::topic::Filter;
use crate::value::{Map, Value};

/// How many things that were there are shown where another was expected.
const SHOWN: usize = 8;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "expect", functions);
}

/// Returns a value as it is compared and shown: text that is JSON of a list or a map is that.
fn plain(value: &Value) -> Value {
    match value {
        Value::Text(text) if text.starts_with(['{', '[']) => {
            serde_json::from_str::<serde_json::Value>(text).map_or_else(|_| value.clone(), Value::from)
        }
        other => other.clone(),
    }
}

/// Returns whether two values are the same: whole and broken numbers by their size, payloads also as the text that was sent.
fn is_same(there: &Value, wanted: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    };
    match (plain(there), plain(wanted)) {
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| is_same(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_same(a, b)))
        }
        (a, b) if number(&a).is_some() && number(&b).is_some() => number(&a) == number(&b),
        (Value::Text(text), other) | (other, Value::Text(text)) if number(&other).is_some() => {
            text.parse::<f64>().ok() == number(&other)
        }
        (Value::Text(text), Value::Bool(other)) | (Value::Bool(other), Value::Text(text)) => text == other.to_string(),
        (a, b) => a == b,
    }
}

fn show(value: &Value) -> String {
    match plain(value) {
        Value::Text(text) => format!("{text:?}"),
        other => shown(&to_dynamic(other)),
    }
}

/// Returns whether what is there is as expected: equal, or so that a predicate holds.
fn fits(context: &NativeCallContext<'_>, wanted: &Dynamic, there: &Value, whole: &Value) -> Result<bool, Thrown> {
    match wanted.clone().try_cast::<FnPtr>() {
        Some(predicate) => predicate.call_within_context::<bool>(context, (to_dynamic(whole.clone()),)),
        None => Ok(is_same(there, &value(wanted)?)),
    }
}

fn field<'m>(map: &'m Map, name: &str) -> &'m Value {
    map.get(name).unwrap_or(&Value::Null)
}

fn text<'m>(map: &'m Map, name: &str) -> &'m str {
    map.get(name).and_then(Value::as_text).unwrap_or_default()
}

/// Returns the last of some lines, indented, after a heading; or what to say if there are none.
fn among(heading: &str, lines: Vec<String>, none: &str) -> String {
    if lines.is_empty() {
        return none.to_owned();
    }
    let more = lines.len().saturating_sub(SHOWN);
    let head = if more > 0 { format!("\n  … {more} before") } else { String::new() };
    format!("{heading}:{head}\n  {}", lines[more..].join("\n  "))
}

fn on_topic(filter: &str) -> Result<Vec<Map>, Thrown> {
    let filter = Filter::parse(filter).map_err(invalid_argument)?;
    let all = testing()?.sandbox.published();
    Ok(all.into_iter().filter(|message| filter.matches(text(message, "topic")).is_some()).collect())
}

fn messages(messages: &[Map]) -> Vec<String> {
    messages.iter().map(|message| format!("{} {}", text(message, "topic"), show(field(message, "payload")))).collect()
}

fn published(context: &NativeCallContext<'_>, filter: &str, wanted: Option<&Dynamic>) -> Result<(), Thrown> {
    let there = on_topic(filter)?;
    for message in &there {
        let Some(wanted) = wanted else { return Ok(()) };
        if fits(context, wanted, field(message, "payload"), &Value::Map(message.clone()))? {
            return Ok(());
        }
    }
    let wish = match wanted {
        Some(wanted) if !wanted.is_fnptr() => format!("{filter} {}", show(&value(wanted)?)),
        Some(_) => format!("a message on {filter} for which the predicate holds"),
        None => format!("a message on {filter}"),
    };
    let found = match there.is_empty() {
        false => among("what was published there", messages(&there), ""),
        true => among("what was published", messages(&testing()?.sandbox.published()), "nothing was published"),
    };
    Err(unmet(format!("expected {wish}; {found}")))
}

fn url_glob(url: &str) -> Result<GlobMatcher, Thrown> {
    url_matcher(url).map_err(invalid_argument)
}

/// Returns what matches URLs: with `*` for anything.
///
/// # Errors
/// A sentence, if it is no pattern.
pub fn url_matcher(url: &str) -> Result<GlobMatcher, String> {
    // What a query and a port are made of means nothing to a pattern.
    let pattern = url.replace('?', "[?]");
    let glob = GlobBuilder::new(&pattern).literal_separator(false).backslash_escape(false).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| format!("{url}: {error}"))
}

fn asked(method: &str, url: &str) -> Result<Vec<Map>, Thrown> {
    let matcher = url_glob(url)?;
    let fits =
        |request: &Map| text(request, "method").eq_ignore_ascii_case(method) && matcher.is_match(text(request, "url"));
    Ok(testing()?.sandbox.requests().into_iter().filter(fits).collect())
}

fn lines_of(requests: &[Map]) -> Vec<String> {
    requests.iter().map(|request| format!("{} {}", text(request, "method"), text(request, "url"))).collect()
}

fn requested(
    context: &NativeCallContext<'_>,
    method: &str,
    url: &str,
    predicate: Option<&FnPtr>,
) -> Result<(), Thrown> {
    let there = asked(method, url)?;
    for request in &there {
        let Some(predicate) = predicate else { return Ok(()) };
        if predicate.call_within_context::<bool>(context, (map(request),))? {
            return Ok(());
        }
    }
    let all = among("what was asked", lines_of(&testing()?.sandbox.requests()), "nothing was asked");
    let such = if there.is_empty() { String::new() } else { " for which the predicate holds".to_owned() };
    Err(unmet(format!("expected {method} {url}{such}; {all}")))
}

fn logged(level: Option<&str>, wanted: &str) -> Result<(), Thrown> {
    let lines = testing()?.sandbox.logs();
    let fits =
        |line: &&Map| level.is_none_or(|level| text(line, "level") == level) && text(line, "text").contains(wanted);
    if lines.iter().any(|line| fits(&line)) {
        return Ok(());
    }
    let shown =
        lines.iter().map(|line| format!("{} {}: {}", text(line, "level"), text(line, "script"), text(line, "text")));
    let level = level.map(|level| format!(" of level {level}")).unwrap_or_default();
    let all = among("what was logged", shown.collect(), "nothing was logged");
    Err(unmet(format!("expected a line{level} with {wanted:?}; {all}")))
}

fn list(maps: Vec<Map>) -> Dynamic {
    Dynamic::from_array(maps.iter().map(map).collect())
}

fn equal(there: &Dynamic, wanted: &Dynamic, message: &str) -> Result<(), Thrown> {
    let (a, b) = (value(there)?, value(wanted)?);
    if is_same(&a, &b) {
        return Ok(());
    }
    let message = if message.is_empty() { String::new() } else { format!("{message}: ") };
    Err(unmet(format!("{message}expected {}, there is {}", show(&b), show(&a))))
}

#[export_module]
#[expect(unreachable_pub, reason = "the macro wants public functions")]
mod functions {
    /// Expects that something holds.
    #[rhai_fn(name = "assert", return_raw, volatile)]
    pub fn assert(holds: bool) -> Result<(), Thrown> {
        if holds { Ok(()) } else { Err(unmet("it does not hold")) }
    }

    /// With what is said if it does not.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// let answer = request("GET", "/hooks/fridge");
    /// assert(answer.text.contains("times"));
    /// assert(answer.status == 200, "the page is not there");
    /// ```
    #[rhai_fn(name = "assert", return_raw, volatile)]
    pub fn assert_saying(holds: bool, message: &str) -> Result<(), Thrown> {
        if holds { Ok(()) } else { Err(unmet(message)) }
    }

    /// Expects two values to be the same. Numbers are compared by their size, and text that is JSON of a list or a map as what it says.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// assert_eq(request("GET", "/hooks/fridge").text, #{ times: 0 });
    /// assert_eq(2, 2.0, "numbers");
    /// ```
    #[rhai_fn(name = "assert_eq", return_raw, volatile)]
    pub fn assert_eq(there: Dynamic, wanted: Dynamic) -> Result<(), Thrown> {
        equal(&there, &wanted, "")
    }

    /// With what is said if they are not.
    #[rhai_fn(name = "assert_eq", return_raw, volatile)]
    pub fn assert_eq_saying(there: Dynamic, wanted: Dynamic, message: &str) -> Result<(), Thrown> {
        equal(&there, &wanted, message)
    }

    /// Expects two values to differ.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// assert_ne(request("GET", "/hooks/garage").status, 200);
    /// ```
    #[rhai_fn(name = "assert_ne", return_raw, volatile)]
    pub fn assert_ne(there: Dynamic, other: Dynamic) -> Result<(), Thrown> {
        match is_same(&value(&there)?, &value(&other)?) {
            true => Err(unmet(format!("both are {}", show(&value(&there)?)))),
            false => Ok(()),
        }
    }

    /// Expects that scripts published a message on a topic, or on one that a filter such as `kitchen/#` matches.
    #[rhai_fn(name = "assert_published", return_raw, volatile)]
    pub fn assert_published(context: NativeCallContext<'_>, filter: &str) -> Result<(), Thrown> {
        published(&context, filter, None)
    }

    /// With its payload, or a function that says of a message (`topic`, `payload`, `qos`, `retain`) whether it is the one.
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
    pub fn assert_published_as(context: NativeCallContext<'_>, filter: &str, wanted: Dynamic) -> Result<(), Thrown> {
        published(&context, filter, Some(&wanted))
    }

    /// Expects that scripts published no message on a topic, or on one that a filter matches.
    #[rhai_fn(name = "assert_not_published", return_raw, volatile)]
    pub fn assert_not_published(filter: &str) -> Result<(), Thrown> {
        let there = on_topic(filter)?;
        match there.is_empty() {
            true => Ok(()),
            false => Err(unmet(format!("expected nothing on {filter}; {}", among("there is", messages(&there), "")))),
        }
    }

    /// With its payload, or a function that says of a message whether it is such a one.
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
        unwanted: Dynamic,
    ) -> Result<(), Thrown> {
        for message in on_topic(filter)? {
            if fits(&context, &unwanted, field(&message, "payload"), &Value::Map(message.clone()))? {
                let there = messages(std::slice::from_ref(&message));
                return Err(unmet(format!("expected no such message on {filter}; {}", among("there is", there, ""))));
            }
        }
        Ok(())
    }

    /// Expects that scripts sent a request of a method to a URL of a pattern, in which `*` stands for anything.
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

    /// With a function that says of a request (`method`, `url`, `headers`, `text`, `status`) whether it is the one.
    #[rhai_fn(name = "assert_requested", return_raw, volatile)]
    pub fn assert_requested_as(
        context: NativeCallContext<'_>,
        method: &str,
        url: &str,
        predicate: FnPtr,
    ) -> Result<(), Thrown> {
        requested(&context, method, url, Some(&predicate))
    }

    /// Expects that scripts sent no request of a method to a URL of a pattern.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// advance("1h");
    /// assert_not_requested("GET", "https://api.example.com/*");
    /// ```
    #[rhai_fn(name = "assert_not_requested", return_raw, volatile)]
    pub fn assert_not_requested(method: &str, url: &str) -> Result<(), Thrown> {
        let there = asked(method, url)?;
        match there.is_empty() {
            true => Ok(()),
            false => {
                Err(unmet(format!("expected no {method} {url}; {}", among("what was asked", lines_of(&there), ""))))
            }
        }
    }

    /// Expects what a script keeps under a key: a value, or one of which a function says that it is right.
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
        wanted: Dynamic,
    ) -> Result<(), Thrown> {
        let kept = testing()?.sandbox.state(script).map_err(wrong)?;
        let there = field(&kept, key);
        if fits(&context, &wanted, there, there)? {
            return Ok(());
        }
        let wish = match wanted.is_fnptr() {
            true => "a value for which the predicate holds".to_owned(),
            false => show(&value(&wanted)?),
        };
        Err(unmet(format!("expected {wish} as state.{key} of {script}, there is {}", show(there))))
    }

    /// Expects a line in the log that holds a text.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// publish("kitchen/fridge", "open");
    /// assert_log("is open");
    /// assert_log("warn", "the fridge is open");
    /// ```
    #[rhai_fn(name = "assert_log", return_raw, volatile)]
    pub fn assert_log(wanted: &str) -> Result<(), Thrown> {
        logged(None, wanted)
    }

    /// With its level: `"debug"`, `"info"`, `"warn"` or `"error"`.
    #[rhai_fn(name = "assert_log", return_raw, volatile)]
    pub fn assert_log_level(level: &str, wanted: &str) -> Result<(), Thrown> {
        logged(Some(level), wanted)
    }

    /// Expects that the last failed run of a script failed with an error of a kind, or with one that holds the text: then it does not fail the
    /// test. Or expects the same of a function of the test.
    ///
    /// # Example
    /// ```rhai
    /// load("kitchen");
    /// publish("kitchen/oven", "hot");
    /// assert_fails("kitchen", "the oven says hot");
    /// assert_fails(|| load("garage"), "there is no script");
    /// ```
    #[rhai_fn(name = "assert_fails", return_raw, volatile)]
    pub fn assert_fails(script: &str, kind: &str) -> Result<(), Thrown> {
        testing()?.sandbox.expect_failure(script, kind).map_err(unmet)
    }

    #[rhai_fn(name = "assert_fails", return_raw, volatile)]
    pub fn assert_throws(context: NativeCallContext<'_>, function: FnPtr, kind: &str) -> Result<(), Thrown> {
        match function.call_within_context::<Dynamic>(&context, ()) {
            Ok(value) => Err(unmet(format!("expected a failure of kind {kind}, it returned {}", shown(&value)))),
            Err(error) if error.to_string().contains(kind) => Ok(()),
            Err(error) => Err(unmet(format!("expected a failure of kind {kind}, it was: {error}"))),
        }
    }

    /// Returns what scripts published: maps with `topic`, `payload`, `qos`, `retain`, `broker`, `time`.
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
        Ok(list(testing()?.sandbox.published()))
    }

    /// Only what they published on a topic, or on those that a filter matches.
    #[rhai_fn(name = "published", return_raw, volatile)]
    pub fn published_on(filter: &str) -> Result<Dynamic, Thrown> {
        on_topic(filter).map(list)
    }

    /// Returns what scripts asked servers for: maps with `method`, `url`, `headers`, `text`, `status`, `time`.
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
        Ok(list(testing()?.sandbox.requests()))
    }

    /// Returns what became of events: maps with `script`, `trigger`, `event`, `outcome`, `time`, `why`.
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
        testing()?.sandbox.runs().map(list).map_err(wrong)
    }

    /// Only what became of the events of a script.
    #[rhai_fn(name = "runs", return_raw, volatile)]
    pub fn runs_of(script: &str) -> Result<Dynamic, Thrown> {
        let runs = testing()?.sandbox.runs().map_err(wrong)?;
        Ok(list(runs.into_iter().filter(|run| text(run, "script") == script).collect()))
    }

    /// Returns what scripts logged: maps with `script`, `level`, `text`, `time`.
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
        Ok(list(testing()?.sandbox.logs()))
    }

    /// Only what a script logged.
    #[rhai_fn(name = "logs", return_raw, volatile)]
    pub fn logs_of(script: &str) -> Result<Dynamic, Thrown> {
        let lines = testing()?.sandbox.logs();
        Ok(list(lines.into_iter().filter(|line| text(line, "script") == script).collect()))
    }
}
