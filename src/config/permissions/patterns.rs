//! What rules are written with: globs over names, hosts and paths.

use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

use super::addresses::canonical;

/// A glob over a name; `*` stands for anything, slashes too, and `[*]` for the character itself.
#[derive(Debug, Clone)]
pub struct Pattern {
    written: String,
    matcher: GlobMatcher,
}

impl Pattern {
    /// Reads a glob.
    ///
    /// # Errors
    /// A sentence, if it is none.
    pub(in crate::config) fn new(written: &str) -> Result<Self, String> {
        if written.is_empty() {
            return Err("\"\" is no name: write one, or a glob such as \"*\"".to_owned());
        }
        let glob =
            GlobBuilder::new(written).backslash_escape(false).build().map_err(|error| no_glob(written, &error))?;
        Ok(Self { written: written.to_owned(), matcher: glob.compile_matcher() })
    }

    /// Reads a glob over the names of scripts; `.rhai` at its end may be left out.
    ///
    /// # Errors
    /// A sentence, if it is none.
    pub(in crate::config) fn script(written: &str) -> Result<Self, String> {
        Self::new(written.strip_suffix(".rhai").unwrap_or(written))
    }

    /// Returns it as it was written, without `.rhai`.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Returns whether a name fits.
    pub fn is_match(&self, name: &str) -> bool {
        self.matcher.is_match(name)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Pattern {}

/// Which hosts, and which port of theirs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Host {
    name: Name,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq)]
enum Name {
    /// Any name whose addresses are public.
    Public,
    /// Names or addresses that fit.
    Fits(Pattern),
}

impl Host {
    /// Reads `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` or `public`; the host may be a glob.
    ///
    /// # Errors
    /// A sentence that says what to write.
    pub(super) fn parse(written: &str) -> Result<Self, String> {
        if written.contains("://") || written.contains(['/', '@', ' ']) {
            return Err(format!(
                "{written:?} is no host: write its name only, such as \"api.example.com\" or \"*.example.com:8443\""
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
            .map(|port| {
                port.ok_or_else(|| format!("{written:?} has no port behind its colon: write a number from 1 to 65535"))
            })
            .transpose()?;
        let host = plain(host);
        let name = if host == "public" { Name::Public } else { Name::Fits(Pattern::new(&host)?) };
        Ok(Self { name, port })
    }

    /// Returns whether a host and port fit by name.
    pub(super) fn covers(&self, host: &str, port: u16) -> bool {
        let fits = match &self.name {
            Name::Public => true,
            Name::Fits(pattern) => pattern.is_match(host),
        };
        fits && self.port.is_none_or(|own| own == port)
    }

    /// Returns whether this very host is named, without wildcards.
    pub(super) fn names(&self, host: &str, port: u16) -> bool {
        let is_named = matches!(&self.name, Name::Fits(pattern) if pattern.written == host);
        is_named && self.port.is_none_or(|own| own == port)
    }

    /// Returns whether only public addresses are meant.
    pub(super) fn is_public(&self) -> bool {
        self.name == Name::Public
    }
}

/// Returns a host as it is compared: lower case, no dot at the end, addresses in their shortest form, names of other scripts as the net knows them.
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

/// A file, a folder with all that is in it, or a glob over paths, in which `*` stays in its folder and `**` does not.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    written: String,
    set: GlobSet,
}

impl Tree {
    /// Reads a path; a relative one counts from the folder.
    ///
    /// # Errors
    /// A sentence, if it is no glob.
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

    /// Returns whether an absolute path lies within.
    pub(super) fn holds(&self, path: &Path) -> bool {
        let is_plain = path.components().all(|part| !matches!(part, Component::ParentDir));
        is_plain && self.set.is_match(path)
    }
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

/// Takes `.` and `..` out of a path, by its text alone.
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
    format!("{written:?} is no glob: {}", error.kind())
}
