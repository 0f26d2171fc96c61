//! Removes secrets from recorded traffic: known values, and values whose names suggest a secret.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde_json::Value as Json;
use url::Url;

use crate::secrets::mask::{Mask, PLACEHOLDER};

/// Parts of names whose values count as secrets. Names are compared in lower case and without other characters than letters and digits.
const NAME_PARTS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "authorization",
    "credential",
    "cookie",
    "sessionid",
];

/// Whole names whose values count as secrets.
const NAMES: &[&str] = &["auth", "pass", "pwd", "psk", "otp", "jwt"];

/// Further whole names, in the query of a URL only.
const PARAMETERS: &[&str] = &["key", "appid", "sig", "signature"];

/// Returns whether the value of this name is likely a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = normalize(name);
    NAMES.contains(&name.as_str()) || NAME_PARTS.iter().any(|part| name.contains(part))
}

/// Returns the letters and digits of a name in lower case.
fn normalize(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

impl Mask {
    /// Returns the text without known secrets. In JSON, lines of JSON and forms, values of names such as `password` are removed,
    /// too. A text without secrets is not changed.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let redacted = match text.trim_start().starts_with(['{', '[', '"']) {
            true => match serde_json::from_str::<Json>(text) {
                Ok(mut json) => self.redact_json(&mut json).then(|| json.to_string()),
                Err(_) => text.contains('\n').then(|| {
                    let lines = text.split('\n').map(|line| self.redact(line));
                    lines.collect::<Vec<_>>().join("\n")
                }),
            },
            false if text.contains('=') && !text.contains(char::is_whitespace) => {
                Some(self.redact_parameters(text, &[]))
            }
            false => None,
        };
        match redacted {
            Some(redacted) => self.apply(&redacted).into_owned().into(),
            None => self.apply(text),
        }
    }

    /// Returns the bytes without known secrets. Valid UTF-8 is treated as in [`Mask::redact`].
    pub fn redact_bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        match std::str::from_utf8(bytes) {
            Ok(text) => match self.redact(text) {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            },
            Err(_) => match self.apply(&String::from_utf8_lossy(bytes)) {
                text if text.contains(PLACEHOLDER) => Cow::Owned(text.into_owned().into_bytes()),
                _ => Cow::Borrowed(bytes),
            },
        }
    }

    /// Returns the URL without user, password and fragment, and without secrets in its path and query.
    pub fn redact_url(&self, url: &Url) -> String {
        let mut url = url.clone();
        url.set_fragment(None);
        // These fail only for URLs without a host, which cannot be requested.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let query = url.query().map(|query| self.redact_parameters(query, PARAMETERS));
        let parts = url.path().split('/').map(|part| self.redact_encoded(part)).collect::<Vec<_>>().join("/");
        url.set_path(&parts);
        url.set_query(query.as_deref());
        self.apply(url.as_str()).into_owned()
    }

    /// Returns the value of a header without secrets.
    pub fn redact_header(&self, name: &str, value: &str) -> String {
        match Url::parse(value) {
            _ if is_secret_name(name) => PLACEHOLDER.to_owned(),
            Ok(url) if url.has_host() => self.redact_url(&url),
            _ => self.apply(value).into_owned(),
        }
    }

    fn redact_json(&self, json: &mut Json) -> bool {
        match json {
            Json::String(text) => match self.apply(text) {
                Cow::Borrowed(_) => false,
                Cow::Owned(masked) => {
                    *text = masked;
                    true
                }
            },
            Json::Array(items) => items.iter_mut().fold(false, |has, item| has | self.redact_json(item)),
            Json::Object(entries) => {
                let is_secret = |name: &&String| matches!(self.apply(name), Cow::Owned(_));
                let names: Vec<_> = entries.keys().filter(is_secret).cloned().collect();
                for name in &names {
                    let value = entries.remove(name).unwrap_or_default();
                    entries.insert(self.apply(name).into_owned(), value);
                }
                let redacted = entries.iter_mut().map(|(name, value)| self.redact_entry(name, value));
                redacted.fold(!names.is_empty(), |has, is_redacted| has | is_redacted)
            }
            _ => false,
        }
    }

    fn redact_entry(&self, name: &str, value: &mut Json) -> bool {
        if is_secret_name(name) && !matches!(value, Json::Null | Json::Bool(_)) {
            *value = PLACEHOLDER.into();
            return true;
        }
        self.redact_json(value)
    }

    /// Returns the query or form without secrets and without the values of further names.
    fn redact_parameters(&self, pairs: &str, further: &[&str]) -> String {
        let redacted = pairs.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if is_secret_name(name) || further.contains(&normalize(name).as_str()) => {
                format!("{name}={PLACEHOLDER}")
            }
            Some((name, value)) => format!("{name}={}", self.redact_encoded(value)),
            None => self.redact_encoded(pair).into_owned(),
        });
        redacted.collect::<Vec<_>>().join("&")
    }

    /// Returns the part of a URL, or `***` if it contains a secret.
    fn redact_encoded<'a>(&self, part: &'a str) -> Cow<'a, str> {
        let plain = part.replace('+', " ");
        let is_secret = [part, plain.as_str()].into_iter().any(|part| {
            let text = percent_decode_str(part).decode_utf8_lossy().into_owned();
            matches!(self.apply(&text), Cow::Owned(_))
        });
        if is_secret { PLACEHOLDER.into() } else { part.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::mask::Secret;

    fn mask() -> Mask {
        Mask::new([Secret::new("pä ss+word\"1")])
    }

    #[test]
    fn values_with_secret_names_are_removed_from_json_and_forms() {
        let redact = |text: &str| mask().redact(text).into_owned();
        assert_eq!(
            redact(r#"{"user": "ann", "apiKey": "x", "a": [{"access_token": 7, "has_password": true}]}"#),
            r#"{"a":[{"access_token":"***","has_password":true}],"apiKey":"***","user":"ann"}"#
        );
        assert_eq!(redact("{\"token\": 1}\n{\"a\": 2}\n"), "{\"token\":\"***\"}\n{\"a\": 2}\n");
        assert_eq!(redact("grant=x&access_token=abc&a=%20+b"), "grant=x&access_token=***&a=%20+b");
        assert_eq!(redact(r#"{"credentials": {"user": "ann"}}"#), r#"{"credentials":"***"}"#);
        for same in [
            r#"{ "celsius" : 1.50, "author": "ann" }"#,
            "[1, 2 ]",
            "{no json: \"password\"",
            "21.5",
            "",
            "YWJj==",
            "a=b",
        ] {
            assert_eq!(redact(same), same);
        }
    }

    #[test]
    fn known_secrets_are_removed_in_any_encoding() {
        assert_eq!(mask().redact(r#"["is pä ss+word\"1", "\u0070ä ss+word\"1"]"#), r#"["is ***","***"]"#);
        assert_eq!(mask().redact(r#"{"pä ss+word\"1": 1}"#), r#"{"***":1}"#);
        assert_eq!(mask().redact("is pä ss+word\"1!"), "is ***!");
        assert_eq!(&*mask().redact_bytes(b"\xff\xfe"), b"\xff\xfe");
        assert_eq!(mask().redact_bytes("\u{0}pä ss+word\"1".as_bytes()), "\u{0}***".as_bytes());
        let bytes = [b"\xff".as_slice(), "pä ss+word\"1".as_bytes()].concat();
        assert!(!String::from_utf8_lossy(&mask().redact_bytes(&bytes)).contains("word"));
    }

    #[test]
    fn urls_lose_only_secrets() {
        for (url, redacted) in [
            ("https://ann:pw@a.example/b?c=d%20e&f#g", "https://a.example/b?c=d%20e&f"),
            (
                "https://a.example/?city=Oslo&appid=1&X-Api-Key=2&key=3",
                "https://a.example/?city=Oslo&appid=***&X-Api-Key=***&key=***",
            ),
            ("https://a.example/p%C3%A4%20ss+word%221/x?q=p%C3%A4+ss%2Bword%221", "https://a.example/***/x?q=***"),
        ] {
            assert_eq!(mask().redact_url(&Url::parse(url).unwrap()), redacted);
        }
    }

    #[test]
    fn headers_with_secret_names_are_replaced() {
        let mask = mask();
        for name in ["Authorization", "set-cookie", "x-api-key", "X-Auth-Token"] {
            assert_eq!(mask.redact_header(name, "abc"), "***");
        }
        assert_eq!(mask.redact_header("location", "https://ann:pw@a.example/?token=1"), "https://a.example/?token=***");
        assert_eq!(mask.redact_header("content-type", "text/plain"), "text/plain");
    }
}
