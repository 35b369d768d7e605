//! Embedding: texts in, unit vectors out, by one model behind one worker thread.
//!
//! [`Embedder`] is the way in. Queries overtake passages, because someone waits for them; passages are grouped by length and
//! their producer is slowed down when the model cannot keep up. It knows nothing of pages, passages' borders or storage, and
//! never logs or keeps a text. Invariants: results come back in the order asked, every vector is of unit length, and the same
//! text gives the same vector (up to float rounding) whatever it was batched with.

mod batch;
mod config;
mod embedders;
mod error;
mod fake;
mod model;
mod model_id;
pub mod onnx_bert;
mod queue;
pub mod runtime;
#[cfg(test)]
mod tests;
mod tokens;
mod worker;

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Instant;

pub use config::{Config, Pooling};
pub use embedders::Embedders;
pub use error::{Cause, EmbedError, ErrorKind};
pub use model_id::ModelId;
pub use tokens::TokenCounter;

use fake::FakeModel;
use model::Model;
use queue::{PassageJob, QueryJob, Queue};
use worker::QueryCache;

/// Special tokens around a text: one before, one after, in the BERT family.
const SPECIAL_TOKENS: usize = 2;

/// A handle to one embedding model. Cloning is cheap; all clones share one worker thread, its queues and its query cache.
///
/// All methods block; call them from blocking threads, never from an async task. When the last handle is dropped the worker
/// ends after the batch at hand, and the drop waits for it.
#[derive(Clone)]
pub struct Embedder(Arc<Shared>);

struct Shared {
    config: Config,
    model_id: ModelId,
    token_counter: TokenCounter,
    queue: Arc<Queue>,
    query_cache: QueryCache,
    worker: Option<JoinHandle<()>>,
}

impl Embedder {
    /// Loads the library and the model that `config` names and starts the worker.
    ///
    /// Takes about a second and three times the weights in memory for a moment, afterwards about twice the weights.
    ///
    /// # Errors
    ///
    /// Every [`EmbedError`] that names a file, the library, the model or a key; each says what to do. Searching by words
    /// works without an embedder, so a caller may log the error and go on.
    pub fn start(config: Config) -> Result<Self, EmbedError> {
        let loaded = model::load(&config)?;
        tracing::info!(
            model_id = %loaded.id,
            dimensions = config.dimensions,
            intra_threads = config.intra_threads_effective(),
            model_dir = %config.model_dir.display(),
            "embedding model started"
        );
        Self::with_model(config, Box::new(loaded.model), loaded.id, loaded.token_counter)
    }

    /// A model for tests that needs no files: deterministic vectors from hashes of words, with an id of its own.
    ///
    /// Texts that share words are near each other; nothing is understood. Everything else (queues, batches, cache) is as with
    /// a real model. `dimensions` is from 1 to 8192; 32 or more keep unrelated texts apart.
    ///
    /// # Panics
    ///
    /// If `dimensions` is out of range or no thread can be started.
    pub fn fake(dimensions: usize) -> Self {
        let config = Config { dimensions, ..Config::default() };
        config.check().expect("the caller gives a number of dimensions within the stated range");
        let model = FakeModel { dimensions };
        let model_id = model.id();
        Self::with_model(config, Box::new(model), model_id, TokenCounter::estimate())
            .expect("a process that runs tests can start a thread")
    }

    fn with_model(
        config: Config,
        model: Box<dyn Model>,
        model_id: ModelId,
        token_counter: TokenCounter,
    ) -> Result<Self, EmbedError> {
        let queue = Arc::new(Queue::new(config.queue_len_max));
        let query_cache = QueryCache::new(config.query_cache_len);
        let worker = worker::start(model, config.dimensions, Arc::clone(&queue), query_cache.clone())
            .map_err(|source| EmbedError::WorkerNotStarted { source })?;
        Ok(Self(Arc::new(Shared { config, model_id, token_counter, queue, query_cache, worker: Some(worker) })))
    }

    /// What it was started with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Embeds a query, ahead of all passages; a recent one comes from the cache.
    ///
    /// Waits until `deadline` at most. The vector has [`Config::dimensions`] numbers and unit length. What lies beyond the length
    /// limit of the model is not seen by it.
    ///
    /// # Errors
    ///
    /// [`EmbedError::Overloaded`] at once when too many queries wait, [`EmbedError::DeadlinePassed`], and
    /// [`EmbedError::WorkerGone`], [`EmbedError::Inference`] or [`EmbedError::BadVector`] when the model fails.
    pub fn embed_query(&self, query: &str, deadline: Instant) -> Result<Arc<[f32]>, EmbedError> {
        let text = prefixed(&self.0.config.query_prefix, query.to_owned());
        let key = *blake3::hash(text.as_bytes()).as_bytes();
        if let Some(vector) = self.0.query_cache.get(&key) {
            return Ok(vector);
        }
        // Room for one: the worker never waits for a caller that has gone.
        let (reply, answer) = mpsc::sync_channel(1);
        self.0.queue.push_query(QueryJob { text, key, deadline, reply })?;
        match answer.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(vector) => vector,
            Err(RecvTimeoutError::Timeout) => Err(EmbedError::DeadlinePassed),
            Err(RecvTimeoutError::Disconnected) => Err(EmbedError::WorkerGone),
        }
    }

    /// Embeds passages; the vectors come back in the order of the texts, each as [`Self::embed_query`] says.
    ///
    /// Waits while the queue of batches is full, which is how the model slows its producers down, and then until the last
    /// batch is done: 30 to 100 milliseconds of a core for each passage of 200 tokens. Queries of other
    /// callers go first.
    ///
    /// # Errors
    ///
    /// The first error of a batch, as for [`Self::embed_query`] but neither `Overloaded` nor `DeadlinePassed`.
    pub fn embed_passages(&self, passages: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        let config = &self.0.config;
        let mut texts: Vec<String> =
            passages.into_iter().map(|passage| prefixed(&config.passage_prefix, passage)).collect();
        let lengths: Vec<usize> = texts.iter().map(|text| self.input_len_tokens(text)).collect();
        let batches = batch::plan(&lengths, config.batch_tokens_max, config.batch_len_max);

        let (reply, answers) = mpsc::channel();
        for (number, positions) in batches.iter().enumerate() {
            let texts = positions.iter().map(|&position| std::mem::take(&mut texts[position])).collect();
            self.0.queue.push_passages(PassageJob { number, texts, reply: reply.clone() })?;
        }
        // The senders left are those of the jobs: when the worker drops them unanswered, waiting ends.
        drop(reply);
        let mut vectors = vec![Vec::new(); lengths.len()];
        for _ in &batches {
            let (number, batch) = answers.recv().map_err(|_| EmbedError::WorkerGone)?;
            for (&position, vector) in batches[number].iter().zip(batch?) {
                vectors[position] = vector;
            }
        }
        Ok(vectors)
    }

    /// The identity of the model; vectors of different ids must never be compared.
    pub fn model_id(&self) -> &ModelId {
        &self.0.model_id
    }

    /// Numbers in each vector.
    pub fn dimensions(&self) -> usize {
        self.0.config.dimensions
    }

    /// Counts tokens as this model does, for cutting passages; usable from any thread without waiting for the model.
    pub fn token_counter(&self) -> TokenCounter {
        self.0.token_counter.clone()
    }

    /// Longest passage in tokens of [`Self::token_counter`] that the model sees to its end.
    pub fn passage_tokens_max(&self) -> usize {
        let taken = SPECIAL_TOKENS + self.0.token_counter.count(&self.0.config.passage_prefix);
        self.0.config.max_length_tokens.saturating_sub(taken)
    }

    /// Queries waiting and batches of passages waiting, for a gauge.
    pub fn queue_lens(&self) -> (usize, usize) {
        self.0.queue.lens()
    }

    /// What the model computes for a text: its tokens and the special ones, cut at the limit.
    fn input_len_tokens(&self, text: &str) -> usize {
        (self.0.token_counter.count(text) + SPECIAL_TOKENS).min(self.0.config.max_length_tokens)
    }
}

impl std::fmt::Debug for Embedder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Embedder").field("model_id", &self.0.model_id).finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.close();
        // A worker that panicked has said so in the log.
        let _ = self.worker.take().map(JoinHandle::join);
    }
}

fn prefixed(prefix: &str, text: String) -> String {
    if prefix.is_empty() { text } else { format!("{prefix}{text}") }
}
