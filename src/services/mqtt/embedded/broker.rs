//! The shared broker: connections apply packets to its state under one lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::authenticator::Authenticator;
use super::packet::{ConnAck, Connect, Packet, Publish, ReasonCode};
use super::sessions::{ConnectionEnd, ConnectionId};
use super::state::State;
use super::write_ahead_log::{LogBuffer, WriteAheadLog};

/// Maximum wait of the expiry task.
const MAX_EXPIRY_WAIT: Duration = Duration::from_secs(86_400);

/// The shared broker.
pub(super) struct Broker {
    state: Mutex<State>,
    /// Never locked while the state is; the state may be locked while this is.
    log: Mutex<Option<WriteAheadLog>>,
    /// Position up to which the write-ahead log is written.
    written: AtomicU64,
    authenticator: Option<Authenticator>,
    /// Notified when a deadline may be earlier than before.
    changed: Notify,
}

impl Broker {
    /// Creates a broker; `log` writes the records that the state appends.
    pub(super) fn new(state: State, log: Option<WriteAheadLog>, authenticator: Option<Authenticator>) -> Self {
        Self {
            state: Mutex::new(state),
            log: Mutex::new(log),
            written: AtomicU64::new(0),
            authenticator,
            changed: Notify::new(),
        }
    }

    /// Authenticates a client and creates or resumes its session; `wake` is notified when there are messages for it.
    pub(super) fn connect(&self, connect: &Connect, wake: Arc<Notify>) -> Result<(ConnectionId, ConnAck), ReasonCode> {
        if self.authenticator.as_ref().is_some_and(|authenticator| !authenticator.accepts(connect)) {
            return Err(ReasonCode::BAD_CREDENTIALS);
        }
        let mut state = self.state();
        let result = state.connect(connect, wake);
        self.commit(state);
        result
    }

    /// Applies packets, and writes replies and queued messages; returns whether more messages are queued.
    pub(super) fn step(
        &self,
        connection_id: &ConnectionId,
        packets: Vec<Packet>,
        out: &mut BytesMut,
    ) -> Result<bool, ConnectionEnd> {
        let mut state = self.state();
        let mut result = state.connected_session(connection_id).map(|_| ());
        for packet in packets {
            result = result.and_then(|()| state.apply_packet(connection_id, packet, out));
        }
        let more = result.map(|()| state.collect_output(connection_id, out));
        // Before a byte of `out` is sent.
        self.commit(state);
        more
    }

    /// Detaches an ended connection.
    pub(super) fn disconnect(&self, connection_id: &ConnectionId, end: ConnectionEnd) {
        let mut state = self.state();
        state.disconnect(connection_id, end);
        self.commit(state);
        self.changed.notify_one();
    }

    /// Publishes a message that comes from none of the clients.
    pub(super) fn publish(&self, publish: Publish) -> Result<(), ReasonCode> {
        let mut state = self.state();
        let message = state.message(publish);
        let result = state.publish(None, message);
        self.commit(state);
        result.map(|_| ())
    }

    /// Publishes due will messages and ends expired sessions; returns the time until the next deadline.
    pub(super) fn expire(&self) -> Option<Duration> {
        let mut state = self.state();
        let next = state.expire();
        let now = state.now();
        self.commit(state);
        next.map(|next| Duration::from_millis(next.saturating_sub(now)))
    }

    /// Expires will messages and sessions at their time, until it is cancelled.
    pub(super) async fn run_expiry(&self, stop: CancellationToken) {
        loop {
            // One millisecond later, since deadlines are whole milliseconds.
            let wait = self.expire().map_or(MAX_EXPIRY_WAIT, |next| next + Duration::from_millis(1));
            tokio::select! {
                () = tokio::time::sleep(wait.min(MAX_EXPIRY_WAIT)) => {}
                () = self.changed.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Closes the write-ahead log.
    pub(super) fn close(&self) {
        self.state().log = None;
        *self.log.lock() = None;
    }

    /// Unlocks the state, and writes all records that were appended before. The packets that are sent next may depend on records of any connection.
    ///
    /// Connections that come together share one write.
    fn commit(&self, state: MutexGuard<'_, State>) {
        let position = state.log.as_ref().map_or(0, LogBuffer::position);
        drop(state);
        if self.written.load(Ordering::Acquire) >= position {
            return;
        }
        let mut log = self.log.lock();
        let Some(log) = log.as_mut().filter(|log| log.written() < position) else { return };
        if log.flush() {
            let state = self.state();
            log.discard_buffer();
            let records = state.snapshot();
            drop(state);
            log.rewrite(records);
        }
        self.written.store(log.written(), Ordering::Release);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
