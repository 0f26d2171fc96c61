//! Response bodies, in memory or read on demand.

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use crate::functions::phase::context;
use crate::functions::thrown::{Thrown, thrown};
use crate::services::http::{Error, ResponseBody};

/// Response body, in memory or read on demand.
#[derive(Debug)]
pub(super) struct Body {
    state: Mutex<BodyState>,
    /// The largest number of bytes buffered at once.
    pub(super) limit: u64,
}

#[derive(Debug)]
enum BodyState {
    /// Completely in memory.
    Buffered(Bytes),
    /// Not completely received; whether some of it has been read.
    Streaming(Box<ResponseBody>, bool),
    /// Read in pieces, or closed.
    Consumed,
}

impl Body {
    pub(super) fn buffered(bytes: Bytes) -> Self {
        Self { state: Mutex::new(BodyState::Buffered(bytes)), limit: u64::MAX }
    }

    pub(super) fn streaming(incoming: ResponseBody, limit: u64) -> Self {
        Self { state: Mutex::new(BodyState::Streaming(Box::new(incoming), false)), limit }
    }

    /// Returns the whole body; receives it first if necessary.
    ///
    /// # Errors
    /// Inner: receiving failed. Outer: the body is consumed, or the run must end.
    pub(super) fn all(&self) -> Result<Result<Bytes, Error>, Thrown> {
        let mut incoming = match self.take() {
            BodyState::Buffered(bytes) => {
                *self.state() = BodyState::Buffered(bytes.clone());
                return Ok(Ok(bytes));
            }
            BodyState::Streaming(incoming, false) => incoming,
            consumed => {
                *self.state() = consumed;
                return Err(thrown(
                    "stream_consumed",
                    "the body was already read in pieces and is not kept: collect the pieces in your loop",
                ));
            }
        };
        let context = context("text")?;
        let received = context.wait_for_http(incoming.read_all(self.limit))?;
        if let Ok(bytes) = &received {
            *self.state() = BodyState::Buffered(bytes.clone());
        }
        Ok(received)
    }

    /// Returns the whole body if it is in memory.
    pub(super) fn in_memory(&self) -> Option<Bytes> {
        match &*self.state() {
            BodyState::Buffered(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }

    /// Receives the next chunk of a streaming body; `None` at the end.
    ///
    /// # Errors
    /// Inner: receiving failed. Outer: the run must end.
    pub(super) fn chunk(&self) -> Result<Result<Option<Bytes>, Error>, Thrown> {
        let mut incoming = match self.take() {
            BodyState::Streaming(incoming, _) => incoming,
            other => {
                *self.state() = other;
                return Ok(Ok(None));
            }
        };
        let context = context("lines")?;
        let received = context.wait_for_http(incoming.chunk())?;
        if let Ok(Some(_)) = &received {
            *self.state() = BodyState::Streaming(incoming, true);
        }
        Ok(received)
    }

    /// Closes the connection of a streaming body.
    pub(super) fn close(&self) {
        if let buffered @ BodyState::Buffered(_) = self.take() {
            *self.state() = buffered;
        }
    }

    fn take(&self) -> BodyState {
        std::mem::replace(&mut self.state(), BodyState::Consumed)
    }

    fn state(&self) -> MutexGuard<'_, BodyState> {
        self.state.lock()
    }
}
