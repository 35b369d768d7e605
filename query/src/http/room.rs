//! Room for the bodies of requests: a bound on the bytes of all of them together, whatever their number.
//!
//! A body is counted from before its first byte is read until its request is answered, for what is made of it lives as long. Searches
//! leave room for batches of events, and large batches leave some for small ones, which may take access away.

use axum::http::{HeaderMap, header};
use schemas::limits::BATCH_BYTES_MAX;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bytes that one permit stands for.
const PERMIT_BYTES: usize = 1_024;
/// Up to this length a batch of events is small.
const SMALL_BYTES_MAX: usize = 64 << 10;
/// Room that small batches alone may take, if there is as much; never more than an eighth.
const KEPT_FOR_SMALL_BYTES: usize = 1 << 20;

/// What is left for bodies.
pub(super) struct BodyRoom {
    all: Semaphore,
    /// What large batches may take of it.
    batches: Semaphore,
    /// What everything but events may take of it.
    others: Semaphore,
    others_bytes: usize,
}

/// Room that is held.
pub(super) struct Held<'a> {
    #[expect(dead_code, reason = "held until the request is answered")]
    permits: [SemaphorePermit<'a>; 2],
}

impl BodyRoom {
    /// For so many bytes at once.
    pub(super) fn new(bytes_max: usize) -> Self {
        let others_bytes = bytes_max - BATCH_BYTES_MAX.min(bytes_max / 2);
        let room = |bytes: usize| Semaphore::new((bytes / PERMIT_BYTES).min(Semaphore::MAX_PERMITS));
        Self {
            all: room(bytes_max),
            // One of the largest fits always.
            batches: room((bytes_max - KEPT_FOR_SMALL_BYTES.min(bytes_max / 8)).max(BATCH_BYTES_MAX.min(bytes_max))),
            others: room(others_bytes),
            others_bytes,
        }
    }

    /// Takes the room of the body that these headers announce, of a batch of events or of something else; `None` when there is not
    /// enough left. A body whose length is not told may be as long as any.
    pub(super) fn take(&self, headers: &HeaderMap, of_events: bool) -> Option<Held<'_>> {
        let told = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let untold = if headers.contains_key(header::TRANSFER_ENCODING) { BATCH_BYTES_MAX } else { 0 };
        // What is longer than any limit is refused before it is read to its end.
        let longest = if of_events { BATCH_BYTES_MAX } else { BATCH_BYTES_MAX.min(self.others_bytes) };
        let bytes = told.unwrap_or(untold).min(longest);
        let permits = bytes.div_ceil(PERMIT_BYTES) as u32;
        let (part, of_part) = match of_events {
            true if bytes <= SMALL_BYTES_MAX => (&self.all, 0),
            true => (&self.batches, permits),
            false => (&self.others, permits),
        };
        let part = part.try_acquire_many(of_part).ok()?;
        Some(Held { permits: [part, self.all.try_acquire_many(permits).ok()?] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    fn of(bytes: usize) -> HeaderMap {
        announced(header::CONTENT_LENGTH, &bytes.to_string())
    }

    #[test]
    fn bodies_are_let_in_until_the_room_is_taken_and_again_when_they_are_answered() {
        let room = BodyRoom::new(16 * PERMIT_BYTES);
        let body = of(6_000);
        let first = room.take(&body, false).unwrap();
        assert!(room.take(&body, false).is_none(), "6 of 8 KiB are taken; the other 8 are left to events");
        assert!(room.take(&HeaderMap::new(), false).is_some(), "a request without a body takes none");
        let batch = room.take(&body, true).unwrap();
        assert!(room.take(&body, true).is_none(), "12 of 16 KiB are taken");
        drop((first, batch));
        assert!(room.take(&body, false).is_some());
        let smallest = BodyRoom::new(BATCH_BYTES_MAX);
        assert!(smallest.take(&of(BATCH_BYTES_MAX), true).is_some());
        assert!(smallest.take(&announced(header::TRANSFER_ENCODING, "chunked"), false).is_some());
    }

    #[test]
    fn large_batches_leave_room_for_small_ones() {
        let room = BodyRoom::new(BATCH_BYTES_MAX * 2);
        let large = room.take(&of(BATCH_BYTES_MAX), true).unwrap();
        assert!(room.take(&of(BATCH_BYTES_MAX), true).is_none());
        let rest = room.take(&of(BATCH_BYTES_MAX - KEPT_FOR_SMALL_BYTES), true).unwrap();
        assert!(room.take(&of(SMALL_BYTES_MAX + 1), true).is_none());
        let small: Vec<_> = (0..16).map(|_| room.take(&of(SMALL_BYTES_MAX), true).unwrap()).collect();
        assert!(room.take(&of(1), true).is_none(), "that room has an end, too");
        drop((large, rest, small));
        assert!(room.take(&of(BATCH_BYTES_MAX), true).is_some());
    }

    #[test]
    fn a_body_of_untold_length_takes_the_room_of_the_longest() {
        let room = BodyRoom::new(BATCH_BYTES_MAX + KEPT_FOR_SMALL_BYTES);
        let chunked = room.take(&announced(header::TRANSFER_ENCODING, "chunked"), true).unwrap();
        assert!(room.take(&of(SMALL_BYTES_MAX + 1), true).is_none());
        drop(chunked);
        assert!(room.take(&of(99_999_999_999), true).is_some(), "too long is for later to say");
    }
}
