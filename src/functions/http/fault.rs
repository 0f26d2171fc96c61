//! What scripts catch when a call fails.

use rhai::{Dynamic, EvalAltResult};
use url::Url;

use crate::functions::http::Response;
use crate::functions::{Thrown, denied, thrown};
use crate::services::http::{Error, Failure};

/// Returns a URL without what may be secret in it: credentials, query, fragment.
pub(super) fn shown_url(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// Puts more fields into what a script catches.
pub(super) fn with<const N: usize>(mut thrown: Thrown, fields: [(&str, Dynamic); N]) -> Thrown {
    if let EvalAltResult::ErrorRuntime(value, _) = thrown.as_mut()
        && let Some(mut map) = value.write_lock::<rhai::Map>()
    {
        map.extend(fields.into_iter().map(|(name, field)| (name.into(), field)));
    }
    thrown
}

/// Says of what a script catches which option is to blame.
pub(super) fn of_option(option: &str, mut thrown: Thrown) -> Thrown {
    if let EvalAltResult::ErrorRuntime(value, _) = thrown.as_mut()
        && let Some(mut map) = value.write_lock::<rhai::Map>()
        && let Some(message) = map.get_mut("message")
    {
        *message = format!("{option}: {message}").into();
    }
    thrown
}

/// Returns what is thrown for a failure: with the URL that failed, and the answer as far as there is one.
pub(super) fn failed(failure: &Failure) -> Thrown {
    let shown = shown_url(&failure.url);
    let error = match &failure.error {
        Error::Denied(no) => denied(no),
        error => thrown(error.kind(), format!("{shown}: {error}")),
    };
    let error = with(error, [("url", shown.into())]);
    match &failure.response {
        Some(answer) => {
            let (status, response) = (i64::from(answer.status), Response::whole((**answer).clone()));
            with(error, [("status", status.into()), ("response", Dynamic::from(response))])
        }
        None => error,
    }
}
