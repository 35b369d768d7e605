//! Text on sheets: lines one below the other, a new sheet where one is full.
//!
//! Invariants: nothing stands outside the frame but the number of the sheet; there are never more sheets than allowed; time is looked at
//! with each sheet, and before each line of text is shaped, which are of a bounded length.

use krilla::metadata::Metadata;

use super::PdfError;
use super::blocks::{Rich, Style};
use super::fonts::Fonts;
use super::lines::{Line, Wrap, broken, pieces};
use super::paper::{Area, Ink, Paper, Run, Sheet};
use super::shape::{Shaped, Shaper};
use crate::deadline::Deadline;
use crate::export::config::ExportConfig;

/// Between the frame and the edges of the paper, in points.
const MARGIN: f32 = 56.0;
/// Height of capital letters, as a share of their size, for where a line stands in its height.
const CAPITALS: f32 = 0.73;
/// Size of the number of a sheet.
const NUMBER_SIZE: f32 = 8.0;
/// Thickness of lines.
pub(super) const THIN: f32 = 0.6;
/// Between a bar and what it stands before.
const BAR_WIDTH: f32 = 2.0;
/// Around code.
const SHADE_PADDING: f32 = 4.0;

pub(super) const BLACK: Ink = [0, 0, 0];
pub(super) const GREY: Ink = [96, 96, 96];
pub(super) const PALE: Ink = [200, 200, 200];
const SHADE: Ink = [245, 245, 245];
const BLUE: Ink = [11, 79, 158];

/// How text looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// In points.
    pub(super) size: f32,
    /// Height of a line, as a share of the size.
    pub(super) leading: f32,
    pub(super) ink: Ink,
    pub(super) wrap: Wrap,
    /// Whether it stands on a shade.
    pub(super) is_shaded: bool,
}

impl Look {
    /// Running text of a size.
    pub(super) fn of(size: f32) -> Self {
        Self { size, leading: 1.4, ink: BLACK, wrap: Wrap::Words, is_shaded: false }
    }

    pub(super) fn height(&self) -> f32 {
        self.size * self.leading
    }
}

/// Between which lines text stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Column {
    pub(super) left: f32,
    pub(super) right: f32,
    /// Where bars stand beside it.
    pub(super) bars: Vec<f32>,
}

impl Column {
    pub(super) fn width(&self) -> f32 {
        self.right - self.left
    }
}

/// A document that is being laid out.
pub(super) struct Layout<'a> {
    pub(super) shaper: Shaper<'a>,
    paper: Paper<'a>,
    sheet: Sheet,
    /// Where the next line stands.
    top: f32,
    links: &'a [String],
    sheets_max: usize,
    deadline: Deadline,
}

impl<'a> Layout<'a> {
    pub(super) fn new(fonts: &'a Fonts, links: &'a [String], config: &ExportConfig, deadline: Deadline) -> Self {
        Self {
            shaper: Shaper::new(fonts.faces()),
            paper: Paper::new(fonts, config.paper),
            sheet: Sheet::default(),
            top: MARGIN,
            links,
            sheets_max: config.sheets_max,
            deadline,
        }
    }

    /// The whole width of the frame.
    pub(super) fn frame(&self) -> Column {
        Column { left: MARGIN, right: self.paper.width() - MARGIN, bars: Vec::new() }
    }

    /// The whole height of the frame.
    pub(super) fn frame_height(&self) -> f32 {
        self.paper.height() - 2.0 * MARGIN
    }

    /// Makes sure that so much of the frame is left, or all of it: begins a sheet otherwise, and says so.
    pub(super) fn need(&mut self, height: f32) -> Result<bool, PdfError> {
        if self.top + height <= self.paper.height() - MARGIN || self.top <= MARGIN {
            return Ok(false);
        }
        if self.paper.written() + 1 >= self.sheets_max {
            return Err(PdfError::TooManySheets);
        }
        if self.deadline.has_passed() {
            return Err(PdfError::Late);
        }
        self.turn_over();
        Ok(true)
    }

    /// Leaves some room, but at the top of a sheet.
    pub(super) fn space(&mut self, height: f32) {
        if self.top > MARGIN {
            self.top += height;
        }
    }

    /// Goes down.
    pub(super) fn advance(&mut self, height: f32) {
        self.top += height;
    }

    /// Draws an area from here down.
    pub(super) fn area(&mut self, left: f32, width: f32, height: f32, ink: Ink) {
        self.sheet.areas.push((Area { left, top: self.top, width, height }, ink));
    }

    /// Notes a heading that stands here.
    pub(super) fn heading(&mut self, level: u8, text: &str) {
        self.paper.heading(level, text, self.top);
    }

    /// Shapes a line, if there is time.
    pub(super) fn shaped(&mut self, line: &Rich) -> Result<Shaped, PdfError> {
        if self.deadline.has_passed() {
            return Err(PdfError::Late);
        }
        Ok(self.shaper.shape(line))
    }

    /// Text, line by line.
    pub(super) fn text(&mut self, rich: &Rich, look: Look, column: &Column) -> Result<(), PdfError> {
        for line in rich.lines() {
            let shaped = self.shaped(&line)?;
            let padding = if look.is_shaded { SHADE_PADDING } else { 0.0 };
            let inner = Column { left: column.left + padding, right: column.right - padding, bars: Vec::new() };
            for line in broken(&shaped, look.wrap, inner.width() / look.size) {
                self.need(look.height())?;
                if look.is_shaded {
                    self.area(column.left, column.width(), look.height(), SHADE);
                }
                for bar in &column.bars {
                    self.area(*bar, BAR_WIDTH, look.height(), PALE);
                }
                self.line(&shaped, &line, look, &inner);
                self.advance(look.height());
            }
        }
        Ok(())
    }

    /// One line from here down; what is written from right to left stands at the right.
    pub(super) fn line(&mut self, shaped: &Shaped, line: &Line, look: Look, column: &Column) {
        let (links, mut left) = (self.links, column.left);
        if shaped.is_rtl {
            left = (column.right - line.width * look.size).max(column.left);
        }
        let baseline = self.top + f32::midpoint(look.height(), CAPITALS * look.size);
        for piece in pieces(shaped, &line.range) {
            let width = piece.width * look.size;
            let Style { italic, struck, link, .. } = piece.style;
            let area = Area { left, top: self.top, width, height: look.height() };
            let address = link.and_then(|link| links.get(link as usize));
            if let Some(address) = address {
                self.sheet.links.push((area, address.clone()));
            }
            if struck {
                let through = Area { top: baseline - look.size * 0.27, height: THIN, ..area };
                self.sheet.areas.push((through, look.ink));
            }
            self.sheet.runs.push(Run {
                left,
                baseline,
                size: look.size,
                face: piece.face,
                is_slanted: italic,
                ink: if address.is_some() { BLUE } else { look.ink },
                text: shaped.text.clone(),
                glyphs: piece.glyphs,
            });
            left += width;
        }
    }

    /// What stands before the first line of an item, from here down, right before a column.
    pub(super) fn marker(&mut self, marker: &str, look: Look, right: f32) {
        let shaped = self.shaper.shape(&Rich::of(marker, Style::default()));
        for line in broken(&shaped, Wrap::Words, f32::MAX) {
            let left = (right - line.width * look.size).max(MARGIN / 2.0);
            self.line(&shaped, &line, look, &Column { left, right, bars: Vec::new() });
        }
    }

    /// The file, and how many characters no font has.
    pub(super) fn finish(mut self, metadata: Metadata) -> Result<(Vec<u8>, u64), PdfError> {
        self.turn_over();
        Ok((self.paper.finish(metadata)?, self.shaper.unshown))
    }

    /// Writes the sheet with its number, and begins the next one.
    fn turn_over(&mut self) {
        let look = Look { ink: GREY, ..Look::of(NUMBER_SIZE) };
        self.top = self.paper.height() - MARGIN / 2.0 - look.height();
        let middle = self.paper.width() / 2.0;
        let shaped = self.shaper.shape(&Rich::of(&(self.paper.written() + 1).to_string(), Style::default()));
        for line in broken(&shaped, Wrap::Words, f32::MAX) {
            let left = middle - line.width * look.size / 2.0;
            self.line(&shaped, &line, look, &Column { left, right: middle, bars: Vec::new() });
        }
        self.paper.write(std::mem::take(&mut self.sheet));
        self.top = MARGIN;
    }
}
