//! Fits what a source says into the stated limits of input: long blocks are split, the rest is cut and said so.

use schemas::block::{BlockContent, BlockType, RichText};
use schemas::limits;
use schemas::page::PropertyValue;

use super::desired::{DesiredBlock, DesiredPage};

/// Most bytes of JSON of one block, well below [`limits::EVENT_BYTES_MAX`], which also holds its version and place.
const BLOCK_BYTES_MAX: usize = 640 << 10;

/// Fits a page into the limits. `warn` is told of everything that was left out.
pub fn fit(page: &mut DesiredPage, warn: &mut dyn FnMut(String)) {
    if cut(&mut page.title, limits::TITLE_CHARS_MAX) {
        warn(format!("the title is longer than {} characters and was cut", limits::TITLE_CHARS_MAX));
    }
    page.title.retain(|c| !c.is_control());
    if let Some(icon) = &mut page.icon
        && icon.chars().count() > limits::TITLE_CHARS_MAX
    {
        warn(format!("the icon is longer than {} characters and was left out", limits::TITLE_CHARS_MAX));
        page.icon = None;
    }
    fit_properties(page, warn);
    let total: usize = page.blocks.iter().map(count).sum();
    let mut room = limits::PAGE_BLOCKS_MAX;
    let blocks = std::mem::take(&mut page.blocks);
    page.blocks = fit_blocks(blocks, &mut room);
    if room == 0 && total >= limits::PAGE_BLOCKS_MAX {
        let kept: usize = page.blocks.iter().map(count).sum();
        if kept < total {
            warn(format!("the page has {total} blocks, the first {kept} were imported"));
        }
    }
}

fn fit_properties(page: &mut DesiredPage, warn: &mut dyn FnMut(String)) {
    while page.properties.len() > limits::PROPERTIES_MAX {
        if let Some((name, _)) = page.properties.pop_last() {
            warn(format!("there are more than {} properties, `{name}` was left out", limits::PROPERTIES_MAX));
        }
    }
    page.properties.retain(|name, value| {
        let room = limits::PROPERTY_CHARS_MAX.saturating_sub(name.chars().count());
        if value.plain_text().chars().count() <= room {
            return true;
        }
        match value {
            PropertyValue::Text(text) if room > 0 => {
                warn(format!("property `{name}` is longer than {} characters and was cut", limits::PROPERTY_CHARS_MAX));
                cut(text, room);
                true
            }
            _ => {
                warn(format!("a property is longer than {} characters and was left out", limits::PROPERTY_CHARS_MAX));
                false
            }
        }
    });
}

fn cut(text: &mut String, chars_max: usize) -> bool {
    let end = text.char_indices().nth(chars_max).map(|(end, _)| end);
    if let Some(end) = end {
        text.truncate(end);
    }
    end.is_some()
}

fn count(block: &DesiredBlock) -> usize {
    1 + block.children.iter().map(count).sum::<usize>()
}

/// Splits long blocks and stops when `room` blocks are placed. Nests as deep as the blocks do.
fn fit_blocks(blocks: Vec<DesiredBlock>, room: &mut usize) -> Vec<DesiredBlock> {
    let mut fitted = Vec::with_capacity(blocks.len());
    for block in blocks {
        let DesiredBlock { content, children } = block;
        for part in split(content) {
            if *room == 0 {
                return fitted;
            }
            *room -= 1;
            fitted.push(part.into());
        }
        let children = fit_blocks(children, room);
        if let Some(last) = fitted.last_mut() {
            last.children = children;
        }
    }
    fitted
}

/// Splits a block that is too long at sentences or words. All of its text is kept.
fn split(content: BlockContent) -> Vec<BlockContent> {
    let chars: usize = content.plain_text().chars().count();
    let runs = content.rich_text.iter().chain(content.cells.iter().flatten()).chain(&content.caption);
    let bytes: usize = runs.map(json_bytes).sum::<usize>() + content.cells.len() * 8;
    if chars <= limits::BLOCK_CHARS_MAX && bytes <= BLOCK_BYTES_MAX {
        return vec![content];
    }
    let kind = content.kind.clone();
    let mut parts: Vec<BlockContent> = Vec::new();
    if kind == BlockType::TableRow {
        // A row that does not fit becomes rows of one cell each.
        for cell in content.cells {
            let pieces = split_runs(cell);
            let rows =
                pieces.into_iter().map(|text| BlockContent { cells: vec![text], ..BlockContent::empty(kind.clone()) });
            parts.extend(rows);
        }
        return parts;
    }
    let (checked, language, url) = (content.checked, content.language, content.url);
    for text in split_runs(content.rich_text) {
        let (language, empty) = (language.clone(), BlockContent::empty(kind.clone()));
        parts.push(BlockContent { rich_text: text, checked, language, ..empty });
    }
    for caption in split_runs(content.caption) {
        parts.push(BlockContent { caption, ..BlockContent::empty(kind.clone()) });
    }
    if let Some(expression) = content.expression {
        for text in split_runs(vec![RichText::plain(expression)]) {
            parts.push(BlockContent { rich_text: text, ..BlockContent::empty(BlockType::Paragraph) });
        }
    }
    if let Some(first) = parts.first_mut() {
        first.url = url;
    }
    parts
}

fn split_runs(runs: Vec<RichText>) -> Vec<Vec<RichText>> {
    let mut parts = Vec::new();
    let mut part: Vec<RichText> = Vec::new();
    let (mut chars, mut bytes) = (0, 0);
    for run in runs {
        let mut rest = run.plain_text.as_str();
        while !rest.is_empty() {
            let overhead = json_bytes(&RichText { plain_text: String::new(), ..run.clone() });
            let end = prefix(rest, limits::BLOCK_CHARS_MAX - chars, (BLOCK_BYTES_MAX - bytes).saturating_sub(overhead));
            if end < rest.len() && !part.is_empty() && chars > limits::BLOCK_CHARS_MAX / 2
                || end == 0 && !part.is_empty()
            {
                parts.push(std::mem::take(&mut part));
                (chars, bytes) = (0, 0);
                continue;
            }
            // A run whose address alone fills a block still gets on, character by character.
            let end = end.max(rest.chars().next().map_or(1, char::len_utf8));
            let end = if end < rest.len() { good_cut(&rest[..end]) } else { end };
            let piece = RichText { plain_text: rest[..end].to_owned(), ..run.clone() };
            chars += piece.plain_text.chars().count();
            bytes = (bytes + json_bytes(&piece)).min(BLOCK_BYTES_MAX);
            part.push(piece);
            rest = &rest[end..];
            if !rest.is_empty() {
                parts.push(std::mem::take(&mut part));
                (chars, bytes) = (0, 0);
            }
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// The longest prefix within both bounds, in bytes.
fn prefix(text: &str, chars_max: usize, bytes_max: usize) -> usize {
    let mut bytes = 0;
    for (chars, (at, c)) in text.char_indices().enumerate() {
        bytes += escaped_bytes(c);
        if chars >= chars_max || bytes > bytes_max {
            return at;
        }
    }
    text.len()
}

/// Where to cut within the last part of a text: after a line, else a sentence, else a word, else at its end.
fn good_cut(text: &str) -> usize {
    let mut from = text.len() - text.len() / 4;
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let tail = &text[from..];
    let after = |found: Option<(usize, &str)>| found.map(|(at, mark)| from + at + mark.len());
    let sentence = ["\n", ". ", "! ", "? ", "。", "！", "？"];
    let sentence = sentence.iter().filter_map(|mark| after(tail.rmatch_indices(mark).next())).max();
    sentence.or_else(|| after(tail.rmatch_indices(' ').next())).unwrap_or(text.len())
}

/// At least the bytes of a run in JSON.
fn json_bytes(run: &RichText) -> usize {
    const NAMES: usize = 64;
    let styles: usize = run.annotations.iter().map(|name| name.len() + 3).sum();
    let href = run.href.as_ref().map_or(0, |href| href.chars().map(escaped_bytes).sum());
    NAMES + styles + href + run.plain_text.chars().map(escaped_bytes).sum::<usize>()
}

fn escaped_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\t' | '\r' => 2,
        c if c.is_ascii_control() => 6,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::ids::PageId;
    use schemas::page::Parent;

    fn fitted(blocks: Vec<DesiredBlock>) -> (DesiredPage, Vec<String>) {
        let mut page = DesiredPage::new(PageId::new("p").unwrap(), Parent::Workspace, "t");
        page.blocks = blocks;
        let mut warnings = Vec::new();
        fit(&mut page, &mut |warning| warnings.push(warning));
        (page, warnings)
    }

    fn all_fit(blocks: &[DesiredBlock]) -> bool {
        blocks.iter().all(|block| {
            let json = serde_json::to_string(&block.content).unwrap();
            block.content.plain_text().chars().count() <= limits::BLOCK_CHARS_MAX
                && json.len() < limits::EVENT_BYTES_MAX - 2048
                && all_fit(&block.children)
        })
    }

    #[track_caller]
    fn check_split(content: BlockContent, parts: usize) {
        let text = content.plain_text().replace(" | ", "");
        let (page, warnings) = fitted(vec![content.into()]);
        assert!(all_fit(&page.blocks));
        assert_eq!(page.blocks.len(), parts);
        let joined: String = page.blocks.iter().map(|block| block.content.plain_text().replace(" | ", "")).collect();
        assert_eq!(joined, text);
        assert!(warnings.is_empty());
    }

    #[test]
    fn a_long_block_is_split_and_keeps_all_its_text() {
        check_split(BlockContent::text(BlockType::Paragraph, "short"), 1);
        let sentence = "This sentence has exactly fifty characters inside. ";
        check_split(BlockContent::text(BlockType::Paragraph, sentence.repeat(5_000)), 3);
        check_split(BlockContent::text(BlockType::Code, "x".repeat(250_000)), 3);
        check_split(BlockContent::text(BlockType::Paragraph, "\u{1}".repeat(200_000)), 2);
        check_split(BlockContent::text(BlockType::Paragraph, "語。".repeat(100_000)), 2);
        let many = (0..50_000).map(|n| RichText {
            plain_text: "a".to_owned(),
            href: Some(format!("/p/{n}")),
            annotations: vec!["bold".to_owned()],
        });
        check_split(BlockContent { rich_text: many.collect(), ..BlockContent::empty(BlockType::Paragraph) }, 7);
        let cells = vec![vec![RichText::plain("x".repeat(70_000))], vec![RichText::plain("y".repeat(70_000))]];
        check_split(BlockContent { cells, ..BlockContent::empty(BlockType::TableRow) }, 2);
    }

    #[test]
    fn sentences_are_cut_between() {
        let sentence = "This sentence has exactly fifty characters inside. ";
        let (page, _) = fitted(vec![BlockContent::text(BlockType::Paragraph, sentence.repeat(3_000)).into()]);
        assert!(page.blocks.iter().all(|block| block.content.plain_text().ends_with("inside. ")));
    }

    #[test]
    fn a_page_of_too_many_blocks_is_cut_and_says_so() {
        let blocks = (0..30_000).map(|n| BlockContent::text(BlockType::Paragraph, n.to_string()).into()).collect();
        let (page, warnings) = fitted(blocks);
        assert_eq!(page.blocks.len(), limits::PAGE_BLOCKS_MAX);
        assert_eq!(warnings, ["the page has 30000 blocks, the first 20000 were imported"]);
    }

    #[test]
    fn titles_and_properties_are_cut() {
        let mut page = DesiredPage::new(PageId::new("p").unwrap(), Parent::Workspace, "é".repeat(3_000));
        page.properties.insert("long".to_owned(), PropertyValue::Text("x".repeat(20_000)));
        for n in 0..250 {
            page.properties.insert(format!("{n:03}"), PropertyValue::Checkbox(true));
        }
        let mut warnings = 0;
        fit(&mut page, &mut |_| warnings += 1);
        assert_eq!(page.title.chars().count(), limits::TITLE_CHARS_MAX);
        assert_eq!(page.properties.len(), limits::PROPERTIES_MAX);
        assert!(warnings > 1);
    }
}
