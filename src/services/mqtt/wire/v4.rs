//! Codec of MQTT 3.1.1.

use bytes::BytesMut;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4;
use tracing::warn;

use crate::services::mqtt::settings::ConnectionSettings;
use crate::services::mqtt::wire::error::ConnectionError;
use crate::services::mqtt::wire::packet::{ConnAck, Incoming, IncomingPublish, Outgoing};
use crate::value::Map;

pub(super) fn encode_connect(settings: &ConnectionSettings, into: &mut BytesMut) -> Result<(), ConnectionError> {
    let mut connect = v4::Connect::new(&settings.client_id);
    connect.keep_alive = u16::try_from(settings.session.keep_alive.as_secs()).unwrap_or(u16::MAX);
    connect.clean_session = settings.session.clean_start;
    connect.last_will = settings
        .will
        .as_ref()
        .map(|will| v4::LastWill::new(&will.topic, will.payload.as_str(), qos(will.qos), will.retain));
    let password = settings.password.as_ref().map(|password| password.expose().to_owned());
    if settings.username.is_some() || password.is_some() {
        connect.set_login(settings.username.clone().unwrap_or_default(), password.unwrap_or_default());
    }
    write(&v4::Packet::Connect(connect), into)
}

pub(super) fn encode(packet: Outgoing, into: &mut BytesMut) -> Result<(), ConnectionError> {
    let packet = match packet {
        Outgoing::Publish { publish, id, dup } => v4::Packet::Publish(v4::Publish {
            dup,
            qos: qos(publish.qos),
            retain: publish.retain,
            topic: publish.topic,
            pkid: id,
            payload: publish.payload,
        }),
        Outgoing::PubAck(id) => v4::Packet::PubAck(v4::PubAck::new(id)),
        Outgoing::PubRec(id) => v4::Packet::PubRec(v4::PubRec::new(id)),
        Outgoing::PubRel(id) => v4::Packet::PubRel(v4::PubRel::new(id)),
        Outgoing::PubComp(id) => v4::Packet::PubComp(v4::PubComp::new(id)),
        Outgoing::Subscribe { id, filters } => {
            if let Some(filter) = filters.iter().find(|filter| filter.no_local) {
                warn!(
                    filter = filter.filter,
                    "`no_local` has no effect: it requires MQTT 5, and the broker uses MQTT 3.1.1"
                );
            }
            let filters =
                filters.into_iter().map(|filter| v4::SubscribeFilter { path: filter.filter, qos: qos(filter.qos) });
            v4::Packet::Subscribe(v4::Subscribe { pkid: id, filters: filters.collect() })
        }
        Outgoing::Unsubscribe { id, filters } => v4::Packet::Unsubscribe(v4::Unsubscribe { pkid: id, topics: filters }),
        Outgoing::PingReq => v4::Packet::PingReq,
        Outgoing::Disconnect => v4::Packet::Disconnect,
    };
    write(&packet, into)
}

/// Decodes a packet that has been read completely.
pub(super) fn decode(from: &mut BytesMut) -> Result<Incoming, ConnectionError> {
    let packet = v4::Packet::read(from, usize::MAX).map_err(|error| ConnectionError::Malformed(error.to_string()))?;
    Ok(match packet {
        v4::Packet::ConnAck(answer) => Incoming::ConnAck(match answer.code {
            v4::ConnectReturnCode::Success => {
                Ok(ConnAck { session_present: answer.session_present, ..ConnAck::default() })
            }
            refusal => Err(refusal_reason(refusal).to_owned()),
        }),
        v4::Packet::Publish(publish) => Incoming::Publish(IncomingPublish {
            topic: publish.topic,
            payload: publish.payload,
            qos: publish.qos as u8,
            retain: publish.retain,
            dup: publish.dup,
            id: publish.pkid,
            alias: None,
            subscription_ids: Vec::new(),
            properties: Map::new(),
        }),
        v4::Packet::PubAck(ack) => Incoming::PubAck { id: ack.pkid, refused: None },
        v4::Packet::PubRec(ack) => Incoming::PubRec { id: ack.pkid, refused: None },
        v4::Packet::PubRel(ack) => Incoming::PubRel(ack.pkid),
        v4::Packet::PubComp(ack) => Incoming::PubComp(ack.pkid),
        v4::Packet::SubAck(ack) => {
            let granted = ack.return_codes.into_iter().map(|code| match code {
                v4::SubscribeReasonCode::Success(granted) => Ok(granted as u8),
                v4::SubscribeReasonCode::Failure => Err("it gave no reason".to_owned()),
            });
            Incoming::SubAck { id: ack.pkid, granted: granted.collect() }
        }
        v4::Packet::UnsubAck(ack) => Incoming::UnsubAck(ack.pkid),
        v4::Packet::PingResp => Incoming::PingResp,
        other => return Err(ConnectionError::Malformed(format!("{other:?} is not a packet for clients"))),
    })
}

fn write(packet: &v4::Packet, into: &mut BytesMut) -> Result<(), ConnectionError> {
    packet.write(into, usize::MAX).map(|_| ()).map_err(|error| ConnectionError::Malformed(error.to_string()))
}

fn qos(level: u8) -> QoS {
    match level {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

fn refusal_reason(code: v4::ConnectReturnCode) -> &'static str {
    match code {
        v4::ConnectReturnCode::Success => "accepted",
        v4::ConnectReturnCode::RefusedProtocolVersion => "the broker does not support MQTT 3.1.1",
        v4::ConnectReturnCode::BadClientId => "the broker rejects the client identifier (`mqtt.client_id`)",
        v4::ConnectReturnCode::ServiceUnavailable => "the broker is not available",
        v4::ConnectReturnCode::BadUserNamePassword => {
            "the user name or password is wrong (`mqtt.username`, `mqtt.password`)"
        }
        v4::ConnectReturnCode::NotAuthorized => "not authorized (`mqtt.username`, `mqtt.password`)",
    }
}
