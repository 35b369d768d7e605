//! Finds the real model for the tests that need it, and says loudly when it is not there.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::OnceLock;

use models::embed::{Config, Embedder, Pooling};

/// The configuration of the real model, or `None`, printed as a skip, where it has not been fetched.
///
/// Looks in `TESSERA_MODELS_DIR`, else in `.cache/models` of the repository.
pub(crate) fn config(test: &str) -> Option<Config> {
    let folder = std::env::var_os("TESSERA_MODELS_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.cache/models"), PathBuf::from);
    let library = folder.join("libonnxruntime.so");
    let model_dir = folder.join("all-MiniLM-L6-v2");
    if !library.is_file() || !model_dir.is_dir() {
        // Not by a macro, whose output the test harness keeps to itself when the test passes.
        let _ = writeln!(io::stderr(), "SKIPPED {test}: no model in {}; run scripts/fetch-models.sh", folder.display());
        return None;
    }
    Some(Config { library, model_dir, pooling: Pooling::Mean, ..Config::default() })
}

/// The real model, started once for all tests.
pub(crate) fn embedder(test: &str) -> Option<&'static Embedder> {
    static EMBEDDER: OnceLock<Embedder> = OnceLock::new();
    let config = config(test)?;
    Some(EMBEDDER.get_or_init(|| Embedder::start(config).expect("the fetched model starts")))
}
