//! Lines and server-sent events out of bytes that come bit by bit.

use bytes::{Buf as _, Bytes, BytesMut};

/// Cuts bytes into lines, at `\n`, `\r\n` and `\r`.
#[derive(Debug, Default)]
pub struct Lines {
    held: BytesMut,
    /// How much of it has no end of a line.
    seen: usize,
    /// Whether the last line ended with `\r`, so that a `\n` belongs to it.
    is_half_ended: bool,
}

impl Lines {
    /// Takes more bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Returns how many bytes wait for the end of their line.
    pub fn waiting(&self) -> usize {
        self.held.len()
    }

    /// Takes the next line that has ended, without its end.
    pub fn next_line(&mut self) -> Option<Bytes> {
        if self.is_half_ended && !self.held.is_empty() {
            if self.held.starts_with(b"\n") {
                self.held.advance(1);
            }
            self.is_half_ended = false;
        }
        let Some(end) = self.held[self.seen..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            self.seen = self.held.len();
            return None;
        };
        let line = self.held.split_to(self.seen + end).freeze();
        self.is_half_ended = self.held.starts_with(b"\r");
        self.held.advance(1);
        self.seen = 0;
        Some(line)
    }

    /// Takes what is left when nothing more comes, if anything is.
    pub fn rest(&mut self) -> Option<Bytes> {
        self.seen = 0;
        (!self.held.is_empty()).then(|| self.held.split().freeze())
    }
}

/// A server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What sort it is; `message` unless the server says so.
    pub name: String,
    /// What it says.
    pub data: String,
    /// The last id that the server told, also with an earlier event.
    pub id: String,
    /// How many milliseconds the server wants us to wait before we come back, if it said so with this event.
    pub retry: Option<u64>,
}

/// Puts lines together into server-sent events.
///
/// Source: HTML Standard, section 9.2.6, "Interpreting an event stream".
#[derive(Debug, Default)]
pub struct Events {
    name: String,
    data: String,
    has_data: bool,
    id: String,
    retry: Option<u64>,
    is_begun: bool,
}

impl Events {
    /// Takes a line; returns the event that it ends, if it does.
    pub fn line(&mut self, line: &str) -> Option<Event> {
        let line = if self.is_begun { line } else { line.strip_prefix('\u{feff}').unwrap_or(line) };
        self.is_begun = true;
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

    /// Returns how many bytes wait for the end of their event.
    pub fn waiting(&self) -> usize {
        self.data.len()
    }

    fn ended(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        let retry = self.retry.take();
        let name = if name.is_empty() { "message".to_owned() } else { name };
        std::mem::take(&mut self.has_data).then(|| Event { name, data, id: self.id.clone(), retry })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_the_bytes_come() {
        let text = b"one\r\ntwo\rthree\n\nlast";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for piece in text.chunks(size) {
                lines.put(piece);
                found.extend(std::iter::from_fn(|| lines.next_line()));
            }
            found.extend(lines.rest());
            assert_eq!(found, ["one", "two", "three", "", "last"], "in pieces of {size}");
            assert_eq!(lines.rest(), None);
        }
    }

    #[test]
    fn events_are_read_as_browsers_read_them() {
        let mut events = Events::default();
        let text = "\u{feff}: hello\nevent: open\nid: 7\ndata:a\ndata:  b\n\ndata\n\nevent: none\n\nretry: 250\ndata: c:d\n\ndata: cut off";
        let found: Vec<_> = text.split('\n').filter_map(|line| events.line(line)).collect();
        let event =
            |name: &str, data: &str, retry| Event { name: name.into(), data: data.into(), id: "7".into(), retry };
        assert_eq!(
            found,
            [event("open", "a\n b", None), event("message", "", None), event("message", "c:d", Some(250))]
        );
    }
}
