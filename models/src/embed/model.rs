//! A model that can embed, and its making from files.
//!
//! It runs on the thread that calls it and knows nothing of queues, priorities or caches. Invariant: what [`load`] returns has
//! embedded one text and given the configured number of dimensions.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fastembed::{InitOptionsUserDefined, TextEmbedding, TokenizerFiles, UserDefinedEmbeddingModel};
use prost::bytes::Bytes;
use tokenizers::utils::parallelism::set_parallelism;

use super::config::{Config, Pooling};
use super::{Cause, EmbedError, ModelId, TokenCounter, onnx_bert, runtime};

/// Turns texts into vectors, one after the other in one thread.
pub(super) trait Model: Send {
    /// One vector for each text, in order. `texts` is not empty and small enough to be computed at once.
    fn embed(&mut self, texts: &[String]) -> Result<Vec<Vec<f32>>, Cause>;
}

/// A fastembed session.
pub(super) struct OnnxModel(TextEmbedding);

impl Model for OnnxModel {
    fn embed(&mut self, texts: &[String]) -> Result<Vec<Vec<f32>>, Cause> {
        Ok(self.0.embed(texts, Some(texts.len()))?)
    }
}

/// A model ready to embed, with what follows from its files.
pub(super) struct Loaded {
    pub(super) model: OnnxModel,
    pub(super) id: ModelId,
    pub(super) token_counter: TokenCounter,
}

/// Loads the library, then the model, and embeds one word to see that it works.
///
/// Takes about a second and, for a moment, memory of three times the weights.
pub(super) fn load(config: &Config) -> Result<Loaded, EmbedError> {
    config.check()?;
    // The tokenizer would spread a batch over threads of its own; what computes is bounded by `intra_threads` alone.
    set_parallelism(false);
    let environment = runtime::environment(&config.library)?;
    let files = ModelFiles::read(&config.model_dir)?;
    let id = files.model_id(config);
    let bad_model = |source: Cause| EmbedError::BadModel { path: config.model_dir.clone(), source };
    let token_counter = TokenCounter::from_json(&files.tokenizer.tokenizer_file).map_err(bad_model)?;
    let max_length = max_length(config, &files.tokenizer)?;

    // One batch at a time is computed and then nothing may come for hours: threads that spin while they wait would burn a core.
    let options = InitOptionsUserDefined::new()
        .with_environment(environment)
        .with_max_length(max_length)
        .with_intra_threads(config.intra_threads_effective())
        .with_session_config("session.intra_op.allow_spinning", "0");
    let model = files.into_fastembed(config.pooling).map_err(bad_model)?;
    let session = TextEmbedding::try_new_from_user_defined(model, options);
    let mut model = OnnxModel(session.map_err(|error| bad_model(error.into()))?);

    let probe = model.embed(&["dimensions".to_owned()]).map_err(bad_model)?;
    let actual = probe.first().map_or(0, Vec::len);
    if actual != config.dimensions {
        return Err(EmbedError::WrongDimensions {
            path: config.model_dir.clone(),
            configured: config.dimensions,
            actual,
        });
    }
    Ok(Loaded { model, id, token_counter })
}

/// The configured length limit, refused where the model's position table is shorter.
fn max_length(config: &Config, tokenizer: &TokenizerFiles) -> Result<usize, EmbedError> {
    let model: serde_json::Value = serde_json::from_slice(&tokenizer.config_file)
        .map_err(|error| EmbedError::BadModel { path: config.model_dir.clone(), source: error.into() })?;
    let positions = model["max_position_embeddings"].as_u64().unwrap_or(u64::MAX);
    if config.max_length_tokens as u64 > positions {
        let requirement = "must be at most the `max_position_embeddings` in the model's config.json";
        return Err(EmbedError::BadConfig { key: "max_length_tokens", requirement });
    }
    Ok(config.max_length_tokens)
}

/// The files of a model folder, read.
struct ModelFiles {
    weights: Weights,
    tokenizer: TokenizerFiles,
}

enum Weights {
    /// `model.safetensors`, from which the graph is built.
    Safetensors(Bytes),
    /// `model.onnx` and, where its weights lie apart, `model.onnx_data`.
    Onnx { graph: Vec<u8>, external_data: Option<Vec<u8>> },
}

const EXTERNAL_DATA: &str = "model.onnx_data";

impl ModelFiles {
    fn read(folder: &Path) -> Result<Self, EmbedError> {
        let tokenizer = TokenizerFiles {
            tokenizer_file: read(folder.join("tokenizer.json"))?,
            config_file: read(folder.join("config.json"))?,
            special_tokens_map_file: read(folder.join("special_tokens_map.json"))?,
            tokenizer_config_file: read(folder.join("tokenizer_config.json"))?,
        };
        let weights = match read_if_there(folder.join("model.onnx"))? {
            Some(graph) => Weights::Onnx { graph, external_data: read_if_there(folder.join(EXTERNAL_DATA))? },
            None => Weights::Safetensors(read(folder.join("model.safetensors"))?.into()),
        };
        Ok(Self { weights, tokenizer })
    }

    /// Hashes everything that can move a vector.
    fn model_id(&self, config: &Config) -> ModelId {
        let pooling = match config.pooling {
            Pooling::Mean => "mean",
            Pooling::Cls => "cls",
        };
        let max_length_tokens = (config.max_length_tokens as u64).to_le_bytes();
        let graph_revision = onnx_bert::GRAPH_REVISION.to_le_bytes();
        let mut parts: Vec<(&str, &[u8])> = match &self.weights {
            Weights::Safetensors(weights) => vec![("safetensors", weights), ("graph revision", &graph_revision)],
            Weights::Onnx { graph, external_data } => {
                vec![("onnx", graph), ("external data", external_data.as_deref().unwrap_or_default())]
            }
        };
        parts.extend([
            ("tokenizer.json", self.tokenizer.tokenizer_file.as_slice()),
            ("config.json", &self.tokenizer.config_file),
            ("special_tokens_map.json", &self.tokenizer.special_tokens_map_file),
            ("tokenizer_config.json", &self.tokenizer.tokenizer_config_file),
            ("pooling", pooling.as_bytes()),
            ("max_length_tokens", &max_length_tokens),
            ("query_prefix", config.query_prefix.as_bytes()),
            ("passage_prefix", config.passage_prefix.as_bytes()),
        ]);
        ModelId::from_parts(parts)
    }

    fn into_fastembed(self, pooling: Pooling) -> Result<UserDefinedEmbeddingModel, Cause> {
        let model = match self.weights {
            // The graph pools; fastembed leaves vectors that are pooled already as they are.
            Weights::Safetensors(weights) => {
                let graph = onnx_bert::build(&weights, &self.tokenizer.config_file, pooling)?;
                UserDefinedEmbeddingModel::new(graph, self.tokenizer)
            }
            Weights::Onnx { graph, external_data } => {
                refuse_dynamic_quantisation(&graph)?;
                let model = UserDefinedEmbeddingModel::new(graph, self.tokenizer);
                match external_data {
                    Some(data) => model.with_external_initializer(EXTERNAL_DATA.to_owned(), data),
                    None => model,
                }
            }
        };
        Ok(model.with_pooling(match pooling {
            Pooling::Mean => fastembed::Pooling::Mean,
            Pooling::Cls => fastembed::Pooling::Cls,
        }))
    }
}

/// Refuses a graph that scales each batch by its own contents: its vectors would depend on what else is in the batch.
fn refuse_dynamic_quantisation(graph: &[u8]) -> Result<(), Cause> {
    let operator = b"DynamicQuantize";
    if graph.windows(operator.len()).any(|window| window == operator) {
        return Err(
            "model.onnx is dynamically quantised, so its vectors depend on their batch; use a full-precision or \
                    statically quantised one"
                .into(),
        );
    }
    Ok(())
}

fn read(path: PathBuf) -> Result<Vec<u8>, EmbedError> {
    read_if_there(path.clone())?.ok_or(EmbedError::ModelMissing { path })
}

fn read_if_there(path: PathBuf) -> Result<Option<Vec<u8>>, EmbedError> {
    match fs::read(&path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(EmbedError::ModelUnreadable { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dynamically_quantised_graph_is_refused() {
        assert!(refuse_dynamic_quantisation(b"..MatMul..").is_ok());
        assert!(refuse_dynamic_quantisation(b"..DynamicQuantizeLinear..").is_err());
    }
}
