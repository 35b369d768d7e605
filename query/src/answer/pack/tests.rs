use std::sync::Arc;

use index::passages::BlockRange;
use schemas::block::BlockContent;
use schemas::event::BlockPatch;
use schemas::ids::{PageId, RegionId};
use schemas::page_text::PageText;
use schemas::record::PageRecord;
use schemas::version::{Timestamp, VectorClock, Version};

use super::*;

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn page() -> PageId {
    PageId::new("p").unwrap()
}

fn record(blocks: &[(&str, &str)]) -> Vec<TextBlock> {
    let region = RegionId::new("r").unwrap();
    let mut record = PageRecord::default();
    for (at, (kind, text)) in blocks.iter().enumerate() {
        let counter = at as u64 + 1;
        let version = Version {
            clock: VectorClock::of(&region, counter),
            timestamp: Timestamp { wall_ms: counter, logical: 0 },
            region: region.clone(),
        };
        let content = BlockContent::text(BlockType::from((*kind).to_owned()), *text);
        let patch = BlockPatch { page: page(), parent: None, position: format!("{at:03}"), content: Some(content) };
        let id = BlockId::new(format!("b{at}")).unwrap();
        record.blocks.entry(id).or_default().upsert(&Arc::new(version), patch);
    }
    let stored = serde_json::to_vec(&record).unwrap();
    serde_json::from_slice::<PageText>(&stored).unwrap().in_order(&page())
}

fn passage(text: &str, blocks: &[(usize, u32, u32)]) -> Passage {
    let range = |(at, start, end): &(usize, u32, u32)| BlockRange {
        block: BlockId::new(format!("b{at}")).unwrap(),
        start: *start,
        end: *end,
    };
    Passage {
        number: 0,
        headings: vec!["Top".into()],
        text: text.to_owned(),
        blocks: blocks.iter().map(range).collect(),
        language: Language::English,
    }
}

/// The texts that are taken.
#[track_caller]
fn check(record: &[TextBlock], passages: &[Passage], tokens_max: usize, expected: &[&str]) -> SourceText {
    let source = pack(record, passages, 1.0, &Budget { count: &words, tokens_max }).unwrap();
    let texts: Vec<&str> = source.blocks.iter().map(|block| block.text.as_str()).collect();
    assert_eq!(texts, expected);
    source
}

const PROSE: [(&str, &str); 7] = [
    ("heading_1", "Top"),
    ("paragraph", "one one"),
    ("heading_2", "Here"),
    ("paragraph", "two two"),
    ("paragraph", "three three"),
    ("paragraph", "four four"),
    ("heading_2", "Below"),
];

#[test]
fn blocks_beside_come_along_up_to_the_headings_and_the_budget() {
    let (record, found) = (record(&PROSE), passage("three three", &[(4, 0, 11)]));
    let source = check(&record, std::slice::from_ref(&found), 100, &["Here", "two two", "three three", "four four"]);
    assert_eq!(source.headings, ["Top"]);
    assert_eq!(source.heading_blocks[0].0.as_str(), "b0");
    assert_eq!(source.heading_blocks[0].1.timestamp.wall_ms, 1);
    assert_eq!(source.blocks[0].version.timestamp.wall_ms, 3);
    check(&record, std::slice::from_ref(&found), 4, &["two two", "three three"]);
    check(&record, &[found], 1, &["three three"]);
}

#[test]
fn headings_are_told_with_their_blocks_and_none_without() {
    let record = record(&[
        ("heading_1", "Top of all"),
        ("heading_3", "Beside"),
        ("heading_2", " "),
        ("heading_2", "Here"),
        ("paragraph", "text"),
        ("heading_1", "Below"),
    ]);
    let told = |at: usize, headings: &[&str]| {
        let headings = headings.iter().map(|heading| (*heading).to_owned()).collect();
        let found = Passage { headings, ..passage("text", &[(at, 0, 4)]) };
        let source = pack(&record, &[found], 1.0, &Budget { count: &words, tokens_max: 100 }).unwrap();
        let blocks: Vec<String> = source.heading_blocks.iter().map(|(block, _)| block.to_string()).collect();
        (source.headings.join(" > "), blocks.join(" "))
    };
    let of = |headings: &str, blocks: &str| (headings.to_owned(), blocks.to_owned());
    assert_eq!(told(4, &["Top of all", "Here"]), of("Top of all > Here", "b0 b3"));
    assert_eq!(told(4, &["Top of", "Here"]), of("Top of > Here", "b0 b3"), "cut in the passage");
    assert_eq!(told(4, &["Top of all"]), of("Top of all", "b0"));
    assert_eq!(told(4, &["Other", "Here"]), of("", ""));
    assert_eq!(told(3, &["Top of all"]), of("Top of all", "b0"), "a heading that is text itself");
    assert_eq!(told(4, &[]), of("", ""));
}

#[test]
fn a_second_passage_leaves_a_gap_that_is_told() {
    let record = record(&PROSE);
    let passages = [passage("four four", &[(5, 0, 9)]), passage("one one", &[(1, 0, 7)])];
    let source = check(&record, &passages, 4, &["one one", "four four"]);
    assert_eq!(source.blocks.iter().map(|block| block.after_gap).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_small_gap_between_two_passages_is_filled_where_there_is_room() {
    let record = record(&PROSE);
    let passages = [passage("four four", &[(5, 0, 9)]), passage("two two", &[(3, 0, 7)])];
    check(&record, &passages, 6, &["two two", "three three", "four four"]);
    let source = check(&record, &passages, 4, &["two two", "four four"]);
    assert!(source.blocks[1].after_gap);
    let blocks: Vec<(&str, &str)> = ["a", "b", "c", "d", "e", "f"].map(|text| ("paragraph", text)).to_vec();
    let passages = [passage("a", &[(0, 0, 1)]), passage("f", &[(5, 0, 1)])];
    let source = pack(&self::record(&blocks), &passages, 1.0, &Budget { count: &words, tokens_max: 100 }).unwrap();
    assert_eq!(source.blocks.len(), 2, "a wide gap stays");
}

#[test]
fn a_table_comes_whole_or_with_its_first_row() {
    let mut blocks = vec![("paragraph", "intro")];
    blocks.extend([
        ("table_row", "name | size"),
        ("table_row", "a | 1"),
        ("table_row", "b | 2"),
        ("table_row", "c | 3"),
    ]);
    let (record, found) = (record(&blocks), passage("b | 2", &[(3, 0, 5)]));
    check(&record, std::slice::from_ref(&found), 8, &["name | size", "a | 1", "b | 2", "c | 3"]);
    check(&record, &[found], 3, &["name | size", "b | 2"]);
}

#[test]
fn a_long_block_is_cut_to_its_passage_and_keeps_its_place() {
    let record = record(&[("paragraph", "é é é é é the part that was found é é é é é")]);
    let found = passage("the part that was found", &[(0, 0, 23)]);
    let source = check(&record, &[found], 12, &["the part that was found"]);
    assert_eq!(source.blocks[0].offset, 10, "code units, not bytes");
}

#[test]
fn what_is_nearly_the_same_is_seen() {
    let mut seen = Seen::default();
    let text = "Write down what went well, what went badly and what to do next time for the whole team.";
    assert!(!seen.is_repeated(text));
    assert!(seen.is_repeated(&format!("{text} Thanks.")));
    assert!(!seen.is_repeated("Domes close by an interlock when humidity is above ninety percent."));
    assert!(!seen.is_repeated("望遠鏡は湿度が九十を超えると閉じます。"));
    assert!(seen.is_repeated("望遠鏡は湿度が九十を超えると閉じます"));
    assert!(!seen.is_repeated("") && seen.is_repeated(""));
}

#[test]
fn a_block_that_stood_in_a_source_before_is_left_out() {
    let shared = "To reset the kappa press the red button and wait for the lamp.";
    let source = |blocks: &[(&str, &str)]| {
        let found = passage(blocks[0].1, &[(0, 0, blocks[0].1.len() as u32)]);
        pack(&record(blocks), &[found], 1.0, &Budget { count: &words, tokens_max: 100 }).unwrap()
    };
    let mut seen = Seen::default();
    assert!(!seen.is_repeated(&source(&[("paragraph", "Of the north dome."), ("callout", shared)]).whole()));
    let texts = |blocks: &[(&str, &str)]| {
        let mut source = source(blocks);
        let says = seen.leave_out_repeated(&mut source);
        let blocks = source.blocks.into_iter().map(|block| (block.text, block.after_gap));
        (blocks.collect::<Vec<_>>(), says)
    };
    let other = "Of the south dome.".to_owned();
    assert_eq!(texts(&[("paragraph", &other), ("callout", shared)]), (vec![(other.clone(), false)], true));
    let (blocks, _) = texts(&[("paragraph", shared), ("paragraph", &other)]);
    assert_eq!(blocks, [(other.clone(), true)]);
    assert_eq!(texts(&[("callout", shared)]), (vec![], false));
    assert!(texts(&[("table_row", shared)]).1 && texts(&[("paragraph", &shared.replace("red", "green"))]).1);
    assert!(texts(&[("paragraph", "Of the north dome.")]).1, "a few words repeat by chance");
}

#[test]
fn a_longer_text_that_holds_a_short_one_is_no_repetition() {
    let mut seen = Seen::default();
    assert!(!seen.is_repeated("Press the red button"));
    let longer = "Press the red button and wait for the lamp, then call the night shift before you leave the dome.";
    assert!(!seen.is_repeated(longer));
    assert!(seen.is_repeated("wait for the lamp, then call the night shift before you leave"));
}
