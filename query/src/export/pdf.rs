//! Documents as PDF.
//!
//! ```text
//! document ─> blocks ─> glyphs ─> lines ─> sheets ─> file
//! ```
//!
//! Pure but for a look at the clock: it is given the [`Document`] that Markdown is made of, and nothing else, so that nothing can stand in the
//! one that does not stand in the other. Equal documents give equal bytes. Bounded by sheets, bytes and time.

mod blocks;
mod fonts;
mod layout;
mod lines;
mod paper;
mod shape;
mod table;

use index::analysis::{Language, detect_language};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use krilla::metadata::{DateTime, Metadata};
use thiserror::Error;

use super::Document;
use super::config::ExportConfig;
use crate::deadline::Deadline;
use blocks::{Block, Content, Inset, Rich, Style, parse};
pub(crate) use fonts::Fonts;
use layout::{Column, GREY, Layout, Look, PALE, THIN};
use lines::Wrap;

/// Sizes of text, in points.
const TITLE_SIZE: f32 = 20.0;
const HEADING_SIZES: [f32; 6] = [18.0, 16.0, 14.0, 12.0, 11.0, 10.5];
const TEXT_SIZE: f32 = 10.5;
const SMALL_SIZE: f32 = 9.0;
/// How far an item or a quotation stands in.
const INSET_WIDTH: f32 = 18.0;
/// Least width of what stands in, as a share of the frame.
const WIDTH_SHARE_MIN: f32 = 0.4;

/// A document in PDF.
pub(crate) struct Drawn {
    pub(crate) bytes: Vec<u8>,
    /// Characters that no font has: boxes stand in their places.
    pub(crate) unshown: u64,
}

/// Why a document was not drawn.
#[derive(Debug, Error)]
pub(crate) enum PdfError {
    /// It would have more sheets than allowed.
    #[error("the document has too many sheets")]
    TooManySheets,
    /// It would have more bytes than allowed.
    #[error("the document has too many bytes")]
    TooManyBytes,
    /// The time was over.
    #[error("the document was not laid out in time")]
    Late,
    /// A font cannot be embedded.
    #[error("a font cannot be embedded: {0}")]
    Font(String),
    /// It cannot be written.
    #[error("the document cannot be written: {0}")]
    Writing(String),
}

/// Draws a document. Where a font of the operator cannot be embedded, by those of the binary alone. Blocks.
pub(crate) fn draw(
    document: &Document,
    fonts: &Fonts,
    config: &ExportConfig,
    deadline: Deadline,
) -> Result<Drawn, PdfError> {
    match draw_with(document, fonts, config, deadline) {
        Err(PdfError::Font(reason)) if fonts.has_more() => {
            tracing::error!(reason, "a font of `query.export.fonts` cannot be embedded, and is left out");
            draw_with(document, &fonts.carried(), config, deadline)
        }
        drawn => drawn,
    }
}

fn draw_with(document: &Document, fonts: &Fonts, config: &ExportConfig, deadline: Deadline) -> Result<Drawn, PdfError> {
    let parsed = parse(&document.body);
    let mut layout = Layout::new(fonts, &parsed.links, config, deadline);
    front(document, &mut layout)?;
    for block in &parsed.blocks {
        draw_block(block, &mut layout)?;
    }
    let (bytes, unshown) = layout.finish(metadata(document))?;
    if bytes.len() > config.bytes_max {
        return Err(PdfError::TooManyBytes);
    }
    Ok(Drawn { bytes, unshown })
}

/// The title, what is known of the document, and its properties.
fn front(document: &Document, layout: &mut Layout<'_>) -> Result<(), PdfError> {
    let frame = layout.frame();
    layout.text(&Rich::of(&document.title, Style::default()).bold(), Look::of(TITLE_SIZE), &frame)?;
    let small = Look { ink: GREY, ..Look::of(SMALL_SIZE) };
    for line in &document.about {
        layout.text(&Rich::of(line, Style::default()), small, &frame)?;
    }
    layout.space(TEXT_SIZE / 2.0);
    for (name, value) in &document.properties {
        let mut line = Rich::of(&format!("{name}: "), Style { bold: true, ..Style::default() });
        line.push(value, Style::default());
        layout.text(&line, Look::of(SMALL_SIZE), &frame)?;
    }
    Ok(())
}

fn draw_block(block: &Block, layout: &mut Layout<'_>) -> Result<(), PdfError> {
    let column = column(&block.insets, &layout.frame());
    let look = look(&block.content);
    let is_item = block.insets.contains(&Inset::Item);
    layout.space(if is_item { TEXT_SIZE * 0.25 } else { TEXT_SIZE * 0.6 });
    if let Some(marker) = &block.marker {
        layout.need(look.height())?;
        let of_item = block.insets.iter().rposition(|inset| *inset == Inset::Item).map_or(0, |at| at + 1);
        let right = self::column(&block.insets[..of_item], &layout.frame()).left - INSET_WIDTH * 0.25;
        layout.marker(marker, Look::of(TEXT_SIZE), right);
    }
    match &block.content {
        Content::Heading(level, text) => {
            layout.space(TEXT_SIZE * 0.4);
            // No heading is the last line of a sheet.
            layout.need(look.height() + 3.0 * TEXT_SIZE)?;
            layout.heading(*level, &text.text);
            layout.text(&text.clone().bold(), look, &column)
        }
        Content::Text(text) | Content::Code(text) => layout.text(text, look, &column),
        Content::Table(rows) => layout.table(rows, look, &column),
        Content::Rule => {
            layout.need(look.height())?;
            layout.advance(look.height() / 2.0);
            layout.area(column.left, column.width(), THIN, PALE);
            layout.advance(look.height() / 2.0);
            Ok(())
        }
    }
}

/// How a block looks.
fn look(content: &Content) -> Look {
    match content {
        Content::Heading(level, _) => {
            let at = usize::from(level.saturating_sub(1)).min(HEADING_SIZES.len() - 1);
            Look { leading: 1.3, ..Look::of(HEADING_SIZES[at]) }
        }
        Content::Code(_) => Look { wrap: Wrap::Anywhere, is_shaded: true, ..Look::of(SMALL_SIZE) },
        Content::Table(_) => Look { leading: 1.3, ..Look::of(SMALL_SIZE) },
        Content::Text(_) | Content::Rule => Look::of(TEXT_SIZE),
    }
}

/// Where a block stands inside of lists and quotations.
fn column(insets: &[Inset], frame: &Column) -> Column {
    let mut column = frame.clone();
    for inset in insets {
        if *inset == Inset::Quote {
            column.bars.push(column.left + INSET_WIDTH / 4.0);
        }
        column.left = (column.left + INSET_WIDTH).min(frame.right - WIDTH_SHARE_MIN * frame.width());
    }
    column
}

fn metadata(document: &Document) -> Metadata {
    let title: String = document.title.split_whitespace().collect::<Vec<_>>().join(" ");
    let title: String = title.chars().filter(|c| !c.is_control()).collect();
    let mut metadata = Metadata::new().title(title).creator("Tessera".to_owned());
    let language = detect_language(&document.body, Language::Other);
    if language != Language::Other {
        metadata = metadata.language(language.tag().to_owned());
    }
    match document.date {
        Some(date) => metadata.creation_date(moment(date)),
        None => metadata,
    }
}

fn moment(at: Timestamp) -> DateTime {
    let at = at.to_zoned(TimeZone::UTC);
    DateTime::new(at.year().max(0) as u16)
        .month(at.month() as u8)
        .day(at.day() as u8)
        .hour(at.hour() as u8)
        .minute(at.minute() as u8)
        .second(at.second() as u8)
        .utc_offset_hour(0)
}

#[cfg(test)]
mod tests;
