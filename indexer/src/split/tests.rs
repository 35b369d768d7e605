use std::collections::BTreeSet;
use std::sync::Arc;

use index::passages::TextHash;
use models::embed::TokenCounter;
use proptest::prelude::*;
use schemas::block::{BlockContent, BlockType, RichText};
use schemas::event::{BlockPatch, Change};
use schemas::ids::{BlockId, RegionId};
use schemas::page::{PagePatch, PropertyValue};
use schemas::version::{Timestamp, VectorClock, Version};

use super::*;

const TARGET_TOKENS: usize = 200;
const MAX_TOKENS: usize = 240;

fn page() -> PageId {
    PageId::new("p").unwrap()
}

fn version(counter: u64) -> Arc<Version> {
    let region = RegionId::new("eu").unwrap();
    let timestamp = Timestamp { wall_ms: counter, logical: 0 };
    Arc::new(Version { clock: VectorClock::of(&region, counter), timestamp, region })
}

fn record_of(blocks: &[(String, BlockContent)], properties: &[(&str, &str)]) -> PageRecord {
    let mut record = PageRecord::default();
    let properties = properties.iter().map(|(n, v)| ((*n).to_owned(), Some(PropertyValue::Text((*v).to_owned()))));
    let patch = PagePatch { properties: properties.collect(), ..PagePatch::default() };
    record.apply(&Change::PageUpserted { page: page(), patch: Box::new(patch) }, &version(1));
    for (at, (id, content)) in blocks.iter().enumerate() {
        let position = format!("{at:06}");
        let patch = BlockPatch { page: page(), parent: None, position, content: Some(content.clone()) };
        record.blocks.entry(BlockId::new(id).unwrap()).or_default().upsert(&version(1), patch);
    }
    record
}

fn cut(record: &PageRecord) -> Vec<Passage> {
    let counter = TokenCounter::estimate();
    let count = |text: &str| counter.count(text);
    split(&page(), record, &Rules { count: &count, target_tokens: TARGET_TOKENS, max_tokens: MAX_TOKENS })
}

/// Blocks written one a line: `# ` to `### ` for headings, `| ` for a table row, else a paragraph. Ids are `b0`, `b1` ...
fn blocks(lines: &[&str]) -> Vec<(String, BlockContent)> {
    let content = |line: &str| match line.split_once(' ') {
        Some(("|", cells)) => {
            let cells = cells.split(" | ").map(|cell| vec![RichText::plain(cell)]).collect();
            BlockContent { cells, ..BlockContent::empty(BlockType::TableRow) }
        }
        Some((marks, text)) if marks.chars().all(|c| c == '#') => {
            BlockContent::text(BlockType::Heading(marks.len() as u8), text)
        }
        _ => BlockContent::text(BlockType::Paragraph, line),
    };
    lines.iter().enumerate().map(|(at, line)| (format!("b{at}"), content(line))).collect()
}

/// Expects passages written `h1 > h2: text`, line breaks as ` / `.
#[track_caller]
fn check(lines: &[&str], expected: &[&str]) {
    let passages = cut(&record_of(&blocks(lines), &[]));
    let found: Vec<_> =
        passages.iter().map(|p| format!("{}: {}", p.headings.join(" > "), p.text.replace('\n', " / "))).collect();
    assert_eq!(found, expected);
}

fn words(word: &str, count: usize) -> String {
    vec![word; count].join(" ")
}

#[test]
fn sections_are_cut_at_headings_and_know_their_path() {
    let (one, two, three) = (words("one", 60), words("two", 60), words("three", 60));
    check(
        &["# Guide", &one, "## Install", &two, "# Other", &three],
        &[&format!("Guide: {one}"), &format!("Guide > Install: {two}"), &format!("Other: {three}")],
    );
}

#[test]
fn small_sections_under_one_heading_share_a_passage() {
    check(&["# Terms", "## Ada", "a person", "## Bob", "another"], &["Terms: Ada / a person / Bob / another"]);
    check(&["intro", "# A", "text a", "# B", "text b"], &[": intro / A / text a / B / text b"]);
}

#[test]
fn a_heading_without_text_is_not_lost() {
    check(&["# Only"], &[": Only"]);
    let long = words("word", 100);
    check(&["# A", "## B", &long, "## Empty end"], &[&format!("A: B / {long} / Empty end")]);
    check(&["# A", "## B", &long], &[&format!("A > B: {long}")]);
}

#[test]
fn a_heading_too_long_for_the_path_stands_in_the_text() {
    let heading = words("heading", 30);
    let passages = cut(&record_of(&blocks(&[&format!("# {heading}"), "text"]), &[]));
    assert_eq!(passages[0].text, format!("{heading}\ntext"));
    assert!(passages[0].headings[0].len() < heading.len());
}

#[test]
fn blocks_are_packed_to_about_the_target() {
    let lines: Vec<String> = (0..60).map(|n| format!("{} {n}", words("word", 29))).collect();
    let passages = cut(&record_of(&blocks(&lines.iter().map(String::as_str).collect::<Vec<_>>()), &[]));
    assert!((9..=15).contains(&passages.len()), "1800 tokens in {} passages", passages.len());
}

#[test]
fn a_long_block_is_cut_at_sentences_in_any_script() {
    let english = "The quick brown fox jumps over the lazy dog. ".repeat(60);
    let japanese = "望遠鏡の校正は毎週行われます。".repeat(60);
    for text in [english.as_str(), japanese.as_str()] {
        let passages = cut(&record_of(&blocks(&[text]), &[]));
        assert!(passages.len() > 2);
        for passage in &passages {
            assert!(passage.text.trim_end().ends_with(['.', '。']), "{:?}", passage.text);
            assert_eq!(passage.blocks.len(), 1);
        }
        assert_eq!(passages.iter().map(|p| p.text.as_str()).collect::<String>(), text);
    }
}

#[test]
fn a_cut_table_repeats_its_header_row() {
    let mut lines = vec!["| Name | Telescope".to_owned()];
    lines.extend((0..40).map(|n| format!("| {} | mirror {n}", words("cell", 20))));
    let passages = cut(&record_of(&blocks(&lines.iter().map(String::as_str).collect::<Vec<_>>()), &[]));
    assert!(passages.len() > 3);
    for passage in &passages {
        assert!(passage.text.starts_with("Name | Telescope\n"));
        assert_eq!(passage.blocks[0].block.as_str(), "b0");
    }
}

#[test]
fn properties_change_no_passage() {
    let with = cut(&record_of(&blocks(&["text"]), &[("Status", "Open"), ("Assignee", "Ada")]));
    assert_eq!(with, cut(&record_of(&blocks(&["text"]), &[])));
}

#[test]
fn a_page_without_text_has_one_empty_passage_and_one_that_is_gone_has_none() {
    let mut record = record_of(&blocks(&["  "]), &[]);
    let passages = cut(&record);
    assert_eq!((passages.len(), passages[0].text.as_str(), passages[0].has_text()), (1, "", false));
    record.apply(&Change::PageDeleted { page: page() }, &version(2));
    assert!(cut(&record).is_empty());
    assert!(cut(&PageRecord::default()).is_empty());
}

fn hashes(passages: &[Passage]) -> BTreeSet<TextHash> {
    passages.iter().map(Passage::hash).collect()
}

#[test]
fn an_edit_changes_only_passages_nearby() {
    let lines: Vec<String> = (0..400).map(|n| format!("{} {n}", words("word", 10 + (n * 7) % 40))).collect();
    let mut page_blocks = blocks(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let before = hashes(&cut(&record_of(&page_blocks, &[])));
    let mut changed = Vec::new();
    for edited in (0..400).step_by(13) {
        let content = BlockContent::text(BlockType::Paragraph, words("edited", 55));
        let former = std::mem::replace(&mut page_blocks[edited].1, content);
        let after = hashes(&cut(&record_of(&page_blocks, &[])));
        changed.push(after.difference(&before).count());
        page_blocks[edited].1 = former;
    }
    let (mean, most) = (changed.iter().sum::<usize>() / changed.len(), changed.iter().max().unwrap());
    assert!(before.len() > 50 && mean <= 6 && *most <= 20, "{mean}, at most {most} of {} changed", before.len());
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zé ,.]{0,200}",
        1 => "[望遠鏡の校正。！ a]{0,300}",
        1 => "\\PC{0,60}",
        1 => (any::<char>(), 1usize..3000).prop_map(|(c, n)| c.to_string().repeat(n)),
        1 => "([a-z]{1,9} ){0,400}",
    ]
}

fn any_block() -> impl Strategy<Value = BlockContent> {
    (0..8u8, any_text()).prop_map(|(kind, text)| match kind {
        level @ 1..=3 => BlockContent::text(BlockType::Heading(level), text),
        4 => {
            let cells = text.split('e').map(|cell| vec![RichText::plain(cell)]).collect();
            BlockContent { cells, ..BlockContent::empty(BlockType::TableRow) }
        }
        _ => BlockContent::text(BlockType::Paragraph, text),
    })
}

proptest! {
    #[test]
    fn no_text_is_lost_ranges_are_exact_and_limits_hold(contents in prop::collection::vec(any_block(), 0..25)) {
        let page_blocks: Vec<_> = contents.into_iter().enumerate().map(|(at, c)| (format!("b{at}"), c)).collect();
        let passages = cut(&record_of(&page_blocks, &[("Kind", "Test")]));
        let counter = TokenCounter::estimate();
        for (at, passage) in passages.iter().enumerate() {
            prop_assert_eq!(passage.number as usize, at);
            prop_assert!(counter.count(&passage.embedded_text()) <= MAX_TOKENS);
            prop_assert!(passage.text.chars().count() <= (MAX_TOKENS + 1) * CHARS_PER_TOKEN_MAX * 2);
            let mut end = 0;
            for range in &passage.blocks {
                prop_assert!(range.start >= end && range.start < range.end);
                prop_assert!(passage.text.get(range.start as usize..range.end as usize).is_some());
                end = range.end;
            }
            prop_assert!(end as usize <= passage.text.len());
        }
        for (id, content) in &page_blocks {
            let text = content.plain_text();
            if text.trim().is_empty() {
                continue;
            }
            let ranges = passages.iter().flat_map(|p| p.blocks.iter().map(move |range| (p, range)));
            let mine = ranges.filter(|(_, range)| range.block.as_str() == id);
            let mut said: Vec<&str> = mine.map(|(p, r)| &p.text[r.start as usize..r.end as usize]).collect();
            // A header row is said again in each part of its table.
            while said.len() > 1 && said.last() == Some(&text.as_str()) {
                said.pop();
            }
            let in_path = passages.iter().any(|p| p.headings.contains(&text));
            prop_assert!(said.concat() == text || in_path, "{:?} became {:?}", text, said);
        }
    }

    #[test]
    fn cutting_gives_the_text_back_in_parts_that_fit(text in any_text(), max_tokens in 1usize..50) {
        let counter = TokenCounter::estimate();
        let count = |text: &str| counter.count(text);
        let rules = Rules { count: &count, target_tokens: TARGET_TOKENS, max_tokens: MAX_TOKENS };
        let parts = super::cut::sentences(&text, max_tokens, &rules);
        prop_assert_eq!(parts.concat(), text.as_str());
        for part in parts {
            prop_assert!(rules.weigh(part) <= max_tokens || part.chars().count() == 1, "{:?}", part);
        }
    }
}
