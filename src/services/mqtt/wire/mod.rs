//! MQTT packets, independent of the protocol version; encoded and decoded by `rumqttc`'s codec.
//!
//! Only the codec of `rumqttc` is used. Its event loop loses messages, subscriptions and sometimes its own task when connections break
//! (issues 250, 263, 664, 930, 1014, 1056 there), and the supervisor would have to repeat all of its work anyway.

mod alias;
mod error;
mod frames;
mod packet;
mod proxy;
mod quick_ack;
mod tls;
mod transport;
mod v4;
mod v5;
mod version;
mod websocket;

pub(super) use self::alias::OutgoingAliases;
pub(super) use self::error::ConnectionError;
pub(super) use self::frames::{Frame, FrameDecoder};
pub(super) use self::packet::{ConnAck, Incoming, IncomingPublish, Outgoing, SubscribeFilter};
pub(super) use self::tls::certificates;
pub(super) use self::transport::{open, speaks_mqtt};
pub(super) use self::version::Version;
