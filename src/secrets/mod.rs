//! Secret values, and the mask that keeps them out of logs, faults and the ledger.

mod redact;

use std::borrow::Cow;
use std::fmt;

pub use self::redact::is_secret_name;

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Returns the value, for the one who sends it on.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Replaces secret values in text that people or files will see.
#[derive(Debug, Clone, Default)]
pub struct Mask {
    secrets: Vec<Secret>,
}

impl Mask {
    /// Collects the values to hide; those under 4 characters are left out, since hiding them would garble ordinary text.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let mut secrets: Vec<_> = secrets.into_iter().filter(|secret| secret.0.len() >= 4).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.0.len()));
        Self { secrets }
    }

    /// Returns the text with every secret value replaced by `***`.
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut masked = Cow::Borrowed(text);
        for secret in &self.secrets {
            if masked.contains(&secret.0) {
                masked = Cow::Owned(masked.replace(&secret.0, "***"));
            }
        }
        masked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_inside_another_is_hidden_whole() {
        let mask = Mask::new([Secret::new("abcd"), Secret::new("abcdef"), Secret::new("x")]);
        assert_eq!(mask.apply("token abcdef, x"), "token ***, x");
    }
}
