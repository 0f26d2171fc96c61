//! What goes to a broker: waiting, on the way, confirmed.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::services::mqtt::Error;
use crate::services::mqtt::message::Publish;
use crate::services::mqtt::wire::{Greeting, Outgoing};

/// How many messages of QoS 1 and 2 are on the way at a time.
const WINDOW: u16 = 100;

/// How many bytes wait at most, whatever their number.
const MAX_BYTES: usize = 64 << 20;

/// Tells whoever waits how a message ended.
pub(super) type Waiter = oneshot::Sender<Result<(), Error>>;

/// Messages in the order in which they were given, which is the order in which they go out.
pub(super) struct Outbox {
    limit: usize,
    // What the broker takes at a time, and in one packet.
    window: u16,
    max_packet: u64,
    waiting: VecDeque<Item>,
    bytes: usize,
    // QoS 0: handed to the connection, not known to be written.
    in_hand: VecDeque<Item>,
    // QoS 1 and 2: not confirmed.
    on_the_way: VecDeque<OnTheWay>,
    next_packet: u16,
    next_number: u64,
}

struct Item {
    number: u64,
    publish: Publish,
    waiter: Option<Waiter>,
}

impl Item {
    fn end(&mut self, outcome: Result<(), Error>) {
        if let Some(waiter) = self.waiter.take() {
            // Nobody waits any more when a run was cancelled.
            let _ = waiter.send(outcome);
        }
    }
}

struct OnTheWay {
    packet: u16,
    item: Item,
    // QoS 2: the broker has it; it is being released.
    received: bool,
}

impl Outbox {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            window: WINDOW,
            max_packet: u64::MAX,
            waiting: VecDeque::new(),
            bytes: 0,
            in_hand: VecDeque::new(),
            on_the_way: VecDeque::new(),
            next_packet: 1,
            next_number: 0,
        }
    }

    /// Returns how many messages wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= self.limit || self.bytes >= MAX_BYTES
    }

    /// Returns whether nothing waits and nothing is on the way.
    pub(super) fn is_empty(&self) -> bool {
        self.unsent() == 0
    }

    /// Returns how many messages are not written (QoS 0) or not confirmed (QoS 1 and 2).
    pub(super) fn unsent(&self) -> usize {
        self.waiting.len() + self.in_hand.len() + self.on_the_way.len()
    }

    /// Takes a message, whose waiter, if any, hears how it ended.
    pub(super) fn push(&mut self, publish: Publish, waiter: Option<Waiter>) {
        self.bytes += publish.size();
        self.waiting.push_back(Item { number: self.next_number, publish, waiter });
        self.next_number += 1;
    }

    /// Returns what goes out next, if the order and the window allow something.
    pub(super) fn next(&mut self, is_used: impl Fn(u16) -> bool) -> Option<Outgoing> {
        let item = loop {
            let item = self.waiting.front()?;
            if item.publish.qos > 0 && self.on_the_way.len() >= usize::from(self.window) {
                return None;
            }
            let mut item = self.waiting.pop_front()?;
            self.bytes -= item.publish.size();
            if item.publish.size() as u64 <= self.max_packet {
                break item;
            }
            item.end(Err(Error::TooLarge { size: item.publish.size() as u64, limit: self.max_packet }));
        };
        let publish = item.publish.clone();
        if publish.qos == 0 {
            self.in_hand.push_back(item);
            return Some(Outgoing::Publish { publish, id: 0, dup: false });
        }
        let id = self.packet_id(is_used);
        self.on_the_way.push_back(OnTheWay { packet: id, item, received: false });
        Some(Outgoing::Publish { publish, id, dup: false })
    }

    /// Notes that the oldest message of QoS 0 in hand is written.
    pub(super) fn written(&mut self) {
        if let Some(mut item) = self.in_hand.pop_front() {
            item.end(Ok(()));
        }
    }

    /// Notes that the connection is gone: who waits for a message of QoS 0 need wait no longer, it goes out later.
    pub(super) fn disconnected(&mut self) {
        for item in self.in_hand.iter_mut().chain(&mut self.waiting).filter(|item| item.publish.qos == 0) {
            item.end(Ok(()));
        }
    }

    /// Returns a packet id that nothing has.
    pub(super) fn packet_id(&mut self, is_used: impl Fn(u16) -> bool) -> u16 {
        loop {
            let id = self.next_packet;
            self.next_packet = if id == u16::MAX { 1 } else { id + 1 };
            if !is_used(id) && self.on_the_way.iter().all(|sent| sent.packet != id) {
                return id;
            }
        }
    }

    /// Notes that a message of QoS 1 is confirmed, or refused with a reason.
    pub(super) fn acknowledged(&mut self, packet: u16, refused: Option<String>) {
        self.end(packet, |sent| sent.item.publish.qos == 1, refused);
    }

    /// Notes that a message of QoS 2 is received, or refused with a reason; returns whether it is to be released.
    pub(super) fn received(&mut self, packet: u16, refused: Option<String>) -> bool {
        if refused.is_some() {
            self.end(packet, |sent| sent.item.publish.qos == 2, refused);
            return false;
        }
        if let Some(sent) = self.on_the_way.iter_mut().find(|sent| sent.packet == packet) {
            sent.received = true;
        }
        true
    }

    /// Notes that a message of QoS 2 is over.
    pub(super) fn completed(&mut self, packet: u16) {
        self.end(packet, |sent| sent.received, None);
    }

    /// Starts a connection. In the session of before, what was on the way goes out again with its packet ids (what this returns);
    /// in a new one it is sent as if for the first time, so that nothing is lost.
    ///
    /// Source: MQTT 3.1.1, section 4.4 [MQTT-4.4.0-1].
    pub(super) fn connected(&mut self, greeting: &Greeting) -> Vec<Outgoing> {
        self.window = greeting.window.unwrap_or(WINDOW).clamp(1, WINDOW);
        self.max_packet = greeting.max_packet.map_or(u64::MAX, u64::from);
        let mut unsent: Vec<_> = self.in_hand.drain(..).collect();
        if !greeting.same_session {
            unsent.extend(self.on_the_way.drain(..).map(|sent| sent.item));
            unsent.sort_by_key(|item| item.number);
        }
        for item in unsent.into_iter().rev() {
            self.bytes += item.publish.size();
            self.waiting.push_front(item);
        }
        let again = |sent: &OnTheWay| match sent.received {
            true => Outgoing::PubRel(sent.packet),
            false => Outgoing::Publish { publish: sent.item.publish.clone(), id: sent.packet, dup: true },
        };
        self.on_the_way.iter().map(again).collect()
    }

    fn end(&mut self, packet: u16, is_it: impl Fn(&OnTheWay) -> bool, refused: Option<String>) {
        let found = self.on_the_way.iter().position(|sent| sent.packet == packet && is_it(sent));
        if let Some(mut sent) = found.and_then(|at| self.on_the_way.remove(at)) {
            sent.item.end(refused.map_or(Ok(()), |why| Err(Error::Refused(why))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(outbox: &mut Outbox, name: &str, qos: u8) -> oneshot::Receiver<Result<(), Error>> {
        let (waiter, outcome) = oneshot::channel();
        outbox.push(Publish { topic: name.into(), qos, ..Publish::default() }, Some(waiter));
        outcome
    }

    fn drain(outbox: &mut Outbox) -> Vec<(String, u16, bool)> {
        let mut out = Vec::new();
        while let Some(packet) = outbox.next(|_| false) {
            out.push(show(&packet));
        }
        out
    }

    fn show(packet: &Outgoing) -> (String, u16, bool) {
        match packet {
            Outgoing::Publish { publish, id, dup } => (publish.topic.clone(), *id, *dup),
            Outgoing::PubRel(id) => ("release".into(), *id, false),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn acknowledgements_find_their_waiters_in_any_order() {
        let mut outbox = Outbox::new(10);
        let mut outcomes: Vec<_> = ["a", "b", "c"].map(|name| push(&mut outbox, name, 1)).into();
        drain(&mut outbox);
        outbox.acknowledged(2, None);
        outbox.acknowledged(3, Some("not authorized".into()));
        assert_eq!(outcomes[1].try_recv(), Ok(Ok(())));
        assert_eq!(outcomes[2].try_recv(), Ok(Err(Error::Refused("not authorized".into()))));
        assert!(outcomes[0].try_recv().is_err(), "the first is still on the way");
    }

    #[test]
    fn a_lost_session_sends_all_that_was_on_the_way_again_and_in_order() {
        let mut outbox = Outbox::new(10);
        let _outcomes = [push(&mut outbox, "a", 1), push(&mut outbox, "b", 2), push(&mut outbox, "c", 1)];
        drain(&mut outbox);
        outbox.received(2, None);
        let _later = push(&mut outbox, "d", 0);
        assert!(outbox.connected(&Greeting::default()).is_empty());
        let again: Vec<_> = drain(&mut outbox).into_iter().map(|(topic, _, dup)| (topic, dup)).collect();
        assert_eq!(again, [("a".into(), false), ("b".into(), false), ("c".into(), false), ("d".into(), false)]);
    }

    #[test]
    fn a_kept_session_goes_on_where_it_was() {
        let mut outbox = Outbox::new(10);
        let mut outcomes: Vec<_> = [("a", 1), ("b", 2)].map(|(name, qos)| push(&mut outbox, name, qos)).into();
        drain(&mut outbox);
        outbox.received(2, None);
        let again: Vec<_> =
            outbox.connected(&Greeting { same_session: true, ..Greeting::default() }).iter().map(show).collect();
        assert_eq!(again, [("a".into(), 1, true), ("release".into(), 2, false)]);
        outbox.completed(2);
        assert_eq!(outcomes[1].try_recv(), Ok(Ok(())));
    }

    #[test]
    fn a_full_window_holds_back_but_forgets_nothing() {
        let mut outbox = Outbox::new(1_000);
        let outcomes: Vec<_> = (0..250).map(|number| push(&mut outbox, &number.to_string(), 1)).collect();
        assert_eq!(drain(&mut outbox).len(), usize::from(WINDOW));
        // The broker answers out of order, the first one never.
        (2..=100).for_each(|packet| outbox.acknowledged(packet, None));
        assert_eq!(drain(&mut outbox).len(), 99);
        assert_eq!(outbox.waiting(), 51);
        drop(outcomes);
    }
}
