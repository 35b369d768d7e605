//! One installation in a folder: an index with its write side, set to commit often so that there is much to interrupt.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use index::archive::{Archive, ArchiveError, Limits};
use index::generation::{Current, Description};
use index::{Index, OpenMode};
use indexer::engine::Engine;
use indexer::engine::reindex::ReindexError;
use indexer::verify::differences;
use jiff::Timestamp;
use models::embed::Embedder;
use serde::{Deserialize, Serialize};

/// Far more than any step takes, so that only a hang comes to its end.
pub const PATIENCE: Duration = Duration::from_mins(2);
const DIMENSIONS: usize = 16;

/// Snapshots that are not pruned.
const SNAPSHOTS_KEPT: usize = 2;

/// What a generation is built with, as far as it varies here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// Length of its vectors, which names its model.
    pub dimensions: usize,
    /// Length of its passages.
    pub passage_tokens: usize,
}

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
        let index = Index::open(&index_config(dir), OpenMode::ReadWrite).context("cannot open the index")?;
        let config = indexer::config::Config {
            data_dir: dir.to_owned(),
            commit_interval_ms: 5,
            embed_interval_ms: 20,
            embed_commit_passages: 64,
            wait_ms_max: 2_000,
            ..indexer::config::Config::default()
        };
        // Whichever generation was in use when a worker died: its model is known by the length of its vectors.
        let embedder = Embedder::fake(index.description().dimensions);
        let engine = Engine::open(index.clone(), Some(embedder), config).context("cannot open the write side")?;
        Ok(Self { index, engine })
    }

    /// Builds a generation by another passage size and model and puts it in use; with `None` goes back to the former.
    pub fn reindex(&self, recipe: Option<Recipe>) -> anyhow::Result<()> {
        let rebuild = if let Some(Recipe { dimensions, passage_tokens }) = recipe {
            self.engine.rebuild(Some(Embedder::fake(dimensions)), passage_tokens)
        } else {
            let Some(Current { previous: Some(previous), .. }) = Current::read(self.index.dir())? else {
                return Ok(());
            };
            let dimensions = Description::read(self.index.dir(), previous)?.map(|former| former.dimensions);
            self.engine.return_to_previous(dimensions.map(Embedder::fake))
        };
        let mut rebuild = match rebuild {
            Err(ReindexError::AlreadyRunning) => return Ok(()),
            begun => begun?,
        };
        rebuild.follow(1.0, &mut |_| ControlFlow::Continue(()))?;
        rebuild.switch()?;
        Ok(())
    }

    /// Takes a snapshot, by a clock that shows so many hours, and removes what only old ones need.
    pub fn snapshot(&self, hours: u64) -> anyhow::Result<()> {
        let now = Timestamp::UNIX_EPOCH + Duration::from_hours(hours);
        let archive = archive_beside(self.index.dir()).context("there is no archive")?;
        archive.save(self.index.dir(), now, "crash test", &|_| {})?;
        archive.prune(SNAPSHOTS_KEPT, now)?;
        Ok(())
    }

    /// What the generation in use is built with.
    pub fn recipe(&self) -> Option<Recipe> {
        let Description { dimensions, recipe, .. } = self.index.description();
        Some(Recipe { dimensions, passage_tokens: recipe?.passage_tokens })
    }

    /// Waits until all is searchable by words and by meaning.
    pub fn settle(&self) -> anyhow::Result<()> {
        ensure!(self.engine.wait_embedded(PATIENCE), "it does not come to rest: {:?}", self.engine.status());
        Ok(())
    }
}

fn index_config(dir: &Path) -> index::Config {
    index::Config {
        dir: dir.join("index"),
        dimensions: DIMENSIONS,
        writer_memory_bytes: 15 << 20,
        ..index::Config::default()
    }
}

/// The snapshots beside an index.
fn archive_beside(shard: &Path) -> Result<Archive, ArchiveError> {
    Archive::create(&shard.with_file_name("archive").to_string_lossy(), &[], Limits::default())
}

/// Fails when the index in a folder differs from its records, without writing to it. One that was never made is right.
pub fn verify(dir: &Path) -> anyhow::Result<()> {
    let config = index_config(dir);
    if Current::read(&config.dir)?.is_none() {
        return Ok(());
    }
    let index = Index::open(&config, OpenMode::ReadOnly)?;
    let Description { dimensions, recipe, .. } = index.description();
    let has_model = recipe.is_some_and(|recipe| recipe.model_id.is_some());
    let found = differences(&index, has_model.then(|| Embedder::fake(dimensions)), true)?;
    ensure!(found.is_empty(), "verify finds {} differences: {:?}", found.len(), &found[..found.len().min(5)]);
    Ok(())
}

/// Fails when a snapshot beside the index in a folder is not whole, or the newest cannot be restored. Gives how many there are.
pub fn verify_snapshots(dir: &Path) -> anyhow::Result<usize> {
    let archive = archive_beside(&dir.join("index"))?;
    let ids = archive.list()?;
    let report = archive.verify(&ids, &|_| {})?;
    ensure!(report.damages.is_empty(), "snapshots are damaged: {:?}", report.damages);
    if let Some(last) = ids.last() {
        let (id, manifest) = archive.find(last)?;
        let restored = tempfile::tempdir()?;
        archive.restore(&id, &manifest, &restored.path().join("index"), false, &|_| {})?;
        verify(restored.path()).context("after a restore")?;
    }
    Ok(ids.len())
}
