//! The write-ahead log: every change is appended before a client receives its acknowledgement.
//!
//! A crash of rhaid loses no appended record. The file is compacted when it has grown: rewritten with the current state. Records are appended to
//! a buffer under the lock of the broker's state, and written to the file without it.

mod record;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use parking_lot::Mutex;
use tracing::{info, warn};

pub(super) use self::record::Record;

/// The first bytes of the file.
const MAGIC: &[u8] = b"rhaid mqtt 1\n";
/// Minimum file size for a compaction, in bytes.
const MIN_COMPACTION_SIZE: u64 = 8 << 20;
/// Pause after a write error.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Records that are not in the file yet; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct LogBuffer(Arc<Mutex<Pending>>);

#[derive(Default)]
struct Pending {
    bytes: BytesMut,
    /// Total length of all records that were ever appended, in bytes.
    position: u64,
}

impl LogBuffer {
    /// Appends a record; [`WriteAheadLog::flush`] writes it to the file.
    pub(super) fn append(&self, record: &Record) {
        let mut pending = self.0.lock();
        let before = pending.bytes.len();
        put_record(record, &mut pending.bytes);
        pending.position += (pending.bytes.len() - before) as u64;
    }

    /// Returns the total length of all records that were ever appended, in bytes.
    pub(super) fn position(&self) -> u64 {
        self.0.lock().position
    }

    /// Takes the records, and returns the position after them.
    fn take(&self) -> (BytesMut, u64) {
        let mut pending = self.0.lock();
        (std::mem::take(&mut pending.bytes), pending.position)
    }
}

/// The file of the write-ahead log.
pub(super) struct WriteAheadLog {
    path: PathBuf,
    file: Option<File>,
    buffer: LogBuffer,
    /// Position up to which records are written, or lost by a failed write.
    written: u64,
    length: u64,
    /// File size after the last compaction, in bytes.
    base: u64,
    /// When the last write failed; `None` after a success.
    failed_at: Option<Instant>,
}

impl WriteAheadLog {
    /// Opens the file in a folder, and returns its records.
    ///
    /// An incomplete last record is dropped: rhaid was killed while it was written, so no acknowledgement depends on it.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Vec<Record>)> {
        fs::create_dir_all(folder)?;
        let path = folder.join("journal");
        let bytes = match fs::read(&path) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Bytes::new(),
            Err(error) => return Err(error),
        };
        let (records, good) = read_records(bytes.clone());
        if good < bytes.len() {
            let damaged = path.with_extension("damaged");
            info!(
                "the last {} bytes of {} are incomplete and were moved to {}",
                bytes.len() - good,
                path.display(),
                damaged.display()
            );
            fs::write(damaged, &bytes[good..])?;
        }
        let buffer = LogBuffer::default();
        let wal = Self { path, file: None, buffer, written: 0, length: 0, base: 0, failed_at: None };
        Ok((wal, records))
    }

    /// Returns the buffer whose records this log writes.
    pub(super) fn buffer(&self) -> LogBuffer {
        self.buffer.clone()
    }

    /// Returns the position up to which records are written, or lost by a failed write.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Writes the buffer to the file; returns whether the file should be compacted.
    pub(super) fn flush(&mut self) -> bool {
        let (bytes, position) = self.buffer.take();
        self.written = position;
        if bytes.is_empty() {
            return false;
        }
        if let Some(failed_at) = self.failed_at {
            return failed_at.elapsed() > RETRY_DELAY;
        }
        let Some(file) = &mut self.file else { return true };
        if let Err(error) = file.write_all(&bytes) {
            self.pause_after_failure(&error);
            return false;
        }
        self.length += bytes.len() as u64;
        self.length > MIN_COMPACTION_SIZE.max(2 * self.base)
    }

    /// Drops the records in the buffer, because the snapshot for [`WriteAheadLog::rewrite`] includes their changes. Call it under the lock of
    /// the state, together with the snapshot.
    pub(super) fn discard_buffer(&mut self) {
        self.written = self.buffer.take().1;
    }

    /// Compacts the file: replaces it by these records.
    pub(super) fn rewrite(&mut self, records: Vec<Record>) {
        match self.write_snapshot(records) {
            Ok(()) if self.failed_at.take().is_some() => info!("the embedded broker can write to its folder again"),
            Ok(()) => {}
            Err(error) => self.pause_after_failure(&error),
        }
    }

    fn write_snapshot(&mut self, records: Vec<Record>) -> io::Result<()> {
        let buffer = self.path.with_extension("new");
        let mut file = io::BufWriter::new(File::create(&buffer)?);
        file.write_all(MAGIC)?;
        let mut length = MAGIC.len() as u64;
        let mut bytes = BytesMut::new();
        for record in records {
            put_record(&record, &mut bytes);
            file.write_all(&bytes)?;
            length += bytes.len() as u64;
            bytes.clear();
        }
        // Without it a power failure could leave an empty file in place of a good one.
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()?;
        fs::rename(&buffer, &self.path)?;
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        (self.length, self.base) = (length, length);
        Ok(())
    }

    /// Pauses writing after an error.
    fn pause_after_failure(&mut self, error: &io::Error) {
        if self.failed_at.is_none() {
            warn!(
                "the embedded broker cannot write {}, so new retained messages and session changes are lost if rhaid stops: {error}",
                self.path.display()
            );
        }
        self.file = None;
        self.failed_at = Some(Instant::now());
    }
}

impl Drop for WriteAheadLog {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Writes a record with its length and checksum in front.
fn put_record(record: &Record, out: &mut BytesMut) {
    let start = out.len();
    out.put_u64(0);
    record.write(out);
    let length = u32::try_from(out.len() - start - 8).expect("a packet is shorter than 256 MiB");
    let sum = checksum(&out[start + 8..]);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&sum.to_be_bytes());
}

/// Reads records up to the first incomplete or damaged one, and returns their total length in bytes.
fn read_records(mut bytes: Bytes) -> (Vec<Record>, usize) {
    let all = bytes.len();
    let mut records = Vec::new();
    if !bytes.starts_with(MAGIC) {
        return (records, 0);
    }
    bytes.advance(MAGIC.len());
    let mut good = MAGIC.len();
    while let Ok(length) = bytes.try_get_u32() {
        let Ok(expected) = bytes.try_get_u32() else { break };
        let length = length as usize;
        if length > bytes.len() {
            break;
        }
        let body = bytes.split_to(length);
        if checksum(&body) != expected {
            break;
        }
        let Ok(record) = Record::read(body) else { break };
        records.push(record);
        good = all - bytes.len();
    }
    (records, good)
}

/// Returns a checksum.
///
/// Source: FNV-1a with 32 bits, draft-eastlake-fnv, section 2.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::services::mqtt::embedded::message::{Delivery, Message};
    use crate::services::mqtt::embedded::packet::SubscribeOptions;

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
            Delivery { seq: 7, message: message.clone(), qos: 1, retain: true, subscription_ids: vec![1, 268_435_455] };
        let client = || "网关/1".into();
        let options = SubscribeOptions { qos: 2, no_local: true, retain_as_published: true, retain_handling: 2 };
        vec![
            Record::Retain(message),
            Record::Unretain("a/b".into()),
            Record::Session { client: client(), expiry: 9, offline_since: Some(5) },
            Record::Session { client: client(), expiry: u32::MAX, offline_since: None },
            Record::Subscribe { client: client(), filter: "$share/g/+".into(), options, subscription_id: Some(3) },
            Record::Unsubscribe { client: client(), filter: "#".into() },
            Record::Queue { client: client(), delivery },
            Record::Sent { client: client(), seq: 7, id: 65_535 },
            Record::PubRecReceived { client: client(), id: 1 },
            Record::Complete { client: client(), seq: u64::MAX },
            Record::AwaitPubRel { client: client(), id: 2 },
            Record::PubRelReceived { client: client(), id: 2 },
            Record::EndSession("".into()),
        ]
    }

    #[test]
    fn written_records_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let (mut wal, empty) = WriteAheadLog::open(folder.path()).unwrap();
        assert_eq!(empty, []);
        wal.rewrite(records().into_iter().take(4).collect());
        for record in &records()[4..] {
            wal.buffer().append(record);
        }
        assert!(wal.written() < wal.buffer().position());
        wal.flush();
        assert_eq!(wal.written(), wal.buffer().position());
        assert_eq!(WriteAheadLog::open(folder.path()).unwrap().1, records());
    }

    #[test]
    fn a_file_truncated_or_damaged_anywhere_yields_the_records_before() {
        let folder = tempfile::tempdir().unwrap();
        let (mut wal, _) = WriteAheadLog::open(folder.path()).unwrap();
        wal.rewrite(records());
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
