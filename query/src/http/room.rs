//! Room for the bodies of requests: a bound on the bytes of all of them together, whatever their number.
//!
//! A body is counted from before its first byte is read until its request is answered, for what is made of it lives as long.

use axum::http::{HeaderMap, header};
use schemas::limits::BATCH_BYTES_MAX;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bytes that one permit stands for.
const PERMIT_BYTES: usize = 1_024;

/// What is left for bodies.
pub(super) struct BodyRoom(Semaphore);

impl BodyRoom {
    /// For so many bytes at once.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self(Semaphore::new((bytes_max / PERMIT_BYTES).min(Semaphore::MAX_PERMITS)))
    }

    /// Takes the room of the body that these headers announce; `None` when there is not enough left. A body whose length
    /// is not told may be as long as any.
    pub(super) fn take(&self, headers: &HeaderMap) -> Option<SemaphorePermit<'_>> {
        let told = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let untold = if headers.contains_key(header::TRANSFER_ENCODING) { BATCH_BYTES_MAX } else { 0 };
        // What is longer than any limit is refused before it is read to its end.
        let bytes = told.unwrap_or(untold).min(BATCH_BYTES_MAX);
        self.0.try_acquire_many(bytes.div_ceil(PERMIT_BYTES) as u32).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn bodies_are_let_in_until_the_room_is_taken_and_again_when_they_are_answered() {
        let room = BodyRoom::new(10 * PERMIT_BYTES);
        let body = announced(header::CONTENT_LENGTH, "6000");
        let first = room.take(&body).unwrap();
        assert!(room.take(&body).is_none(), "6 of 10 KiB are taken");
        assert!(room.take(&HeaderMap::new()).is_some(), "a request without a body takes none");
        drop(first);
        assert!(room.take(&body).is_some());
    }

    #[test]
    fn a_body_of_untold_length_takes_the_room_of_the_longest() {
        let room = BodyRoom::new(BATCH_BYTES_MAX);
        let chunked = room.take(&announced(header::TRANSFER_ENCODING, "chunked")).unwrap();
        assert!(room.take(&announced(header::CONTENT_LENGTH, "1")).is_none());
        drop(chunked);
        assert!(room.take(&announced(header::CONTENT_LENGTH, "99999999999")).is_some(), "too long is for later to say");
    }
}
