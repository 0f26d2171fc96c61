//! Connection options: proxy, trusted certificates, client certificate, compression.

use bytes::Bytes;
use url::Url;

use crate::functions::outside::files::content;
use crate::functions::thrown::{Thrown, with_prefix};
use crate::options::{OptionFault, Options};
use crate::services::http::{self, Proxy};
use crate::value::Value;

/// Connection options of a script; certificate files are not read yet.
#[derive(Debug, Clone)]
pub(super) struct ConnectOptions {
    proxy: Proxy,
    verify: Verify,
    cert: Vec<String>,
    decompress: bool,
}

#[derive(Debug, Clone)]
enum Verify {
    AcceptAny,
    System,
    File(String),
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { proxy: Proxy::Environment, verify: Verify::System, cert: Vec::new(), decompress: true }
    }
}

impl ConnectOptions {
    /// Reads the options `proxy`, `verify`, `cert` and `decompress`.
    pub(super) fn read(options: &mut Options) -> Result<Self, OptionFault> {
        let verify = options.read("verify", |value| match value {
            Value::Bool(true) => Ok(Verify::System),
            Value::Bool(false) => Ok(Verify::AcceptAny),
            Value::Text(path) => Ok(Verify::File(path)),
            other => Err(format!("write true, false or the path of a PEM file, not {}", other.type_name())),
        })?;
        Ok(Self {
            proxy: options.read("proxy", proxy)?.unwrap_or(Proxy::Environment),
            verify: verify.unwrap_or(Verify::System),
            cert: options.read("cert", cert)?.unwrap_or_default(),
            decompress: options.bool("decompress")?.unwrap_or(true),
        })
    }

    /// Returns whether any server certificate is accepted.
    pub(super) fn is_unverified(&self) -> bool {
        matches!(self.verify, Verify::AcceptAny)
    }

    /// Reads the certificate files.
    pub(super) fn resolve(self, function: &str) -> Result<http::ConnectOptions, Thrown> {
        let content = |option, path| content(function, path).map_err(|why| with_prefix(option, why));
        let identity = match self.cert.as_slice() {
            [] => None,
            files => {
                let mut pem = Vec::new();
                for file in files {
                    pem.extend_from_slice(&content("cert", file)?);
                    pem.push(b'\n');
                }
                Some(Bytes::from(pem))
            }
        };
        let verify = match &self.verify {
            Verify::AcceptAny => http::Verify::AcceptAny,
            Verify::System => http::Verify::System,
            Verify::File(path) => http::Verify::Authorities(content("verify", path)?.into()),
        };
        Ok(http::ConnectOptions { proxy: self.proxy, verify, identity, decompress: self.decompress })
    }
}

fn proxy(value: Value) -> Result<Proxy, String> {
    match value {
        Value::Bool(true) => Ok(Proxy::Environment),
        Value::Bool(false) => Ok(Proxy::Direct),
        Value::Text(text) => {
            let url = proxy_url(&text)?;
            Ok(Proxy::Explicit { http: Some(url.clone()), https: Some(url) })
        }
        Value::Map(map) => {
            let mut options = Options::new(map);
            let mut take = |name| options.read(name, |value| proxy_url(&crate::options::text(value)?));
            let (http, https) = (take("http"), take("https"));
            let message = |fault: OptionFault| fault.message;
            let proxy = Proxy::Explicit { http: http.map_err(message)?, https: https.map_err(message)? };
            options.finish().map_err(message)?;
            Ok(proxy)
        }
        _ => Err("write a URL, #{ http: url, https: url }, or false for none".to_owned()),
    }
}

fn proxy_url(text: &str) -> Result<Url, String> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&with_scheme).ok().filter(|url| url.has_host());
    match url {
        Some(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        Some(url) => Err(format!("the scheme {} is not supported: write http:// or https://", url.scheme())),
        None => Err("write a URL such as \"http://proxy.example:3128\"".to_owned()),
    }
}

fn cert(value: Value) -> Result<Vec<String>, String> {
    let wrong = || "write the path of a PEM file, or [\"certificate.pem\", \"key.pem\"]".to_owned();
    match value {
        Value::Text(path) => Ok(vec![path]),
        Value::List(pair) => match <[Value; 2]>::try_from(pair) {
            Ok([Value::Text(certificate), Value::Text(key)]) => Ok(vec![certificate, key]),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}
