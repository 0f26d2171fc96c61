//! HTTP requests.

mod body;
mod call;
pub(super) mod headers;
pub(super) mod recorded_response;
mod requests;
pub(super) mod response;
mod response_functions;
mod send;
mod session;
mod session_functions;
mod shown_url;
mod stream;

pub use self::headers::Headers;
pub use self::recorded_response::RecordedResponse;
pub use self::response::Response;
pub use self::session::Session;
pub use self::stream::Pieces;
use crate::functions::package::Package;

/// HTTP requests.
pub const HTTP: Package = Package {
    name: "HTTP out",
    docs: "Send HTTP requests, with limits on time and size, and read the responses.",
    register: |module| {
        requests::register(module);
        response_functions::register(module);
        headers::register(module);
        session_functions::register(module);
        stream::register(module);
    },
};
