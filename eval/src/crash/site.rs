//! One installation in a folder: an index with its write side, set to commit often so that there is much to interrupt.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use index::{Index, OpenMode};
use indexer::engine::Engine;
use models::embed::Embedder;

/// Far more than any step takes, so that only a hang comes to its end.
pub const PATIENCE: Duration = Duration::from_mins(2);
const DIMENSIONS: usize = 16;

/// An open installation.
#[derive(Debug)]
pub struct Site {
    /// Its index.
    pub index: Index,
    /// Its write side.
    pub engine: Engine,
}

impl Site {
    /// Opens the installation in a folder; it is made when there is none.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let config = index::Config {
            dir: dir.join("index"),
            dimensions: DIMENSIONS,
            writer_memory_bytes: 15 << 20,
            ..index::Config::default()
        };
        let index = Index::open(&config, OpenMode::ReadWrite).context("cannot open the index")?;
        let config = indexer::config::Config {
            data_dir: dir.to_owned(),
            commit_interval_ms: 5,
            embed_interval_ms: 20,
            embed_commit_passages: 64,
            wait_ms_max: 2_000,
            ..indexer::config::Config::default()
        };
        let embedder = Embedder::fake(DIMENSIONS);
        let engine = Engine::open(index.clone(), Some(embedder), config).context("cannot open the write side")?;
        Ok(Self { index, engine })
    }

    /// Waits until all is searchable by words and by meaning.
    pub fn settle(&self) -> anyhow::Result<()> {
        ensure!(self.engine.wait_embedded(PATIENCE), "it does not come to rest: {:?}", self.engine.status());
        Ok(())
    }
}
