//! Bounds-checked parsing of bytes.

use bytes::{Buf as _, Bytes};

use super::reason::ReasonCode;

/// The unread bytes.
pub(in crate::services::mqtt::embedded) struct Cursor(Bytes);

impl Cursor {
    pub(in crate::services::mqtt::embedded) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(in crate::services::mqtt::embedded) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::services::mqtt::embedded) fn u8(&mut self) -> Result<u8, ReasonCode> {
        self.0.try_get_u8().map_err(|_| ReasonCode::MALFORMED_PACKET)
    }

    pub(in crate::services::mqtt::embedded) fn u16(&mut self) -> Result<u16, ReasonCode> {
        self.0.try_get_u16().map_err(|_| ReasonCode::MALFORMED_PACKET)
    }

    pub(in crate::services::mqtt::embedded) fn u32(&mut self) -> Result<u32, ReasonCode> {
        self.0.try_get_u32().map_err(|_| ReasonCode::MALFORMED_PACKET)
    }

    pub(in crate::services::mqtt::embedded) fn u64(&mut self) -> Result<u64, ReasonCode> {
        self.0.try_get_u64().map_err(|_| ReasonCode::MALFORMED_PACKET)
    }

    /// Reads a packet identifier, which is not 0.
    pub(in crate::services::mqtt::embedded) fn id(&mut self) -> Result<u16, ReasonCode> {
        match self.u16()? {
            0 => Err(ReasonCode::PROTOCOL_ERROR),
            id => Ok(id),
        }
    }

    /// Reads a variable byte integer.
    ///
    /// Source: MQTT 5.0, section 1.5.5.
    pub(in crate::services::mqtt::embedded) fn varint(&mut self) -> Result<u32, ReasonCode> {
        let mut value = 0;
        for index in 0..4 {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ReasonCode::MALFORMED_PACKET)
    }

    /// Takes `count` bytes.
    pub(in crate::services::mqtt::embedded) fn take(&mut self, count: usize) -> Result<Bytes, ReasonCode> {
        if count > self.0.len() {
            return Err(ReasonCode::MALFORMED_PACKET);
        }
        Ok(self.0.split_to(count))
    }

    /// Takes the unread bytes.
    pub(in crate::services::mqtt::embedded) fn rest(self) -> Bytes {
        self.0
    }

    /// Reads bytes with a two-byte length prefix.
    pub(in crate::services::mqtt::embedded) fn bytes(&mut self) -> Result<Bytes, ReasonCode> {
        let count = self.u16()?;
        self.take(count.into())
    }

    /// Reads bytes with a four-byte length prefix.
    pub(in crate::services::mqtt::embedded) fn long_bytes(&mut self) -> Result<Bytes, ReasonCode> {
        let count = self.u32()?;
        self.take(usize::try_from(count).map_err(|_| ReasonCode::MALFORMED_PACKET)?)
    }

    /// Reads a UTF-8 string with a two-byte length prefix, without NUL.
    ///
    /// Source: MQTT 5.0, section 1.5.4.
    pub(in crate::services::mqtt::embedded) fn text(&mut self) -> Result<String, ReasonCode> {
        let text = String::from_utf8(self.bytes()?.into()).map_err(|_| ReasonCode::MALFORMED_PACKET)?;
        if text.contains('\0') { Err(ReasonCode::MALFORMED_PACKET) } else { Ok(text) }
    }

    /// Returns the unread bytes without taking them.
    pub(super) fn peek(&self) -> Bytes {
        self.0.clone()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
