//! Answers bit by bit: lines, server-sent events, bytes; the next are read when the script is done with those before.

use std::any::TypeId;

use bytes::Bytes;
use rhai::plugin::*;

use crate::functions::Thrown;
use crate::functions::data::json;
use crate::functions::http::Response;
use crate::functions::http::body::broken;
use crate::functions::http::fault::{shown_url, with};
use crate::services::http::{Error, charset, lines};

/// Into what a body is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Text without its end of line.
    Lines,
    /// The value of each line.
    Json,
    /// Maps with `event`, `data`, `id`.
    Events,
    /// Blobs, as they come.
    Bytes,
}

/// A body, to be gone through once.
#[derive(Debug, Clone)]
pub struct Pieces {
    pub(super) response: Response,
    pub(super) format: Format,
    /// The largest blob, in bytes.
    pub(super) most: usize,
}

pub(super) fn register(module: &mut Module) {
    module.set_custom_type::<Pieces>("Pieces");
    module.set_iter_result(TypeId::of::<Pieces>(), |pieces: Dynamic| Box::new(Cutter::new(pieces.cast())));
    module.set_iter_result(TypeId::of::<Response>(), |response: Dynamic| {
        Box::new(Cutter::new(response.cast::<Response>().pieces(Format::Lines)))
    });
}

/// Cuts a body into pieces while it comes.
pub(super) struct Cutter {
    pieces: Pieces,
    /// What was there from the start.
    here: Option<Bytes>,
    lines: lines::LineSplitter,
    events: lines::EventParser,
    encoding: String,
    is_over: bool,
}

impl Cutter {
    pub(super) fn new(pieces: Pieces) -> Self {
        let response = &pieces.response;
        Self {
            here: response.body.here(),
            encoding: response.stream_encoding(),
            lines: lines::LineSplitter::default(),
            events: lines::EventParser::default(),
            is_over: false,
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
            if self.is_over {
                return self.lines.finish().map_or(Ok(None), |rest| self.piece(&rest));
            }
            match self.chunk()? {
                Some(mut chunk) if self.pieces.format == Format::Bytes => {
                    let piece = chunk.split_to(chunk.len().min(self.pieces.most));
                    self.here = Some(chunk).filter(|rest| !rest.is_empty());
                    if !piece.is_empty() {
                        return Ok(Some(Dynamic::from_blob(piece.to_vec())));
                    }
                }
                Some(chunk) => self.put(&chunk)?,
                None => self.is_over = true,
            }
        }
    }

    fn chunk(&mut self) -> Result<Option<Bytes>, Thrown> {
        match self.here.take() {
            Some(bytes) => Ok(Some(bytes)),
            None => self.pieces.response.body.chunk(&self.pieces.response.answer),
        }
    }

    fn put(&mut self, chunk: &[u8]) -> Result<(), Thrown> {
        self.lines.push(chunk);
        let (response, waiting) = (&self.pieces.response, self.lines.buffered() + self.events.buffered());
        // What just came is taken line by line; only what has no end may be too long.
        if (waiting - chunk.len()) as u64 > response.body.limit {
            return Err(broken(Error::BodyTooLarge(response.body.limit), &response.answer));
        }
        Ok(())
    }

    /// Returns what a line is to the script, if it is something by itself.
    fn piece(&mut self, line: &[u8]) -> Result<Option<Dynamic>, Thrown> {
        let text = charset::decode(line, &self.encoding).unwrap_or_default();
        match self.pieces.format {
            Format::Lines | Format::Bytes => Ok(Some(text.into())),
            Format::Json if text.trim().is_empty() => Ok(None),
            Format::Json => {
                let url = shown_url(&self.pieces.response.answer.url);
                json(text.as_bytes()).map(Some).map_err(|thrown| with(thrown, [("url", url.into())]))
            }
            Format::Events => Ok(self.events.line(&text).map(event)),
        }
    }
}

impl Iterator for Cutter {
    type Item = Result<Dynamic, Thrown>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.is_over = true;
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
