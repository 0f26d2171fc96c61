//! How servers are reached: proxies, whom to trust, our own certificate, compression.

use bytes::Bytes;
use url::Url;

use crate::functions::Thrown;
use crate::functions::http::fault::of_option;
use crate::functions::outside::content;
use crate::options::{OptionFault, Options};
use crate::services::http::{self, Proxy};
use crate::value::Value;

/// How a script wants servers to be reached; files have yet to be read.
#[derive(Debug, Clone)]
pub(super) struct ConnectOptions {
    proxy: Proxy,
    verify: Verify,
    cert: Vec<String>,
    decompress: bool,
}

#[derive(Debug, Clone)]
enum Verify {
    Anyone,
    System,
    File(String),
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { proxy: Proxy::Environment, verify: Verify::System, cert: Vec::new(), decompress: true }
    }
}

impl ConnectOptions {
    /// Takes `proxy`, `verify`, `cert` and `decompress`.
    pub(super) fn read(options: &mut Options) -> Result<Self, OptionFault> {
        let verify = options.read("verify", |value| match value {
            Value::Bool(true) => Ok(Verify::System),
            Value::Bool(false) => Ok(Verify::Anyone),
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

    /// Returns whether any server is believed.
    pub(super) fn is_unverified(&self) -> bool {
        matches!(self.verify, Verify::Anyone)
    }

    /// Returns the way with what is in its files.
    pub(super) fn ready(self, asking: &str) -> Result<http::ConnectOptions, Thrown> {
        let content = |option, path| content(asking, path).map_err(|why| of_option(option, why));
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
            Verify::Anyone => http::Verify::AcceptAny,
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
            let say = |fault: OptionFault| fault.message;
            let proxy = Proxy::Explicit { http: http.map_err(say)?, https: https.map_err(say)? };
            options.finish().map_err(say)?;
            Ok(proxy)
        }
        _ => Err("write a URL, #{ http: url, https: url }, or false for none".to_owned()),
    }
}

fn proxy_url(text: &str) -> Result<Url, String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&whole).ok().filter(|url| url.has_host());
    match url {
        Some(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        Some(url) => Err(format!("{}: is not spoken here: write http:// or https://", url.scheme())),
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
