//! Sheets of paper on their way into the file: each is written when it is full, so that no more than one is held.

use std::rc::Rc;

use krilla::action::{Action, LinkAction};
use krilla::annotation::{Annotation, LinkAnnotation, Target};
use krilla::color::rgb;
use krilla::destination::XyzDestination;
use krilla::error::KrillaError;
use krilla::geom::{PathBuilder, Point, Rect, Size, Transform};
use krilla::metadata::Metadata;
use krilla::outline::{Outline, OutlineNode};
use krilla::page::PageSettings;
use krilla::paint::Fill;
use krilla::text::{Font, KrillaGlyph};
use krilla::{Document, SerializeSettings};

use super::PdfError;
use super::fonts::Fonts;
use crate::export::config::Paper as Format;

/// How far the tops of slanted letters lean over, for each unit of height.
const SLANT: f32 = 0.2;

/// Red, green and blue.
pub(super) type Ink = [u8; 3];

/// What is on a sheet. Lengths are points; the origin is the upper left corner.
#[derive(Default)]
pub(super) struct Sheet {
    /// Areas, drawn first.
    pub(super) areas: Vec<(Area, Ink)>,
    pub(super) runs: Vec<Run>,
    /// Areas that lead somewhere.
    pub(super) links: Vec<(Area, String)>,
}

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) left: f32,
    pub(super) top: f32,
    pub(super) width: f32,
    pub(super) height: f32,
}

/// Glyphs of one font that stand side by side.
pub(super) struct Run {
    pub(super) left: f32,
    pub(super) baseline: f32,
    pub(super) size: f32,
    pub(super) face: usize,
    pub(super) is_slanted: bool,
    pub(super) ink: Ink,
    /// What the glyphs name bytes of.
    pub(super) text: Rc<str>,
    pub(super) glyphs: Vec<KrillaGlyph>,
}

/// A heading, for the list of contents that readers show beside the document.
struct Entry {
    level: u8,
    text: String,
    sheet: usize,
    top: f32,
}

/// The sheets that were written.
pub(super) struct Paper<'a> {
    document: Document,
    fonts: &'a Fonts,
    opened: Vec<Option<Font>>,
    size: Size,
    written: usize,
    entries: Vec<Entry>,
}

impl<'a> Paper<'a> {
    pub(super) fn new(fonts: &'a Fonts, format: Format) -> Self {
        let (width, height) = match format {
            Format::A4 => (595.0, 842.0),
            Format::Letter => (612.0, 792.0),
        };
        let settings = SerializeSettings { enable_tagging: false, ..SerializeSettings::default() };
        Self {
            document: Document::new_with(settings),
            fonts,
            opened: Vec::new(),
            size: Size::from_wh(width, height).expect("paper has a size"),
            written: 0,
            entries: Vec::new(),
        }
    }

    pub(super) fn width(&self) -> f32 {
        self.size.width()
    }

    pub(super) fn height(&self) -> f32 {
        self.size.height()
    }

    /// How many sheets were written.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// Notes that a heading stands on the sheet that is written next.
    pub(super) fn heading(&mut self, level: u8, text: &str, top: f32) {
        self.entries.push(Entry { level, text: text.to_owned(), sheet: self.written, top });
    }

    /// Writes a sheet.
    pub(super) fn write(&mut self, sheet: Sheet) {
        for run in &sheet.runs {
            if self.opened.len() <= run.face {
                self.opened.resize(run.face + 1, None);
            }
            self.opened[run.face].get_or_insert_with(|| self.fonts.embeddable(run.face));
        }
        let mut page = self.document.start_page_with(PageSettings::new(self.size));
        let mut surface = page.surface();
        for (area, ink) in sheet.areas {
            let mut path = PathBuilder::new();
            let Some(rect) = area.rect() else { continue };
            path.push_rect(rect);
            let Some(path) = path.finish() else { continue };
            surface.set_fill(Some(fill(ink)));
            surface.draw_path(&path);
        }
        for run in sheet.runs {
            let Some(font) = self.opened[run.face].clone() else { continue };
            surface.set_fill(Some(fill(run.ink)));
            if run.is_slanted {
                surface.push_transform(&Transform::from_row(1.0, 0.0, -SLANT, 1.0, SLANT * run.baseline, 0.0));
            }
            let start = Point::from_xy(run.left, run.baseline);
            surface.draw_glyphs(start, &run.glyphs, font, &run.text, run.size, false);
            if run.is_slanted {
                surface.pop();
            }
        }
        surface.finish();
        for (area, address) in sheet.links {
            let Some(rect) = area.rect() else { continue };
            let target = Target::Action(Action::Link(LinkAction::new(ascii(&address))));
            page.add_annotation(Annotation::new_link(LinkAnnotation::new(rect, target), None));
        }
        page.finish();
        self.written += 1;
    }

    /// The file.
    pub(super) fn finish(mut self, metadata: Metadata) -> Result<Vec<u8>, PdfError> {
        self.document.set_outline(outline(&self.entries));
        self.document.set_metadata(metadata);
        self.document.finish().map_err(|error| match error {
            KrillaError::Font(_, reason) => PdfError::Font(reason),
            error => PdfError::Writing(error.to_string()),
        })
    }
}

impl Area {
    fn rect(self) -> Option<Rect> {
        Rect::from_xywh(self.left, self.top, self.width, self.height)
    }
}

fn fill([red, green, blue]: Ink) -> Fill {
    Fill { paint: rgb::Color::new(red, green, blue).into(), ..Fill::default() }
}

/// Headings below those of a lower level before them.
fn outline(entries: &[Entry]) -> Outline {
    let mut outline = Outline::new();
    // The headings that are open, outermost first.
    let mut open: Vec<(u8, OutlineNode)> = Vec::new();
    let mut close = |open: &mut Vec<(u8, OutlineNode)>| {
        let Some((_, node)) = open.pop() else { return };
        match open.last_mut() {
            Some((_, parent)) => parent.push_child(node),
            None => outline.push_child(node),
        }
    };
    for entry in entries {
        while open.last().is_some_and(|(level, _)| *level >= entry.level) {
            close(&mut open);
        }
        let place = XyzDestination::new(entry.sheet, Point::from_xy(0.0, entry.top));
        open.push((entry.level, OutlineNode::new(entry.text.clone(), place).with_open(true)));
    }
    while !open.is_empty() {
        close(&mut open);
    }
    outline
}

/// An address in the letters that one may have.
fn ascii(address: &str) -> String {
    let escaped = address.bytes().map(|byte| match byte {
        b'!'..=b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    escaped.collect()
}
