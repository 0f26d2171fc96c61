//! Tests of the outbox.

use tokio::sync::oneshot;

use super::queue::MAX_BYTES;
use super::*;
use crate::services::mqtt::error::Error;
use crate::services::mqtt::message::Publish;
use crate::services::mqtt::pending_writes::{BATCH, Urgency, Written};
use crate::services::mqtt::store_tracker::StoredSignal;
use crate::services::mqtt::stored_message::outgoing_record;
use crate::services::mqtt::wire::{ConnAck, Outgoing};
use crate::services::store::{OutboxChange, OutboxRecord};

fn push(outbox: &mut Outbox, name: &str, qos: u8) -> oneshot::Receiver<Result<(), Error>> {
    let (on_delivered, outcome) = oneshot::channel();
    outbox.push(Publish { topic: name.into(), qos, ..Publish::default() }, Some(on_delivered), None);
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
fn a_durable_message_is_delayed_for_group_commit_unless_a_caller_waits() {
    let mut outbox = Outbox::new(100, 10);
    outbox.restore(Vec::new());
    let publish = |outbox: &mut Outbox| {
        let (on_stored, stored) = oneshot::channel();
        outbox.push(
            Publish { topic: "a".into(), qos: 1, ..Publish::default() },
            None,
            Some(StoredSignal::Once(on_stored)),
        );
        stored
    };
    outbox.flush_now();
    let mut all = vec![publish(&mut outbox)];
    assert_eq!(outbox.writes().urgency(), Urgency::NewMessages, "no caller waits for it yet");
    outbox.flush_now();
    assert_eq!(outbox.writes().urgency(), Urgency::Urgent);
    assert_eq!(outbox.take_writes().len(), 1);
    assert_eq!(outbox.writes().urgency(), Urgency::None);
    all.extend((0..BATCH).map(|_| publish(&mut outbox)));
    assert_eq!(outbox.writes().urgency(), Urgency::Urgent, "they fill a batch");
}

#[test]
fn acknowledgements_in_any_order_end_their_messages() {
    let mut outbox = Outbox::new(10, 100);
    let mut outcomes: Vec<_> = ["a", "b", "c"].map(|name| push(&mut outbox, name, 1)).into();
    drain(&mut outbox);
    outbox.puback_received(2, None);
    outbox.puback_received(3, Some("not authorized".into()));
    assert_eq!(outcomes[1].try_recv(), Ok(Ok(())));
    assert_eq!(outcomes[2].try_recv(), Ok(Err(Error::Refused("not authorized".into()))));
    assert!(outcomes[0].try_recv().is_err(), "the first is still in flight");
}

#[test]
fn in_a_new_session_all_inflight_messages_are_sent_again_in_order() {
    let mut outbox = Outbox::new(10, 100);
    let _outcomes = [push(&mut outbox, "a", 1), push(&mut outbox, "b", 2), push(&mut outbox, "c", 1)];
    drain(&mut outbox);
    outbox.pubrec_received(2, None);
    let _later = push(&mut outbox, "d", 0);
    assert!(outbox.connected(&ConnAck::default()).is_empty());
    let again: Vec<_> = drain(&mut outbox).into_iter().map(|(topic, _, dup)| (topic, dup)).collect();
    assert_eq!(again, [("a".into(), false), ("b".into(), false), ("c".into(), false), ("d".into(), false)]);
}

#[test]
fn a_resumed_session_sends_inflight_packets_again_under_their_identifiers() {
    let mut outbox = Outbox::new(10, 100);
    let mut outcomes: Vec<_> = [("a", 1), ("b", 2)].map(|(name, qos)| push(&mut outbox, name, qos)).into();
    drain(&mut outbox);
    outbox.pubrec_received(2, None);
    let again: Vec<_> =
        outbox.connected(&ConnAck { session_present: true, ..ConnAck::default() }).iter().map(show).collect();
    assert_eq!(again, [("a".into(), 1, true), ("release".into(), 2, false)]);
    outbox.pubcomp_received(2);
    assert_eq!(outcomes[1].try_recv(), Ok(Ok(())));
}

#[test]
fn a_reached_receive_maximum_delays_messages_and_loses_none() {
    let mut outbox = Outbox::new(1_000, 100);
    let outcomes: Vec<_> = (0..250).map(|number| push(&mut outbox, &number.to_string(), 1)).collect();
    assert_eq!(drain(&mut outbox).len(), 100);
    // The broker answers out of order, the first one never.
    (2..=100).for_each(|packet| outbox.puback_received(packet, None));
    assert_eq!(drain(&mut outbox).len(), 99);
    assert_eq!(outbox.queued(), 51);
    drop(outcomes);
}

#[test]
fn a_refusal_before_the_message_is_stored_is_reported_as_the_result_of_the_delivery() {
    let mut outbox = Outbox::new(10, 100);
    outbox.restore(Vec::new());
    let ((on_stored, mut stored), (on_delivered, mut delivered)) = (oneshot::channel(), oneshot::channel());
    outbox.push(
        Publish { topic: "a".into(), qos: 1, ..Publish::default() },
        Some(on_delivered),
        Some(StoredSignal::Once(on_stored)),
    );
    assert_eq!(drain(&mut outbox).len(), 1);
    outbox.puback_received(1, Some("not authorized".into()));
    assert_eq!(stored.try_recv(), Ok(Ok(())));
    assert_eq!(delivered.try_recv(), Ok(Err(Error::Refused("not authorized".into()))));
}

#[test]
fn a_message_that_is_acknowledged_before_it_is_written_is_never_written() {
    let mut outbox = Outbox::new(100, 100);
    outbox.restore(Vec::new());
    let mut stored: Vec<_> = ["a", "b", "c"].map(|name| publish_durable(&mut outbox, name, 1)).into();
    drain(&mut outbox);
    outbox.puback_received(2, None);
    assert_eq!(stored[1].try_recv(), Ok(Ok(())));
    assert!(stored[0].try_recv().is_err());
    let written: Vec<_> = outbox.take_writes().iter().filter_map(Written::of).collect();
    assert_eq!(written, [Written::Message(0), Written::Message(2)]);
    // The others are being written when their acknowledgements arrive.
    outbox.puback_received(1, None);
    assert_eq!(outbox.take_writes(), [OutboxChange::Delete { number: 0 }]);
}

#[test]
fn few_large_messages_fill_the_outbox() {
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
fn a_packet_identifier_in_flight_is_not_used_again() {
    let mut outbox = Outbox::new(10, 100);
    let _first = push(&mut outbox, "first", 1);
    assert_eq!(drain(&mut outbox), [("first".into(), 1, false)]);
    outbox.inflight.next_packet_id = u16::MAX;
    let _later = ["a", "b"].map(|name| push(&mut outbox, name, 1));
    assert_eq!(drain(&mut outbox), [("a".into(), u16::MAX, false), ("b".into(), 2, false)]);
}

/// Writes pending changes to `disk`; returns the packets that are sent because of it.
fn write(outbox: &mut Outbox, disk: &mut Vec<OutboxChange>) -> Vec<(String, u16, bool)> {
    let changes = outbox.take_writes();
    let written: Vec<_> = changes.iter().filter_map(Written::of).collect();
    disk.extend(changes);
    outbox.writes_finished(&written, &Ok(())).iter().map(show).collect()
}

fn publish_durable(outbox: &mut Outbox, name: &str, qos: u8) -> oneshot::Receiver<Result<(), Error>> {
    let (on_stored, stored) = oneshot::channel();
    outbox.push(Publish { topic: name.into(), qos, ..Publish::default() }, None, Some(StoredSignal::Once(on_stored)));
    stored
}

#[test]
fn a_durable_message_is_reported_as_stored_once_it_is_on_disk_and_deleted_once_acknowledged() {
    let (mut outbox, mut disk) = (Outbox::new(10, 100), Vec::new());
    outbox.restore(Vec::new());
    let (mut stored, mut unstored) = (publish_durable(&mut outbox, "a", 1), publish_durable(&mut outbox, "b", 0));
    assert_eq!(unstored.try_recv(), Ok(Ok(())), "QoS 0 is not stored");
    assert!(stored.try_recv().is_err());
    write(&mut outbox, &mut disk);
    assert_eq!(stored.try_recv(), Ok(Ok(())));
    assert_eq!(drain(&mut outbox).len(), 2);
    outbox.puback_received(1, None);
    write(&mut outbox, &mut disk);
    assert!(
        matches!(&disk[..], [OutboxChange::Insert(record), OutboxChange::Delete { number: 0 }] if record.topic == "a")
    );
}

#[test]
fn a_message_that_cannot_be_stored_fails() {
    let mut outbox = Outbox::new(10, 100);
    outbox.restore(Vec::new());
    let mut stored = publish_durable(&mut outbox, "a", 1);
    let written: Vec<_> = outbox.take_writes().iter().filter_map(Written::of).collect();
    outbox.writes_finished(&written, &Err(Error::NotStored("the disk is full".into())));
    assert_eq!(stored.try_recv(), Ok(Err(Error::NotStored("the disk is full".into()))));
    assert!(outbox.is_empty());
}

#[test]
fn each_step_of_qos_2_is_on_disk_before_it_is_taken() {
    let (mut outbox, mut disk) = (Outbox::new(10, 100), Vec::new());
    outbox.restore(Vec::new());
    let _stored = publish_durable(&mut outbox, "a", 2);
    write(&mut outbox, &mut disk);
    assert!(drain(&mut outbox).is_empty(), "its packet identifier is not on disk");
    write(&mut outbox, &mut disk);
    assert_eq!(drain(&mut outbox), [("a".into(), 1, false)]);
    assert!(!outbox.pubrec_received(1, None), "the PUBREC is not on disk");
    assert_eq!(write(&mut outbox, &mut disk), [("release".into(), 1, false)]);
    outbox.pubcomp_received(1);
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
fn a_dropped_message_is_deleted_from_disk_and_its_publisher_gets_an_error() {
    let (mut outbox, mut disk) = (Outbox::new(2, 100), Vec::new());
    outbox.restore(Vec::new());
    let mut first = push(&mut outbox, "a", 1);
    let _stored = publish_durable(&mut outbox, "b", 1);
    assert!(outbox.is_full());
    write(&mut outbox, &mut disk);
    outbox.drop_oldest();
    outbox.drop_oldest();
    assert_eq!(first.try_recv(), Ok(Err(Error::Dropped)));
    write(&mut outbox, &mut disk);
    assert_eq!(disk.last(), Some(&OutboxChange::Delete { number: 1 }));
    assert!(outbox.is_empty());
}

#[test]
fn a_restart_resumes_the_messages_of_the_previous_process() {
    let record = |number, qos, packet, received| OutboxRecord {
        number,
        qos,
        packet,
        received,
        ..outgoing_record(number, &Publish { topic: number.to_string(), ..Publish::default() })
    };
    let records = || vec![record(3, 2, Some(7), true), record(4, 2, Some(8), false), record(5, 1, None, false)];
    let mut outbox = Outbox::new(10, 100);
    outbox.restore(records());
    let again = outbox.connected(&ConnAck { session_present: true, ..ConnAck::default() });
    assert_eq!(again.iter().map(show).collect::<Vec<_>>(), [("release".into(), 7, false), ("4".into(), 8, true)]);
    assert_eq!(drain(&mut outbox), [("5".into(), 1, false)]);
    let mut outbox = Outbox::new(10, 100);
    outbox.restore(records());
    assert!(outbox.connected(&ConnAck::default()).is_empty());
    write(&mut outbox, &mut Vec::new());
    assert_eq!(drain(&mut outbox), [("3".into(), 7, false), ("4".into(), 8, false), ("5".into(), 1, false)]);
}
