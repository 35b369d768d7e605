//! The thread that owns a model and computes one job after the other.
//!
//! It decides nothing about order (the queue does) and nothing about batches (the embedder does). Invariant: every vector that
//! leaves here is finite, of unit length and of the stated number of dimensions; when the thread ends, for whatever reason, the
//! queue is closed and no caller waits for ever.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use moka::sync::Cache;

use super::EmbedError;
use super::model::Model;
use super::queue::{Job, QueryJob, QueryKey, Queue};

/// Vectors of recent queries.
pub(super) type QueryCache = Cache<QueryKey, Arc<[f32]>>;

/// How far from 1 the length of a vector may be, for float rounding.
const UNIT_LENGTH_TOLERANCE: f32 = 1e-3;

/// Starts the worker; it ends when the queue is closed.
pub(super) fn start(
    model: Box<dyn Model>,
    dimensions: usize,
    queue: Arc<Queue>,
    cache: QueryCache,
) -> std::io::Result<JoinHandle<()>> {
    let worker = Worker { model, dimensions, queue, cache };
    thread::Builder::new().name("embed".to_owned()).spawn(move || worker.run())
}

struct Worker {
    model: Box<dyn Model>,
    dimensions: usize,
    queue: Arc<Queue>,
    cache: QueryCache,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.queue.close();
        if thread::panicking() {
            tracing::error!("the embedding worker panicked; semantic search is off until restart");
        }
    }
}

impl Worker {
    fn run(mut self) {
        while let Some(job) = self.queue.next() {
            // A reply that cannot be delivered means that the caller has stopped waiting.
            match job {
                Job::Query(query) => {
                    let vector = self.query(&query);
                    let _ = query.reply.send(vector);
                }
                Job::Passages(passages) => {
                    let vectors = self.embed(&passages.texts);
                    let _ = passages.reply.send((passages.number, vectors));
                }
            }
        }
    }

    /// Embeds a query unless its time is up or the same one was embedded while it waited.
    fn query(&mut self, query: &QueryJob) -> Result<Arc<[f32]>, EmbedError> {
        if let Some(vector) = self.cache.get(&query.key) {
            return Ok(vector);
        }
        if Instant::now() >= query.deadline {
            return Err(EmbedError::DeadlinePassed);
        }
        let vectors = self.embed(std::slice::from_ref(&query.text))?;
        let vector: Arc<[f32]> = vectors.into_iter().next().ok_or(EmbedError::BadVector)?.into();
        self.cache.insert(query.key, Arc::clone(&vector));
        Ok(vector)
    }

    fn embed(&mut self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let vectors =
            self.model.embed(texts).map_err(|source| EmbedError::Inference { batch_len: texts.len(), source })?;
        let all_good = vectors.len() == texts.len() && vectors.iter().all(|vector| self.is_good(vector));
        if all_good { Ok(vectors) } else { Err(EmbedError::BadVector) }
    }

    fn is_good(&self, vector: &[f32]) -> bool {
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        // A number that is not finite makes the length one that is not, and the comparison false.
        vector.len() == self.dimensions && (length - 1.0).abs() < UNIT_LENGTH_TOLERANCE
    }
}
