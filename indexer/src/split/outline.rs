//! The outline of a page: its sections with their headings, small ones put together.

use schemas::block::BlockType;
use schemas::ids::{BlockId, PageId};
use schemas::record::PageRecord;
use std::sync::Arc;

use super::{HEADING_TOKENS_MAX, Rules, SMALL_TOKENS, cut};

/// Text that is not cut unless it is too long for a passage: that of one block.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// Its block; none for properties.
    pub(super) block: Option<BlockId>,
    /// Its text, never blank.
    pub(super) text: String,
    /// What it weighs.
    pub(super) tokens: usize,
    /// For a row of a table, its header row.
    pub(super) table_header: Option<Arc<Piece>>,
}

impl Piece {
    /// Whether a passage that has enough text may end before this piece. It hangs on the id alone, so that the cuts after
    /// an edit are soon those from before it.
    pub(super) fn is_anchor(&self) -> bool {
        self.block.as_ref().is_some_and(|block| is_anchor(block.as_str()))
    }
}

/// True for half of all texts.
pub(super) fn is_anchor(text: &str) -> bool {
    blake3::hash(text.as_bytes()).as_bytes()[0] & 1 == 1
}

/// A heading above some text.
#[derive(Clone, Debug)]
pub(super) struct Heading {
    level: u8,
    /// As it stands in the path of a passage: cut when it is long.
    pub(super) short: String,
    /// The heading's own block.
    pub(super) piece: Arc<Piece>,
}

/// What stands under one heading, down to the next.
#[derive(Clone, Debug)]
pub(super) struct Section {
    /// The headings above it, outermost first.
    pub(super) path: Vec<Heading>,
    /// Its text.
    pub(super) body: Vec<Piece>,
}

impl Section {
    fn tokens(&self) -> usize {
        self.body.iter().map(|piece| piece.tokens).sum()
    }
}

/// The sections of a page, in reading order. None has an empty body: a heading with nothing under it becomes text itself.
pub(super) fn sections(page: &PageId, record: &PageRecord, rules: &Rules<'_>) -> Vec<Section> {
    let mut sections = vec![Section { path: Vec::new(), body: Vec::new() }];
    let mut table_header: Option<Arc<Piece>> = None;
    for (id, content, _) in record.blocks_in_order(page) {
        let text = content.plain_text();
        if content.kind != BlockType::TableRow {
            table_header = None;
        }
        if text.trim().is_empty() {
            continue;
        }
        let tokens = rules.weigh(&text);
        let mut piece = Piece { block: Some(id.clone()), text, tokens, table_header: None };
        let last = sections.last_mut().expect("there is one from the start");
        match content.kind {
            BlockType::Heading(level) => {
                let mut path = last.path.clone();
                path.retain(|heading| heading.level < level);
                let short = cut::head(&piece.text, HEADING_TOKENS_MAX, rules).to_owned();
                // What the path does not show in full is part of the text.
                let body = if short == piece.text { Vec::new() } else { vec![piece.clone()] };
                path.push(Heading { level, short, piece: Arc::new(piece) });
                sections.push(Section { path, body });
            }
            BlockType::TableRow => {
                match &table_header {
                    Some(header) => piece.table_header = Some(Arc::clone(header)),
                    None => table_header = Some(Arc::new(piece.clone())),
                }
                last.body.push(piece);
            }
            _ => last.body.push(piece),
        }
    }
    with_text(sections)
}

/// Drops sections without text whose heading stands above the next one, and turns the heading of others into text.
fn with_text(sections: Vec<Section>) -> Vec<Section> {
    let mut kept: Vec<Section> = Vec::with_capacity(sections.len());
    let mut sections = sections.into_iter().peekable();
    while let Some(mut section) = sections.next() {
        if section.body.is_empty() {
            let is_above_next = sections.peek().is_some_and(|next| next.path.len() > section.path.len());
            let Some(heading) = section.path.pop().filter(|_| !is_above_next) else { continue };
            section.body.push((*heading.piece).clone());
        }
        kept.push(section);
    }
    kept
}

/// Sections that are packed together, under the headings they share.
#[derive(Debug)]
pub(super) struct Group {
    /// The headings above all of it.
    pub(super) path: Vec<Heading>,
    /// Its text, and in it the headings that are not shared.
    pub(super) pieces: Vec<Piece>,
}

/// Puts a small section together with its neighbour when one heading stands above both and one passage holds both.
pub(super) fn group_small(sections: Vec<Section>, rules: &Rules<'_>) -> Vec<Group> {
    let mut groups: Vec<Vec<Section>> = Vec::new();
    let mut tokens = 0;
    for section in sections {
        let section_tokens = section.tokens();
        let heading_tokens: usize = section.path.iter().map(|heading| heading.piece.tokens).sum();
        let joins = groups.last().is_some_and(|group| {
            let is_small = tokens < SMALL_TOKENS || section_tokens < SMALL_TOKENS;
            let fits = tokens + heading_tokens + section_tokens <= rules.target_tokens;
            let ends_here = tokens >= rules.enough_tokens() && section.path.last().is_some_and(|h| h.piece.is_anchor());
            is_small && fits && !ends_here && are_siblings(group, &section)
        });
        match groups.last_mut() {
            Some(group) if joins => {
                tokens += heading_tokens + section_tokens;
                group.push(section);
            }
            _ => {
                tokens = section_tokens;
                groups.push(vec![section]);
            }
        }
    }
    groups.into_iter().map(joined).collect()
}

/// True when all headings but the innermost are shared.
fn are_siblings(group: &[Section], section: &Section) -> bool {
    group.iter().all(|member| {
        let shared = shared_len(&member.path, &section.path);
        shared + 1 >= member.path.len().max(section.path.len())
    })
}

fn shared_len(a: &[Heading], b: &[Heading]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| Arc::ptr_eq(&a.piece, &b.piece)).count()
}

fn joined(group: Vec<Section>) -> Group {
    let first = &group[0].path;
    let shared = group.iter().map(|section| shared_len(first, &section.path)).min().unwrap_or(0);
    let path = first[..shared].to_vec();
    let mut pieces = Vec::new();
    let mut above: Vec<Heading> = path.clone();
    for section in group {
        // Headings whose full text is in the body anyway are not said twice.
        let said = shared_len(&above, &section.path);
        let new = section.path[said..].iter().filter(|heading| heading.short == heading.piece.text);
        pieces.extend(new.map(|heading| (*heading.piece).clone()));
        above.clone_from(&section.path);
        pieces.extend(section.body);
    }
    Group { path, pieces }
}
