//! MQTT over WebSocket: a byte stream in binary messages.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_util::{Sink, Stream as _};
use http::header::{HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_websockets::{ClientBuilder, Error, Limits, Message, WebSocketStream};

use crate::services::mqtt::settings::ConnectionSettings;
use crate::services::mqtt::stream::Stream;

/// Largest message that is sent, in bytes.
const MAX_SENT: usize = 64 << 10;
/// Size by which a received message may exceed the largest packet: some brokers put several packets into one.
const SLACK: usize = 1 << 20;

/// A byte stream in a WebSocket.
struct WebSocket {
    socket: WebSocketStream<Box<dyn Stream>>,
    // Bytes of the last message that have not been read.
    unread: Bytes,
}

/// Opens a WebSocket on a connected stream.
///
/// Source: MQTT 5.0, section 6: binary messages, packets may span them, the subprotocol is `mqtt`.
pub(super) async fn wrap(stream: Box<dyn Stream>, settings: &ConnectionSettings) -> io::Result<Box<dyn Stream>> {
    let builder = ClientBuilder::new().uri(&settings.url()).map_err(io::Error::other)?;
    let mut builder = builder.add_header(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("mqtt")).map_err(failed)?;
    for (name, value) in &settings.headers {
        let name = HeaderName::try_from(name).map_err(io::Error::other)?;
        let value = HeaderValue::try_from(value.expose()).map_err(io::Error::other)?;
        builder = builder.add_header(name, value).map_err(failed)?;
    }
    let limits = Limits::default().max_payload_len(Some(settings.max_packet.saturating_add(SLACK)));
    let (socket, _) = builder.limits(limits).connect_on(stream).await.map_err(failed)?;
    Ok(Box::new(WebSocket { socket, unread: Bytes::new() }))
}

impl AsyncRead for WebSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            let Some(message) = ready!(Pin::new(&mut self.socket).poll_next(cx)) else { return Poll::Ready(Ok(())) };
            let message = message.map_err(failed)?;
            if message.is_binary() {
                self.unread = message.into_payload().into();
            }
        }
        let bytes = self.unread.len().min(into.remaining());
        into.put_slice(&self.unread[..bytes]);
        self.unread.advance(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut socket = Pin::new(&mut self.socket);
        ready!(socket.as_mut().poll_ready(cx)).map_err(failed)?;
        let piece = &bytes[..bytes.len().min(MAX_SENT)];
        socket.start_send(Message::binary(Bytes::copy_from_slice(piece))).map_err(failed)?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(failed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx).map_err(failed)
    }
}

fn failed(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(format!("the WebSocket: {other}")),
    }
}
