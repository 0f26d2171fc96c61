//! Return values of handlers.

use rhai::Dynamic;

use crate::functions::convert::to_value;
use crate::functions::http::response::Response;
use crate::value::Value;

/// Returns a handler's return value as plain data: an HTTP response as `#{ status, headers, body }`; a value that is not data, such as a
/// function, as null.
pub fn handler_result(dynamic: &Dynamic) -> Value {
    match dynamic.read_lock::<Response>() {
        Some(response) => response.to_data().into(),
        None => to_value(dynamic).unwrap_or_default(),
    }
}
