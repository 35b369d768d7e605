//! Passages: what is embedded and retrieved, cut from one page.
//!
//! A passage knows which bytes of its text come from which block, so that a hit points to the block. Neither the title
//! nor the ancestors are part of it: a rename or a move changes no passage.

use std::fmt;

use schemas::ids::BlockId;
use serde::{Deserialize, Serialize};

use crate::analysis::Language;
use crate::vectors::StoredVector;

/// What an embedding was made of, in 128 bits of BLAKE3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextHash(pub [u8; 16]);

impl fmt::Display for TextHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The bytes of a passage's text that come from one block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRange {
    /// The block.
    pub block: BlockId,
    /// First byte in the passage's text.
    pub start: u32,
    /// One after the last byte.
    pub end: u32,
}

/// Consecutive blocks of one page, as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Its place on the page, from 0; of no meaning for a title.
    pub number: u32,
    /// The headings above it on the page, outermost first.
    pub headings: Vec<String>,
    /// Its text: blocks separated by line breaks. Empty for a page without text.
    pub text: String,
    /// Where its text comes from, in order, not overlapping.
    pub blocks: Vec<BlockRange>,
    /// The language of its text.
    pub language: Language,
}

/// The number of the passage that is the title of a page.
const TITLE_NUMBER: u32 = u32::MAX;

impl Passage {
    /// The title of a page as a text of its own, beside the passages that are cut from it.
    ///
    /// It is embedded once for all pages of a workspace that have it, so that a rename embeds a few words and no passage. It is
    /// found by meaning alone: by words, a title is found with the passages of its page.
    pub fn of_title(title: &str, language: Language) -> Self {
        let headings = vec![title.to_owned()];
        Self { number: TITLE_NUMBER, headings, text: String::new(), blocks: Vec::new(), language }
    }

    /// Whether it is the title of its page.
    pub fn is_title(&self) -> bool {
        self.number == TITLE_NUMBER
    }

    /// What the embedding is made of: the headings above, then the text.
    pub fn embedded_text(&self) -> String {
        if self.headings.is_empty() {
            return self.text.clone();
        }
        format!("{}\n{}", self.headings.join(" > "), self.text)
    }

    /// Names [`Passage::embedded_text`].
    pub fn hash(&self) -> TextHash {
        let mut hasher = blake3::Hasher::new();
        for (at, heading) in self.headings.iter().enumerate() {
            hasher.update(if at == 0 { "" } else { " > " }.as_bytes()).update(heading.as_bytes());
        }
        hasher.update(if self.headings.is_empty() { "" } else { "\n" }.as_bytes()).update(self.text.as_bytes());
        let hash = hasher.finalize();
        let mut short = [0; 16];
        short.copy_from_slice(&hash.as_bytes()[..16]);
        TextHash(short)
    }

    /// True when there is something to embed.
    pub fn has_text(&self) -> bool {
        !self.text.trim().is_empty() || !self.headings.is_empty()
    }

    /// The block at a byte of the text; the first block when the byte is between two.
    pub fn block_at(&self, byte: u32) -> Option<&BlockId> {
        let at = self.blocks.partition_point(|range| range.end <= byte);
        self.blocks.get(at).or(self.blocks.last()).map(|range| &range.block)
    }
}

/// A passage to be stored, with its embedding when that is known already.
#[derive(Clone, Debug)]
pub struct PassageWrite {
    /// The passage.
    pub passage: Passage,
    /// Its embedding.
    pub vector: Option<StoredVector>,
}
