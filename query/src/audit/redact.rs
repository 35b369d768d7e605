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
    let Some(what) = what else { return Loss::Nothing };
    if what.workspaces().any(|id| WorkspaceId::new(id).is_ok_and(|workspace| erased.workspace(&workspace))) {
        return Loss::Both;
    }
    let Some(workspace) = &what.workspace else { return Loss::Nothing };
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

/// What the log was last cleaned of, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Swept {
    fingerprint: [u8; 32],
    /// The last line that was looked at.
    last_seq: u64,
}

impl Swept {
    /// None where nothing can be known: it is not there, or of a release that did not say how far it had looked.
    fn read(path: &Path) -> Option<Self> {
        let bytes = fs::read(path).ok()?;
        let (fingerprint, last_seq) = bytes.split_first_chunk()?;
        Some(Self { fingerprint: *fingerprint, last_seq: u64::from_le_bytes(last_seq.try_into().ok()?) })
    }

    fn write(self, file: &mut BufWriter<File>) -> io::Result<()> {
        file.write_all(&self.fingerprint)?;
        file.write_all(&self.last_seq.to_le_bytes())
    }
}

/// Takes out of the log whoever was erased, and returns how many lines lost something. Reads the lines that were added since the last time, and
/// all of them where somebody was erased since: commands write beside a server, and may name whom it has long taken out.
pub(super) fn redact(log: &mut Segments, erased: &dyn Erased, now: Timestamp) -> io::Result<u64> {
    let fingerprint = erased.fingerprint();
    let path = log.dir().join(SWEPT_FILE);
    let swept = Swept::read(&path);
    let looked_at = swept.filter(|swept| swept.fingerprint == fingerprint).map_or(0, |swept| swept.last_seq);
    let (mut redacted, mut last_seq) = redact_after(log, looked_at, erased, now)?;
    if last_seq < looked_at {
        // Its files were removed, and it began anew.
        let (lines, last) = redact_after(log, 0, erased, now)?;
        (redacted, last_seq) = (redacted + lines, last);
    }
    let now_swept = Swept { fingerprint, last_seq };
    if swept == Some(now_swept) {
        return Ok(redacted);
    }
    // Another process may sweep at the same time, and what is written aside has one name.
    let _lock = log.lock()?;
    // A line that a power cut takes back gives its number to another one, which was not looked at.
    log.sync()?;
    write_aside(log.dir(), &path, &mut |file| now_swept.write(file))?;
    Ok(redacted)
}

/// Takes out of the lines after `looked_at`. How many lost something, and the last line that there was.
fn redact_after(log: &mut Segments, looked_at: u64, erased: &dyn Erased, now: Timestamp) -> io::Result<(u64, u64)> {
    let segments = list(log.dir())?;
    let (mut redacted, mut last_seq) = (0, 0);
    for (at, &first) in segments.iter().enumerate() {
        let is_looked_at = segments.get(at + 1).is_some_and(|next| *next <= looked_at.saturating_add(1));
        if !is_looked_at {
            let (lines, last) = redact_segment(log, first, looked_at, erased, now)?;
            (redacted, last_seq) = (redacted + lines, last_seq.max(last));
        }
    }
    Ok((redacted, last_seq))
}

fn redact_segment(
    log: &mut Segments,
    first: u64,
    looked_at: u64,
    erased: &dyn Erased,
    now: Timestamp,
) -> io::Result<(u64, u64)> {
    let path = path_of(log.dir(), first);
    let lock = log.lock()?;
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        // Retired meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
        Err(error) => return Err(error),
    };
    let (mut who, mut both, mut last_seq) = (BTreeSet::new(), BTreeSet::new(), 0);
    for line in bytes.split(|byte| *byte == b'\n').filter_map(|line| Line::read(line).ok()) {
        last_seq = line.seq;
        if line.seq <= looked_at {
            continue;
        }
        match loss(erased, line.who().as_ref(), line.what().as_ref()) {
            Loss::Nothing => {}
            Loss::Who => _ = who.insert(line.seq),
            Loss::Both => _ = both.insert(line.seq),
        }
    }
    let count = (who.len() + both.len()) as u64;
    if count == 0 {
        return Ok((0, last_seq));
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
    Ok((count, last_seq))
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
