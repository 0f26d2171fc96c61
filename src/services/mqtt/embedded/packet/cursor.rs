//! Bytes read from front to back, whoever wrote them.

use bytes::{Buf as _, Bytes};

use super::Reason;

/// What is left to be read.
pub(in crate::services::mqtt::embedded) struct Cursor(Bytes);

impl Cursor {
    pub(in crate::services::mqtt::embedded) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(in crate::services::mqtt::embedded) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::services::mqtt::embedded) fn u8(&mut self) -> Result<u8, Reason> {
        self.0.try_get_u8().map_err(|_| Reason::MALFORMED)
    }

    pub(in crate::services::mqtt::embedded) fn u16(&mut self) -> Result<u16, Reason> {
        self.0.try_get_u16().map_err(|_| Reason::MALFORMED)
    }

    pub(in crate::services::mqtt::embedded) fn u32(&mut self) -> Result<u32, Reason> {
        self.0.try_get_u32().map_err(|_| Reason::MALFORMED)
    }

    pub(in crate::services::mqtt::embedded) fn u64(&mut self) -> Result<u64, Reason> {
        self.0.try_get_u64().map_err(|_| Reason::MALFORMED)
    }

    /// Reads a packet's number, which is not 0.
    pub(in crate::services::mqtt::embedded) fn id(&mut self) -> Result<u16, Reason> {
        match self.u16()? {
            0 => Err(Reason::PROTOCOL),
            id => Ok(id),
        }
    }

    /// Reads a number of one to four bytes.
    ///
    /// Source: MQTT 5.0, section 1.5.5.
    pub(in crate::services::mqtt::embedded) fn varint(&mut self) -> Result<u32, Reason> {
        let mut number = 0;
        for index in 0..4 {
            let byte = self.u8()?;
            number |= u32::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Reason::MALFORMED)
    }

    /// Takes so many bytes.
    pub(in crate::services::mqtt::embedded) fn take(&mut self, count: usize) -> Result<Bytes, Reason> {
        if count > self.0.len() {
            return Err(Reason::MALFORMED);
        }
        Ok(self.0.split_to(count))
    }

    /// Takes what is left.
    pub(in crate::services::mqtt::embedded) fn rest(self) -> Bytes {
        self.0
    }

    /// Reads bytes behind their length in two bytes.
    pub(in crate::services::mqtt::embedded) fn bytes(&mut self) -> Result<Bytes, Reason> {
        let count = self.u16()?;
        self.take(count.into())
    }

    /// Reads bytes behind their length in four bytes.
    pub(in crate::services::mqtt::embedded) fn long_bytes(&mut self) -> Result<Bytes, Reason> {
        let count = self.u32()?;
        self.take(usize::try_from(count).map_err(|_| Reason::MALFORMED)?)
    }

    /// Reads a text behind its length: UTF-8, without NUL.
    ///
    /// Source: MQTT 5.0, section 1.5.4.
    pub(in crate::services::mqtt::embedded) fn text(&mut self) -> Result<String, Reason> {
        let text = String::from_utf8(self.bytes()?.into()).map_err(|_| Reason::MALFORMED)?;
        if text.contains('\0') { Err(Reason::MALFORMED) } else { Ok(text) }
    }

    /// Returns what is left without taking it.
    pub(super) fn peek(&self) -> Bytes {
        self.0.clone()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
