//! Patterns of rules: globs over names, hosts and paths.

use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

use super::addresses::canonical;

/// A glob over a name; `*` matches anything, also slashes, and `[*]` matches a literal `*`.
#[derive(Debug, Clone)]
pub struct Glob {
    written: String,
    matcher: GlobMatcher,
}

impl Glob {
    /// Parses a glob.
    ///
    /// # Errors
    /// A sentence, if it is invalid.
    pub(in crate::config) fn new(written: &str) -> Result<Self, String> {
        if written.is_empty() {
            return Err("\"\" is not a name: write one, or a glob such as \"*\"".to_owned());
        }
        let glob =
            GlobBuilder::new(written).backslash_escape(false).build().map_err(|error| no_glob(written, &error))?;
        Ok(Self { written: written.to_owned(), matcher: glob.compile_matcher() })
    }

    /// Parses a glob over script names; a final `.rhai` is optional.
    ///
    /// # Errors
    /// A sentence, if it is invalid.
    pub(in crate::config) fn script(written: &str) -> Result<Self, String> {
        Self::new(written.strip_suffix(".rhai").unwrap_or(written))
    }

    /// Returns the glob as written, without `.rhai`.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Returns whether a name matches.
    pub fn is_match(&self, name: &str) -> bool {
        self.matcher.is_match(name)
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Glob {}

/// A pattern of hosts, with an optional port.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HostPattern {
    name: HostName,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq)]
enum HostName {
    /// Any name whose addresses are public.
    Public,
    /// Names or addresses that match.
    Matching(Glob),
}

impl HostPattern {
    /// Parses `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` or `public`; the host may be a glob.
    ///
    /// # Errors
    /// A sentence with the correction.
    pub(super) fn parse(written: &str) -> Result<Self, String> {
        if written.contains("://") || written.contains(['/', '@', ' ']) {
            return Err(format!(
                "{written:?} is not a host: write only its name, such as \"api.example.com\" or \"*.example.com:8443\""
            ));
        }
        let (host, port) = match written.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, (!rest.is_empty()).then(|| rest.strip_prefix(':').unwrap_or("?"))),
            None => match written.rsplit_once(':') {
                Some((host, port)) if !host.contains(':') => (host, Some(port)),
                _ => (written, None),
            },
        };
        let port = port
            .filter(|port| *port != "*")
            .map(|port| port.parse::<u16>().ok().filter(|port| *port > 0))
            .map(|port| port.ok_or_else(|| format!("{written:?} has an invalid port: write a number from 1 to 65535")))
            .transpose()?;
        let host = plain(host);
        let name = if host == "public" { HostName::Public } else { HostName::Matching(Glob::new(&host)?) };
        Ok(Self { name, port })
    }

    /// Returns whether a host and port match by name.
    pub(super) fn covers(&self, host: &str, port: u16) -> bool {
        let fits = match &self.name {
            HostName::Public => true,
            HostName::Matching(pattern) => pattern.is_match(host),
        };
        fits && self.port.is_none_or(|own| own == port)
    }

    /// Returns whether exactly this host is named, without wildcards.
    pub(super) fn names(&self, host: &str, port: u16) -> bool {
        let is_named = matches!(&self.name, HostName::Matching(pattern) if pattern.written == host);
        is_named && self.port.is_none_or(|own| own == port)
    }

    /// Returns whether it matches only public addresses.
    pub(super) fn is_public(&self) -> bool {
        self.name == HostName::Public
    }
}

/// Returns a host in comparable form: lower case, without final dot, addresses in canonical form, international names in Punycode.
fn plain(host: &str) -> String {
    let host = host.trim_end_matches('.').to_lowercase();
    if let Ok(address) = host.parse() {
        return canonical(address).to_string();
    }
    match url::Host::parse(&host) {
        Ok(url::Host::Domain(name)) if !host.is_ascii() => name,
        _ => host,
    }
}

/// A file, a folder with its contents, or a glob over paths, in which `*` does not match `/` and `**` does.
#[derive(Debug, Clone)]
pub(super) struct PathPattern {
    written: String,
    set: GlobSet,
}

impl PathPattern {
    /// Parses a path; a relative path starts at the folder.
    ///
    /// # Errors
    /// A sentence, if the glob is invalid.
    pub(super) fn parse(written: &str, folder: &Path) -> Result<Self, String> {
        let is_glob = written.contains(['*', '?', '[', '{']);
        let path = if is_glob { folder_as_glob(folder).join(written) } else { folder.join(written) };
        let path = normalize(&path).to_string_lossy().into_owned();
        let patterns = match (is_glob, path.strip_suffix("/**")) {
            (true, Some(parent)) => vec![path.clone(), parent.to_owned()],
            (true, None) => vec![path.clone()],
            (false, _) => {
                let literal = globset::escape(&path);
                vec![format!("{}/**", literal.trim_end_matches('/')), literal]
            }
        };
        let mut set = GlobSetBuilder::new();
        for pattern in patterns.iter().filter(|pattern| !pattern.is_empty()) {
            let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(false).build();
            set.add(glob.map_err(|error| no_glob(written, &error))?);
        }
        let set = set.build().map_err(|error| no_glob(written, &error))?;
        Ok(Self { written: written.to_owned(), set })
    }

    /// Returns whether an absolute path matches.
    pub(super) fn holds(&self, path: &Path) -> bool {
        let is_plain = path.components().all(|part| !matches!(part, Component::ParentDir));
        is_plain && self.set.is_match(path)
    }
}

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

/// Removes `.` and `..` from a path lexically.
pub(super) fn normalize(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

fn folder_as_glob(folder: &Path) -> PathBuf {
    PathBuf::from(globset::escape(&folder.to_string_lossy()))
}

fn no_glob(written: &str, error: &globset::Error) -> String {
    format!("{written:?} is not a glob: {}", error.kind())
}
