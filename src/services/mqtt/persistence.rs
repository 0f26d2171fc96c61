//! Writes to disk what the outbox has promised: what comes together shares a write.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::services::mqtt::client_session::ClientSession;
use crate::services::mqtt::message::{Properties, Publish};
use crate::services::mqtt::supervisor::BrokerClient;
use crate::services::mqtt::{Error, ack_spill};
use crate::services::store::{OutboxChange, OutboxRecord, Store};

/// How long a message that the broker has stays on disk until something else is written: one more write costs more than one message
/// more that comes twice after a power cut.
const COMPANY: Duration = Duration::from_millis(20);

/// How long a promise for which nothing stands still waits for others, with which it shares a write.
const GATHER: Duration = Duration::from_millis(3);

/// A change that somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Kept(u64),
    Packet(u64),
    Received(u64),
}

impl Mark {
    pub(super) fn of(change: &OutboxChange) -> Option<Self> {
        match change {
            OutboxChange::Insert(row) => Some(Self::Kept(row.number)),
            OutboxChange::AssignPacketId { number, .. } => Some(Self::Packet(*number)),
            OutboxChange::MarkReceived { number } => Some(Self::Received(*number)),
            OutboxChange::Delete { .. } => None,
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::Kept(number) | Self::Packet(number) | Self::Received(number) => number,
        }
    }
}

/// Returns a message as the disk has it.
pub(super) fn row(number: u64, publish: &Publish) -> OutboxRecord {
    OutboxRecord {
        number,
        topic: publish.topic.clone(),
        payload: publish.payload.to_vec(),
        qos: publish.qos,
        retain: publish.retain,
        properties: publish.properties.as_deref().map(write_properties).unwrap_or_default(),
        packet: None,
        received: false,
    }
}

/// Content type, response topic, correlation data, expiry in seconds, names and texts.
type Written = (Option<String>, Option<String>, Option<Vec<u8>>, Option<u32>, Vec<(String, String)>);

fn write_properties(properties: &Properties) -> String {
    let Properties { content_type, response_topic, correlation_data, message_expiry, user } = properties;
    let data = correlation_data.as_deref();
    serde_json::to_string(&(content_type, response_topic, data, message_expiry, user)).unwrap_or_default()
}

/// Reads what MQTT 5 knows of a message from how the disk has it.
pub(super) fn read_properties(written: &str) -> Option<Box<Properties>> {
    let (content_type, response_topic, data, message_expiry, user): Written = serde_json::from_str(written).ok()?;
    let correlation_data = data.map(Into::into);
    Some(Box::new(Properties { content_type, response_topic, correlation_data, message_expiry, user }))
}

/// Writes what comes until it is told to end, and then what is left.
pub(super) async fn run(client: Arc<BrokerClient>, store: Store, end: CancellationToken) {
    let mut is_troubled = false;
    loop {
        let is_over = end.run_until_cancelled(work(&client)).await.is_none();
        let (outgoing, ack_spill) = {
            let mut session = client.session();
            (session.outbox.take_changes(), session.take_aside())
        };
        if is_over && outgoing.is_empty() && ack_spill.is_empty() {
            drop(client.keeping().take());
            return;
        }
        let marks: Vec<_> = outgoing.iter().filter_map(Mark::of).collect();
        let kept: Vec<_> = ack_spill.iter().filter_map(Mark::of).map(Mark::number).collect();
        let name = &client.settings.name;
        let aside_name = ack_spill::name(name);
        // Both share a commit.
        let (sent, received) = tokio::join!(write(&store, name, outgoing), write(&store, &aside_name, ack_spill));
        if let Err(why) = sent.as_ref().and(received.as_ref())
            && !is_troubled
        {
            warn!(broker = client.settings.name, "{why}");
        }
        is_troubled = sent.is_err() || received.is_err();
        client.session().changed(&marks, &sent);
        client.session().set_aside(&kept, received.is_ok());
        client.wake();
    }
}

/// Waits until there is something to write; what need not be soon waits for company for a while.
async fn work(client: &BrokerClient) {
    while !client.session().has_changes() {
        // Also if it was held only after the last of them was written: nothing else would let go of it.
        drop(client.keeping().take());
        client.keep.notified().await;
    }
    // Nobody waits in a world that is held, where nothing comes while time stands.
    if client.held.is_some() {
        return;
    }
    wait(client, COMPANY, |session| session.is_pressed() || session.outbox.has_promises()).await;
    if client.session().outbox.has_promises() {
        wait(client, GATHER, ClientSession::is_pressed).await;
    }
}

/// Waits for a change after which it `is_time`, but no longer than a limit.
async fn wait(client: &BrokerClient, limit: Duration, is_time: impl Fn(&ClientSession) -> bool) {
    let company = async {
        while !is_time(&client.session()) {
            client.keep.notified().await;
        }
    };
    let _ = tokio::time::timeout(limit, company).await;
}

async fn write(store: &Store, name: &str, changes: Vec<OutboxChange>) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    store.update_outbox(name, changes).await.map_err(|error| Error::NotStored(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mqtt_5_knows_of_a_message_is_kept_too() {
        let properties = Properties {
            content_type: Some("text/plain".into()),
            correlation_data: Some(vec![0, 255].into()),
            message_expiry: Some(60),
            user: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
            ..Properties::default()
        };
        let publish = Publish { properties: Some(Box::new(properties.clone())), ..Publish::default() };
        assert_eq!(read_properties(&row(1, &publish).properties).as_deref(), Some(&properties));
        assert_eq!(read_properties(&row(1, &Publish::default()).properties), None);
    }
}
