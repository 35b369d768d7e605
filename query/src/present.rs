//! Presenting: what a hit shows of its passage.
//!
//! Pure. Made before the gate is opened, since marking words takes time; what comes out is held back until then.

use index::Passage;
use index::analysis::Tokens;
use schemas::api::search::Snippet;
use schemas::ids::BlockId;

use crate::mark::{Leniency, marks};
use crate::rescore::{QueryWords, TITLE_LANGUAGE};
use crate::snippet::excerpt;

/// Shows texts for one query.
pub(crate) struct Presenter<'a> {
    words: QueryWords<'a>,
    leniency: Leniency,
    snippet_chars: usize,
    tokens: &'a mut Tokens,
}

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

impl<'a> Presenter<'a> {
    /// For a query with these words, in excerpts of at most `snippet_chars` characters.
    pub(crate) fn new(query_text: &'a str, leniency: Leniency, snippet_chars: usize, tokens: &'a mut Tokens) -> Self {
        Self { words: QueryWords::new(query_text), leniency, snippet_chars, tokens }
    }

    /// Shows the best place of a passage, with the words of the query marked; of a passage without text nothing.
    pub(crate) fn show(&mut self, passage: &Passage) -> Shown {
        let marks = marks(&passage.text, passage.language, &mut self.words, self.leniency, self.tokens);
        let excerpt = excerpt(&passage.text, &marks, self.snippet_chars);
        Shown {
            block: passage.block_at(excerpt.first_mark).cloned(),
            headings: passage.headings.clone(),
            snippet: excerpt.snippet,
        }
    }

    /// Shows a title in place of a text, with the words of the query marked.
    pub(crate) fn show_title(&mut self, title: &str) -> Snippet {
        let marks = marks(title, TITLE_LANGUAGE, &mut self.words, self.leniency, self.tokens);
        excerpt(title, &marks, self.snippet_chars).snippet
    }
}
