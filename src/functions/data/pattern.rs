//! Regular expressions.

use parking_lot::Mutex;
use regex::{Captures, Regex, RegexBuilder};
use rhai::plugin::*;

use crate::functions::arguments::{MAX_BYTES, MAX_ITEMS, invalid_argument, too_large};
use crate::value::map_of;

use crate::functions::{Thrown, WorkDeadline};

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "pattern", functions);
}

/// How many compiled patterns are kept.
const KEPT: usize = 64;

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 16 << 10;

/// The largest compiled pattern, in bytes: it bounds the time that one search takes, which nothing can interrupt.
const MAX_COMPILED: usize = 256 << 10;

/// Returns a compiled pattern, from those used last if it is there.
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
        return Err(invalid_argument(format!("a pattern has at most {MAX_PATTERN} bytes, not {}", pattern.len())));
    }
    let regex = RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(1 << 20)
        .nest_limit(64)
        .build()
        .map_err(|error| invalid_argument(format!("this is no pattern: {error}")))?;
    let mut used = USED.lock();
    if used.len() >= KEPT {
        used.remove(0);
    }
    used.push((pattern.to_owned(), regex.clone()));
    Ok(regex)
}

/// Returns a match as a map: the whole text as `0`, groups by number and name.
fn groups(regex: &Regex, captures: &Captures<'_>) -> rhai::Map {
    let text = |group: Option<regex::Match<'_>>| group.map_or(Dynamic::UNIT, |group| group.as_str().into());
    let mut map = map_of(captures.iter().enumerate().map(|(number, group)| (number.to_string().into(), text(group))));
    for name in regex.capture_names().flatten() {
        map.insert(name.into(), text(captures.name(name)));
    }
    map
}

#[export_module]
#[expect(unreachable_pub, reason = "the macro wants public functions")]
mod functions {
    /// Searches text for a pattern: returns the first match as a map of its groups, by number (`"0"` is the whole match) and by name, or `()`.
    ///
    /// Patterns are those of Rust's `regex` crate, without look-around.
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

    /// Returns every match of a pattern in text: as text, or as maps of groups like `regex_match` if the pattern has groups.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(regex_find_all("1, 22, 333", "\\d+"), ["1", "22", "333"]);
    /// assert_eq(regex_find_all("a=1 b=2", "(\\w)=(\\d)")[1]["2"], "2");
    /// ```
    #[rhai_fn(name = "regex_find_all", return_raw)]
    pub fn regex_find_all(text: &str, pattern: &str) -> Result<rhai::Array, Thrown> {
        let regex = compiled(pattern)?;
        let patience = WorkDeadline::new();
        let mut found = rhai::Array::new();
        let mut left = MAX_ITEMS;
        let per_match = regex.captures_len();
        let mut room = |found: &rhai::Array| {
            patience.check()?;
            left = left.checked_sub(per_match).ok_or_else(|| too_large("the list", found.len(), "matches"))?;
            Ok::<_, Thrown>(())
        };
        if per_match == 1 {
            for one in regex.find_iter(text) {
                room(&found)?;
                found.push(one.as_str().into());
            }
        } else {
            for captures in regex.captures_iter(text) {
                room(&found)?;
                found.push(groups(&regex, &captures).into());
            }
        }
        Ok(found)
    }

    /// Returns the text with every match of a pattern replaced; `$1` and `${name}` stand for groups, `$$` for a dollar.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(regex_replace("2026-03-01", "(\\d+)-(\\d+)-(\\d+)", "$3.$2.$1"), "01.03.2026");
    /// ```
    #[rhai_fn(name = "regex_replace", return_raw)]
    pub fn regex_replace(text: &str, pattern: &str, replacement: &str) -> Result<String, Thrown> {
        let regex = compiled(pattern)?;
        let patience = WorkDeadline::new();
        let groups = replacement.matches('$').count();
        let mut replaced = String::new();
        let mut rest = 0;
        for captures in regex.captures_iter(text) {
            patience.check()?;
            let whole = captures.get(0).expect("every match has a whole");
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
