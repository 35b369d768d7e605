use schemas::block::BlockType;
use schemas::ids::{BlockId, RegionId};
use schemas::version::{Timestamp, VectorClock, Version};

use super::super::source::SourceTextBlock;
use super::*;

fn source(page: &str, blocks: &[&str]) -> Readable {
    let region = RegionId::new("r").unwrap();
    let version = Version { clock: VectorClock::of(&region, 1), timestamp: Timestamp::default(), region };
    let block = |(at, text): (usize, &&str)| SourceTextBlock {
        block: BlockId::new(format!("{page}-{at}")).unwrap(),
        kind: BlockType::Paragraph,
        version: version.clone(),
        offset: 0,
        text: (*text).to_owned(),
        language: Language::English,
        after_gap: false,
        done: false,
    };
    let text = SourceText { blocks: blocks.iter().enumerate().map(block).collect(), ..SourceText::default() };
    Readable { page: PageId::new(page).unwrap(), text }
}

fn sources() -> Vec<Readable> {
    vec![
        source(
            "domes",
            &["Domes are steel.", "The interlock closes the domes above 90 percent. It opens them at dusk."],
        ),
        source("lunch", &["Lunch is at noon."]),
    ]
}

fn no_pages(_: &str) -> Option<String> {
    None
}

/// What a model wrote in pieces of so many characters, once it is closed.
fn written(text: &str, chars: usize) -> Writing {
    let mut writing = Writing::new(sources(), Language::English);
    let pieces: Vec<char> = text.chars().collect();
    for piece in pieces.chunks(chars) {
        writing.push(&piece.iter().collect::<String>(), &no_pages);
    }
    writing.finish(&no_pages);
    writing
}

#[test]
fn a_marker_leads_to_the_sentence_of_its_source_that_says_so() {
    for chars in [1, 3, 500] {
        let writing = written(
            "Above 90 percent the interlock closes domes [1]. Lunch is at noon.[2] Penguins dance [1]. No one knows.",
            chars,
        );
        let told: Vec<(&str, &[u32], bool)> =
            writing.sentences().iter().map(|of| (of.text.as_str(), &of.citations[..], of.supported)).collect();
        assert_eq!(
            told,
            [
                ("Above 90 percent the interlock closes domes.", &[0][..], true),
                ("Lunch is at noon.", &[1], true),
                ("Penguins dance.", &[2], false),
                ("No one knows.", &[], false)
            ]
        );
        let citation = writing.citation(0);
        assert_eq!((citation.block.as_str(), citation.range), ("domes-1", [0, 48]));
        assert_eq!(citation.text, "The interlock closes the domes above 90 percent.");
        assert_eq!(writing.citation(1).page.as_str(), "lunch");
    }
}

#[test]
fn a_marker_to_nothing_is_dropped_and_counted() {
    let writing = written("So it is [3][0][1][99].", 2);
    assert_eq!(writing.shown(), "So it is [1].");
    assert_eq!(writing.dropped().0, 3);
}

#[test]
fn a_quoted_sentence_cites_its_own_place_and_forges_nothing() {
    let mut writing = Writing::new(
        vec![source("a", &["First. Domes [7] close [here](https://evil.example) at dusk."])],
        Language::English,
    );
    let span = writing.sources()[0].text.sentences()[1].clone();
    let out = writing.quote("", 0, span, &no_pages);
    assert_eq!(out, [Written::Delta("Domes (7) close here at dusk. [1]".to_owned()), Written::Cited(0, 0)]);
    assert!(writing.sentences()[0].supported);
    assert_eq!(writing.citation(0).range, [7, 60]);
}
