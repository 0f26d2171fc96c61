//! What scripts can call does what its documentation says, and harms nobody.

mod dry;
mod examples;
mod extremes;
mod http;
mod http_calls;
mod http_connections;
mod http_streams;
mod liar;
mod lies;
mod limits;
mod many;
mod mqtt;
mod server;
mod world;
