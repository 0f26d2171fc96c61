//! Digest authentication.
//!
//! Source: RFC 7616.

use md5::Md5;
use sha2::{Digest as _, Sha256};

/// A challenge of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// Whether the server supports `qop=auth`, as all servers since RFC 2617 do.
    has_qop: bool,
    /// Whether only the nonce had expired and the password was correct.
    pub(super) is_stale: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Algorithm {
    hash: Hash,
    is_session: bool,
    is_named: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hash {
    Md5,
    Sha256,
}

impl Challenge {
    /// Returns the strongest supported challenge in `WWW-Authenticate` headers.
    pub(super) fn strongest<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let known = headers.flat_map(digest_challenges).filter_map(|parameters| Self::parse(&parameters));
        known.max_by_key(|challenge| challenge.algorithm)
    }

    fn parse(parameters: &[(String, String)]) -> Option<Self> {
        let of = |key: &str| parameters.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let qop = of("qop");
        let has_qop = qop.is_some_and(|qop| qop.split(',').any(|word| word.trim().eq_ignore_ascii_case("auth")));
        if qop.is_some() && !has_qop {
            return None;
        }
        Some(Self {
            realm: of("realm").unwrap_or_default().to_owned(),
            nonce: of("nonce")?.to_owned(),
            opaque: of("opaque").map(str::to_owned),
            algorithm: Algorithm::parse(of("algorithm"))?,
            has_qop,
            is_stale: of("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }

    /// Returns the `Authorization` header for this challenge; `cnonce` is an unpredictable client nonce.
    pub(super) fn authorization(&self, user: &str, password: &str, method: &str, uri: &str, cnonce: &str) -> String {
        let hash = |text: String| self.algorithm.hash.of(&text);
        let (realm, nonce) = (&self.realm, &self.nonce);
        let mut a1 = hash(format!("{user}:{realm}:{password}"));
        if self.algorithm.is_session {
            a1 = hash(format!("{a1}:{nonce}:{cnonce}"));
        }
        let a2 = hash(format!("{method}:{uri}"));
        let response = if self.has_qop {
            hash(format!("{a1}:{nonce}:00000001:{cnonce}:auth:{a2}"))
        } else {
            hash(format!("{a1}:{nonce}:{a2}"))
        };
        let mut header = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\"",
            quoted(user),
            quoted(realm),
            quoted(nonce),
            quoted(uri)
        );
        if self.algorithm.is_named {
            header.push_str(&format!(", algorithm={}", self.algorithm.name()));
        }
        if let Some(opaque) = &self.opaque {
            header.push_str(&format!(", opaque={}", quoted(opaque)));
        }
        if self.has_qop {
            header.push_str(", qop=auth, nc=00000001");
        }
        if self.has_qop || self.algorithm.is_session {
            header.push_str(&format!(", cnonce=\"{cnonce}\""));
        }
        header
    }
}

impl Algorithm {
    fn parse(written: Option<&str>) -> Option<Self> {
        let name = written.unwrap_or("MD5").to_ascii_uppercase();
        let (name, is_session) = name.strip_suffix("-SESS").map_or((name.as_str(), false), |name| (name, true));
        let hash = match name {
            "MD5" => Hash::Md5,
            "SHA-256" => Hash::Sha256,
            _ => return None,
        };
        Some(Self { hash, is_session, is_named: written.is_some() })
    }

    fn name(self) -> &'static str {
        match (self.hash, self.is_session) {
            (Hash::Md5, false) => "MD5",
            (Hash::Md5, true) => "MD5-sess",
            (Hash::Sha256, false) => "SHA-256",
            (Hash::Sha256, true) => "SHA-256-sess",
        }
    }
}

impl Hash {
    fn of(self, text: &str) -> String {
        match self {
            Self::Md5 => hex::encode(Md5::digest(text)),
            Self::Sha256 => hex::encode(Sha256::digest(text)),
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Returns the parameters of each `Digest` challenge of a header, which may contain other schemes.
fn digest_challenges(header: &str) -> Vec<Vec<(String, String)>> {
    let mut found: Vec<(bool, Vec<(String, String)>)> = Vec::new();
    for piece in split_at_commas(header) {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        // A word before the name starts a new challenge.
        let mut words = name.split_whitespace();
        let (first, second) = (words.next().unwrap_or_default(), words.next());
        if second.is_some() || value.is_empty() {
            found.push((first.eq_ignore_ascii_case("digest"), Vec::new()));
        }
        if let Some((_, parameters)) = found.last_mut() {
            parameters.push((second.unwrap_or(first).to_ascii_lowercase(), unquoted(value)));
        }
    }
    found.into_iter().filter(|(is_digest, _)| *is_digest).map(|(_, parameters)| parameters).collect()
}

/// Splits at commas outside quotes.
fn split_at_commas(header: &str) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let at_comma = |c: char| {
        let is_end = c == ',' && !is_quoted;
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    };
    header.split(at_comma).map(str::trim).filter(|piece| !piece.is_empty()).collect()
}

fn unquoted(value: &str) -> String {
    let value = value.trim();
    let Some(inner) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut is_escaped = false;
    let keep = |c: &char| {
        is_escaped = *c == '\\' && !is_escaped;
        !is_escaped
    };
    inner.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGES: &str = r#"Basic realm="a, b", Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#;

    /// Source: RFC 7616, section 3.9.1.
    #[test]
    fn the_example_of_the_standard_is_reproduced() {
        let authorization = |challenge: Challenge| {
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            challenge.authorization("Mufasa", "Circle of Life", "GET", "/dir/index.html", cnonce)
        };
        let weak = Challenge::strongest([CHALLENGES].into_iter()).unwrap();
        assert!(authorization(weak).contains("response=\"8ca523f5e9506fed4657c9700eebdbec\""));
        let strong = CHALLENGES.replace("algorithm=MD5", "algorithm=SHA-256");
        let both = Challenge::strongest([CHALLENGES, &strong].into_iter()).unwrap();
        let header = authorization(both);
        assert!(header.contains("response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\""));
        assert!(
            header.contains("realm=\"http-auth@example.org\"") && header.contains("algorithm=SHA-256, opaque=\"FQ")
        );
    }

    #[test]
    fn unsupported_challenges_are_ignored() {
        let find = |header| Challenge::strongest([header].into_iter());
        assert_eq!(find("Basic realm=\"digest\""), None);
        assert_eq!(find("Negotiate, Digest realm=x, nonce=y, algorithm=SHA-512-256"), None);
        assert_eq!(find("Digest realm=x, nonce=y, qop=auth-int"), None);
        let oldest = find("Negotiate, Digest realm=x, nonce=\"a\\\"b\", stale=TRUE").unwrap();
        assert!(oldest.is_stale && oldest.nonce == "a\"b");
        let header = oldest.authorization("ann", "pass", "GET", "/", "c");
        assert!(!header.contains("qop") && !header.contains("algorithm") && header.contains(r#"nonce="a\"b""#));
    }
}
