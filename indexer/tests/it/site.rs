//! One installation: folders of an index and of dead letters that outlive the engine over them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use index::{Index, OpenMode};
use indexer::config::Config;
use indexer::engine::Engine;
use models::embed::Embedder;

/// Far more than any step takes, so that only a hang comes to its end.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
pub(crate) const DIMENSIONS: usize = 32;

pub(crate) struct Site {
    pub(crate) dir: PathBuf,
    pub(crate) config: Config,
    /// Takes the folder away in the end.
    _temporary: Option<tempfile::TempDir>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let site = Self::at(temporary.path());
        Self { _temporary: Some(temporary), ..site }
    }

    /// The site in a folder that someone else takes away.
    pub(crate) fn at(dir: &Path) -> Self {
        let config =
            Config { data_dir: dir.to_owned(), commit_interval_ms: 5, embed_interval_ms: 5, ..Config::default() };
        Self { dir: dir.to_owned(), config, _temporary: None }
    }

    pub(crate) fn index(&self) -> Index {
        let config = index::Config { dir: self.dir.join("index"), dimensions: DIMENSIONS, ..index::Config::default() };
        Index::open(&config, OpenMode::ReadWrite).unwrap()
    }

    pub(crate) fn open(&self) -> Engine {
        self.open_with(Some(Embedder::fake(DIMENSIONS)))
    }

    pub(crate) fn open_with(&self, embedder: Option<Embedder>) -> Engine {
        Engine::open(self.index(), embedder, self.config.clone()).unwrap()
    }

    pub(crate) fn open_over(&self, index: Index) -> Engine {
        Engine::open(index, Some(Embedder::fake(DIMENSIONS)), self.config.clone()).unwrap()
    }

    pub(crate) fn dead_letters(&self) -> Vec<serde_json::Value> {
        let path: PathBuf = self.dir.join("dead-letters.ndjson");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Waits until all is searchable by words and by meaning.
#[track_caller]
pub(crate) fn settle(engine: &Engine) {
    assert!(engine.wait_embedded(PATIENCE), "{:?}", engine.status());
}
