//! Splits bytes into packets; messages over the size limit are skipped, so that they do not end the connection.

use bytes::{Buf, BytesMut};

use crate::services::mqtt::wire::alias::IncomingAliases;
use crate::services::mqtt::wire::error::ConnectionError;
use crate::services::mqtt::wire::packet::Incoming;
use crate::services::mqtt::wire::version::Version;

const PUBLISH: u8 = 3;
/// Smallest space for a read, in bytes, so that one system call reads many packets.
const READ: usize = 8 << 10;

/// A packet, or the header of a message over the size limit.
#[derive(Debug)]
pub(in crate::services::mqtt) enum Frame {
    Packet(Incoming),
    /// A message over the size limit, whose payload is discarded.
    TooLarge {
        topic: String,
        qos: u8,
        id: u16,
        size: u64,
    },
}

/// Splits bytes into packets.
pub(in crate::services::mqtt) struct FrameDecoder {
    /// Bytes read and not yet decoded.
    pub(in crate::services::mqtt) buffer: BytesMut,
    version: Version,
    limit: usize,
    // Bytes of a skipped message that have not been read yet.
    skip: usize,
    aliases: IncomingAliases,
}

impl FrameDecoder {
    pub(in crate::services::mqtt) fn new(version: Version, limit: usize) -> Self {
        Self { buffer: BytesMut::with_capacity(2 * READ), version, limit, skip: 0, aliases: IncomingAliases::default() }
    }

    /// Makes room in the buffer for the next read.
    pub(in crate::services::mqtt) fn reserve(&mut self) {
        if self.buffer.capacity() - self.buffer.len() < READ / 2 {
            self.buffer.reserve(READ);
        }
    }

    /// Returns the next packet, if it has been read completely.
    pub(in crate::services::mqtt) fn next(&mut self) -> Result<Option<Frame>, ConnectionError> {
        let skipped = self.skip.min(self.buffer.len());
        self.buffer.advance(skipped);
        self.skip -= skipped;
        let Some((header, body)) = fixed_header(&self.buffer)? else { return Ok(None) };
        let kind = self.buffer[0] >> 4;
        if header + body > self.limit && kind == PUBLISH {
            return Ok(self.skip_message(header, body));
        }
        if header + body > self.limit {
            return Err(ConnectionError::Malformed(format!("a packet of {body} bytes that is not a PUBLISH")));
        }
        if self.buffer.len() < header + body {
            self.buffer.reserve(header + body - self.buffer.len());
            return Ok(None);
        }
        let mut packet = self.version.decode(&mut self.buffer)?;
        if let Incoming::Publish(publish) = &mut packet {
            self.aliases.resolve(publish)?;
        }
        Ok(Some(Frame::Packet(packet)))
    }

    /// Reads the header of a message over the size limit, and skips the rest.
    fn skip_message(&mut self, header: usize, body: usize) -> Option<Frame> {
        let qos = (self.buffer[0] >> 1) & 3;
        let head = self.buffer.get(header..)?;
        let topic_bytes = usize::from(u16::from_be_bytes([*head.first()?, *head.get(1)?]));
        let topic = head.get(2..2 + topic_bytes)?;
        let id = match qos {
            0 => 0,
            _ => u16::from_be_bytes([*head.get(2 + topic_bytes)?, *head.get(3 + topic_bytes)?]),
        };
        let frame = Frame::TooLarge {
            topic: String::from_utf8_lossy(topic).into_owned(),
            qos,
            id,
            size: (header + body) as u64,
        };
        let here = (header + body).min(self.buffer.len());
        self.buffer.advance(here);
        self.skip = header + body - here;
        Some(frame)
    }
}

/// Returns the sizes of the fixed header and of the rest, if they have been read.
///
/// Source: MQTT 3.1.1, section 2.2.3.
fn fixed_header(bytes: &[u8]) -> Result<Option<(usize, usize)>, ConnectionError> {
    let mut length = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((index + 2, length)));
        }
    }
    if bytes.len() > 4 {
        return Err(ConnectionError::Malformed("a remaining length of more than four bytes".into()));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::mqtt::message::Publish;
    use crate::services::mqtt::wire::Outgoing;

    fn message(topic: &str, bytes: usize, qos: u8) -> BytesMut {
        let publish = Publish { topic: topic.into(), payload: vec![b'x'; bytes].into(), qos, ..Publish::default() };
        let mut out = BytesMut::new();
        Version::V4.encode(Outgoing::Publish { publish, id: u16::from(qos) * 7, dup: false }, &mut out).unwrap();
        out
    }

    #[test]
    fn packets_are_decoded_wherever_the_reads_end() {
        let stream = [message("温度/1", 3, 0), message("b", 300, 1), message("c", 0, 2)].concat();
        for step in [1, 2, 3, 7, 1_000] {
            let mut decoder = FrameDecoder::new(Version::V4, 1_000);
            let mut topics = Vec::new();
            for piece in stream.chunks(step) {
                decoder.buffer.extend_from_slice(piece);
                while let Some(frame) = decoder.next().unwrap() {
                    let Frame::Packet(Incoming::Publish(publish)) = frame else { panic!("{frame:?}") };
                    topics.push((publish.topic, publish.payload.len(), publish.id));
                }
            }
            assert_eq!(topics, [("温度/1".into(), 3, 0), ("b".into(), 300, 7), ("c".into(), 0, 14)], "steps of {step}");
        }
    }

    #[test]
    fn a_message_over_the_size_limit_is_skipped() {
        let stream = [message("a", 10, 0), message("big", 5_000, 1), message("z", 10, 0)].concat();
        for step in [1, 100, 10_000] {
            let mut decoder = FrameDecoder::new(Version::V4, 1_000);
            let mut seen = Vec::new();
            for piece in stream.chunks(step) {
                decoder.buffer.extend_from_slice(piece);
                while let Some(frame) = decoder.next().unwrap() {
                    seen.push(match frame {
                        Frame::Packet(Incoming::Publish(publish)) => publish.topic,
                        Frame::TooLarge { topic, qos, id, size } => format!("{topic} {qos} {id} {size}"),
                        Frame::Packet(other) => panic!("{other:?}"),
                    });
                }
                assert!(decoder.buffer.capacity() < 100_000, "its payload is not buffered");
            }
            assert_eq!(seen, ["a", "big 1 7 5010", "z"], "steps of {step}");
        }
    }

    #[test]
    fn invalid_bytes_are_an_error_and_not_a_panic() {
        let noise: &[&[u8]] = &[
            &[0x20, 0x80, 0x80, 0x80, 0x80, 0x80],
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            &[0x20, 0],
            &[0x30, 2, 0, 9],
            &[0x90, 3, 0, 1, 77],
            &[0xf0, 1, 0],
            &[0x32, 5, 0, 1, b'a', 0, 0],
        ];
        for version in [Version::V4, Version::V5] {
            for bytes in noise {
                let mut decoder = FrameDecoder::new(version, 100);
                decoder.buffer.extend_from_slice(bytes);
                let frame = decoder.next();
                assert!(matches!(frame, Err(_) | Ok(None)), "{bytes:?}: {frame:?}");
            }
        }
    }
}
