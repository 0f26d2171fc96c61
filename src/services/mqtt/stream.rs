//! Byte streams that carry MQTT.

use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream of any transport.
pub(in crate::services::mqtt) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
