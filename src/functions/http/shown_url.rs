//! URLs in messages.

use url::Url;

/// Returns a URL without the parts that may hold secrets: credentials, query and fragment.
pub(super) fn shown_url(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}
