//! Regular expressions.

use ::regex::{Captures, Regex, RegexBuilder};
use parking_lot::Mutex;
use rhai::plugin::*;

use crate::functions::arguments::{MAX_BYTES, MAX_ITEMS};
use crate::functions::thrown::{Thrown, invalid_argument, too_large};
use crate::functions::wait::WorkDeadline;
use crate::value::map_of;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "regex", functions);
}

/// Size of the cache of compiled patterns.
const CACHE_SIZE: usize = 64;

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 16 << 10;

/// The largest compiled pattern, in bytes. Bounds the time of a search, which cannot be interrupted.
const MAX_COMPILED: usize = 256 << 10;

/// Compiles a pattern, or takes it from an LRU cache.
fn compiled(pattern: &str) -> Result<Regex, Thrown> {
    static USED: Mutex<Vec<(String, Regex)>> = Mutex::new(Vec::new());
    let take = || {
        let mut used = USED.lock();
        let at = used.iter().position(|(known, _)| known == pattern)?;
        let entry = used.remove(at);
        let regex = entry.1.clone();
        used.push(entry);
        Some(regex)
    };
    if let Some(regex) = take() {
        return Ok(regex);
    }
    if pattern.len() > MAX_PATTERN {
        return Err(invalid_argument(format!("a pattern can have at most {MAX_PATTERN} bytes, not {}", pattern.len())));
    }
    let regex = RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(1 << 20)
        .nest_limit(64)
        .build()
        .map_err(|error| invalid_argument(format!("invalid pattern: {error}")))?;
    let mut used = USED.lock();
    if used.len() >= CACHE_SIZE {
        used.remove(0);
    }
    used.push((pattern.to_owned(), regex.clone()));
    Ok(regex)
}

/// Returns a match as a map: the whole match as `0`, groups by number and name.
fn groups(regex: &Regex, captures: &Captures<'_>) -> rhai::Map {
    let text = |group: Option<::regex::Match<'_>>| group.map_or(Dynamic::UNIT, |group| group.as_str().into());
    let mut map = map_of(captures.iter().enumerate().map(|(number, group)| (number.to_string().into(), text(group))));
    for name in regex.capture_names().flatten() {
        map.insert(name.into(), text(captures.name(name)));
    }
    map
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Searches text for a regular expression. Returns the first match as a map of its groups, by number (`"0"` is the whole match) and by
    /// name, or `()` if there is no match.
    ///
    /// The syntax is that of Rust's `regex` crate, without look-around.
    ///
    /// # Example
    /// ```rhai
    /// let found = regex_match("attic: 21.5 °C", "(?<room>\\w+): (\\d+)");
    /// assert_eq(found.room, "attic");
    /// assert_eq(found["2"], "21");
    /// assert_eq(regex_match("attic", "\\d"), ());
    /// ```
    #[rhai_fn(name = "regex_match", return_raw)]
    pub fn regex_match(text: &str, pattern: &str) -> Result<Dynamic, Thrown> {
        let regex = compiled(pattern)?;
        Ok(regex.captures(text).map_or(Dynamic::UNIT, |captures| groups(&regex, &captures).into()))
    }

    /// Returns all matches of a regular expression: as text, or as maps of groups like those of `regex_match` if the pattern has groups.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(regex_find_all("1, 22, 333", "\\d+"), ["1", "22", "333"]);
    /// assert_eq(regex_find_all("a=1 b=2", "(\\w)=(\\d)")[1]["2"], "2");
    /// ```
    #[rhai_fn(name = "regex_find_all", return_raw)]
    pub fn regex_find_all(text: &str, pattern: &str) -> Result<rhai::Array, Thrown> {
        let regex = compiled(pattern)?;
        let deadline = WorkDeadline::new();
        let mut found = rhai::Array::new();
        let mut left = MAX_ITEMS;
        let per_match = regex.captures_len();
        let mut check_limits = |found: &rhai::Array| {
            deadline.check()?;
            left = left.checked_sub(per_match).ok_or_else(|| too_large("the list", found.len(), "matches"))?;
            Ok::<_, Thrown>(())
        };
        if per_match == 1 {
            for one in regex.find_iter(text) {
                check_limits(&found)?;
                found.push(one.as_str().into());
            }
        } else {
            for captures in regex.captures_iter(text) {
                check_limits(&found)?;
                found.push(groups(&regex, &captures).into());
            }
        }
        Ok(found)
    }

    /// Replaces all matches of a regular expression. In the replacement, `$1` and `${name}` insert groups, and `$$` a dollar sign.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(regex_replace("2026-03-01", "(\\d+)-(\\d+)-(\\d+)", "$3.$2.$1"), "01.03.2026");
    /// ```
    #[rhai_fn(name = "regex_replace", return_raw)]
    pub fn regex_replace(text: &str, pattern: &str, replacement: &str) -> Result<String, Thrown> {
        let regex = compiled(pattern)?;
        let deadline = WorkDeadline::new();
        let groups = replacement.matches('$').count();
        let mut replaced = String::new();
        let mut rest = 0;
        for captures in regex.captures_iter(text) {
            deadline.check()?;
            let whole = captures.get(0).expect("group 0 always exists");
            replaced.push_str(&text[rest..whole.start()]);
            let most = replacement.len().saturating_add(groups.saturating_mul(whole.len()));
            if replaced.len().saturating_add(most) > MAX_BYTES {
                return Err(too_large("the text", MAX_BYTES, "bytes"));
            }
            captures.expand(replacement, &mut replaced);
            rest = whole.end();
        }
        replaced.push_str(&text[rest..]);
        Ok(replaced)
    }
}
