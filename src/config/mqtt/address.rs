//! URLs of brokers and proxies, and WebSocket header fields.

use crate::config::section::Section;
use crate::secrets::Secret;

/// Checks the URL of a broker.
pub(super) fn url(text: String) -> Result<String, String> {
    let wrong = |why: &str| {
        Err(format!(
            "{why}: write mqtt://HOST or mqtts://HOST, with :PORT if it is not 1883 or 8883, or ws://, wss:// or unix://"
        ))
    };
    let Ok(url) = url::Url::parse(&text) else { return wrong(&format!("{text:?} is not a URL")) };
    if !matches!(url.scheme(), "mqtt" | "mqtts" | "ws" | "wss" | "unix") {
        return wrong(&format!("{:?} is not an MQTT scheme", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL contains credentials: write them as `username` and `password`".to_owned());
    }
    if url.scheme() == "unix" {
        let is_path = url.host_str().is_none_or(str::is_empty) && url.path().len() > 1;
        return if is_path { Ok(text) } else { Err("write a socket as unix:///run/mosquitto.sock".to_owned()) };
    }
    if url.host_str().is_none_or(str::is_empty) {
        return wrong("the URL has no host");
    }
    if url.port() == Some(0) {
        return wrong("port 0 is not allowed");
    }
    let may_have_path = matches!(url.scheme(), "ws" | "wss");
    if url.fragment().is_some() || (!may_have_path && (!matches!(url.path(), "" | "/") || url.query().is_some())) {
        return wrong("the URL may not have a path, query or fragment");
    }
    Ok(text)
}

/// Checks the URL of a proxy.
pub(super) fn proxy(text: String) -> Result<String, String> {
    let url = url::Url::parse(&text).ok();
    let fits = url.is_some_and(|url| {
        matches!(url.scheme(), "http" | "socks5") && url.host_str().is_some_and(|host| !host.is_empty())
    });
    if fits { Ok(text) } else { Err("write a proxy as http://HOST:PORT or socks5://HOST:PORT".to_owned()) }
}

/// Checks a header field of the WebSocket handshake.
///
/// Source: RFC 9110, section 5.1 (names) and 5.5 (values).
pub(super) fn header(name: &str, value: &Secret) -> Result<(), String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("this is not a header name: write one such as Authorization".to_owned());
    }
    let is_own = |own: &&str| own.eq_ignore_ascii_case(name);
    if ["Host", "Connection", "Upgrade"].iter().any(is_own) || name.to_ascii_lowercase().starts_with("sec-websocket-") {
        return Err("rhaid sets this header itself: remove it".to_owned());
    }
    match value.expose().bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
        true => Ok(()),
        false => Err("a header value is a single line of ASCII".to_owned()),
    }
}

/// Registers a password in a URL as a secret.
pub(super) fn hide_password(section: &mut Section<'_>, name: &str) {
    let Some(text) = section.raw_text(name) else { return };
    if let Some((_, rest)) = text.split_once("://")
        && let Some((user, _)) = rest.rsplit_once('@')
        && let Some((_, password)) = user.split_once(':')
    {
        section.report().hide(Secret::new(password));
    }
}
