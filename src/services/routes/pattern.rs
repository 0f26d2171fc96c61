//! Webhook paths with named parts.

use std::collections::BTreeMap;
use std::fmt;

use percent_encoding::percent_decode_str;

/// A path below `/hooks/`, with `{name}` for one part and `{*rest}` at the end for all that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Name(String),
    Rest(String),
}

impl Pattern {
    /// Reads a path, with or without the leading `/`.
    ///
    /// # Errors
    /// A sentence that says what to write instead.
    pub fn parse(written: &str) -> Result<Self, String> {
        let path = written.strip_prefix('/').unwrap_or(written);
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Err("a webhook needs a path, such as \"door/{id}\"".into());
        }
        if let Some(rest) = path.strip_prefix("hooks/") {
            return Err(format!("webhooks live below /hooks/ anyway: write \"{rest}\""));
        }
        if let Some(wrong) = path.chars().find(|c| c.is_control() || c.is_whitespace() || "?#%\\".contains(*c)) {
            return Err(format!("{wrong:?} can not stand in a path: write its plain text, parts divided by `/`"));
        }
        let texts: Vec<_> = path.split('/').collect();
        let mut parts = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let part = part(text)?;
            if matches!(part, Part::Rest(_)) && index + 1 < texts.len() {
                return Err(format!("`{text}` takes all that is left: it must come last"));
            }
            if part.name().is_some_and(|name| parts.iter().any(|earlier: &Part| earlier.name() == Some(name))) {
                return Err(format!("`{text}` is there twice: give each part a name of its own"));
            }
            parts.push(part);
        }
        Ok(Self { parts })
    }

    /// Returns the values of the named parts if a path, decoded, matches.
    pub fn params(&self, path: &str) -> Option<BTreeMap<String, String>> {
        self.matches(&path.split('/').map(str::to_owned).collect::<Vec<_>>())
    }

    /// Returns the values of the named parts if a path, split at its `/` and decoded, matches.
    pub(super) fn matches(&self, path: &[String]) -> Option<BTreeMap<String, String>> {
        let mut params = BTreeMap::new();
        let mut left = path;
        for part in &self.parts {
            if let Part::Rest(name) = part {
                params.insert(name.clone(), left.join("/"));
                return (!left.is_empty()).then_some(params);
            }
            let (text, after) = left.split_first()?;
            match part {
                Part::Literal(literal) if literal == text => {}
                Part::Name(name) if !text.is_empty() => {
                    params.insert(name.clone(), text.clone());
                }
                _ => return None,
            }
            left = after;
        }
        left.is_empty().then_some(params)
    }

    /// Returns whether both match the same paths.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.parts.len() == other.parts.len()
            && self.parts.iter().zip(&other.parts).all(|pair| match pair {
                (Part::Literal(one), Part::Literal(other)) => one == other,
                (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
            })
    }

    /// Returns what sorts the more exact of two patterns that match one path first.
    pub(super) fn vagueness(&self) -> Vec<u8> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Literal(_) => 0,
                Part::Name(_) => 1,
                Part::Rest(_) => 2,
            })
            .collect()
    }
}

impl Part {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Name(name) | Self::Rest(name) => Some(name),
        }
    }
}

fn part(text: &str) -> Result<Part, String> {
    if text.is_empty() || text == "." || text == ".." {
        return Err(format!("a path has no part {text:?}: write names divided by single `/`"));
    }
    let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
        if text.contains(['{', '}']) {
            return Err(format!("`{text}`: a name in braces is a whole part, such as \"door/{{id}}\""));
        }
        return Ok(Part::Literal(text.to_owned()));
    };
    let (rest, name) = inner.strip_prefix('*').map_or((false, inner), |name| (true, name));
    let mut characters = name.chars();
    let is_name = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(format!("`{text}`: write a name of letters, digits and `_` between the braces"));
    }
    Ok(if rest { Part::Rest(name.to_owned()) } else { Part::Name(name.to_owned()) })
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            let slash = if index > 0 { "/" } else { "" };
            match part {
                Part::Literal(text) => write!(f, "{slash}{text}")?,
                Part::Name(name) => write!(f, "{slash}{{{name}}}")?,
                Part::Rest(name) => write!(f, "{slash}{{*{name}}}")?,
            }
        }
        Ok(())
    }
}

/// Splits a path as it came over the wire at its `/` and decodes the parts; a `/` at the end does not count.
///
/// None if it is no UTF-8, or climbs.
pub(super) fn split(path: &str) -> Option<Vec<String>> {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/')
        .map(|part| {
            let part = percent_decode_str(part).decode_utf8().ok()?;
            (part != "." && part != "..").then(|| part.into_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pattern: &str, path: &str) -> Option<String> {
        let found = Pattern::parse(pattern).unwrap().matches(&split(path)?)?;
        Some(found.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn named_parts_take_one_part_and_a_rest_all_that_is_left() {
        assert_eq!(params("door/{id}", "door/front").as_deref(), Some("id=front"));
        assert_eq!(params("/door/{id}/", "door/front/").as_deref(), Some("id=front"));
        assert_eq!(params("door/{id}", "door/a%2Fb%20%C3%A9").as_deref(), Some("id=a/b é"));
        assert_eq!(params("files/{*path}", "files/a/b/c").as_deref(), Some("path=a/b/c"));
        assert_eq!(params("a b".replace(' ', "-").as_str(), "a-b").as_deref(), Some(""));
        for (pattern, path) in [
            ("door/{id}", "door"),
            ("door/{id}", "door/a/b"),
            ("door/{id}", "door//"),
            ("door", "Door"),
            ("files/{*path}", "files"),
            ("{*path}", "a/../b"),
            ("{id}", "%FF"),
        ] {
            assert_eq!(params(pattern, path), None, "{pattern} {path}");
        }
    }

    #[test]
    fn a_wrong_path_says_what_to_write() {
        for (written, expected) in [
            ("", "a webhook needs a path, such as \"door/{id}\""),
            ("/hooks/door", "webhooks live below /hooks/ anyway: write \"door\""),
            ("a//b", "a path has no part \"\": write names divided by single `/`"),
            ("a/../b", "a path has no part \"..\": write names divided by single `/`"),
            ("{*rest}/a", "`{*rest}` takes all that is left: it must come last"),
            ("{a}/{a}", "`{a}` is there twice: give each part a name of its own"),
            ("door-{id}", "`door-{id}`: a name in braces is a whole part, such as \"door/{id}\""),
            ("{1}", "`{1}`: write a name of letters, digits and `_` between the braces"),
            ("a?b=c", "'?' can not stand in a path: write its plain text, parts divided by `/`"),
        ] {
            assert_eq!(Pattern::parse(written).unwrap_err(), expected, "{written}");
        }
    }
}
