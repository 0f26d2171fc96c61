//! The acknowledgements that are owed to a broker, in the order in which it may have them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::services::mqtt::ack_spill::{AckSpill, PATIENCE};
use crate::services::mqtt::message::Message;
use crate::services::store::OutboxRecord;

/// Where receipts are paid; read by the connection.
#[derive(Default)]
pub(super) struct AckQueue {
    // Bounded: the broker lets at most 65,535 messages be open at a time.
    paid: Mutex<Vec<u64>>,
    shutting_down: AtomicBool,
    wake: Notify,
}

impl AckQueue {
    /// Pays a debt.
    pub(super) fn pay(&self, debt: u64) {
        self.paid.lock().push(debt);
        self.wake.notify_one();
    }

    pub(super) fn begin_shutdown(&self) {
        self.shutting_down.store(true, Ordering::Release);
    }

    /// Returns whether rhaid is stopping: what has had no effect yet will have none.
    pub(super) fn is_shutting_down(&self) -> bool {
        self.shutting_down.load(Ordering::Acquire)
    }

    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.paid.lock())
    }
}

/// An acknowledgement that may go out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acknowledgement {
    /// QoS 1: it is over.
    PubAck(u16),
    /// QoS 2: received.
    PubRec(u16),
}

/// What is to be done with a message that must be confirmed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is new; the number of its debt.
    New(u64),
    /// It came before, and whoever has it still works on it, or is done: nobody is told again.
    Again,
}

/// The debts of one session.
///
/// Source: MQTT 3.1.1, sections 4.3 (delivery) and 4.6 (order: acknowledgements go out in the order of the messages).
#[derive(Default)]
pub(super) struct PendingAcks {
    next: u64,
    // Owed on this connection, in the order in which the messages came.
    queue: VecDeque<PendingAck>,
    // The packet ids of those.
    open: HashSet<u16>,
    // Owed since an earlier connection: paid when the broker sends the message again.
    earlier: HashMap<u16, PendingAck>,
    // QoS 2: confirmed as received, not yet released by the broker.
    received: HashSet<u16>,
    repeat: Vec<u16>,
    // Those that are on disk in place of being owed.
    pub(super) aside: AckSpill,
}

struct PendingAck {
    number: u64,
    packet: u16,
    qos: u8,
    print: u64,
    paid: bool,
    since: Instant,
    // What it is about, until that is written to disk or can not be.
    message: Option<Message>,
    // Whether it is being set aside, and has been.
    kept: bool,
    is_on_disk: bool,
}

impl PendingAcks {
    /// Notes a message of QoS 1 or 2.
    pub(super) fn arrived(&mut self, packet: u16, qos: u8, topic: &str, payload: &[u8]) -> Arrival {
        if qos == 2 && self.received.contains(&packet) {
            self.repeat.push(packet);
            return Arrival::Again;
        }
        let print = print(topic, payload);
        if !self.open.insert(packet)
            && let Some(at) = self.queue.iter().position(|debt| debt.packet == packet)
        {
            // The broker repeats itself on one connection: the debt stands where it stood.
            if self.queue[at].print == print {
                return Arrival::Again;
            }
            self.queue.remove(at);
        }
        match self.earlier.remove(&packet) {
            Some(debt) if debt.print == print => {
                self.queue.push_back(debt);
                Arrival::Again
            }
            _ => {
                let number = self.next;
                self.next += 1;
                self.queue.push_back(PendingAck {
                    number,
                    packet,
                    qos,
                    print,
                    paid: false,
                    since: Instant::now(),
                    message: None,
                    kept: false,
                    is_on_disk: false,
                });
                Arrival::New(number)
            }
        }
    }

    /// Takes up what an earlier process had set aside.
    pub(super) fn restore(&mut self, left: Vec<OutboxRecord>) {
        self.next = self.aside.restore(left);
    }

    /// Keeps what the newest debt is about, in case it has to be set aside.
    pub(super) fn remember(&mut self, message: &Message) {
        if let Some(debt) = self.queue.back_mut() {
            debt.message = Some(Message { ack: Arc::default(), ..message.clone() });
        }
    }

    /// Returns since when the oldest debt has held back others, if something can be done about it.
    pub(super) fn held_back_since(&self) -> Option<Instant> {
        let is_one_of_many = self.queue.len() > 1 && self.aside.has_room();
        let oldest = self.queue.iter().find(|debt| !debt.paid && !debt.kept).filter(|_| is_one_of_many)?;
        oldest.message.is_some().then_some(oldest.since)
    }

    /// Has the debts that have held back others for long written to disk.
    pub(super) fn set_aside(&mut self, now: Instant) {
        while let Some(since) = self.held_back_since()
            && now.saturating_duration_since(since) >= PATIENCE
        {
            let Some(debt) = self.queue.iter_mut().find(|debt| !debt.paid && !debt.kept) else { return };
            let Some(message) = debt.message.take() else { return };
            debt.kept = true;
            self.aside.keep(debt.number, &message);
        }
    }

    /// Notes that debts are on disk, so that they can be confirmed; or that they are not.
    pub(super) fn kept(&mut self, numbers: &[u64], are_on_disk: bool) {
        let everywhere = self.queue.iter_mut().chain(self.earlier.values_mut());
        for debt in everywhere.filter(|debt| numbers.contains(&debt.number)) {
            debt.is_on_disk = are_on_disk;
        }
        if !are_on_disk {
            numbers.iter().for_each(|number| self.aside.lose(*number));
        }
    }

    /// Takes what was paid and returns what may go out now, in order.
    pub(super) fn due(&mut self, acks: &AckQueue) -> Vec<Acknowledgement> {
        for number in acks.take() {
            self.aside.forget(number);
            let everywhere = self.queue.iter_mut().chain(self.earlier.values_mut());
            if let Some(debt) = everywhere.into_iter().find(|debt| debt.number == number) {
                (debt.paid, debt.message) = (true, None);
            }
        }
        let mut due: Vec<_> = self.repeat.drain(..).map(Acknowledgement::PubRec).collect();
        while self.queue.front().is_some_and(|debt| debt.paid || debt.is_on_disk) {
            let Some(debt) = self.queue.pop_front() else { break };
            self.open.remove(&debt.packet);
            due.push(if debt.qos == 2 {
                self.received.insert(debt.packet);
                Acknowledgement::PubRec(debt.packet)
            } else {
                Acknowledgement::PubAck(debt.packet)
            });
        }
        due
    }

    /// Notes that the broker released a message of QoS 2; the answer is always `PUBCOMP`.
    pub(super) fn released(&mut self, packet: u16) {
        self.received.remove(&packet);
    }

    /// Starts a connection: with the session of before, or with a new one, in which nothing is owed.
    pub(super) fn connected(&mut self, session_present: bool) {
        self.repeat.clear();
        self.open.clear();
        if session_present {
            self.earlier.extend(self.queue.drain(..).map(|debt| (debt.packet, debt)));
        } else {
            self.queue.clear();
            self.earlier.clear();
            self.received.clear();
        }
    }
}

/// Tells one message from another that has taken over its packet id.
fn print(topic: &str, payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (topic, payload).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::store::OutboxChange;

    fn arrive(debts: &mut PendingAcks, packet: u16, qos: u8) -> u64 {
        match debts.arrived(packet, qos, "t", &packet.to_be_bytes()) {
            Arrival::New(number) => number,
            Arrival::Again => panic!("packet {packet} was taken for a repeat"),
        }
    }

    #[test]
    fn acknowledgements_go_out_in_the_order_of_the_messages() {
        let (mut debts, acks) = (PendingAcks::default(), AckQueue::default());
        let numbers: Vec<_> = [(5, 1), (6, 2), (7, 1)].map(|(packet, qos)| arrive(&mut debts, packet, qos)).into();
        acks.pay(numbers[2]);
        acks.pay(numbers[1]);
        assert_eq!(debts.due(&acks), []);
        acks.pay(numbers[0]);
        use Acknowledgement::{PubAck, PubRec};
        assert_eq!(debts.due(&acks), [PubAck(5), PubRec(6), PubAck(7)]);
    }

    #[test]
    fn a_message_that_comes_again_while_it_is_worked_on_is_not_told_again() {
        let (mut debts, acks) = (PendingAcks::default(), AckQueue::default());
        let number = arrive(&mut debts, 1, 1);
        debts.connected(true);
        acks.pay(number);
        assert_eq!(debts.due(&acks), [], "not before the broker has sent it on this connection");
        assert_eq!(debts.arrived(1, 1, "t", &1_u16.to_be_bytes()), Arrival::Again);
        assert_eq!(debts.due(&acks), [Acknowledgement::PubAck(1)]);
    }

    #[test]
    fn a_receipt_of_a_lost_session_acknowledges_nothing() {
        let (mut debts, acks) = (PendingAcks::default(), AckQueue::default());
        let old = arrive(&mut debts, 1, 1);
        debts.connected(false);
        arrive(&mut debts, 1, 1);
        acks.pay(old);
        assert_eq!(debts.due(&acks), []);
    }

    #[test]
    fn a_packet_id_that_is_used_for_another_message_is_a_new_debt() {
        let (mut debts, acks) = (PendingAcks::default(), AckQueue::default());
        let old = arrive(&mut debts, 1, 1);
        debts.connected(true);
        assert!(matches!(debts.arrived(1, 1, "t", b"other"), Arrival::New(_)));
        acks.pay(old);
        assert_eq!(debts.due(&acks), []);
    }

    #[test]
    fn a_message_of_qos_2_is_told_once_until_it_is_released() {
        let (mut debts, acks) = (PendingAcks::default(), AckQueue::default());
        let number = arrive(&mut debts, 9, 2);
        acks.pay(number);
        assert_eq!(debts.due(&acks), [Acknowledgement::PubRec(9)]);
        debts.connected(true);
        assert_eq!(debts.arrived(9, 2, "t", &9_u16.to_be_bytes()), Arrival::Again);
        assert_eq!(debts.due(&acks), [Acknowledgement::PubRec(9)]);
        debts.released(9);
        arrive(&mut debts, 9, 2);
    }

    #[test]
    fn a_message_that_is_worked_on_for_long_is_set_aside_and_holds_back_no_other() {
        let (mut debts, acks) = (PendingAcks::default(), AckQueue::default());
        debts.restore(Vec::new());
        let slow = arrive(&mut debts, 1, 1);
        debts.remember(&crate::services::mqtt::registry::tests::message("slow"));
        let later = Instant::now() + PATIENCE;
        debts.set_aside(later);
        assert!(!debts.aside.has_changes(), "it holds back nobody");
        let quick = arrive(&mut debts, 2, 1);
        acks.pay(quick);
        assert_eq!(debts.due(&acks), []);
        debts.set_aside(later);
        assert!(matches!(&debts.aside.take_changes()[..], [OutboxChange::Insert(letter)] if letter.number == slow));
        assert_eq!(debts.due(&acks), [], "it is not on disk yet");
        debts.kept(&[slow], true);
        assert_eq!(debts.due(&acks), [Acknowledgement::PubAck(1), Acknowledgement::PubAck(2)]);
        acks.pay(slow);
        assert_eq!(debts.due(&acks), []);
        assert_eq!(debts.aside.take_changes(), [OutboxChange::Delete { number: slow }]);
    }

    #[test]
    fn what_can_not_be_set_aside_is_owed_as_before() {
        let (mut debts, acks) = (PendingAcks::default(), AckQueue::default());
        debts.restore(Vec::new());
        let numbers: Vec<_> = [1, 2].map(|packet| arrive(&mut debts, packet, 1)).into();
        debts.queue[0].message = Some(crate::services::mqtt::registry::tests::message("slow"));
        debts.set_aside(Instant::now() + PATIENCE);
        debts.aside.take_changes();
        debts.kept(&numbers[..1], false);
        acks.pay(numbers[1]);
        assert_eq!(debts.due(&acks), []);
        assert_eq!(debts.held_back_since(), None, "it is not tried again");
        acks.pay(numbers[0]);
        assert_eq!(debts.due(&acks), [Acknowledgement::PubAck(1), Acknowledgement::PubAck(2)]);
        assert!(!debts.aside.has_changes());
    }
}
