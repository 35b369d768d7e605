//! Pages and answers as Markdown documents, for people to take with them.
//!
//! Pure: what it is given was let out by the gate already. Text is escaped, so that a page reads in Markdown as it stands in the workspace
//! and cannot become another heading, link or picture than it has. Addresses are kept where they lead to the web or to mail.

use std::fmt::Write as _;

use schemas::api::PageSummary;
use schemas::api::answers::AnswerSource;
use schemas::api::pages::{BlockView, PageView};
use schemas::block::{BlockContent, BlockType, RichText};

/// A page as a document: its properties as front matter, its title, its blocks.
pub fn page(view: &PageView) -> String {
    let mut out = String::new();
    let properties = view.properties.iter().map(|(name, value)| (name, value.plain_text()));
    let properties: Vec<(&String, String)> = properties.filter(|(_, value)| !value.is_empty()).collect();
    if !properties.is_empty() {
        out.push_str("---\n");
        for (name, value) in properties {
            // Strings of JSON are strings of YAML.
            let _ = writeln!(out, "{}: {}", quoted(name), quoted(&value));
        }
        out.push_str("---\n\n");
    }
    let _ = writeln!(out, "# {}", line(&view.page.title));
    blocks(&view.blocks, &mut out);
    out
}

/// An answer, or another text that was generated, as a document: what was asked, the text, and a list of its sources by their numbers.
pub fn answer(title: &str, text: &str, sources: &[AnswerSource], url: &dyn Fn(&PageSummary) -> String) -> String {
    let mut out = format!("# {}\n\n{}\n", line(title), text.trim());
    if !sources.is_empty() {
        out.push_str("\n---\n\n");
    }
    for source in sources {
        let path: Vec<String> = source.breadcrumb.iter().map(|crumb| line(&crumb.title)).collect();
        let path = if path.is_empty() { String::new() } else { format!(", {}", path.join(" / ")) };
        let edited = source.page.edited_at.map(|at| format!(", {}", at.strftime("%Y-%m-%d")));
        let (title, address) = (line(&source.page.title), target(&url(&source.page)));
        let _ = writeln!(out, "{}. [{title}](<{address}>){path}{}", source.number, edited.unwrap_or_default());
    }
    out
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
        for text in lines_of(&block.content) {
            let _ = writeln!(out, "{}", format!("{prefix}{text}").trim_end());
        }
        if *kind == BlockType::TableRow && !is_row {
            let _ = writeln!(out, "{prefix}|{}", " --- |".repeat(block.content.cells.len().max(1)));
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
            let cells: Vec<String> = content.cells.iter().map(|cell| rich(cell).replace('\n', " ")).collect();
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
fn is_kept(address: &str) -> bool {
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
