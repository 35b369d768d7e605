//! Reindexing: a new generation is filled from the records of the one in use while that goes on, then takes its place.
//!
//! ```text
//! Engine::rebuild -> Rebuild::follow: copy every record, then what was written since, until nearly level -> Rebuild::switch
//! ```
//!
//! The new generation follows by commit numbers: each record knows the commit that wrote it. So edits are in both, a crash
//! loses no more than what was copied since the last commit, and going back is the same the other way round. Nothing here
//! compares the two. Invariants: searches and senders never wait but for one commit's time at the switch; at the switch both
//! hold the same records; a vector is made by the model of its generation or not at all.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use access::{PageOrdinal, WorkspaceNumber};
use index::generation::Current;
use index::passages::{PassageWrite, TextHash};
use index::records::PageHead;
use index::vectors::StoredVector;
use index::{CommitPayload, Follows, Index, IndexError, RecordId, Writer, WrittenRecord};
use models::embed::{EmbedError, Embedder};
use schemas::ids::PageId;
use serde::{Deserialize, Serialize};

use super::Engine;
use super::backlog::Stop;
use super::cutting::Cutting;
pub use super::cutting::wanted;
use super::shared::Core;

/// Records by which the new generation may be behind when commits are held back for the last of them.
const LEVEL_RECORDS: usize = 500;
/// Rounds of following after which the rest is copied while commits are held back, however much it is.
const ROUNDS_MAX: usize = 100;
/// Pages between two pauses.
const PACE_PAGES: usize = 16;

/// Why no generation was built, or none took the place of the one in use. What was copied is kept and gone on with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReindexError {
    /// Another one is being built.
    #[error("a generation is being built already")]
    AlreadyRunning,
    /// There is nothing to go back to.
    #[error("no former generation is kept")]
    NoPrevious,
    /// The former generation needs its own model.
    #[error("the former generation was built with the embedding model {wanted}; it is not there")]
    OtherModel {
        /// Its model.
        wanted: String,
    },
    /// The write side is stopping.
    #[error("the write side is stopping; run it again to go on where it stopped")]
    Stopped,
    /// Whoever watched it told it to stop.
    #[error("it was told to stop; run it again to go on where it stopped")]
    Cancelled,
    /// An index failed.
    #[error("cannot build the generation")]
    Index(#[from] IndexError),
    /// The model failed.
    #[error("cannot embed the passages")]
    Embedding(#[from] EmbedError),
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Records copied by this call.
    pub records: u64,
    /// Records to copy, as far as known.
    pub records_total: u64,
    /// Passages written.
    pub passages: u64,
    /// Passages embedded; the vectors of the others were known.
    pub embedded: u64,
}

/// A generation that is being built beside the one in use. One at a time.
#[derive(Debug)]
pub struct Rebuild {
    engine: Engine,
    building: Index,
    writer: Writer,
    cutting: Cutting,
    follows: Follows,
    /// Passages written and not committed.
    uncommitted: usize,
    progress: Progress,
}

impl Engine {
    /// Begins to build a generation by another model or passage size, or goes on with one that was begun.
    pub fn rebuild(&self, embedder: Option<Embedder>, passage_tokens: usize) -> Result<Rebuild, ReindexError> {
        let core = &self.0.core;
        let recipe = wanted(passage_tokens, embedder.as_ref());
        let dimensions = embedder.as_ref().map_or(core.index.description().dimensions, Embedder::dimensions);
        self.begin(|| {
            let building = core.index.begin_generation(&recipe, dimensions)?;
            let index_seq = core.index.payload().index_seq;
            let all = Follows { generation: core.index.description().number, index_seq, next: Some((0, 0)) };
            Ok((building, Cutting::new(recipe, embedder), all))
        })
    }

    /// Begins to bring the former generation level with the one in use, to use it again. `embedder` is its model.
    pub fn return_to_previous(&self, embedder: Option<Embedder>) -> Result<Rebuild, ReindexError> {
        let core = &self.0.core;
        self.begin(|| {
            let previous = core.index.previous_generation()?.ok_or(ReindexError::NoPrevious)?;
            let recipe = previous.description().recipe.unwrap_or_default();
            let given = embedder.as_ref().map(|embedder| embedder.model_id().to_string());
            if let Some(wanted) = recipe.model_id.clone().filter(|wanted| Some(wanted) != given.as_ref()) {
                return Err(ReindexError::OtherModel { wanted });
            }
            let switched_at = Current::read(core.index.dir())?.map_or(0, |current| current.switched_at);
            let since = Follows { generation: core.index.description().number, index_seq: switched_at, next: None };
            Ok((previous, Cutting::new(recipe, embedder), since))
        })
    }

    fn begin(
        &self,
        open: impl FnOnce() -> Result<(Index, Cutting, Follows), ReindexError>,
    ) -> Result<Rebuild, ReindexError> {
        let running = &self.0.core.is_rebuilding;
        if running.swap(true, Ordering::AcqRel) {
            return Err(ReindexError::AlreadyRunning);
        }
        let opened = open().and_then(|(building, cutting, from_start)| {
            let stored = building.payload().follows;
            let follows = stored.filter(|stored| stored.generation == from_start.generation).unwrap_or(from_start);
            let writer = building.writer()?;
            let progress = Progress::default();
            let engine = self.clone();
            Ok(Rebuild { engine, building, writer, cutting, follows, uncommitted: 0, progress })
        });
        if opened.is_err() {
            running.store(false, Ordering::Release);
        }
        opened
    }
}

impl Rebuild {
    /// Number of the generation that is being built.
    pub fn generation(&self) -> u32 {
        self.building.description().number
    }

    /// Copies what the new generation lacks until it is nearly level, telling `on_progress` now and then. It works for `share` of
    /// the time, 0.05 to 1, and rests for the other.
    pub fn follow(
        &mut self,
        share: f32,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), ReindexError> {
        for _ in 0..ROUNDS_MAX {
            if self.round(Some(share.clamp(0.05, 1.0)), on_progress)? <= LEVEL_RECORDS {
                break;
            }
        }
        Ok(())
    }

    /// Copies the last of it while commits are held back, and puts the new generation in the place of the one in use, which
    /// is kept. What has no vector yet is embedded afterwards. Gives how long commits were held back.
    pub fn switch(mut self) -> Result<Duration, ReindexError> {
        let mut go_on = |_| ControlFlow::Continue(());
        self.follow(1.0, &mut go_on)?;
        let engine = self.engine.clone();
        let core = &engine.0.core;
        let held = core.hold_commits();
        let began = Instant::now();
        self.round(None, &mut go_on)?;
        let payload = CommitPayload { model_id: self.cutting.model_id(), follows: None, ..core.index.payload() };
        self.writer.commit(&payload)?;
        self.building.reload()?;
        core.index.switch_to(&self.building)?;
        core.set_cutting(Cutting::new(self.cutting.recipe.clone(), self.embedder()));
        drop(held);
        Ok(began.elapsed())
    }

    fn embedder(&self) -> Option<Embedder> {
        self.cutting.embedding.as_ref().map(|embedding| embedding.embedder.clone())
    }

    /// Copies what was written since the last round; gives how many records that were. With a share it takes its time, and
    /// embeds; without, commits are held back and it does neither.
    fn round(
        &mut self,
        share: Option<f32>,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<usize, ReindexError> {
        let engine = self.engine.clone();
        let core = &engine.0.core;
        let is_first = self.follows.next.is_some();
        let level_with = if is_first { self.follows.index_seq } else { core.index.payload().index_seq };
        let since = if is_first { 0 } else { self.follows.index_seq };
        let next = self.follows.next.unwrap_or_default();
        let mut written = core.writer.written_since(since)?;
        written.retain(|written| match written.record {
            RecordId::Page(ordinal, _) => (written.workspace, ordinal.0) >= next,
            _ => true,
        });
        self.progress.records_total += written.len() as u64;
        let mut since_pause = Instant::now();
        for (at, record) in written.iter().enumerate() {
            self.copy(core, record, share.is_some())?;
            self.progress.records += 1;
            if self.uncommitted >= core.config.commit_events_max {
                if let (true, RecordId::Page(ordinal, _)) = (is_first, &record.record) {
                    self.follows.next = Some((record.workspace, ordinal.0 + 1));
                }
                self.commit()?;
            }
            let Some(share) = share else { continue };
            if core.lock().stop != Stop::No {
                return Err(ReindexError::Stopped);
            }
            if at % PACE_PAGES == 0 {
                if on_progress(self.progress).is_break() {
                    return Err(ReindexError::Cancelled);
                }
                core.pause(since_pause.elapsed().mul_f32(1.0 / share - 1.0));
                since_pause = Instant::now();
            }
        }
        if !written.is_empty() || is_first {
            self.follows = Follows { index_seq: level_with, next: None, ..self.follows };
            self.commit()?;
        }
        let _ = on_progress(self.progress);
        Ok(written.len())
    }

    fn commit(&mut self) -> Result<(), ReindexError> {
        let index_seq = if self.follows.next.is_some() { 0 } else { self.follows.index_seq };
        let follows = Some(self.follows);
        let model_id = self.cutting.model_id();
        self.writer.commit(&CommitPayload { index_seq, model_id, follows, ..CommitPayload::default() })?;
        self.building.reload()?;
        self.uncommitted = 0;
        Ok(())
    }

    fn copy(&mut self, core: &Core, written: &WrittenRecord, may_embed: bool) -> Result<(), ReindexError> {
        let number = written.workspace;
        match &written.record {
            RecordId::Workspace { id, erased } => {
                let workspace = self.building.catalog().adopt(id, number);
                if *erased && !workspace.read().erased {
                    self.writer.erase_workspace(number)?;
                    workspace.write().erase();
                }
            }
            RecordId::Group(group) => {
                if let Some(record) = core.writer.group_record(number, group)? {
                    self.writer.put_group(number, group, &record)?;
                }
            }
            RecordId::Member(user) => {
                if let Some(record) = core.writer.member_record(number, user)? {
                    self.writer.put_member(number, user, &record)?;
                }
            }
            RecordId::Page(ordinal, page) => self.copy_page(core, number, *ordinal, page, may_embed)?,
        }
        Ok(())
    }

    fn copy_page(
        &mut self,
        core: &Core,
        number: WorkspaceNumber,
        ordinal: PageOrdinal,
        page: &PageId,
        may_embed: bool,
    ) -> Result<(), ReindexError> {
        let Some(workspace) = self.building.catalog().numbered(number) else { return Ok(()) };
        let Some(record) = core.writer.page_record(number, page)? else { return Ok(()) };
        let head = PageHead::of(page, ordinal, &record);
        workspace.write().put_head(head.clone());
        let passages = self.cutting.passages(page, &record);
        let mut vectors = self.known_vectors(core, number, ordinal)?;
        if let (Some(embedding), true) = (&self.cutting.embedding, may_embed) {
            let mut missing: HashMap<TextHash, String> = HashMap::new();
            for passage in passages.iter().filter(|passage| passage.has_text()) {
                let hash = passage.hash();
                if vectors.contains_key(&hash) || missing.contains_key(&hash) {
                    continue;
                }
                let in_use = core.writer.vector_of(number, hash, embedding.tag)?;
                match in_use
                    .map_or_else(|| self.writer.vector_of(number, hash, embedding.tag), |found| Ok(Some(found)))?
                {
                    Some(vector) => drop(vectors.insert(hash, vector)),
                    None => drop(missing.insert(hash, passage.embedded_text())),
                }
            }
            let missing: Vec<(TextHash, String)> = missing.into_iter().collect();
            for batch in missing.chunks(core.config.embed_batch_passages) {
                let texts = batch.iter().map(|(_, text)| text.clone()).collect();
                for ((hash, _), vector) in batch.iter().zip(embedding.embedder.embed_passages(texts)?) {
                    let vector = StoredVector::encode(&vector, embedding.tag).map_err(IndexError::from)?;
                    vectors.insert(*hash, vector);
                }
                self.progress.embedded += batch.len() as u64;
            }
        }
        let writes = passages.into_iter().map(|passage| {
            let vector = if passage.has_text() { vectors.get(&passage.hash()).cloned() } else { None };
            PassageWrite { passage, vector }
        });
        let writes: Vec<PassageWrite> = writes.collect();
        self.writer.put_page(number, &head, &record, &writes)?;
        // A page without passages counts, too: its record is as large as its blocks.
        self.uncommitted += writes.len().max(1);
        self.progress.passages += writes.len() as u64;
        Ok(())
    }

    /// The vectors of this generation's model that the page has in either generation.
    fn known_vectors(
        &self,
        core: &Core,
        number: WorkspaceNumber,
        ordinal: PageOrdinal,
    ) -> Result<HashMap<TextHash, StoredVector>, IndexError> {
        let Some(tag) = self.cutting.tag() else { return Ok(HashMap::new()) };
        let mut vectors = core.writer.page_vectors(number, ordinal)?;
        vectors.extend(self.writer.page_vectors(number, ordinal)?);
        vectors.retain(|_, vector| vector.model() == tag);
        Ok(vectors)
    }
}

impl Drop for Rebuild {
    fn drop(&mut self) {
        self.engine.0.core.is_rebuilding.store(false, Ordering::Release);
    }
}
