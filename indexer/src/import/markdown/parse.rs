//! Markdown text to blocks. CommonMark with tables, task lists, footnotes, strikethrough, alerts and formulas.
//!
//! Nothing that a reader sees is lost: what has no block type of its own stays as text (directives between `:::`,
//! shortcodes), raw HTML becomes its text. Front matter is not read here. Blocks nest at most [`NESTING_MAX`] deep;
//! what is deeper becomes a sibling.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use schemas::block::{BlockContent, BlockType, RichText};

use super::html;
use super::inline::Inline;
use crate::import::desired::DesiredBlock;

/// Deepest nesting of blocks, the page itself counted.
pub const NESTING_MAX: usize = 32;
/// Longest address in bytes; longer ones (pictures written into the text) are left out.
pub const ADDRESS_BYTES_MAX: usize = 2048;
const LANGUAGE_CHARS_MAX: usize = 64;

/// Reads Markdown as blocks in reading order. `resolve` turns the address of a link or picture into what is stored.
pub fn parse(markdown: &str, resolve: &dyn Fn(&str) -> String) -> Vec<DesiredBlock> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_MATH
        | Options::ENABLE_GFM;
    let address = |raw: &str| stored_address(raw, resolve);
    let mut builder = Builder::new(&address);
    for event in Parser::new_ext(markdown, options) {
        builder.event(event);
    }
    builder.finish()
}

/// Reads HTML as blocks, flat: nesting of lists is lost.
pub fn parse_html(html: &str, resolve: &dyn Fn(&str) -> String) -> Vec<DesiredBlock> {
    html::blocks(html, &|raw| stored_address(raw, resolve))
}

fn stored_address(raw: &str, resolve: &dyn Fn(&str) -> String) -> Option<String> {
    address(raw).map(resolve).filter(|address| address.len() <= ADDRESS_BYTES_MAX)
}

/// Takes the title out of the blocks: the first heading of level 1, which then is no block of its own. With a title
/// from elsewhere, the heading that merely repeats it goes.
pub fn take_title(blocks: &mut Vec<DesiredBlock>, known: Option<&str>) -> Option<String> {
    let heading = |block: &DesiredBlock| matches!(block.content.kind, BlockType::Heading(_));
    let is_title = |block: &DesiredBlock| block.content.kind == BlockType::Heading(1);
    let at = match known {
        None => blocks.iter().position(is_title)?,
        Some(known) => {
            let at = blocks.iter().position(heading)?;
            let repeats = is_title(&blocks[at]) && blocks[at].content.plain_text().trim() == known.trim();
            if !repeats {
                return None;
            }
            at
        }
    };
    Some(blocks.remove(at).content.plain_text().replace('\n', " "))
}

/// An address that may be stored: not empty, not too long, and nothing that runs when it is opened.
fn address(raw: &str) -> Option<&str> {
    let raw = raw.trim();
    let scheme: String = raw
        .chars()
        .filter(|c| !c.is_whitespace() && !c.is_control())
        .take_while(|c| *c != ':')
        .take(12)
        .collect::<String>()
        .to_ascii_lowercase();
    let runs = matches!(scheme.as_str(), "javascript" | "vbscript" | "data");
    (!raw.is_empty() && raw.len() <= ADDRESS_BYTES_MAX && !runs).then_some(raw)
}

/// A block that later events add to.
struct Open {
    content: BlockContent,
    children: Vec<DesiredBlock>,
    /// Whether the next text is its own rather than a paragraph in it.
    takes_text: bool,
    /// Written before its text: the number of a footnote.
    prefix: String,
}

struct Image {
    url: Option<String>,
    alt: String,
    link: Option<String>,
}

struct Builder<'r> {
    address: &'r dyn Fn(&str) -> Option<String>,
    open: Vec<Open>,
    inline: Inline,
    /// True once the text now gathered has words that are not those of a picture.
    has_words: bool,
    images: Vec<Image>,
    image: Option<Image>,
    image_depth: usize,
    formula: Option<String>,
    /// Whether each open list is numbered.
    lists: Vec<bool>,
    code: Option<(Option<String>, String)>,
    html: Option<String>,
    hidden: Option<String>,
    table: Option<Vec<DesiredBlock>>,
    cells: Vec<Vec<RichText>>,
}

impl<'r> Builder<'r> {
    fn new(address: &'r dyn Fn(&str) -> Option<String>) -> Self {
        let root = Open {
            content: BlockContent::empty(BlockType::Paragraph),
            children: Vec::new(),
            takes_text: false,
            prefix: String::new(),
        };
        Self {
            address,
            open: vec![root],
            inline: Inline::default(),
            has_words: false,
            images: Vec::new(),
            image: None,
            image_depth: 0,
            formula: None,
            lists: Vec::new(),
            code: None,
            html: None,
            hidden: None,
            table: None,
            cells: Vec::new(),
        }
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text),
            Event::Code(text) if self.image.is_some() => self.text(&text),
            Event::Code(text) => {
                self.has_words = true;
                self.inline.push_code(&text);
            }
            Event::InlineMath(formula) => self.text(&format!("${formula}$")),
            Event::DisplayMath(formula) => {
                self.text(&format!("$${formula}$$"));
                self.formula = Some(formula.trim().to_owned());
            }
            Event::Html(text) => match &mut self.html {
                Some(html) => html.push_str(&text),
                None => self.inline_html(&text),
            },
            Event::InlineHtml(text) => self.inline_html(&text),
            Event::FootnoteReference(label) => self.text(&format!("[{label}]")),
            Event::SoftBreak => match &mut self.image {
                Some(image) => image.alt.push(' '),
                None => self.inline.soft_break(),
            },
            Event::HardBreak => self.inline.hard_break(),
            Event::Rule => {
                self.flush();
                self.add(BlockContent::empty(BlockType::Divider).into());
            }
            Event::TaskListMarker(done) => {
                if let Some(item) = self.open.last_mut() {
                    item.content.kind = BlockType::ToDo;
                    item.content.checked = Some(done);
                }
            }
        }
    }

    fn text(&mut self, text: &str) {
        if let Some((_, code)) = &mut self.code {
            code.push_str(text);
        } else if let Some(image) = &mut self.image {
            image.alt.push_str(text);
        } else if self.hidden.is_none() {
            self.has_words |= !text.trim().is_empty();
            self.inline.push(text);
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::Heading { .. } => self.flush(),
            Tag::BlockQuote(alert) => {
                self.open(if alert.is_some() { BlockType::Callout } else { BlockType::Quote }, String::new());
            }
            Tag::CodeBlock(kind) => {
                self.flush();
                let language = match kind {
                    CodeBlockKind::Fenced(info) => language(&info),
                    CodeBlockKind::Indented => None,
                };
                self.code = Some((language, String::new()));
            }
            Tag::HtmlBlock => {
                self.flush();
                self.html = Some(String::new());
            }
            Tag::List(first) => {
                self.flush();
                self.lists.push(first.is_some());
            }
            Tag::Item => {
                let numbered = self.lists.last() == Some(&true);
                let kind = if numbered { BlockType::NumberedListItem } else { BlockType::BulletedListItem };
                self.open(kind, String::new());
            }
            Tag::FootnoteDefinition(label) => self.open(BlockType::Paragraph, format!("[{label}] ")),
            Tag::Table(_) => {
                self.flush();
                self.table = Some(Vec::new());
            }
            Tag::Emphasis => self.inline.italic += 1,
            Tag::Strong => self.inline.bold += 1,
            Tag::Strikethrough => self.inline.strikethrough += 1,
            Tag::Link { dest_url, link_type, .. } => {
                let email = matches!(link_type, pulldown_cmark::LinkType::Email);
                let url = if email { format!("mailto:{dest_url}") } else { dest_url.into_string() };
                self.inline.open_link((self.address)(&url));
            }
            Tag::Image { dest_url, .. } => {
                self.image_depth += 1;
                if self.image.is_none() {
                    let link = self.inline.link().map(str::to_owned);
                    self.image = Some(Image { url: (self.address)(&dest_url), alt: String::new(), link });
                }
            }
            Tag::TableHead
            | Tag::TableRow
            | Tag::TableCell
            | Tag::DefinitionList
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition
            | Tag::Superscript
            | Tag::Subscript
            | Tag::MetadataBlock(_) => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph => self.flush(),
            TagEnd::Heading(level) => {
                let level = match level {
                    HeadingLevel::H1 => 1,
                    HeadingLevel::H2 => 2,
                    _ => 3,
                };
                let rich_text = self.take_text();
                if !rich_text.is_empty() {
                    self.add(BlockContent { rich_text, ..BlockContent::empty(BlockType::Heading(level)) }.into());
                }
            }
            TagEnd::CodeBlock => {
                let Some((language, code)) = self.code.take() else { return };
                let code = code.trim_end();
                if !code.is_empty() {
                    let block = BlockContent { language, ..BlockContent::text(BlockType::Code, code) };
                    self.add(block.into());
                }
            }
            TagEnd::HtmlBlock => {
                let html = self.html.take().unwrap_or_default();
                for block in html::blocks(&html, self.address) {
                    self.add(block);
                }
            }
            TagEnd::List(_) => {
                self.flush();
                self.lists.pop();
            }
            TagEnd::BlockQuote(_) | TagEnd::Item | TagEnd::FootnoteDefinition => self.close(),
            TagEnd::TableCell => {
                let cell = self.take_text();
                self.cells.push(cell);
            }
            TagEnd::TableHead | TagEnd::TableRow => {
                let cells = std::mem::take(&mut self.cells);
                if let (Some(rows), true) = (&mut self.table, cells.iter().any(|cell| !cell.is_empty())) {
                    rows.push(BlockContent { cells, ..BlockContent::empty(BlockType::TableRow) }.into());
                }
            }
            TagEnd::Table => {
                if let Some(children) = self.table.take().filter(|rows| !rows.is_empty()) {
                    self.add(DesiredBlock { content: BlockContent::empty(BlockType::Table), children });
                }
            }
            TagEnd::Emphasis => self.inline.italic = self.inline.italic.saturating_sub(1),
            TagEnd::Strong => self.inline.bold = self.inline.bold.saturating_sub(1),
            TagEnd::Strikethrough => self.inline.strikethrough = self.inline.strikethrough.saturating_sub(1),
            TagEnd::Link => self.inline.close_link(),
            TagEnd::Image => self.end_image(),
            TagEnd::DefinitionList
            | TagEnd::DefinitionListTitle
            | TagEnd::DefinitionListDefinition
            | TagEnd::Superscript
            | TagEnd::Subscript
            | TagEnd::MetadataBlock(_) => {}
        }
    }

    fn end_image(&mut self) {
        self.image_depth = self.image_depth.saturating_sub(1);
        if self.image_depth > 0 {
            return;
        }
        if let Some(image) = self.image.take() {
            self.inline.push(&image.alt);
            self.images.push(image);
        }
    }

    fn inline_html(&mut self, html: &str) {
        if self.code.is_some() || self.image.is_some() {
            return;
        }
        for token in html::Tokens::new(html) {
            match token {
                html::Token::Close(name) if self.hidden.as_ref() == Some(&name) => self.hidden = None,
                _ if self.hidden.is_some() => {}
                html::Token::Open(name, attributes) => match name.as_str() {
                    "br" => self.inline.hard_break(),
                    "a" => {
                        let href = html::attribute(attributes, "href").and_then(|href| (self.address)(&href));
                        self.inline.open_link(href);
                    }
                    "img" => {
                        let alt = html::attribute(attributes, "alt").unwrap_or_default();
                        let url = html::attribute(attributes, "src").and_then(|url| (self.address)(&url));
                        let link = self.inline.link().map(str::to_owned);
                        self.inline.push(&alt);
                        self.images.push(Image { url, alt, link });
                    }
                    _ if html::is_hidden(&name) && !attributes.ends_with('/') => self.hidden = Some(name),
                    _ => {}
                },
                html::Token::Close(name) if name == "a" => self.inline.close_link(),
                html::Token::Close(_) => {}
                html::Token::Text(text) => self.text(text),
            }
        }
    }

    /// Takes the text of a heading or cell.
    fn take_text(&mut self) -> Vec<RichText> {
        self.has_words = false;
        self.hidden = None;
        self.images.clear();
        self.formula = None;
        self.inline.reset_links();
        self.inline.take()
    }

    /// Ends the running text: it becomes that of the open block, or a paragraph in it. A paragraph of nothing but
    /// pictures becomes pictures, one of nothing but a formula becomes a formula.
    fn flush(&mut self) {
        let only_images = !self.has_words && !self.images.is_empty();
        let images = std::mem::take(&mut self.images);
        let formula = self.formula.take();
        let mut rich_text = self.take_text();
        if only_images {
            for image in images {
                let caption = RichText { href: image.link, ..RichText::plain(image.alt.trim()) };
                let caption = if caption.plain_text.is_empty() { Vec::new() } else { vec![caption] };
                if image.url.is_some() || !caption.is_empty() {
                    let block = BlockContent { url: image.url, caption, ..BlockContent::empty(BlockType::Image) };
                    self.add(block.into());
                }
            }
            return;
        }
        if rich_text.is_empty() {
            return;
        }
        let alone = |formula: &String| {
            rich_text.len() == 1
                && rich_text[0].plain_text.strip_prefix("$$").and_then(|text| text.strip_suffix("$$")).map(str::trim)
                    == Some(formula)
        };
        if let Some(expression) = formula.filter(|formula| !formula.is_empty() && alone(formula)) {
            let block = BlockContent { expression: Some(expression), ..BlockContent::empty(BlockType::Equation) };
            self.add(block.into());
            return;
        }
        let deep = self.open.len() > NESTING_MAX;
        let top = self.open.last_mut().expect("the page itself is never closed");
        if std::mem::take(&mut top.takes_text) {
            if !top.prefix.is_empty() {
                rich_text.insert(0, RichText::plain(std::mem::take(&mut top.prefix)));
            }
            if deep {
                let content = BlockContent { rich_text, ..top.content.clone() };
                self.add(content.into());
            } else {
                top.content.rich_text = rich_text;
            }
        } else {
            self.add(BlockContent { rich_text, ..BlockContent::empty(BlockType::Paragraph) }.into());
        }
    }

    fn open(&mut self, kind: BlockType, prefix: String) {
        self.flush();
        self.open.push(Open { content: BlockContent::empty(kind), children: Vec::new(), takes_text: true, prefix });
    }

    fn close(&mut self) {
        self.flush();
        if self.open.len() == 1 {
            return;
        }
        let Some(closed) = self.open.pop() else { return };
        let block = DesiredBlock { content: closed.content, children: closed.children };
        if !block.content.rich_text.is_empty() || !block.children.is_empty() {
            self.add(block);
        }
    }

    /// Puts a finished block into the innermost open block that is not too deep.
    fn add(&mut self, block: DesiredBlock) {
        let at = self.open.len().min(NESTING_MAX) - 1;
        let parent = &mut self.open[at];
        // Text that follows a block inside an item is not the item's own any more.
        parent.takes_text = false;
        parent.children.push(block);
    }

    fn finish(mut self) -> Vec<DesiredBlock> {
        self.flush();
        while self.open.len() > 1 {
            self.close();
        }
        self.open.pop().map(|page| page.children).unwrap_or_default()
    }
}

fn language(info: &str) -> Option<String> {
    let end = info.find(|c: char| c.is_whitespace() || matches!(c, '{' | ',' | ':')).unwrap_or(info.len());
    let language: String = info[..end].trim_start_matches('.').chars().take(LANGUAGE_CHARS_MAX).collect();
    (!language.is_empty()).then_some(language)
}

#[cfg(test)]
mod tests;
