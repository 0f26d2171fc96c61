//! What comes from a broker and what goes to one.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use jiff::Timestamp;

use crate::services::mqtt::pending_acks::AckQueue;
use crate::value::Map;

/// Which retained messages a subscription wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retained {
    /// None: only what is published from now on.
    #[default]
    Live,
    /// The retained value, once, when the subscription goes live; then all that is published.
    Initial,
    /// The retained value, once, and nothing else.
    Only,
}

/// How a subscriber wants its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubscribeOptions {
    /// No message is handed over with more.
    pub qos: u8,
    /// Which retained messages are wanted.
    pub retained: Retained,
    /// Whether messages that we ourselves publish are left out; needs MQTT 5.
    pub no_local: bool,
    /// Whether retained messages that come but are not wanted are handed over all the same, for who notes them.
    pub all_retained: bool,
}

/// A message from a broker.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Bytes,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether the broker had kept it.
    pub retain: bool,
    /// Whether it may have come before.
    pub dup: bool,
    /// The broker's name in the config.
    pub broker: String,
    /// MQTT 5 properties; empty for 3.1.1.
    pub properties: Map,
    /// When it came in.
    pub received: Timestamp,
    /// Confirms the message to the broker when all who got it have let go of it (QoS 1 and 2).
    pub ack: Arc<AckToken>,
}

impl Message {
    /// Tells it from others.
    pub(super) fn print(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.topic, &self.payload).hash(&mut hasher);
        hasher.finish()
    }
}

/// One subscriber's share of the debt of an acknowledgement, which is paid when the last share is dropped.
///
/// While rhaid stops, it is paid only if each share was settled: else the message comes again after the restart.
#[derive(Default)]
pub struct AckToken {
    debt: Option<Arc<Debt>>,
    settled: AtomicBool,
}

struct Debt {
    number: u64,
    acks: Arc<AckQueue>,
    withheld: AtomicBool,
}

impl AckToken {
    pub(super) fn new(number: u64, acks: Arc<AckQueue>) -> Self {
        let debt = Debt { number, acks, withheld: AtomicBool::new(false) };
        Self { debt: Some(Arc::new(debt)), settled: AtomicBool::new(false) }
    }

    /// Returns another share of the same debt.
    pub(super) fn share(&self) -> Self {
        Self { debt: self.debt.clone(), settled: AtomicBool::new(false) }
    }

    /// Says that the message has had its effect, so that it is confirmed even while rhaid stops.
    pub fn ack(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    /// Says that the message has not had its effect: it is not confirmed, and the broker sends it again after the next connect.
    pub fn nack(&self) {
        if let Some(debt) = &self.debt {
            debt.withheld.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for AckToken {
    fn drop(&mut self) {
        let is_settled = self.settled.load(Ordering::Relaxed);
        if let Some(debt) = &self.debt
            && !is_settled
            && debt.acks.is_shutting_down()
        {
            debt.withheld.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        if !self.withheld.load(Ordering::Relaxed) {
            self.acks.pay(self.number);
        }
    }
}

impl fmt::Debug for AckToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receipt({:?})", self.debt.as_ref().map(|debt| debt.number))
    }
}

/// A message to a broker.
#[derive(Debug, Clone, Default)]
pub struct Publish {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether the broker keeps it.
    pub retain: bool,
    /// The broker's name; `None`: the default one.
    pub broker: Option<String>,
    /// What MQTT 5 knows beside these; left out for a broker that speaks 3.1.1.
    pub properties: Option<Box<Properties>>,
}

/// What MQTT 5 lets a message carry beside its payload.
///
/// Source: MQTT 5.0, section 3.3.2.3.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    /// What the payload is, such as `text/plain`.
    pub content_type: Option<String>,
    /// Where an answer goes.
    pub response_topic: Option<String>,
    /// What the answer repeats.
    pub correlation_data: Option<Bytes>,
    /// For how many seconds the broker keeps it for who is away.
    pub message_expiry: Option<u32>,
    /// Names and texts; a name may come several times.
    pub user: Vec<(String, String)>,
}

impl Properties {
    /// Returns their bytes in a packet, at most.
    fn size(&self) -> usize {
        let texts = [&self.content_type, &self.response_topic].into_iter().flatten().map(|text| text.len() + 3);
        let data = self.correlation_data.iter().map(|data| data.len() + 3);
        let user = self.user.iter().map(|(name, text)| name.len() + text.len() + 5);
        // Of these, the length of all, of up to 4 bytes, and the expiry.
        texts.chain(data).chain(user).sum::<usize>() + 9
    }
}

impl Publish {
    /// Returns the bytes of its packet, at most.
    pub(super) fn size(&self) -> usize {
        // A header of 5 bytes, the topic's length of 2, a packet id of 2, and empty properties.
        self.topic.len() + self.payload.len() + 10 + self.properties.as_deref().map_or(0, Properties::size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::mqtt::pending_acks::{Acknowledgement, Arrival, PendingAcks};

    /// Owes one message to two who got it; lets `end` have both; returns whether it is confirmed.
    fn is_confirmed(retire: bool, end: impl FnOnce(AckToken, AckToken)) -> bool {
        let (mut debts, acks) = (PendingAcks::default(), Arc::new(AckQueue::default()));
        let Arrival::New(debt) = debts.arrived(1, 1, "t", b"x") else { panic!("it is new") };
        let whole = AckToken::new(debt, Arc::clone(&acks));
        let (one, two) = (whole.share(), whole.share());
        drop(whole);
        if retire {
            acks.begin_shutdown();
        }
        end(one, two);
        debts.due(&acks) == [Acknowledgement::PubAck(1)]
    }

    #[test]
    fn while_stopping_a_message_is_confirmed_only_if_all_who_got_it_are_done() {
        assert!(is_confirmed(true, |one, two| [one, two].iter().for_each(AckToken::ack)));
        assert!(!is_confirmed(true, |one, _two| one.ack()), "the other has not had it");
        assert!(!is_confirmed(true, |_, _| {}));
        assert!(is_confirmed(false, |_, _| {}), "before, to let go of it is enough");
    }

    #[test]
    fn who_withholds_does_so_for_all() {
        assert!(!is_confirmed(false, |one, two| {
            one.nack();
            two.ack();
        }));
    }
}
