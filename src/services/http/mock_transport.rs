//! The mock transport: responses of a simulation in place of the network.

use bytes::Bytes;

use crate::services::clock::Clock;
use crate::services::http::error::Error;

/// A request to a mock server.
#[derive(Debug, Clone)]
pub struct MockRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// The URL.
    pub url: String,
    /// Header names in lower case and values, credentials included.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// A response of a mock server.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code, such as 200.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// Responds to the requests of a simulation.
pub trait MockTransport: Send + Sync {
    /// Returns the response to a request.
    ///
    /// # Errors
    /// The error that the script receives in place of a response.
    fn respond(&self, request: &MockRequest) -> Result<Reply, Error>;

    /// Returns the clock for retry delays.
    fn clock(&self) -> &Clock;
}
