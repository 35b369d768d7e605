//! The Markdown of a document as blocks of styled text, in reading order.
//!
//! Pure. Nothing is looked up: pictures are what is written in their place, HTML is text as it stands, and addresses are kept where the
//! Markdown leads to the web or to mail.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::export::is_kept;

/// Lists and quotations that a block is shown to be inside of, at most.
const INSETS_MAX: usize = 12;

/// Longest line that is shaped at once, in bytes: one that is longer is cut there, between words where there are some.
pub(super) const LINE_BYTES_MAX: usize = 10_000;

/// How a run of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "styles of a text, each for itself")]
pub(super) struct Style {
    pub(super) bold: bool,
    pub(super) italic: bool,
    pub(super) mono: bool,
    pub(super) struck: bool,
    /// Where it leads, by its place in [`Parsed::links`].
    pub(super) link: Option<u32>,
}

/// Text with its styles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rich {
    pub(super) text: String,
    /// The byte at which each style ends, in order; the last ends with the text.
    pub(super) spans: Vec<(usize, Style)>,
}

impl Rich {
    /// Text of one style.
    pub(super) fn of(text: &str, style: Style) -> Self {
        let mut rich = Self::default();
        rich.push(text, style);
        rich
    }

    /// Adds text. What cannot be shown goes, tabs are four spaces.
    pub(super) fn push(&mut self, text: &str, style: Style) {
        for c in text.chars() {
            match c {
                '\t' => self.text.push_str("    "),
                c if c.is_control() && c != '\n' => {}
                c => self.text.push(c),
            }
        }
        let end = self.text.len();
        match self.spans.last_mut() {
            Some((last, known)) if *known == style => *last = end,
            Some((last, _)) if *last == end => {}
            None if end == 0 => {}
            _ => self.spans.push((end, style)),
        }
    }

    /// Its lines.
    pub(super) fn lines(&self) -> Vec<Self> {
        let mut lines = vec![Self::default()];
        let mut start = 0;
        for (end, style) in &self.spans {
            for (at, piece) in self.text[start..*end].split('\n').enumerate() {
                if at > 0 {
                    lines.push(Self::default());
                }
                push_cut(&mut lines, piece, *style);
            }
            start = *end;
        }
        lines
    }

    /// The same in bold.
    pub(super) fn bold(mut self) -> Self {
        for (_, style) in &mut self.spans {
            style.bold = true;
        }
        self
    }
}

/// Adds text to the last line, and begins another one where that is full.
fn push_cut(lines: &mut Vec<Rich>, mut text: &str, style: Style) {
    loop {
        let Some(line) = lines.last_mut() else { return };
        let room = LINE_BYTES_MAX.saturating_sub(line.text.len());
        if text.len() <= room {
            return line.push(text, style);
        }
        let most = text.floor_char_boundary(room);
        let cut = text[..most].rfind(' ').map_or(most, |space| space + 1);
        line.push(&text[..cut], style);
        text = &text[cut..];
        lines.push(Rich::default());
    }
}

/// What a block stands inside of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inset {
    Item,
    Quote,
}

/// What a block is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A heading with its level, from 1.
    Heading(u8, Rich),
    Text(Rich),
    Code(Rich),
    /// Rows of cells; the first is the head.
    Table(Vec<Vec<Rich>>),
    Rule,
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Outermost first.
    pub(super) insets: Vec<Inset>,
    /// What stands before it, if it begins an item of a list.
    pub(super) marker: Option<String>,
    pub(super) content: Content,
}

/// All blocks, and where their links lead.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) blocks: Vec<Block>,
    pub(super) links: Vec<String>,
}

/// Reads Markdown.
pub(super) fn parse(markdown: &str) -> Parsed {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut reader = Reader::default();
    for event in Parser::new_ext(markdown, options) {
        reader.take(event);
    }
    reader.flush();
    reader.parsed
}

/// What has been read, and what is open.
#[derive(Default)]
struct Reader {
    parsed: Parsed,
    insets: Vec<Inset>,
    /// The next number of each list around here; none where items have no numbers.
    lists: Vec<Option<u64>>,
    marker: Option<String>,
    heading: Option<u8>,
    is_code: bool,
    text: Option<Rich>,
    rows: Vec<Vec<Rich>>,
    bold: usize,
    italic: usize,
    struck: usize,
    link: Option<u32>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Code(text) => self.push(&text, true),
            Event::Text(text)
            | Event::Html(text)
            | Event::InlineHtml(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text)
            | Event::FootnoteReference(text) => self.push(&text, false),
            Event::SoftBreak | Event::HardBreak => self.push("\n", false),
            Event::TaskListMarker(is_done) => self.marker = Some(if is_done { "☑" } else { "☐" }.to_owned()),
            Event::Rule => {
                self.flush();
                self.emit(Content::Rule);
            }
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Emphasis => self.italic += 1,
            Tag::Strong => self.bold += 1,
            Tag::Strikethrough => self.struck += 1,
            Tag::Link { dest_url, .. } => {
                self.link = is_kept(&dest_url).then(|| {
                    self.parsed.links.push(dest_url.trim().to_owned());
                    self.parsed.links.len() as u32 - 1
                });
            }
            Tag::Heading { level, .. } => {
                self.flush();
                self.heading = Some(level as u8);
            }
            Tag::BlockQuote(_) => {
                self.flush();
                self.insets.push(Inset::Quote);
            }
            Tag::CodeBlock(_) => {
                self.flush();
                self.is_code = true;
            }
            Tag::List(first) => {
                self.flush();
                self.show_marker();
                self.lists.push(first);
            }
            Tag::Item => {
                self.flush();
                self.insets.push(Inset::Item);
                self.marker = Some(match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}.", *number - 1)
                    }
                    _ => "•".to_owned(),
                });
            }
            Tag::TableHead | Tag::TableRow => self.rows.push(Vec::new()),
            Tag::TableCell => self.text = Some(Rich::default()),
            Tag::Paragraph | Tag::HtmlBlock | Tag::Table(_) => self.flush(),
            // A picture is what is written in its place; nothing else is switched on.
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Emphasis => self.italic = self.italic.saturating_sub(1),
            TagEnd::Strong => self.bold = self.bold.saturating_sub(1),
            TagEnd::Strikethrough => self.struck = self.struck.saturating_sub(1),
            TagEnd::Link => self.link = None,
            TagEnd::BlockQuote(_) => {
                self.flush();
                self.insets.pop();
            }
            TagEnd::List(_) => {
                self.flush();
                self.lists.pop();
            }
            TagEnd::Item => {
                self.flush();
                self.show_marker();
                self.insets.pop();
            }
            TagEnd::TableCell => {
                let cell = self.text.take().unwrap_or_default();
                self.rows.last_mut().expect("a cell stands in a row").push(cell);
            }
            TagEnd::Table => {
                let rows = std::mem::take(&mut self.rows);
                self.emit(Content::Table(rows));
            }
            TagEnd::CodeBlock => {
                let mut code = self.text.take().unwrap_or_default();
                if code.text.ends_with('\n') {
                    code.text.pop();
                    let end = code.text.len();
                    code.spans.iter_mut().for_each(|(of, _)| *of = end.min(*of));
                }
                self.is_code = false;
                self.emit(Content::Code(code));
            }
            TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::HtmlBlock => self.flush(),
            _ => {}
        }
    }

    fn push(&mut self, text: &str, is_mono: bool) {
        let style = Style {
            bold: self.bold > 0,
            italic: self.italic > 0,
            mono: is_mono || self.is_code,
            struck: self.struck > 0,
            link: self.link,
        };
        self.text.get_or_insert_default().push(text, style);
    }

    /// Ends the text that is open.
    fn flush(&mut self) {
        let heading = self.heading.take();
        let Some(text) = self.text.take().filter(|text| !text.text.trim().is_empty()) else { return };
        self.emit(match heading {
            Some(level) => Content::Heading(level, text),
            None => Content::Text(text),
        });
    }

    /// An item that has no text of its own is seen by its marker.
    fn show_marker(&mut self) {
        if self.marker.is_some() {
            self.emit(Content::Text(Rich::default()));
        }
    }

    fn emit(&mut self, content: Content) {
        let insets = self.insets.iter().copied().take(INSETS_MAX).collect();
        self.parsed.blocks.push(Block { insets, marker: self.marker.take(), content });
    }
}
