//! The file of one person's conversations in one workspace: whose they are, then a turn a line, oldest first.
//!
//! Turns are added at the end; what goes is left out of a new file, which takes the place of the old when it is whole. Invariant: but for a
//! last line that a crash has cut, which is taken off before the next is added, every line can be read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use schemas::ids::{UserId, WorkspaceId};
use serde::{Deserialize, Serialize};

use super::turn::Turn;

/// Ends the name of a file.
pub(super) const ENDING: &str = "ndjson";
/// Ends the name of one that is being written.
pub(super) const ASIDE: &str = "new";

/// Whose conversations they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    pub(super) workspace: WorkspaceId,
    pub(super) user: UserId,
}

/// A line of a file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Owner(Owner),
    Turn(Box<Turn>),
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Whose it is; `None` where it says nothing of that.
    pub(super) owner: Option<Owner>,
    /// Its turns, oldest first, each with the bytes of its line.
    pub(super) turns: Vec<(Turn, u64)>,
    /// Bytes of its whole lines.
    pub(super) bytes: u64,
    is_torn: bool,
}

impl Held {
    /// Reads a file; one that is not there holds nothing.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(mut file) => _ = file.read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let (mut held, mut unreadable) = (Self::default(), 0_u64);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(text) = line.strip_suffix(b"\n") else {
                held.is_torn = true;
                break;
            };
            held.bytes += line.len() as u64;
            match serde_json::from_slice(text) {
                Ok(Line::Owner(owner)) => held.owner = Some(owner),
                Ok(Line::Turn(turn)) => held.turns.push((*turn, line.len() as u64)),
                Err(_) => unreadable += 1,
            }
        }
        if unreadable > 0 {
            tracing::error!(lines = unreadable, "turns of a conversation cannot be read, and are left out");
        }
        Ok(held)
    }

    /// Adds a turn at the end of the file that this was read from, and answers when it is on disk.
    pub(super) fn append(&self, path: &Path, owner: &Owner, turn: &Turn) -> io::Result<u64> {
        let is_new = self.bytes == 0;
        let mut lines = if is_new { line_of(&Line::Owner(owner.clone()))? } else { Vec::new() };
        lines.extend(line_of(&Line::Turn(Box::new(turn.clone())))?);
        let mut file = options().append(true).create(true).open(path)?;
        if self.is_torn {
            tracing::warn!("the last turn of a conversation was cut by a crash and is taken off");
            file.set_len(self.bytes)?;
        }
        let written = file.write_all(&lines).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // None of it counts as written.
            let _ = file.set_len(self.bytes);
            return Err(error);
        }
        if is_new {
            sync_folder_of(path)?;
        }
        Ok(lines.len() as u64)
    }

    /// Puts a file with these turns in the place of the one that this was read from; without any it is removed. Says how long it is.
    /// Unless it `is_used`, it stays as old as it was: what was not gone on with for longest goes first.
    pub(super) fn replace(&self, path: &Path, owner: &Owner, is_used: bool) -> io::Result<u64> {
        if self.turns.is_empty() {
            remove(path)?;
            return Ok(0);
        }
        let mut lines = line_of(&Line::Owner(owner.clone()))?;
        for (turn, _) in &self.turns {
            lines.extend(line_of(&Line::Turn(Box::new(turn.clone())))?);
        }
        let modified = fs::metadata(path).and_then(|about| about.modified());
        let aside = aside(path);
        let mut file = options().write(true).create(true).truncate(true).open(&aside)?;
        file.write_all(&lines)?;
        if let Some(modified) = modified.ok().filter(|_| !is_used) {
            file.set_modified(modified)?;
        }
        file.sync_all()?;
        fs::rename(&aside, path)?;
        sync_folder_of(path)?;
        Ok(lines.len() as u64)
    }
}

/// Bytes that the line of a turn takes.
pub(super) fn bytes_of(turn: &Turn) -> io::Result<u64> {
    Ok(line_of(&Line::Turn(Box::new(turn.clone())))?.len() as u64)
}

/// Removes a file, if it is there, and what a crash left beside it.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    for path in [&aside(path), path] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension(ASIDE)
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// It holds what people asked: for the owner of the process alone.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn line_of(line: &Line) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes)
}
