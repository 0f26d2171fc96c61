//! The web server: webhooks.

mod access;
mod error;
mod hooks;
mod response;
mod router;
mod server;
mod server_limits;

pub use self::error::BindError;
pub use self::router::call;
pub use self::server::{BoundServer, Server, serve};

#[cfg(test)]
mod tests;
