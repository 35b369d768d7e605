//! Reading the audit log: proving that it is whole, and looking up who did what.
//!
//! Reads beside whoever writes, one segment in memory at a time. It says what is proven, what was retired, mended, lost or erased, and what is
//! wrong; it changes nothing.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use schemas::ids::{PageId, WorkspaceId};
use serde::Serialize;

use super::act::{Kind, OfLog, What, Who};
use super::line::{AuditKey, Fault, Hash, LINE_BYTES_MAX, Line, NO_HASH};
use super::redact::{named, read_ranges};
use super::segments::{head, list, path_of};
use crate::hex::{hex, unhex};

/// Problems that are listed; of more, their number.
const PROBLEMS_MAX: usize = 100;
/// Ranges of erased lines that are remembered.
const RANGES_MAX: usize = 4_000_000;

/// What was proven of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing is wrong with it.
    pub intact: bool,
    /// Segments that are there.
    pub segments: usize,
    /// Lines that are there.
    pub lines: u64,
    /// The first of them.
    pub first_seq: u64,
    /// The last of them.
    pub last_seq: u64,
    /// The last line by its number and hash: written down elsewhere, it proves later that nothing before it was changed or removed.
    pub head: String,
    /// Lines that were retired before the first one that is there.
    pub retired: u64,
    /// The hash of the very first line, retired or not.
    pub first_hash: String,
    /// Lines that are authenticated by the key that was given.
    pub authenticated: u64,
    /// Lines that say no more who did something, by an erasure that is told in the log.
    pub erased_who: u64,
    /// Lines that say nothing more but when.
    pub erased_both: u64,
    /// Times that a torn end was cut off.
    pub mended: u64,
    /// Acts that the log says were lost.
    pub lost: u64,
    /// Whether the line that was asked for is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<bool>,
    /// Notes that were looked for and found; see [`Wanted`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noted: Option<bool>,
    /// What is wrong.
    pub problems: Vec<String>,
    /// How many more things are.
    pub more_problems: u64,
}

/// What to prove beside that the log is whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The key that lines are authenticated with.
    pub key: Option<&'a AuditKey>,
    /// A line that must be there, as [`Report::head`] named it once.
    pub holds: Option<&'a str>,
    /// A note that a line must have: its kind, name and value.
    pub note: Option<(Kind, &'a str, &'a str)>,
}

/// What is known on the way through a log.
#[derive(Default)]
struct Walk {
    report: Report,
    prev: Option<(u64, Hash)>,
    retired: Option<(u64, String)>,
    /// Ranges of lines that were said to lose who, and of those said to lose both.
    announced: [Vec<(u64, u64)>; 2],
    erased: Vec<(u64, bool)>,
    is_authenticated: bool,
    first_prev: Option<(u64, Hash)>,
}

/// Proves a log. An error only where its files cannot be read.
pub fn verify(dir: &Path, wanted: Wanted<'_>) -> io::Result<Report> {
    let mut walk = Walk::default();
    walk.report.holds = wanted.holds.map(|_| false);
    walk.report.noted = wanted.note.map(|_| false);
    let mut segments: VecDeque<u64> = if dir.exists() { list(dir)?.into() } else { VecDeque::new() };
    while let Some(first) = segments.pop_front() {
        if segments.is_empty() {
            // One may have been begun since, and explain what was read.
            segments.extend(list(dir)?.into_iter().filter(|later| *later > first));
        }
        let bytes = match fs::read(path_of(dir, first)) {
            Ok(bytes) => bytes,
            // Retired since it was listed: the line that says so is in the newest one.
            Err(error) if error.kind() == io::ErrorKind::NotFound && walk.prev.is_none() => continue,
            Err(error) => return Err(error),
        };
        walk.report.segments += 1;
        walk.segment(first, &bytes, segments.is_empty(), wanted);
    }
    Ok(walk.finish(wanted))
}

impl Walk {
    fn problem(&mut self, problem: String) {
        if self.report.problems.len() < PROBLEMS_MAX {
            self.report.problems.push(problem);
        } else {
            self.report.more_problems += 1;
        }
    }

    fn segment(&mut self, first: u64, bytes: &[u8], is_newest: bool, wanted: Wanted<'_>) {
        let mut is_first = true;
        for raw in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(raw) = raw.strip_suffix(b"\n") else {
                // Of the newest, it is being written; the next start says so if not.
                if !is_newest {
                    self.problem(format!("segment {first}: its last line is cut short"));
                }
                continue;
            };
            let line = if raw.len() > LINE_BYTES_MAX { Err(Fault::Unreadable) } else { Line::read(raw) };
            let checked = line.and_then(|line| line.check(raw, wanted.key).map(|()| line));
            match checked {
                Ok(line) => self.line(first, &line, raw, is_first, wanted),
                Err(fault) => {
                    let after = self.prev.map_or(first - 1, |(seq, _)| seq);
                    self.problem(format!("segment {first}, the line after {after}: {fault}"));
                    // It is gone on with where it says it stands.
                    if let Ok(line) = Line::read(raw) {
                        self.prev = line.own_hash().map(|hash| (line.seq, hash));
                    }
                }
            }
            is_first = false;
        }
    }

    fn line(&mut self, segment: u64, line: &Line<'_>, raw: &[u8], is_first: bool, wanted: Wanted<'_>) {
        let (Some(hash), Some(prev)) = (line.own_hash(), unhex::<32>(line.prev)) else {
            return self.problem(format!("line {}: {}", line.seq, Fault::Unreadable));
        };
        let what = line.what();
        let log = what.as_ref().and_then(|what| what.log.clone());
        self.follows(segment, line.seq, prev, is_first, log.as_ref());
        self.prev = Some((line.seq, hash));
        self.report.lines += 1;
        self.report.last_seq = line.seq;
        self.report.head = named(line.seq, &hash);
        if line.seq == 1 {
            self.report.first_hash = hex(&hash);
        }
        if wanted.holds == Some(self.report.head.as_str()) {
            self.report.holds = Some(true);
        }
        if let (Some((kind, name, value)), Some(what)) = (wanted.note, &what)
            && what.kind == kind
            && what.notes.get(name).map(String::as_str) == Some(value)
        {
            self.report.noted = Some(true);
        }
        if wanted.key.is_some() {
            if line.mac.is_some() {
                self.is_authenticated = true;
                self.report.authenticated += 1;
            } else if self.is_authenticated {
                self.problem(format!("line {}: it is not authenticated, as those before it are", line.seq));
            }
        }
        match line.lacks() {
            (true, both) if self.erased.len() < RANGES_MAX => self.erased.push((line.seq, both)),
            (false, true) => self.problem(format!("line {}: {}", line.seq, Fault::What)),
            _ => {}
        }
        if let Some(log) = log {
            self.of_log(log);
        }
        debug_assert!(raw.len() <= LINE_BYTES_MAX);
    }

    fn follows(&mut self, segment: u64, seq: u64, prev: Hash, is_first: bool, log: Option<&OfLog>) {
        let begins = match log {
            Some(OfLog::Begun { first_hash, after_damage, .. }) if is_first => {
                if let Some(first_hash) = first_hash.as_ref().filter(|_| self.report.first_hash.is_empty()) {
                    self.report.first_hash.clone_from(first_hash);
                }
                Some(*after_damage)
            }
            _ => None,
        };
        if is_first {
            if seq != segment {
                self.problem(format!("segment {segment}: it begins with line {seq}"));
            }
            match begins {
                None => self.problem(format!("segment {segment}: its first line does not begin one")),
                Some(true) => {
                    self.problem(format!(
                        "segment {segment}: the log before it was damaged, and is not proven to be what it was"
                    ));
                }
                Some(false) => {}
            }
        }
        match self.prev {
            None => {
                self.report.first_seq = seq;
                self.first_prev = Some((seq, prev));
            }
            Some(_) if begins == Some(true) => {}
            Some((before, _)) if before + 1 != seq => {
                self.problem(format!("line {seq} follows line {before}: lines are missing or out of order"));
            }
            Some((_, hash)) if hash != prev => {
                self.problem(format!("line {seq}: it does not follow the line before it, which was changed"));
            }
            Some(_) => {}
        }
    }

    fn of_log(&mut self, log: OfLog) {
        match log {
            OfLog::Retired { first_hash, last_seq, last_hash } => {
                if !self.report.first_hash.is_empty() && self.report.first_hash != first_hash {
                    self.problem(format!(
                        "what was retired up to line {last_seq} began with another line than this log"
                    ));
                }
                self.report.first_hash = first_hash;
                self.retired = Some((last_seq, last_hash));
            }
            OfLog::Mended { .. } => self.report.mended += 1,
            OfLog::Lost { acts } => self.report.lost += acts,
            OfLog::Redacted { who, both, .. } if self.announced[0].len() + self.announced[1].len() < RANGES_MAX => {
                self.announced[0].extend(read_ranges(&who));
                self.announced[1].extend(read_ranges(&both));
            }
            OfLog::Redacted { .. } | OfLog::Begun { .. } => {}
        }
    }

    fn finish(mut self, wanted: Wanted<'_>) -> Report {
        if let Some((first, prev)) = self.first_prev {
            self.report.retired = first - 1;
            let is_told = match &self.retired {
                _ if first == 1 => prev == NO_HASH,
                // Retired further than was removed: a crash came between.
                Some((last, hash)) => *last > first - 1 || (*last == first - 1 && *hash == hex(&prev)),
                None => false,
            };
            if !is_told {
                self.problem(format!(
                    "lines before {first} are missing, and the log does not say that they were retired"
                ));
            }
        }
        self.announced.iter_mut().for_each(|ranges| ranges.sort_unstable());
        for (seq, both) in std::mem::take(&mut self.erased) {
            if covers(&self.announced[1], seq) || (!both && covers(&self.announced[0], seq)) {
                self.report.erased_who += u64::from(!both);
                self.report.erased_both += u64::from(both);
            } else {
                self.problem(format!("line {seq}: something was taken out of it, and the log does not say why"));
            }
        }
        if wanted.key.is_some() && self.report.lines > 0 && self.report.authenticated == 0 {
            self.problem("no line is authenticated by this key".to_owned());
        }
        if self.report.holds == Some(false) {
            self.problem(
                "the line that must be there is not, or is another one: the log was cut or written anew".to_owned(),
            );
        }
        self.report.intact = self.report.problems.is_empty();
        self.report
    }
}

/// Whether a number is in one of the ranges, which are sorted. A line loses a part once, so they overlap only where a crash had one told twice.
fn covers(ranges: &[(u64, u64)], seq: u64) -> bool {
    let end = ranges.partition_point(|(first, _)| *first <= seq);
    ranges[..end].iter().rev().take(64).any(|(_, last)| *last >= seq)
}

/// A line as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its number.
    pub seq: u64,
    /// When it was recorded.
    pub time: Timestamp,
    /// Who; none where that was erased.
    pub who: Option<Who>,
    /// What; none where that was erased.
    pub what: Option<What>,
}

/// Which lines to show.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
    /// The actor, or the person it is about, by name.
    pub actor: Option<String>,
    /// The kind.
    pub kind: Option<Kind>,
    /// The workspace.
    pub workspace: Option<WorkspaceId>,
    /// A page.
    pub page: Option<PageId>,
}

impl Filter {
    fn holds(&self, line: &Shown) -> bool {
        let (who, what) = (line.who.as_ref(), line.what.as_ref());
        let named = |name: &String| {
            who.is_some_and(|who| {
                who.actor.name() == name || who.about.as_ref().is_some_and(|user| user.as_str() == name)
            })
        };
        let within = |id: &WorkspaceId| what.is_some_and(|what| what.workspaces().any(|named| named == id.as_str()));
        self.since.is_none_or(|since| line.time >= since)
            && self.until.is_none_or(|until| line.time <= until)
            && self.actor.as_ref().is_none_or(named)
            && self.kind.is_none_or(|kind| what.is_some_and(|what| what.kind == kind))
            && self.workspace.as_ref().is_none_or(within)
            && self.page.as_ref().is_none_or(|page| what.is_some_and(|what| what.pages.contains(page)))
    }
}

/// The last `limit` lines that a filter lets through, oldest first. Cost: reads segments from the newest back, until there are enough.
pub fn show(dir: &Path, filter: &Filter, limit: usize) -> io::Result<Vec<Shown>> {
    let mut shown: VecDeque<Shown> = VecDeque::new();
    let segments = if dir.exists() { list(dir)? } else { Vec::new() };
    for first in segments.into_iter().rev() {
        let bytes = match fs::read(path_of(dir, first)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        };
        for raw in bytes.split(|byte| *byte == b'\n').rev() {
            let Ok(line) = Line::read(raw) else { continue };
            let line = Shown { seq: line.seq, time: line.time, who: line.who(), what: line.what() };
            if filter.holds(&line) {
                shown.push_front(line);
            }
            if shown.len() >= limit {
                return Ok(shown.into());
            }
        }
        let is_over = head(dir, first)?.zip(filter.since).is_some_and(|(head, since)| head.time < since);
        if is_over {
            break;
        }
    }
    Ok(shown.into())
}
