//! Erasure in the audit log: who was erased is taken out of its lines, and the chain still holds.
//!
//! With a person goes who, with a workspace who and what. A line says which lines lose what before they do, so that whoever verifies can tell
//! an erasure from a forgery. Invariant: once [`redact`] returned, no line in the files names anyone that was erased then.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use index::Index;
use jiff::Timestamp;
use schemas::ids::{UserId, WorkspaceId};

use super::act::{Act, Actor, OfLog, What, Who};
use super::line::{Hash, Line};
use super::segments::{Segments, list, path_of};

const NEW_FILE: &str = "segment.new";
/// What the log was last cleaned of, so that a start need not read it all.
const SWEPT_FILE: &str = "swept";

/// Knows who was erased.
pub trait Erased: Send + Sync {
    /// Whether a workspace was.
    fn workspace(&self, workspace: &WorkspaceId) -> bool;
    /// Whether a person of a workspace was.
    fn person(&self, workspace: &WorkspaceId, user: &UserId) -> bool;
    /// Names all who were: another one whenever somebody is added.
    fn fingerprint(&self) -> [u8; 32];
}

impl Erased for Index {
    fn workspace(&self, workspace: &WorkspaceId) -> bool {
        self.catalog().get(workspace).is_some_and(|workspace| workspace.read().erased)
    }

    fn person(&self, workspace: &WorkspaceId, user: &UserId) -> bool {
        self.catalog().get(workspace).is_some_and(|workspace| !workspace.read().may_name(user))
    }

    fn fingerprint(&self) -> [u8; 32] {
        let mut all = BTreeSet::new();
        for workspace in self.catalog().workspaces() {
            let state = workspace.read();
            if state.erased {
                all.insert((workspace.id.clone(), None));
            }
            let people = state.people().filter(|user| !state.may_name(user));
            all.extend(people.map(|user| (workspace.id.clone(), Some(user.clone()))));
        }
        let mut hasher = blake3::Hasher::new();
        for (workspace, user) in &all {
            let user = user.as_ref().map_or("", UserId::as_str);
            hasher.update(workspace.as_str().as_bytes()).update(b"\0").update(user.as_bytes()).update(b"\n");
        }
        *hasher.finalize().as_bytes()
    }
}

/// What an act loses, or a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Nothing,
    Who,
    Both,
}

fn loss(erased: &dyn Erased, who: Option<&Who>, what: Option<&What>) -> Loss {
    let Some(workspace) = what.and_then(|what| what.workspace.as_ref()) else { return Loss::Nothing };
    if erased.workspace(workspace) {
        return Loss::Both;
    }
    let is_named = |who: &Who| {
        let named = who.actor.user().into_iter().chain(&who.about);
        named.into_iter().any(|user| erased.person(workspace, user))
    };
    if who.is_some_and(is_named) { Loss::Who } else { Loss::Nothing }
}

/// How many lines of the log in a folder name a workspace, or a person of it where one is named, as the actor or as the one they are about. Cost:
/// reads the log.
pub fn lines_of(dir: &Path, workspace: &WorkspaceId, user: Option<&UserId>) -> io::Result<u64> {
    struct One<'a>(&'a WorkspaceId, Option<&'a UserId>);
    impl Erased for One<'_> {
        fn workspace(&self, workspace: &WorkspaceId) -> bool {
            self.1.is_none() && workspace == self.0
        }

        fn person(&self, workspace: &WorkspaceId, user: &UserId) -> bool {
            workspace == self.0 && self.1 == Some(user)
        }

        fn fingerprint(&self) -> [u8; 32] {
            [0; 32]
        }
    }
    let one = One(workspace, user);
    let mut lines = 0;
    for first in if dir.exists() { list(dir)? } else { Vec::new() } {
        let bytes = match fs::read(path_of(dir, first)) {
            Ok(bytes) => bytes,
            // Retired meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let read = bytes.split(|byte| *byte == b'\n').filter_map(|line| Line::read(line).ok());
        lines +=
            read.filter(|line| loss(&one, line.who().as_ref(), line.what().as_ref()) != Loss::Nothing).count() as u64;
    }
    Ok(lines)
}

/// An act as it may be written now.
pub(super) fn without_erased(mut act: Act, erased: &dyn Erased) -> Act {
    let loss = loss(erased, Some(&act.who), Some(&act.what));
    if loss != Loss::Nothing {
        act.who = Actor::Erased.into();
    }
    if loss == Loss::Both {
        act.what = What::new(act.what.kind);
    }
    act
}

/// Takes out of the log whoever was erased, and returns how many lines lost something. Does nothing where nobody was since the last time.
pub(super) fn redact(log: &mut Segments, erased: &dyn Erased, now: Timestamp) -> io::Result<u64> {
    let fingerprint = erased.fingerprint();
    let swept = log.dir().join(SWEPT_FILE);
    if fs::read(&swept).is_ok_and(|swept| swept == fingerprint) {
        return Ok(0);
    }
    let mut redacted = 0;
    for first in list(log.dir())? {
        redacted += redact_segment(log, first, erased, now)?;
    }
    // Another process may sweep at the same time, and what is written aside has one name.
    let _lock = log.lock()?;
    write_aside(log.dir(), &swept, &mut |file| file.write_all(&fingerprint))?;
    Ok(redacted)
}

fn redact_segment(log: &mut Segments, first: u64, erased: &dyn Erased, now: Timestamp) -> io::Result<u64> {
    let path = path_of(log.dir(), first);
    let lock = log.lock()?;
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        // Retired meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let (mut who, mut both) = (BTreeSet::new(), BTreeSet::new());
    for line in bytes.split(|byte| *byte == b'\n').filter_map(|line| Line::read(line).ok()) {
        match loss(erased, line.who().as_ref(), line.what().as_ref()) {
            Loss::Nothing => {}
            Loss::Who => _ = who.insert(line.seq),
            Loss::Both => _ = both.insert(line.seq),
        }
    }
    let count = (who.len() + both.len()) as u64;
    if count == 0 {
        return Ok(0);
    }
    log.announce(&lock, OfLog::Redacted { segment: first, who: ranges(&who), both: ranges(&both) }, now)?;
    // The announcement may be in this same segment.
    let bytes = fs::read(&path)?;
    write_aside(log.dir(), &path, &mut |file| {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match Line::read(line.trim_ascii_end()) {
                Ok(read) if both.contains(&read.seq) => file.write_all(&read.without(line, true))?,
                Ok(read) if who.contains(&read.seq) => file.write_all(&read.without(line, false))?,
                _ => file.write_all(line)?,
            }
        }
        Ok(())
    })?;
    Ok(count)
}

/// Writes a file whole before it takes the place of the former one. Whoever calls it holds the lock.
fn write_aside(
    dir: &Path,
    path: &Path,
    write: &mut dyn FnMut(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let aside = dir.join(NEW_FILE);
    let mut options = OpenOptions::new();
    let mut file = BufWriter::new(options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?);
    write(&mut file)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(dir)?.sync_all()
}

/// Numbers as `5-7,9`.
fn ranges(numbers: &BTreeSet<u64>) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let text =
        ranges.iter().map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    text.collect::<Vec<_>>().join(",")
}

/// Reads what [`ranges`] wrote; what cannot be read is left out.
pub(super) fn read_ranges(text: &str) -> impl Iterator<Item = (u64, u64)> {
    text.split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some((first.parse().ok()?, last.parse().ok()?))
    })
}

/// The hash of a line, as commands name it.
pub(super) fn named(seq: u64, hash: &Hash) -> String {
    format!("{seq}:{}", crate::hex::hex(hash))
}
