//! The file that lets the broker remember: every change is appended to it before anybody is told that it happened.
//!
//! What is written there is safe from a crash of rhaid at once. From time to time the file is written anew, with what still counts.

mod record;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tracing::{info, warn};

pub(super) use self::record::Record;

/// How the file begins.
const MARK: &[u8] = b"rhaid mqtt 1\n";
/// How far the file grows before it is looked at whether it should be written anew, in bytes.
const LEAST: u64 = 8 << 20;
/// How long the disk is left alone after it has refused.
const PAUSE: Duration = Duration::from_secs(5);

/// The file.
pub(super) struct WriteAheadLog {
    path: PathBuf,
    file: Option<File>,
    /// What is not in the file yet.
    fresh: BytesMut,
    length: u64,
    /// How long the file was when it was last written anew.
    base: u64,
    /// When the disk refused, if it did.
    refused: Option<Instant>,
}

impl WriteAheadLog {
    /// Opens the file in a folder, and returns what it holds.
    ///
    /// A last record that is not whole is left out: it was being written when rhaid was killed, and nobody was told of it.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Vec<Record>)> {
        fs::create_dir_all(folder)?;
        let path = folder.join("journal");
        let bytes = match fs::read(&path) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Bytes::new(),
            Err(error) => return Err(error),
        };
        let (records, good) = read(bytes.clone());
        if good < bytes.len() {
            let aside = path.with_extension("damaged");
            info!(
                "the last {} bytes of {} are not whole and were put aside as {}",
                bytes.len() - good,
                path.display(),
                aside.display()
            );
            fs::write(aside, &bytes[good..])?;
        }
        let journal = Self { path, file: None, fresh: BytesMut::new(), length: 0, base: 0, refused: None };
        Ok((journal, records))
    }

    /// Notes a change; it is in the file after [`Self::flush`].
    pub(super) fn note(&mut self, record: &Record) {
        put(record, &mut self.fresh);
    }

    /// Appends what was noted; returns whether the file should be written anew.
    pub(super) fn flush(&mut self) -> bool {
        if self.fresh.is_empty() {
            return false;
        }
        if let Some(refused) = self.refused {
            self.fresh.clear();
            return refused.elapsed() > PAUSE;
        }
        let Some(file) = &mut self.file else { return true };
        if let Err(why) = file.write_all(&self.fresh) {
            self.refuse(&why);
            return false;
        }
        self.length += self.fresh.len() as u64;
        self.fresh.clear();
        if self.fresh.capacity() > 1 << 20 {
            self.fresh = BytesMut::new();
        }
        self.length > LEAST.max(2 * self.base)
    }

    /// Writes the file anew, with these records; what was noted must be among them.
    pub(super) fn rewrite(&mut self, records: impl Iterator<Item = Record>) {
        self.fresh.clear();
        match self.write_anew(records) {
            Ok(()) if self.refused.take().is_some() => info!("the embedded broker can write to its folder again"),
            Ok(()) => {}
            Err(why) => self.refuse(&why),
        }
    }

    fn write_anew(&mut self, records: impl Iterator<Item = Record>) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut file = io::BufWriter::new(File::create(&fresh)?);
        file.write_all(MARK)?;
        let mut length = MARK.len() as u64;
        let mut bytes = BytesMut::new();
        for record in records {
            put(&record, &mut bytes);
            file.write_all(&bytes)?;
            length += bytes.len() as u64;
            bytes.clear();
        }
        // Else a power cut could leave an empty file in the place of a good one.
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()?;
        fs::rename(&fresh, &self.path)?;
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        (self.length, self.base) = (length, length);
        Ok(())
    }

    /// Stops writing for a while.
    fn refuse(&mut self, why: &io::Error) {
        if self.refused.is_none() {
            warn!(
                "the embedded broker can not write {}, so it forgets what comes now if rhaid stops: {why}",
                self.path.display()
            );
        }
        self.file = None;
        self.fresh.clear();
        self.refused = Some(Instant::now());
    }
}

impl Drop for WriteAheadLog {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Writes a record behind its length and its sum.
fn put(record: &Record, out: &mut BytesMut) {
    let start = out.len();
    out.put_u64(0);
    record.write(out);
    let length = u32::try_from(out.len() - start - 8).expect("no packet is so long");
    let sum = sum(&out[start + 8..]);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&sum.to_be_bytes());
}

/// Reads records up to the first that is not whole, and returns how many bytes they take.
fn read(mut bytes: Bytes) -> (Vec<Record>, usize) {
    let all = bytes.len();
    let mut records = Vec::new();
    if !bytes.starts_with(MARK) {
        return (records, 0);
    }
    bytes.advance(MARK.len());
    let mut good = MARK.len();
    while let Ok(length) = bytes.try_get_u32() {
        let Ok(expected) = bytes.try_get_u32() else { break };
        let length = length as usize;
        if length > bytes.len() {
            break;
        }
        let body = bytes.split_to(length);
        if sum(&body) != expected {
            break;
        }
        let Ok(record) = Record::read(body) else { break };
        records.push(record);
        good = all - bytes.len();
    }
    (records, good)
}

/// Source: FNV-1a with 32 bits, draft-eastlake-fnv, section 2.
fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::services::mqtt::embedded::message::{Delivery, Message};
    use crate::services::mqtt::embedded::packet::Options;

    fn records() -> Vec<Record> {
        let message = Arc::new(Message {
            topic: "温度/1".into(),
            payload: Bytes::from_static(b"21.5\0\xff"),
            qos: 2,
            retain: true,
            forward: Bytes::from_static(&[1, 1]),
            expires: Some(1_700_000_000_123),
        });
        let delivery =
            Delivery { seq: 7, message: message.clone(), qos: 1, retain: true, numbers: vec![1, 268_435_455] };
        let client = || "网关/1".into();
        let options = Options { qos: 2, no_local: true, as_published: true, handling: 2 };
        vec![
            Record::Retain(message),
            Record::Unretain("a/b".into()),
            Record::Session { client: client(), expiry: 9, away: Some(5) },
            Record::Session { client: client(), expiry: u32::MAX, away: None },
            Record::Subscribe { client: client(), filter: "$share/g/+".into(), options, number: Some(3) },
            Record::Unsubscribe { client: client(), filter: "#".into() },
            Record::Queue { client: client(), delivery },
            Record::Sent { client: client(), seq: 7, id: 65_535 },
            Record::Received { client: client(), id: 1 },
            Record::Done { client: client(), seq: u64::MAX },
            Record::Took { client: client(), id: 2 },
            Record::Released { client: client(), id: 2 },
            Record::End("".into()),
        ]
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, empty) = WriteAheadLog::open(folder.path()).unwrap();
        assert_eq!(empty, []);
        journal.rewrite(records().into_iter().take(4));
        for record in &records()[4..] {
            journal.note(record);
        }
        journal.flush();
        assert_eq!(WriteAheadLog::open(folder.path()).unwrap().1, records());
    }

    #[test]
    fn a_file_cut_off_or_damaged_anywhere_gives_what_stands_before() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = WriteAheadLog::open(folder.path()).unwrap();
        journal.rewrite(records().into_iter());
        let path = folder.path().join("journal");
        let whole = fs::read(&path).unwrap();
        for cut in (0..whole.len()).step_by(7) {
            fs::write(&path, &whole[..cut]).unwrap();
            let read = WriteAheadLog::open(folder.path()).unwrap().1;
            assert!(read.len() < records().len() && read == records()[..read.len()], "cut at {cut}");
            let mut damaged = whole.clone();
            damaged[cut] ^= 0x10;
            fs::write(&path, damaged).unwrap();
            let read = WriteAheadLog::open(folder.path()).unwrap().1;
            assert_eq!(read, records()[..read.len()], "damaged at {cut}");
        }
    }
}
