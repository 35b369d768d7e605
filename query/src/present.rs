//! Presenting: what a hit shows of its passage.
//!
//! Pure. Made before the gate is opened, since marking words takes time; what comes out is held back until then.

use index::Passage;
use index::analysis::Analyzer;
use schemas::api::search::Snippet;
use schemas::ids::BlockId;

use crate::rescore::{QueryWords, TITLE_LANGUAGE};
use crate::snippet::excerpt;

/// What a hit shows of its passage.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// The block of the first word that is marked, or that the excerpt begins in.
    pub(crate) block: Option<BlockId>,
    /// The headings above the passage.
    pub(crate) headings: Vec<String>,
    /// The excerpt.
    pub(crate) snippet: Snippet,
}

/// Shows the best place of a passage, with the words of the query marked; of a passage without text nothing.
pub(crate) fn show(passage: &Passage, words: &mut QueryWords<'_>, chars_max: usize) -> Shown {
    let marks = Analyzer::new().highlight_ranges(&passage.text, passage.language, words.of(passage.language));
    let excerpt = excerpt(&passage.text, &marks, chars_max);
    Shown {
        block: passage.block_at(excerpt.first_mark).cloned(),
        headings: passage.headings.clone(),
        snippet: excerpt.snippet,
    }
}

/// Shows a title in place of a text, with the words of the query marked.
pub(crate) fn show_title(title: &str, words: &mut QueryWords<'_>, chars_max: usize) -> Snippet {
    let marks = Analyzer::new().highlight_ranges(title, TITLE_LANGUAGE, words.of(TITLE_LANGUAGE));
    excerpt(title, &marks, chars_max).snippet
}
