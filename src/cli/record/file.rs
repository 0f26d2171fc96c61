//! What lines are written into, and how they are put in order.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use crate::api::TappedResponse;
use crate::cli::record::line::{AnswerLine, MessageLine};
use crate::cli::terminal;
use crate::services::files::replacement;

/// A recording on its way.
#[derive(Default)]
pub(super) struct Recording {
    file: Option<(PathBuf, File)>,
    /// Where each line stands, if they may have to be put in order.
    positions: Option<Vec<LinePosition>>,
    messages: u64,
    retained: u64,
    answers: u64,
    /// How many answers could not be told whole.
    pub(super) left_out: u64,
    /// How many answers came too fast.
    pub(super) missed: u64,
}

/// Where a line stands in the file.
struct LinePosition {
    time: Timestamp,
    /// Of the same moment, answers come before what asks for them.
    is_message: bool,
    start: u64,
    length: usize,
}

impl Recording {
    /// Begins a new file, or writes to standard output.
    ///
    /// # Errors
    /// If there is such a file, or it can not be made.
    pub(super) fn begin(file: Option<&Path>, with_answers: bool) -> anyhow::Result<Self> {
        let Some(path) = file else { return Ok(Self::default()) };
        // What happens in a house is nobody else's business.
        let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
        let open = match made {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                anyhow::bail!("{} is there already: name another file, or move it away", path.display())
            }
            made => made.with_context(|| format!("making {}", path.display()))?,
        };
        let path = std::path::absolute(path)?;
        Ok(Self { file: Some((path, open)), positions: with_answers.then(Vec::new), ..Self::default() })
    }

    /// Returns how many lines there are.
    pub(super) fn lines(&self) -> u64 {
        self.messages + self.answers
    }

    /// Writes a message.
    pub(super) fn message(&mut self, line: &MessageLine, time: Timestamp) -> anyhow::Result<()> {
        self.write(line, time, true)?;
        self.messages += 1;
        self.retained += u64::from(line.retain);
        Ok(())
    }

    /// Writes an answer.
    pub(super) fn answer(&mut self, answer: &TappedResponse) -> anyhow::Result<()> {
        self.write(&AnswerLine::new(answer), answer.time, false)?;
        self.answers += 1;
        Ok(())
    }

    /// Puts the lines in order; returns what was recorded, in a line.
    pub(super) fn end(mut self, took: String) -> anyhow::Result<String> {
        if let (Some((path, file)), Some(positions)) = (&mut self.file, self.positions.take())
            && !positions.is_sorted_by_key(LinePosition::key)
        {
            put_in_order(path, file, positions).with_context(|| format!("putting {} in order", path.display()))?;
        }
        let mut told = format!("recorded {}", count(self.messages, "message"));
        if self.retained > 0 {
            told.push_str(&format!(" ({} retained)", self.retained));
        }
        if self.answers > 0 {
            told.push_str(&format!(" and {}", count(self.answers, "answer")));
        }
        told.push_str(&format!(" in {took}"));
        for (number, what) in [(self.left_out, "left out"), (self.missed, "missed")] {
            if number > 0 {
                told.push_str(&format!("; {} {what}", count(number, "answer")));
            }
        }
        Ok(told)
    }

    /// Writes a line whole, so that nothing is lost if this process is killed.
    fn write(&mut self, line: &impl Serialize, time: Timestamp, is_message: bool) -> anyhow::Result<()> {
        let text = serde_json::to_string(line)? + "\n";
        let Some((path, file)) = &mut self.file else {
            terminal::print(&text);
            return Ok(());
        };
        file.write_all(text.as_bytes()).with_context(|| format!("writing {}", path.display()))?;
        if let Some(positions) = &mut self.positions {
            let start = positions.last().map_or(0, |last| last.start + last.length as u64);
            positions.push(LinePosition { time, is_message, start, length: text.len() });
        }
        Ok(())
    }
}

impl LinePosition {
    fn key(&self) -> (i64, bool) {
        // As they are written: to the millisecond.
        (self.time.as_millisecond(), self.is_message)
    }
}

/// Exchanges a file for one with the same lines in order of time.
fn put_in_order(path: &Path, file: &mut File, mut positions: Vec<LinePosition>) -> anyhow::Result<()> {
    positions.sort_by_key(LinePosition::key);
    let ordered = replacement(path)?;
    let (mut from, mut to) = (BufReader::new(file), BufWriter::new(ordered));
    let mut line = Vec::new();
    for place in positions {
        line.resize(place.length, 0);
        from.seek(SeekFrom::Start(place.start))?;
        from.read_exact(&mut line)?;
        to.write_all(&line)?;
    }
    let ordered = to.into_inner()?;
    ordered.persist(path)?;
    Ok(())
}

fn count(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}
