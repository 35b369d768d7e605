//! Raw HTML reduced to blocks and text. Not an HTML parser: it reads tags one after another, forgives everything, and
//! drops what no reader sees (scripts, styles, comments). Linear in its input.

use schemas::block::{BlockContent, BlockType, RichText};

use super::inline::Inline;
use crate::import::desired::DesiredBlock;

/// One piece of HTML.
pub(super) enum Token<'a> {
    /// Text between tags, entities not decoded.
    Text(&'a str),
    /// `<name attributes>`; the name in lower case.
    Open(String, &'a str),
    /// `</name>`.
    Close(String),
}

/// Cuts HTML into tags and text; comments and declarations are left out.
pub(super) struct Tokens<'a> {
    rest: &'a str,
    /// Set once a quote was never closed: from there on quotes mean nothing.
    unquoted: bool,
    /// Whether a `>` can still come, to look for it in vain only once.
    closable: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(html: &'a str) -> Self {
        Self { rest: html, unquoted: false, closable: true }
    }

    fn tag_end(&mut self) -> Option<usize> {
        if !self.closable {
            return None;
        }
        if !self.unquoted {
            let mut quote = None;
            for (at, byte) in self.rest.bytes().enumerate() {
                match (quote, byte) {
                    (None, b'>') => return Some(at),
                    (None, b'"' | b'\'') if at > 0 && self.rest.as_bytes()[at - 1] == b'=' => quote = Some(byte),
                    (Some(open), byte) if open == byte => quote = None,
                    _ => {}
                }
            }
            self.unquoted = true;
        }
        let end = self.rest.find('>');
        self.closable = end.is_some();
        end
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            if let Some(after) = self.rest.strip_prefix("<!--") {
                self.rest = after.find("-->").map_or("", |end| &after[end + 3..]);
                continue;
            }
            let mark = self.rest.as_bytes();
            let is_tag = mark[0] == b'<'
                && mark.get(1).is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, b'/' | b'!' | b'?'));
            if is_tag && let Some(end) = self.tag_end() {
                let tag = &self.rest[1..end];
                self.rest = &self.rest[end + 1..];
                if tag.starts_with(['!', '?']) {
                    continue;
                }
                let (tag, closes) = tag.strip_prefix('/').map_or((tag, false), |tag| (tag, true));
                let name_end = tag.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(tag.len());
                let name = tag[..name_end].to_ascii_lowercase();
                return Some(if closes { Token::Close(name) } else { Token::Open(name, &tag[name_end..]) });
            }
            let first = self.rest.chars().next().map_or(1, char::len_utf8);
            let end = self.rest[first..].find('<').map_or(self.rest.len(), |end| end + first);
            let (text, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Some(Token::Text(text));
        }
    }
}

/// The value of an attribute, entities decoded.
pub(super) fn attribute(attributes: &str, name: &str) -> Option<String> {
    let mut rest = attributes;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        let name_end = rest.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(rest.len());
        if rest.is_empty() {
            return None;
        }
        let found = rest[..name_end].eq_ignore_ascii_case(name);
        rest = rest[name_end..].trim_start();
        let Some(value) = rest.strip_prefix('=') else {
            if name_end == 0 {
                return None;
            }
            continue;
        };
        let value = value.trim_start();
        let (value, after) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            _ => value.split_at(value.find(char::is_whitespace).unwrap_or(value.len())),
        };
        if found {
            return Some(decode(value));
        }
        rest = after;
    }
}

/// Decodes the entities that authors use by hand; unknown ones stay as they are.
pub(super) fn decode(text: &str) -> String {
    const NAMED: &[(&str, &str)] = &[
        ("amp", "&"),
        ("lt", "<"),
        ("gt", ">"),
        ("quot", "\""),
        ("apos", "'"),
        ("nbsp", " "),
        ("ndash", "–"),
        ("mdash", "—"),
        ("hellip", "…"),
        ("lsquo", "‘"),
        ("rsquo", "’"),
        ("ldquo", "“"),
        ("rdquo", "”"),
        ("copy", "©"),
        ("reg", "®"),
        ("trade", "™"),
        ("times", "×"),
        ("deg", "°"),
        ("euro", "€"),
        ("rarr", "→"),
        ("larr", "←"),
        ("bull", "•"),
        ("middot", "·"),
        ("laquo", "«"),
        ("raquo", "»"),
    ];
    const ENTITY_BYTES_MAX: usize = 10;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(ENTITY_BYTES_MAX).position(|byte| byte == b';');
        let decoded = end.and_then(|end| {
            let name = &rest[1..end];
            if let Some(number) = name.strip_prefix('#') {
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(hex) => u32::from_str_radix(hex, 16).ok(),
                    None => number.parse().ok(),
                };
                return code.and_then(char::from_u32).filter(|c| !c.is_control()).map(|c| (c.to_string(), end));
            }
            NAMED.iter().find(|(known, _)| *known == name).map(|(_, text)| ((*text).to_owned(), end))
        });
        if let Some((text, end)) = decoded {
            out.push_str(&text);
            rest = &rest[end + 1..];
        } else {
            out.push('&');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

/// Elements whose text no reader sees.
pub(super) fn is_hidden(name: &str) -> bool {
    matches!(name, "script" | "style" | "head" | "template" | "noscript" | "svg")
}

fn starts_block(name: &str) -> bool {
    matches!(
        name,
        "p" | "div"
            | "section"
            | "article"
            | "header"
            | "footer"
            | "nav"
            | "main"
            | "aside"
            | "ul"
            | "ol"
            | "li"
            | "dl"
            | "dt"
            | "dd"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "blockquote"
            | "pre"
            | "details"
            | "summary"
            | "figure"
            | "figcaption"
            | "center"
            | "form"
            | "hr"
            | "caption"
            | "option"
            | "title"
            | "body"
    )
}

fn kind_of(name: &str) -> Option<BlockType> {
    Some(match name {
        "h1" => BlockType::Heading(1),
        "h2" => BlockType::Heading(2),
        "h3" | "h4" | "h5" | "h6" => BlockType::Heading(3),
        "li" => BlockType::BulletedListItem,
        "blockquote" => BlockType::Quote,
        "aside" => BlockType::Callout,
        "pre" => BlockType::Code,
        _ => return None,
    })
}

/// Reads a piece of HTML as blocks. `resolve` turns the address of a link into what is stored.
pub(super) fn blocks(html: &str, resolve: &dyn Fn(&str) -> Option<String>) -> Vec<DesiredBlock> {
    let mut reader = Reader::new(resolve);
    let mut hidden: Option<String> = None;
    for token in Tokens::new(html) {
        match (&hidden, token) {
            (Some(name), Token::Close(closed)) if *name == closed => hidden = None,
            (Some(_), _) => {}
            (None, Token::Open(name, attributes)) if is_hidden(&name) => {
                hidden = (!attributes.ends_with('/')).then_some(name);
            }
            (None, Token::Open(name, attributes)) => reader.open(&name, attributes),
            (None, Token::Close(name)) => reader.close(&name),
            (None, Token::Text(text)) => reader.text(text),
        }
    }
    reader.finish()
}

struct Reader<'r> {
    resolve: &'r dyn Fn(&str) -> Option<String>,
    blocks: Vec<DesiredBlock>,
    inline: Inline,
    /// What the text now gathered will be.
    kind: Option<BlockType>,
    /// Rows of the table that is open, each a list of cells.
    rows: Vec<Vec<Vec<RichText>>>,
    /// The cells of the row that is open.
    row: Option<Vec<Vec<RichText>>>,
    /// Whether a cell of it is open; an empty cell holds its place between others.
    in_cell: bool,
}

impl<'r> Reader<'r> {
    fn new(resolve: &'r dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            resolve,
            blocks: Vec::new(),
            inline: Inline::default(),
            kind: None,
            rows: Vec::new(),
            row: None,
            in_cell: false,
        }
    }

    fn text(&mut self, text: &str) {
        let text = decode(text);
        if self.kind == Some(BlockType::Code) {
            self.inline.push(&text);
            return;
        }
        for (at, word) in text.split(char::is_whitespace).enumerate() {
            if at > 0 {
                self.inline.soft_break();
            }
            self.inline.push(word);
        }
    }

    fn open(&mut self, name: &str, attributes: &str) {
        match name {
            "br" => self.inline.hard_break(),
            "a" => {
                let href = attribute(attributes, "href").and_then(|href| (self.resolve)(&href));
                self.inline.open_link(href);
            }
            "img" => self.image(attributes),
            "table" if self.row.is_none() => self.flush(),
            "tr" => {
                self.end_row();
                self.flush();
                self.row = Some(Vec::new());
            }
            "td" | "th" => {
                self.end_cell();
                self.in_cell = self.row.is_some();
            }
            _ if starts_block(name) && self.row.is_some() => self.inline.soft_break(),
            _ if starts_block(name) => {
                self.flush();
                if let Some(kind) = kind_of(name) {
                    self.kind = Some(kind);
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "a" => self.inline.close_link(),
            "td" | "th" => self.end_cell(),
            "tr" => self.end_row(),
            "table" => {
                self.end_row();
                self.end_table();
            }
            _ if starts_block(name) && self.row.is_some() => self.inline.soft_break(),
            _ if starts_block(name) => {
                self.flush();
                self.kind = None;
            }
            _ => {}
        }
    }

    fn image(&mut self, attributes: &str) {
        let alt = attribute(attributes, "alt").unwrap_or_default();
        if self.row.is_some() || !self.inline.is_blank() {
            self.inline.push(&alt);
            return;
        }
        let url = attribute(attributes, "src").and_then(|url| (self.resolve)(&url));
        let caption = if alt.trim().is_empty() { Vec::new() } else { vec![RichText::plain(alt.trim())] };
        if url.is_some() || !caption.is_empty() {
            self.blocks.push(BlockContent { url, caption, ..BlockContent::empty(BlockType::Image) }.into());
        }
    }

    fn end_cell(&mut self) {
        let in_cell = std::mem::take(&mut self.in_cell);
        let Some(row) = &mut self.row else { return self.flush() };
        let text = self.inline.take();
        if in_cell || !text.is_empty() {
            row.push(text);
        }
    }

    fn end_row(&mut self) {
        self.end_cell();
        if let Some(row) = self.row.take().filter(|row| row.iter().any(|cell| !cell.is_empty())) {
            self.rows.push(row);
        }
    }

    fn end_table(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return;
        }
        let children =
            rows.into_iter().map(|cells| BlockContent { cells, ..BlockContent::empty(BlockType::TableRow) }.into());
        self.blocks.push(DesiredBlock { content: BlockContent::empty(BlockType::Table), children: children.collect() });
    }

    /// Ends the block whose text was gathered.
    fn flush(&mut self) {
        let text = self.inline.take();
        if text.is_empty() {
            return;
        }
        self.end_table();
        let kind = self.kind.clone().unwrap_or(BlockType::Paragraph);
        self.blocks.push(BlockContent { rich_text: text, ..BlockContent::empty(kind) }.into());
    }

    fn finish(mut self) -> Vec<DesiredBlock> {
        self.end_row();
        self.end_table();
        self.flush();
        self.blocks
    }
}
