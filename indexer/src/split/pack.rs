//! Packing: the pieces of some sections into passages of about the target length.

use index::analysis::{Language, detect_language};
use index::passages::{BlockRange, Passage};
use schemas::ids::BlockId;

use super::outline::{Group, Piece, is_anchor};
use super::{Rules, SMALL_TOKENS, TABLE_HEADER_TOKENS_MAX, cut};

/// A piece, or a part of a long one.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    block: Option<&'a BlockId>,
    tokens: usize,
    /// A passage that has enough text ends before it.
    is_anchor: bool,
    /// It goes on where the part before it ended, in the same block.
    continues: bool,
    /// The header row of the table it is in.
    table_header: Option<&'a Piece>,
    /// It is that header row, said once more.
    is_repeated: bool,
}

/// Appends the passages of a group.
pub(super) fn pack(group: &Group, rules: &Rules<'_>, language: Language, passages: &mut Vec<Passage>) {
    let headings: Vec<String> = group.path.iter().map(|heading| heading.short.clone()).collect();
    let taken = rules.weigh(&headings.join(" > "));
    let max_tokens = rules.max_tokens.saturating_sub(taken).max(1);
    let target_tokens = rules.target_tokens.saturating_sub(taken).max(SMALL_TOKENS).min(max_tokens);
    let enough_tokens = rules.enough_tokens().min(target_tokens);

    let mut runs: Vec<Vec<Part<'_>>> = Vec::new();
    let mut tokens = 0;
    for part in parts(&group.pieces, max_tokens, target_tokens, rules) {
        let ends_before = tokens + part.tokens > target_tokens || (tokens >= enough_tokens && part.is_anchor);
        match runs.last_mut() {
            Some(run) if !ends_before => {
                tokens += part.tokens;
                run.push(part);
            }
            _ => {
                let mut run: Vec<Part<'_>> = repeated_header(&part, max_tokens).into_iter().collect();
                run.push(part);
                tokens = weight(&run);
                runs.push(run);
            }
        }
    }
    join_small_end(&mut runs, max_tokens);
    passages.extend(runs.iter().map(|run| passage(run, &headings, language)));
}

fn weight(run: &[Part<'_>]) -> usize {
    run.iter().map(|part| part.tokens).sum()
}

/// The pieces, those that do not fit cut into sentences.
fn parts<'a>(pieces: &'a [Piece], max_tokens: usize, target_tokens: usize, rules: &Rules<'_>) -> Vec<Part<'a>> {
    let mut parts = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let whole = Part {
            text: &piece.text,
            block: piece.block.as_ref(),
            tokens: piece.tokens,
            is_anchor: piece.is_anchor(),
            continues: false,
            table_header: piece.table_header.as_deref(),
            is_repeated: false,
        };
        if piece.tokens <= max_tokens {
            parts.push(whole);
            continue;
        }
        for (at, text) in cut::sentences(&piece.text, target_tokens, rules).into_iter().enumerate() {
            // Within a block, sentences take the part that the ids of blocks have on a page.
            let is_anchor = if at == 0 { whole.is_anchor } else { is_anchor(text) };
            parts.push(Part { text, tokens: rules.weigh(text), is_anchor, continues: at > 0, ..whole });
        }
    }
    parts
}

/// The header row to begin with where a table was cut.
fn repeated_header<'a>(part: &Part<'a>, max_tokens: usize) -> Option<Part<'a>> {
    let header = part.table_header.filter(|header| header.tokens <= TABLE_HEADER_TOKENS_MAX)?;
    (header.tokens + part.tokens <= max_tokens).then_some(Part {
        text: &header.text,
        block: header.block.as_ref(),
        tokens: header.tokens,
        is_anchor: false,
        continues: false,
        table_header: None,
        is_repeated: true,
    })
}

/// A small rest at the end goes into the passage before it, up to what the model takes.
fn join_small_end(runs: &mut Vec<Vec<Part<'_>>>, max_tokens: usize) {
    let [.., before, end] = runs.as_slice() else { return };
    let rest: Vec<_> = end.iter().filter(|part| !part.is_repeated).copied().collect();
    if weight(&rest) < SMALL_TOKENS && weight(before) + weight(&rest) <= max_tokens {
        runs.pop();
        runs.last_mut().expect("there were two").extend(rest);
    }
}

fn passage(run: &[Part<'_>], headings: &[String], language: Language) -> Passage {
    let mut text = String::new();
    let mut blocks: Vec<BlockRange> = Vec::new();
    for (at, part) in run.iter().enumerate() {
        let goes_on = at > 0 && part.continues && !run[at - 1].is_repeated;
        if at > 0 && !goes_on {
            text.push('\n');
        }
        let start = text.len() as u32;
        text.push_str(part.text);
        let end = text.len() as u32;
        match (part.block, blocks.last_mut()) {
            (Some(_), Some(last)) if goes_on => last.end = end,
            (Some(block), _) => blocks.push(BlockRange { block: block.clone(), start, end }),
            (None, _) => {}
        }
    }
    let language = detect_language(&text, language);
    Passage { number: 0, headings: headings.to_vec(), text, blocks, language }
}
