//! Sources: what an answer is made from, cut into sentences that know their place.
//!
//! Pure. Invariant: every range of a source lies in the text of its block as the page shows it, so that a citation can be
//! looked up there.

use std::ops::Range;

use index::analysis::Language;
use schemas::api::answers::SourceBlock;
use schemas::api::search::HighlightUnit;
use schemas::block::BlockType;
use schemas::ids::BlockId;
use schemas::version::Version;
use unicode_segmentation::UnicodeSegmentation as _;

/// Some blocks of one page.
#[derive(Clone, Debug, Default)]
pub struct SourceText {
    /// The headings above what was found of it, outermost first.
    pub headings: Vec<String>,
    /// Their blocks with the versions that were read, in the same order.
    pub heading_blocks: Vec<(BlockId, Version)>,
    /// In reading order; where some are left out, the next one says so.
    pub blocks: Vec<SourceTextBlock>,
    /// How well it fits, 0 to 1.
    pub score: f32,
}

/// A block, or the part of one, of a source.
#[derive(Clone, Debug)]
pub struct SourceTextBlock {
    /// The block.
    pub block: BlockId,
    /// What it is.
    pub kind: BlockType,
    /// The version that was read.
    pub version: Version,
    /// UTF-16 code units of the block before the text.
    pub offset: u32,
    /// The text.
    pub text: String,
    /// The language of its passage.
    pub language: Language,
    /// Whether blocks are left out before it.
    pub after_gap: bool,
    /// Whether it is a task that is done.
    pub done: bool,
}

/// A place in a source: some bytes of one of its blocks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Which block.
    pub block: usize,
    /// Bytes of its text.
    pub bytes: Range<usize>,
}

impl SourceText {
    /// The sentences of its text in reading order; headings are none, a row of a table is one.
    pub fn sentences(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for (at, block) in self.blocks.iter().enumerate() {
            match block.kind {
                BlockType::Heading(_) => {}
                BlockType::TableRow => {
                    spans.extend(trimmed(&block.text, 0..block.text.len()).map(|bytes| Span { block: at, bytes }));
                }
                _ => spans.extend(sentence_ranges(&block.text).into_iter().map(|bytes| Span { block: at, bytes })),
            }
        }
        spans
    }

    /// The text at a place.
    pub fn text(&self, span: &Span) -> &str {
        &self.blocks[span.block].text[span.bytes.clone()]
    }

    /// The text at a place, in code units of UTF-16 of the whole block.
    pub fn utf16(&self, span: &Span) -> [u32; 2] {
        let block = &self.blocks[span.block];
        let units = |text: &str| text.encode_utf16().count() as u32;
        let start = block.offset + units(&block.text[..span.bytes.start]);
        [start, start + units(&block.text[span.bytes.clone()])]
    }

    /// All of its text, block after block.
    pub fn whole(&self) -> String {
        self.blocks.iter().map(|block| block.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// As responses show it.
    pub fn shown(&self) -> Vec<SourceBlock> {
        let shown = self.blocks.iter().map(|block| SourceBlock {
            block: block.block.clone(),
            kind: block.kind.clone(),
            version: block.version.clone(),
            range: [block.offset, block.offset + block.text.encode_utf16().count() as u32],
            unit: HighlightUnit::Utf16CodeUnits,
            text: block.text.clone(),
        });
        shown.collect()
    }
}

/// Where the sentences of a text are, without white space around them: cut at marks and at lines.
pub fn sentence_ranges(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        for (at, sentence) in line.split_sentence_bound_indices() {
            let range = start + at..start + at + sentence.len();
            ranges.extend(trimmed(text, range));
        }
        start += line.len();
    }
    ranges
}

/// The range without white space around it; nothing when no letter or digit is left.
fn trimmed(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let piece = &text[range.clone()];
    let start = range.start + (piece.len() - piece.trim_start().len());
    let end = start + piece.trim().len();
    piece.chars().any(char::is_alphanumeric).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::ids::RegionId;
    use schemas::version::{Timestamp, VectorClock};

    fn block(kind: BlockType, text: &str) -> SourceTextBlock {
        let region = RegionId::new("r").unwrap();
        SourceTextBlock {
            block: BlockId::new("b").unwrap(),
            kind,
            version: Version { clock: VectorClock::of(&region, 1), timestamp: Timestamp::default(), region },
            offset: 10,
            text: text.to_owned(),
            language: Language::English,
            after_gap: false,
            done: false,
        }
    }

    #[test]
    fn sentences_know_their_place_in_code_units_of_the_block() {
        let blocks = vec![
            block(BlockType::Heading(1), "A heading. No sentence."),
            block(BlockType::Paragraph, "😀 One is done. Is two?\n***\n三つ目です。"),
            block(BlockType::TableRow, "Who. | What. | When."),
        ];
        let source = SourceText { blocks, ..SourceText::default() };
        let spans = source.sentences();
        let texts: Vec<&str> = spans.iter().map(|span| source.text(span)).collect();
        assert_eq!(texts, ["😀 One is done.", "Is two?", "三つ目です。", "Who. | What. | When."]);
        assert_eq!(source.utf16(&spans[1]), [26, 33], "the smile is two code units, ten stand before");
        assert_eq!(source.shown()[1].range, [10, 10 + 34]);
    }
}
