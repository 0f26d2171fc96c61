//! The one place where all connections meet.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::authenticator::Authenticator;
use super::packet::{ConnAck, Connect, Packet, Reason};
use super::sessions::{ConnectionId, End};
use super::state::State;

/// How long nobody looks for what is due, at most.
const REST: Duration = Duration::from_secs(86_400);

/// The one place where all connections meet.
pub(super) struct Broker {
    state: Mutex<State>,
    doorkeeper: Option<Authenticator>,
    /// Woken when something may be due earlier than before.
    changed: Notify,
}

impl Broker {
    pub(super) fn new(state: State, doorkeeper: Option<Authenticator>) -> Self {
        Self { state: Mutex::new(state), doorkeeper, changed: Notify::new() }
    }

    /// Lets a client in, if it may; `wake` is notified when there is something for it.
    pub(super) fn enter(&self, connect: &Connect, wake: Arc<Notify>) -> Result<(ConnectionId, ConnAck), Reason> {
        if self.doorkeeper.as_ref().is_some_and(|doorkeeper| !doorkeeper.knows(connect)) {
            return Err(Reason::PASSWORD);
        }
        let mut state = self.state();
        let result = state.enter(connect, wake);
        state.ack();
        result
    }

    /// Does what packets ask for, and writes the answers and what is there for the client; returns whether more is.
    pub(super) fn turn(&self, ticket: &ConnectionId, packets: Vec<Packet>, out: &mut BytesMut) -> Result<bool, End> {
        let mut state = self.state();
        let mut result = state.session(ticket).map(|_| ());
        for packet in packets {
            result = result.and_then(|()| state.answer(ticket, packet, out));
        }
        let more = result.map(|()| state.pull(ticket, out));
        // Before a byte of `out` is sent.
        state.ack();
        more
    }

    /// Notes that a connection has ended.
    pub(super) fn leave(&self, ticket: &ConnectionId, end: End) {
        let mut state = self.state();
        state.leave(ticket, end);
        state.ack();
        drop(state);
        self.changed.notify_one();
    }

    /// Sees to what is due, until it is stopped; costs nothing while nothing is.
    pub(super) async fn keep_tidy(&self, stop: CancellationToken) {
        loop {
            let rest = {
                let mut state = self.state();
                let next = state.tidy();
                state.ack();
                // A moment later, since moments are whole milliseconds.
                next.map_or(REST, |next| Duration::from_millis(next.saturating_sub(state.now()) + 1))
            };
            tokio::select! {
                () = tokio::time::sleep(rest.min(REST)) => {}
                () = self.changed.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Lets go of the files.
    pub(super) fn close(&self) {
        self.state().journal = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
