//! Dead letters: events that were turned down, kept in a file with the reason, so that nothing is lost silently.
//!
//! One JSON object a line: `{time, reason, field, code, event}`, or `event_base64` where the bytes are no UTF-8; `topic`,
//! `partition` and `offset` of what came from a stream, `table` and `row` of what came from a database; and `sent_for`, the workspace
//! that its sender wrote for, so that nobody's events become another's when they are written again. It logs no content.
//! Invariants: [`DeadLetters::append`] and [`DeadLetters::scrub`] return when their lines are on disk, and the file and the one set
//! aside together are at most twice the configured size and one batch more.

mod lines;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use schemas::event::{Event, InvalidCode, InvalidEvent};
use schemas::ids::WorkspaceId;
use serde::{Deserialize, Serialize};

use lines::may_be_of;
pub use lines::{each_line, may_concern};

/// Name of the file.
const FILE: &str = "dead-letters.ndjson";
/// Name of the former file, once it was full.
const FORMER_FILE: &str = "dead-letters.1.ndjson";
/// Name of a file that is being rewritten.
const NEW_FILE: &str = "dead-letters.new";

/// The names of all files of dead letters, the one that is written to first.
pub const FILES: [&str; 2] = [FILE, FORMER_FILE];

/// An event that was turned down, and why.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    /// The event as it came.
    pub event: &'a [u8],
    /// What is wrong with it.
    pub error: &'a InvalidEvent,
    /// Where it was read, if it came from a stream or a table.
    pub origin: Option<Origin<'a>>,
    /// For which workspace it was sent.
    pub sent_for: SentFor<'a>,
}

/// For which workspace an event was sent, as far as its sender may write there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentFor<'a> {
    /// For whichever it names: its sender may write to all, as the operator's own database may.
    Any,
    /// For this one: the key of a message, or one that the sender of a request may write to.
    One(&'a str),
    /// For none that its sender may write to.
    Nobody,
}

/// Where an event was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// A place in a stream.
    Stream {
        /// The topic.
        topic: &'a str,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// A row of a table.
    Row {
        /// The table.
        table: &'a str,
        /// What tells the row from others of the table.
        row: &'a str,
    },
}

/// A dead letter as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLetter {
    /// When it was turned down.
    pub time: jiff::Timestamp,
    /// What is wrong with it.
    pub reason: String,
    /// The field concerned; empty for the event as a whole.
    pub field: String,
    /// The kind of problem.
    pub code: InvalidCode,
    /// The topic it was read from; none for what came another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// The offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// The table it was read from; none for what came another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// The workspace that its sender may write to and wrote for, empty where there is none such; none of a sender who may
    /// write to all, and in letters of older releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_for: Option<String>,
    /// The event as it came; none where it is no UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Its bytes in base64, where it is no UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_base64: Option<String>,
}

impl StoredLetter {
    fn new(letter: &DeadLetter<'_>, time: jiff::Timestamp) -> Self {
        let text = std::str::from_utf8(letter.event).ok();
        let mut stored = Self {
            time,
            reason: letter.error.reason.clone(),
            field: letter.error.field.clone(),
            code: letter.error.code,
            topic: None,
            partition: None,
            offset: None,
            table: None,
            row: None,
            sent_for: match letter.sent_for {
                SentFor::Any => None,
                SentFor::One(workspace) => Some(workspace.to_owned()),
                SentFor::Nobody => Some(String::new()),
            },
            event: text.map(str::to_owned),
            event_base64: text.is_none().then(|| base64(letter.event)),
        };
        match letter.origin {
            Some(Origin::Stream { topic, partition, offset }) => {
                stored.topic = Some(topic.to_owned());
                stored.partition = Some(partition);
                stored.offset = Some(offset);
            }
            Some(Origin::Row { table, row }) => {
                stored.table = Some(table.to_owned());
                stored.row = Some(row.to_owned());
            }
            None => {}
        }
        stored
    }

    /// Whether `event`, which was read from this letter, may be taken after all: not where its sender may not write to its
    /// workspace. What an older release kept does not say who sent it, but whether that was the reason.
    pub fn may_be_taken(&self, event: &Event) -> bool {
        self.code != InvalidCode::WrongWorkspace
            && self.sent_for.as_deref().is_none_or(|workspace| workspace == event.workspace.as_str())
    }
}

/// Reads the letters in a folder, oldest first, and gives each to `take` until it breaks off. A line that cannot be read, as
/// a crash may leave one, is passed over. Cost: reads both files line by line.
pub fn read(dir: &Path, take: &mut dyn FnMut(StoredLetter) -> ControlFlow<()>) -> io::Result<()> {
    for name in FILES.into_iter().rev() {
        let file = match File::open(dir.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).split(b'\n') {
            let Ok(letter) = serde_json::from_slice(&line?) else { continue };
            if take(letter).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The file of dead letters.
#[derive(Debug)]
pub struct DeadLetters {
    dir: PathBuf,
    bytes_max: u64,
    open: Mutex<Option<(File, u64)>>,
}

impl DeadLetters {
    /// Dead letters in a folder, made when the first one comes.
    pub fn new(dir: &Path, bytes_max: u64) -> Self {
        Self { dir: dir.to_owned(), bytes_max, open: Mutex::new(None) }
    }

    /// Where they are.
    pub fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// Writes some and waits until they are on disk.
    pub fn append(&self, letters: &[DeadLetter<'_>], time: jiff::Timestamp) -> io::Result<()> {
        if letters.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for letter in letters {
            serde_json::to_writer(&mut lines, &StoredLetter::new(letter, time))?;
            lines.push(b'\n');
        }
        // What fails is opened anew the next time, and a line cut short is cut off then.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut file, mut bytes) = match open.take() {
            Some(opened) => opened,
            None => self.open()?,
        };
        if bytes > 0 && bytes + lines.len() as u64 > self.bytes_max {
            std::fs::rename(self.path(), self.dir.join(FORMER_FILE))?;
            (file, bytes) = self.open()?;
        }
        file.write_all(&lines)?;
        file.sync_data()?;
        *open = Some((file, bytes + lines.len() as u64));
        Ok(())
    }

    /// Takes out the letters of erased workspaces and waits until the rest is on disk; returns how many went.
    ///
    /// A letter whose workspace cannot be read goes too, for it may be of one of them; so does one that one of them sent. Cost: reads both files, and writes
    /// those again that lose something; new letters wait meanwhile.
    pub fn scrub(&self, erased: &BTreeSet<WorkspaceId>) -> io::Result<usize> {
        if erased.is_empty() {
            return Ok(0);
        }
        self.scrub_where(&|line| may_be_of(line, &|workspace| erased.contains(workspace)))
    }

    /// Takes out the letters whose lines are to go, as [`DeadLetters::scrub`] does.
    pub fn scrub_where(&self, goes: &dyn Fn(&[u8]) -> bool) -> io::Result<usize> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scrubbed = 0;
        for name in [FILE, FORMER_FILE] {
            let path = self.dir.join(name);
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let aside = self.dir.join(NEW_FILE);
            let mut kept = BufWriter::new(File::create(&aside)?);
            let mut gone = 0;
            for line in BufReader::new(file).split(b'\n') {
                let line = line?;
                if goes(&line) {
                    gone += 1;
                } else {
                    kept.write_all(&line)?;
                    kept.write_all(b"\n")?;
                }
            }
            let kept = kept.into_inner().map_err(io::IntoInnerError::into_error)?;
            if gone == 0 {
                std::fs::remove_file(&aside)?;
                continue;
            }
            kept.sync_all()?;
            std::fs::rename(&aside, &path)?;
            File::open(&self.dir)?.sync_all()?;
            // The next letter goes into the new file.
            *open = None;
            scrubbed += gone;
        }
        Ok(scrubbed)
    }

    fn open(&self) -> io::Result<(File, u64)> {
        std::fs::create_dir_all(&self.dir)?;
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(self.path())?;
        let mut bytes = file.metadata()?.len();
        let whole = end_of_last_line(&mut file, bytes)?;
        if whole < bytes {
            // Of a crash or a full disk: whoever sent it was not told that it is kept.
            file.set_len(whole)?;
            bytes = whole;
        }
        Ok((file, bytes))
    }
}

/// Where the last whole line of a file ends, read from its end backwards.
fn end_of_last_line(file: &mut File, len: u64) -> io::Result<u64> {
    let mut block = [0; 8 << 10];
    let mut end = len;
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use schemas::event::Change;
    use schemas::ids::RegionId;
    use schemas::version::{Timestamp, VectorClock, Version};

    use super::*;

    fn error() -> InvalidEvent {
        InvalidEvent::new(InvalidCode::Malformed, "data", "is not right")
    }

    #[test]
    fn letters_are_kept_as_they_came() {
        let dir = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(&dir.path().join("new"), 1 << 20);
        let error = error();
        let both = [b"{\"a\":1}".as_slice(), b"\xff\xfe"].map(|event| DeadLetter {
            event,
            error: &error,
            origin: None,
            sent_for: SentFor::Any,
        });
        letters.append(&both, jiff::Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(
            std::fs::read_to_string(letters.path()).unwrap(),
            concat!(
                r#"{"time":"1970-01-01T00:00:00Z","reason":"is not right","field":"data","code":"malformed","event":"{\"a\":1}"}"#,
                "\n",
                r#"{"time":"1970-01-01T00:00:00Z","reason":"is not right","field":"data","code":"malformed","event_base64":"//4="}"#,
                "\n"
            )
        );
    }

    /// What was refused because its sender may not write to its workspace was written into it by a replay.
    #[test]
    fn a_letter_says_for_whom_it_was_sent_and_nobody_elses_event_is_taken_from_it() {
        let region = RegionId::new("eu").unwrap();
        let version =
            Version { clock: VectorClock::of(&region, 1), timestamp: Timestamp { wall_ms: 1, logical: 0 }, region };
        let event = Event {
            id: "1".to_owned(),
            source: "/test".to_owned(),
            workspace: WorkspaceId::new("acme").unwrap(),
            time: None,
            version,
            change: Change::WorkspaceErased,
        };
        let check = |code: InvalidCode, sent_for: SentFor<'_>, stored: Option<&str>, expected: bool| {
            let error = InvalidEvent::new(code, "data", "is not right");
            let letter = DeadLetter { event: b"{}", error: &error, origin: None, sent_for };
            let letter = StoredLetter::new(&letter, jiff::Timestamp::UNIX_EPOCH);
            let read: StoredLetter = serde_json::from_str(&serde_json::to_string(&letter).unwrap()).unwrap();
            assert_eq!(read.sent_for.as_deref(), stored);
            assert_eq!(read.may_be_taken(&event), expected, "{code:?} {sent_for:?}");
        };
        check(InvalidCode::ClockAhead, SentFor::Any, None, true);
        check(InvalidCode::ClockAhead, SentFor::One("acme"), Some("acme"), true);
        check(InvalidCode::ClockAhead, SentFor::One("globex"), Some("globex"), false);
        check(InvalidCode::ClockAhead, SentFor::Nobody, Some(""), false);
        check(InvalidCode::WrongWorkspace, SentFor::Any, None, false);
        check(InvalidCode::WrongWorkspace, SentFor::One("acme"), Some("acme"), false);
    }

    #[test]
    fn a_full_file_is_set_aside_once() {
        let dir = tempfile::tempdir().unwrap();
        let error = error();
        let letter = |n: usize| vec![b'a' + n as u8; 300];
        for n in 0..8 {
            // Opened anew each time, as after a restart.
            let letters = DeadLetters::new(dir.path(), 1000);
            let event = letter(n);
            letters
                .append(
                    &[DeadLetter { event: &event, error: &error, origin: None, sent_for: SentFor::Any }],
                    jiff::Timestamp::UNIX_EPOCH,
                )
                .unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!((read(FORMER_FILE).lines().count(), read(FILE).lines().count()), (2, 2));
        assert!(read(FILE).contains("hhh"));
    }

    #[test]
    fn letters_of_an_erased_workspace_go_with_those_that_may_be_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let error = error();
        let letters = DeadLetters::new(dir.path(), 600);
        assert_eq!(letters.scrub(&[WorkspaceId::new("gone").unwrap()].into()).unwrap(), 0);
        let append = |event: &[u8]| {
            letters
                .append(
                    &[DeadLetter { event, error: &error, origin: None, sent_for: SentFor::Any }],
                    jiff::Timestamp::UNIX_EPOCH,
                )
                .unwrap();
        };
        append(br#"{"workspaceid":"kept","data":"of gone"}"#);
        append(br#"{"workspaceid":"gone","data":"MARKER"}"#);
        let event = br#"{"workspaceid":"kept","data":"MARKER"}"#;
        let letter = DeadLetter { event, error: &error, origin: None, sent_for: SentFor::One("gone") };
        letters.append(&[letter], jiff::Timestamp::UNIX_EPOCH).unwrap();
        append(br#"{"workspaceid":"gone","data":"MARKER","#);
        append(b"MARKER \xff");
        append(br#"{"workspaceid":"kept","data":2}"#);
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert!((read(FORMER_FILE) + &read(FILE)).contains("MARKER"));
        let scrubbed = letters.scrub(&[WorkspaceId::new("gone").unwrap()].into()).unwrap();
        append(br#"{"workspaceid":"kept","data":3}"#);
        let (former, now) = (read(FORMER_FILE), read(FILE));
        assert!(!former.contains("MARKER") && !now.contains("MARKER"), "{former}{now}");
        assert!(now.contains("data\\\":3"), "{now}");
        assert!(scrubbed >= 1, "{scrubbed}");
        assert!(!dir.path().join(NEW_FILE).exists());
    }

    #[test]
    fn a_line_cut_short_by_a_crash_or_a_full_disk_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let error = error();
        let letter = DeadLetter { event: b"{}", error: &error, origin: None, sent_for: SentFor::Any };
        let append = || DeadLetters::new(dir.path(), 1 << 20).append(&[letter], jiff::Timestamp::UNIX_EPOCH).unwrap();
        append();
        let path = dir.path().join(FILE);
        for cut in [1, 40_000] {
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(&vec![b'x'; cut]).unwrap();
            append();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!((text.lines().count(), text.contains('x')), (3, false));
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
