//! Proxies from the environment.

use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

/// The proxies of the environment variables, or else of the system settings.
pub(super) struct EnvironmentProxies {
    http: Option<Url>,
    https: Option<Url>,
    /// Hosts that are excluded from proxies; and the system settings if there are no variables.
    matcher: Matcher,
}

impl EnvironmentProxies {
    /// Reads the variables of this process.
    pub(super) fn of_process() -> Self {
        Self::parse(|name| std::env::var(name).ok())
    }

    /// Reads variables: lower case takes precedence over upper case, and an empty value means no proxy.
    ///
    /// Source: `getproxies_environment` of Python's `urllib.request`, which `requests` uses. `HTTP_PROXY` is ignored if `REQUEST_METHOD` is
    /// set, since it may come from a request header of a CGI script (CVE-2016-5385).
    fn parse(variable: impl Fn(&str) -> Option<String>) -> Self {
        let uppercase = |name: &str| {
            variable(&name.to_uppercase()).filter(|_| name != "http_proxy" || variable("REQUEST_METHOD").is_none())
        };
        let proxy = |name: &str| proxy(name, &variable(name).or_else(|| uppercase(name))?);
        let all = proxy("all_proxy");
        let (http, https) = (proxy("http_proxy").or_else(|| all.clone()), proxy("https_proxy").or(all));
        let no = ["no_proxy", "NO_PROXY"].into_iter().filter_map(&variable).find(|names| !names.is_empty());
        let matcher = match http.is_none() && https.is_none() && no.is_none() {
            true => Matcher::from_system(),
            // Only its exclusions are used.
            false => Matcher::builder().all("http://proxy").no(no.unwrap_or_default()).build(),
        };
        Self { http, https, matcher }
    }

    /// Returns the proxy for a URL, if any.
    pub(super) fn proxy(&self, url: &Url) -> Option<Url> {
        let found = self.matcher.intercept(&url.as_str().parse().ok()?)?;
        match (&self.http, &self.https) {
            (None, None) => Url::parse(&found.uri().to_string()).ok().filter(|proxy| proxy.host_str() != Some("proxy")),
            (http, https) => if url.scheme() == "https" { https } else { http }.clone(),
        }
    }
}

fn proxy(name: &str, value: &str) -> Option<Url> {
    if value.is_empty() {
        return None;
    }
    let read_all = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let url = Url::parse(&read_all).ok().filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"));
    if url.is_none() {
        tracing::warn!("the environment variable {name} is not an HTTP proxy: write http://HOST:PORT");
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy_for(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        EnvironmentProxies::parse(variable).proxy(&Url::parse(url).unwrap()).map(Into::into)
    }

    #[test]
    fn lower_case_names_take_precedence_and_each_scheme_has_its_own_proxy() {
        let all = [("http_proxy", "a:1"), ("HTTP_PROXY", "http://b:2"), ("ALL_PROXY", "http://ann:sesame@c:3")];
        assert_eq!(proxy_for(&all, "http://x.example/").as_deref(), Some("http://a:1/"));
        assert_eq!(proxy_for(&all, "https://x.example/").as_deref(), Some("http://ann:sesame@c:3/"));
        assert_eq!(proxy_for(&[("http_proxy", ""), ("HTTP_PROXY", "b:2")], "http://x.example/"), None);
        assert_eq!(proxy_for(&[("HTTP_PROXY", "b:2"), ("REQUEST_METHOD", "GET")], "http://x.example/"), None);
        assert_eq!(proxy_for(&[("ALL_PROXY", "socks5://c:3")], "http://x.example/"), None);
    }

    #[test]
    fn excluded_hosts_are_reached_directly() {
        let reached = |no: &str, url: &str| proxy_for(&[("http_proxy", "a:1"), ("NO_PROXY", no)], url).is_some();
        for no in ["x.example", ".example", "*", "y.example, example"] {
            assert!(!reached(no, "http://x.example/"), "{no}");
        }
        assert!(reached("ample", "http://x.example/") && reached("", "http://x.example/"));
        assert!(!reached("10.0.0.0/8", "http://10.1.2.3/") && reached("10.0.0.0/8", "http://11.1.2.3/"));
        assert_eq!(proxy_for(&[("NO_PROXY", "y.example")], "http://x.example/"), None);
    }
}
