//! Opening an index, for writing and for reading, and the snapshots that searches read.
//!
//! A snapshot is what one commit left: its segments with their page keys and vectors. [`Index::reload`] takes a newer
//! one in; running searches go on with theirs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use access::WorkspaceNumber;
use schemas::ids::WorkspaceId;
use serde::{Deserialize, Serialize};
use tantivy::directory::MmapDirectory;
use tantivy::directory::error::LockError;
use tantivy::index::SegmentId;
use tantivy::tokenizer::{RawTokenizer, TextAnalyzer};
use tantivy::{DocId, IndexReader, ReloadPolicy, TantivyError};

use crate::catalog::Catalog;
use crate::commit::{CommitPayload, Writer};
use crate::error::{Doing, IndexError};
use crate::fields::{ENCODED_TOKENS, FORMAT, Fields, WHOLE};
use crate::records::Head;
use crate::search::Searcher;
use crate::tokens::Unpacker;
use crate::vectors::{SegmentVectors, VectorPlugin};

/// Stored documents kept decompressed, in blocks of 16 KiB for each segment.
const STORE_CACHE_BLOCKS: usize = 64;

/// Where the index is and what it may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of the index. Default `index`, below the data folder.
    pub dir: PathBuf,
    /// Bytes that the writer may gather before it writes a segment. Default 64 MiB, at least 15 MiB: more makes fewer
    /// and larger segments during imports.
    pub writer_memory_bytes: usize,
    /// Numbers in one embedding. Default 384; it must be that of the embedding model.
    pub dimensions: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { dir: PathBuf::from("index"), writer_memory_bytes: 64 << 20, dimensions: 384 }
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
    dir: PathBuf,
    config: Config,
    mode: OpenMode,
    engine: tantivy::Index,
    fields: Fields,
    reader: IndexReader,
    catalog: Catalog,
    snapshot: RwLock<Arc<Snapshot>>,
    writer: Mutex<Option<Writer>>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("dir", &self.0.dir).finish_non_exhaustive()
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
    /// Workspace number and page ordinal of each document.
    pub(crate) page_keys: Arc<Vec<u64>>,
}

impl Index {
    /// Opens the index in `config.dir`.
    pub fn open(config: &Config, mode: OpenMode) -> Result<Self, IndexError> {
        let dir = config.dir.clone();
        if mode == OpenMode::ReadWrite {
            std::fs::create_dir_all(&dir).map_err(|source| IndexError::Folder { path: dir.clone(), source })?;
        } else if !dir.join("meta.json").is_file() {
            return Err(IndexError::Absent(dir));
        }
        let engine = open_engine(&dir, config.dimensions)?;
        engine.tokenizers().register(ENCODED_TOKENS, TextAnalyzer::from(Unpacker::default()));
        engine.tokenizers().register(WHOLE, TextAnalyzer::from(RawTokenizer::default()));
        let (_, fields) = Fields::schema(config.dimensions)?;
        let reader = engine
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .doc_store_cache_num_blocks(STORE_CACHE_BLOCKS)
            .try_into()
            .doing("open its segments")?;
        let snapshot = Snapshot::take(&engine, &reader, &dir, &[])?;
        let catalog = Catalog::default();
        catalog.load(snapshot.heads()?);
        Ok(Self(Arc::new(Parts {
            dir,
            config: config.clone(),
            mode,
            engine,
            fields,
            reader,
            catalog,
            snapshot: RwLock::new(Arc::new(snapshot)),
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
            return Err(IndexError::Locked(self.0.dir.clone()));
        }
        let opened = self.0.engine.writer_with_num_threads(1, self.0.config.writer_memory_bytes);
        let engine = opened.map_err(|error| match error {
            TantivyError::LockFailure(LockError::LockBusy, _) => IndexError::Locked(self.0.dir.clone()),
            source => IndexError::Engine { doing: "open for writing", source },
        })?;
        let writer = Writer::new(engine, self.0.fields, self.downgrade());
        *slot = Some(writer.clone());
        Ok(writer)
    }

    /// What the last commit taken in said.
    pub fn payload(&self) -> CommitPayload {
        self.snapshot().payload.clone()
    }

    /// A searcher over the last commit taken in.
    pub fn searcher(&self) -> Searcher {
        Searcher::new(self.snapshot(), self.0.fields, self.0.catalog.clone())
    }

    /// Takes in the newest commit. Cost: opens new segments only.
    pub fn reload(&self) -> Result<(), IndexError> {
        self.0.reader.reload().doing("open the new segments")?;
        let former = self.snapshot();
        let snapshot = Snapshot::take(&self.0.engine, &self.0.reader, &self.0.dir, &former.segments)?;
        *self.0.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        Ok(())
    }

    /// The numbers of workspaces that were ever stored, with whether they are erased.
    pub(crate) fn stored_workspaces(&self) -> Result<HashMap<WorkspaceNumber, WorkspaceId>, IndexError> {
        let heads = self.snapshot().heads()?;
        Ok(heads
            .into_iter()
            .filter_map(|(number, head)| match head {
                Head::Workspace { workspace, .. } => Some((number, workspace)),
                _ => None,
            })
            .collect())
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn downgrade(&self) -> WeakIndex {
        WeakIndex(Arc::downgrade(&self.0))
    }
}

/// An index that does not keep itself open: the writer is owned by it.
#[derive(Clone)]
pub(crate) struct WeakIndex(std::sync::Weak<Parts>);

impl WeakIndex {
    pub(crate) fn upgrade(&self) -> Option<Index> {
        self.0.upgrade().map(Index)
    }
}

fn open_engine(dir: &Path, dimensions: usize) -> Result<tantivy::Index, IndexError> {
    let directory = MmapDirectory::open(dir)
        .map_err(|error| IndexError::Engine { doing: "open its folder", source: TantivyError::from(error) })?;
    let (schema, _) = Fields::schema(dimensions)?;
    let builder = tantivy::Index::builder().schema(schema).register_plugin(Arc::new(VectorPlugin));
    builder.open_or_create(directory).map_err(|error| match error {
        TantivyError::SchemaError(_) => IndexError::Shape(dir.to_owned()),
        source => IndexError::Engine { doing: "open", source },
    })
}

impl Snapshot {
    fn take(engine: &tantivy::Index, reader: &IndexReader, dir: &Path, former: &[Segment]) -> Result<Self, IndexError> {
        let payload = engine.load_metas().doing("read its description")?.payload;
        let stored = payload.as_deref().map(CommitPayload::decode).transpose()?;
        let (found, payload) = stored.unwrap_or((FORMAT, CommitPayload::default()));
        if found != FORMAT {
            return Err(IndexError::Format { path: dir.to_owned(), found, expected: FORMAT });
        }
        let searcher = reader.searcher();
        let mut segments = Vec::with_capacity(searcher.segment_readers().len());
        let mut vectors = Vec::with_capacity(searcher.segment_readers().len());
        for segment in searcher.segment_readers() {
            let id = segment.segment_id();
            let known = former.iter().find(|known| known.id == id).cloned();
            segments.push(if let Some(known) = known {
                known
            } else {
                let column = segment.fast_fields().column_first_or_default::<u64>("page");
                let column = column.doing("read the pages of a segment")?;
                let mut page_keys = vec![0; segment.max_doc() as usize];
                column.get_range(0, &mut page_keys);
                Segment { id, page_keys: Arc::new(page_keys) }
            });
            vectors.push(SegmentVectors::open(segment)?);
        }
        Ok(Self { engine: searcher, segments, vectors, payload })
    }

    /// The heads of all records, with the number of their workspace.
    pub(crate) fn heads(&self) -> Result<Vec<(WorkspaceNumber, Head)>, IndexError> {
        let mut heads = Vec::new();
        for (segment, reader) in self.segments.iter().zip(self.engine.segment_readers()) {
            let Some(column) = reader.fast_fields().bytes("head").doing("read the heads of a segment")? else {
                continue;
            };
            // Values lie in the dictionary in the order of their bytes: find the wanted ones, then read it in one pass.
            let mut wanted: Vec<(u64, DocId)> =
                reader.doc_ids_alive().filter_map(|doc| Some((column.term_ords(doc).next()?, doc))).collect();
            wanted.sort_unstable();
            let mut wanted = wanted.into_iter().peekable();
            let mut stream = column.dictionary().stream().map_err(TantivyError::from).doing("read the heads")?;
            while stream.advance() {
                while let Some((_, doc)) = wanted.next_if(|(ord, _)| *ord == stream.term_ord()) {
                    let number = (segment.page_keys[doc as usize] >> 32) as WorkspaceNumber;
                    let head = serde_json::from_slice(stream.key());
                    let head = head.map_err(|error| IndexError::Damaged { what: "head", source: Box::new(error) })?;
                    heads.push((number, head));
                }
            }
        }
        Ok(heads)
    }
}
