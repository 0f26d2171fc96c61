//! The interface through which a sandbox calls webhooks.

use futures_util::future::BoxFuture;

use crate::services::routes::Routes;

/// Status, header fields and body of a response, or a sentence if the request is invalid.
pub type WebhookResult = Result<(u16, Vec<(String, String)>, Vec<u8>), String>;

/// Handles one request to the routes in process. The web server, which is on a higher layer, implements it.
pub type CallWebhook = fn(Routes, http::request::Builder, Vec<u8>) -> BoxFuture<'static, WebhookResult>;
