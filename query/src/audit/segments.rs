//! The files of the audit log: segments of whole lines, named by the number of their first line, and the lock of whoever writes.
//!
//! Several processes may write, as commands do beside a server: each takes `lock`, looks where the log ends by now, adds its lines and lets
//! go. Invariants: a line is added only after the last whole one, and follows it in the chain; what is cut off a torn end is told in the
//! next line; segments are removed oldest first, whole, after a line says so. Bytes of a segment change for an erasure alone (`redact.rs`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::act::{Act, Actor, Kind, OfLog, What};
use super::config::AuditConfig;
use super::line::{Hash, Line, NO_HASH, Sealed, Sealer};
use crate::hex::hex;

const LOCK_FILE: &str = "lock";
const SUFFIX: &str = ".ndjson";
/// Format of the lines.
const FORMAT: u32 = 1;
/// Segments in the folder at most, whatever their age: what is listed at once is bounded.
const SEGMENTS_MAX: usize = 100_000;

/// The log as one process writes it.
#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    config: AuditConfig,
    sealer: Sealer,
    tail: Option<Tail>,
}

/// The end of the log, as this process left or found it.
#[derive(Debug)]
struct Tail {
    /// Names the segment.
    first_seq: u64,
    file: File,
    inode: u64,
    /// Bytes of whole lines.
    len: u64,
    next_seq: u64,
    prev: Hash,
    begun_at: Timestamp,
    first_hash: Option<Hash>,
    is_synced: bool,
}

/// Where the whole lines of a segment end.
struct End {
    len: u64,
    next_seq: u64,
    prev: Hash,
    is_damaged: bool,
    rest: Vec<u8>,
}

/// The first line of a segment, as far as it says where it stands.
pub(super) struct Head {
    pub(super) time: Timestamp,
    pub(super) hash: Hash,
    pub(super) prev: Hash,
    pub(super) first_hash: Option<Hash>,
}

/// Held while this process writes.
pub(super) struct Lock(#[expect(dead_code, reason = "the lock ends with the file")] File);

/// Says something about the log in the log.
pub(super) fn of_log(log: OfLog) -> Act {
    Act { who: Actor::System.into(), what: What { log: Some(log), ..What::new(Kind::Log) } }
}

/// The file of the segment that begins with a line.
pub(super) fn path_of(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("{first_seq:020}{SUFFIX}"))
}

/// The segments of a folder by their first lines, in order.
pub(super) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)?.take(SEGMENTS_MAX) {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        found.extend(digits.filter(|digits| digits.len() == 20).and_then(|digits| digits.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Reads the first line of a segment; none where it has no whole one, or that is no head.
pub(super) fn head(dir: &Path, first_seq: u64) -> io::Result<Option<Head>> {
    let mut bytes = Vec::new();
    File::open(path_of(dir, first_seq))?.take(4 << 10).read_to_end(&mut bytes)?;
    let line = bytes.iter().position(|byte| *byte == b'\n').and_then(|end| Line::read(&bytes[..end]).ok());
    Ok(line.and_then(|line| {
        let (hash, prev) = (line.own_hash()?, crate::hex::unhex(line.prev)?);
        let Some(OfLog::Begun { first_hash, .. }) = line.what()?.log else { return None };
        Some(Head { time: line.time, hash, prev, first_hash: first_hash.and_then(|hash| crate::hex::unhex(&hash)) })
    }))
}

impl Segments {
    /// The log in a folder, which is made where there is none.
    pub(super) fn open(dir: &Path, config: AuditConfig, sealer: Sealer) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        Ok(Self { dir: dir.to_owned(), config, sealer, tail: None })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits until no other process writes.
    pub(super) fn lock(&self) -> io::Result<Lock> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(self.dir.join(LOCK_FILE))?;
        file.lock()?;
        Ok(Lock(file))
    }

    /// Adds acts, in order, and returns how many lines were written. They are on disk after [`Segments::sync`]. On an error none is there.
    pub(super) fn append(&mut self, _: &Lock, acts: &[(Timestamp, Act)]) -> io::Result<u64> {
        let now = acts.last().map_or_else(Timestamp::now, |(time, _)| *time);
        self.find_end(now)?;
        if self.is_full(now) {
            self.begin_next(now)?;
            if let Err(error) = self.retire(now) {
                // What is too old stays for longer; what is new is written all the same.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "old segments of the audit log cannot be retired"
                );
            }
        }
        self.write(acts)
    }

    /// Waits until what was added is on disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if let Some(tail) = self.tail.as_mut().filter(|tail| !tail.is_synced) {
            tail.file.sync_data()?;
            tail.is_synced = true;
        }
        Ok(())
    }

    fn write(&mut self, acts: &[(Timestamp, Act)]) -> io::Result<u64> {
        let Some(mut tail) = self.tail.take() else { return Err(io::Error::other("the log has no end")) };
        let (mut bytes, mut prev, mut next_seq) = (Vec::new(), tail.prev, tail.next_seq);
        for (time, act) in acts {
            let Sealed { bytes: line, hash } = self.sealer.seal(act, next_seq, *time, &prev);
            bytes.extend_from_slice(&line);
            (prev, next_seq) = (hash, next_seq + 1);
        }
        if let Err(error) = tail.file.write_all(&bytes) {
            // What was written of it is no line yet. Where it cannot be taken off, the next one finds a torn end, and says so.
            let _ = tail.file.set_len(tail.len);
            return Err(error);
        }
        tail.len += bytes.len() as u64;
        (tail.prev, tail.next_seq, tail.is_synced) = (prev, next_seq, false);
        self.tail = Some(tail);
        Ok(acts.len() as u64)
    }

    fn is_full(&self, now: Timestamp) -> bool {
        let Some(tail) = &self.tail else { return false };
        let age = now.duration_since(tail.begun_at);
        tail.len >= self.config.segment_bytes_max || age >= SignedDuration::from_hours(self.config.segment_hours.into())
    }

    /// Finds where the log ends, others having written perhaps, and mends a torn end.
    fn find_end(&mut self, now: Timestamp) -> io::Result<()> {
        let Some(&newest) = list(&self.dir)?.last() else { return self.begin(1, NO_HASH, None, false, now) };
        let path = path_of(&self.dir, newest);
        let found = fs::metadata(&path)?;
        if let Some(tail) = &self.tail
            && (tail.first_seq, tail.inode, tail.len) == (newest, found.ino(), found.len())
        {
            return Ok(());
        }
        self.sync()?;
        self.tail = None;
        let mut file = OpenOptions::new().read(true).append(true).open(&path)?;
        let end = end_of(&mut file, newest)?;
        let Some(head) = head(&self.dir, newest)? else {
            return self.begin_instead(newest, &end, now);
        };
        let first_hash = head.first_hash.or(Some(head.hash));
        if end.is_damaged {
            tracing::error!(
                segment = newest,
                "the audit log is damaged: the chain begins anew; see `tessera audit verify`"
            );
            return self.begin(end.next_seq.max(newest + 1), NO_HASH, first_hash, true, now);
        }
        let End { len, next_seq, prev, rest, .. } = end;
        if !rest.is_empty() {
            file.set_len(len)?;
        }
        let (inode, begun_at) = (found.ino(), head.time);
        let tail = Tail { first_seq: newest, file, inode, len, next_seq, prev, begun_at, first_hash, is_synced: false };
        self.tail = Some(tail);
        if rest.is_empty() { Ok(()) } else { self.tell_mended(&rest, now) }
    }

    fn tell_mended(&mut self, rest: &[u8], now: Timestamp) -> io::Result<()> {
        let bytes = rest.len() as u64;
        tracing::warn!(bytes, "the last line of the audit log was cut by a crash or a full disk, and is taken off");
        let mended = OfLog::Mended { bytes, sha256: hex(&Sha256::digest(rest)) };
        self.write(&[(now, of_log(mended))]).map(drop)
    }

    /// Begins the newest segment again, whose first line was cut short: it follows the one before.
    fn begin_instead(&mut self, newest: u64, end: &End, now: Timestamp) -> io::Result<()> {
        let before = list(&self.dir)?.into_iter().rev().find(|first| *first < newest);
        let (prev, first_hash, is_damaged) = match before {
            None => (NO_HASH, None, newest != 1),
            Some(before) => {
                let former = end_of(&mut File::open(path_of(&self.dir, before))?, before)?;
                let head = head(&self.dir, before)?;
                let first_hash = head.as_ref().and_then(|head| head.first_hash.or(Some(head.hash)));
                let follows = !former.is_damaged && former.rest.is_empty() && former.next_seq == newest;
                (if follows { former.prev } else { NO_HASH }, first_hash, !follows)
            }
        };
        if end.len > 0 {
            // Whole lines without a head are no segment of ours; they stay for whoever looks.
            return self.begin(end.next_seq.max(newest + 1), NO_HASH, first_hash, true, now);
        }
        fs::remove_file(path_of(&self.dir, newest))?;
        self.begin(newest, prev, first_hash, is_damaged, now)?;
        if end.rest.is_empty() { Ok(()) } else { self.tell_mended(&end.rest, now) }
    }

    fn begin_next(&mut self, now: Timestamp) -> io::Result<()> {
        self.sync()?;
        let Some(tail) = &self.tail else { return Ok(()) };
        let (seq, prev, first_hash) = (tail.next_seq, tail.prev, tail.first_hash);
        self.begin(seq, prev, first_hash, false, now)
    }

    /// Begins a segment with its first line.
    fn begin(
        &mut self,
        seq: u64,
        prev: Hash,
        first_hash: Option<Hash>,
        after_damage: bool,
        now: Timestamp,
    ) -> io::Result<()> {
        let key = self.sealer.key.as_ref().map(|key| key.id().to_owned());
        let begun = OfLog::Begun { format: FORMAT, key, first_hash: first_hash.map(|hash| hex(&hash)), after_damage };
        let Sealed { bytes, hash } = self.sealer.seal(&of_log(begun), seq, now, &prev);
        let mut options = OpenOptions::new();
        let path = path_of(&self.dir, seq);
        let mut file = options.read(true).append(true).create_new(true).mode(0o600).open(&path)?;
        let written = file.write_all(&bytes).and_then(|()| file.sync_all());
        if let Err(error) = written.and_then(|()| File::open(&self.dir)?.sync_all()) {
            // Left behind, it is found without a first line and begun again.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        let (inode, len) = (file.metadata()?.ino(), bytes.len() as u64);
        let first_hash = first_hash.or(Some(hash));
        let (next_seq, prev, begun_at) = (seq + 1, hash, now);
        self.tail =
            Some(Tail { first_seq: seq, file, inode, len, next_seq, prev, begun_at, first_hash, is_synced: true });
        Ok(())
    }

    /// Removes what is too old from a log to which nothing is added, perhaps. A segment that holds more than its first line ends when its time
    /// is over, so that what is in it can be removed in its turn.
    pub(super) fn retire_due(&mut self, now: Timestamp) -> io::Result<()> {
        if list(&self.dir)?.is_empty() {
            return Ok(());
        }
        let _lock = self.lock()?;
        self.find_end(now)?;
        let holds_acts = self.tail.as_ref().is_some_and(|tail| tail.next_seq > tail.first_seq + 1);
        if holds_acts && self.is_full(now) {
            self.begin_next(now)?;
        }
        self.retire(now)
    }

    /// Removes segments that are too old, or beyond what all may take, after a line that says so.
    fn retire(&mut self, now: Timestamp) -> io::Result<()> {
        let segments = list(&self.dir)?;
        let Some(first_hash) = self.tail.as_ref().and_then(|tail| tail.first_hash) else { return Ok(()) };
        let oldest_kept = SignedDuration::from_hours(24 * i64::from(self.config.retention_days));
        let mut bytes = 0;
        for first in &segments {
            bytes += fs::metadata(path_of(&self.dir, *first))?.len();
        }
        let (mut last, mut gone) = (None, Vec::new());
        for pair in segments.windows(2) {
            // All its lines are older than the first of the next one.
            let Some(next) = head(&self.dir, pair[1])? else { break };
            if now.duration_since(next.time) < oldest_kept && bytes <= self.config.bytes_max {
                break;
            }
            bytes -= fs::metadata(path_of(&self.dir, pair[0]))?.len();
            last = Some((pair[1] - 1, next.prev));
            gone.push(pair[0]);
        }
        let Some((last_seq, last_hash)) = last else { return Ok(()) };
        let retired = OfLog::Retired { first_hash: hex(&first_hash), last_seq, last_hash: hex(&last_hash) };
        self.write(&[(now, of_log(retired))])?;
        self.sync()?;
        for first in &gone {
            fs::remove_file(path_of(&self.dir, *first))?;
        }
        File::open(&self.dir)?.sync_all()?;
        tracing::info!(segments = gone.len(), last_seq, "segments of the audit log were retired");
        Ok(())
    }

    /// Says that lines lose something, and waits until that is on disk.
    pub(super) fn announce(&mut self, _: &Lock, redacted: OfLog, now: Timestamp) -> io::Result<()> {
        self.find_end(now)?;
        self.write(&[(now, of_log(redacted))])?;
        self.sync()
    }
}

/// Reads where the whole lines of a segment end. A last line that is whole and cannot be read is damage, for no crash leaves one.
fn end_of(file: &mut File, first_seq: u64) -> io::Result<End> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    let len = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let rest = bytes.split_off(len);
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let last = lines.last().map(|line| Line::read(line).ok().and_then(|line| Some((line.seq, line.own_hash()?))));
    let (next_seq, prev, is_damaged) = match last {
        None => (first_seq, NO_HASH, false),
        Some(Some((seq, hash))) => (seq + 1, hash, false),
        Some(None) => (first_seq + lines.len() as u64, NO_HASH, true),
    };
    Ok(End { len: len as u64, next_seq, prev, is_damaged, rest })
}
