//! The functions of scripts: behaviour as documented, limits and errors.

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
