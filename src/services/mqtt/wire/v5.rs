//! Codec of MQTT 5.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5;

use crate::config::Will;
use crate::services::mqtt::message::{Properties, Publish};
use crate::services::mqtt::settings::ConnectionSettings;
use crate::services::mqtt::wire::alias::{self, OutgoingAliases};
use crate::services::mqtt::wire::error::ConnectionError;
use crate::services::mqtt::wire::packet::{ConnAck, Incoming, IncomingPublish, Outgoing, SubscribeFilter};
use crate::value::{Map, Value};

/// Fixed header of a DISCONNECT without properties, which `rumqttc` does not decode.
///
/// Source: MQTT 5.0, section 3.14.2.2.1.
const SHORT_DISCONNECT: [u8; 2] = [0xe0, 1];

pub(super) fn encode_connect(settings: &ConnectionSettings, into: &mut BytesMut) -> Result<(), ConnectionError> {
    let mut properties = v5::ConnectProperties::new();
    let session = &settings.session;
    properties.receive_maximum = Some(session.receive_maximum);
    properties.topic_alias_max = Some(alias::MAX);
    properties.session_expiry_interval = Some(if session.clean_start { 0 } else { seconds(session.expiry) });
    let connect = v5::Connect {
        keep_alive: u16::try_from(session.keep_alive.as_secs()).unwrap_or(u16::MAX),
        client_id: settings.client_id.clone(),
        clean_start: session.clean_start,
        properties: Some(properties),
    };
    let password = settings.password.as_ref().map(|password| password.expose().to_owned());
    let login = (settings.username.is_some() || password.is_some())
        .then(|| v5::Login::new(settings.username.clone().unwrap_or_default(), password.unwrap_or_default()));
    write(&v5::Packet::Connect(connect, settings.will.as_ref().map(will), login), into)
}

fn will(will: &Will) -> v5::LastWill {
    let properties = v5::LastWillProperties {
        delay_interval: Some(seconds(will.delay)),
        payload_format_indicator: Some(1),
        message_expiry_interval: will.message_expiry.map(seconds),
        content_type: will.content_type.clone(),
        response_topic: will.response_topic.clone(),
        correlation_data: will.correlation_data.clone().map(Bytes::from),
        user_properties: will.user_properties.clone(),
    };
    v5::LastWill::new(&will.topic, will.payload.as_str(), qos(will.qos), will.retain, Some(properties))
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

pub(super) fn encode(
    packet: Outgoing,
    aliases: &mut OutgoingAliases,
    into: &mut BytesMut,
) -> Result<(), ConnectionError> {
    let packet = match packet {
        Outgoing::Publish { publish, id, dup } => v5::Packet::Publish(publish_packet(publish, id, dup, aliases)),
        Outgoing::PubAck(id) => v5::Packet::PubAck(v5::PubAck::new(id, None)),
        Outgoing::PubRec(id) => v5::Packet::PubRec(v5::PubRec::new(id, None)),
        Outgoing::PubRel(id) => v5::Packet::PubRel(v5::PubRel::new(id, None)),
        Outgoing::PubComp(id) => v5::Packet::PubComp(v5::PubComp::new(id, None)),
        Outgoing::Subscribe { id, filters } => v5::Packet::Subscribe(subscribe(id, filters)),
        Outgoing::Unsubscribe { id, filters } => {
            v5::Packet::Unsubscribe(v5::Unsubscribe { pkid: id, filters, properties: None })
        }
        Outgoing::PingReq => v5::Packet::PingReq(v5::PingReq),
        Outgoing::Disconnect => {
            v5::Packet::Disconnect(v5::Disconnect::new(v5::DisconnectReasonCode::NormalDisconnection))
        }
    };
    write(&packet, into)
}

/// Decodes a packet that has been read completely.
pub(super) fn decode(from: &mut BytesMut) -> Result<Incoming, ConnectionError> {
    let packet = if from.starts_with(&SHORT_DISCONNECT) {
        let reason = from.split_to(SHORT_DISCONNECT.len() + 1)[SHORT_DISCONNECT.len()];
        v5::Packet::read(&mut BytesMut::from(&[SHORT_DISCONNECT[0], 2, reason, 0][..]), None)
    } else {
        v5::Packet::read(from, None)
    };
    Ok(match packet.map_err(|error| ConnectionError::Malformed(error.to_string()))? {
        v5::Packet::ConnAck(packet) => Incoming::ConnAck(connack(packet)),
        v5::Packet::Publish(publish) => Incoming::Publish(publish_received(publish)?),
        v5::Packet::PubAck(ack) => {
            let is_accepted = matches!(ack.reason, v5::PubAckReason::Success | v5::PubAckReason::NoMatchingSubscribers);
            Incoming::PubAck { id: ack.pkid, refused: (!is_accepted).then(|| words(&ack.reason)) }
        }
        v5::Packet::PubRec(ack) => {
            let is_accepted = matches!(ack.reason, v5::PubRecReason::Success | v5::PubRecReason::NoMatchingSubscribers);
            Incoming::PubRec { id: ack.pkid, refused: (!is_accepted).then(|| words(&ack.reason)) }
        }
        v5::Packet::PubRel(ack) => Incoming::PubRel(ack.pkid),
        v5::Packet::PubComp(ack) => Incoming::PubComp(ack.pkid),
        v5::Packet::SubAck(ack) => {
            let granted = ack.return_codes.into_iter().map(|code| match code {
                v5::SubscribeReasonCode::Success(granted) => Ok(granted as u8),
                refusal => Err(words(&refusal)),
            });
            Incoming::SubAck { id: ack.pkid, granted: granted.collect() }
        }
        v5::Packet::UnsubAck(ack) => Incoming::UnsubAck(ack.pkid),
        v5::Packet::PingResp(_) => Incoming::PingResp,
        v5::Packet::Disconnect(packet) => Incoming::Disconnect(match packet.reason_code {
            v5::DisconnectReasonCode::SessionTakenOver => {
                "another client with the same id has taken over (`mqtt.client_id`)".to_owned()
            }
            other => words(&other),
        }),
        other => return Err(ConnectionError::Malformed(format!("{other:?} is not a packet for clients"))),
    })
}

fn publish_packet(publish: Publish, id: u16, dup: bool, aliases: &mut OutgoingAliases) -> v5::Publish {
    let (topic, alias) = aliases.shorten(publish.topic);
    let mut properties = publish.properties.map(|properties| packet_properties(*properties));
    if alias.is_some() {
        properties.get_or_insert_default().topic_alias = alias;
    }
    v5::Publish {
        dup,
        qos: qos(publish.qos),
        retain: publish.retain,
        topic: Bytes::from(topic),
        pkid: id,
        payload: publish.payload,
        properties,
    }
}

fn packet_properties(properties: Properties) -> v5::PublishProperties {
    v5::PublishProperties {
        content_type: properties.content_type,
        response_topic: properties.response_topic,
        correlation_data: properties.correlation_data,
        message_expiry_interval: properties.message_expiry,
        user_properties: properties.user,
        ..v5::PublishProperties::default()
    }
}

fn subscribe(id: u16, filters: Vec<SubscribeFilter>) -> v5::Subscribe {
    let subscription_id = filters.first().and_then(|filter| filter.subscription_id);
    let filters = filters.into_iter().map(|filter| {
        let mut encoded = v5::Filter::new(filter.filter, qos(filter.qos));
        encoded.nolocal = filter.no_local;
        if !filter.send_retained {
            encoded.retain_forward_rule = v5::RetainForwardRule::Never;
        }
        encoded
    });
    let properties = subscription_id.map(|subscription_id| v5::SubscribeProperties {
        id: Some(subscription_id as usize),
        user_properties: Vec::new(),
    });
    v5::Subscribe { pkid: id, filters: filters.collect(), properties }
}

fn connack(packet: v5::ConnAck) -> Result<ConnAck, String> {
    if packet.code != v5::ConnectReturnCode::Success {
        return Err(match packet.code {
            v5::ConnectReturnCode::BadUserNamePassword | v5::ConnectReturnCode::NotAuthorized => {
                "the user name or password is wrong (`mqtt.username`, `mqtt.password`)".to_owned()
            }
            v5::ConnectReturnCode::ClientIdentifierNotValid | v5::ConnectReturnCode::BadClientId => {
                "the broker rejects the client identifier (`mqtt.client_id`)".to_owned()
            }
            other => words(&other),
        });
    }
    let properties = packet.properties.as_ref();
    Ok(ConnAck {
        session_present: packet.session_present,
        has_subscription_ids: properties.and_then(|properties| properties.subscription_identifiers_available)
            != Some(0),
        receive_maximum: properties.and_then(|properties| properties.receive_max),
        keep_alive: properties.and_then(|properties| properties.server_keep_alive),
        max_packet: properties.and_then(|properties| properties.max_packet_size),
        topic_alias_maximum: properties.and_then(|properties| properties.topic_alias_max).unwrap_or(0),
    })
}

fn publish_received(publish: v5::Publish) -> Result<IncomingPublish, ConnectionError> {
    let topic = String::from_utf8(publish.topic.into());
    let properties = publish.properties.unwrap_or_default();
    Ok(IncomingPublish {
        topic: topic.map_err(|_| ConnectionError::Malformed("a topic that is not UTF-8".into()))?,
        payload: publish.payload,
        qos: publish.qos as u8,
        retain: publish.retain,
        dup: publish.dup,
        id: publish.pkid,
        alias: properties.topic_alias,
        subscription_ids: properties.subscription_identifiers.iter().filter_map(|id| u32::try_from(*id).ok()).collect(),
        properties: received_properties(properties),
    })
}

/// Returns the properties of a packet as scripts see them.
fn received_properties(properties: v5::PublishProperties) -> Map {
    let mut user: Map = Map::new();
    for (name, text) in properties.user_properties {
        // A name that occurs twice has a list of values.
        match user.get_mut(&name) {
            None => {
                user.insert(name, text.into());
            }
            Some(Value::List(values)) => values.push(text.into()),
            Some(first) => *first = Value::List(vec![std::mem::take(first), text.into()]),
        }
    }
    let all = [
        ("content_type", properties.content_type.map(Value::from)),
        ("response_topic", properties.response_topic.map(Value::from)),
        ("correlation_data", properties.correlation_data.map(|bytes| bytes.to_vec().into())),
        ("message_expiry", properties.message_expiry_interval.map(|seconds| i64::from(seconds).into())),
        ("user_properties", (!user.is_empty()).then(|| user.into())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn write(packet: &v5::Packet, into: &mut BytesMut) -> Result<(), ConnectionError> {
    packet.write(into, None).map(|_| ()).map_err(|error| ConnectionError::Malformed(error.to_string()))
}

fn qos(level: u8) -> QoS {
    match level {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

/// Returns a reason's name as words: `QuotaExceeded` as `quota exceeded`.
fn words(reason: &dyn std::fmt::Debug) -> String {
    let mut words = String::new();
    for letter in format!("{reason:?}").chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disconnect_may_have_no_properties() {
        let mut bytes = BytesMut::from(&[0xe0, 1, 0x8e, 0xd0, 0][..]);
        let Incoming::Disconnect(why) = decode(&mut bytes).unwrap() else { panic!("no DISCONNECT") };
        assert_eq!(why, "another client with the same id has taken over (`mqtt.client_id`)");
        assert_eq!(bytes[..], [0xd0, 0]);
    }
}
