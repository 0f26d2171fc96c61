//! Incremental parsing of lines and server-sent events.

use bytes::{Buf as _, Bytes, BytesMut};

/// Splits bytes into lines at `\n`, `\r\n` and `\r`.
#[derive(Debug, Default)]
pub struct LineSplitter {
    buffer: BytesMut,
    /// Length of the prefix without a line end.
    scanned: usize,
    /// Whether the last line ended with `\r`, so that a following `\n` belongs to it.
    ended_with_cr: bool,
}

impl LineSplitter {
    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the number of bytes of incomplete lines.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Returns the next complete line without its line end.
    pub fn next_line(&mut self) -> Option<Bytes> {
        if self.ended_with_cr && !self.buffer.is_empty() {
            if self.buffer.starts_with(b"\n") {
                self.buffer.advance(1);
            }
            self.ended_with_cr = false;
        }
        let Some(end) = self.buffer[self.scanned..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            self.scanned = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.scanned + end).freeze();
        self.ended_with_cr = self.buffer.starts_with(b"\r");
        self.buffer.advance(1);
        self.scanned = 0;
        Some(line)
    }

    /// Returns the incomplete last line at the end of the input, if any.
    pub fn finish(&mut self) -> Option<Bytes> {
        self.scanned = 0;
        (!self.buffer.is_empty()).then(|| self.buffer.split().freeze())
    }
}

/// A server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSentEvent {
    /// The event type; `message` by default.
    pub name: String,
    /// The data.
    pub data: String,
    /// The last event id, which an earlier event may have set.
    pub id: String,
    /// The reconnection time in milliseconds, if this event sets one.
    pub retry: Option<u64>,
}

/// Assembles lines into server-sent events.
///
/// Source: HTML Standard, section 9.2.6, "Interpreting an event stream".
#[derive(Debug, Default)]
pub struct EventParser {
    name: String,
    data: String,
    has_data: bool,
    id: String,
    retry: Option<u64>,
    is_started: bool,
}

impl EventParser {
    /// Processes a line; returns the event that it completes, if any.
    pub fn line(&mut self, line: &str) -> Option<ServerSentEvent> {
        let line = if self.is_started { line } else { line.strip_prefix('\u{feff}').unwrap_or(line) };
        self.is_started = true;
        if line.is_empty() {
            return self.ended();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(value);
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" => self.retry = value.parse().ok().or(self.retry),
            _ => {}
        }
        None
    }

    /// Returns the number of bytes of the incomplete event.
    pub fn buffered(&self) -> usize {
        self.data.len()
    }

    fn ended(&mut self) -> Option<ServerSentEvent> {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        let retry = self.retry.take();
        let name = if name.is_empty() { "message".to_owned() } else { name };
        std::mem::take(&mut self.has_data).then(|| ServerSentEvent { name, data, id: self.id.clone(), retry })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_do_not_depend_on_the_chunk_size() {
        let text = b"one\r\ntwo\rthree\n\nlast";
        for size in 1..=text.len() {
            let mut lines = LineSplitter::default();
            let mut found = Vec::new();
            for piece in text.chunks(size) {
                lines.push(piece);
                found.extend(std::iter::from_fn(|| lines.next_line()));
            }
            found.extend(lines.finish());
            assert_eq!(found, ["one", "two", "three", "", "last"], "in pieces of {size}");
            assert_eq!(lines.finish(), None);
        }
    }

    #[test]
    fn events_are_parsed_as_in_browsers() {
        let mut events = EventParser::default();
        let text = "\u{feff}: hello\nevent: open\nid: 7\ndata:a\ndata:  b\n\ndata\n\nevent: none\n\nretry: 250\ndata: c:d\n\ndata: cut off";
        let found: Vec<_> = text.split('\n').filter_map(|line| events.line(line)).collect();
        let event = |name: &str, data: &str, retry| ServerSentEvent {
            name: name.into(),
            data: data.into(),
            id: "7".into(),
            retry,
        };
        assert_eq!(
            found,
            [event("open", "a\n b", None), event("message", "", None), event("message", "c:d", Some(250))]
        );
    }
}
