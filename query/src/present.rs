//! Presenting: what a hit shows of its passage.
//!
//! Pure. Made before the gate is opened, since marking words takes time; what comes out is held back until then.

use std::collections::HashSet;

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
    /// The block that says most of what was asked, or that the excerpt begins in.
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
            block: fullest_block(passage, &marks).or_else(|| passage.block_at(excerpt.start)).cloned(),
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

/// The block whose marked words, each counted once, have the most letters together; the first of equally full ones, and none
/// where no word is marked.
fn fullest_block<'p>(passage: &'p Passage, marks: &[(u32, u32)]) -> Option<&'p BlockId> {
    let mut fullest = (0, None);
    for range in &passage.blocks {
        let inside = marks.iter().filter(|(start, _)| (range.start..range.end).contains(start));
        let words: HashSet<_> = inside
            .filter_map(|&(start, end)| passage.text.get(start as usize..end as usize))
            .map(str::to_lowercase)
            .collect();
        let letters: usize = words.iter().map(|word| word.chars().count()).sum();
        if letters > fullest.0 {
            fullest = (letters, Some(&range.block));
        }
    }
    fullest.1
}

#[cfg(test)]
mod tests {
    use index::analysis::Language;
    use index::passages::BlockRange;

    use super::*;

    #[test]
    fn the_block_that_says_most_is_opened_not_the_first_with_a_word_of_it() {
        let text = "The dome, the dome.\nERR_DOME_STALL means ice.";
        let range = |id, start, end| BlockRange { block: BlockId::new(id).unwrap(), start, end };
        let passage = Passage {
            text: text.to_owned(),
            blocks: vec![range("first", 0, 19), range("second", 20, text.len() as u32)],
            language: Language::English,
            ..Passage::of_title("", Language::English)
        };
        let fullest = |marks| fullest_block(&passage, marks).map(BlockId::as_str);
        assert_eq!(fullest(&[(4, 8), (14, 18), (20, 34)]), Some("second"));
        assert_eq!(fullest(&[(4, 8), (14, 18)]), Some("first"), "a word counts once");
        assert_eq!(fullest(&[]), None);
    }
}
