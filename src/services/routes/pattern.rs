//! Webhook paths with parameters.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use percent_encoding::percent_decode_str;

/// A path below `/hooks/`, with `{name}` for one segment and `{*rest}` at the end for all remaining segments.
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
    /// Parses a path, with or without the leading `/`.
    ///
    /// # Errors
    /// A message with the correction.
    pub fn parse(written: &str) -> Result<Self, String> {
        let path = written.strip_prefix('/').unwrap_or(written);
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Err("a webhook needs a path, such as \"door/{id}\"".into());
        }
        if let Some(rest) = path.strip_prefix("hooks/") {
            return Err(format!("webhook paths are relative to /hooks/: write \"{rest}\""));
        }
        if let Some(wrong) = path.chars().find(|c| c.is_control() || c.is_whitespace() || "?#%\\".contains(*c)) {
            return Err(format!("{wrong:?} is not allowed in a path: write plain text, with `/` between segments"));
        }
        let texts: Vec<_> = path.split('/').collect();
        let mut parts = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let part = part(text)?;
            if matches!(part, Part::Rest(_)) && index + 1 < texts.len() {
                return Err(format!("`{text}` matches all remaining segments: it must be the last one"));
            }
            if part.name().is_some_and(|name| parts.iter().any(|earlier: &Part| earlier.name() == Some(name))) {
                return Err(format!("`{text}` occurs twice: give each parameter a unique name"));
            }
            parts.push(part);
        }
        Ok(Self { parts })
    }

    /// Returns the parameters if a decoded path matches.
    pub fn params(&self, path: &str) -> Option<BTreeMap<String, String>> {
        self.matches(&path.split('/').map(Cow::from).collect::<Vec<_>>())
    }

    /// Returns the parameters if a path matches, given as decoded segments.
    pub(super) fn matches(&self, path: &[Cow<'_, str>]) -> Option<BTreeMap<String, String>> {
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
                    params.insert(name.clone(), text.clone().into_owned());
                }
                _ => return None,
            }
            left = after;
        }
        left.is_empty().then_some(params)
    }

    /// Returns whether both patterns match the same paths.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.parts.len() == other.parts.len()
            && self.parts.iter().zip(&other.parts).all(|pair| match pair {
                (Part::Literal(one), Part::Literal(other)) => one == other,
                (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
            })
    }

    /// Returns a sort key: of two patterns that match one path, the more specific one has the lower key.
    pub(super) fn specificity_key(&self) -> Vec<u8> {
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
        return Err(format!("{text:?} is not allowed as a path segment: write names with single `/` between them"));
    }
    let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
        if text.contains(['{', '}']) {
            return Err(format!("`{text}`: a parameter is a whole segment, such as \"door/{{id}}\""));
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

/// Splits a percent-encoded path at `/` and decodes its segments; a trailing `/` is ignored.
///
/// `None` if the path is not UTF-8 or contains `.` or `..`.
pub(super) fn split(path: &str) -> Option<Vec<Cow<'_, str>>> {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/')
        .map(|part| {
            let part = percent_decode_str(part).decode_utf8().ok()?;
            (part != "." && part != "..").then_some(part)
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
    fn a_parameter_matches_one_segment_and_a_rest_parameter_all_remaining_ones() {
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
    fn errors_of_invalid_paths_contain_the_correction() {
        for (written, expected) in [
            ("", "a webhook needs a path, such as \"door/{id}\""),
            ("/hooks/door", "webhook paths are relative to /hooks/: write \"door\""),
            ("a//b", "\"\" is not allowed as a path segment: write names with single `/` between them"),
            ("a/../b", "\"..\" is not allowed as a path segment: write names with single `/` between them"),
            ("{*rest}/a", "`{*rest}` matches all remaining segments: it must be the last one"),
            ("{a}/{a}", "`{a}` occurs twice: give each parameter a unique name"),
            ("door-{id}", "`door-{id}`: a parameter is a whole segment, such as \"door/{id}\""),
            ("{1}", "`{1}`: write a name of letters, digits and `_` between the braces"),
            ("a?b=c", "'?' is not allowed in a path: write plain text, with `/` between segments"),
        ] {
            assert_eq!(Pattern::parse(written).unwrap_err(), expected, "{written}");
        }
    }
}
