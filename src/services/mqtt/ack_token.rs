//! Tokens that acknowledge a message once every subscriber has processed it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::event::SenderAck;
use crate::services::mqtt::ack_queue::AckQueue;

/// One subscriber's share in the acknowledgement of a message, which is sent when the last share is acknowledged or dropped.
///
/// During shutdown it is sent only if each share was acknowledged explicitly; otherwise the broker sends the message again after the
/// restart.
pub struct AckToken(Mutex<Option<Arc<SharedAck>>>);

struct SharedAck {
    number: u64,
    acks: Arc<AckQueue>,
    is_nacked: AtomicBool,
}

impl AckToken {
    pub(super) fn new(number: u64, acks: Arc<AckQueue>) -> Self {
        Self(Mutex::new(Some(Arc::new(SharedAck { number, acks, is_nacked: AtomicBool::new(false) }))))
    }

    /// Returns another share in the same acknowledgement.
    pub(super) fn share(&self) -> Self {
        Self(Mutex::new(self.0.lock().clone()))
    }
}

impl SenderAck for AckToken {
    fn ack(&self) {
        drop(self.0.lock().take());
    }

    fn nack(&self) {
        if let Some(shared) = self.0.lock().take() {
            shared.is_nacked.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for AckToken {
    fn drop(&mut self) {
        if let Some(shared) = self.0.get_mut()
            && shared.acks.is_shutting_down()
        {
            shared.is_nacked.store(true, Ordering::Relaxed);
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
        write!(f, "AckToken({:?})", self.0.lock().as_ref().map(|shared| shared.number))
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
        assert!(is_acknowledged(true, |one, two| [one, two].iter().for_each(SenderAck::ack)));
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
