//! Decoding: the body of a batch into events, and into what is wrong with the others.
//!
//! A body is NDJSON (one event a line), a JSON array of events, or a single event. It applies nothing and knows no
//! workspace's content. Invariants: it never panics, takes time linear in the body, and a bad event costs no other event
//! of its batch: its bytes and the reason are handed back for the dead-letter file.

use std::ops::Range;

use schemas::event::{Event, InvalidCode, InvalidEvent};
use schemas::ids::WorkspaceId;
use schemas::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX};

/// What a batch holds.
#[derive(Debug, Default)]
pub struct Batch {
    /// The good events, in the order of the body.
    pub events: Vec<Decoded>,
    /// The bad ones, in the order of the body.
    pub bad: Vec<BadEvent>,
}

/// An event with its place in the body.
#[derive(Debug)]
pub struct Decoded {
    /// Its number in the batch, from 0, bad events counted.
    pub index: usize,
    /// Its bytes in the body.
    pub bytes: Range<usize>,
    /// The event.
    pub event: Event,
}

/// What could not be taken for an event.
#[derive(Debug)]
pub struct BadEvent {
    /// Its number in the batch, from 0, good events counted.
    pub index: usize,
    /// Its bytes in the body.
    pub bytes: Range<usize>,
    /// What is wrong with it.
    pub error: InvalidEvent,
}

/// Why a batch as a whole was turned down: nothing of it was taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchTooLarge {
    /// The body is longer than [`BATCH_BYTES_MAX`].
    #[error("the batch has {found} bytes, the limit is {BATCH_BYTES_MAX}")]
    Bytes {
        /// Its length.
        found: usize,
    },
    /// It holds more than [`BATCH_EVENTS_MAX`] events.
    #[error("the batch has {found} events, the limit is {BATCH_EVENTS_MAX}")]
    Events {
        /// How many it holds.
        found: usize,
    },
}

/// Decodes a body. `now_ms` is the receiver's clock, in milliseconds since 1970; with a `guard`, events of any other
/// workspace are bad.
pub fn decode(body: &[u8], guard: Option<&WorkspaceId>, now_ms: u64) -> Result<Batch, BatchTooLarge> {
    if body.len() > BATCH_BYTES_MAX {
        return Err(BatchTooLarge::Bytes { found: body.len() });
    }
    let items = items(body);
    if items.len() > BATCH_EVENTS_MAX {
        return Err(BatchTooLarge::Events { found: items.len() });
    }
    let mut batch = Batch::default();
    for (index, bytes) in items.into_iter().enumerate() {
        match decode_one(&body[bytes.clone()], guard, now_ms) {
            Ok(event) => batch.events.push(Decoded { index, bytes, event }),
            Err(error) => batch.bad.push(BadEvent { index, bytes, error }),
        }
    }
    Ok(batch)
}

fn decode_one(json: &[u8], guard: Option<&WorkspaceId>, now_ms: u64) -> Result<Event, InvalidEvent> {
    let event = Event::decode(json, now_ms)?;
    if guard.is_some_and(|workspace| *workspace != event.workspace) {
        let reason = "is not the workspace that the sender may write to";
        return Err(InvalidEvent::new(InvalidCode::WrongWorkspace, "workspaceid", reason));
    }
    Ok(event)
}

/// The parts of a body that stand for one event each, without the white space around them.
fn items(body: &[u8]) -> Vec<Range<usize>> {
    let start = if body.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let whole = trimmed(body, start..body.len());
    if whole.is_empty() {
        return Vec::new();
    }
    if body[whole.start] == b'[' {
        return elements(body, whole);
    }
    let lines = lines(body, whole.clone());
    // One event may be spread over lines: then its first line is no JSON, and the whole is.
    let is_json = |range: &Range<usize>| serde_json::from_slice::<serde::de::IgnoredAny>(&body[range.clone()]).is_ok();
    if lines.len() > 1 && !is_json(&lines[0]) && is_json(&whole) {
        return vec![whole];
    }
    lines
}

fn trimmed(body: &[u8], range: Range<usize>) -> Range<usize> {
    let part = &body[range.clone()];
    let front = part.len() - part.trim_ascii_start().len();
    range.start + front..range.start + front + part.trim_ascii().len()
}

fn lines(body: &[u8], whole: Range<usize>) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut start = whole.start;
    for line in body[whole].split(|byte| *byte == b'\n') {
        let range = trimmed(body, start..start + line.len());
        if !range.is_empty() {
            lines.push(range);
        }
        start += line.len() + 1;
    }
    lines
}

/// The elements of an array, cut at the commas that stand in no string, object or inner array.
///
/// What follows its end is an element too, and so is a missing end (an empty one): what is wrong there is thus reported.
fn elements(body: &[u8], whole: Range<usize>) -> Vec<Range<usize>> {
    let mut elements = Vec::new();
    let mut start = whole.start + 1;
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut at = start;
    while at < whole.end {
        match body[at] {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b']' if depth == 0 => break,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                elements.push(trimmed(body, start..at));
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    let end = at.min(whole.end);
    let last = trimmed(body, start..end);
    if !last.is_empty() || !elements.is_empty() {
        elements.push(last);
    }
    let rest = trimmed(body, (end + 1).min(whole.end)..whole.end);
    if end == whole.end || !rest.is_empty() {
        elements.push(rest);
    }
    elements
}

#[cfg(test)]
mod tests;
