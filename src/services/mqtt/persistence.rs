//! Writes pending changes to the store; changes that come together share a commit.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::services::mqtt::ack_spill;
use crate::services::mqtt::broker_client::BrokerClient;
use crate::services::mqtt::error::Error;
use crate::services::mqtt::pending_writes::{Urgency, Written};
use crate::services::store::{OutboxChange, Store};

/// How long the deletion of an acknowledged message waits for other changes to share a commit. A commit of its own would cost more than one
/// more duplicate after a power cut.
const DELETE_DELAY: Duration = Duration::from_millis(20);

/// How long a new message that no caller waits for is delayed for other changes to share a commit. If the broker acknowledges it meanwhile, it
/// is not written at all.
const GROUP_COMMIT_DELAY: Duration = Duration::from_millis(3);

/// Writes changes until `end` is cancelled, and then the remaining ones.
pub(super) async fn run(client: Arc<BrokerClient>, store: Store, end: CancellationToken) {
    let mut is_failing = false;
    loop {
        let is_over = end.run_until_cancelled(changes(&client)).await.is_none();
        let (outgoing, spilled) = client.session().take_writes();
        if is_over && outgoing.is_empty() && spilled.is_empty() {
            drop(client.write_activity().take());
            return;
        }
        let written: Vec<_> = outgoing.iter().filter_map(Written::of).collect();
        let spilled_numbers: Vec<_> = spilled.iter().filter_map(Written::of).map(Written::number).collect();
        let name = &client.settings.name;
        let spill_name = ack_spill::queue_name(name);
        // Both share a commit.
        let (sent, received) = tokio::join!(write(&store, name, outgoing), write(&store, &spill_name, spilled));
        if let Err(why) = sent.as_ref().and(received.as_ref())
            && !is_failing
        {
            warn!(broker = client.settings.name, "{why}");
        }
        is_failing = sent.is_err() || received.is_err();
        client.session().outbox_writes_finished(&written, &sent);
        client.session().spill_finished(&spilled_numbers, received.is_ok());
        client.wake();
    }
}

/// Waits until there are changes to write; those that are not urgent wait for more.
async fn changes(client: &BrokerClient) {
    while !client.session().has_pending_writes() {
        // Also if the activity was started only after the last change was written: nothing else would end it.
        drop(client.write_activity().take());
        client.writes_pending.notified().await;
    }
    // In a sandbox no more changes come while the clock stands still.
    if client.in_process.is_some() {
        return;
    }
    wait(client, DELETE_DELAY, Urgency::NewMessages).await;
    if client.session().write_urgency() == Urgency::NewMessages {
        wait(client, GROUP_COMMIT_DELAY, Urgency::Urgent).await;
    }
}

/// Waits for changes of an urgency, but no longer than a limit.
async fn wait(client: &BrokerClient, limit: Duration, urgency: Urgency) {
    let more_changes = async {
        while client.session().write_urgency() < urgency {
            client.writes_pending.notified().await;
        }
    };
    let _ = tokio::time::timeout(limit, more_changes).await;
}

async fn write(store: &Store, queue: &str, changes: Vec<OutboxChange>) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    store.update_outbox(queue, changes).await.map_err(|error| Error::NotStored(error.to_string()))
}
