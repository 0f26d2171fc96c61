//! The body of a response: there, or read as the script asks for it.

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use crate::functions::http::fault::failed;
use crate::functions::{Thrown, context, thrown};
use crate::services::http::{Error, Failure, HttpResponse, ResponseBody};

/// The body of a response.
#[derive(Debug)]
pub(super) struct Body {
    state: Mutex<State>,
    /// The most that is held at once, in bytes.
    pub(super) limit: u64,
}

#[derive(Debug)]
enum State {
    /// All of it.
    Whole(Bytes),
    /// Still on its way; whether some of it has been taken.
    Coming(Box<ResponseBody>, bool),
    /// Taken bit by bit, or closed.
    Gone,
}

impl Body {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self { state: Mutex::new(State::Whole(bytes)), limit: u64::MAX }
    }

    pub(super) fn coming(incoming: ResponseBody, limit: u64) -> Self {
        Self { state: Mutex::new(State::Coming(Box::new(incoming), false)), limit }
    }

    /// Returns all of it, which is read now if it is still on its way.
    pub(super) fn all(&self, answer: &HttpResponse) -> Result<Bytes, Thrown> {
        let mut incoming = match self.taken() {
            State::Whole(bytes) => {
                *self.state() = State::Whole(bytes.clone());
                return Ok(bytes);
            }
            State::Coming(incoming, false) => incoming,
            gone => {
                *self.state() = gone;
                return Err(thrown(
                    "stream_consumed",
                    "the body was taken bit by bit: what is gone is not kept, so gather it in the loop",
                ));
            }
        };
        let context = context("text")?;
        let read = context.wait_for_http(incoming.read_all(self.limit))?;
        let bytes = read.map_err(|error| broken(error, answer))?;
        *self.state() = State::Whole(bytes.clone());
        Ok(bytes)
    }

    /// Returns the whole if it is here already.
    pub(super) fn here(&self) -> Option<Bytes> {
        match &*self.state() {
            State::Whole(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }

    /// Takes the next bytes of what is on its way; `None` at the end.
    pub(super) fn chunk(&self, answer: &HttpResponse) -> Result<Option<Bytes>, Thrown> {
        let mut incoming = match self.taken() {
            State::Coming(incoming, _) => incoming,
            other => {
                *self.state() = other;
                return Ok(None);
            }
        };
        let context = context("lines")?;
        let read = context.wait_for_http(incoming.chunk())?;
        let chunk = read.map_err(|error| broken(error, answer))?;
        if chunk.is_some() {
            *self.state() = State::Coming(incoming, true);
        }
        Ok(chunk)
    }

    /// Lets go of what has not come yet; the connection ends.
    pub(super) fn close(&self) {
        if let whole @ State::Whole(_) = self.taken() {
            *self.state() = whole;
        }
    }

    fn taken(&self) -> State {
        std::mem::replace(&mut self.state(), State::Gone)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// Returns what is thrown when a body does not come as it should.
pub(super) fn broken(error: Error, answer: &HttpResponse) -> Thrown {
    failed(&Failure { error, url: answer.url.clone(), response: Some(Box::new(answer.clone())) })
}
