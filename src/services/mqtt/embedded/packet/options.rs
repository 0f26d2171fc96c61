//! Subscription options.

use super::reason::ReasonCode;

/// Subscription options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::services::mqtt::embedded) struct SubscribeOptions {
    pub(in crate::services::mqtt::embedded) qos: u8,
    /// No Local: the client's own messages are not delivered to it.
    pub(in crate::services::mqtt::embedded) no_local: bool,
    /// Retain As Published.
    pub(in crate::services::mqtt::embedded) retain_as_published: bool,
    /// Retain Handling: 0: send retained messages; 1: only for a new subscription; 2: never.
    pub(in crate::services::mqtt::embedded) retain_handling: u8,
}

impl SubscribeOptions {
    /// Decodes the options byte of SUBSCRIBE.
    ///
    /// Source: MQTT 5.0, section 3.8.3.1.
    pub(in crate::services::mqtt::embedded) fn from_bits(bits: u8) -> Result<Self, ReasonCode> {
        let options = Self {
            qos: bits & 3,
            no_local: bits & 4 != 0,
            retain_as_published: bits & 8 != 0,
            retain_handling: bits >> 4 & 3,
        };
        match options.qos == 3 || options.retain_handling == 3 || bits & 0xc0 != 0 {
            true => Err(ReasonCode::MALFORMED_PACKET),
            false => Ok(options),
        }
    }

    /// Encodes the options byte of SUBSCRIBE.
    pub(in crate::services::mqtt::embedded) fn bits(self) -> u8 {
        self.qos | u8::from(self.no_local) << 2 | u8::from(self.retain_as_published) << 3 | self.retain_handling << 4
    }
}
