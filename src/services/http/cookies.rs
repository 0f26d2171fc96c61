//! Cookies, by domain and path.

use std::sync::Arc;

use cookie_store::CookieStore;
use parking_lot::{Mutex, MutexGuard};
use reqwest::header::{HeaderMap, HeaderValue, SET_COOKIE};
use url::Url;

/// Maximum number of cookies.
const MAX_COOKIES: usize = 1_000;

/// A cookie jar; cheap to clone, and clones share the cookies.
#[derive(Clone, Default)]
pub struct Cookies(Arc<Mutex<CookieStore>>);

impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cookies")
    }
}

impl Cookies {
    /// Returns an independent copy.
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.store().clone())))
    }

    /// Sets a cookie as if the host of `url` had set it.
    pub fn put(&self, name: &str, value: &str, url: &Url) {
        // An invalid cookie is ignored, as in a response.
        let _ = self.store().parse(&format!("{name}={value}; Path=/"), url);
    }

    /// Returns names and values of all cookies, of all hosts.
    pub fn all(&self) -> Vec<(String, String)> {
        let pair = |cookie: &cookie_store::Cookie<'_>| (cookie.name().to_owned(), cookie.value().to_owned());
        self.store().iter_unexpired().map(pair).collect()
    }

    /// Removes the cookies with a name, of all hosts.
    pub fn remove(&self, name: &str) {
        let mut store = self.store();
        let cookie_key = |cookie: &cookie_store::Cookie<'_>| {
            let domain = cookie.domain.as_cow().map(std::borrow::Cow::into_owned)?;
            (cookie.name() == name).then(|| (domain, String::from(&cookie.path)))
        };
        let keys: Vec<_> = store.iter_any().filter_map(cookie_key).collect();
        for (domain, path) in keys {
            store.remove(&domain, &path, name);
        }
    }

    /// Stores the cookies that a response sets.
    pub(super) fn take(&self, headers: &HeaderMap, url: &Url) {
        let mut store = self.store();
        for value in headers.get_all(SET_COOKIE) {
            let text = String::from_utf8_lossy(value.as_bytes());
            if store.iter_any().count() < MAX_COOKIES {
                let _ = store.parse(&text, url);
            }
        }
    }

    /// Returns the `Cookie` header for a request to `url`.
    pub(super) fn header(&self, url: &Url) -> Option<HeaderValue> {
        let store = self.store();
        let pairs: Vec<_> = store.get_request_values(url).map(|(name, value)| format!("{name}={value}")).collect();
        let mut header = HeaderValue::from_str(&pairs.join("; ")).ok().filter(|header| !header.is_empty())?;
        header.set_sensitive(true);
        Some(header)
    }

    fn store(&self) -> MutexGuard<'_, CookieStore> {
        self.0.lock()
    }
}
