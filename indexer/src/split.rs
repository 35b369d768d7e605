//! Splitting: the record of a page into the passages that are embedded and retrieved.
//!
//! Pure. It embeds nothing and knows neither the title nor the ancestors of the page, so that a rename or a move changes no
//! passage. Blocks are taken in reading order and cut at headings and block borders into passages of about
//! [`Rules::target_tokens`]; a block too long for one is cut at sentences, then words, then characters. Small sections
//! beside each other share a passage.
//!
//! Invariants: no visible text is lost; the ranges of a passage's blocks are exact; what is embedded has at most
//! [`Rules::max_tokens`]; a page that exists has at least one passage, so that its title is found. Cuts fall on headings and
//! on blocks chosen by a hash of their id, so that an edit changes the passages around it and not all that follow.

mod cut;
mod outline;
mod pack;
#[cfg(test)]
mod tests;

use index::analysis::{Language, detect_language};
use index::passages::Passage;
use schemas::ids::PageId;
use schemas::record::PageRecord;

use outline::Section;

/// Number of these rules; another one cuts other passages, so it needs an index built anew.
pub const RELEASE: u32 = 2;

/// What a page is taken to be in whose language cannot be told, since it is short and all nouns. Most of those are English,
/// and words that are found in their other forms rank better than words that are not; it means nothing to other scripts.
const UNTOLD: Language = Language::English;
/// Below this many tokens a section shares a passage with its neighbours.
const SMALL_TOKENS: usize = 40;
/// Most tokens of one heading in the path above a passage; a longer one stands in the text as well.
const HEADING_TOKENS_MAX: usize = 20;
/// Most tokens of a table's header row that is repeated where the table was cut.
const TABLE_HEADER_TOKENS_MAX: usize = 40;
/// More characters than this per token are not believed: one endless word may count as a single unknown token.
const CHARS_PER_TOKEN_MAX: usize = 8;

/// How passages are cut.
pub struct Rules<'a> {
    /// Counts the tokens of a text, as the model would.
    pub count: &'a dyn Fn(&str) -> usize,
    /// How long a passage should be, headings included. At least 100, so that headings leave room for text.
    pub target_tokens: usize,
    /// How long what is embedded may be, headings included. At least the target.
    pub max_tokens: usize,
}

impl Rules<'_> {
    /// The tokens of a text, and never fewer than its length warrants.
    fn weigh(&self, text: &str) -> usize {
        (self.count)(text).max(text.chars().count() / CHARS_PER_TOKEN_MAX)
    }

    /// The tokens from which on a passage may end at an anchor.
    fn enough_tokens(&self) -> usize {
        self.target_tokens * 3 / 5
    }
}

/// Cuts a page into passages, in reading order and numbered from 0. None for a page that does not exist.
pub fn split(page: &PageId, record: &PageRecord, rules: &Rules<'_>) -> Vec<Passage> {
    debug_assert!(rules.target_tokens >= 100 && rules.max_tokens >= rules.target_tokens);
    if !record.exists() {
        return Vec::new();
    }
    let sections = outline::sections(page, record, rules);
    let language = language_of(&sections);
    let mut passages = Vec::new();
    for group in outline::group_small(sections, rules) {
        pack::pack(&group, rules, language, &mut passages);
    }
    if passages.is_empty() {
        passages.push(Passage {
            number: 0,
            headings: Vec::new(),
            text: String::new(),
            blocks: Vec::new(),
            language: Language::default(),
        });
    }
    for (number, passage) in passages.iter_mut().enumerate() {
        passage.number = number as u32;
    }
    passages
}

/// The language of the page, which its short passages are taken to be in.
fn language_of(sections: &[Section]) -> Language {
    const SAMPLE_BYTES: usize = 4_000;
    let mut sample = String::new();
    for piece in sections.iter().flat_map(|section| &section.body) {
        if sample.len() >= SAMPLE_BYTES {
            break;
        }
        sample.push_str(&piece.text);
        sample.push('\n');
    }
    detect_language(&sample, UNTOLD)
}
