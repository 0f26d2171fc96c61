//! Receives the messages of a subscription and sends an event for each.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::topics::params;
use crate::event::{Ack, Event};
use crate::run::{Outcome, Skip};
use crate::services::mqtt::{Message, Subscription};
use crate::topic::Filter;
use crate::triggers::event_sender::EventSender;
use crate::value::map_of;

/// Minimum number of topics that `changed` tracks.
pub(super) const MIN_TRACKED: usize = 10_000;

/// Forwards the messages of one subscription to the sender.
pub(super) struct MessageListener {
    pub(super) filters: Vec<Filter>,
    /// Last payloads, if the option `changed` is set.
    pub(super) changed: Option<LastPayloads>,
    pub(super) skips_retained: bool,
    pub(super) zone: TimeZone,
    pub(super) sender: EventSender,
}

impl MessageListener {
    /// Sends an event per message, including the messages received before the stop.
    pub(super) async fn listen(mut self, mut subscription: Subscription, stopped: CancellationToken) {
        // A rejected subscription is an error of the script or of the broker's permissions.
        let refused = stopped.run_until_cancelled(Box::pin(subscription.ready())).await;
        if let Some(Err(error)) = refused {
            let topics: Vec<_> = self.filters.iter().map(Filter::written).collect();
            error!(script = self.sender.owner(), "mqtt_subscribe {}: {error}", topics.join(", "));
        }
        while let Some(message) = next(&mut subscription, &stopped).await {
            if message.retain && self.skips_retained {
                self.sender.skip(self.event(&message), Skip::Retained);
                continue;
            }
            let is_changed = self.changed.as_mut().is_none_or(|changed| changed.is_changed(&message));
            if is_changed {
                self.pass(message);
            } else {
                self.sender.skip(self.event(&message), Skip::Unchanged);
            }
        }
    }

    fn pass(&self, message: Message) {
        let event = self.event(&message);
        if message.qos == 0 {
            return self.sender.tell(event);
        }
        let pending = self.sender.ask(event);
        // The task outlives the watch and ends with the run. The broker's receive maximum limits the number of these tasks.
        tokio::spawn(async move {
            match pending.outcome().await {
                Outcome::Skipped(Skip::Stopping) => message.ack.nack(),
                // The token is dropped: if rhaid stops, the broker sends the message again; if a newer message replaced it, it does not.
                Outcome::Cancelled => {}
                _ => message.ack.ack(),
            }
        });
    }

    fn event(&self, message: &Message) -> Event {
        let at = message.received.to_zoned(self.zone.clone());
        let payload = map_of([
            ("topic".into(), message.topic.as_str().into()),
            ("payload".into(), String::from_utf8_lossy(&message.payload).into_owned().into()),
            ("bytes".into(), message.payload.to_vec().into()),
            ("qos".into(), i64::from(message.qos).into()),
            ("retain".into(), message.retain.into()),
            ("dup".into(), message.dup.into()),
            ("params".into(), params(&self.filters, &message.topic).into()),
            ("broker".into(), message.broker.as_str().into()),
            ("properties".into(), message.properties.clone().into()),
            ("time".into(), at.clone().into()),
        ]);
        Event::new(at, format!("mqtt_subscribe {}", message.topic), payload)
            .with_ack((message.qos > 0).then_some(Ack::Sender))
    }
}

/// Returns the next message; after the stop only messages that were received before it.
async fn next(subscription: &mut Subscription, stopped: &CancellationToken) -> Option<Message> {
    match stopped.run_until_cancelled(subscription.messages.recv()).await {
        Some(message) => message,
        None => {
            subscription.end();
            subscription.messages.recv().await
        }
    }
}

/// Hashes of the last payloads by topic, in two generations: when the young one is full, it replaces the old one.
#[derive(Default)]
pub(super) struct LastPayloads {
    hasher: RandomState,
    pub(super) young: HashMap<String, u64>,
    pub(super) old: HashMap<String, u64>,
}

impl LastPayloads {
    /// Returns whether the payload differs from the last one of the topic, and stores it.
    pub(super) fn is_changed(&mut self, message: &Message) -> bool {
        let hash = self.hasher.hash_one(&message.payload);
        if let Some(last) = self.young.get_mut(&message.topic) {
            return std::mem::replace(last, hash) != hash;
        }
        let last = self.old.remove(&message.topic);
        if self.young.len() >= MIN_TRACKED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(message.topic.clone(), hash);
        last != Some(hash)
    }
}
