//! What scripts can call does what its documentation says, and harms nobody.

mod examples;
mod extremes;
mod http;
mod limits;
mod server;
mod world;
