//! Pages and answers as documents, in Markdown or PDF, for people to take with them.
//!
//! Pure: what it is given was let out by the gate already. `page` and `answer` alone read it; both formats are made of the `Document`
//! that they give. Text is escaped, so that a page reads in Markdown as it stands in the workspace and cannot become another heading, link
//! or picture than it has. Addresses are kept where they lead to the web or to mail.

pub mod config;
pub(crate) mod pdf;

use std::fmt::Write as _;

use jiff::Timestamp;
use schemas::api::PageSummary;
use schemas::api::answers::AnswerSource;
use schemas::api::pages::{BlockView, PageView};
use schemas::block::{BlockContent, BlockType, RichText};
use serde::Deserialize;

/// In what form a document is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// CommonMark with tables, tasks and strikethrough.
    #[default]
    Markdown,
    /// Sheets of paper: PDF 1.7.
    Pdf,
}

impl ExportFormat {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Markdown, Self::Pdf];

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Markdown => "text/markdown",
            Self::Pdf => "application/pdf",
        }
    }

    /// What a file's name ends with, after the dot.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Markdown => "md",
            Self::Pdf => "pdf",
        }
    }
}

/// What a document says, whatever its format.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Document {
    pub(crate) title: String,
    /// What stands below the title in PDF: the pages above as far as the caller can read them, and when it was edited.
    pub(crate) about: Vec<String>,
    /// Names and values that are not empty.
    pub(crate) properties: Vec<(String, String)>,
    /// What follows, as Markdown.
    pub(crate) body: String,
    /// Of when it is.
    pub(crate) date: Option<Timestamp>,
}

impl Document {
    /// The document in Markdown: properties as front matter, the title, the body.
    pub(crate) fn markdown(&self) -> String {
        let mut out = String::new();
        if !self.properties.is_empty() {
            out.push_str("---\n");
            for (name, value) in &self.properties {
                // Strings of JSON are strings of YAML.
                let _ = writeln!(out, "{}: {}", quoted(name), quoted(value));
            }
            out.push_str("---\n\n");
        }
        let _ = writeln!(out, "# {}", line(&self.title));
        out.push_str(&self.body);
        out
    }
}

/// A page as a document: its properties, its title, its blocks.
pub(crate) fn page(view: &PageView) -> Document {
    let properties = view.properties.iter().map(|(name, value)| (name.clone(), value.plain_text()));
    let path: Vec<&str> = view.breadcrumb.iter().map(|crumb| crumb.title.as_str()).collect();
    let path = Some(path.join(" / ")).filter(|path| !path.is_empty());
    let edited = view.page.edited_at.map(|at| at.strftime("%Y-%m-%d %H:%M UTC").to_string());
    let mut body = String::new();
    blocks(&view.blocks, &mut body);
    Document {
        title: view.page.title.clone(),
        about: path.into_iter().chain(edited).collect(),
        properties: properties.filter(|(_, value)| !value.is_empty()).collect(),
        body,
        date: view.page.edited_at,
    }
}

/// An answer, or another text that was generated, as a document: what was asked, the text, and a list of its sources by their numbers. It is of
/// when the newest source was edited.
pub(crate) fn answer(
    title: &str,
    text: &str,
    sources: &[AnswerSource],
    url: &dyn Fn(&PageSummary) -> String,
) -> Document {
    let mut body = format!("\n{}\n", text.trim());
    if !sources.is_empty() {
        body.push_str("\n---\n\n");
    }
    for source in sources {
        let path: Vec<String> = source.breadcrumb.iter().map(|crumb| line(&crumb.title)).collect();
        let path = if path.is_empty() { String::new() } else { format!(", {}", path.join(" / ")) };
        let edited = source.page.edited_at.map(|at| format!(", {}", at.strftime("%Y-%m-%d")));
        let (title, address) = (line(&source.page.title), target(&url(&source.page)));
        let _ = writeln!(body, "{}. [{title}](<{address}>){path}{}", source.number, edited.unwrap_or_default());
    }
    let date = sources.iter().filter_map(|source| source.page.edited_at).max();
    Document { title: title.to_owned(), body, date, ..Document::default() }
}

/// Blocks in reading order, each with what stands before its lines.
fn blocks(blocks: &[BlockView], out: &mut String) {
    // What stands before the lines of a block, by its depth.
    let mut prefixes = vec![String::new()];
    let mut before: Option<&BlockView> = None;
    for (at, block) in blocks.iter().enumerate() {
        let depth = (block.depth as usize).min(prefixes.len() - 1);
        prefixes.truncate(depth + 1);
        let prefix = prefixes[depth].clone();
        let kind = &block.content.kind;
        let follows = before.is_some_and(|before| {
            let is_same = before.content.kind == *kind || block.depth > 0 || before.depth > block.depth;
            is_item(&before.content.kind) && is_item(kind) && is_same
        });
        let is_row =
            *kind == BlockType::TableRow && before.is_some_and(|before| before.content.kind == BlockType::TableRow);
        if !follows && !is_row {
            let _ = writeln!(out, "{}", prefix.trim_end());
        }
        let is_head = *kind == BlockType::TableRow && !is_row;
        // Cells beyond those of the first row are left out by readers of Markdown.
        let columns = if is_head { columns(&blocks[at..]) } else { 0 };
        for text in lines_of(&block.content) {
            let more = " |".repeat(columns.saturating_sub(block.content.cells.len().max(1)));
            let _ = writeln!(out, "{}", format!("{prefix}{text}{more}").trim_end());
        }
        if is_head {
            let _ = writeln!(out, "{prefix}|{}", " --- |".repeat(columns));
        }
        let inner = match kind {
            BlockType::NumberedListItem => "   ",
            BlockType::BulletedListItem | BlockType::ToDo | BlockType::Toggle => "  ",
            BlockType::Quote | BlockType::Callout => "> ",
            _ => "",
        };
        prefixes.push(format!("{prefix}{inner}"));
        before = Some(&blocks[at]);
    }
}

/// How many cells the longest row has of the table that begins here; one at least.
fn columns(blocks: &[BlockView]) -> usize {
    let rows = blocks.iter().take_while(|block| block.content.kind == BlockType::TableRow);
    rows.map(|row| row.content.cells.len()).max().unwrap_or(0).max(1)
}

fn is_item(kind: &BlockType) -> bool {
    matches!(kind, BlockType::NumberedListItem | BlockType::BulletedListItem | BlockType::ToDo | BlockType::Toggle)
}

/// The lines of one block.
fn lines_of(content: &BlockContent) -> Vec<String> {
    let text = rich(&content.rich_text);
    let behind = |lead: &str, rest: &str| -> Vec<String> {
        let lines = text.split('\n').enumerate();
        lines.map(|(at, line)| format!("{}{}", if at == 0 { lead } else { rest }, at_line_start(line))).collect()
    };
    match &content.kind {
        BlockType::Heading(level) => {
            vec![format!("{} {}", "#".repeat(1 + usize::from(*level).clamp(1, 5)), text.replace('\n', " "))]
        }
        BlockType::BulletedListItem | BlockType::Toggle => behind("- ", "  "),
        BlockType::NumberedListItem => behind("1. ", "   "),
        BlockType::ToDo if content.checked == Some(true) => behind("- [x] ", "  "),
        BlockType::ToDo => behind("- [ ] ", "  "),
        BlockType::Quote | BlockType::Callout => behind("> ", "> "),
        BlockType::Code => fenced(&content.plain_text(), content.language.as_deref().unwrap_or("")),
        BlockType::Equation => fenced(content.expression.as_deref().unwrap_or(&content.plain_text()), "math"),
        BlockType::Divider => vec!["---".to_owned()],
        BlockType::TableRow => {
            let cells: Vec<String> = content.cells.iter().map(|cell| in_cell(&rich(cell))).collect();
            vec![format!("| {} |", cells.join(" | "))]
        }
        BlockType::Image | BlockType::File | BlockType::Bookmark => {
            let caption = rich(&content.caption).replace('\n', " ");
            let address = content.url.as_deref().filter(|url| is_kept(url)).map(target);
            match address {
                Some(address) if caption.is_empty() => vec![format!("<{address}>")],
                Some(address) => vec![format!("[{caption}](<{address}>)")],
                None => vec![caption],
            }
        }
        _ => {
            let plain = if text.is_empty() { escaped(&content.plain_text()) } else { text };
            if plain.is_empty() { Vec::new() } else { plain.split('\n').map(at_line_start).collect() }
        }
    }
}

/// Runs of text with their styles and links; lines stay lines.
fn rich(runs: &[RichText]) -> String {
    let mut out = String::new();
    for run in runs {
        let text = &run.plain_text;
        // Marks stand at the words, not at the space around them.
        let inner = text.trim();
        if inner.is_empty() {
            out.push_str(text);
            continue;
        }
        let (lead, rest) = text.split_at(text.len() - text.trim_start().len());
        let tail = &rest[inner.len()..];
        let has = |style: &str| run.annotations.iter().any(|known| known == style);
        let mut styled = if has("code") { code(inner) } else { escaped(inner) };
        for (style, mark) in [("italic", "*"), ("bold", "**"), ("strikethrough", "~~")] {
            if has(style) && !inner.contains('\n') {
                styled = format!("{mark}{styled}{mark}");
            }
        }
        if let Some(href) = run.href.as_deref().filter(|href| is_kept(href)) {
            styled = format!("[{styled}](<{}>)", target(href));
        }
        let _ = write!(out, "{lead}{styled}{tail}");
    }
    out
}

/// Code in a line, between more backticks than it has in a row.
fn code(text: &str) -> String {
    let ticks = "`".repeat(longest_run(text) + 1);
    let apart = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{apart}{}{apart}{ticks}", text.replace('\n', " "))
}

/// Text of a cell: in one line, and with no bar that ends it, not in code or in an address either.
fn in_cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars() {
        if c == '|' && before != '\\' {
            out.push('\\');
        }
        out.push(if c == '\n' { ' ' } else { c });
        before = c;
    }
    out
}

fn fenced(text: &str, language: &str) -> Vec<String> {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    let language: String = language.chars().filter(|c| c.is_alphanumeric() || "+#-.".contains(*c)).collect();
    let lines = text.split('\n').map(str::to_owned);
    [format!("{fence}{language}")].into_iter().chain(lines).chain([fence.clone()]).collect()
}

/// The most backticks in a row.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Text of which no character means anything but itself.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().filter(|c| *c != '\r') {
        if "\\`*_[]<>~|&$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A line that begins nothing: no heading, list or rule.
fn at_line_start(text: &str) -> String {
    let bare = text.trim_start();
    let digits = bare.len() - bare.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let begins = bare.starts_with(['#', '+', '-', '=', ':'])
        || digits > 0 && bare[digits..].starts_with(['.', ')']) && digits < 10;
    if !begins {
        return bare.to_owned();
    }
    let (head, rest) = bare.split_at(digits);
    format!("{head}\\{rest}")
}

/// Text in one line.
fn line(text: &str) -> String {
    escaped(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Whether an address may stay: on the web, by mail, or a page below this server.
pub(crate) fn is_kept(address: &str) -> bool {
    let lower = address.trim().to_lowercase();
    ["https://", "http://", "mailto:"].iter().any(|scheme| lower.starts_with(scheme))
}

/// An address that cannot end the brackets around it.
fn target(address: &str) -> String {
    let keep = |c: &char| !c.is_control();
    let escape = |c: char| match c {
        '<' => "%3C".to_owned(),
        '>' => "%3E".to_owned(),
        '\\' => "%5C".to_owned(),
        ' ' => "%20".to_owned(),
        c => c.to_string(),
    };
    address.trim().chars().filter(keep).map(escape).collect()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
