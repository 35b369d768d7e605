//! What the builder accepts and refuses, on a model of a few numbers; that it computes rightly is shown in `tests/it`.

use std::collections::HashMap;

use safetensors::tensor::serialize;

use super::*;

const CONFIG: &str = r#"{
    "model_type": "bert", "hidden_act": "gelu", "hidden_size": 4, "intermediate_size": 8, "layer_norm_eps": 1e-12,
    "max_position_embeddings": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "type_vocab_size": 2, "vocab_size": 10
}"#;

/// The file of a model that fits [`CONFIG`], less the tensors that `keep` refuses.
fn weights(prefix: &str, keep: impl Fn(&str) -> bool) -> Bytes {
    let layer = "encoder.layer.0";
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![10, 4]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![16, 4]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, 4]),
        (format!("{layer}.intermediate.dense.weight"), vec![8, 4]),
        (format!("{layer}.intermediate.dense.bias"), vec![8]),
        (format!("{layer}.output.dense.weight"), vec![4, 8]),
        (format!("{layer}.output.dense.bias"), vec![4]),
    ];
    for part in ["self.query", "self.key", "self.value", "output.dense"] {
        shapes.push((format!("{layer}.attention.{part}.weight"), vec![4, 4]));
        shapes.push((format!("{layer}.attention.{part}.bias"), vec![4]));
    }
    for part in ["embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output"] {
        shapes.push((format!("{part}.LayerNorm.weight"), vec![4]));
        shapes.push((format!("{part}.LayerNorm.bias"), vec![4]));
    }
    shapes.retain(|(name, _)| keep(name));
    let zeros = [0; 16 * 4 * 4];
    let tensors: HashMap<String, TensorView> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let bytes = shape.iter().product::<usize>() * 4;
            let view = TensorView::new(Dtype::F32, shape, &zeros[..bytes]).unwrap();
            (format!("{prefix}{name}"), view)
        })
        .collect();
    serialize(tensors, None).unwrap().into()
}

#[test]
fn model_with_and_without_the_name_of_its_architecture_gives_the_same_graph() {
    let plain = build(&weights("", |_| true), CONFIG.as_bytes(), Pooling::Mean).unwrap();
    let named = build(&weights("bert.", |_| true), CONFIG.as_bytes(), Pooling::Mean).unwrap();
    assert_eq!(plain, named);
}

#[test]
fn missing_tensor_is_named() {
    let weights = weights("", |name| !name.contains("self.key.bias"));
    let error = build(&weights, CONFIG.as_bytes(), Pooling::Mean).unwrap_err();
    assert!(error.to_string().contains("encoder.layer.0.attention.self.key.bias"), "{error}");
}

#[test]
fn tensor_of_another_shape_is_refused() {
    let config = CONFIG.replace(r#""vocab_size": 10"#, r#""vocab_size": 11"#);
    let error = build(&weights("", |_| true), config.as_bytes(), Pooling::Mean).unwrap_err();
    assert!(matches!(error, BuildError::Tensor { .. }), "{error}");
}

#[test]
fn architecture_that_the_graph_does_not_compute_is_refused() {
    #[track_caller]
    fn check(from: &str, to: &str, expected_key: &str) {
        let config = CONFIG.replace(from, to);
        let error = build(&weights("", |_| true), config.as_bytes(), Pooling::Mean).unwrap_err();
        assert!(matches!(error, BuildError::Unsupported { key, .. } if key == expected_key), "{error}");
    }
    check(r#""gelu""#, r#""gelu_new""#, "hidden_act");
    check(r#""bert""#, r#""xlm-roberta""#, "model_type");
    check(r#""num_attention_heads": 2"#, r#""num_attention_heads": 3"#, "num_attention_heads");
    check(
        r#""type_vocab_size""#,
        r#""position_embedding_type": "relative_key", "type_vocab_size""#,
        "position_embedding_type",
    );
}

#[test]
fn damaged_files_are_refused() {
    let whole = weights("", |_| true);
    let error = build(&whole.slice(..whole.len() / 2), CONFIG.as_bytes(), Pooling::Mean).unwrap_err();
    assert!(matches!(error, BuildError::Weights(_)));
    assert!(matches!(build(&whole, b"{}", Pooling::Mean).unwrap_err(), BuildError::Config(_)));
}
