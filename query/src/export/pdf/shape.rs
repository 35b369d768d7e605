//! A line of text as glyphs with their widths: which font has each character, in which direction it is written, and how it joins its
//! neighbours.
//!
//! The line is one paragraph to the Unicode bidirectional algorithm; it is broken into lines of paper afterwards (`lines.rs`), so that a glyph
//! is made once. Characters of one font and direction that stand together are shaped together.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use harfrust::{Direction, Script, ShapeOptions, ShapePlan, UnicodeBuffer};
use krilla::text::{GlyphId, KrillaGlyph};
use unicode_bidi::{BidiInfo, Level};

use super::blocks::{Rich, Style};
use super::fonts::Faces;

/// Shapes lines. It remembers how, and counts what it could not.
pub(super) struct Shaper<'a> {
    faces: Faces<'a>,
    plans: HashMap<(usize, Direction, Script), ShapePlan>,
    /// Characters that no font has.
    pub(super) unshown: u64,
}

/// A line of text that was shaped.
pub(super) struct Shaped {
    pub(super) text: Rc<str>,
    /// Whether the line as a whole is written from right to left.
    pub(super) is_rtl: bool,
    /// In the order of the text.
    pub(super) items: Vec<Item>,
    /// In the order of the text.
    pub(super) clusters: Vec<Cluster>,
}

/// Text of one style, font and direction.
pub(super) struct Item {
    pub(super) range: Range<usize>,
    pub(super) face: usize,
    pub(super) style: Style,
    pub(super) level: Level,
    /// From left to right; they name bytes of the whole line. Widths are those at a size of 1.
    pub(super) glyphs: Vec<KrillaGlyph>,
}

/// Characters that cannot be torn apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cluster {
    /// Its first byte.
    pub(super) start: usize,
    /// Its width at a size of 1.
    pub(super) advance: f32,
}

impl<'a> Shaper<'a> {
    pub(super) fn new(faces: Faces<'a>) -> Self {
        Self { faces, plans: HashMap::new(), unshown: 0 }
    }

    /// Shapes a line, which holds no line break.
    pub(super) fn shape(&mut self, line: &Rich) -> Shaped {
        let text = line.text.as_str();
        let bidi = BidiInfo::new(text, None);
        let is_rtl = bidi.paragraphs.first().is_some_and(|paragraph| paragraph.level.is_rtl());
        let mut items = self.items(line, &bidi.levels);
        let mut clusters: Vec<Cluster> = Vec::new();
        for item in &mut items {
            item.glyphs = self.glyphs(text, item);
            let first = clusters.len();
            let of_item = item.glyphs.iter().map(|glyph| (glyph.text_range.start, glyph.x_advance));
            let mut of_item: Vec<(usize, f32)> = of_item.collect();
            of_item.sort_by_key(|(start, _)| *start);
            for (start, advance) in of_item {
                match clusters[first..].last_mut() {
                    Some(last) if last.start == start => last.advance += advance,
                    _ => clusters.push(Cluster { start, advance }),
                }
            }
        }
        Shaped { text: text.into(), is_rtl, items, clusters }
    }

    /// Cuts a line where style, font or direction change.
    fn items(&mut self, line: &Rich, levels: &[Level]) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        let mut spans = line.spans.iter();
        let mut span = spans.next();
        for (at, c) in line.text.char_indices() {
            while span.is_some_and(|(end, _)| *end <= at) {
                span = spans.next();
            }
            let style = span.map(|(_, style)| *style).unwrap_or_default();
            let level = levels.get(at).copied().unwrap_or_else(Level::ltr);
            let before = items.last().filter(|item| item.style == style).map(|item| item.face);
            let face = self.face_of(c, style, before);
            match items.last_mut() {
                Some(item) if item.style == style && item.face == face && item.level == level => {
                    item.range.end = at + c.len_utf8();
                }
                _ => items.push(Item { range: at..at + c.len_utf8(), face, style, level, glyphs: Vec::new() }),
            }
        }
        items
    }

    /// The font of a character. What only marks the one before it stays with it.
    fn face_of(&mut self, c: char, style: Style, before: Option<usize>) -> usize {
        if let Some(before) = before.filter(|_| is_unseen(c)) {
            return before;
        }
        let stays = before.filter(|&before| is_mark(c) && self.faces.has(before, c));
        stays.or_else(|| self.faces.find(c, style)).unwrap_or_else(|| {
            self.unshown += u64::from(!is_unseen(c));
            Faces::first_for(style)
        })
    }

    fn glyphs(&mut self, text: &str, item: &Item) -> Vec<KrillaGlyph> {
        let direction = if item.level.is_rtl() { Direction::RightToLeft } else { Direction::LeftToRight };
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(&text[item.range.clone()]);
        buffer.set_direction(direction);
        buffer.guess_segment_properties();
        let script = buffer.script();
        let shaper = self.faces.shaper(item.face);
        let plan = self.plans.entry((item.face, direction, script));
        let plan = plan.or_insert_with(|| ShapePlan::new(shaper, direction, Some(script), None, &[]));
        let shaped = shaper.shape(buffer, ShapeOptions::new().plan(Some(plan)));
        let infos = shaped.glyph_infos();
        let mut starts: Vec<usize> = infos.iter().map(|info| item.range.start + info.cluster as usize).collect();
        starts.sort_unstable();
        starts.dedup();
        let units = shaper.units_per_em() as f32;
        let glyphs = infos.iter().zip(shaped.glyph_positions()).map(|(info, position)| {
            let start = item.range.start + info.cluster as usize;
            let next = starts.partition_point(|other| *other <= start);
            let end = starts.get(next).copied().unwrap_or(item.range.end);
            let scaled = |units_of_it: i32| units_of_it as f32 / units;
            KrillaGlyph::new(
                GlyphId::new(info.glyph_id),
                scaled(position.x_advance),
                scaled(position.x_offset),
                scaled(position.y_offset),
                scaled(position.y_advance),
                start..end,
                None,
            )
        });
        glyphs.collect()
    }
}

/// Whether a character is nothing by itself that could be seen: joiners, selectors of variants, marks of direction.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a character is set upon the one before it, or stands between characters of whatever font.
fn is_mark(c: char) -> bool {
    c.is_whitespace() || matches!(unicode_bidi::bidi_class(c), unicode_bidi::BidiClass::NSM) || c.is_ascii_punctuation()
}
