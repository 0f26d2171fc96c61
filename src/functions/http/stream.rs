//! Streamed responses: lines, server-sent events and bytes, read when the script requests them.

use std::any::TypeId;

use bytes::Bytes;
use rhai::FnPtr;
use rhai::plugin::*;

use crate::functions::arguments::parse_options;
use crate::functions::data::json;
use crate::functions::http::response::Response;
use crate::functions::http::shown_url::shown_url;
use crate::functions::thrown::{Thrown, invalid_argument, with_fields};
use crate::options::Options;
use crate::services::http::{Error, charset, lines};

/// Format into which a body is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Text without line endings.
    Lines,
    /// The JSON value of each line.
    Json,
    /// Maps with `event`, `data`, `id`.
    Events,
    /// Blobs, as they arrive.
    Bytes,
}

/// Values of the option `format`.
const FORMATS: [(&str, Format); 4] =
    [("lines", Format::Lines), ("json", Format::Json), ("events", Format::Events), ("bytes", Format::Bytes)];

/// An iterable body; can be iterated once.
#[derive(Debug, Clone)]
pub struct Pieces {
    response: Response,
    format: Format,
    /// The largest blob, in bytes.
    max_size: usize,
}

impl Pieces {
    pub(super) fn new(response: &Response, format: Format) -> Self {
        Self { response: response.clone(), format, max_size: usize::MAX }
    }

    /// Limits the size of blobs, in bytes.
    pub(super) fn with_max_size(self, max_size: usize) -> Self {
        Self { max_size, ..self }
    }
}

pub(super) fn register(module: &mut Module) {
    module.set_custom_type::<Pieces>("Pieces");
    module.set_iter_result(TypeId::of::<Pieces>(), |pieces: Dynamic| Box::new(PieceReader::new(pieces.cast())));
    module.set_iter_result(TypeId::of::<Response>(), |response: Dynamic| {
        Box::new(PieceReader::new(Pieces::new(&response.cast::<Response>(), Format::Lines)))
    });
}

/// Sends a request and calls a handler with each piece of the response, unless the status code is 400 or higher.
pub(super) fn stream(
    context: &NativeCallContext<'_>,
    written: &rhai::Map,
    handler: &FnPtr,
    send: impl FnOnce(Options) -> Result<Response, Thrown>,
) -> Result<Response, Thrown> {
    let mut options = parse_options(written)?;
    let format = options.word("format", &FORMATS).map_err(invalid_argument)?.unwrap_or(Format::Lines);
    let mut written = options.remaining();
    written.insert("stream".into(), true.into());
    let response = send(Options::new(written))?;
    if response.inner.status < 400 {
        for piece in PieceReader::new(Pieces::new(&response, format)) {
            let _: Dynamic = handler.call_within_context(context, (piece?,))?;
        }
    }
    Ok(response)
}

/// Splits a body into pieces as it arrives.
struct PieceReader {
    pieces: Pieces,
    /// Bytes received but not split yet.
    buffered: Option<Bytes>,
    lines: lines::LineSplitter,
    events: lines::EventParser,
    encoding: String,
    is_at_end: bool,
}

impl PieceReader {
    fn new(pieces: Pieces) -> Self {
        let response = &pieces.response;
        Self {
            buffered: response.body.in_memory(),
            encoding: response.stream_encoding(),
            lines: lines::LineSplitter::default(),
            events: lines::EventParser::default(),
            is_at_end: false,
            pieces,
        }
    }

    fn advance(&mut self) -> Result<Option<Dynamic>, Thrown> {
        loop {
            while let Some(line) = self.lines.next_line() {
                if let Some(piece) = self.piece(&line)? {
                    return Ok(Some(piece));
                }
            }
            if self.is_at_end {
                return self.lines.finish().map_or(Ok(None), |rest| self.piece(&rest));
            }
            match self.chunk()? {
                Some(mut chunk) if self.pieces.format == Format::Bytes => {
                    let piece = chunk.split_to(chunk.len().min(self.pieces.max_size));
                    self.buffered = Some(chunk).filter(|rest| !rest.is_empty());
                    if !piece.is_empty() {
                        return Ok(Some(Dynamic::from_blob(piece.to_vec())));
                    }
                }
                Some(chunk) => self.put(&chunk)?,
                None => self.is_at_end = true,
            }
        }
    }

    fn chunk(&mut self) -> Result<Option<Bytes>, Thrown> {
        match self.buffered.take() {
            Some(bytes) => Ok(Some(bytes)),
            None => {
                let response = &self.pieces.response;
                response.body.chunk()?.map_err(|error| response.body_error(error))
            }
        }
    }

    fn put(&mut self, chunk: &[u8]) -> Result<(), Thrown> {
        self.lines.push(chunk);
        let (response, buffered) = (&self.pieces.response, self.lines.buffered() + self.events.buffered());
        // The new chunk is split into lines; the limit applies to an unfinished line.
        if (buffered - chunk.len()) as u64 > response.body.limit {
            return Err(response.body_error(Error::BodyTooLarge(response.body.limit)));
        }
        Ok(())
    }

    /// Returns the piece that a line completes, if any.
    fn piece(&mut self, line: &[u8]) -> Result<Option<Dynamic>, Thrown> {
        let text = charset::decode(line, &self.encoding).unwrap_or_default();
        match self.pieces.format {
            Format::Lines | Format::Bytes => Ok(Some(text.into())),
            Format::Json if text.trim().is_empty() => Ok(None),
            Format::Json => {
                let url = shown_url(&self.pieces.response.inner.url);
                json(text.as_bytes()).map(Some).map_err(|thrown| with_fields(thrown, [("url", url.into())]))
            }
            Format::Events => Ok(self.events.line(&text).map(event)),
        }
    }
}

impl Iterator for PieceReader {
    type Item = Result<Dynamic, Thrown>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.is_at_end = true;
        }
        next.transpose()
    }
}

fn event(event: lines::ServerSentEvent) -> Dynamic {
    let mut map = rhai::Map::new();
    map.insert("event".into(), event.name.into());
    map.insert("data".into(), event.data.into());
    map.insert("id".into(), event.id.into());
    if let Some(retry) = event.retry.and_then(|retry| i64::try_from(retry).ok()) {
        map.insert("retry".into(), retry.into());
    }
    Dynamic::from_map(map)
}
