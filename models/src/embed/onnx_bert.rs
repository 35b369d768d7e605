//! Builds the ONNX graph of a BERT sentence encoder from its `model.safetensors` and `config.json`.
//!
//! Models are published as safetensors, ONNX Runtime reads ONNX: this is the step between, done in memory at start. The graph
//! takes `input_ids` and `attention_mask` (both `[batch][tokens]`, i64) and gives `sentence_embedding` (`[batch][hidden]`, f32,
//! not yet of unit length): pooling is the last step of the graph, where it costs least. It is written with plain operators in
//! the arrangement that the runtime recognises and fuses. Texts are single segments, so the vector of segment 0 is added to the position table here and
//! the graph has no third input. Dropout and the pooler, which play no part in a sentence vector, are left out.
//!
//! Invariant: the graph computes what the original model computes, up to float rounding; a model that it would compute wrongly
//! (other activation, other positions, other precision) is refused.
//!
//! Source of the architecture: Devlin, Chang, Lee and Toutanova, "BERT", NAACL 2019, section 3 and appendix A.

mod graph;
mod proto;
#[cfg(test)]
mod tests;

use prost::bytes::Bytes;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;
use thiserror::Error;

use super::Pooling;
use graph::Graph;

/// Counted up whenever a change here may move a vector by more than rounding; part of the model id.
pub(super) const GRAPH_REVISION: u32 = 1;

/// Why a model cannot be turned into a graph.
#[derive(Debug, Error)]
pub enum BuildError {
    /// `config.json` is no JSON or lacks a key.
    #[error("config.json is not the configuration of a BERT model")]
    Config(#[source] serde_json::Error),
    /// A key of `config.json` has a value that this graph does not implement.
    #[error("config.json has {key} = {actual:?}, only {supported} is supported; bring a model.onnx instead")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// Its value.
        actual: String,
        /// What it must be.
        supported: &'static str,
    },
    /// `model.safetensors` is damaged.
    #[error("model.safetensors cannot be read")]
    Weights(#[source] safetensors::SafeTensorError),
    /// A tensor is missing, of another shape than `config.json` says or not f32.
    #[error("model.safetensors: tensor {name} is {actual}, it should be f32 {expected:?}")]
    Tensor {
        /// Its name in the file.
        name: String,
        /// What it is.
        actual: String,
        /// The shape that it should have.
        expected: Vec<usize>,
    },
}

/// The keys of a BERT `config.json` that decide the computation.
#[derive(Debug, Clone, Deserialize)]
struct BertConfig {
    model_type: String,
    hidden_act: String,
    hidden_size: usize,
    intermediate_size: usize,
    layer_norm_eps: f32,
    max_position_embeddings: usize,
    num_attention_heads: usize,
    num_hidden_layers: usize,
    #[serde(default = "absolute")]
    position_embedding_type: String,
    type_vocab_size: usize,
    vocab_size: usize,
}

fn absolute() -> String {
    "absolute".to_owned()
}

impl BertConfig {
    fn parse(json: &[u8]) -> Result<Self, BuildError> {
        let config: Self = serde_json::from_slice(json).map_err(BuildError::Config)?;
        let unsupported =
            |key, actual: &str, supported| Err(BuildError::Unsupported { key, actual: actual.to_owned(), supported });
        if config.model_type != "bert" {
            return unsupported("model_type", &config.model_type, "bert");
        }
        if config.hidden_act != "gelu" {
            return unsupported("hidden_act", &config.hidden_act, "gelu");
        }
        if config.position_embedding_type != "absolute" {
            return unsupported("position_embedding_type", &config.position_embedding_type, "absolute");
        }
        let heads = config.num_attention_heads;
        if heads == 0 || config.hidden_size == 0 || !config.hidden_size.is_multiple_of(heads) {
            return unsupported("num_attention_heads", &heads.to_string(), "a divisor of hidden_size");
        }
        Ok(config)
    }
}

/// Builds the graph and returns it as the bytes of an ONNX file, weights included.
///
/// `weights` are the bytes of `model.safetensors` (f32), `config` those of `config.json`. Peak memory is about two and a half
/// times the weights; the result is as large as the weights.
///
/// # Errors
///
/// [`BuildError`] when the model is no BERT encoder that this graph computes exactly, or its files do not fit together.
pub fn build(weights: &Bytes, config: &[u8], pooling: Pooling) -> Result<Vec<u8>, BuildError> {
    let config = BertConfig::parse(config)?;
    let tensors = SafeTensors::deserialize(weights).map_err(BuildError::Weights)?;
    let prefix = if tensors.tensor("embeddings.word_embeddings.weight").is_ok() { "" } else { "bert." };
    let mut encoder = Encoder { graph: Graph::default(), config, source: weights, tensors, prefix };

    let mask = encoder.attention_mask();
    let mut hidden = encoder.embeddings()?;
    for layer in 0..encoder.config.num_hidden_layers {
        hidden = encoder.layer(layer, &hidden, &mask)?;
    }
    let pooled = encoder.pool(&hidden, pooling);
    let hidden_size = encoder.config.hidden_size;
    Ok(encoder.graph.into_model(hidden_size, &pooled, "sentence_embedding"))
}

/// The graph while it is built, and what it is built from.
struct Encoder<'a> {
    graph: Graph,
    config: BertConfig,
    source: &'a Bytes,
    tensors: SafeTensors<'a>,
    prefix: &'static str,
}

impl Encoder<'_> {
    /// What is added to attention scores: 0 for a token, -10,000 for padding, `[batch][1][1][tokens]`.
    fn attention_mask(&mut self) -> String {
        let graph = &mut self.graph;
        let first_axis = graph.int_constant(&[1]);
        let second_axis = graph.int_constant(&[2]);
        let one = graph.scalar(1.0);
        let out_of_reach = graph.scalar(-10_000.0);
        let mask = graph.node("Unsqueeze", &["attention_mask", &first_axis], vec![]);
        let mask = graph.node("Unsqueeze", &[&mask, &second_axis], vec![]);
        let mask = graph.cast_to_float(&mask);
        let padding = graph.node("Sub", &[&one, &mask], vec![]);
        graph.node("Mul", &[&padding, &out_of_reach], vec![])
    }

    /// Word vectors plus position vectors, normalised.
    fn embeddings(&mut self) -> Result<String, BuildError> {
        let BertConfig { hidden_size, vocab_size, type_vocab_size, max_position_embeddings, .. } = self.config;
        let words = self.weight("embeddings.word_embeddings.weight", &[vocab_size, hidden_size])?;
        let segments = self.floats("embeddings.token_type_embeddings.weight", &[type_vocab_size, hidden_size])?;
        let mut positions =
            self.floats("embeddings.position_embeddings.weight", &[max_position_embeddings, hidden_size])?;
        for row in positions.chunks_exact_mut(hidden_size) {
            for (value, segment) in row.iter_mut().zip(&segments[..hidden_size]) {
                *value += segment;
            }
        }
        let graph = &mut self.graph;
        let positions = graph.float_constant(&[max_position_embeddings, hidden_size], &positions);
        let zero = graph.int_constant(&[0]);
        let one = graph.int_constant(&[1]);
        let shape = graph.node("Shape", &["input_ids"], vec![]);
        let token_count = graph.node("Gather", &[&shape, &one], vec![]);
        let position = graph.node("Slice", &[&positions, &zero, &token_count, &zero], vec![]);
        let word = graph.node("Gather", &[&words, "input_ids"], vec![]);
        let sum = graph.node("Add", &[&word, &position], vec![]);
        self.layer_norm("embeddings.LayerNorm", &sum)
    }

    /// One vector for each text from those of its tokens; the mean leaves padding out.
    fn pool(&mut self, hidden: &str, pooling: Pooling) -> String {
        let graph = &mut self.graph;
        let token_axis = graph.int_constant(&[1]);
        match pooling {
            Pooling::Cls => {
                let zero = graph.int_constant(&[0]);
                let first = graph.node("Slice", &[hidden, &zero, &token_axis, &token_axis], vec![]);
                graph.node("Squeeze", &[&first, &token_axis], vec![])
            }
            Pooling::Mean => {
                // The sum over a text's tokens is the product of its mask, as a row, and its token vectors.
                let mask = graph.cast_to_float("attention_mask");
                let row = graph.node("Unsqueeze", &[&mask, &token_axis], vec![]);
                let sum = graph.node("MatMul", &[&row, hidden], vec![]);
                let sum = graph.node("Squeeze", &[&sum, &token_axis], vec![]);
                let count = graph.node("ReduceSum", &[&mask, &token_axis], vec![]);
                graph.node("Div", &[&sum, &count], vec![])
            }
        }
    }

    /// One transformer layer: attention, then the two dense layers, each added to its input and normalised.
    fn layer(&mut self, number: usize, hidden: &str, mask: &str) -> Result<String, BuildError> {
        let BertConfig { hidden_size, intermediate_size, .. } = self.config;
        let name = |part: &str| format!("encoder.layer.{number}.{part}");

        let context = self.attention(number, hidden, mask)?;
        let projected = self.dense(&name("attention.output.dense"), &context, hidden_size, hidden_size)?;
        let sum = self.graph.node("Add", &[&projected, hidden], vec![]);
        let attended = self.layer_norm(&name("attention.output.LayerNorm"), &sum)?;

        let wide = self.dense(&name("intermediate.dense"), &attended, hidden_size, intermediate_size)?;
        let active = self.gelu(&wide);
        let narrow = self.dense(&name("output.dense"), &active, intermediate_size, hidden_size)?;
        let sum = self.graph.node("Add", &[&narrow, &attended], vec![]);
        self.layer_norm(&name("output.LayerNorm"), &sum)
    }

    /// Multi-head self-attention: softmax(Q K^T / sqrt(head size) + mask) V, heads joined again.
    fn attention(&mut self, number: usize, hidden: &str, mask: &str) -> Result<String, BuildError> {
        let BertConfig { hidden_size, num_attention_heads: heads, .. } = self.config;
        let head_size = hidden_size / heads;
        let mut projections = Vec::with_capacity(3);
        // Keys are laid out [batch][head][size][token], so that the product below needs no further transpose.
        for (part, order) in [("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])] {
            let name = format!("encoder.layer.{number}.attention.self.{part}");
            let dense = self.dense(&name, hidden, hidden_size, hidden_size)?;
            let split = self.graph.int_constant(&[0, 0, heads as i64, head_size as i64]);
            let split = self.graph.node("Reshape", &[&dense, &split], vec![]);
            projections.push(self.graph.transpose(&split, &order));
        }
        let [query, key, value] = &projections[..] else { unreachable!("three parts make three projections") };
        let graph = &mut self.graph;
        let scale = graph.scalar((head_size as f32).sqrt());
        let scores = graph.node("MatMul", &[query, key], vec![]);
        let scores = graph.node("Div", &[&scores, &scale], vec![]);
        let scores = graph.node("Add", &[&scores, mask], vec![]);
        let weights = graph.softmax(&scores, 3);
        let context = graph.node("MatMul", &[&weights, value], vec![]);
        let context = graph.transpose(&context, &[0, 2, 1, 3]);
        let joined = graph.int_constant(&[0, 0, hidden_size as i64]);
        Ok(graph.node("Reshape", &[&context, &joined], vec![]))
    }

    /// `input` times the weight matrix (stored `[outputs][inputs]`), plus the bias.
    fn dense(&mut self, name: &str, input: &str, inputs: usize, outputs: usize) -> Result<String, BuildError> {
        let stored = self.floats(&format!("{name}.weight"), &[outputs, inputs])?;
        let mut transposed = vec![0.0; stored.len()];
        for (output, row) in stored.chunks_exact(inputs).enumerate() {
            for (input, value) in row.iter().enumerate() {
                transposed[input * outputs + output] = *value;
            }
        }
        let weight = self.graph.float_constant(&[inputs, outputs], &transposed);
        let bias = self.weight(&format!("{name}.bias"), &[outputs])?;
        let product = self.graph.node("MatMul", &[input, &weight], vec![]);
        Ok(self.graph.node("Add", &[&product, &bias], vec![]))
    }

    /// The exact Gaussian error linear unit, x/2 (1 + erf(x / sqrt 2)), spelt out as the runtime knows to fuse it.
    fn gelu(&mut self, input: &str) -> String {
        let graph = &mut self.graph;
        let root_of_two = graph.scalar(std::f32::consts::SQRT_2);
        let one = graph.scalar(1.0);
        let half = graph.scalar(0.5);
        let scaled = graph.node("Div", &[input, &root_of_two], vec![]);
        let erf = graph.node("Erf", &[&scaled], vec![]);
        let shifted = graph.node("Add", &[&erf, &one], vec![]);
        let product = graph.node("Mul", &[input, &shifted], vec![]);
        graph.node("Mul", &[&product, &half], vec![])
    }

    fn layer_norm(&mut self, name: &str, input: &str) -> Result<String, BuildError> {
        let hidden_size = self.config.hidden_size;
        let scale = self.weight(&format!("{name}.weight"), &[hidden_size])?;
        let bias = self.weight(&format!("{name}.bias"), &[hidden_size])?;
        Ok(self.graph.layer_norm(input, &scale, &bias, self.config.layer_norm_eps))
    }

    /// Takes a tensor of the file into the graph as it is, sharing its memory.
    fn weight(&mut self, name: &str, shape: &[usize]) -> Result<String, BuildError> {
        let data = self.source.slice_ref(self.tensor(name, shape)?.data());
        Ok(self.graph.constant(shape, proto::FLOAT, data))
    }

    /// Copies a tensor of the file into numbers, row by row.
    fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, BuildError> {
        let view = self.tensor(name, shape)?;
        let (values, _) = view.data().as_chunks::<4>();
        Ok(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn tensor(&self, name: &str, expected: &[usize]) -> Result<TensorView<'_>, BuildError> {
        let name = format!("{}{name}", self.prefix);
        let wrong = |name, actual| BuildError::Tensor { name, actual, expected: expected.to_vec() };
        let Ok(view) = self.tensors.tensor(&name) else { return Err(wrong(name, "missing".to_owned())) };
        if view.dtype() != Dtype::F32 || view.shape() != expected {
            let actual = format!("{:?} {:?}", view.dtype(), view.shape());
            return Err(wrong(name, actual));
        }
        Ok(view)
    }
}
