//! The corpus at scale: the pages of docs-win32, several times over, under other ids and with other words.
//!
//! Pages are read and cut once, by the importer and the splitter that ship. A copy has one word in eight spelt otherwise, in
//! its passages and its blocks alike, so that the vocabulary grows with the corpus as it does in life. Invariant: a word keeps
//! its length in bytes, so that the ranges of a passage's blocks stay exact.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use index::Passage;
use index::passages::BlockRange;
use indexer::import::{Options, Source, Target, TargetError};
use indexer::split::{Rules, split};
use models::embed::Embedder;
use schemas::block::{BlockContent, RichText};
use schemas::event::{BlockPatch, Change, Event};
use schemas::ids::{BlockId, GroupId, PageId, RegionId, UserId, WorkspaceId};
use schemas::page::Parent;
use schemas::record::{GroupRecord, MemberRecord, PageRecord};
use schemas::version::{Timestamp, VectorClock, Version};

/// Of so many words one is spelt otherwise in a copy.
const RESPELT_ONE_IN: u64 = 8;
/// How long a passage should be, in tokens: the default of the write side.
const PASSAGE_TOKENS: usize = 200;

/// One page of the corpus, with its passages.
pub(crate) struct Page {
    pub(crate) id: PageId,
    pub(crate) record: PageRecord,
    pub(crate) passages: Vec<Passage>,
}

/// Reads the first `pages_max` pages of a file and hands them over one by one, parents first.
pub(crate) fn read(file: &Path, pages_max: usize, each: &mut dyn FnMut(&Page) -> Result<()>) -> Result<()> {
    let options = Options::new(WorkspaceId::new("corpus")?, jiff::Timestamp::UNIX_EPOCH);
    let mut reader = Reader { embedder: Embedder::fake(super::DIMENSIONS), current: None, left: pages_max, each };
    let imported = indexer::import::run(&Source::Pages(file.to_owned()), &options, &mut reader, &mut |_| {});
    if reader.left > 0 {
        imported.context("the corpus cannot be read")?;
        reader.hand_over()?;
    }
    Ok(())
}

/// Puts the events of an import together to pages.
struct Reader<'a> {
    embedder: Embedder,
    current: Option<(PageId, PageRecord)>,
    left: usize,
    each: &'a mut dyn FnMut(&Page) -> Result<()>,
}

impl Reader<'_> {
    fn hand_over(&mut self) -> Result<()> {
        let Some((id, record)) = self.current.take() else { return Ok(()) };
        let counter = self.embedder.token_counter();
        let count = |text: &str| counter.count(text);
        let max_tokens = self.embedder.passage_tokens_max();
        let rules = Rules { count: &count, target_tokens: PASSAGE_TOKENS.min(max_tokens), max_tokens };
        let passages = split(&id, &record, &rules);
        self.left -= 1;
        (self.each)(&Page { id, record, passages })
    }

    fn merge(&mut self, event: Event) -> Result<()> {
        let version = Arc::new(event.version);
        match event.change {
            Change::PageUpserted { page, patch } => {
                if self.current.as_ref().is_none_or(|(id, _)| *id != page) {
                    self.hand_over()?;
                    anyhow::ensure!(self.left > 0, "enough pages were read");
                    self.current = Some((page.clone(), PageRecord::default()));
                }
                let Some((_, record)) = &mut self.current else { return Ok(()) };
                record.apply(&Change::PageUpserted { page, patch }, &version);
            }
            Change::BlockUpserted { block, patch } => {
                let Some((_, record)) = &mut self.current else { return Ok(()) };
                record.blocks.entry(block).or_default().upsert(&version, patch);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Target for Reader<'_> {
    fn page(&self, _: &PageId) -> Result<Option<PageRecord>, TargetError> {
        Ok(None)
    }

    fn group(&self, _: &GroupId) -> Result<Option<GroupRecord>, TargetError> {
        Ok(None)
    }

    fn member(&self, _: &UserId) -> Result<Option<MemberRecord>, TargetError> {
        Ok(None)
    }

    fn apply(&mut self, events: Vec<Event>) -> Result<(), TargetError> {
        events.into_iter().try_for_each(|event| self.merge(event)).map_err(TargetError::from)
    }
}

impl Page {
    /// The same page under ids of its own, in other words. Copy 0 has the words of the original.
    pub(crate) fn copy(&self, copy: usize) -> Result<Self> {
        let id = copied_id(&self.id, copy)?;
        let version = version();
        let mut record = PageRecord {
            kind: self.record.kind.clone(),
            icon: self.record.icon.clone(),
            properties: self.record.properties.clone(),
            edited_at: self.record.edited_at.clone(),
            ..PageRecord::default()
        };
        record.live.write(&version, true);
        record.title.write(&version, respelt(self.record.title.value().map_or("", String::as_str), copy));
        for (block, written) in &self.record.blocks {
            let Some((place, content)) = written.shown() else { continue };
            let patch = BlockPatch {
                page: id.clone(),
                parent: place.parent.as_ref().map(|above| copied_block(above, copy)).transpose()?,
                position: place.position.clone(),
                content: Some(respelt_content(content, copy)),
            };
            record.blocks.entry(copied_block(block, copy)?).or_default().upsert(&version, patch);
        }
        let passages = self.passages.iter().map(|passage| copied_passage(passage, copy)).collect::<Result<_>>()?;
        Ok(Self { id, record, passages })
    }

    /// The page above in the same copy; `None` at the root.
    pub(crate) fn parent(&self, copy: usize) -> Result<Option<PageId>> {
        match self.record.parent.value() {
            Some(Parent::Page { id }) => copied_id(id, copy).map(Some),
            _ => Ok(None),
        }
    }
}

/// The version of all that is written here.
pub(crate) fn version() -> Arc<Version> {
    let region = RegionId::new("scale").expect("letters are an id");
    let timestamp = Timestamp { wall_ms: 1, logical: 0 };
    Arc::new(Version { clock: VectorClock::of(&region, 1), timestamp, region })
}

fn copied_id(page: &PageId, copy: usize) -> Result<PageId> {
    Ok(PageId::new(format!("{page}-{copy}"))?)
}

fn copied_block(block: &BlockId, copy: usize) -> Result<BlockId> {
    Ok(BlockId::new(format!("{block}-{copy}"))?)
}

fn copied_passage(passage: &Passage, copy: usize) -> Result<Passage> {
    let range = |range: &BlockRange| {
        Ok(BlockRange { block: copied_block(&range.block, copy)?, start: range.start, end: range.end })
    };
    Ok(Passage {
        number: passage.number,
        headings: passage.headings.iter().map(|heading| respelt(heading, copy)).collect(),
        text: respelt(&passage.text, copy),
        blocks: passage.blocks.iter().map(range).collect::<Result<_>>()?,
        language: passage.language,
    })
}

fn respelt_content(content: &BlockContent, copy: usize) -> BlockContent {
    let runs = |runs: &[RichText]| -> Vec<RichText> {
        runs.iter().map(|run| RichText { plain_text: respelt(&run.plain_text, copy), ..run.clone() }).collect()
    };
    BlockContent {
        rich_text: runs(&content.rich_text),
        cells: content.cells.iter().map(|cell| runs(cell)).collect(),
        caption: runs(&content.caption),
        ..content.clone()
    }
}

/// A text in which one word in eight begins with another letter. Which ones depends on the word and the copy alone.
fn respelt(text: &str, copy: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_lowercase()) {
        let word_len = rest[start..].find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len() - start);
        let word = &rest[start..start + word_len];
        out.push_str(&rest[..start]);
        let is_respelt = copy > 0 && hash(word, copy).is_multiple_of(RESPELT_ONE_IN);
        let first = word.as_bytes()[0] - b'a';
        let first = if is_respelt { (first + copy as u8) % 26 } else { first };
        out.push(char::from(b'a' + first));
        out.push_str(&word[1..]);
        rest = &rest[start + word_len..];
    }
    out.push_str(rest);
    out
}

/// FNV-1a.
fn hash(word: &str, copy: usize) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    word.bytes().fold(step(0xcbf2_9ce4_8422_2325, copy as u8), step) >> 7
}
