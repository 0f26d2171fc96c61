//! State that the handles and the tasks of one broker share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::memory;
use crate::services::clock::{ActivityGuard, Clock};
use crate::services::mqtt::ack_queue::AckQueue;
use crate::services::mqtt::client_session::ClientSession;
use crate::services::mqtt::connection_state::ConnectionState;
use crate::services::mqtt::in_process_link::InProcessLink;
use crate::services::mqtt::settings::ConnectionSettings;
use crate::services::mqtt::submissions::Submissions;

/// The client of one broker: its session, and the signals between the handles and the tasks.
pub(super) struct BrokerClient {
    pub(super) settings: ConnectionSettings,
    pub(super) clock: Clock,
    pub(super) session: Mutex<ClientSession>,
    /// Published messages that are not in the session's outbox yet.
    pub(super) submissions: Submissions,
    /// Locked while messages are passed to sinks, so that they stay in order.
    pub(super) delivery_order: Mutex<()>,
    pub(super) acks: Arc<AckQueue>,
    pub(super) state: watch::Sender<ConnectionState>,
    /// Notified when the outbox has room again.
    pub(super) outbox_room: Notify,
    pub(super) shutdown: CancellationToken,
    /// Notified when changes wait to be written to the store.
    pub(super) writes_pending: Notify,
    /// Number of holds; no connection is opened while there is one.
    pub(super) holds: watch::Sender<usize>,
    /// Whether the hold that the start placed is still to be taken over by the first [`ConnectionHold`](super::holds::ConnectionHold).
    pub(super) has_startup_hold: AtomicBool,
    /// The link to a broker in this process, used in place of a connection.
    pub(super) in_process: Option<InProcessLink>,
    /// Stops the virtual clock of a sandbox until pending changes are on disk.
    pub(super) write_activity: Mutex<Option<ActivityGuard>>,
}

impl BrokerClient {
    /// Locks the session. All messages that were published before are in its outbox.
    pub(super) fn session(&self) -> MutexGuard<'_, ClientSession> {
        let mut session = self.session.lock();
        if self.submissions.move_to(&mut session.outbox) && session.notifies_writer() {
            self.writes_pending.notify_one();
        }
        session
    }

    /// Passes received messages to their sinks, in order and without the session's lock.
    pub(super) fn pass_on(&self) {
        let _order = self.delivery_order.lock();
        let mut deliveries = self.session().take_deliveries().into_iter().peekable();
        while let Some((sink, message)) = deliveries.next() {
            let mut messages = vec![message];
            while let Some((_, message)) = deliveries.next_if(|(next, _)| Arc::ptr_eq(next, &sink)) {
                messages.push(message);
            }
            sink.receive(messages);
        }
    }

    pub(super) fn write_activity(&self) -> MutexGuard<'_, Option<ActivityGuard>> {
        self.write_activity.lock()
    }

    /// Signals that the session may have packets to send: wakes the connection's task, or exchanges them with a broker in
    /// this process at once.
    pub(super) fn wake(&self) {
        match &self.in_process {
            None => self.acks.wake(),
            // The messages of a sandbox do not count as memory of the run that caused them.
            Some(link) => memory::uncounted(|| {
                if let Err(why) = link.exchange(&self.session, &self.clock) {
                    warn!(broker = self.settings.name, "the connection is lost: {why}");
                    self.disconnected(&why.to_string());
                }
                self.pass_on();
                self.outbox_room.notify_waiters();
                if self.session().has_pending_writes() {
                    self.write_activity().get_or_insert_with(|| self.clock.activity());
                    self.writes_pending.notify_one();
                }
            }),
        }
    }

    /// Records that the broker has accepted the connection.
    pub(super) fn connected(&self) {
        self.state.send_replace(ConnectionState::Connected);
    }

    /// Records that the connection has failed for this reason.
    pub(super) fn disconnected(&self, why: &str) {
        self.session().outbox.disconnected();
        self.state.send_replace(ConnectionState::Disconnected(why.to_owned()));
    }
}
