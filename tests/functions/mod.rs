//! What scripts can call does what its documentation says, and harms nobody.

mod dry;
mod examples;
mod extremes;
mod fixture;
mod http;
mod http_calls;
mod http_connections;
mod http_streams;
mod limits;
mod malformed_responses;
mod many;
mod misbehaving_server;
mod mqtt;
mod server;
