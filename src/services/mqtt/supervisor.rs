//! The task that keeps one broker connected.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::services::clock::{ActivityGuard, Clock};
use crate::services::mqtt::ConnectionState;
use crate::services::mqtt::client_session::ClientSession;
use crate::services::mqtt::connection::{Connection, FLUSH};
use crate::services::mqtt::mock_broker::Held;
use crate::services::mqtt::pending_acks::AckQueue;
use crate::services::mqtt::persistence;
use crate::services::mqtt::report::Report;
use crate::services::mqtt::settings::{ConnectionSettings, Protocol};
use crate::services::mqtt::wire::{ConnectionError, Version};
use crate::services::store::Store;
use crate::units::show_duration;

/// How long connecting may take, from the first byte to the broker's greeting.
const CONNECT: Duration = Duration::from_secs(15);
/// After the first wish, others are waited for as long as they come within this: the broker is to know them all when it begins to send.
const SETTLE: Duration = Duration::from_millis(50);
/// How often that is done at most.
const SETTLE_TIMES: usize = 40;

/// What the handles and the task of one broker share.
pub(super) struct BrokerClient {
    pub(super) settings: ConnectionSettings,
    pub(super) clock: Clock,
    pub(super) session: Mutex<ClientSession>,
    pub(super) acks: Arc<AckQueue>,
    pub(super) state: watch::Sender<ConnectionState>,
    /// Told when the outbox has room again.
    pub(super) room: Notify,
    pub(super) close: CancellationToken,
    /// Told when something is to be written to disk.
    pub(super) keep: Notify,
    /// How many do not want a connection to begin yet.
    pub(super) holds: watch::Sender<usize>,
    /// Whether the first hold is still to be taken over.
    pub(super) is_born_held: AtomicBool,
    /// The broker, in a held world.
    pub(super) held: Option<Arc<Held>>,
    /// Holds the clock of a held world while something is written to disk.
    pub(super) keeping: Mutex<Option<ActivityGuard>>,
}

impl BrokerClient {
    pub(super) fn session(&self) -> MutexGuard<'_, ClientSession> {
        self.session.lock()
    }
}

/// Keeps the broker connected until it is told to close; what was promised to be sent is on disk, if there is one.
pub(super) async fn run(client: Arc<BrokerClient>, store: Option<Store>) {
    let end = CancellationToken::new();
    let keeper = store.map(|store| tokio::spawn(persistence::run(Arc::clone(&client), store, end.clone())));
    match &client.held {
        None => serve(&client).await,
        Some(_) => client.close.cancelled().await,
    }
    end.cancel();
    if let Some(keeper) = keeper {
        // A task that panicked has said so.
        let _ = keeper.await;
    }
    client.state.send_replace(ConnectionState::Closed);
}

async fn serve(client: &BrokerClient) {
    let is_wanted = client.close.run_until_cancelled(first_wish(client)).await.is_some();
    if is_wanted || !client.session().outbox.is_empty() {
        keep_connected(client).await;
    }
    let mut session = client.session();
    let unsent = session.outbox.unsent();
    if unsent > 0 {
        warn!(broker = client.settings.name, "{unsent} messages were not sent, or not confirmed, before the end");
    }
    session.outbox.disconnected();
}

async fn keep_connected(client: &BrokerClient) {
    let mut report = Report::new(&client.settings);
    if client.close.run_until_cancelled(unheld(client)).await.is_some() {
        client.session().deliver_left();
    }
    let mut language = Language::new(client.settings.protocol);
    loop {
        let mut since = None;
        client.close.run_until_cancelled(unheld(client)).await;
        // A panic in a codec must not end MQTT for good.
        let attempt = AssertUnwindSafe(connection(client, language.version, &mut report, &mut since));
        let why = match attempt.catch_unwind().await {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why,
            Err(_) => ConnectionError::Malformed("reading it ended in a panic".into()),
        };
        if language.try_another(&why, since.is_some()) {
            continue;
        }
        client.session().outbox.disconnected();
        report.lost(&why, since);
        client.state.send_replace(ConnectionState::Disconnected(why.to_string()));
        if client.close.run_until_cancelled(sleep(report.wait())).await.is_none() {
            return;
        }
    }
}

/// Which MQTT the broker understands, as far as is known.
struct Language {
    version: Version,
    is_sure: bool,
}

impl Language {
    fn new(protocol: Protocol) -> Self {
        let version = if protocol == Protocol::V4 { Version::V4 } else { Version::V5 };
        Self { version, is_sure: protocol != Protocol::Newest }
    }

    /// Learns how an attempt ended; returns whether to try the other version at once.
    ///
    /// A broker of the older one answers the newer in many ways: it refuses, hangs up, or says what means nothing in the newer.
    fn try_another(&mut self, why: &ConnectionError, stood: bool) -> bool {
        if stood && !self.is_sure {
            // It understands 5 for good; if it did not a moment ago, it may have been unwell, so that is tried again.
            self.is_sure = self.version == Version::V5;
            self.version = Version::V5;
            return false;
        }
        if self.is_sure
            || !matches!(why, ConnectionError::Closed | ConnectionError::Malformed(_) | ConnectionError::Refused(_))
        {
            return false;
        }
        self.version = self.version.other();
        self.version == Version::V4
    }
}

/// Waits until nobody holds the connection back.
async fn unheld(client: &BrokerClient) {
    // The sender lives as long as the borrow.
    let _ = client.holds.subscribe().wait_for(|holds| *holds == 0).await;
}

/// Waits until anybody wants anything, and a little longer for others.
async fn first_wish(client: &BrokerClient) {
    while client.session().is_idle() {
        client.acks.woken().await;
    }
    for _ in 0..SETTLE_TIMES {
        if timeout(SETTLE, client.acks.woken()).await.is_err() {
            return;
        }
    }
}

/// Connects, and serves the connection until it breaks; `Ok` when it was closed on purpose.
async fn connection(
    client: &BrokerClient,
    version: Version,
    report: &mut Report,
    since: &mut Option<Instant>,
) -> Result<(), ConnectionError> {
    client.state.send_replace(ConnectionState::Connecting);
    let opened = tokio::select! {
        opened = timeout(CONNECT, Connection::open(&client.settings, version)) => opened,
        () = closed_for_good(client) => return Ok(()),
    };
    let opened = opened.unwrap_or_else(|_| Err(ConnectionError::Silent(show_duration(CONNECT))));
    let (mut link, greeting) = opened?;
    *since = Some(Instant::now());
    client.session().connected(&greeting);
    client.state.send_replace(ConnectionState::Connected);
    report.connected();
    link.serve(client, report).await
}

/// Waits until it was told to close and has had time for what still waits.
async fn closed_for_good(client: &BrokerClient) {
    client.close.cancelled().await;
    if !client.session().outbox.is_empty() {
        sleep(FLUSH).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_was_unwell_is_asked_for_the_newer_mqtt_again() {
        let mut language = Language::new(Protocol::Newest);
        assert!(language.try_another(&ConnectionError::Closed, false), "the older one, at once");
        assert_eq!(language.version, Version::V4);
        assert!(!language.try_another(&ConnectionError::Closed, true));
        assert_eq!(language.version, Version::V5, "after a connection that stood");
        assert!(!language.try_another(&ConnectionError::Closed, true));
        assert!(!language.try_another(&ConnectionError::Closed, false), "it is known to understand the newer one");
        assert_eq!(language.version, Version::V5);
        let mut told = Language::new(Protocol::V4);
        assert!(
            !told.try_another(&ConnectionError::Closed, true) && !told.try_another(&ConnectionError::Closed, false)
        );
        assert_eq!(told.version, Version::V4);
    }
}
