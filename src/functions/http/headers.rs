//! Response headers.

use std::any::TypeId;
use std::sync::Arc;

use rhai::plugin::*;

use crate::services::http::HttpResponse;
use crate::value::map_of;

pub(super) fn register(module: &mut Module) {
    module.set_custom_type::<Headers>("Headers");
    module.set_iter(TypeId::of::<Headers>(), |headers: Dynamic| {
        let headers = headers.cast::<Headers>();
        let names: Vec<_> = headers.names().into_iter().map(|name| Dynamic::from(name.to_owned())).collect();
        Box::new(names.into_iter())
    });
    combine_with_exported_module!(module, "headers", functions);
}

/// Response headers with case-insensitive names.
#[derive(Debug, Clone)]
pub struct Headers(pub(super) Arc<HttpResponse>);

impl Headers {
    /// Returns all values of a header, joined with commas.
    fn joined(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self.0.header(name).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// Returns the names in order, without duplicates.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in &self.0.headers {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// Returns all headers as a map.
    pub fn map(&self) -> rhai::Map {
        let value = |name: &str| self.joined(name).map_or(Dynamic::UNIT, Into::into);
        map_of(self.names().into_iter().map(|name| (name.into(), value(name))))
    }
}

#[export_module]
#[expect(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "`export_module` requires public functions, and unwraps receivers after checking them"
)]
mod functions {
    /// Returns the value of a header, or `()` if there is none. The name is case-insensitive. The values of a repeated header are joined
    /// with commas.
    ///
    /// If the body was decompressed, `content-encoding` and `content-length` are removed, because they no longer apply.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_get("http://example.test/get");
    /// assert_eq(r.headers["CONTENT-type"], "application/json");
    /// assert_eq(r.headers["x-none"], ());
    /// ```
    #[rhai_fn(index_get, pure)]
    pub fn header(headers: &mut Headers, name: &str) -> Dynamic {
        headers.joined(name).map_or(Dynamic::UNIT, Into::into)
    }

    /// Returns the value of a header, or a default if there is none. The name is case-insensitive.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_get("http://example.test/get");
    /// assert_eq(r.headers.get("x-pages", "1"), "1");
    /// ```
    #[rhai_fn(name = "get", pure)]
    pub fn get(headers: &mut Headers, name: &str, default: Dynamic) -> Dynamic {
        headers.joined(name).map_or(default, Into::into)
    }

    #[rhai_fn(name = "get", pure)]
    pub fn get_or_nothing(headers: &mut Headers, name: &str) -> Dynamic {
        header(headers, name)
    }

    /// Returns all values of a repeated header, as an array.
    ///
    /// # Example
    /// ```rhai
    /// let r = http_get("http://example.test/cookies/set?a=1&b=2", #{ allow_redirects: false });
    /// assert_eq(r.headers.get_all("Set-Cookie").len(), 2);
    /// ```
    #[rhai_fn(name = "get_all", pure)]
    pub fn get_all(headers: &mut Headers, name: &str) -> rhai::Array {
        headers.0.header(name).map(|value| Dynamic::from(value.to_owned())).collect()
    }

    /// Returns whether the response has a header.
    ///
    /// # Example
    /// ```rhai
    /// assert("content-type" in http_get("http://example.test/get").headers);
    /// ```
    #[rhai_fn(name = "contains", pure)]
    pub fn contains(headers: &mut Headers, name: &str) -> bool {
        headers.0.header(name).next().is_some()
    }

    /// Returns the names of all headers, in lower case. `for name in r.headers` iterates over the same names.
    ///
    /// # Example
    /// ```rhai
    /// for name in http_get("http://example.test/get").headers { assert(name != ""); }
    /// assert(http_get("http://example.test/get").headers.keys().contains("content-type"));
    /// ```
    #[rhai_fn(name = "keys", pure)]
    pub fn keys(headers: &mut Headers) -> rhai::Array {
        headers.names().into_iter().map(|name| Dynamic::from(name.to_owned())).collect()
    }

    /// Returns the values of all headers, in the order of `keys()`. The values of a repeated header are joined with commas.
    ///
    /// # Example
    /// ```rhai
    /// assert(http_get("http://example.test/get").headers.values().contains("application/json"));
    /// ```
    #[rhai_fn(name = "values", pure)]
    pub fn values(headers: &mut Headers) -> rhai::Array {
        headers.names().into_iter().filter_map(|name| headers.joined(name)).map(Dynamic::from).collect()
    }

    /// Returns the number of headers. A repeated header counts once.
    ///
    /// # Example
    /// ```rhai
    /// let headers = http_get("http://example.test/get").headers;
    /// assert_eq(headers.len(), headers.keys().len());
    /// ```
    #[rhai_fn(name = "len", pure)]
    pub fn len(headers: &mut Headers) -> i64 {
        headers.names().len() as i64
    }

    /// Returns all headers as a map, with names in lower case.
    ///
    /// # Example
    /// ```rhai
    /// let headers = http_get("http://example.test/get").headers.to_map();
    /// assert_eq(headers["content-type"], "application/json");
    /// ```
    #[rhai_fn(name = "to_map", pure)]
    pub fn to_map(headers: &mut Headers) -> rhai::Map {
        headers.map()
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(headers: &mut Headers) -> String {
        Dynamic::from_map(headers.map()).to_string()
    }
}
