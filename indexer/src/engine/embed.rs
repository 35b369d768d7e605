//! The embed thread: finds the passages of queued pages that have no vector, embeds them, and hands the vectors back.
//!
//! It writes nothing: the commit thread puts the vectors to those passages that still have the same text. Invariants: a text
//! is embedded once for all passages of its workspace that share it; pages that someone edited go before those of imports;
//! the queue holds page numbers only, each once.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use access::{PageOrdinal, WorkspaceNumber};
use index::passages::TextHash;
use index::vectors::{ModelTag, StoredVector};
use index::{Index, IndexError};

use super::backlog::Backlog;
use super::cutting::Cutting;
use super::shared::Core;
use crate::config::Config;
use crate::trace::Embedding;

/// First and longest pause after the model failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
const RETRY_PAUSE_MAX: Duration = Duration::from_mins(1);

/// A page of this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PageKey {
    pub(super) workspace: WorkspaceNumber,
    pub(super) page: PageOrdinal,
}

/// Vectors by page and by what they were made of.
pub(super) type Vectors = HashMap<PageKey, HashMap<TextHash, StoredVector>>;

/// Pages that wait for the model, and vectors that wait for a commit.
#[derive(Debug, Default)]
pub(super) struct EmbedQueue {
    edited: VecDeque<PageKey>,
    imported: VecDeque<PageKey>,
    /// The pages that wait, and whether each is among the edited.
    queued: HashMap<PageKey, bool>,
    /// Whether the embed thread is at a page.
    is_working: bool,
    /// In the order in which they were made.
    vectors: VecDeque<(PageKey, PageVectors)>,
    vectors_since: Option<Instant>,
    /// The vectors that wait for a commit, for other pages with the same text.
    waiting: ByText,
    /// Those of the commit under way.
    committing: ByText,
}

/// Vectors that were made for a page.
#[derive(Debug, Default)]
struct PageVectors {
    /// Passages that are written with them: all of the page.
    passages: usize,
    by_text: HashMap<TextHash, StoredVector>,
}

type ByText = HashMap<(WorkspaceNumber, TextHash), StoredVector>;

impl EmbedQueue {
    /// Forgets everything: another generation lacks other vectors.
    pub(super) fn restart(&mut self) {
        *self = Self { is_working: self.is_working, ..Self::default() };
    }

    /// Queues all pages that lack a vector.
    pub(super) fn queue_missing(&mut self, index: &Index) {
        for workspace in index.catalog().workspaces() {
            for head in workspace.read().heads() {
                if head.vectors < head.embeddable {
                    self.push(PageKey { workspace: workspace.number, page: head.ordinal }, false);
                }
            }
        }
    }

    /// Queues a page. One that is edited overtakes the imported ones, also when it was queued among them.
    pub(super) fn push(&mut self, key: PageKey, is_edited: bool) {
        match (self.queued.get(&key), is_edited) {
            (Some(true), _) | (Some(false), false) => return,
            (_, true) => self.edited.push_back(key),
            (None, false) => self.imported.push_back(key),
        }
        self.queued.insert(key, is_edited);
    }

    fn pop(&mut self) -> Option<PageKey> {
        loop {
            let key = self.edited.pop_front().or_else(|| self.imported.pop_front())?;
            // A page in both queues was taken from the first already.
            if self.queued.remove(&key).is_some() {
                return Some(key);
            }
        }
    }

    /// Pages that wait for the model.
    pub(super) fn len(&self) -> usize {
        self.queued.len()
    }

    /// True when all that was queued is embedded and committed.
    pub(super) fn is_idle(&self) -> bool {
        self.queued.is_empty() && !self.is_working && self.vectors.is_empty() && self.committing.is_empty()
    }

    /// How long vectors can wait for their commit; `None` when there are none.
    pub(super) fn vectors_due_in(&self, config: &Config) -> Option<Duration> {
        let since = self.vectors_since?;
        let is_last = self.queued.is_empty() && !self.is_working;
        if is_last || self.waiting.len() >= config.embed_commit_passages {
            return Some(Duration::ZERO);
        }
        Some(Duration::from_millis(config.embed_interval_ms).saturating_sub(since.elapsed()))
    }

    /// Whether enough vectors wait for a commit that the model should wait, too.
    fn is_full(&self, config: &Config) -> bool {
        self.waiting.len() >= 2 * config.embed_commit_passages
    }

    fn put(&mut self, key: PageKey, vectors: PageVectors) {
        if vectors.by_text.is_empty() {
            return;
        }
        let by_text = vectors.by_text.iter().map(|(hash, vector)| ((key.workspace, *hash), vector.clone()));
        self.waiting.extend(by_text);
        self.vectors_since.get_or_insert_with(Instant::now);
        self.vectors.push_back((key, vectors));
    }

    /// Takes the vectors for a commit: those of pages with about `passages_max` passages. What is left is as due as before.
    pub(super) fn take_vectors(&mut self, passages_max: usize) -> Vectors {
        let mut taken = Vectors::default();
        let mut passages = 0;
        while passages < passages_max
            && let Some((key, vectors)) = self.vectors.pop_front()
        {
            passages += vectors.passages;
            for (hash, vector) in &vectors.by_text {
                self.waiting.remove(&(key.workspace, *hash));
                self.committing.insert((key.workspace, *hash), vector.clone());
            }
            taken.entry(key).or_default().extend(vectors.by_text);
        }
        if self.vectors.is_empty() {
            self.vectors_since = None;
        }
        taken
    }

    /// Says that the vectors taken are committed.
    pub(super) fn vectors_committed(&mut self) {
        self.committing.clear();
    }

    /// A vector that was made and is not committed yet.
    fn uncommitted(&self, workspace: WorkspaceNumber, hash: TextHash) -> Option<&StoredVector> {
        self.waiting.get(&(workspace, hash)).or_else(|| self.committing.get(&(workspace, hash)))
    }

    /// Puts back vectors whose commit failed.
    pub(super) fn give_back(&mut self, vectors: Vectors) {
        self.committing.clear();
        for (key, by_text) in vectors {
            self.put(key, PageVectors { passages: by_text.len(), by_text });
        }
    }
}

/// Embeds until the threads are to end.
pub(super) fn run(core: &Core) {
    let mut pause = RETRY_PAUSE;
    let next = |backlog: &mut Backlog| {
        if backlog.embedding.is_full(&core.config) {
            return None;
        }
        let key = backlog.embedding.pop()?;
        backlog.embedding.is_working = true;
        Some(key)
    };
    let mut traced: Option<Embedding> = None;
    while let Some(key) = core.next_to_embed(next) {
        let traced_now = traced.get_or_insert_with(Embedding::begin);
        let embedded = traced_now.page(|| embed_page(core, &core.cutting(), key));
        let mut backlog = core.lock();
        backlog.embedding.is_working = false;
        let failed = match embedded {
            Ok(Embedded { vectors, is_complete }) => {
                traced_now.made(vectors.by_text.len());
                backlog.embedding.put(key, vectors);
                if !is_complete {
                    backlog.embedding.push(key, false);
                }
                None
            }
            Err(error) => {
                traced_now.failed();
                backlog.embedding.push(key, false);
                Some(error)
            }
        };
        // A span ends when nothing waits any more, so that it tells of work and not of rest.
        if traced_now.is_full() || failed.is_some() || backlog.embedding.queued.is_empty() {
            traced = None;
        }
        drop(backlog);
        core.wake_commit();
        let Some(error) = failed else {
            pause = RETRY_PAUSE;
            continue;
        };
        core.counters.embedding_failed();
        tracing::warn!(
            error = &*error,
            pause_ms = pause.as_millis() as u64,
            "passages could not be embedded; trying again"
        );
        core.pause_embedding(pause);
        pause = (pause * 2).min(RETRY_PAUSE_MAX);
    }
}

struct Embedded {
    vectors: PageVectors,
    /// False when passages are left that have no vector.
    is_complete: bool,
}

/// Finds or makes the vectors that a page lacks; stops early for what is more urgent.
fn embed_page(
    core: &Core,
    cutting: &Cutting,
    key: PageKey,
) -> Result<Embedded, Box<dyn std::error::Error + Send + Sync>> {
    let Some(embedding) = &cutting.embedding else {
        return Ok(Embedded { vectors: PageVectors::default(), is_complete: true });
    };
    let (mut vectors, missing) = lacking(core, cutting, embedding.tag, key)?;
    let mut batches = missing.chunks(core.config.embed_batch_passages);
    for batch in batches.by_ref() {
        let texts = batch.iter().map(|(_, text)| text.clone()).collect();
        let embedded = embedding.embedder.embed_passages(texts)?;
        core.counters.embedded(batch.len());
        for ((hash, _), vector) in batch.iter().zip(embedded) {
            vectors.by_text.insert(*hash, StoredVector::encode(&vector, embedding.tag)?);
        }
        let backlog = core.lock();
        let is_enough = vectors.by_text.len() >= core.config.embed_commit_passages;
        if is_enough || !backlog.embedding.edited.is_empty() || !backlog.accepts() {
            break;
        }
    }
    Ok(Embedded { vectors, is_complete: batches.len() == 0 })
}

type Lacking = (PageVectors, Vec<(TextHash, String)>);

/// What a page's passages lack: vectors that another page of the workspace has, and texts that must be embedded.
fn lacking(core: &Core, cutting: &Cutting, tag: ModelTag, key: PageKey) -> Result<Lacking, IndexError> {
    let mut found = PageVectors::default();
    let mut missing = Vec::new();
    let Some(workspace) = core.index.catalog().numbered(key.workspace) else { return Ok((found, missing)) };
    let Some(page) = workspace.read().access.page_of(key.page).cloned() else { return Ok((found, missing)) };
    // What was written is as good as what is pending: the next commit queues the page again if that lacks vectors.
    let kept = core.recent.get(key);
    let passages = if let Some(cut) = &kept {
        Cow::Borrowed(&cut.passages)
    } else {
        let Some(record) = core.page_record(&workspace.id, &page)? else { return Ok((found, missing)) };
        Cow::Owned(cutting.passages(&page, &record))
    };
    found.passages = passages.len();
    let known = core.writer.page_vectors(key.workspace, key.page)?;
    let mut seen = HashSet::new();
    for passage in passages.iter() {
        let hash = passage.hash();
        let has_vector = known.get(&hash).is_some_and(|vector| vector.model() == tag);
        if !passage.has_text() || has_vector || !seen.insert(hash) {
            continue;
        }
        // The store is asked last: what is not uncommitted any more by then is in it.
        let uncommitted = core.lock().embedding.uncommitted(key.workspace, hash).cloned();
        let vector = match uncommitted {
            None => core.writer.vector_of(key.workspace, hash, tag)?,
            found => found,
        };
        match vector {
            Some(vector) => {
                found.by_text.insert(hash, vector);
            }
            None => missing.push((hash, passage.embedded_text())),
        }
    }
    Ok((found, missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(page: u32) -> PageKey {
        PageKey { workspace: 0, page: PageOrdinal(page) }
    }

    fn vectors(passages: usize, texts: &[u8]) -> PageVectors {
        let vector = StoredVector::encode(&[1.0; 8], ModelTag::of("m")).unwrap();
        let by_text = texts.iter().map(|text| (TextHash([*text; 16]), vector.clone())).collect();
        PageVectors { passages, by_text }
    }

    #[test]
    fn vectors_are_taken_in_their_order_and_the_rest_stays_due() {
        let mut queue = EmbedQueue::default();
        for page in 0..4 {
            queue.put(key(page), vectors(10, &[page as u8, 100]));
        }
        assert!(queue.take_vectors(0).is_empty());
        let taken = queue.take_vectors(11);
        assert_eq!((taken.len(), taken.contains_key(&key(0)), taken.contains_key(&key(1))), (2, true, true));
        assert_eq!(queue.vectors_due_in(&Config::default()), Some(Duration::ZERO));
        let text = |text: u8| TextHash([text; 16]);
        assert!(queue.uncommitted(0, text(0)).is_some() && queue.uncommitted(0, text(3)).is_some());
        queue.vectors_committed();
        assert!(queue.uncommitted(0, text(0)).is_none() && queue.uncommitted(0, text(3)).is_some());
        assert!(!queue.is_idle());
        assert_eq!(queue.take_vectors(usize::MAX).len(), 2);
        assert_eq!(queue.vectors_due_in(&Config::default()), None);
        queue.vectors_committed();
        assert!(queue.is_idle());
    }

    #[test]
    fn vectors_whose_commit_failed_are_taken_again_and_those_of_a_page_together() {
        let mut queue = EmbedQueue::default();
        queue.put(key(1), vectors(1, &[1]));
        queue.put(key(1), vectors(1, &[2]));
        let taken = queue.take_vectors(usize::MAX);
        assert_eq!(taken[&key(1)].len(), 2);
        queue.give_back(taken);
        assert_eq!(queue.take_vectors(usize::MAX)[&key(1)].len(), 2);
    }
}
