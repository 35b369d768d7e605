//! Lines of paper: where a line of text is broken, and in which order its pieces stand on each.

use std::ops::Range;

use krilla::text::KrillaGlyph;
use unicode_bidi::BidiInfo;
use unicode_linebreak::linebreaks;

use super::blocks::Style;
use super::shape::Shaped;

/// Where a line may be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrap {
    /// Between words (UAX 14), and within one that is longer than a line.
    Words,
    /// Anywhere: code.
    Anywhere,
}

/// A line of paper: some bytes of the text, without the white space at their end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) range: Range<usize>,
    /// At a size of 1.
    pub(super) width: f32,
}

/// Breaks a line of text into lines of at most this width at a size of 1; a character that is wider stands alone. There is one line at least.
pub(super) fn broken(shaped: &Shaped, wrap: Wrap, width_max: f32) -> Vec<Line> {
    let (text, clusters) = (&*shaped.text, &shaped.clusters);
    let allowed: Vec<usize> = match wrap {
        Wrap::Words => linebreaks(text).map(|(at, _)| at).collect(),
        Wrap::Anywhere => Vec::new(),
    };
    let may_break = |at: usize| wrap == Wrap::Anywhere || allowed.binary_search(&at).is_ok();
    let is_space = |at: usize| {
        let end = clusters.get(at + 1).map_or(text.len(), |next| next.start);
        text[clusters[at].start..end].trim().is_empty()
    };
    let mut lines = Vec::new();
    let (mut first, mut at, mut last_allowed, mut width) = (0, 0, None, 0.0_f32);
    while let Some(cluster) = clusters.get(at) {
        if at > first && may_break(cluster.start) {
            last_allowed = Some(at);
        }
        if at > first && width + cluster.advance > width_max && !is_space(at) {
            let end = last_allowed.unwrap_or(at);
            lines.push(line(shaped, first..end));
            (first, at, last_allowed, width) = (end, end, None, 0.0);
            continue;
        }
        width += cluster.advance;
        at += 1;
    }
    if first < clusters.len() || lines.is_empty() {
        lines.push(line(shaped, first..clusters.len()));
    }
    lines
}

/// A line of these clusters.
fn line(shaped: &Shaped, clusters: Range<usize>) -> Line {
    let start_of = |at: usize| shaped.clusters.get(at).map_or(shaped.text.len(), |cluster| cluster.start);
    let start = start_of(clusters.start);
    let end = start + shaped.text[start..start_of(clusters.end)].trim_end().len();
    let shown = shaped.clusters[clusters].iter().filter(|cluster| cluster.start < end);
    Line { range: start..end, width: shown.map(|cluster| cluster.advance).sum() }
}

/// Glyphs of one font and style that stand side by side on a line.
pub(super) struct Piece {
    pub(super) face: usize,
    pub(super) style: Style,
    pub(super) glyphs: Vec<KrillaGlyph>,
    /// Their width at a size of 1.
    pub(super) width: f32,
}

/// The pieces of a line, from left to right.
pub(super) fn pieces(shaped: &Shaped, range: &Range<usize>) -> Vec<Piece> {
    let first = shaped.items.partition_point(|item| item.range.end <= range.start);
    let items = &shaped.items[first..];
    let items = &items[..items.partition_point(|item| item.range.start < range.end)];
    let levels: Vec<_> = items.iter().map(|item| item.level).collect();
    let piece = |at: usize| {
        let item = &items[at];
        let glyphs = &item.glyphs;
        // Their places in the text rise, or fall where they are written from right to left.
        let (from, to) = if item.level.is_rtl() {
            (
                glyphs.partition_point(|glyph| glyph.text_range.start >= range.end),
                glyphs.partition_point(|glyph| glyph.text_range.start >= range.start),
            )
        } else {
            (
                glyphs.partition_point(|glyph| glyph.text_range.start < range.start),
                glyphs.partition_point(|glyph| glyph.text_range.start < range.end),
            )
        };
        let glyphs = glyphs[from..to.max(from)].to_vec();
        let width = glyphs.iter().map(|glyph| glyph.x_advance).sum();
        Piece { face: item.face, style: item.style, glyphs, width }
    };
    BidiInfo::reorder_visual(&levels).into_iter().map(piece).filter(|piece| !piece.glyphs.is_empty()).collect()
}
