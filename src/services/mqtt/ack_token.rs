//! Tokens that acknowledge a message once every subscriber has processed it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::services::mqtt::ack_queue::AckQueue;

/// One subscriber's share in the acknowledgement of a message, which is sent when the last share is dropped.
///
/// During shutdown it is sent only if each share was acknowledged explicitly; otherwise the broker sends the message again after the
/// restart. The default token is that of a message of QoS 0, which needs no acknowledgement.
#[derive(Default)]
pub struct AckToken {
    pending: Option<Arc<SharedAck>>,
    is_acked: AtomicBool,
}

struct SharedAck {
    number: u64,
    acks: Arc<AckQueue>,
    is_nacked: AtomicBool,
}

impl AckToken {
    pub(super) fn new(number: u64, acks: Arc<AckQueue>) -> Self {
        let pending = SharedAck { number, acks, is_nacked: AtomicBool::new(false) };
        Self { pending: Some(Arc::new(pending)), is_acked: AtomicBool::new(false) }
    }

    /// Returns another share in the same acknowledgement.
    pub(super) fn share(&self) -> Self {
        Self { pending: self.pending.clone(), is_acked: AtomicBool::new(false) }
    }

    /// Marks the message as processed, so that it is acknowledged even during shutdown.
    pub fn ack(&self) {
        self.is_acked.store(true, Ordering::Relaxed);
    }

    /// Marks the message as not processed: it is not acknowledged, and the broker sends it again after the next connect.
    pub fn nack(&self) {
        if let Some(pending) = &self.pending {
            pending.is_nacked.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for AckToken {
    fn drop(&mut self) {
        let is_acked = self.is_acked.load(Ordering::Relaxed);
        if let Some(pending) = &self.pending
            && !is_acked
            && pending.acks.is_shutting_down()
        {
            pending.is_nacked.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for SharedAck {
    fn drop(&mut self) {
        if !self.is_nacked.load(Ordering::Relaxed) {
            self.acks.complete(self.number);
        }
    }
}

impl fmt::Debug for AckToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AckToken({:?})", self.pending.as_ref().map(|pending| pending.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::mqtt::pending_acks::{Acknowledgement, Arrival, PendingAcks};

    /// Delivers one message to two subscribers, passes both tokens to `end`, and returns whether the message is acknowledged.
    fn is_acknowledged(is_shutting_down: bool, end: impl FnOnce(AckToken, AckToken)) -> bool {
        let (mut pending, acks) = (PendingAcks::default(), Arc::new(AckQueue::default()));
        let Arrival::New(number) = pending.arrived(1, 1, "t", b"x") else { panic!("it is new") };
        let whole = AckToken::new(number, Arc::clone(&acks));
        let (one, two) = (whole.share(), whole.share());
        drop(whole);
        if is_shutting_down {
            acks.begin_shutdown();
        }
        end(one, two);
        pending.take_ready(&acks) == [Acknowledgement::PubAck(1)]
    }

    #[test]
    fn during_shutdown_a_message_is_acknowledged_only_if_every_subscriber_acknowledged_it() {
        assert!(is_acknowledged(true, |one, two| [one, two].iter().for_each(AckToken::ack)));
        assert!(!is_acknowledged(true, |one, _two| one.ack()), "the other has not processed it");
        assert!(!is_acknowledged(true, |_, _| {}));
        assert!(is_acknowledged(false, |_, _| {}), "before shutdown, dropping the token is enough");
    }

    #[test]
    fn one_nack_prevents_the_acknowledgement_for_all_subscribers() {
        assert!(!is_acknowledged(false, |one, two| {
            one.nack();
            two.ack();
        }));
    }
}
