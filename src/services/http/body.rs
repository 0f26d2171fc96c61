//! Reading response bodies.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use crate::services::files::replacement;
use crate::services::http::driver::PollOnDrop;
use crate::services::http::error::Error;
use crate::services::http::response::HttpResponse;

/// A response, and its body if it is streamed.
#[derive(Debug)]
pub struct ReceivedResponse {
    /// The response.
    pub response: HttpResponse,
    /// The unread body, for [`Sink::Stream`](crate::services::http::request::Sink::Stream).
    pub body: Option<ResponseBody>,
}

/// The unread body of a response. Dropping it closes the connection unless the body is complete.
#[derive(Debug)]
pub struct ResponseBody {
    response: reqwest::Response,
    read: Option<Duration>,
    /// The deadline of the whole body, and the timeout it was computed from.
    deadline: Option<(Instant, Duration)>,
    /// Declared after the response: the connection is released first, possibly while no thread runs the driver.
    pub(super) poll_on_drop: Option<PollOnDrop>,
}

impl ResponseBody {
    pub(super) fn new(
        response: reqwest::Response,
        read: Option<Duration>,
        deadline: Option<(Instant, Duration)>,
    ) -> Self {
        Self { response, read, deadline, poll_on_drop: None }
    }

    /// Returns the next bytes, decompressed; `None` at the end. Cancel-safe.
    ///
    /// # Errors
    /// If they do not arrive in time, or do not match the headers.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let read = self.read.map(|read| (Instant::now() + read, Error::ReadTimeout(read)));
        let deadline = self.deadline.map(|(deadline, total)| (deadline, Error::Timeout(total)));
        let limit = read.into_iter().chain(deadline).min_by_key(|(at, _)| *at);
        let chunk = match limit {
            None => self.response.chunk().await,
            Some((at, error)) => tokio::time::timeout_at(at, self.response.chunk()).await.map_err(|_| error)?,
        };
        chunk.map_err(|error| Error::from_body(&error))
    }

    /// Reads the rest of the body.
    ///
    /// # Errors
    /// As [`ResponseBody::chunk`], and if it is longer than `limit` bytes.
    pub async fn read_all(&mut self, limit: u64) -> Result<Bytes, Error> {
        self.check(limit)?;
        // Read before the first chunk: later it would be the remaining length.
        let length = self.response.content_length();
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(Error::BodyTooLarge(limit));
            }
            // Most bodies arrive in one chunk.
            if body.is_empty() && length == Some(chunk.len() as u64) {
                return Ok(chunk);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// Saves the rest of the body to a temporary file that replaces `path` when it is complete.
    pub(super) async fn save(&mut self, path: &Path, limit: u64) -> Result<(), Error> {
        self.check(limit)?;
        let wrong = |error: std::io::Error| Error::File(format!("{}: {error}", path.display()));
        let target = path.to_owned();
        let created = tokio::task::spawn_blocking(move || replacement(&target)).await;
        let (file, name) =
            created.map_err(|_| Error::File("writing was cancelled".into()))?.map_err(wrong)?.into_parts();
        let mut file = tokio::fs::File::from_std(file);
        let mut written = 0;
        while let Some(chunk) = self.chunk().await? {
            written += chunk.len() as u64;
            if written > limit {
                return Err(Error::BodyTooLarge(limit));
            }
            file.write_all(&chunk).await.map_err(wrong)?;
        }
        file.flush().await.map_err(wrong)?;
        file.sync_all().await.map_err(wrong)?;
        name.persist(path).map_err(|error| wrong(error.error))
    }

    /// Refuses a body whose `Content-Length` exceeds the limit.
    fn check(&self, limit: u64) -> Result<(), Error> {
        let is_too_large = self.response.content_length().is_some_and(|length| length > limit);
        if is_too_large { Err(Error::BodyTooLarge(limit)) } else { Ok(()) }
    }
}
