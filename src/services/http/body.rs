//! The body of an answer, on its way.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use crate::services::files::successor;
use crate::services::http::Error;
use crate::services::http::driver::LastLook;

/// A body on its way; dropped, it closes its connection unless all has come.
#[derive(Debug)]
pub struct Incoming {
    response: reqwest::Response,
    read: Option<Duration>,
    /// When all must have come, and how long that is after the beginning.
    until: Option<(Instant, Duration)>,
    /// Dropped after the response: it may go while nobody waits for anything.
    pub(super) last_look: Option<LastLook>,
}

impl Incoming {
    pub(super) fn new(response: reqwest::Response, read: Option<Duration>, until: Option<(Instant, Duration)>) -> Self {
        Self { response, read, until, last_look: None }
    }

    /// Returns the next bytes, decompressed; `None` at the end. Cancel-safe.
    ///
    /// # Errors
    /// If they do not come in time, or are not what the headers say.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let read = self.read.map(|read| (Instant::now() + read, Error::ReadTimeout(read)));
        let until = self.until.map(|(until, total)| (until, Error::Timeout(total)));
        let limit = read.into_iter().chain(until).min_by_key(|(at, _)| *at);
        let chunk = match limit {
            None => self.response.chunk().await,
            Some((at, error)) => tokio::time::timeout_at(at, self.response.chunk()).await.map_err(|_| error)?,
        };
        chunk.map_err(|error| Error::from_body(&error))
    }

    /// Returns all that is still to come.
    ///
    /// # Errors
    /// As [`Incoming::chunk`], and if it is more than `limit` bytes.
    pub async fn whole(&mut self, limit: u64) -> Result<Bytes, Error> {
        self.check(limit)?;
        // Asked later, it says how much is left.
        let length = self.response.content_length();
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(Error::BodyTooLarge(limit));
            }
            // Most bodies come in one piece.
            if body.is_empty() && length == Some(chunk.len() as u64) {
                return Ok(chunk);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// Writes all that is still to come into a file that has its name only when all is there.
    pub(super) async fn save(&mut self, path: &Path, limit: u64) -> Result<(), Error> {
        self.check(limit)?;
        let wrong = |error: std::io::Error| Error::File(format!("{}: {error}", path.display()));
        let target = path.to_owned();
        let made = tokio::task::spawn_blocking(move || successor(&target)).await;
        let (file, name) = made.map_err(|_| Error::File("writing broke off".into()))?.map_err(wrong)?.into_parts();
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

    /// Refuses what says of itself that it is too large.
    fn check(&self, limit: u64) -> Result<(), Error> {
        let is_too_large = self.response.content_length().is_some_and(|length| length > limit);
        if is_too_large { Err(Error::BodyTooLarge(limit)) } else { Ok(()) }
    }
}
