//! Packing: from the passages of a page to the blocks that stand for it in an answer.
//!
//! Pure. What is taken first are the blocks of the passages that were found, then the few between two of them, then those beside
//! them, as far as the next heading and the budget reach; a table comes whole where it fits. Invariants: blocks come in reading order and none twice; a block
//! that was found is always there, cut to its passage when it is long; no heading is told without its block.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use index::Passage;
use index::analysis::Language;
use schemas::block::BlockType;
use schemas::ids::BlockId;
use schemas::page_text::TextBlock;
use schemas::version::Version;

use super::source::{SourceText, SourceTextBlock};

/// How much of a page is taken.
pub(crate) struct Budget<'a> {
    /// Counts the tokens of a text, never too few.
    pub count: &'a (dyn Fn(&str) -> usize + Send + Sync),
    /// Tokens of one source; a table that was found in part may take as much again.
    pub tokens_max: usize,
}

/// Most blocks between two that were taken for them to come along.
const GAP_BLOCKS_MAX: usize = 3;
/// Words that stand side by side in what is compared for repetition.
const SHINGLE_WORDS: usize = 4;
/// Shingles of a block from which on it is looked for in what was said: shorter ones repeat by chance.
const BLOCK_SHINGLES_MIN: usize = 4;
/// Share of a text's shingles from which on it says nearly nothing but what another one said.
const DUPLICATE_SHARE: f64 = 0.8;

/// Takes what stands for a page, of whose blocks in reading order these passages were found, best first; nothing when no block of theirs is
/// left.
pub(crate) fn pack(listed: &[TextBlock], passages: &[Passage], score: f32, budget: &Budget<'_>) -> Option<SourceText> {
    let place: BTreeMap<&BlockId, usize> = listed.iter().enumerate().map(|(at, block)| (&block.id, at)).collect();
    let mut taken = Taken { listed, budget, blocks: BTreeMap::new(), tokens: 0 };
    for passage in passages {
        taken.passage(passage, &place);
    }
    if taken.blocks.is_empty() {
        return None;
    }
    taken.tables();
    taken.between();
    taken.beside();
    let blocks = taken.finish();
    let (headings, heading_blocks) = headings_above(listed, passages.first()?, &place);
    Some(SourceText { headings, heading_blocks, blocks, score })
}

/// The headings of a passage, outermost first, with their blocks; none of which the block does not stand above it.
fn headings_above(
    listed: &[TextBlock],
    passage: &Passage,
    place: &BTreeMap<&BlockId, usize>,
) -> (Vec<String>, Vec<(BlockId, Version)>) {
    let Some(at) = passage.blocks.iter().find_map(|range| place.get(&range.block)) else {
        return (Vec::new(), Vec::new());
    };
    let mut above: Vec<(u8, &TextBlock)> = Vec::new();
    for block in &listed[..=*at] {
        if let BlockType::Heading(level) = block.kind
            && !block.text.trim().is_empty()
        {
            above.retain(|(of, _)| *of < level);
            above.push((level, block));
        }
    }
    // Long ones are cut in a passage.
    let is_of = |heading: &String, block: &TextBlock| block.text.trim_start().starts_with(heading.as_str());
    let both = passage.headings.iter().zip(above).take_while(|(heading, (_, block))| is_of(heading, block));
    both.map(|(heading, (_, block))| (heading.clone(), (block.id.clone(), block.version.clone()))).unzip()
}

struct Taken<'a> {
    listed: &'a [TextBlock],
    budget: &'a Budget<'a>,
    /// By place: the bytes of the block, and the language.
    blocks: BTreeMap<usize, (std::ops::Range<usize>, Language)>,
    tokens: usize,
}

impl Taken<'_> {
    /// The blocks of a passage: whole where they fit, else the part that the passage has. The first passage is taken at any price.
    fn passage(&mut self, passage: &Passage, place: &BTreeMap<&BlockId, usize>) {
        let is_first = self.blocks.is_empty();
        for range in &passage.blocks {
            let Some(&at) = place.get(&range.block) else { continue };
            let text = &self.listed[at].text;
            let whole = 0..text.len();
            let part = passage.text.get(range.start as usize..range.end as usize).unwrap_or("");
            let found = text.find(part).filter(|_| !part.is_empty());
            let is_long = (self.budget.count)(text) > self.budget.tokens_max / 2;
            let bytes = match found {
                Some(start) if is_long => start..start + part.len(),
                _ => whole,
            };
            self.take(at, bytes, passage.language, if is_first { usize::MAX } else { self.budget.tokens_max });
        }
    }

    /// The rows of tables of which a row was taken.
    fn tables(&mut self) {
        let rows: Vec<(usize, Language)> = self.blocks.iter().map(|(at, (_, language))| (*at, *language)).collect();
        for (at, language) in rows {
            let listed = self.listed;
            let is_row = |of: usize| listed[of].kind == BlockType::TableRow && listed[of].depth == listed[at].depth;
            if !is_row(at) {
                continue;
            }
            let before = (0..at).rev().take_while(|of| is_row(*of)).last().unwrap_or(at);
            let after = (at + 1..listed.len()).take_while(|of| is_row(*of)).last().unwrap_or(at);
            let missing: Vec<usize> = (before..=after).filter(|of| !self.blocks.contains_key(of)).collect();
            let tokens: usize = missing.iter().map(|of| (self.budget.count)(&listed[*of].text)).sum();
            // Of a table that is too long its first row says what the cells are.
            let wanted = if self.tokens + tokens <= 2 * self.budget.tokens_max { &missing[..] } else { &[before][..] };
            for of in wanted {
                self.take(*of, 0..listed[*of].text.len(), language, 2 * self.budget.tokens_max);
            }
        }
    }

    /// The blocks of small gaps between those that were taken, each gap whole, the smallest first.
    fn between(&mut self) {
        let places: Vec<usize> = self.blocks.keys().copied().collect();
        let gaps = places.windows(2).map(|pair| pair[0] + 1..pair[1]);
        let mut gaps: Vec<std::ops::Range<usize>> =
            gaps.filter(|gap| (1..=GAP_BLOCKS_MAX).contains(&gap.len())).collect();
        gaps.sort_by_key(ExactSizeIterator::len);
        let listed = self.listed;
        for gap in gaps {
            let tokens: usize = gap.clone().map(|at| (self.budget.count)(&listed[at].text)).sum();
            if self.tokens + tokens > self.budget.tokens_max {
                continue;
            }
            let language = self.blocks[&(gap.start - 1)].1;
            for at in gap {
                self.take(at, 0..listed[at].text.len(), language, self.budget.tokens_max);
            }
        }
    }

    /// The blocks beside those that were taken, one on each side in turn, up to the next heading.
    fn beside(&mut self) {
        let (Some(mut first), Some(mut last)) =
            (self.blocks.first_key_value().map(|of| *of.0), self.blocks.last_key_value().map(|of| *of.0))
        else {
            return;
        };
        let language = self.blocks[&first].1;
        let is_heading = |of: usize| matches!(self.listed[of].kind, BlockType::Heading(_));
        let (mut before, mut after) = (!is_heading(first), true);
        let listed = self.listed;
        let headings: Vec<bool> = (0..listed.len()).map(is_heading).collect();
        while before || after {
            before = before && first > 0;
            if before {
                first -= 1;
                before =
                    self.take(first, 0..listed[first].text.len(), language, self.budget.tokens_max) && !headings[first];
            }
            after = after && last + 1 < listed.len() && !headings[last + 1];
            if after {
                last += 1;
                after = self.take(last, 0..listed[last].text.len(), language, self.budget.tokens_max);
            }
        }
    }

    /// Takes a block if there is room for it; says whether there was.
    fn take(&mut self, at: usize, bytes: std::ops::Range<usize>, language: Language, tokens_max: usize) -> bool {
        if let Some((known, _)) = self.blocks.get_mut(&at) {
            *known = known.start.min(bytes.start)..known.end.max(bytes.end);
            return true;
        }
        let tokens = (self.budget.count)(&self.listed[at].text[bytes.clone()]);
        if self.tokens.saturating_add(tokens) > tokens_max {
            return false;
        }
        self.tokens += tokens;
        self.blocks.insert(at, (bytes, language));
        true
    }

    fn finish(self) -> Vec<SourceTextBlock> {
        let mut blocks = Vec::with_capacity(self.blocks.len());
        let mut last = None;
        for (at, (bytes, language)) in self.blocks {
            let listed = &self.listed[at];
            let text = &listed.text[bytes.clone()];
            if text.trim().is_empty() {
                continue;
            }
            blocks.push(SourceTextBlock {
                block: listed.id.clone(),
                kind: listed.kind.clone(),
                version: listed.version.clone(),
                offset: listed.text[..bytes.start].encode_utf16().count() as u32,
                text: text.to_owned(),
                language,
                after_gap: last.is_some_and(|last| last + 1 != at),
                done: listed.checked == Some(true),
            });
            last = Some(at);
        }
        blocks
    }
}

/// Remembers what was taken, so that templates and blocks shown in several places come once.
#[derive(Debug, Default)]
pub(crate) struct Seen(Vec<Vec<u64>>);

impl Seen {
    /// Whether a text says nearly nothing but what one before it said; if not, it is remembered. A longer text that holds a short one is
    /// none.
    pub(crate) fn is_repeated(&mut self, text: &str) -> bool {
        let shingles = shingles(text);
        let is_said = |known: &Vec<u64>| shared(known, &shingles) as f64 >= DUPLICATE_SHARE * shingles.len() as f64;
        let repeated = self.0.iter().any(is_said);
        if !repeated {
            self.0.push(shingles);
        }
        repeated
    }

    /// Takes blocks out of a source that stand in one before it word for word, as blocks that are shown on several pages do; says
    /// whether anything is left that says something. Rows of tables stay, since they come whole.
    pub(crate) fn leave_out_repeated(&self, source: &mut SourceText) -> bool {
        let mut has_gap = false;
        source.blocks.retain_mut(|block| {
            let is_repeated = !says_little(&block.kind) && block.kind != BlockType::TableRow && self.holds(&block.text);
            block.after_gap |= !is_repeated && std::mem::take(&mut has_gap);
            has_gap |= is_repeated;
            !is_repeated
        });
        source.blocks.iter().any(|block| !says_little(&block.kind))
    }

    /// Whether all of a text stands in one before it.
    fn holds(&self, text: &str) -> bool {
        let shingles = shingles(text);
        let is_said = |known: &Vec<u64>| shared(known, &shingles) == shingles.len();
        shingles.len() >= BLOCK_SHINGLES_MIN && self.0.iter().any(is_said)
    }
}

/// Whether it is a heading, which says little without what stands below it.
fn says_little(kind: &BlockType) -> bool {
    matches!(kind, BlockType::Heading(_))
}

/// How many numbers two lists share, in each of which they rise.
fn shared(one: &[u64], other: &[u64]) -> usize {
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    let mut shared = 0;
    while let (Some(first), Some(second)) = (one.peek(), other.peek()) {
        match first.cmp(second) {
            Ordering::Less => _ = one.next(),
            Ordering::Greater => _ = other.next(),
            Ordering::Equal => {
                shared += 1;
                (_, _) = (one.next(), other.next());
            }
        }
    }
    shared
}

/// What stands side by side in a text, as numbers that rise.
fn shingles(text: &str) -> Vec<u64> {
    let lower = text.to_lowercase();
    // Scripts without spaces have no words to split at: letters stand for words then.
    let spaced: Vec<&str> = lower.split_whitespace().collect();
    let is_unspaced = spaced.len() * 12 < lower.chars().count();
    let words: Vec<u64> = if is_unspaced {
        lower.chars().filter(|c| c.is_alphanumeric()).map(number).collect()
    } else {
        spaced.into_iter().map(number).collect()
    };
    let mut shingles: Vec<u64> = if words.len() < SHINGLE_WORDS {
        vec![number(&words)]
    } else {
        words.windows(SHINGLE_WORDS).map(number).collect()
    };
    shingles.sort_unstable();
    shingles.dedup();
    shingles
}

fn number(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
