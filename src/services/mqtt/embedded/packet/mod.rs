//! MQTT packets on the broker's side, parsed strictly, since clients are untrusted.
//!
//! The client's codec cannot be used: it accepts packets that a broker must refuse.

mod client_packet;
mod connect;
mod cursor;
mod options;
mod properties;
mod publish;
mod read;
mod reason;
mod write;

pub(super) use self::client_packet::Packet;
pub(super) use self::connect::{Connect, Will};
pub(super) use self::cursor::Cursor;
pub(super) use self::options::SubscribeOptions;
pub(super) use self::publish::Publish;
pub(super) use self::read::{decode, fixed_header};
pub(super) use self::reason::ReasonCode;
pub(super) use self::write::{
    ConnAck, OutgoingPublish, is_too_large, write_ack, write_connack, write_connack_refusal, write_disconnect,
    write_pingresp, write_publish, write_suback, write_unsuback,
};
