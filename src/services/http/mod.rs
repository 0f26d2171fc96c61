//! HTTP client: connection pools, redirects, retries and limits.

mod body;
pub mod charset;
mod client;
mod connect;
mod cookies;
mod digest;
mod driver;
mod environment;
mod error;
mod exchange;
mod guard;
mod handle;
pub mod lines;
pub mod links;
mod mock_exchange;
mod mock_transport;
mod redirect;
mod request;
mod resolve;
mod response;
mod retry;

pub use self::body::{ReceivedResponse, ResponseBody};
pub use self::cookies::Cookies;
pub use self::driver::Driver;
pub use self::error::{Error, Failure};
pub use self::guard::RequestGuard;
pub use self::handle::Http;
pub use self::mock_transport::{MockRequest, MockTransport, Reply};
pub use self::request::{
    ConnectOptions, Content, Credentials, Part, Proxy, Request, RequestBody, Sink, Timeouts, Verify,
};
pub use self::response::{HttpResponse, SentRequest};
pub use self::retry::{RetryCause, RetryPolicy};
