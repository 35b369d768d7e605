//! What an embedder is configured with.
//!
//! Raw form only: [`Config::check`] says whether the values can go together; files are looked at when the embedder starts.

use std::path::PathBuf;
use std::thread::available_parallelism;

use serde::{Deserialize, Serialize};

use super::EmbedError;

/// Settings of one embedding model and of the worker that runs it.
///
/// The model is a folder holding `tokenizer.json`, `config.json`, `special_tokens_map.json`, `tokenizer_config.json` and
/// either `model.onnx` (with `model.onnx_data` where its weights lie apart) or the `model.safetensors` of a BERT encoder.
/// `scripts/fetch-models.sh` puts the default model and the library where the defaults point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Path of the ONNX Runtime shared library, 1.24 or newer; relative paths start at the working directory.
    /// Default `.cache/models/libonnxruntime.so`. A process loads one library only: two embedders must name the same.
    pub library: PathBuf,
    /// Folder of the model. Default `.cache/models/all-MiniLM-L6-v2`.
    pub model_dir: PathBuf,
    /// How token vectors become one vector, as the model was trained. Default `mean`.
    pub pooling: Pooling,
    /// Longest input in tokens, special tokens included; the rest of a longer text is not seen by the model. 8 to 8192 and at
    /// most what the model takes. Default 256, what all-MiniLM-L6-v2 was trained for.
    pub max_length_tokens: usize,
    /// Length of a vector; checked against what the model gives. Default 384.
    pub dimensions: usize,
    /// Put before each query, as the model was trained (`query: ` for the E5 family). Default empty.
    pub query_prefix: String,
    /// Put before each passage, as the model was trained (`passage: ` for the E5 family). Default empty.
    pub passage_prefix: String,
    /// Threads that compute one batch; 0 (the default) takes half of the cores, at least one, so that embedding an import in
    /// the background leaves room for searches.
    pub intra_threads: usize,
    /// Most tokens in a batch of passages, padding included; a single passage may exceed it, up to `max_length_tokens`. 64 or
    /// more. Default 256: larger batches are no faster on a processor, and a query waits for at most one of them.
    pub batch_tokens_max: usize,
    /// Most passages in a batch, 1 or more. Default 32.
    pub batch_len_max: usize,
    /// Most queries waiting, and most batches of passages waiting; 1 or more. A query beyond it is refused, a passage waits.
    /// Default 64.
    pub queue_len_max: usize,
    /// Vectors of recent queries kept, 0 for none. One takes 4 bytes for each dimension and about 200 more. Default 10,000.
    pub query_cache_len: u64,
}

/// How the vectors of a text's tokens become the vector of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Their mean, padding left out.
    Mean,
    /// The vector of the first token.
    Cls,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            library: PathBuf::from(".cache/models/libonnxruntime.so"),
            model_dir: PathBuf::from(".cache/models/all-MiniLM-L6-v2"),
            pooling: Pooling::Mean,
            max_length_tokens: 256,
            dimensions: 384,
            query_prefix: String::new(),
            passage_prefix: String::new(),
            intra_threads: 0,
            batch_tokens_max: 256,
            batch_len_max: 32,
            queue_len_max: 64,
            query_cache_len: 10_000,
        }
    }
}

impl Config {
    /// This configuration for the model of another: what decides on the vectors is taken from there, how it is run from here.
    #[must_use]
    pub fn for_model_of(&self, other: &Self) -> Self {
        Self {
            model_dir: other.model_dir.clone(),
            pooling: other.pooling,
            max_length_tokens: other.max_length_tokens,
            dimensions: other.dimensions,
            query_prefix: other.query_prefix.clone(),
            passage_prefix: other.passage_prefix.clone(),
            ..self.clone()
        }
    }

    /// Refuses values out of their range, naming the key and what it must be.
    ///
    /// # Errors
    ///
    /// [`EmbedError::BadConfig`] for the first key found wrong.
    pub fn check(&self) -> Result<(), EmbedError> {
        let bad = |key, requirement| Err(EmbedError::BadConfig { key, requirement });
        if !(8..=8192).contains(&self.max_length_tokens) {
            return bad("max_length_tokens", "must be from 8 to 8192");
        }
        if !(1..=8192).contains(&self.dimensions) {
            return bad("dimensions", "must be from 1 to 8192");
        }
        if self.batch_tokens_max < 64 {
            return bad("batch_tokens_max", "must be 64 or more");
        }
        if self.batch_len_max == 0 {
            return bad("batch_len_max", "must be 1 or more");
        }
        if self.queue_len_max == 0 {
            return bad("queue_len_max", "must be 1 or more");
        }
        Ok(())
    }

    /// Threads to compute with, once 0 is replaced by half of the cores.
    pub(super) fn intra_threads_effective(&self) -> usize {
        match self.intra_threads {
            0 => available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)),
            threads => threads,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_config_passes_its_own_check() {
        Config::default().check().unwrap();
    }

    #[test]
    fn missing_keys_take_defaults_and_unknown_keys_are_refused() {
        let config: Config = toml::from_str("pooling = \"cls\"\nquery_prefix = \"query: \"").unwrap();
        assert_eq!(config.pooling, Pooling::Cls);
        assert_eq!(config.dimensions, Config::default().dimensions);
        assert!(toml::from_str::<Config>("poolling = \"cls\"").is_err());
    }

    #[test]
    fn values_out_of_range_are_named() {
        #[track_caller]
        fn check(spoil: impl Fn(&mut Config), expected_key: &str) {
            let mut config = Config::default();
            spoil(&mut config);
            let message = config.check().unwrap_err().to_string();
            assert!(message.contains(expected_key), "{message}");
        }
        check(|config| config.max_length_tokens = 0, "max_length_tokens");
        check(|config| config.dimensions = 0, "dimensions");
        check(|config| config.batch_tokens_max = 1, "batch_tokens_max");
        check(|config| config.batch_len_max = 0, "batch_len_max");
        check(|config| config.queue_len_max = 0, "queue_len_max");
    }
}
