//! Reason codes.

/// A reason code of MQTT 5.
///
/// Source: MQTT 5.0, section 2.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::services::mqtt::embedded) struct ReasonCode(pub(in crate::services::mqtt::embedded) u8);

impl ReasonCode {
    pub(in crate::services::mqtt::embedded) const SUCCESS: Self = Self(0);
    pub(in crate::services::mqtt::embedded) const NO_MATCHING_SUBSCRIBERS: Self = Self(0x10);
    pub(in crate::services::mqtt::embedded) const NO_SUBSCRIPTION_EXISTED: Self = Self(0x11);
    pub(in crate::services::mqtt::embedded) const MALFORMED_PACKET: Self = Self(0x81);
    pub(in crate::services::mqtt::embedded) const PROTOCOL_ERROR: Self = Self(0x82);
    pub(in crate::services::mqtt::embedded) const UNSUPPORTED_VERSION: Self = Self(0x84);
    pub(in crate::services::mqtt::embedded) const CLIENT_ID_INVALID: Self = Self(0x85);
    pub(in crate::services::mqtt::embedded) const BAD_CREDENTIALS: Self = Self(0x86);
    pub(in crate::services::mqtt::embedded) const NOT_AUTHORIZED: Self = Self(0x87);
    pub(in crate::services::mqtt::embedded) const SERVER_BUSY: Self = Self(0x89);
    pub(in crate::services::mqtt::embedded) const SERVER_SHUTTING_DOWN: Self = Self(0x8b);
    pub(in crate::services::mqtt::embedded) const BAD_AUTH_METHOD: Self = Self(0x8c);
    pub(in crate::services::mqtt::embedded) const KEEP_ALIVE_TIMEOUT: Self = Self(0x8d);
    pub(in crate::services::mqtt::embedded) const SESSION_TAKEN_OVER: Self = Self(0x8e);
    pub(in crate::services::mqtt::embedded) const TOPIC_FILTER_INVALID: Self = Self(0x8f);
    pub(in crate::services::mqtt::embedded) const TOPIC_NAME_INVALID: Self = Self(0x90);
    pub(in crate::services::mqtt::embedded) const PACKET_ID_NOT_FOUND: Self = Self(0x92);
    pub(in crate::services::mqtt::embedded) const RECEIVE_MAXIMUM_EXCEEDED: Self = Self(0x93);
    pub(in crate::services::mqtt::embedded) const TOPIC_ALIAS_INVALID: Self = Self(0x94);
    pub(in crate::services::mqtt::embedded) const PACKET_TOO_LARGE: Self = Self(0x95);
    pub(in crate::services::mqtt::embedded) const QUOTA_EXCEEDED: Self = Self(0x97);

    /// Returns the CONNACK return code of MQTT 3.1.1; `None` if there is none for this reason.
    ///
    /// Source: MQTT 3.1.1, section 3.2.2.3.
    pub(super) fn v3_return_code(self) -> Option<u8> {
        match self {
            Self::SUCCESS => Some(0),
            Self::UNSUPPORTED_VERSION => Some(1),
            Self::CLIENT_ID_INVALID => Some(2),
            Self::SERVER_BUSY | Self::SERVER_SHUTTING_DOWN | Self::QUOTA_EXCEEDED => Some(3),
            Self::BAD_CREDENTIALS => Some(4),
            Self::NOT_AUTHORIZED => Some(5),
            _ => None,
        }
    }
}
