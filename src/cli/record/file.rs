//! The output of a recording, and its order.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use crate::api::TappedResponse;
use crate::cli::record::line::{MessageLine, ResponseLine};
use crate::cli::terminal;
use crate::services::files::replacement;

/// A recording in progress.
#[derive(Default)]
pub(super) struct Recording {
    file: Option<(PathBuf, File)>,
    /// Position of each line, if the file may have to be sorted.
    positions: Option<Vec<LinePosition>>,
    messages: u64,
    retained: u64,
    responses: u64,
    /// Number of responses without a recordable body.
    pub(super) left_out: u64,
    /// Number of responses that were dropped because they arrived too fast.
    pub(super) missed: u64,
}

/// Position of a line in the file.
struct LinePosition {
    time: Timestamp,
    /// Responses sort before messages of the same time, which may request them.
    is_message: bool,
    start: u64,
    length: usize,
}

impl Recording {
    /// Creates a new file, or uses standard output.
    ///
    /// # Errors
    /// If the file exists or cannot be created.
    pub(super) fn create(file: Option<&Path>, with_responses: bool) -> anyhow::Result<Self> {
        let Some(path) = file else { return Ok(Self::default()) };
        // Recorded messages are private: only the owner may read the file.
        let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
        let open = match made {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                anyhow::bail!("{} exists already: choose another file, or remove it", path.display())
            }
            made => made.with_context(|| format!("creating {}", path.display()))?,
        };
        let path = std::path::absolute(path)?;
        Ok(Self { file: Some((path, open)), positions: with_responses.then(Vec::new), ..Self::default() })
    }

    /// Returns the number of lines.
    pub(super) fn lines(&self) -> u64 {
        self.messages + self.responses
    }

    /// Writes a message.
    pub(super) fn message(&mut self, line: &MessageLine, time: Timestamp) -> anyhow::Result<()> {
        self.write(line, time, true)?;
        self.messages += 1;
        self.retained += u64::from(line.retain);
        Ok(())
    }

    /// Writes a response.
    pub(super) fn response(&mut self, response: &TappedResponse) -> anyhow::Result<()> {
        self.write(&ResponseLine::new(response), response.time, false)?;
        self.responses += 1;
        Ok(())
    }

    /// Sorts the file if necessary; returns a summary in one line.
    pub(super) fn finish(mut self, took: String) -> anyhow::Result<String> {
        if let (Some((path, file)), Some(positions)) = (&mut self.file, self.positions.take())
            && !positions.is_sorted_by_key(LinePosition::key)
        {
            sort_lines(path, file, positions).with_context(|| format!("sorting {}", path.display()))?;
        }
        let mut summary = format!("recorded {}", count(self.messages, "message"));
        if self.retained > 0 {
            summary.push_str(&format!(" ({} retained)", self.retained));
        }
        if self.responses > 0 {
            summary.push_str(&format!(" and {}", count(self.responses, "response")));
        }
        summary.push_str(&format!(" in {took}"));
        for (number, what) in [(self.left_out, "left out"), (self.missed, "missed")] {
            if number > 0 {
                summary.push_str(&format!("; {} {what}", count(number, "response")));
            }
        }
        Ok(summary)
    }

    /// Writes a line with one call, so that a kill leaves only whole lines.
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
        // Lines have a resolution of one millisecond.
        (self.time.as_millisecond(), self.is_message)
    }
}

/// Replaces a file by one with the same lines in order of time.
fn sort_lines(path: &Path, file: &mut File, mut positions: Vec<LinePosition>) -> anyhow::Result<()> {
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
