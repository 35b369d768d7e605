//! The files of the ledger: `usage.ndjson`, to which lines are added, and `usage.1.ndjson`, the one before it.
//!
//! A file begins with the sums of all that is not in it. A new one is made whole aside before it takes the place of the old,
//! so whenever the machine stops, the newest is whole. Invariant: but for a last line that a crash has cut, every line can be
//! read.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::sums::Sums;
use super::{Entry, Sum};

const NAME: &str = "usage.ndjson";
const FORMER: &str = "usage.1.ndjson";
const ASIDE: &str = "usage.new.ndjson";

/// A line of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Line {
    /// What calls took that are in no line.
    Sum {
        /// Tells it from a call.
        sum: Sum,
    },
    /// A call.
    Call(Entry),
}

/// The newest file, open at its end.
#[derive(Debug)]
pub(super) struct LedgerFile {
    dir: PathBuf,
    file: File,
    /// Bytes of whole lines.
    len: u64,
    /// Bytes of its sums, at its head.
    head: u64,
    /// Bytes of the last lines that were added.
    last_appended: Option<u64>,
    /// There may be a part of a line after the whole ones.
    has_rest: bool,
}

impl LedgerFile {
    /// Opens the newest file, or begins one, and sums up what it holds.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Sums)> {
        std::fs::create_dir_all(dir)?;
        let file = options().append(true).open(dir.join(NAME))?;
        let (len, head, sums) = read(&file)?;
        if file.metadata()?.len() > len {
            tracing::warn!("the last line of the usage ledger was cut by a crash and is taken off");
            file.set_len(len)?;
        }
        Ok((Self { dir: dir.to_owned(), file, len, head, last_appended: None, has_rest: false }, sums))
    }

    /// Bytes of calls in the file.
    pub(super) fn calls_bytes(&self) -> u64 {
        self.len - self.head
    }

    /// Adds lines, and answers when they are on disk. After an error none of them counts as written.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.last_appended = None;
        if self.has_rest {
            self.file.set_len(self.len)?;
        }
        self.has_rest = true;
        self.file.write_all(lines)?;
        self.file.sync_data()?;
        self.has_rest = false;
        self.len += lines.len() as u64;
        self.last_appended = Some(lines.len() as u64);
        Ok(())
    }

    /// Writes somewhere else from now on, to see what comes of it.
    #[cfg(test)]
    pub(super) fn replace_file(&mut self, file: File) {
        self.file = file;
    }

    /// Whether these lines, the last that were to be added, are in the file.
    pub(super) fn has(&self, lines: &[u8]) -> bool {
        self.last_appended == Some(lines.len() as u64)
    }

    /// Removes the file before this one, if there is one.
    pub(super) fn remove_former(&self) -> io::Result<()> {
        std::fs::remove_file(self.dir.join(FORMER)).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })
    }

    /// Sets the file aside and begins a new one with the sums of all until now. After an error the old one is gone on with.
    pub(super) fn begin_anew(&mut self, sums: impl Iterator<Item = Sum>) -> io::Result<()> {
        let (path, former, aside) = (self.dir.join(NAME), self.dir.join(FORMER), self.dir.join(ASIDE));
        let mut new = BufWriter::new(options().write(true).truncate(true).open(&aside)?);
        let mut head = 0;
        for sum in sums {
            let line = line_of(&Line::Sum { sum });
            new.write_all(&line)?;
            head += line.len() as u64;
        }
        new.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        let file = options().append(true).open(&aside)?;
        // A second name for the old file, so that there is a newest one at every moment. Where there can be none, it goes.
        let kept = self.remove_former().and_then(|()| std::fs::hard_link(&path, &former));
        if let Err(error) = kept {
            tracing::warn!(%error, "the former file of the usage ledger is not kept; its sums are");
        }
        std::fs::rename(&aside, &path)?;
        (self.file, self.len, self.head, self.has_rest) = (file, head, head, false);
        File::open(&self.dir)?.sync_all()
    }
}

/// It says who asked how much: for the owner of the process alone.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// A line, its end included.
pub(super) fn line_of(line: &Line) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(line).expect("a line has text for its keys and no number that JSON lacks");
    bytes.push(b'\n');
    bytes
}

/// The bytes of whole lines of a file, those of its head, and its sums.
fn read(file: &File) -> io::Result<(u64, u64, Sums)> {
    let mut reader = BufReader::new(file);
    let (mut sums, mut len, mut head, mut unreadable) = (Sums::default(), 0, 0, 0_u64);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let read = reader.read_until(b'\n', &mut bytes)? as u64;
        if bytes.last() != Some(&b'\n') {
            break;
        }
        match serde_json::from_slice(&bytes) {
            Ok(Line::Sum { sum }) => {
                sums.add(sum);
                head = len + read;
            }
            Ok(Line::Call(entry)) => sums.add_entry(&entry),
            Err(_) => unreadable += 1,
        }
        len += read;
    }
    if unreadable > 0 {
        tracing::error!(lines = unreadable, "lines of the usage ledger cannot be read: its sums are too low");
    }
    Ok((len, head, sums))
}
