//! What is kept of a turn: the question, and what was said with all that it was made of.
//!
//! The words of pages are in the answer, its sentences and nowhere else: citations and sources name blocks and versions, and titles are
//! hashed. So a turn of which `said` is taken out holds nothing but what its owner wrote.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemas::api::Consistency;
use schemas::api::answers::AnswerSentence;
use schemas::api::conversations::KeptCitation;
use schemas::ids::{BlockId, PageId};
use schemas::version::Version;
use serde::{Deserialize, Serialize};

use crate::hex::hex;
use crate::random_id::RandomId;

/// Bytes of the hash of a title.
const TITLE_BYTES: usize = 16;

/// Blocks by their pages.
pub(crate) type Places = BTreeMap<PageId, BTreeSet<BlockId>>;

/// A turn as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// The conversation that it is of.
    pub(crate) conversation: RandomId,
    /// When it was answered.
    pub(crate) at: Timestamp,
    /// The question, in the words of its owner.
    pub(crate) question: String,
    /// Under what it was answered.
    pub(crate) consistency: Consistency,
    /// The answer; absent once a page that it was made of was deleted, and where there never was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) said: Option<Said>,
    /// Whether there never was one: it was stopped, or broke off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unanswered: bool,
}

/// An answer as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) answer: String,
    pub(crate) sentences: Vec<AnswerSentence>,
    pub(crate) citations: Vec<KeptCitation>,
    /// What it was made of, in the order in which markers number it.
    pub(crate) sources: Vec<Source>,
    /// What the turns before were made of whose answers a language model was given: it may say their words again.
    #[serde(default, skip_serializing_if = "Places::is_empty")]
    pub(crate) also: Places,
    pub(crate) not_found: bool,
    pub(crate) extractive: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
}

/// What an answer was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) page: PageId,
    pub(crate) blocks: Vec<(BlockId, Version)>,
    /// What a language model was told beside; absent where none was asked, and in turns that were kept before this was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) told: Option<Told>,
}

/// What a language model was told of a source beside its blocks, and may say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// A hash of the title of the page.
    title: String,
    /// The headings above its blocks that are none of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headings: Vec<(BlockId, Version)>,
}

impl Told {
    pub(crate) fn new(title: &str, headings: Vec<(BlockId, Version)>) -> Self {
        Self { title: hash_of(title), headings }
    }

    /// Whether it was this title.
    pub(crate) fn is_title(&self, title: &str) -> bool {
        self.title == hash_of(title)
    }
}

fn hash_of(title: &str) -> String {
    hex(&blake3::derive_key("tessera 2026 conversations title", title.as_bytes())[..TITLE_BYTES])
}

impl Source {
    /// All blocks that were read of it, headings last.
    pub(crate) fn read(&self) -> impl Iterator<Item = &(BlockId, Version)> {
        self.blocks.iter().chain(self.told.iter().flat_map(|told| &told.headings))
    }
}

impl Said {
    /// All pages that its words may come from.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &PageId> {
        self.sources.iter().map(|source| &source.page).chain(self.also.keys())
    }

    /// Whether its words may come from a page, or from one of these blocks, wherever that stood.
    pub(crate) fn rests_on(&self, page: &PageId, blocks: &[BlockId]) -> bool {
        let of_sources = self.sources.iter().flat_map(Source::read).map(|(block, _)| block);
        self.pages().any(|other| other == page)
            || of_sources.chain(self.also.values().flatten()).any(|block| blocks.contains(block))
    }

    /// All places that its words may come from.
    pub(crate) fn places(&self) -> Places {
        let mut places = self.also.clone();
        for source in &self.sources {
            places.entry(source.page.clone()).or_default().extend(source.read().map(|(block, _)| block.clone()));
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_was_kept_before_titles_were_is_read() {
        let old: Source = serde_json::from_str(r#"{"page": "p", "blocks": []}"#).unwrap();
        assert_eq!((old.told.as_ref(), old.read().count()), (None, 0));
        assert_eq!(serde_json::to_string(&old).unwrap(), r#"{"page":"p","blocks":[]}"#);
        let new = Source { told: Some(Told::new("Kappa", Vec::new())), ..old };
        let kept = serde_json::to_string(&new).unwrap();
        assert!(!kept.contains("Kappa"), "{kept}");
        let read: Source = serde_json::from_str(&kept).unwrap();
        assert_eq!(read, new);
        assert!(read.told.is_some_and(|told| told.is_title("Kappa") && !told.is_title("kappa")));
    }
}
