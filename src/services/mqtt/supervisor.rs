//! The task that keeps one broker connected.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::services::mqtt::broker_client::BrokerClient;
use crate::services::mqtt::connection::{Connection, FLUSH};
use crate::services::mqtt::connection_state::ConnectionState;
use crate::services::mqtt::persistence;
use crate::services::mqtt::report::Report;
use crate::services::mqtt::settings::Protocol;
use crate::services::mqtt::wire::{ConnectionError, Version};
use crate::services::store::Store;
use crate::units::show_duration;

/// Timeout of a connection attempt, from opening the stream to CONNACK.
const CONNECT: Duration = Duration::from_secs(15);
/// After the first subscription or message, more are awaited as long as they come within this time, so that all subscribers exist when the
/// broker begins to send.
const SETTLE: Duration = Duration::from_millis(50);
/// How often that wait is extended at most.
const SETTLE_TIMES: usize = 40;

/// Keeps the broker connected until shutdown, and writes durable messages to the store, if there is one.
pub(super) async fn run(client: Arc<BrokerClient>, store: Option<Store>) {
    let end = CancellationToken::new();
    let writer = store.map(|store| tokio::spawn(persistence::run(Arc::clone(&client), store, end.clone())));
    match &client.in_process {
        None => serve(&client).await,
        Some(link) => {
            client.shutdown.cancelled().await;
            // Sends the last acknowledgements.
            client.wake();
            link.disconnect();
        }
    }
    end.cancel();
    if let Some(writer) = writer {
        // The panic hook has logged a panic of the task.
        let _ = writer.await;
    }
    client.state.send_replace(ConnectionState::Closed);
}

async fn serve(client: &BrokerClient) {
    let is_needed = client.shutdown.run_until_cancelled(first_use(client)).await.is_some();
    if is_needed || !client.session().outbox.is_empty() {
        keep_connected(client).await;
    }
    let mut session = client.session();
    let unsent = session.outbox.unsent();
    if unsent > 0 {
        warn!(broker = client.settings.name, "{unsent} messages were not sent or not acknowledged before shutdown");
    }
    session.outbox.disconnected();
}

async fn keep_connected(client: &BrokerClient) {
    let mut report = Report::new(&client.settings);
    if client.shutdown.run_until_cancelled(holds_released(client)).await.is_some() {
        client.session().deliver_restored();
        client.pass_on();
    }
    let mut negotiation = VersionNegotiation::new(client.settings.protocol);
    loop {
        let mut since = None;
        client.shutdown.run_until_cancelled(holds_released(client)).await;
        // A panic in a codec must not end MQTT for good.
        let attempt = AssertUnwindSafe(connection(client, negotiation.version, &mut report, &mut since));
        let why = match attempt.catch_unwind().await {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why,
            Err(_) => ConnectionError::Malformed("the decoder panicked".into()),
        };
        if negotiation.try_another(&why, since.is_some()) {
            continue;
        }
        report.lost(&why, since);
        client.disconnected(&why.to_string());
        if client.shutdown.run_until_cancelled(sleep(report.backoff_delay())).await.is_none() {
            return;
        }
    }
}

/// The protocol version that the broker supports, as far as it is known.
struct VersionNegotiation {
    version: Version,
    is_certain: bool,
}

impl VersionNegotiation {
    fn new(protocol: Protocol) -> Self {
        Self { version: Version::preferred(protocol), is_certain: protocol != Protocol::Newest }
    }

    /// Evaluates a failed attempt; returns whether to try the other version at once.
    ///
    /// Brokers that support only 3.1.1 answer MQTT 5 in many ways: they refuse, close the connection, or send packets that MQTT 5 does not
    /// allow.
    fn try_another(&mut self, why: &ConnectionError, was_connected: bool) -> bool {
        if was_connected && !self.is_certain {
            // Version 5 is certain once it has worked. If only 3.1.1 worked, the failure of 5 may have been temporary: it is tried again.
            self.is_certain = self.version == Version::V5;
            self.version = Version::V5;
            return false;
        }
        if self.is_certain
            || !matches!(why, ConnectionError::Closed | ConnectionError::Malformed(_) | ConnectionError::Refused(_))
        {
            return false;
        }
        self.version = self.version.other();
        self.version == Version::V4
    }
}

/// Waits until there is no connection hold.
async fn holds_released(client: &BrokerClient) {
    // The sender lives as long as the borrow.
    let _ = client.holds.subscribe().wait_for(|holds| *holds == 0).await;
}

/// Waits until a connection is needed, and a little longer for further subscriptions.
async fn first_use(client: &BrokerClient) {
    while client.session().is_idle() {
        client.acks.woken().await;
    }
    for _ in 0..SETTLE_TIMES {
        if timeout(SETTLE, client.acks.woken()).await.is_err() {
            return;
        }
    }
}

/// Connects, and serves the connection until it fails; returns `Ok` on shutdown.
async fn connection(
    client: &BrokerClient,
    version: Version,
    report: &mut Report,
    since: &mut Option<Instant>,
) -> Result<(), ConnectionError> {
    client.state.send_replace(ConnectionState::Connecting);
    let opened = tokio::select! {
        opened = timeout(CONNECT, Connection::open(&client.settings, version)) => opened,
        () = shutdown_deadline(client) => return Ok(()),
    };
    let opened = opened.unwrap_or_else(|_| Err(ConnectionError::Timeout(show_duration(CONNECT))));
    let (mut connection, connack) = opened?;
    *since = Some(Instant::now());
    client.session().connected(&connack);
    client.connected();
    report.connected();
    client.submissions.open();
    let _close = SubmissionsGuard(client);
    connection.serve(client, report).await
}

/// Ends the acceptance of submitted messages with the connection, also after a panic.
struct SubmissionsGuard<'a>(&'a BrokerClient);

impl Drop for SubmissionsGuard<'_> {
    fn drop(&mut self) {
        self.0.submissions.close();
        drop(self.0.session());
    }
}

/// Waits for shutdown, and for the time in which queued messages may still be sent.
async fn shutdown_deadline(client: &BrokerClient) {
    client.shutdown.cancelled().await;
    if !client.session().outbox.is_empty() {
        sleep(FLUSH).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mqtt_5_is_tried_again_after_a_connection_that_fell_back_to_3_1_1() {
        let mut negotiation = VersionNegotiation::new(Protocol::Newest);
        assert!(negotiation.try_another(&ConnectionError::Closed, false), "3.1.1 is tried at once");
        assert_eq!(negotiation.version, Version::V4);
        assert!(!negotiation.try_another(&ConnectionError::Closed, true));
        assert_eq!(negotiation.version, Version::V5, "after a connection that was accepted");
        assert!(!negotiation.try_another(&ConnectionError::Closed, true));
        assert!(!negotiation.try_another(&ConnectionError::Closed, false), "the broker is known to support MQTT 5");
        assert_eq!(negotiation.version, Version::V5);
        let mut fixed = VersionNegotiation::new(Protocol::V4);
        assert!(
            !fixed.try_another(&ConnectionError::Closed, true) && !fixed.try_another(&ConnectionError::Closed, false)
        );
        assert_eq!(fixed.version, Version::V4);
    }
}
