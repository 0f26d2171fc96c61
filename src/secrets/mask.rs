//! Replaces known secrets in text with one scan of an Aho-Corasick automaton.

use std::borrow::Cow;
use std::fmt;

use aho_corasick::AhoCorasick;

/// The shortest secret that is masked, in bytes. Masking shorter ones would garble ordinary text.
const MIN_LENGTH: usize = 4;

/// The replacement for secrets.
pub(super) const PLACEHOLDER: &str = "***";

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Returns the value, for sending it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PLACEHOLDER)
    }
}

/// Replaces secrets in text for logs, files and users. Cheap to clone.
#[derive(Clone, Default)]
pub struct Mask {
    /// Matches all secrets; `None` without secrets.
    automaton: Option<AhoCorasick>,
}

impl Mask {
    /// Builds a mask of these secrets. Those under 4 bytes are left out.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let secrets: Vec<_> = secrets.into_iter().filter(|secret| secret.0.len() >= MIN_LENGTH).collect();
        if secrets.is_empty() {
            return Self::default();
        }
        let automaton = AhoCorasick::new(secrets.iter().map(|secret| &secret.0));
        Self { automaton: Some(automaton.expect("building fails only above 2^31 bytes of secrets")) }
    }

    /// Returns the text with every secret replaced by `***`. Overlapping secrets are replaced together, so that no part of
    /// either remains.
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let Some(automaton) = &self.automaton else { return Cow::Borrowed(text) };
        // Most texts have no secret, and this check is faster than the overlapping search.
        if !automaton.is_match(text) {
            return Cow::Borrowed(text);
        }
        let mut found: Vec<_> = automaton.find_overlapping_iter(text).map(|found| found.range()).collect();
        found.sort_by_key(|range| range.start);
        let mut masked = String::with_capacity(text.len());
        let mut end = 0;
        for range in found {
            if range.start >= end {
                masked.push_str(&text[end..range.start]);
                masked.push_str(PLACEHOLDER);
            }
            end = end.max(range.end);
        }
        masked.push_str(&text[end..]);
        Cow::Owned(masked)
    }
}

impl fmt::Debug for Mask {
    /// Omits the automaton, whose states contain the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mask").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(secrets: &[&str], text: &str) -> String {
        Mask::new(secrets.iter().map(|secret| Secret::new(*secret))).apply(text).into_owned()
    }

    #[test]
    fn a_secret_inside_another_is_hidden_whole() {
        for secrets in [["abcd", "abcdef", "x"], ["abcdef", "x", "abcd"]] {
            assert_eq!(masked(&secrets, "token abcdef, x"), "token ***, x");
        }
        assert_eq!(masked(&["cdef", "abcdefgh"], "abcdefgh cdef abcdefg"), "*** *** ab***g");
    }

    #[test]
    fn overlapping_secrets_leave_no_part_of_either() {
        assert_eq!(masked(&["abcdef", "efgh"], "1abcdefgh2"), "1***2");
        assert_eq!(masked(&["abcd", "cdefg"], "abcdefg"), "***");
        assert_eq!(masked(&["aaaa"], "aaaaaa b"), "*** b");
    }

    #[test]
    fn adjacent_and_repeated_secrets_are_replaced_one_by_one() {
        assert_eq!(masked(&["abcd", "1234"], "abcd1234 abcd"), "****** ***");
    }

    #[test]
    fn an_empty_mask_and_short_secrets_change_nothing() {
        for mask in [Mask::default(), Mask::new([]), Mask::new([Secret::new(""), Secret::new("abc")])] {
            assert!(matches!(mask.apply("abc abcd"), Cow::Borrowed("abc abcd")));
        }
    }

    #[test]
    fn a_text_without_secrets_is_borrowed() {
        assert!(matches!(Mask::new([Secret::new("abcd")]).apply("abce"), Cow::Borrowed("abce")));
    }

    #[test]
    fn secrets_of_several_bytes_per_character_are_replaced() {
        assert_eq!(masked(&["päß€"], "é päß€ é"), "é *** é");
    }

    #[test]
    fn debug_output_has_no_secret() {
        let secret = Secret::new("hunter22");
        let text = format!("{secret:?} {:?}", Mask::new([secret.clone()]));
        assert_eq!(text, "*** Mask { .. }");
    }
}
