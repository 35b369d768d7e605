//! Opening an index, for writing and for reading, and the snapshots that searches read.
//!
//! A snapshot is what one commit left: its segments with their page keys and vectors. [`Index::reload`] takes a newer
//! one in; running searches go on with theirs, also when another generation takes the place of the one they read.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use access::WorkspaceNumber;
use serde::{Deserialize, Serialize};
use tantivy::index::SegmentId;
use tantivy::{DocId, IndexReader, SegmentReader};

use crate::catalog::Catalog;
use crate::commit::{CommitPayload, Writer};
use crate::error::{Doing, IndexError};
use crate::fields::FORMAT;
use crate::generation::{Current, Description, Generation, Recipe, generations, remove};
use crate::pages::Pages;
use crate::records::{Head, read_heads};
use crate::seal::BrokenSeal;
use crate::search::Searcher;
use crate::vectors::SegmentVectors;
use crate::verify::{Kind, state_of};

/// Where the index is and what it may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of the index with its generations. Default `index`, below the data folder.
    pub dir: PathBuf,
    /// Bytes that the writer may gather before it writes a segment. Default 64 MiB, at least 15 MiB: more makes fewer
    /// and larger segments during imports.
    pub writer_memory_bytes: usize,
    /// Bytes of stored text kept unpacked, over all segments of a generation. Default 32 MiB.
    pub store_cache_bytes: usize,
    /// Numbers in one embedding, for an index that is made. Default 384; it must be that of the embedding model.
    pub dimensions: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("index"),
            writer_memory_bytes: 64 << 20,
            store_cache_bytes: 32 << 20,
            dimensions: 384,
        }
    }
}

/// What an index is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// To write and read; it is made when there is none.
    ReadWrite,
    /// To read what others have written.
    ReadOnly,
}

/// An open index. Cloning is cheap.
#[derive(Clone)]
pub struct Index(Arc<Parts>);

struct Parts {
    config: Config,
    mode: OpenMode,
    current: Slot,
    catalog: Catalog,
    writer: Mutex<Option<Writer>>,
}

/// The generation in use, shared with its writer.
pub(crate) type Slot = Arc<RwLock<Arc<Generation>>>;

/// The generation in a slot.
pub(crate) fn held(slot: &Slot) -> Arc<Generation> {
    Arc::clone(&slot.read().unwrap_or_else(PoisonError::into_inner))
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("dir", &self.0.config.dir).finish_non_exhaustive()
    }
}

/// What one commit left.
pub(crate) struct Snapshot {
    pub(crate) engine: tantivy::Searcher,
    pub(crate) segments: Vec<Segment>,
    pub(crate) vectors: Vec<SegmentVectors>,
    pub(crate) payload: CommitPayload,
}

/// What is kept in memory of one segment.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) pages: Arc<Pages>,
}

impl Index {
    /// Opens the index in `config.dir`: the generation that is in use there.
    pub fn open(config: &Config, mode: OpenMode) -> Result<Self, IndexError> {
        let dir = &config.dir;
        let current = match (Current::read(dir)?, mode) {
            (Some(current), _) => current,
            (None, _) if dir.join("meta.json").is_file() => {
                return Err(IndexError::Format { path: dir.clone(), found: 1, expected: FORMAT });
            }
            (None, _) if dir.join("g000001/meta.json").is_file() => {
                return Err(IndexError::FileMissing(dir.join("CURRENT")));
            }
            (None, OpenMode::ReadOnly) => return Err(IndexError::Absent(dir.clone())),
            (None, OpenMode::ReadWrite) => create(config)?,
        };
        Self::open_generation(config, mode, current.generation)
    }

    /// Opens one generation, whether it is in use or not.
    pub fn open_generation(config: &Config, mode: OpenMode, number: u32) -> Result<Self, IndexError> {
        let generation = Generation::open(&config.dir, number, config.store_cache_bytes)?;
        let catalog = Catalog::default();
        catalog.load(generation.snapshot().heads()?);
        Ok(Self(Arc::new(Parts {
            config: config.clone(),
            mode,
            current: Arc::new(RwLock::new(Arc::new(generation))),
            catalog,
            writer: Mutex::new(None),
        })))
    }

    /// The workspaces, with what is kept in memory of each.
    pub fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    /// The one writer. The first call takes the lock of the folder; later ones give the same writer.
    pub fn writer(&self) -> Result<Writer, IndexError> {
        let mut slot = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = &*slot {
            return Ok(writer.clone());
        }
        if self.0.mode == OpenMode::ReadOnly {
            return Err(IndexError::Locked(self.0.config.dir.clone()));
        }
        let memory_bytes = self.0.config.writer_memory_bytes;
        let writer = Writer::new(Arc::clone(&self.0.current), self.0.catalog.clone(), memory_bytes)?;
        *slot = Some(writer.clone());
        Ok(writer)
    }

    /// What the last commit taken in said.
    pub fn payload(&self) -> CommitPayload {
        self.snapshot().payload.clone()
    }

    /// A searcher over the last commit taken in.
    pub fn searcher(&self) -> Searcher {
        let generation = held(&self.0.current);
        Searcher::new(generation.snapshot(), generation.fields, self.0.catalog.clone())
    }

    /// Takes in the newest commit. Cost: opens new segments only.
    pub fn reload(&self) -> Result<(), IndexError> {
        held(&self.0.current).reload()
    }

    /// What the generation in use says of itself.
    pub fn description(&self) -> Description {
        held(&self.0.current).description()
    }

    /// Writes down what the generation in use is built with.
    pub fn describe(&self, recipe: Recipe) -> Result<(), IndexError> {
        held(&self.0.current).describe(recipe)
    }

    /// The folder of the index, with its generations.
    pub fn dir(&self) -> &Path {
        &self.0.config.dir
    }

    /// Opens a generation beside the one in use, to be filled by its own writer: the unfinished one of the same recipe if
    /// there is one, a new one otherwise. Unfinished ones of other recipes are removed.
    pub fn begin_generation(&self, recipe: &Recipe, dimensions: usize) -> Result<Self, IndexError> {
        let dir = &self.0.config.dir;
        let current = Current::read(dir)?.ok_or_else(|| IndexError::Absent(dir.clone()))?;
        let mut unfinished = None;
        for number in generations(dir)? {
            if number == current.generation || Some(number) == current.previous {
                continue;
            }
            let fits = Description::read(dir, number)?.is_some_and(|found| {
                found.format == FORMAT && found.dimensions == dimensions && found.recipe.as_ref() == Some(recipe)
            });
            if fits && number > current.generation {
                unfinished = Some(number);
            } else {
                remove(dir, number)?;
            }
        }
        let number = if let Some(number) = unfinished {
            number
        } else {
            let number = generations(dir)?.last().map_or(1, |last| last + 1);
            let recipe = Some(recipe.clone());
            Generation::create(dir, &Description { number, format: FORMAT, dimensions, recipe })?;
            number
        };
        Self::open_generation(&self.0.config, OpenMode::ReadWrite, number)
    }

    /// Opens another generation to read it, as it was committed last.
    pub fn read_generation(&self, number: u32) -> Result<Self, IndexError> {
        Self::open_generation(&self.0.config, OpenMode::ReadOnly, number)
    }

    /// What the generation that was in use before was built with; `None` when there is none.
    pub fn previous_recipe(&self) -> Result<Option<Recipe>, IndexError> {
        let dir = &self.0.config.dir;
        let Some(Current { previous: Some(number), .. }) = Current::read(dir)? else { return Ok(None) };
        Ok(Description::read(dir, number)?.and_then(|described| described.recipe))
    }

    /// The generation that was in use before, to be brought level with this one and used again; `None` when there is none.
    pub fn previous_generation(&self) -> Result<Option<Self>, IndexError> {
        let Some(Current { previous: Some(number), .. }) = Current::read(&self.0.config.dir)? else { return Ok(None) };
        Self::open_generation(&self.0.config, OpenMode::ReadWrite, number).map(Some)
    }

    /// Puts `other` in the place of the generation in use, which is kept as the previous one; the one kept before is removed.
    /// Searches that run go on with theirs.
    ///
    /// Both must hold the same records, and nothing may be written meanwhile: whoever calls it holds commits back. `other`
    /// is used up: its folder is now this index's.
    pub fn switch_to(&self, other: &Self) -> Result<(), IndexError> {
        let dir = &self.0.config.dir;
        let (mine, theirs) = (self.writer()?, other.writer()?);
        let former = self.description().number;
        let generation = other.description().number;
        let dropped = Current::read(dir)?.and_then(|current| current.previous);
        let switched_at = other.payload().index_seq;
        Current { generation, previous: Some(former), switched_at }.write(dir)?;
        mine.exchange(&theirs);
        self.0.catalog.take_counts(&other.0.catalog);
        {
            let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
            let mut others = other.0.current.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut *current, &mut *others);
        }
        if let Some(number) = dropped.filter(|number| ![former, generation].contains(number)) {
            remove(dir, number)?;
        }
        Ok(())
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.generation().snapshot()
    }

    /// The generation in use.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        held(&self.0.current)
    }
}

/// Makes the first generation of an index.
fn create(config: &Config) -> Result<Current, IndexError> {
    let folder = |source| IndexError::Folder { path: config.dir.clone(), source };
    std::fs::create_dir_all(&config.dir).map_err(folder)?;
    let description = Description { number: 1, format: FORMAT, dimensions: config.dimensions, recipe: None };
    Generation::create(&config.dir, &description)?;
    let current = Current { generation: 1, previous: None, switched_at: 0 };
    current.write(&config.dir)?;
    Ok(current)
}

/// How often a snapshot is tried again when segments are merged away while it is taken.
const RETAKES: usize = 10;

/// Compares with their checksums the files of a segment that decide who sees what: the columns, unless the segment is known,
/// and the deletes. Costs a millisecond for some megabytes.
fn check_deciding(dir: &Path, segment: &SegmentReader, is_known: bool) -> Result<(), IndexError> {
    let id = segment.segment_id().uuid_string();
    let columns = (!is_known).then(|| format!("{id}.fast"));
    let deletes = segment.delete_opstamp().map(|opstamp| format!("{id}.{opstamp}.del"));
    for name in columns.into_iter().chain(deletes) {
        match state_of(segment.index().directory(), Path::new(&name)) {
            None => {}
            Some(Kind::FileMissing) => return Err(IndexError::FileMissing(dir.join(name))),
            Some(_) => return Err(IndexError::FileDamaged { path: dir.join(name), source: Box::new(BrokenSeal) }),
        }
    }
    Ok(())
}

fn segment_ids(reader: &IndexReader) -> Vec<SegmentId> {
    reader.searcher().segment_readers().iter().map(SegmentReader::segment_id).collect()
}

impl Snapshot {
    /// A snapshot of the last commit that the reader took in, or of a newer one.
    pub(crate) fn take(
        engine: &tantivy::Index,
        reader: &IndexReader,
        dir: &Path,
        former: &[Segment],
    ) -> Result<Self, IndexError> {
        // A writer elsewhere may merge a segment away between the look at what there is and the look into it.
        let mut tries_left = RETAKES;
        loop {
            let segments = segment_ids(reader);
            let taken = Self::take_once(engine, reader, dir, former);
            // A look that fails says nothing of a file by name: what was found before does.
            if taken.is_ok() || tries_left == 0 || reader.reload().is_err() || segment_ids(reader) == segments {
                return taken;
            }
            tries_left -= 1;
        }
    }

    fn take_once(
        engine: &tantivy::Index,
        reader: &IndexReader,
        dir: &Path,
        former: &[Segment],
    ) -> Result<Self, IndexError> {
        let (found, payload) = CommitPayload::of(engine)?.unwrap_or((FORMAT, CommitPayload::default()));
        if found != FORMAT {
            return Err(IndexError::Format { path: dir.to_owned(), found, expected: FORMAT });
        }
        Self::read(reader, dir, payload, former)
    }

    /// A snapshot to read records of.
    pub(crate) fn take_of_any_format(
        engine: &tantivy::Index,
        reader: &IndexReader,
        dir: &Path,
    ) -> Result<Self, IndexError> {
        let (_, payload) = CommitPayload::of(engine)?.unwrap_or_default();
        Self::read(reader, dir, payload, &[])
    }

    fn read(reader: &IndexReader, dir: &Path, payload: CommitPayload, former: &[Segment]) -> Result<Self, IndexError> {
        let searcher = reader.searcher();
        let mut segments = Vec::with_capacity(searcher.segment_readers().len());
        let mut vectors = Vec::with_capacity(searcher.segment_readers().len());
        for segment in searcher.segment_readers() {
            let id = segment.segment_id();
            check_deciding(dir, segment, former.iter().any(|known| known.id == id))?;
            let known = former.iter().find(|known| known.id == id).cloned();
            segments.push(if let Some(known) = known {
                known
            } else {
                Segment { id, pages: Arc::new(Pages::read(segment)?) }
            });
            vectors.push(SegmentVectors::open(segment)?);
        }
        Ok(Self { engine: searcher, segments, vectors, payload })
    }

    /// The heads of all records, with the number of their workspace.
    pub(crate) fn heads(&self) -> Result<Vec<(WorkspaceNumber, Head)>, IndexError> {
        let mut heads = Vec::new();
        for (segment, reader) in self.segments.iter().zip(self.engine.segment_readers()) {
            heads.append(&mut read_heads(reader, &segment.pages, |_| true)?);
        }
        Ok(heads)
    }

    /// The heads of the records that may be newer than a commit.
    pub(crate) fn heads_written_since(&self, index_seq: u64) -> Result<Vec<(WorkspaceNumber, Head)>, IndexError> {
        let mut heads = Vec::new();
        for (segment, reader) in self.segments.iter().zip(self.engine.segment_readers()) {
            let written = reader.fast_fields().u64("written").doing("read the commits of a segment")?;
            let is_newer = |doc: DocId| written.first(doc).is_some_and(|first| first > index_seq);
            heads.append(&mut read_heads(reader, &segment.pages, is_newer)?);
        }
        Ok(heads)
    }
}
