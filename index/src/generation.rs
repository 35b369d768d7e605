//! Generations: whole indexes built under one recipe, of which one is read and written.
//!
//! ```text
//! index/
//!   CURRENT            which generation is in use, and which was before
//!   g000001/           a generation: tantivy's files, a vector file for each segment
//!     generation.json  what it was built with
//! ```
//!
//! A new recipe (model, passage size, analysis) is a new generation beside the old, filled from its records and then put
//! in its place by one rename of `CURRENT`. Nothing here fills or compares them. Invariants: `CURRENT` names a generation
//! that is whole; vectors of two models are never in one generation.

use std::panic::{catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use serde::{Deserialize, Serialize};
use tantivy::directory::MmapDirectory;
use tantivy::directory::error::LockError;
use tantivy::index::SegmentId;
use tantivy::indexer::IndexWriterOptions;
use tantivy::schema::Schema;
use tantivy::tokenizer::{RawTokenizer, TextAnalyzer};
use tantivy::{IndexReader, IndexWriter, ReloadPolicy, TantivyError};

use crate::analysis;
use crate::compaction::MERGE_THREADS;
use crate::directory::{META, Merges, SealedDirectory};
use crate::error::{Doing, IndexError};
use crate::fields::{ENCODED_TOKENS, FORMAT, Fields, WHOLE};
use crate::open::Snapshot;
use crate::rests;
use crate::seal::{seal, unseal};
use crate::tokens::Unpacker;
use crate::vectors::VectorPlugin;
use crate::verify::first_damaged;

/// Bytes of one block of stored documents, unpacked.
const STORE_BLOCK_BYTES: usize = 16 << 10;
/// Segments among which the cache of such blocks is divided, for the engine bounds it in each: merges keep their number below
/// this.
const SEGMENTS_MAX: usize = 64;

pub(crate) const CURRENT: &str = "CURRENT";
/// What says of a generation which model and rules it was built with.
pub(crate) const DESCRIPTION: &str = "generation.json";

/// What the passages of a generation are cut and embedded with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// How long a passage should be, in tokens.
    pub passage_tokens: usize,
    /// Release of the rules by which passages are cut.
    pub cutter: u32,
    /// The model of all vectors; none while it has no vectors.
    #[serde(default)]
    pub model_id: Option<String>,
    /// How that model is loaded. The index only keeps it.
    #[serde(default)]
    pub model: serde_json::Value,
    /// Release of the analysis of text; see [`crate::analysis::RELEASE`].
    pub analysis: u32,
}

/// What a generation says of itself in `generation.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Its number, growing by one.
    pub number: u32,
    /// The format of its files.
    pub format: u32,
    /// Numbers in one of its vectors.
    pub dimensions: usize,
    /// What it was built with; none before the write side was first opened.
    #[serde(default)]
    pub recipe: Option<Recipe>,
}

/// What `CURRENT` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    /// The generation in use.
    pub generation: u32,
    /// The one before, kept to go back to.
    #[serde(default)]
    pub previous: Option<u32>,
    /// Number of the commit that both held when they were switched.
    #[serde(default)]
    pub switched_at: u64,
}

impl Current {
    /// Reads it; `None` when there is none.
    pub fn read(shard: &Path) -> Result<Option<Self>, IndexError> {
        read_json(&shard.join(CURRENT))
    }

    pub(crate) fn write(self, shard: &Path) -> Result<(), IndexError> {
        write_json(&shard.join(CURRENT), &self)
    }
}

impl Description {
    /// Reads that of one generation.
    pub fn read(shard: &Path, number: u32) -> Result<Option<Self>, IndexError> {
        read_json(&generation_dir(shard, number).join(DESCRIPTION))
    }

    pub(crate) fn write(&self, shard: &Path) -> Result<(), IndexError> {
        write_json(&generation_dir(shard, self.number).join(DESCRIPTION), self)
    }
}

/// The folder of a generation.
pub fn generation_dir(shard: &Path, number: u32) -> PathBuf {
    shard.join(format!("g{number:06}"))
}

/// The generations that have a folder, in order.
pub fn generations(shard: &Path) -> Result<Vec<u32>, IndexError> {
    let entries = match std::fs::read_dir(shard) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(IndexError::Folder { path: shard.to_owned(), source }),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| IndexError::Folder { path: shard.to_owned(), source })?;
        let name = entry.file_name();
        found.extend(name.to_str().and_then(|name| name.strip_prefix('g')?.parse::<u32>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes the folder of a generation that is not in use.
pub(crate) fn remove(shard: &Path, number: u32) -> Result<(), IndexError> {
    let path = generation_dir(shard, number);
    match std::fs::remove_dir_all(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(IndexError::Folder { path, source }),
        _ => Ok(()),
    }
}

/// An open generation.
pub(crate) struct Generation {
    pub(crate) dir: PathBuf,
    pub(crate) fields: Fields,
    description: RwLock<Description>,
    engine: tantivy::Index,
    merges: Merges,
    reader: IndexReader,
    snapshot: RwLock<Arc<Snapshot>>,
    /// Snapshots that were replaced and may still be read. Held while a newer one is taken in.
    former: Mutex<Vec<Weak<Snapshot>>>,
}

impl Generation {
    /// Makes the folder of a new generation, empty.
    pub(crate) fn create(shard: &Path, description: &Description) -> Result<(), IndexError> {
        let path = generation_dir(shard, description.number);
        std::fs::create_dir_all(&path).map_err(|source| IndexError::Folder { path, source })?;
        description.write(shard)
    }

    /// Opens a generation. One that was described and never written is empty. What decides who sees what is compared with its
    /// checksum: `CURRENT`, the descriptions, the columns with pages and heads, the deletes. The rest is for a verification.
    pub(crate) fn open(shard: &Path, number: u32, store_cache_bytes: usize) -> Result<Self, IndexError> {
        // The engine reads some damaged files with a panic, and says of none of them what to do.
        let opened = catch_unwind(|| Self::open_files(shard, number, store_cache_bytes));
        match opened {
            Ok(Err(error)) if error.may_be_damage() => Err(first_damaged(shard, number).unwrap_or(error)),
            Ok(opened) => opened,
            Err(panic) => Err(first_damaged(shard, number).unwrap_or_else(|| resume_unwind(panic))),
        }
    }

    fn open_files(shard: &Path, number: u32, store_cache_bytes: usize) -> Result<Self, IndexError> {
        let dir = generation_dir(shard, number);
        let description =
            Description::read(shard, number)?.ok_or_else(|| IndexError::FileMissing(dir.join(DESCRIPTION)))?;
        if description.format != FORMAT {
            return Err(IndexError::Format { path: dir, found: description.format, expected: FORMAT });
        }
        let (engine, merges) = open_engine(&dir, description.dimensions)?;
        engine.tokenizers().register(ENCODED_TOKENS, TextAnalyzer::from(Unpacker::default()));
        engine.tokenizers().register(WHOLE, TextAnalyzer::from(RawTokenizer::default()));
        let (_, fields) = Fields::schema(description.dimensions)?;
        let reader = engine
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .doc_store_cache_num_blocks((store_cache_bytes / STORE_BLOCK_BYTES / SEGMENTS_MAX).max(1))
            .try_into()
            .doing("open its segments")?;
        let snapshot = Snapshot::take(&engine, &reader, &dir, &[])?;
        Ok(Self {
            dir,
            fields,
            description: RwLock::new(description),
            engine,
            merges,
            reader,
            snapshot: RwLock::new(Arc::new(snapshot)),
            former: Mutex::default(),
        })
    }

    pub(crate) fn description(&self) -> Description {
        self.description.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes down what it is built with.
    pub(crate) fn describe(&self, recipe: Recipe) -> Result<(), IndexError> {
        let mut description = self.description.write().unwrap_or_else(PoisonError::into_inner);
        let described = Description { recipe: Some(recipe), ..description.clone() };
        let shard = self.dir.parent().unwrap_or(Path::new("."));
        described.write(shard)?;
        *description = described;
        Ok(())
    }

    /// Takes in the newest commit. Cost: opens new segments only.
    pub(crate) fn reload(&self) -> Result<(), IndexError> {
        // One after the other, so that an older snapshot never takes the place of a newer one.
        let mut former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        self.reader.reload().doing("open the new segments")?;
        let replaced = self.snapshot();
        let snapshot = Snapshot::take(&self.engine, &self.reader, &self.dir, &replaced.segments)?;
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        former.retain(|snapshot| snapshot.strong_count() > 0);
        former.push(Arc::downgrade(&replaced));
        Ok(())
    }

    /// The segments that its last commit names, whether or not that was taken in.
    pub(crate) fn committed_segments(&self) -> Result<Vec<SegmentId>, IndexError> {
        self.engine.searchable_segment_ids().doing("read its description")
    }

    /// Whether someone still reads segments that are not in use any more.
    pub(crate) fn is_former_read(&self) -> bool {
        let former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.snapshot();
        let is_used = |id| snapshot.segments.iter().any(|segment| segment.id == id);
        let read = former.iter().filter_map(Weak::upgrade);
        read.flat_map(|former| former.segments.clone()).any(|segment| !is_used(segment.id))
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The engine's writer; it holds the lock of the folder.
    pub(crate) fn engine_writer(&self, memory_bytes: usize) -> Result<IndexWriter, IndexError> {
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .memory_budget_per_thread(memory_bytes)
            .num_merge_threads(MERGE_THREADS)
            .build();
        self.engine.writer_with_options(options).map_err(|error| match error {
            TantivyError::LockFailure(LockError::LockBusy, _) => IndexError::Locked(self.dir.clone()),
            source => IndexError::Engine { doing: "open for writing", source },
        })
    }

    /// The merges of its folder.
    pub(crate) fn merges(&self) -> Merges {
        self.merges.clone()
    }
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation").field("dir", &self.dir).finish_non_exhaustive()
    }
}

fn open_engine(dir: &Path, dimensions: usize) -> Result<(tantivy::Index, Merges), IndexError> {
    let meta = dir.join(META);
    if !meta.is_file() && rests::holds_segments(dir) {
        return Err(IndexError::FileMissing(meta));
    }
    let (schema, _) = Fields::schema(dimensions)?;
    engine_with(dir, schema)
}

/// The engine over a folder whose files have this schema.
pub(crate) fn engine_with(dir: &Path, schema: Schema) -> Result<(tantivy::Index, Merges), IndexError> {
    let mapped = MmapDirectory::open(dir)
        .map_err(|error| IndexError::Engine { doing: "open its folder", source: TantivyError::from(error) })?;
    let directory = SealedDirectory::new(mapped);
    let merges = directory.merges();
    let builder = tantivy::Index::builder().schema(schema).register_plugin(Arc::new(VectorPlugin));
    let engine = builder.open_or_create(directory).map_err(|error| match error {
        TantivyError::SchemaError(_) => IndexError::Shape(dir.to_owned()),
        source => IndexError::Engine { doing: "open", source },
    })?;
    Ok((engine, merges))
}

impl Recipe {
    /// True when a generation of this recipe can be gone on with under another: nothing that is stored would differ.
    /// A generation without vectors takes on any model.
    pub fn admits(&self, wanted: &Self) -> bool {
        let model_fits = self.model_id.is_none() || wanted.model_id.is_none() || self.model_id == wanted.model_id;
        model_fits
            && (self.passage_tokens, self.cutter, self.analysis)
                == (wanted.passage_tokens, wanted.cutter, wanted.analysis)
    }

    /// A recipe with the analysis of this release.
    pub fn new(passage_tokens: usize, cutter: u32) -> Self {
        Self { passage_tokens, cutter, analysis: analysis::RELEASE, ..Self::default() }
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, IndexError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(IndexError::File { path: path.to_owned(), source }),
    };
    let json =
        unseal(bytes).map_err(|error| IndexError::FileDamaged { path: path.to_owned(), source: Box::new(error) })?;
    let damaged = |error| IndexError::FileDamaged { path: path.to_owned(), source: Box::new(error) };
    serde_json::from_slice(&json).map(Some).map_err(damaged)
}

/// Replaces a small file in one step: whoever reads it finds the former content or the new, after a crash too.
fn write_json(path: &Path, content: &impl Serialize) -> Result<(), IndexError> {
    let failed = |source| IndexError::File { path: path.to_owned(), source };
    let bytes = seal(&serde_json::to_vec_pretty(content).expect("numbers and text are JSON"));
    let aside = path.with_extension("new");
    let mut file = std::fs::File::create(&aside).map_err(failed)?;
    std::io::Write::write_all(&mut file, &bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&aside, path).map_err(failed)?;
    let folder = path.parent().expect("the file lies in a folder");
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}
