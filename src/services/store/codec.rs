//! Compact binary form of values: a tag, then the content; lengths and whole numbers as variable-length integers.

use crate::value::{MAX_DEPTH, Map, Value};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const TEXT: u8 = 5;
const BYTES: u8 = 6;
const TIME: u8 = 7;
const LIST: u8 = 8;
const MAP: u8 = 9;

/// Writer of the binary form. The caller of `list` and `map` writes as many items as it announced.
#[derive(Debug, Clone, Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// Creates a writer with room for a number of bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Writes a value.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.0.push(NULL),
            Value::Bool(value) => self.0.push(if *value { TRUE } else { FALSE }),
            Value::Int(value) => {
                self.0.push(INT);
                self.signed(*value);
            }
            Value::Float(value) => {
                self.0.push(FLOAT);
                self.0.extend_from_slice(&value.to_le_bytes());
            }
            Value::Text(text) => self.text(text),
            Value::Bytes(bytes) => self.bytes(bytes),
            Value::Time(time) => {
                self.0.push(TIME);
                self.name(&time.to_string());
            }
            Value::List(items) => {
                self.list(items.len());
                items.iter().for_each(|item| self.value(item));
            }
            Value::Map(map) => {
                self.map(map.len());
                for (name, value) in map {
                    self.name(name);
                    self.value(value);
                }
            }
        }
    }

    /// Writes a text.
    pub fn text(&mut self, text: &str) {
        self.0.push(TEXT);
        self.name(text);
    }

    /// Writes bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.push(BYTES);
        self.unsigned(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Starts a list; its items follow.
    pub fn list(&mut self, items: usize) {
        self.0.push(LIST);
        self.unsigned(items as u64);
    }

    /// Starts a map; a name and a value follow for each entry, sorted by name.
    pub fn map(&mut self, entries: usize) {
        self.0.push(MAP);
        self.unsigned(entries as u64);
    }

    /// Writes the name of an entry of a map, or a text where nothing else can stand.
    pub fn name(&mut self, name: &str) {
        self.unsigned(name.len() as u64);
        self.0.extend_from_slice(name.as_bytes());
    }

    /// Writes a byte.
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Writes the result of another writer, with its length.
    pub(super) fn nested(&mut self, other: &Self) {
        self.unsigned(other.0.len() as u64);
        self.0.extend_from_slice(&other.0);
    }

    /// Writes a number in groups of seven bits, the lowest first; the highest bit of a byte says that another follows.
    pub(super) fn unsigned(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// Writes a signed number so that small negative ones are short: the sign is the lowest bit.
    pub(super) fn signed(&mut self, number: i64) {
        self.unsigned(((number << 1) ^ (number >> 63)).cast_unsigned());
    }

    /// Returns the written bytes.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Reads what was written as one value.
    pub fn decode(&self) -> Option<Value> {
        Decoder::new(&self.0).value()
    }
}

/// Reader of the binary form. Every method returns `None` if the bytes are not what a writer wrote.
pub(super) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = self.unsigned()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(super) fn slice(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.unsigned()?).ok()?;
        let (slice, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(slice)
    }

    pub(super) fn name(&mut self) -> Option<String> {
        String::from_utf8(self.slice()?.to_vec()).ok()
    }

    /// Reads a value; `None` also if it nests deeper than [`MAX_DEPTH`].
    pub(super) fn value(&mut self) -> Option<Value> {
        self.value_at(0)
    }

    fn value_at(&mut self, depth: usize) -> Option<Value> {
        if depth >= MAX_DEPTH {
            return None;
        }
        Some(match self.byte()? {
            NULL => Value::Null,
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            INT => Value::Int(self.signed()?),
            FLOAT => {
                let (bytes, rest) = self.0.split_first_chunk()?;
                self.0 = rest;
                Value::Float(f64::from_le_bytes(*bytes))
            }
            TEXT => Value::Text(self.name()?),
            BYTES => Value::Bytes(self.slice()?.to_vec()),
            TIME => Value::Time(self.name()?.parse().ok()?),
            LIST => {
                let items = self.unsigned()?;
                Value::List((0..items).map(|_| self.value_at(depth + 1)).collect::<Option<_>>()?)
            }
            MAP => {
                let mut map = Map::new();
                for _ in 0..self.unsigned()? {
                    let name = self.name()?;
                    map.insert(name, self.value_at(depth + 1)?);
                }
                Value::Map(map)
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::map_of;

    fn encoded(value: &Value) -> Encoder {
        let mut encoder = Encoder::default();
        encoder.value(value);
        encoder
    }

    #[test]
    fn values_of_all_types_are_read_back() {
        let ints = [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN].map(Value::Int);
        let time = "2026-03-29T03:00:00+02:00[Europe/Berlin]".parse().unwrap();
        let others = [
            Value::Null,
            Value::Bool(true),
            Value::Bool(false),
            Value::Float(-0.5),
            Value::Float(f64::INFINITY),
            Value::from("ä".repeat(200)),
            Value::Bytes(vec![0, 255]),
            Value::Time(time),
            Value::Map(Map::new()),
        ];
        let list = Value::List(ints.into_iter().chain(others).collect());
        let all = Value::Map(map_of([("list".to_owned(), list), ("".to_owned(), Value::Null)]));
        assert_eq!(encoded(&all).decode(), Some(all));
    }

    #[test]
    fn incomplete_and_wrong_bytes_are_no_value() {
        let whole = encoded(&Value::List(vec![Value::from("text"), Value::Float(1.0), Value::Int(300)])).into_bytes();
        for length in 0..whole.len() {
            assert_eq!(Decoder::new(&whole[..length]).value(), None, "{length} bytes");
        }
        for wrong in [&[200][..], &[TEXT, 1, 0xff], &[INT, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
        {
            assert_eq!(Decoder::new(wrong).value(), None);
        }
        let lengths = [LIST, MAP, TEXT].map(|tag| [&[tag][..], &[0xff; 8], &[1]].concat());
        assert!(lengths.iter().all(|bytes| Decoder::new(bytes).value().is_none()), "a length beyond the end");
    }

    #[test]
    fn values_that_nest_too_deeply_are_not_read() {
        let nested = |levels| (1..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]));
        assert_eq!(encoded(&nested(MAX_DEPTH)).decode(), Some(nested(MAX_DEPTH)));
        assert_eq!(encoded(&nested(MAX_DEPTH + 1)).decode(), None);
    }
}
