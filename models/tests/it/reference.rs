//! The real model against an independent forward pass of BERT in double precision, written for reading and not for speed.
//!
//! It shares nothing with the crate but the files: the weights are read and every step computed here. Source: Devlin et al.,
//! "BERT", NAACL 2019; mean pooling after Reimers and Gurevych, "Sentence-BERT", EMNLP 2019.

use std::f64::consts::PI;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use models::embed::{Config, Embedder, Pooling};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use tokenizers::Tokenizer;

use crate::real_model;

const LAYERS: usize = 6;
const HEADS: usize = 12;
const HIDDEN: usize = 384;
const LAYER_NORM_EPSILON: f64 = 1e-12;

type Rows = Vec<Vec<f64>>;

struct Reference<'a> {
    tensors: SafeTensors<'a>,
}

impl Reference<'_> {
    /// Vectors of the tokens of a text given as token ids, special tokens included.
    fn hidden(&self, ids: &[u32]) -> Rows {
        let words = self.rows("embeddings.word_embeddings.weight");
        let positions = self.rows("embeddings.position_embeddings.weight");
        let segment = &self.rows("embeddings.token_type_embeddings.weight")[0];
        let embedded: Rows = ids
            .iter()
            .zip(&positions)
            .map(|(&id, position)| (0..HIDDEN).map(|i| words[id as usize][i] + position[i] + segment[i]).collect())
            .collect();
        let mut hidden = self.layer_norm("embeddings.LayerNorm", embedded);
        for layer in 0..LAYERS {
            hidden = self.layer(&format!("encoder.layer.{layer}"), &hidden);
        }
        hidden
    }

    fn layer(&self, name: &str, input: &Rows) -> Rows {
        let [query, key, value] =
            ["query", "key", "value"].map(|part| self.dense(&format!("{name}.attention.self.{part}"), input));
        let size = HIDDEN / HEADS;
        let mut context = vec![vec![0.0; HIDDEN]; input.len()];
        for head in 0..HEADS {
            let part = head * size..(head + 1) * size;
            for (token, output) in context.iter_mut().enumerate() {
                let scores: Vec<f64> = key
                    .iter()
                    .map(|key| dot(&query[token][part.clone()], &key[part.clone()]) / (size as f64).sqrt())
                    .collect();
                let max = scores.iter().copied().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = scores.iter().map(|score| (score - max).exp()).collect();
                let total: f64 = weights.iter().sum();
                for (weight, value) in weights.iter().zip(&value) {
                    for i in part.clone() {
                        output[i] += weight / total * value[i];
                    }
                }
            }
        }
        let attention = self.dense(&format!("{name}.attention.output.dense"), &context);
        let attended = self.layer_norm(&format!("{name}.attention.output.LayerNorm"), sum(&attention, input));
        let mut wide = self.dense(&format!("{name}.intermediate.dense"), &attended);
        for value in wide.iter_mut().flatten() {
            *value = 0.5 * *value * (1.0 + erf(*value / 2_f64.sqrt()));
        }
        let narrow = self.dense(&format!("{name}.output.dense"), &wide);
        self.layer_norm(&format!("{name}.output.LayerNorm"), sum(&narrow, &attended))
    }

    fn dense(&self, name: &str, input: &Rows) -> Rows {
        let weight = self.rows(&format!("{name}.weight"));
        let bias = self.values(&format!("{name}.bias"));
        let output = |row: &Vec<f64>| weight.iter().zip(&bias).map(|(weight, bias)| dot(row, weight) + bias).collect();
        input.iter().map(output).collect()
    }

    fn layer_norm(&self, name: &str, mut rows: Rows) -> Rows {
        let scale = self.values(&format!("{name}.weight"));
        let bias = self.values(&format!("{name}.bias"));
        for row in &mut rows {
            let mean = row.iter().sum::<f64>() / HIDDEN as f64;
            let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / HIDDEN as f64;
            for (i, value) in row.iter_mut().enumerate() {
                *value = (*value - mean) / (variance + LAYER_NORM_EPSILON).sqrt() * scale[i] + bias[i];
            }
        }
        rows
    }

    fn tensor(&self, name: &str) -> TensorView<'_> {
        self.tensors.tensor(name).expect("the fetched weights hold every tensor of the architecture")
    }

    fn values(&self, name: &str) -> Vec<f64> {
        let view = self.tensor(name);
        let (values, _) = view.data().as_chunks::<4>();
        values.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
    }

    fn rows(&self, name: &str) -> Rows {
        let columns = self.tensor(name).shape()[1];
        self.values(name).chunks(columns).map(<[f64]>::to_vec).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn mean(rows: &Rows) -> Vec<f64> {
    (0..HIDDEN).map(|i| rows.iter().map(|row| row[i]).sum::<f64>() / rows.len() as f64).collect()
}

fn sum(a: &Rows, b: &Rows) -> Rows {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}

/// The error function by its series of positive terms (Abramowitz and Stegun 7.1.6), to double precision.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut total, mut n) = (x, x, 1.0);
    while term.abs() > 1e-17 * total.abs() {
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        total += term;
        n += 1.0;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * total
}

fn tokenizer(model_dir: &Path) -> Tokenizer {
    let mut tokenizer = Tokenizer::from_file(model_dir.join("tokenizer.json")).expect("the fetched tokenizer is whole");
    tokenizer.with_truncation(None).expect("no truncation is always possible");
    tokenizer.with_padding(None);
    tokenizer
}

#[test]
fn vectors_agree_with_a_forward_pass_in_double_precision() {
    let test = "vectors_agree_with_a_forward_pass_in_double_precision";
    let (Some(embedder), Some(config)) = (real_model::embedder(test), real_model::config(test)) else { return };
    let weights = fs::read(config.model_dir.join("model.safetensors")).unwrap();
    let reference = Reference { tensors: SafeTensors::deserialize(&weights).unwrap() };
    let tokenizer = tokenizer(&config.model_dir);
    let long = "Every change to production goes through review, and the reviewer looks for the tests first. ".repeat(4);
    let texts = [
        "holiday",
        "Who signs off travel above 500 €?",
        "Die Kündigungsfrist beträgt drei Monate.",
        "東京オフィスの入館証について",
        "",
        &long,
    ];
    let by_mean = embedder.embed_passages(texts.map(str::to_owned).into()).unwrap();
    let first_token = Embedder::start(Config { pooling: Pooling::Cls, ..config }).unwrap();
    let by_first_token = first_token.embed_passages(texts.map(str::to_owned).into()).unwrap();
    let mut lowest = 1.0_f64;
    for (number, text) in texts.iter().enumerate() {
        let expected = reference.hidden(tokenizer.encode(*text, true).unwrap().get_ids());
        let double = |vector: &[f32]| -> Vec<f64> { vector.iter().map(|&value| f64::from(value)).collect() };
        lowest = lowest.min(cosine(&mean(&expected), &double(&by_mean[number])));
        lowest = lowest.min(cosine(&expected[0], &double(&by_first_token[number])));
    }
    eprintln!("lowest cosine against the reference: {lowest:.9}");
    assert!(lowest >= 0.9999, "{lowest}");
}

#[test]
fn paraphrases_are_nearer_than_other_subjects() {
    let Some(embedder) = real_model::embedder("paraphrases_are_nearer_than_other_subjects") else { return };
    let deadline = Instant::now() + Duration::from_hours(1);
    let cosine = |a: &str, b: &str| -> f32 {
        let a = embedder.embed_query(a, deadline).unwrap();
        let b = embedder.embed_query(b, deadline).unwrap();
        a.iter().zip(b.iter()).map(|(a, b)| a * b).sum()
    };
    let question = "how do I get my money back after a business trip";
    assert!(
        cosine(question, "Reimbursement of travel expenses") > cosine(question, "Onboarding of new engineers") + 0.2
    );
    assert!(cosine("The cat sits outside", "A cat is sitting outdoors") > 0.7);
}
