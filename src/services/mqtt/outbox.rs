//! What goes to a broker: waiting, on the way, confirmed; what was promised for good is on disk as well.

use std::collections::{HashSet, VecDeque};

use tokio::sync::oneshot;
use tracing::warn;

use crate::services::mqtt::Error;
use crate::services::mqtt::message::Publish;
use crate::services::mqtt::persistence::{self, Mark, row};
use crate::services::mqtt::wire::{ConnAck, Outgoing};
use crate::services::store::{self, OutboxChange};

/// How many bytes wait at most, whatever their number.
const MAX_BYTES: usize = 64 << 20;

/// So many promises are written without waiting for more.
const TOGETHER: usize = 16;

/// Tells whoever waits how a message ended, or whether it is on disk.
pub(super) type Waiter = oneshot::Sender<Result<(), Error>>;

/// Messages in the order in which they were given, which is the order in which they go out.
pub(super) struct Outbox {
    limit: usize,
    // How many messages of QoS 1 and 2 are on the way at a time, at most.
    widest: u16,
    // What the broker takes at a time, and in one packet.
    window: u16,
    max_packet: u64,
    waiting: VecDeque<Item>,
    bytes: usize,
    // QoS 0: handed to the connection, not known to be written.
    in_hand: VecDeque<Item>,
    // QoS 1 and 2: not confirmed.
    on_the_way: VecDeque<OnTheWay>,
    // The packet ids that messages have.
    taken: HashSet<u16>,
    next_packet: u16,
    next_number: u64,
    // What is to be written to disk, if there is one; how many promises are among it; and whether it is not to wait for company.
    changes: Option<Vec<OutboxChange>>,
    promises: usize,
    is_pressed: bool,
}

struct Item {
    number: u64,
    publish: Publish,
    waiter: Option<Waiter>,
    keeper: Option<Waiter>,
    // Whether the disk has it, or will.
    is_kept: bool,
    // QoS 2 on disk: the packet id under which it goes out, and whether that is on disk as it must be before.
    packet: Option<u16>,
    is_noted: bool,
}

impl Item {
    fn end(&mut self, outcome: Result<(), Error>) {
        if let Some(keeper) = self.keeper.take() {
            // What the broker does not take need not be kept; that it does not is for who waits for the broker.
            let is_answered = matches!(outcome, Err(Error::Refused(_) | Error::TooLarge { .. }));
            let _ = keeper.send(if is_answered { Ok(()) } else { outcome.clone() });
        }
        // Who has stopped waiting does not hear it.
        let unheard = match self.waiter.take() {
            Some(waiter) => waiter.send(outcome).err(),
            None => Some(outcome),
        };
        match unheard {
            // It is told how many there were.
            None | Some(Ok(()) | Err(Error::Dropped)) => {}
            Some(Err(why)) => {
                warn!(topic = self.publish.topic, "a message that nobody waits for did not go out: {why}")
            }
        }
    }
}

struct OnTheWay {
    packet: u16,
    item: Item,
    // QoS 2: the broker has it; and the disk knows, so that it can be released.
    received: bool,
    is_releasing: bool,
}

impl Outbox {
    pub(super) fn new(limit: usize, widest: u16) -> Self {
        Self {
            limit,
            widest,
            window: widest,
            max_packet: u64::MAX,
            waiting: VecDeque::new(),
            bytes: 0,
            in_hand: VecDeque::new(),
            on_the_way: VecDeque::new(),
            taken: HashSet::new(),
            next_packet: 1,
            next_number: 0,
            changes: None,
            promises: 0,
            is_pressed: false,
        }
    }

    /// Takes up what an earlier process had promised, and keeps on disk from now on what is promised.
    pub(super) fn restore(&mut self, rows: Vec<store::OutboxRecord>) {
        self.changes = Some(Vec::new());
        for row in rows {
            self.next_number = row.number + 1;
            let (packet, received) = (row.packet, row.received);
            let publish = Publish {
                topic: row.topic,
                payload: row.payload.into(),
                qos: row.qos,
                retain: row.retain,
                properties: persistence::read_properties(&row.properties),
                broker: None,
            };
            let item = Item {
                number: row.number,
                publish,
                waiter: None,
                keeper: None,
                is_kept: true,
                packet,
                is_noted: packet.is_some(),
            };
            match packet {
                Some(packet) => {
                    self.taken.insert(packet);
                    self.on_the_way.push_back(OnTheWay { packet, item, received, is_releasing: received });
                }
                None => {
                    self.bytes += item.publish.size();
                    self.waiting.push_back(item);
                }
            }
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
        self.waiting.is_empty() && self.in_hand.is_empty() && self.on_the_way.is_empty()
    }

    /// Returns how many messages are not written (QoS 0) or not confirmed (QoS 1 and 2), and are not on disk either.
    pub(super) fn unsent(&self) -> usize {
        let on_the_way = self.on_the_way.iter().map(|sent| &sent.item);
        self.waiting.iter().chain(&self.in_hand).chain(on_the_way).filter(|item| !item.is_kept).count()
    }

    /// Takes a message, whose waiter, if any, hears how it ended; with a keeper it is promised for good, which that one hears.
    ///
    /// What has QoS 2 is kept in any case: who forgets its packet id may send it twice, or lose another.
    pub(super) fn push(&mut self, publish: Publish, waiter: Option<Waiter>, keeper: Option<Waiter>) {
        let number = self.next_number;
        self.next_number += 1;
        self.bytes += publish.size();
        let is_kept = publish.qos == 2 || (publish.qos == 1 && keeper.is_some());
        let is_kept = is_kept && self.changes.is_some();
        if is_kept {
            self.change(OutboxChange::Insert(row(number, &publish)));
        }
        let mut item = Item { number, publish, waiter, keeper, is_kept, packet: None, is_noted: false };
        if let Some(keeper) = item.keeper.take_if(|_| !is_kept) {
            let _ = keeper.send(Ok(()));
        }
        self.waiting.push_back(item);
    }

    /// Gives up the message that has waited longest and is not on its way.
    pub(super) fn drop_oldest(&mut self) {
        if let Some(item) = self.waiting.pop_front() {
            self.bytes -= item.publish.size();
            self.over(item, Err(Error::Dropped));
        }
    }

    /// Returns what goes out next, if the order, the window and the disk allow something.
    pub(super) fn next(&mut self, is_used: impl Fn(u16) -> bool) -> Option<Outgoing> {
        let item = loop {
            let item = self.waiting.front()?;
            if item.publish.qos > 0 && self.on_the_way.len() >= usize::from(self.window) {
                return None;
            }
            if item.publish.qos == 2 && item.is_kept && !item.is_noted {
                self.note_packets(is_used);
                return None;
            }
            let item = self.waiting.pop_front()?;
            let size = item.publish.size();
            self.bytes -= size;
            if size as u64 <= self.max_packet {
                break item;
            }
            let limit = self.max_packet;
            self.over(item, Err(Error::TooLarge { size: size as u64, limit }));
        };
        let publish = item.publish.clone();
        if publish.qos == 0 {
            self.in_hand.push_back(item);
            return Some(Outgoing::Publish { publish, id: 0, dup: false });
        }
        let id = item.packet.unwrap_or_else(|| self.packet_id(is_used));
        self.taken.insert(id);
        self.on_the_way.push_back(OnTheWay { packet: id, item, received: false, is_releasing: false });
        Some(Outgoing::Publish { publish, id, dup: false })
    }

    /// Has the packet ids of the messages that go out next written to disk.
    fn note_packets(&mut self, is_used: impl Fn(u16) -> bool) {
        let room = usize::from(self.window).saturating_sub(self.on_the_way.len());
        let has_none = |item: &Item| item.publish.qos == 2 && item.is_kept && item.packet.is_none();
        let places: Vec<_> = (0..self.waiting.len().min(room)).filter(|at| has_none(&self.waiting[*at])).collect();
        for at in places {
            let packet = self.packet_id(&is_used);
            self.taken.insert(packet);
            self.waiting[at].packet = Some(packet);
            let number = self.waiting[at].number;
            self.change(OutboxChange::AssignPacketId { number, packet });
        }
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
            if !is_used(id) && !self.taken.contains(&id) {
                return id;
            }
        }
    }

    /// Notes that a message of QoS 1 is confirmed, or refused with a reason.
    pub(super) fn acknowledged(&mut self, packet: u16, refused: Option<String>) {
        self.end(packet, |sent| sent.item.publish.qos == 1, refused);
    }

    /// Notes that a message of QoS 2 is received, or refused with a reason; returns whether it is to be released now.
    pub(super) fn received(&mut self, packet: u16, refused: Option<String>) -> bool {
        if refused.is_some() {
            self.end(packet, |sent| sent.item.publish.qos == 2, refused);
            return false;
        }
        let Some(sent) = self.on_the_way.iter_mut().find(|sent| sent.packet == packet) else { return true };
        let is_news = !std::mem::replace(&mut sent.received, true);
        sent.is_releasing |= !sent.item.is_kept;
        let (is_releasing, number) = (sent.is_releasing, sent.item.number);
        if is_news && !is_releasing {
            self.change(OutboxChange::MarkReceived { number });
        }
        is_releasing
    }

    /// Notes that a message of QoS 2 is over.
    pub(super) fn completed(&mut self, packet: u16) {
        self.end(packet, |sent| sent.received, None);
    }

    /// Starts a connection. In the session of before, what was on the way goes out again with its packet ids (what this returns);
    /// in a new one it is sent as if for the first time, so that nothing is lost.
    ///
    /// Source: MQTT 3.1.1, section 4.4 [MQTT-4.4.0-1].
    pub(super) fn connected(&mut self, greeting: &ConnAck) -> Vec<Outgoing> {
        self.window = greeting.receive_maximum.unwrap_or(self.widest).clamp(1, self.widest);
        self.max_packet = greeting.max_packet.map_or(u64::MAX, u64::from);
        let mut unsent: Vec<_> = self.in_hand.drain(..).collect();
        if !greeting.session_present {
            let sent: Vec<_> = self.on_the_way.drain(..).collect();
            unsent.extend(sent.into_iter().map(|sent| self.begin_anew(sent)));
            unsent.sort_by_key(|item| item.number);
        }
        for item in unsent.into_iter().rev() {
            self.bytes += item.publish.size();
            self.waiting.push_front(item);
        }
        let again = |sent: &OnTheWay| match (sent.received, sent.is_releasing) {
            (_, true) => Some(Outgoing::PubRel(sent.packet)),
            // It is released as soon as the disk knows.
            (true, false) => None,
            _ => Some(Outgoing::Publish { publish: sent.item.publish.clone(), id: sent.packet, dup: true }),
        };
        self.on_the_way.iter().filter_map(again).collect()
    }

    fn begin_anew(&mut self, sent: OnTheWay) -> Item {
        let mut item = sent.item;
        match item.packet {
            // A process that dies now must not take it for one that the broker has.
            Some(packet) if sent.received => {
                item.is_noted = false;
                self.change(OutboxChange::AssignPacketId { number: item.number, packet });
            }
            Some(_) => {}
            None => drop(self.taken.remove(&sent.packet)),
        }
        item
    }

    fn end(&mut self, packet: u16, is_it: impl Fn(&OnTheWay) -> bool, refused: Option<String>) {
        let found = self.on_the_way.iter().position(|sent| sent.packet == packet && is_it(sent));
        if let Some(sent) = found.and_then(|at| self.on_the_way.remove(at)) {
            self.taken.remove(&packet);
            self.over(sent.item, refused.map_or(Ok(()), |why| Err(Error::Refused(why))));
        }
    }

    fn over(&mut self, mut item: Item, outcome: Result<(), Error>) {
        if let Some(packet) = item.packet {
            self.taken.remove(&packet);
        }
        if item.is_kept {
            self.change(OutboxChange::Delete { number: item.number });
        }
        item.end(outcome);
    }

    fn change(&mut self, change: OutboxChange) {
        if let Some(changes) = &mut self.changes {
            match Mark::of(&change) {
                Some(Mark::Kept(_)) => self.promises += 1,
                Some(Mark::Packet(_) | Mark::Received(_)) => self.is_pressed = true,
                None => {}
            }
            changes.push(change);
        }
    }

    /// Notes that somebody waits for what was promised.
    pub(super) fn press(&mut self) {
        self.is_pressed |= self.promises > 0;
    }

    /// Returns whether what is to be written is not to wait for company: somebody waits for it, or there are enough of it.
    pub(super) fn is_pressed(&self) -> bool {
        self.is_pressed || self.promises >= TOGETHER
    }

    /// Returns whether promises are to be written.
    pub(super) fn has_promises(&self) -> bool {
        self.promises > 0
    }

    /// Returns whether something is to be written to disk.
    pub(super) fn has_changes(&self) -> bool {
        self.changes.as_ref().is_some_and(|changes| !changes.is_empty())
    }

    /// Takes what is to be written to disk, in order.
    pub(super) fn take_changes(&mut self) -> Vec<OutboxChange> {
        (self.promises, self.is_pressed) = (0, false);
        self.changes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Notes that changes are on disk, or why they are not; returns what goes out because of that.
    ///
    /// What can not be kept is not promised; what is on its way already goes on without the disk.
    pub(super) fn changed(&mut self, marks: &[Mark], outcome: &Result<(), Error>) -> Vec<Outgoing> {
        let mut releases = Vec::new();
        for mark in marks {
            match mark {
                Mark::Kept(number) => self.kept(*number, outcome),
                Mark::Packet(number) => {
                    self.waiting_at(*number).into_iter().for_each(|at| self.waiting[at].is_noted = true);
                }
                Mark::Received(number) => {
                    let sent = self.on_the_way.iter_mut().find(|sent| sent.item.number == *number && sent.received);
                    releases.extend(sent.map(|sent| {
                        sent.is_releasing = true;
                        Outgoing::PubRel(sent.packet)
                    }));
                }
            }
        }
        releases
    }

    fn kept(&mut self, number: u64, outcome: &Result<(), Error>) {
        let at = self.waiting_at(number);
        let mut on_the_way = self.on_the_way.iter_mut().map(|sent| &mut sent.item);
        let item = match at {
            Some(at) => self.waiting.get_mut(at),
            None => on_the_way.find(|item| item.number == number),
        };
        let Some(item) = item else { return };
        item.is_kept = outcome.is_ok();
        match (at, outcome) {
            (_, Ok(())) => item.keeper.take().into_iter().for_each(|keeper| drop(keeper.send(Ok(())))),
            (Some(at), Err(_)) if item.keeper.is_some() => {
                if let Some(item) = self.waiting.remove(at) {
                    self.bytes -= item.publish.size();
                    self.over(item, outcome.clone());
                }
            }
            _ => {}
        }
    }

    fn waiting_at(&self, number: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&number, |item| item.number).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(outbox: &mut Outbox, name: &str, qos: u8) -> oneshot::Receiver<Result<(), Error>> {
        let (waiter, outcome) = oneshot::channel();
        outbox.push(Publish { topic: name.into(), qos, ..Publish::default() }, Some(waiter), None);
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
    fn a_promise_waits_for_others_unless_somebody_waits_for_it() {
        let mut outbox = Outbox::new(100, 10);
        outbox.restore(Vec::new());
        let promise = |outbox: &mut Outbox| {
            let (keeper, kept) = oneshot::channel();
            outbox.push(Publish { topic: "a".into(), qos: 1, ..Publish::default() }, None, Some(keeper));
            kept
        };
        outbox.press();
        let mut all = vec![promise(&mut outbox)];
        assert!(outbox.has_promises() && !outbox.is_pressed(), "nobody waits for it yet");
        outbox.press();
        assert!(outbox.is_pressed());
        assert_eq!(outbox.take_changes().len(), 1);
        assert!(!outbox.has_promises() && !outbox.is_pressed());
        all.extend((0..TOGETHER).map(|_| promise(&mut outbox)));
        assert!(outbox.is_pressed(), "there are enough");
    }

    #[test]
    fn acknowledgements_find_their_waiters_in_any_order() {
        let mut outbox = Outbox::new(10, 100);
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
        let mut outbox = Outbox::new(10, 100);
        let _outcomes = [push(&mut outbox, "a", 1), push(&mut outbox, "b", 2), push(&mut outbox, "c", 1)];
        drain(&mut outbox);
        outbox.received(2, None);
        let _later = push(&mut outbox, "d", 0);
        assert!(outbox.connected(&ConnAck::default()).is_empty());
        let again: Vec<_> = drain(&mut outbox).into_iter().map(|(topic, _, dup)| (topic, dup)).collect();
        assert_eq!(again, [("a".into(), false), ("b".into(), false), ("c".into(), false), ("d".into(), false)]);
    }

    #[test]
    fn a_kept_session_goes_on_where_it_was() {
        let mut outbox = Outbox::new(10, 100);
        let mut outcomes: Vec<_> = [("a", 1), ("b", 2)].map(|(name, qos)| push(&mut outbox, name, qos)).into();
        drain(&mut outbox);
        outbox.received(2, None);
        let again: Vec<_> =
            outbox.connected(&ConnAck { session_present: true, ..ConnAck::default() }).iter().map(show).collect();
        assert_eq!(again, [("a".into(), 1, true), ("release".into(), 2, false)]);
        outbox.completed(2);
        assert_eq!(outcomes[1].try_recv(), Ok(Ok(())));
    }

    #[test]
    fn a_full_window_holds_back_but_forgets_nothing() {
        let mut outbox = Outbox::new(1_000, 100);
        let outcomes: Vec<_> = (0..250).map(|number| push(&mut outbox, &number.to_string(), 1)).collect();
        assert_eq!(drain(&mut outbox).len(), 100);
        // The broker answers out of order, the first one never.
        (2..=100).for_each(|packet| outbox.acknowledged(packet, None));
        assert_eq!(drain(&mut outbox).len(), 99);
        assert_eq!(outbox.waiting(), 51);
        drop(outcomes);
    }

    #[test]
    fn a_refusal_that_is_quicker_than_the_disk_is_for_who_waits_for_the_broker() {
        let mut outbox = Outbox::new(10, 100);
        outbox.restore(Vec::new());
        let ((keeper, mut kept), (waiter, mut answer)) = (oneshot::channel(), oneshot::channel());
        outbox.push(Publish { topic: "a".into(), qos: 1, ..Publish::default() }, Some(waiter), Some(keeper));
        assert_eq!(drain(&mut outbox).len(), 1);
        outbox.acknowledged(1, Some("not authorized".into()));
        assert_eq!(kept.try_recv(), Ok(Ok(())));
        assert_eq!(answer.try_recv(), Ok(Err(Error::Refused("not authorized".into()))));
    }

    #[test]
    fn few_messages_fill_it_too_if_they_are_large() {
        let mut outbox = Outbox::new(10_000, 100);
        let payload = bytes::Bytes::from(vec![0; MAX_BYTES / 4]);
        for taken in 0..4 {
            assert!(!outbox.is_full(), "after {taken} messages");
            outbox.push(Publish { topic: "t".into(), payload: payload.clone(), ..Publish::default() }, None, None);
        }
        assert!(outbox.is_full());
        outbox.drop_oldest();
        assert!(!outbox.is_full());
    }

    #[test]
    fn a_packet_id_that_is_on_the_way_is_given_to_nobody_else() {
        let mut outbox = Outbox::new(10, 100);
        let _first = push(&mut outbox, "first", 1);
        assert_eq!(drain(&mut outbox), [("first".into(), 1, false)]);
        outbox.next_packet = u16::MAX;
        let _later = ["a", "b"].map(|name| push(&mut outbox, name, 1));
        assert_eq!(drain(&mut outbox), [("a".into(), u16::MAX, false), ("b".into(), 2, false)]);
    }

    /// Writes what is to be written; returns what goes out because of it.
    fn write(outbox: &mut Outbox, disk: &mut Vec<OutboxChange>) -> Vec<(String, u16, bool)> {
        let changes = outbox.take_changes();
        let marks: Vec<_> = changes.iter().filter_map(Mark::of).collect();
        disk.extend(changes);
        outbox.changed(&marks, &Ok(())).iter().map(show).collect()
    }

    fn promise(outbox: &mut Outbox, name: &str, qos: u8) -> oneshot::Receiver<Result<(), Error>> {
        let (keeper, kept) = oneshot::channel();
        outbox.push(Publish { topic: name.into(), qos, ..Publish::default() }, None, Some(keeper));
        kept
    }

    #[test]
    fn what_is_promised_is_on_disk_before_it_is_said_so_and_forgotten_when_it_is_over() {
        let (mut outbox, mut disk) = (Outbox::new(10, 100), Vec::new());
        outbox.restore(Vec::new());
        let (mut kept, mut unkept) = (promise(&mut outbox, "a", 1), promise(&mut outbox, "b", 0));
        assert_eq!(unkept.try_recv(), Ok(Ok(())), "QoS 0 costs nothing");
        assert!(kept.try_recv().is_err());
        write(&mut outbox, &mut disk);
        assert_eq!(kept.try_recv(), Ok(Ok(())));
        assert_eq!(drain(&mut outbox).len(), 2);
        outbox.acknowledged(1, None);
        write(&mut outbox, &mut disk);
        assert!(
            matches!(&disk[..], [OutboxChange::Insert(row), OutboxChange::Delete { number: 0 }] if row.topic == "a")
        );
    }

    #[test]
    fn what_can_not_be_kept_is_not_promised() {
        let mut outbox = Outbox::new(10, 100);
        outbox.restore(Vec::new());
        let mut kept = promise(&mut outbox, "a", 1);
        let marks: Vec<_> = outbox.take_changes().iter().filter_map(Mark::of).collect();
        outbox.changed(&marks, &Err(Error::NotStored("the disk is full".into())));
        assert_eq!(kept.try_recv(), Ok(Err(Error::NotStored("the disk is full".into()))));
        assert!(outbox.is_empty());
    }

    #[test]
    fn qos_2_is_written_down_at_each_step_before_it_is_taken() {
        let (mut outbox, mut disk) = (Outbox::new(10, 100), Vec::new());
        outbox.restore(Vec::new());
        let _kept = promise(&mut outbox, "a", 2);
        write(&mut outbox, &mut disk);
        assert!(drain(&mut outbox).is_empty(), "its packet id is not on disk");
        write(&mut outbox, &mut disk);
        assert_eq!(drain(&mut outbox), [("a".into(), 1, false)]);
        assert!(!outbox.received(1, None), "that it is received is not on disk");
        assert_eq!(write(&mut outbox, &mut disk), [("release".into(), 1, false)]);
        outbox.completed(1);
        write(&mut outbox, &mut disk);
        let number = 0;
        assert!(matches!(&disk[0], OutboxChange::Insert(_)));
        let rest = [
            OutboxChange::AssignPacketId { number, packet: 1 },
            OutboxChange::MarkReceived { number },
            OutboxChange::Delete { number },
        ];
        assert_eq!(disk[1..], rest);
    }

    #[test]
    fn what_gives_way_is_forgotten_on_disk_too_and_who_waits_for_it_is_told() {
        let (mut outbox, mut disk) = (Outbox::new(2, 100), Vec::new());
        outbox.restore(Vec::new());
        let mut first = push(&mut outbox, "a", 1);
        let _kept = promise(&mut outbox, "b", 1);
        assert!(outbox.is_full());
        outbox.drop_oldest();
        outbox.drop_oldest();
        assert_eq!(first.try_recv(), Ok(Err(Error::Dropped)));
        write(&mut outbox, &mut disk);
        assert_eq!(disk.last(), Some(&OutboxChange::Delete { number: 1 }));
        assert!(outbox.is_empty());
    }

    #[test]
    fn another_process_goes_on_where_the_last_one_died() {
        let kept = |number, qos, packet, received| store::OutboxRecord {
            number,
            qos,
            packet,
            received,
            ..row(number, &Publish { topic: number.to_string(), ..Publish::default() })
        };
        let rows = || vec![kept(3, 2, Some(7), true), kept(4, 2, Some(8), false), kept(5, 1, None, false)];
        let mut outbox = Outbox::new(10, 100);
        outbox.restore(rows());
        let again = outbox.connected(&ConnAck { session_present: true, ..ConnAck::default() });
        assert_eq!(again.iter().map(show).collect::<Vec<_>>(), [("release".into(), 7, false), ("4".into(), 8, true)]);
        assert_eq!(drain(&mut outbox), [("5".into(), 1, false)]);
        let mut outbox = Outbox::new(10, 100);
        outbox.restore(rows());
        assert!(outbox.connected(&ConnAck::default()).is_empty());
        write(&mut outbox, &mut Vec::new());
        assert_eq!(drain(&mut outbox), [("3".into(), 7, false), ("4".into(), 8, false), ("5".into(), 1, false)]);
    }
}
