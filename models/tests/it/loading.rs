//! Starting an embedder: what is refused, how it is said, and what changes the model id.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use models::embed::{Config, EmbedError, Embedder, ErrorKind, onnx_bert};

use crate::real_model;

const TOKENIZER_FILES: [&str; 4] =
    ["tokenizer.json", "config.json", "special_tokens_map.json", "tokenizer_config.json"];

fn copy(files: &[&str], from: &Path, to: &Path) {
    for file in files {
        fs::copy(from.join(file), to.join(file)).expect("a file of the fetched model can be copied");
    }
}

#[test]
fn missing_model_is_an_error_that_names_the_file_and_the_script() {
    let Some(config) = real_model::config("missing_model_is_an_error_that_names_the_file_and_the_script") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let error = Embedder::start(Config { model_dir: folder.path().to_owned(), ..config.clone() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("tokenizer.json"), "{error}");
    assert!(error.to_string().contains("scripts/fetch-models.sh"), "{error}");

    copy(&TOKENIZER_FILES, &config.model_dir, folder.path());
    let error = Embedder::start(Config { model_dir: folder.path().to_owned(), ..config }).unwrap_err();
    assert!(error.to_string().contains("model.safetensors"), "{error}");
}

#[test]
fn damaged_model_is_an_error_and_no_panic() {
    let Some(config) = real_model::config("damaged_model_is_an_error_and_no_panic") else { return };
    let folder = tempfile::tempdir().unwrap();
    copy(&TOKENIZER_FILES, &config.model_dir, folder.path());
    let config = Config { model_dir: folder.path().to_owned(), ..config };
    for file in ["model.safetensors", "model.onnx"] {
        fs::write(folder.path().join(file), b"not a model").unwrap();
        let error = Embedder::start(config.clone()).unwrap_err();
        assert!(matches!(error, EmbedError::BadModel { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[test]
fn settings_that_the_model_cannot_meet_are_refused() {
    let Some(config) = real_model::config("settings_that_the_model_cannot_meet_are_refused") else { return };
    let error = Embedder::start(Config { dimensions: 768, ..config.clone() }).unwrap_err();
    assert!(matches!(error, EmbedError::WrongDimensions { configured: 768, actual: 384, .. }), "{error}");
    let error = Embedder::start(Config { max_length_tokens: 513, ..config }).unwrap_err();
    assert!(matches!(error, EmbedError::BadConfig { key: "max_length_tokens", .. }), "{error}");
}

#[test]
fn second_library_in_one_process_is_refused() {
    let Some(config) = real_model::config("second_library_in_one_process_is_refused") else { return };
    Embedder::start(config.clone()).unwrap();
    let other = tempfile::NamedTempFile::new().unwrap();
    let error = Embedder::start(Config { library: other.path().to_owned(), ..config }).unwrap_err();
    assert!(matches!(error, EmbedError::LibraryConflict { .. }), "{error}");
}

#[test]
fn every_setting_that_moves_vectors_changes_the_id_and_no_other_does() {
    let Some(config) = real_model::config("every_setting_that_moves_vectors_changes_the_id_and_no_other_does") else {
        return;
    };
    let id = |config: Config| Embedder::start(config).unwrap().model_id().clone();
    let base = id(config.clone());
    assert_eq!(base, id(Config { intra_threads: 1, batch_tokens_max: 64, queue_len_max: 1, ..config.clone() }));
    assert_ne!(base, id(Config { max_length_tokens: 128, ..config.clone() }));
    assert_ne!(base, id(Config { passage_prefix: "passage: ".to_owned(), ..config.clone() }));
    assert_ne!(base, id(Config { query_prefix: "query: ".to_owned(), ..config }));
}

#[test]
fn model_brought_as_onnx_gives_the_vectors_of_its_safetensors() {
    let Some(config) = real_model::config("model_brought_as_onnx_gives_the_vectors_of_its_safetensors") else { return };
    let folder = tempfile::tempdir().unwrap();
    copy(&TOKENIZER_FILES, &config.model_dir, folder.path());
    let weights = fs::read(config.model_dir.join("model.safetensors")).unwrap();
    let bert = fs::read(config.model_dir.join("config.json")).unwrap();
    let graph = onnx_bert::build(&weights.into(), &bert, config.pooling).unwrap();
    fs::write(folder.path().join("model.onnx"), graph).unwrap();

    let built = Embedder::start(config.clone()).unwrap();
    let brought = Embedder::start(Config { model_dir: folder.path().to_owned(), ..config }).unwrap();
    assert_ne!(built.model_id(), brought.model_id());
    let deadline = Instant::now() + Duration::from_hours(1);
    let vectors = [&built, &brought].map(|embedder| embedder.embed_query("the same question", deadline).unwrap());
    let cosine: f32 = vectors[0].iter().zip(vectors[1].iter()).map(|(a, b)| a * b).sum();
    assert!(cosine > 0.99999, "{cosine}");
}
