//! MQTT topics and topic filters, with named levels.

use std::collections::BTreeMap;

use crate::value::map_of;

/// The longest topic or filter, in bytes.
///
/// Source: MQTT 3.1.1, section 1.5.3: a string's length is written in two bytes.
const MAX_BYTES: usize = 65_535;

/// A topic filter: `+`, `#`, `$share/group/…`, and `{name}` for a named level.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filter {
    written: String,
    wire: String,
    group: Option<String>,
    // Named levels, with their index after `$share/group/`.
    names: Vec<(usize, String)>,
}

impl Filter {
    /// Parses a filter.
    ///
    /// # Errors
    /// A message with the mistake and the correction.
    ///
    /// Source: MQTT 3.1.1, section 4.7 (wildcards), MQTT 5.0, section 4.8.2 (`$share`).
    pub fn parse(written: &str) -> Result<Self, String> {
        check_text(written, "a topic filter")?;
        let (group, pattern) = split_group(written)?;
        let levels: Vec<_> = pattern.split('/').collect();
        let mut names: Vec<(usize, String)> = Vec::new();
        let mut wire = Vec::new();
        for (index, level) in levels.iter().enumerate() {
            match read_level(level, index + 1 == levels.len()).map_err(|why| format!("{written:?}: {why}"))? {
                None => wire.push(*level),
                Some(name) if names.iter().any(|(_, other)| other == name) => {
                    return Err(format!("{written:?}: two levels are called {{{name}}}; give each its own name"));
                }
                Some(name) => {
                    names.push((index, name.to_owned()));
                    wire.push("+");
                }
            }
        }
        let prefix = group.map(|group| format!("$share/{group}/")).unwrap_or_default();
        let wire = format!("{prefix}{}", wire.join("/"));
        Ok(Self { written: written.to_owned(), wire, group: group.map(str::to_owned), names })
    }

    /// Returns the filter as it was written.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Returns the filter of SUBSCRIBE: `{name}` as `+`, with the `$share/group/` prefix.
    pub fn wire(&self) -> &str {
        &self.wire
    }

    /// Returns the pattern that topics are matched against: `{name}` as `+`, without `$share/group/`.
    pub fn pattern(&self) -> &str {
        match &self.group {
            Some(group) => &self.wire["$share//".len() + group.len()..],
            None => &self.wire,
        }
    }

    /// Returns whether it is a shared subscription, whose messages the broker distributes among a group of clients.
    pub fn is_shared(&self) -> bool {
        self.group.is_some()
    }

    /// Returns whether the topic matches.
    pub fn is_match(&self, topic: &str) -> bool {
        covers(self.pattern(), topic)
    }

    /// Returns the names and values of the named levels if the topic matches.
    pub fn named_levels<'a>(&'a self, topic: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        if !self.is_match(topic) {
            return None;
        }
        let level = |index: usize| topic.split('/').nth(index).unwrap_or_default();
        Some(self.names.iter().map(|(index, name)| (name.as_str(), level(*index))).collect())
    }

    /// Returns the values of the named levels if the topic matches.
    pub fn matches(&self, topic: &str) -> Option<BTreeMap<String, String>> {
        let levels = self.named_levels(topic)?;
        Some(map_of(levels.into_iter().map(|(name, level)| (name.to_owned(), level.to_owned()))))
    }

    /// Returns whether this filter matches every topic that the other one matches, ignoring shared subscriptions.
    pub fn covers(&self, other: &Self) -> bool {
        covers(self.pattern(), other.pattern())
    }
}

/// Checks a topic to publish to: not empty, no wildcard, no NUL, at most 65,535 bytes.
///
/// # Errors
/// A message with the mistake.
///
/// Source: MQTT 3.1.1, sections 3.3.2.1 and 4.7.3.
pub fn check_topic(topic: &str) -> Result<(), String> {
    check_text(topic, "a topic")?;
    match topic.find(['+', '#']) {
        Some(at) => Err(format!("{topic:?}: a publish topic cannot contain `{}`: write one topic", &topic[at..at + 1])),
        None => Ok(()),
    }
}

fn check_text(text: &str, name: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("{name} cannot be empty: write one such as \"house/door\""));
    }
    if text.len() > MAX_BYTES {
        return Err(format!("{name} can have at most {MAX_BYTES} bytes, not {}", text.len()));
    }
    if text.contains('\0') {
        return Err(format!("{name} cannot contain a NUL character"));
    }
    Ok(())
}

/// Splits `$share/group/` off.
fn split_group(written: &str) -> Result<(Option<&str>, &str), String> {
    let Some(rest) = written.strip_prefix("$share/") else {
        return Ok((None, written));
    };
    match rest.split_once('/') {
        Some((group, pattern)) if !group.is_empty() && !pattern.is_empty() && !group.contains(['+', '#', '{', '}']) => {
            Ok((Some(group), pattern))
        }
        _ => Err(format!("{written:?}: write a shared filter as \"$share/GROUP/FILTER\", the group without wildcards")),
    }
}

/// Checks a level of a filter and returns its name if it has one.
fn read_level(level: &str, is_last: bool) -> Result<Option<&str>, String> {
    if level == "+" || (level == "#" && is_last) {
        return Ok(None);
    }
    if level == "#" {
        return Err("`#` matches all remaining levels: write it last".to_owned());
    }
    if level.contains(['+', '#']) {
        return Err(format!("a wildcard is a whole level: write `+` or `#` between slashes instead of `{level}`"));
    }
    if !level.contains(['{', '}']) {
        return Ok(None);
    }
    let name = level.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).filter(|name| is_name(name));
    name.map(Some).ok_or_else(|| {
        format!("a named level is a whole level, with a name of letters, digits and `_`: write `{{id}}` instead of `{level}`")
    })
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Returns whether a pattern matches every topic of another pattern, or a topic.
fn covers(pattern: &str, other: &str) -> bool {
    // A leading wildcard does not match topics of the broker, such as `$SYS` [MQTT-4.7.2-1].
    if pattern.starts_with(['+', '#']) && other.starts_with('$') {
        return false;
    }
    // Every topic has a first level.
    if pattern == "+/#" && other == "#" {
        return true;
    }
    let (mut levels, mut other_levels) = (pattern.split('/'), other.split('/'));
    loop {
        match (levels.next(), other_levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(level), Some(other)) if level == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(written: &str) -> Filter {
        Filter::parse(written).unwrap()
    }

    #[test]
    fn a_filter_matches_as_the_standard_says() {
        for (written, topic, fits) in [
            ("sport/tennis/#", "sport/tennis", true),
            ("sport/tennis/#", "sport/tennis/a/b", true),
            ("sport/tennis/#", "sport/tenniser", false),
            ("#", "a/b", true),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("sport/+", "sport/a/b", false),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/uptime", false),
            ("+/uptime", "$SYS/uptime", false),
            ("$SYS/#", "$SYS/uptime", true),
            ("$SYS/#", "$SYS", true),
            ("温度/+", "温度/房间1", true),
            ("#", "温度/1", true),
            ("+/1", "温度/1", true),
            ("a/b", "a/B", false),
            ("$share/g/a/+", "a/b", true),
            ("$share/g//a", "/a", true),
        ] {
            assert_eq!(filter(written).is_match(topic), fits, "{written} on {topic}");
        }
    }

    #[test]
    fn matches_returns_the_named_levels() {
        let named = filter("freezer/{id}/{what}/#");
        assert_eq!(named.wire(), "freezer/+/+/#");
        assert_eq!(named.written(), "freezer/{id}/{what}/#");
        let expected = BTreeMap::from([("id".into(), "温".into()), ("what".into(), "t".into())]);
        assert_eq!(named.matches("freezer/温/t"), Some(expected));
        let shared = filter("$share/g/{id}/t");
        assert_eq!((shared.wire(), shared.pattern(), shared.is_shared()), ("$share/g/+/t", "+/t", true));
        assert_eq!(shared.matches("7/t").unwrap()["id"], "7");
    }

    #[test]
    fn an_invalid_filter_is_an_error_that_says_what_to_write() {
        for (written, word) in [
            ("", "cannot be empty"),
            ("a/#/b", "write it last"),
            ("a#", "a whole level"),
            ("a/b+", "a whole level"),
            ("a/{id", "named level"),
            ("a/x{id}", "named level"),
            ("a/{}", "named level"),
            ("a/{1}", "named level"),
            ("{id}/{id}", "its own name"),
            ("$share/g", "$share/GROUP/FILTER"),
            ("$share//a", "$share/GROUP/FILTER"),
            ("$share/+/a", "$share/GROUP/FILTER"),
            ("a\0", "NUL"),
        ] {
            let why = Filter::parse(written).unwrap_err();
            assert!(why.contains(word), "{written}: {why}");
        }
        assert!(Filter::parse(&"x".repeat(65_536)).is_err());
        assert!(Filter::parse(&"x".repeat(65_535)).is_ok());
    }

    #[test]
    fn a_topic_to_publish_to_has_no_wildcard() {
        for good in ["a", "/", "温度/1", "a b", "$x", "a/{id}"] {
            assert_eq!(check_topic(good), Ok(()));
        }
        for wrong in ["", "a/+", "#", "a\0b"] {
            assert!(check_topic(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn a_filter_covers_another_if_it_matches_all_of_its_topics() {
        for (wide, narrow, covered) in [
            ("#", "a/#", true),
            ("#", "$SYS/#", false),
            ("a/#", "a", true),
            ("a/#", "a/+/b", true),
            ("a/+", "a/#", false),
            ("a/+", "a/{id}", true),
            ("a/+", "a/b", true),
            ("a/b", "a/+", false),
            ("+/#", "#", true),
            ("a/+/#", "a/#", false),
            ("+/+", "a/b", true),
            ("a/#", "$share/g/a/b", true),
            ("a", "b", false),
        ] {
            assert_eq!(filter(wide).covers(&filter(narrow)), covered, "{wide} over {narrow}");
        }
    }
}
