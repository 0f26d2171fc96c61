//! Checks the needs of scripts against the rules.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::addresses::{canonical, is_metadata_address, is_metadata_name, is_public};
use super::patterns::{HostPattern, PathPattern, normalize};
use super::rule::Rule;

/// The permissions of all scripts, by globs over script names. Matching rules are combined.
///
/// Without a rule, HTTP and MQTT are allowed (except metadata services of clouds), and everything else is denied.
#[derive(Debug, Clone, Default)]
pub struct Permissions {
    pub(super) rules: Vec<Rule>,
    pub(super) folder: PathBuf,
}

/// An access that a script requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need<'a> {
    /// To call this host and port.
    Host(&'a str, u16),
    /// To publish to this topic.
    Publish(&'a str),
    /// To subscribe to this filter.
    Subscribe(&'a str),
    /// To read this file or list this folder (absolute, symlinks resolved).
    Read(&'a Path),
    /// To write this file (absolute, symlinks of its folder resolved).
    Write(&'a Path),
    /// To run this program.
    Program(&'a str),
    /// To read this environment variable.
    Variable(&'a str),
    /// To read this secret.
    Secret(&'a str),
}

/// A denied access, and the line that would allow it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denied {
    /// The script and the denied access.
    pub message: String,
    /// The line to add to `rhaid.yaml`.
    pub hint: String,
}

impl Permissions {
    /// Checks an access. The addresses of a host are checked after name resolution, by [`Permissions::check_address`].
    ///
    /// # Errors
    /// If no rule allows it.
    pub fn check(&self, script: &str, need: Need<'_>) -> Result<(), Denied> {
        let allowed = match need {
            Need::Host(host, port) => return self.check_host(script, host, port),
            Need::Publish(topic) => {
                self.allows(script, |rule| rule.publish.as_ref(), true, |filter| filter.is_match(topic))
            }
            Need::Subscribe(filter) => {
                // An invalid filter is rejected by the subscribe call.
                let wanted = crate::topic::Filter::parse(filter).ok();
                self.allows(
                    script,
                    |rule| rule.subscribe.as_ref(),
                    true,
                    |allowed| wanted.as_ref().is_some_and(|wanted| allowed.covers(wanted)),
                )
            }
            Need::Read(path) => {
                self.allows(script, |rule| rule.read.as_ref(), false, |tree: &PathPattern| tree.holds(path))
            }
            Need::Write(path) => {
                self.allows(script, |rule| rule.write.as_ref(), false, |tree: &PathPattern| tree.holds(path))
            }
            Need::Program(program) => {
                let program = self.program(program);
                self.allows(script, |rule| rule.exec.as_ref(), false, |pattern| pattern.is_match(&program))
            }
            Need::Variable(name) => {
                self.allows(script, |rule| rule.env.as_ref(), false, |pattern| pattern.is_match(name))
            }
            Need::Secret(name) => {
                self.allows(script, |rule| rule.secrets.as_ref(), false, |pattern| pattern.is_match(name))
            }
        };
        if allowed { Ok(()) } else { Err(self.denied(script, need, None)) }
    }

    /// Checks a resolved address of a host.
    ///
    /// # Errors
    /// If it belongs to a metadata service that no rule names, or the host is allowed only as `public` and the address is not public.
    pub fn check_address(&self, script: &str, host: &str, port: u16, address: IpAddr) -> Result<(), Denied> {
        let address = canonical(address);
        let host = plain_host(host);
        let allowed = if is_metadata_address(address) {
            self.names(script, &host, port) || self.names(script, &address.to_string(), port)
        } else {
            self.allows(
                script,
                |rule| rule.http.as_ref(),
                true,
                |allowed| allowed.covers(&host, port) && (!allowed.is_public() || is_public(address)),
            )
        };
        if allowed {
            return Ok(());
        }
        let address = Some(address).filter(|address| host.parse() != Ok(*address));
        Err(self.denied(script, Need::Host(&host, port), address))
    }

    /// Checks a host that a proxy resolves: it is denied where only public addresses are allowed.
    ///
    /// # Errors
    /// If the host is allowed as `public` only.
    pub fn check_unknown(&self, script: &str, host: &str, port: u16) -> Result<(), Denied> {
        let host = plain_host(host);
        let allowed = self.allows(
            script,
            |rule| rule.http.as_ref(),
            true,
            |allowed| allowed.covers(&host, port) && !allowed.is_public(),
        );
        if allowed {
            return Ok(());
        }
        let mut denied = self.denied(script, Need::Host(&host, port), None);
        denied.message = format!("{}, because only the proxy resolves its address", denied.message);
        Err(denied)
    }

    fn check_host(&self, script: &str, host: &str, port: u16) -> Result<(), Denied> {
        let host = plain_host(host);
        if let Ok(address) = host.parse::<IpAddr>() {
            return self.check_address(script, &host, port, address);
        }
        let allowed = if is_metadata_name(&host) {
            self.names(script, &host, port)
        } else {
            self.allows(script, |rule| rule.http.as_ref(), true, |allowed| allowed.covers(&host, port))
        };
        if allowed { Ok(()) } else { Err(self.denied(script, Need::Host(&host, port), None)) }
    }

    /// Returns whether a rule names exactly this host, without wildcards.
    fn names(&self, script: &str, host: &str, port: u16) -> bool {
        self.allows(script, |rule| rule.http.as_ref(), false, |allowed: &HostPattern| allowed.names(host, port))
    }

    fn allows<T: 'static>(
        &self,
        script: &str,
        group: impl Fn(&Rule) -> Option<&Vec<T>>,
        default: bool,
        fits: impl Fn(&T) -> bool,
    ) -> bool {
        let mut lists = self.rules.iter().filter(|rule| rule.script.is_match(script)).filter_map(group).peekable();
        if lists.peek().is_none() { default } else { lists.flatten().any(fits) }
    }

    /// Returns a program in the form of rules: a relative path is resolved against the configuration folder, a bare name is unchanged.
    fn program(&self, program: &str) -> String {
        if program.contains('/') {
            normalize(&self.folder.join(program)).display().to_string()
        } else {
            program.to_owned()
        }
    }

    fn denied(&self, script: &str, need: Need<'_>, address: Option<IpAddr>) -> Denied {
        let (group, verb, value) = match need {
            Need::Host(host, port) => ("http", "call", host_value(host, port)),
            Need::Publish(topic) => ("publish", "publish to", topic.to_owned()),
            Need::Subscribe(filter) => ("subscribe", "subscribe to", filter.to_owned()),
            Need::Read(path) => ("read", "read", self.path_value(path)),
            Need::Write(path) => ("write", "write", self.path_value(path)),
            Need::Program(program) => ("exec", "run", program.to_owned()),
            Need::Variable(name) => ("env", "read the variable", name.to_owned()),
            Need::Secret(name) => ("secrets", "read the secret", name.to_owned()),
        };
        let is_glob = !matches!(need, Need::Host(..) | Need::Publish(_) | Need::Subscribe(_));
        let pattern = if is_glob { globset::escape(&value) } else { value.clone() };
        let address = address.map(|address| format!(", which is {address}")).unwrap_or_default();
        Denied {
            message: format!("`{script}` may not {verb} {}{address}{}", quoted(&value), self.locations(script, group)),
            hint: self.hint(script, group, &quoted(&pattern)),
        }
    }

    /// Returns the locations of the rules for a group, in parentheses.
    fn locations(&self, script: &str, group: &str) -> String {
        let ruling = self.rules.iter().filter(|rule| rule.script.is_match(script) && rule.has(group));
        let locations: Vec<_> = ruling.map(|rule| rule.location.to_string()).collect();
        if locations.is_empty() { String::new() } else { format!(" ({})", locations.join(", ")) }
    }

    /// Returns the line that allows a denied access, without removing other access.
    fn hint(&self, script: &str, group: &'static str, value: &str) -> String {
        let is_ruled = self.rules.iter().any(|rule| rule.script.is_match(script) && rule.has(group));
        let list = if group == "http" && !is_ruled { format!("[\"*\", {value}]") } else { format!("[{value}]") };
        let own = self.rules.iter().find(|rule| rule.script.written() == script);
        let script = quoted(script);
        match own {
            Some(rule) if rule.has(group) => {
                format!("in rhaid.yaml, line {}: add `{value}` to `{group}` of {script}", rule.location.line)
            }
            Some(rule) => format!("in rhaid.yaml, line {}: add `{group}: {list}` below {script}", rule.location.line),
            None if self.rules.is_empty() => {
                format!("add to rhaid.yaml: `permissions: {{ {script}: {{ {group}: {list} }} }}`")
            }
            None => format!("add to rhaid.yaml, below `permissions:`: `{script}: {{ {group}: {list} }}`"),
        }
    }

    fn path_value(&self, path: &Path) -> String {
        match path.strip_prefix(&self.folder) {
            Ok(below) if !self.folder.as_os_str().is_empty() => format!("./{}", below.display()),
            _ => path.display().to_string(),
        }
    }
}

impl PartialEq for Permissions {
    /// Compares the rules; their locations are ignored.
    fn eq(&self, other: &Self) -> bool {
        self.folder == other.folder && self.rules == other.rules
    }
}

/// Returns a host in the form of rules: lower case, without brackets and final dot, addresses in canonical form.
fn plain_host(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    host.parse().map(|address| canonical(address).to_string()).unwrap_or(host)
}

fn host_value(host: &str, port: u16) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if matches!(port, 80 | 443) { host } else { format!("{host}:{port}") }
}

/// Returns a text as a double-quoted YAML (and JSON) string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
